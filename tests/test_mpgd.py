"""MPGD against a recursion written out with matrices, DDIM, and finite differences."""

import pytest
import torch
from gaussian_world import GaussianPrior, Matrix, dense, smooth_covariance

import treg_edu as te
from treg_edu.likelihood import norm_gradient, square_gradient, through_decoder
from treg_edu.operators import GammaCorrection, GaussianBlur, SuperResolution

MEANS = {"fox": torch.linspace(-0.6, 0.6, 48, dtype=torch.float64).view(3, 4, 4)}
WORLD = GaussianPrior(smooth_covariance(deviation=0.8), MEANS)
OPERATOR = Matrix(torch.randn(10, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 7)
Y = OPERATOR.A(torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


class Latent:
    """The Gaussian world behind a decoder that is neither linear nor exact: D(z) = ½ + ½ tanh z."""

    def __getattr__(self, name):
        return getattr(WORLD, name)

    def decode(self, z):
        return 0.5 + torch.tanh(z) / 2


def recursion(steps, step_size, eta, seeds, clip=False, text="fox"):
    """MPGD of one text in the Gaussian world, on flattened latents, from the formulas."""
    M = dense(OPERATOR, (4, 4)) / 2
    offset = dense(OPERATOR, (4, 4)) @ torch.full((48,), 0.5, dtype=torch.float64)
    m, C, eye = WORLD.mean(text).flatten(), WORLD.covariance, torch.eye(48, dtype=torch.float64)
    sources = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw():
        return torch.stack([torch.randn(48, 1, 1, generator=source) for source in sources]).double().flatten(1)

    z = draw()
    for t, t_prev in WORLD.timesteps(steps):
        a, b = WORLD.alpha_bar(t), WORLD.alpha_bar(t_prev)
        noise = (1 - a).sqrt() * (z - a.sqrt() * m) @ torch.linalg.inv(a * C + (1 - a) * eye)
        z0 = (z - (1 - a).sqrt() * noise) / a.sqrt()
        if clip:
            z0 = z0.clip(-1, 1)
            noise = (z - a.sqrt() * z0) / (1 - a).sqrt()
        off = z0 @ M.T + offset - Y.flatten(1)
        z0 = z0 - step_size / b.sqrt() * (off @ M) / off.norm(dim=1, keepdim=True)
        s = eta * ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
        z = b.sqrt() * z0 + (1 - b - s**2).sqrt() * noise + s * draw()
    return z.view(-1, 3, 4, 4)


@pytest.mark.parametrize("clip", [False, True])
def test_it_is_the_recursion(clip):
    *_, last = te.solvers.mpgd(WORLD, OPERATOR, Y, "fox", steps=6, step_size=2.0, eta=0.7, clip=clip, seed=5)
    expected = recursion(6, 2.0, 0.7, [5, 6, 7], clip)
    torch.testing.assert_close(last.z_next, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(last.x_hat, (expected / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-9)
    assert (expected - recursion(6, 2.0, 0.7, [5, 6, 7], not clip)).abs().max() > 1e-3  # clipping did something


def test_without_a_step_it_is_ddim():
    *_, plain = te.diffusion.sample(WORLD, ["fox"] * 3, steps=7, guidance_scale=1.5, seed=2)
    *_, last = te.solvers.mpgd(WORLD, OPERATOR, Y, "fox", steps=7, guidance_scale=1.5, step_size=0, eta=0, seed=2)
    torch.testing.assert_close(last.z_next, plain.z_next, rtol=0, atol=1e-10)


def test_the_step_lowers_the_misfit():
    *_, plain = te.solvers.mpgd(WORLD, OPERATOR, Y, "fox", steps=50, step_size=0, seed=2)
    *_, last = te.solvers.mpgd(WORLD, OPERATOR, Y, "fox", steps=50, step_size=0.6, seed=2)
    assert (last.misfit < plain.misfit / 2).all()


def test_no_gradient_passes_through_the_network():
    class Watched(Latent):
        def predict_noise(self, z_t, t, text_embedding):
            assert not torch.is_grad_enabled() and not z_t.requires_grad
            return WORLD.predict_noise(z_t, t, text_embedding)

    *_, last = te.solvers.mpgd(Watched(), GammaCorrection(2.2), GammaCorrection(2.2).A(torch.rand(1, 3, 4, 4)), steps=3, step_size=0.1)
    assert last.x_hat.isfinite().all()


def test_clipping_is_for_pixels():
    with pytest.raises(te.checks.ArgumentError, match="^prior: got Latent, expected a PixelDiffusion.*clip=False"):
        te.solvers.mpgd(Latent(), OPERATOR, Y, clip=True)


@pytest.mark.parametrize("operator", [GammaCorrection(2.2), GaussianBlur(1.0, 3), SuperResolution(2)])
@pytest.mark.parametrize(
    ("gradient", "value"),
    [
        (norm_gradient, lambda off: off.flatten(1).norm(dim=1)),
        (square_gradient, lambda off: off.square().flatten(1).sum(1) / 2),
    ],
)
def test_the_gradient_through_a_decoder_agrees_with_finite_differences(operator, gradient, value):
    z = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64) / 2
    y = operator.A(torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64))
    prior, small = Latent(), 1e-6
    x, found = through_decoder(prior, z, lambda x: gradient(operator, x, y))
    assert torch.equal(x, prior.decode(z)) and not x.requires_grad and not found.requires_grad
    for i in range(48):
        move = torch.zeros(48, dtype=torch.float64)
        move[i] = small
        ahead, behind = (value(operator.A(prior.decode(z + sign * move.view(3, 4, 4))) - y) for sign in (1, -1))
        torch.testing.assert_close(found.flatten(1)[:, i], (ahead - behind) / (2 * small), rtol=1e-5, atol=1e-8)
