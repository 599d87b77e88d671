"""Tikhonov, H¹, total variation and wavelets: closed forms by dense algebra, duality gaps, orthogonal Haar, deepinv, the discrepancy."""

import pytest
import torch
from deepinv_reference import deepinv
from gaussian_world import Matrix, dense

import treg_edu as te
from treg_edu.operators import GaussianBlur, Inpainting, SuperResolution, square_norm
from treg_edu.solvers import discrepancy
from treg_edu.solvers.analysis import FAMILIES, band_weights, filters, gradient, gradient_adjoint, wavelet_details, wavelet_details_adjoint
from treg_edu.solvers.primal_dual import primal_dual

SIGMA = 0.02


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(batch=2, side=8):
    """Pictures with flat parts, inside [0, 1]."""
    return 0.2 + 0.6 * rand(batch, 3, side // 4, side // 4).repeat_interleave(4, -1).repeat_interleave(4, -2)


OPERATORS = {
    "sr": (SuperResolution(2), 8),
    "blur": (GaussianBlur(1.0, 3), 8),
    "inpaint": (Inpainting.box(8, 2, 3, 3, 2), 8),
    "matrix": (Matrix(torch.randn(30, 48, generator=torch.Generator().manual_seed(1)) / 7), 4),
}


def posed(kind, batch=2):
    operator, side = OPERATORS[kind]
    clean = operator.A(blocks(batch, side))
    y = clean + SIGMA * te.noise.normal(te.noise.generators(7, batch), clean.shape, dtype=clean.dtype)
    return operator, y, dense(operator, (side, side)), side


def last(walk):
    *_, step = walk
    return step


@pytest.mark.parametrize("kind", OPERATORS)
def test_tikhonov_is_the_closed_form_around_any_picture(kind):
    operator, y, A, side = posed(kind)
    for centre in (None, rand(1, 3, side, side, seed=3), rand(2, 3, side, side, seed=4)):
        c = torch.zeros(2, 3, side, side, dtype=y.dtype) if centre is None else centre.expand(2, -1, -1, -1)
        expected = torch.linalg.solve(A.T @ A + 0.01 * torch.eye(A.shape[1], dtype=A.dtype), (y.flatten(1) @ A + 0.01 * c.flatten(1)).T).T
        found = last(te.SOLVERS["tikhonov"](None, operator, y, lam=0.01, centre=centre))
        torch.testing.assert_close(
            found.z0.flatten(1), expected, rtol=0, atol=2e-5 if kind == "matrix" else 1e-10
        )  # conjugate gradient; closed forms
        assert torch.equal(found.x_hat, found.z0.clamp(0, 1))


def test_tikhonov_takes_one_step_and_centres_that_fit():
    operator, y, _, _ = posed("sr")
    with pytest.raises(te.checks.ArgumentError, match="^steps: got 2, expected 1"):
        te.SOLVERS["tikhonov"](None, operator, y, steps=2)
    for wrong in (rand(3, 3, 8, 8), rand(1, 3, 4, 4), 0.5):
        with pytest.raises(te.checks.ArgumentError, match="^centre: got "):
            te.SOLVERS["tikhonov"](None, operator, y, centre=wrong)


@pytest.mark.parametrize("kind", OPERATORS)
def test_h1_is_the_closed_form(kind):
    operator, y, A, side = posed(kind)
    n = A.shape[1]
    D = gradient(torch.eye(n, dtype=y.dtype).view(n, 3, side, side)).transpose(0, 1).flatten(1).T
    expected = torch.linalg.solve(A.T @ A + 0.05 * D.T @ D, (y.flatten(1) @ A).T).T
    found = last(te.SOLVERS["h1"](None, operator, y, lam=0.05, steps=300))
    torch.testing.assert_close(found.z0.flatten(1), expected, rtol=0, atol=1e-5)


def test_analyses_have_their_adjoints_and_keep_the_norm():
    x = rand(2, 3, 8, 16)
    p = rand(2, *x.shape, seed=1)
    torch.testing.assert_close((gradient(x) * p).sum(), (x * gradient_adjoint(p)).sum())
    for family in FAMILIES:
        details = wavelet_details(x, family, 3)
        p = rand(*details.shape, seed=2)
        torch.testing.assert_close((details * p).sum(), (x * wavelet_details_adjoint(p, family, 3)).sum())
        again = wavelet_details_adjoint(details, family, 3)  # x without its coarsest approximation, a projection of a tight frame's parts
        assert (details.square().sum() <= x.square().sum()) and again.square().sum() < x.square().sum()
        flat = wavelet_details(torch.full_like(x, 0.7), family, 3)
        torch.testing.assert_close(flat, torch.zeros_like(flat), rtol=0, atol=1e-12)


def test_the_wavelet_penalty_is_the_mean_over_grids_of_orthogonal_haar():
    """Against the orthogonal transform by matrices of pairs, on each of the 8 × 8 shifted grids."""

    def pairs(n):
        half = torch.eye(n // 2, dtype=torch.float64) / 2**0.5
        return torch.cat([half.repeat_interleave(2, 1), half.repeat_interleave(2, 1) * torch.tensor([1.0, -1.0]).repeat(n // 2)])

    def details(x):
        norm = 0
        for n in (8, 4, 2):
            x = pairs(n).to(x) @ x @ pairs(n).T.to(x)
            norm += x.abs().sum((1, 2, 3)) - x[..., : n // 2, : n // 2].abs().sum((1, 2, 3))
            x = x[..., : n // 2, : n // 2]
        return norm

    x = rand(2, 3, 8, 8)
    expected = torch.stack([details(x.roll((a, b), (2, 3))) for a in range(8) for b in range(8)]).mean(0)
    found = (band_weights(3, x) * wavelet_details(x, "haar", 3)).abs().sum((0, 2, 3, 4))
    torch.testing.assert_close(found, expected)


def test_wavelets_are_those_of_other_libraries():
    """ptwt, which deepinv's `WaveletPrior` needs, is not installed here: what follows was computed once, with the versions named.

    The penalty of a picture: by deepinv 0.5.0 with ptwt 1.0.1 for Haar, by PyWavelets 1.9.0 ("periodization") for db2, each the mean over
    the 8 × 8 grids.
    """
    x = rand(2, 3, 8, 8)
    for family, levels, expected in (
        ("haar", 1, (33.0184, 32.4128)),
        ("haar", 3, (42.6913, 42.8040)),
        ("db2", 1, (33.45770426, 32.16080525)),
        ("db2", 2, (41.03745048, 40.81318342)),
    ):
        found = (band_weights(levels, x) * wavelet_details(x, family, levels)).abs().sum((0, 2, 3, 4))
        torch.testing.assert_close(found, torch.tensor(expected, dtype=x.dtype), rtol=0, atol=6e-5)


def test_db2_is_orthogonal_and_blind_to_ramps():
    """Σ h_k h_{k+2m} = δ_m / 2 for a filter of sum 1, and two vanishing moments: Σ g_k = Σ k g_k = 0      (Daubechies 1988)."""
    h, g = (torch.tensor(taps, dtype=torch.float64) for taps in filters("db2"))
    torch.testing.assert_close(
        torch.stack([h @ h, h[2:] @ h[:2], g.sum(), g @ torch.arange(4.0).double()]), torch.tensor([0.5, 0, 0, 0]).double()
    )


def total_variation_of(x):
    return gradient(x).norm(dim=0).sum((1, 2, 3))


def wavelets_of(x):
    return (band_weights(2, x) * wavelet_details(x, "haar", 2)).abs().sum((0, 2, 3, 4))


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("name", ["total_variation", "wavelet"])
def test_the_duality_gap_closes(name, kind):
    """The picture's objective is within 0.1 % of a lower bound of every picture's; the bound is computed here from p and q."""
    operator, y, _, side = posed(kind)
    lam, settings = 0.01, {"levels": 2} if name == "wavelet" else {}
    R = wavelets_of if name == "wavelet" else total_variation_of
    steps = 1200
    x_hat = last(te.SOLVERS[name](None, operator, y, lam=lam, steps=steps, **settings)).x_hat
    bound = lam * band_weights(2, y)
    if name == "wavelet":
        parts = (
            lambda v: wavelet_details(v, "haar", 2),
            lambda p: wavelet_details_adjoint(p, "haar", 2),
            lambda p: p.clamp(-bound, bound),
            1.0,
        )
    else:
        parts = gradient, gradient_adjoint, lambda p: p / (p.norm(dim=0) / lam).clamp(min=1), 8.0
    start = torch.zeros(2, 3, side, side, dtype=y.dtype)
    *_, (x, q, p) = primal_dual(operator, y, start, lam, square_norm(operator, start), *parts, steps)
    assert p.norm(dim=0).max() <= lam * (1 + 1e-12) if name == "total_variation" else (p.abs() <= bound * (1 + 1e-12)).all()
    slope = operator.A_adjoint(q) + parts[1](p)
    lower = -q.square().flatten(1).sum(1) / 2 - (q * y).flatten(1).sum(1) + slope.clamp(max=0).sum((1, 2, 3))
    for each in (x, x_hat):
        value = (operator.A(each) - y).square().flatten(1).sum(1) / 2 + lam * R(each)
        assert each.min() >= 0 and each.max() <= 1
        assert (value >= lower - 1e-9).all() and (value - lower <= 1e-3 * value).all()


def test_deepinv_agrees_on_total_variation():
    """The penalty's value is its `TVPrior`'s; denoising, where no pixel meets a bound, is its proximal map."""
    x, operator = (
        blocks() + 0.02 * te.noise.normal(te.noise.generators(3, 2), (2, 3, 8, 8), dtype=torch.float64),
        Inpainting(torch.ones(8, 8)),
    )
    prior = deepinv.optim.TVPrior(def_crit=1e-10, n_it_max=20000)
    torch.testing.assert_close(total_variation_of(x), prior.fn(x))
    found = last(te.SOLVERS["total_variation"](None, operator, x, lam=0.03, steps=3000)).x_hat
    assert found.min() > 0.01 and found.max() < 0.99
    torch.testing.assert_close(found, prior.prox(x, gamma=0.03), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["h1", "total_variation", "wavelet"])
def test_more_weight_is_a_smoother_picture_and_weights_are_each_samples_own(name):
    operator, y, _, _ = posed("blur")
    runs = [last(te.SOLVERS[name](None, operator, y, lam=lam)) for lam in (1e-4, 1e-2)]

    def off(step):
        return te.operators.misfit(operator, step.z0, y)  # before the clip

    assert (total_variation_of(runs[1].x_hat) < total_variation_of(runs[0].x_hat)).all() and (off(runs[1]) > off(runs[0])).all()
    mixed = last(te.SOLVERS[name](None, operator, y, lam=torch.tensor([1e-4, 1e-2], dtype=y.dtype))).x_hat
    torch.testing.assert_close(mixed, torch.stack([runs[0].x_hat[0], runs[1].x_hat[1]]), rtol=0, atol=1e-10)
    for wrong in (torch.ones(3), torch.tensor([1.0, -1.0]), torch.tensor([1, 2])):
        with pytest.raises(te.checks.ArgumentError, match="^lam: got "):
            te.SOLVERS[name](None, operator, y, lam=wrong)


@pytest.mark.parametrize("kind", ["blur", "inpaint"])
def test_discrepancy_leaves_as_much_as_the_noise(kind):
    """‖y − A x̂‖² = m σ², m without the hidden pixels; the same for a sample alone."""
    operator, y, _, _ = posed(kind)
    lam = discrepancy(te.SOLVERS["tikhonov"], None, operator, y, sigma=2 * SIGMA, iterations=40)
    x_hat = last(te.SOLVERS["tikhonov"](None, operator, y, lam=lam)).z0
    m = y[0].numel() - (3 * 6 if kind == "inpaint" else 0)
    found = (operator.A(x_hat) - y).square().flatten(1).sum(1)
    torch.testing.assert_close(found, torch.full_like(found, m * (2 * SIGMA) ** 2), rtol=1e-3, atol=0)
    torch.testing.assert_close(discrepancy(te.SOLVERS["tikhonov"], None, operator, y[1:], sigma=2 * SIGMA, iterations=40), lam[1:])


@pytest.mark.parametrize("kind", OPERATORS)
def test_the_square_norm_is_that_of_the_matrix(kind):
    operator, _, A, side = posed(kind)
    found = square_norm(operator, torch.zeros(2, 3, side, side, dtype=torch.float64)).flatten()
    exact = torch.linalg.matrix_norm(A, 2) ** 2
    assert (found >= exact).all() and (found <= 1.025 * exact).all()
