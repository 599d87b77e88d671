"""treg_edu.solvers.pigdm and .ddrm: limits, starts, and operators of deepinv. What they draw is in test_gaussian_posteriors."""

import math

import pytest
import torch
from deepinv_reference import deepinv
from gaussian_world import GaussianPrior, Matrix, dense, smooth_covariance

import treg_edu as te
from treg_edu.operators import GaussianBlur, Inpainting, SuperResolution, prox
from treg_edu.solvers.pigdm import towards_measurement

PRIOR = GaussianPrior(smooth_covariance(), {"fox": torch.linspace(-0.3, 0.3, 48).view(3, 4, 4)})
SR = SuperResolution(2)
physics = deepinv.physics


def image(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def last(walk):
    *_, step = walk
    return step


def blur_fft():
    kernel = image(1, 1, 3, 3, seed=5)
    return physics.BlurFFT((3, 4, 4), kernel.float() / kernel.sum()).double()


THEIRS = {
    "BlurFFT": blur_fft,
    "inpainting": lambda: physics.Inpainting((3, 4, 4), mask=(image(3, 4, 4) > 0.5).double()),
    "Decolorize": lambda: physics.Decolorize().double(),
    "Downsampling": lambda: physics.Downsampling((3, 4, 4), filter="bilinear", factor=2, padding="circular").double(),
}


@pytest.mark.parametrize("kind", THEIRS)
@pytest.mark.parametrize("name", ["pigdm", "ddrm"])
def test_an_operator_of_deepinv_gives_what_its_matrix_gives(name, kind):
    """The same samples by deepinv's decomposition, or its proximal map, and by a dense matrix."""
    theirs = THEIRS[kind]()
    x = image(2, 3, 4, 4)
    y = theirs.A(x)
    matrix = Matrix(dense(theirs, (4, 4)))
    for sigma in (0.05, 0.0):
        settings = dict(sigma=sigma, steps=6, seed=3)
        one = last(te.SOLVERS[name](PRIOR, theirs, y, **settings)).z_next
        other = last(te.SOLVERS[name](PRIOR, matrix, y.flatten(1)[:, None, None], **settings)).z_next
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3 if kind == "Downsampling" else 1e-4)  # whose map is conjugate gradient


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_pigdm_of_weight_0_is_a_plain_sample(eta):
    """And DPS of weight 0, where nothing is clipped: in a world so narrow that no estimate comes near ±1."""
    narrow, y = GaussianPrior(smooth_covariance(deviation=0.1), PRIOR.means), SR.A(image(2, 3, 4, 4))
    settings = dict(steps=10, guidance_scale=2.0, seed=4)
    guided = last(te.SOLVERS["pigdm"](narrow, SR, y, "fox", sigma=0.1, weight=0.0, eta=eta, **settings))
    plain = last(te.diffusion.sample(narrow, ["fox"] * 2, **settings))
    assert torch.allclose(guided.z_next, plain.z_next, rtol=0, atol=1e-10) == (eta == 0)
    by_dps = list(te.SOLVERS["dps"](narrow, SR, y, "fox", step_size=0.0, eta=eta, **settings))
    assert max(step.z0.abs().max() for step in by_dps) < 1
    torch.testing.assert_close(guided.z_next, by_dps[-1].z_next)


