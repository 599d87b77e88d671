"""ReSample against a second writing of its algorithm in dense matrices and autograd, and its parts against closed forms."""

import pytest
import torch
from curved_world import CURVED, FLAT, WIDE, clean, latents, measured, normal

import treg_edu as te
from treg_edu.operators import FourierMagnitude, GammaCorrection, Inpainting
from treg_edu.operators.base import LinearOperator
from treg_edu.solvers.resample import descend, nearest_explanation, resample_variance, stage, stochastic_resample

MASK = Inpainting.box(4, 1, 1, 2, 2)
resample = te.SOLVERS["resample"]


# The parts


def test_the_schedule_of_500_steps_is_the_authors():
    kinds = [stage(index, 500) for index in range(500)]
    assert kinds.count("pixel") == 17 and kinds.count("latent") == 16
    assert set(kinds[:160]) == {None} and kinds[499] is None
    assert kinds[499 - 330] == "pixel" == kinds[499 - 170] and kinds[499 - 160] == "latent" == kinds[499 - 10]


@pytest.mark.parametrize(("t", "code", "paper"), [(100, 0.51, 0.11), (300, 0.36, 0.28), (600, 0.36, 0.75), (660, 0.38, 0.83)])
def test_the_weight_of_the_measurement_on_stable_diffusions_schedule(t, code, paper):
    """ᾱ of β = linspace(√0.00085, √0.012, 1000)², 500 steps, γ = 40; the weights were computed outside this project."""
    alphas = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2).cumprod(0)
    alpha_bar, alpha_bar_prev = alphas[t], alphas[t - 2]
    for form, expected in {"code": code, "paper": paper}.items():
        variance = resample_variance(alpha_bar, alpha_bar_prev, 40.0, form)
        assert abs(variance / (variance + 1 - alpha_bar_prev) - expected) < 0.011


def test_the_draw_is_from_the_product_of_two_gaussians():
    """By precisions: 1 / (1 − ᾱ) of the clean latent's, 1 / σ² of the path's."""
    alpha_bar, variance = torch.tensor([0.7, 0.2], dtype=torch.float64)
    z0, z, fresh = latents(2, 0), latents(2, 1), latents(2, 2)
    precision = 1 / (1 - alpha_bar) + 1 / variance
    expected = (alpha_bar.sqrt() * z0 / (1 - alpha_bar) + z / variance + fresh * precision.sqrt()) / precision
    torch.testing.assert_close(stochastic_resample(z0, z, fresh, alpha_bar, variance), expected)