@pytest.mark.parametrize("operator", [SR, GaussianBlur(1.0, 3), Inpainting.box(4, 1, 1, 2, 2)], ids=["sr", "blur", "inpaint"])
def test_the_way_towards_the_measurement_is_the_posterior_mean_of_a_ball(operator):
    """x₀ ~ N(x, r² I), y = A x₀ + n, by the dense formula; and σ → 0 is A†."""
    x, y = image(2, 3, 4, 4), operator.A(image(2, 3, 4, 4, seed=1))
    A = dense(operator, (4, 4))
    off = (y - operator.A(x)).flatten(1)
    for variance, sigma in ((0.2, 0.1), (1e-3, 0.5)):
        gain = variance * A.T @ torch.linalg.inv(variance * A @ A.T + sigma**2 * torch.eye(len(A)))
        torch.testing.assert_close(towards_measurement(operator, x, y, variance, sigma).flatten(1), off @ gain.T)
    exact = towards_measurement(operator, x, y, 0.2, 0.0)
    torch.testing.assert_close(towards_measurement(operator, x, y, 0.2, 1e-6), exact, rtol=0, atol=1e-5)
    torch.testing.assert_close(operator.A(x + exact), y)


@pytest.mark.parametrize("kind", THEIRS)
def test_the_proximal_map_keeps_what_is_not_measured(kind):
    """The dense normal equations; deepinv's own map of Decolorize does not solve them."""
    theirs = THEIRS[kind]()
    z, y = image(2, 3, 4, 4), theirs.A(image(2, 3, 4, 4, seed=1))
    A, gamma = dense(theirs, (4, 4)), torch.tensor([3.0, 40.0], dtype=torch.float64).view(2, 1, 1, 1)
    expected = [
        torch.linalg.solve(torch.eye(48) + g * A.T @ A, v.flatten() + g * A.T @ off.flatten()).view(3, 4, 4)
        for g, v, off in zip(gamma.flatten(), z, y, strict=True)
    ]
    torch.testing.assert_close(prox(theirs, z, y, gamma), torch.stack(expected), rtol=0, atol=1e-3)
    dropped = theirs.prox_l2(z, y, gamma) if kind == "Decolorize" else prox(theirs, z, y, gamma)
    assert ((dropped - torch.stack(expected)).abs().max() > 0.1) == (kind == "Decolorize")


@pytest.mark.parametrize("kind", ["sr", "blur", "inpaint", "matrix"])
def test_the_proximal_map_is_that_of_deepinvs_diffpir(kind):
    """Every proximal map that deepinv's DiffPIR takes on its way, by conjugate gradient on A and Aᵀ alone, is ours, with the same γ."""
    operator = {
        "sr": SR,
        "blur": GaussianBlur(1.0, 3),
        "inpaint": Inpainting.box(4, 1, 1, 2, 2),
        "matrix": Matrix(torch.randn(20, 48, generator=torch.Generator().manual_seed(1)) / 7),
    }[kind]
    taken = []

    class Fidelity(deepinv.optim.L2):
        def prox(self, x, y, physics, *arguments, gamma, **named):
            found = super().prox(x, y, physics, *arguments, gamma=gamma, **named)
            taken.append((x, float(gamma), found))
            return found

    theirs = physics.LinearPhysics(A=lambda x, **_: operator.A(x), A_adjoint=lambda y, **_: operator.A_adjoint(y), max_iter=300, tol=1e-9)
    y = operator.A(image(2, 3, 4, 4))
    deepinv.sampling.DiffPIR(lambda x, sigma: PRIOR.denoise(x, float(sigma)), Fidelity(), max_iter=8)(y, theirs, seed=1)
    gammas = [gamma for _, gamma, _ in taken]
    assert len(taken) == 7 and max(gammas) > 1e5 and min(gammas) < 10
    A = dense(operator, (4, 4))
    for x, gamma, found in taken:
        expected = torch.linalg.solve(torch.eye(48) + gamma * A.T @ A, (x.flatten(1) + gamma * y.flatten(1) @ A).T).T.view_as(x)
        ours, step = prox(operator, x, y, gamma), te.consistency.pixel_step(operator, y, x, lam=1 / gamma, iterations=300)
        assert (found - x).abs().max() > 1e-3
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
        # Theirs adds 1e-8 to the squared residual that it divides by, and stops short where A has small singular values and γ is large
        if kind != "blur" or gamma < 10:
            torch.testing.assert_close(ours, found, rtol=0, atol=5e-5)
            torch.testing.assert_close(step, found, rtol=0, atol=5e-5)  # the pixel step of TReg, with λ = 1/γ


def test_pigdm_may_start_at_an_image():
    y = SR.A(image(2, 3, 4, 4))
    start = SR.A_dagger(y)
    cold, warm = (next(iter(te.SOLVERS["pigdm"](PRIOR, SR, y, sigma=0.1, steps=10, seed=4, start=s))) for s in (None, start))
    alpha_bar = PRIOR.alpha_bar(warm.t)
    torch.testing.assert_close(warm.z_t, alpha_bar.sqrt() * (2 * start - 1) + (1 - alpha_bar).sqrt() * cold.z_t)
    whole = te.solve("pigdm", PRIOR, SR, y, sigma=0.1, steps=5, start=start, progress=False)
    parts = te.solve("pigdm", PRIOR, SR, y, sigma=0.1, steps=5, start=start, progress=False, batch_size=1)
    torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [("start", image(1, 3, 4, 4)), ("start", "A†y"), ("start", torch.full((2, 3, 4, 4), math.nan)), ("scaling", "nvidia"), ("eta", 1.1)],
)
def test_pigdm_refuses_nonsense(argument, wrong):
    with pytest.raises(te.checks.ArgumentError, match=f"^{argument}: got "):
        te.SOLVERS["pigdm"](PRIOR, SR, SR.A(image(2, 3, 4, 4)), sigma=0.1, **{argument: wrong})


@pytest.mark.parametrize("name", ["pigdm", "ddrm"])
def test_they_work_on_pixels_alone(prior, name):
    with pytest.raises(te.checks.ArgumentTypeError, match=r"^prior: got LatentDiffusion, expected a PixelDiffusion, .*on latents, ldps"):
        te.SOLVERS[name](prior, SR, SR.A(image(2, 3, 4, 4)), sigma=0.1)


def test_ddrm_refuses_an_operator_too_large_for_a_dense_decomposition(monkeypatch):
    operator = Matrix(torch.eye(48, dtype=torch.float64))
    y = operator.A(image(1, 3, 4, 4))
    monkeypatch.setattr(te.operators.decomposition, "LARGEST_MATRIX", 48 * 48 - 1)
    with pytest.raises(te.checks.ArgumentError, match=r"^operator: got a matrix of 48×48 entries \(Matrix\), expected a method svd"):
        te.SOLVERS["ddrm"](PRIOR, operator, y, sigma=0.1)


def test_ddrm_begins_about_what_was_measured_and_about_mid_grey_elsewhere():
    """At the first level, with the noise that is left: z_T = √ᾱ (2y − 1) + √(1 − ᾱ − 4 ᾱ σ²) ξ where measured, √(1 − ᾱ) ξ where hidden."""
    operator = Inpainting.box(4, 1, 1, 2, 2)
    y = operator.A(image(2, 3, 4, 4))
    for sigma in (0.1, 20.0, 1e3):  # the last is above the first level, and nothing is measured better than that
        first = next(iter(te.SOLVERS["ddrm"](PRIOR, operator, y, sigma=sigma, seed=4)))
        alpha_bar, xi = PRIOR.alpha_bar(first.t), te.noise.normal(te.noise.generators(4, 2), (2, 3, 4, 4), dtype=torch.float64)
        unmeasured = (1 - alpha_bar).sqrt() * xi
        left = (1 - alpha_bar - 4 * alpha_bar * sigma**2).clamp(min=0).sqrt()
        seen = operator.mask & (4 * alpha_bar * sigma**2 <= 1 - alpha_bar)
        assert bool(seen.any()) == (sigma < 1e3)
        expected = torch.where(seen, alpha_bar.sqrt() * (2 * y - 1) + left * xi, unmeasured)
        torch.testing.assert_close(first.z_t, expected, rtol=0, atol=1e-10)