def test_without_noise_the_nearest_explanation_is_the_pseudo_inverses():
    x, y = latents(2), measured(WIDE)
    B = torch.linalg.pinv(WIDE.matrix)
    expected = x + ((y.flatten(1) - x.flatten(1) @ WIDE.matrix.T) @ B.T).view_as(x)
    torch.testing.assert_close(nearest_explanation(WIDE, y, x, 0.0, 100), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("operator", [WIDE, MASK, te.operators.SuperResolution(2), te.operators.GaussianBlur(1.0, 3)])
def test_with_noise_it_ends_on_the_bound_and_moves_in_the_range_of_the_adjoint(operator):
    """Each sample has its own end; one that explains y already stays."""
    x = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = measured(operator, 3)
    y[2] = operator.A(x)[2] + 1e-3
    enough = 0.05**2 * y[0].numel()
    found = nearest_explanation(operator, y, x, enough, 200)
    squares = (y - operator.A(found)).flatten(1).square().sum(1)
    torch.testing.assert_close(squares[:2], torch.full((2,), enough, dtype=torch.float64))
    assert torch.equal(found[2], x[2])
    moved = (found - x)[:2]
    torch.testing.assert_close(operator.A_dagger(operator.A(moved)), moved, rtol=0, atol=1e-5)


def test_what_no_picture_explains_ends_the_iterations():
    """y has a part outside the range of A: least squares is reached, and found finite."""

    class Twice(LinearOperator):
        def A(self, x):
            return torch.cat([x, x], 1)

        def A_adjoint(self, y):
            return y[:, :3] + y[:, 3:]

    y = normal(3, 1, 6, 4, 4)
    found = nearest_explanation(Twice(), y, latents(1), 0.0, 100)
    torch.testing.assert_close(found, (y[:, :3] + y[:, 3:]) / 2)


@pytest.mark.parametrize("operator", [GammaCorrection(2.2), FourierMagnitude(), MASK], ids=["gamma", "phase", "mask"])
def test_with_the_identity_autoencoder_both_branches_agree(operator):
    """z = 2x − 1, so that Adam's steps in z are twice those in x: pixels at half of the learning rate walk the same path."""
    y, z = measured(operator), latents(2, 4) / 3
    x = descend(operator, y, FLAT.decode(z), lambda v: v, 0.0, 40, 5e-3)
    found = descend(operator, y, z, FLAT.decode, 0.0, 40, 1e-2)
    assert (found - z).abs().max() > 0.1
    torch.testing.assert_close(found, FLAT.encode(x), rtol=0, atol=1e-5)


def test_for_a_linear_operator_they_have_one_limit():
    """Conjugate gradient in pixels and Adam in latents, both from one picture: what is hidden stays, what is measured is met."""
    y, z = MASK.A(measured(MASK)), latents(2, 4) / 3
    pixels = FLAT.encode(nearest_explanation(MASK, y, FLAT.decode(z), 0.0, 10))
    torch.testing.assert_close(descend(MASK, y, z, FLAT.decode, 0.0, 2000, 1e-2), pixels, rtol=0, atol=1e-6)


def test_adam_stops_each_sample_at_its_own_bound():
    y, z = measured(WIDE), latents(2, 4) / 3
    enough = 0.05**2 * 20
    found = descend(WIDE, y, z, CURVED.decode, enough, 500, 5e-3)
    squares = (y - WIDE.A(CURVED.decode(found))).flatten(1).square().sum(1)
    assert (squares <= enough).all() and (squares > 0.5 * enough).all()
    for i in range(2):
        alone = descend(WIDE, y[i : i + 1], z[i : i + 1], CURVED.decode, enough, 500, 5e-3)
        torch.testing.assert_close(alone, found[i : i + 1], rtol=0, atol=1e-10)


# The whole


def by_hand(prior, M, y, sigma, steps, every, ahead, iterations, rate, form, seed):
    """One image, linear A = M, by autograd alone: ẑ₀, DPS, look-ahead, both optimisations, the product of Gaussians by precisions."""
    c, enough = prior.embed_text(["fox"]), sigma**2 * y.numel()
    (generator,) = te.noise.generators(seed, 1)
    draw = lambda: te.noise.normal([generator], (1, 3, 4, 4), dtype=torch.float64)  # noqa: E731
    squares = lambda z: (y - M @ prior.decode(z).flatten()).square().sum()  # noqa: E731
    levels = prior.timesteps(steps)

    def down(z_t, t, t_prev):
        z0, ab = clean(prior, z_t, t, c), prior.alpha_bar(t_prev)
        return z0, ab.sqrt() * z0 + (1 - ab).sqrt() * prior.predict_noise(z_t, t, c)

    def adam(z):
        m = v = torch.zeros_like(z)
        for k in range(1, iterations + 1):
            z = z.detach().requires_grad_()
            if squares(z) <= enough:
                break
            (g,) = torch.autograd.grad(squares(z) / 2, z)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            z = z - rate * (m / (1 - 0.9**k)) / ((v / (1 - 0.999**k)).sqrt() + 1e-8)
        return z.detach()

    z_t, path = draw(), []
    for index, (t, t_prev) in enumerate(levels):
        left = steps - 1 - index
        a, b = prior.alpha_bar(t), prior.alpha_bar(t_prev)
        z = z_t.detach().requires_grad_()
        z0, z_next = down(z, t, t_prev)
        (g,) = torch.autograd.grad(squares(z0).sqrt(), z)
        z_next = (z_next - 0.8 * a * g).detach()
        if left % every == 0 and 0 < left <= 2 * steps / 3:
            z0, forward = z0.detach(), z_next
            for s, s_prev in levels[index + 1 : index + 1 + ahead]:
                z0, forward = down(forward, s, s_prev)
            if left >= steps / 3:
                x = prior.decode(z0).flatten()
                U, S, Vh = torch.linalg.svd(M, full_matrices=False)
                z0 = prior.encode((x + Vh.T @ ((U.T @ (y - M @ x)) / S)).view(1, 3, 4, 4))
            else:
                z0 = adam(z0)
            variance = 40 * steps / 500 * (1 - b) / (a if form == "paper" else 1 - a) * (1 - a / b)
            precision = 1 / (1 - b) + 1 / variance
            z_next = (b.sqrt() * z0 / (1 - b) + z_next / variance + draw() * precision.sqrt()) / precision
        if t_prev < 0:
            z_next = adam(z_next)
        path.append(z_next.detach())
        z_t = z_next
    return path


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("prior", [FLAT, CURVED], ids=["flat", "curved"])
def test_the_algorithm_is_the_one_written_by_hand(prior, form):
    y = measured(WIDE)
    settings = dict(steps=12, every=2, look_ahead=2, latent_iterations=7, latent_learning_rate=1e-2, step_size=0.8, variance=form)
    found = list(resample(prior, WIDE, y, "fox", sigma=0.0, seed=3, **settings))
    assert [stage(index, 12, 2) for index in range(12)] == [None] * 3 + ["pixel", None] * 3 + ["latent", None] + [None]
    for i in range(2):
        expected = by_hand(prior, WIDE.matrix, y[i].flatten(), 0.0, 12, 2, 2, 7, 1e-2, form, 3 + i)
        for step, z_next in zip(found, expected, strict=True):
            torch.testing.assert_close(step.z_next[i : i + 1], z_next, rtol=0, atol=1e-6)


def test_without_its_optimisations_and_its_gradient_it_is_the_plain_sample():
    *_, plain = te.diffusion.sample(CURVED, ["fox", "fox"], steps=6, guidance_scale=1.0, seed=1)
    *_, last = resample(CURVED, WIDE, measured(WIDE), "fox", sigma=0.02, steps=6, step_size=0, latent_iterations=0, seed=1)
    torch.testing.assert_close(last.z_next, plain.z_next)


def test_the_measurement_is_met_to_the_noise():
    """The last optimisation ends on the bound, which is the noise's size."""
    y = measured(WIDE)
    *_, last = resample(CURVED, WIDE, y, "fox", sigma=0.05, steps=30)
    off = (y - WIDE.A(CURVED.decode(last.z_next))).flatten(1).square().mean(1).sqrt()
    assert (off <= 0.05 + 1e-9).all() and (off > 0.03).all()


@pytest.mark.parametrize("hidden", [(1, 1, 2, 2), (0, 0, 4, 3)])
def test_hidden_pixels_do_not_excuse_a_misfit_of_the_others(hidden):
    """Of 16 pixels 12 or 4 are measured: their misfit ends at σ, and not at σ times √(16 / 12) or twice σ."""
    operator, sigma = Inpainting.box(4, *hidden), 0.05
    share = operator.mask.double().mean()
    y = operator.measure(
        0.2 + 0.6 * torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5)),
        sigma,
        te.noise.generators(6, 2),
    )
    *_, last = resample(FLAT, operator, y, "fox", sigma=sigma, steps=30)
    off = (y - operator.A(FLAT.decode(last.z_next))).flatten(1).square().mean(1).div(share).sqrt()
    assert (off <= sigma + 1e-9).all() and (off > 0.6 * sigma).all()


def test_the_variance_is_of_the_paper_or_of_the_code():
    with pytest.raises(te.checks.ArgumentError, match=r"^variance: got 'σ²', expected one of 'paper', 'code'"):
        resample(FLAT, WIDE, measured(WIDE), sigma=0.02, variance="σ²")
