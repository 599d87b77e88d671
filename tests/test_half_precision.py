"""Solvers on networks in half precision, in a Gaussian world whose estimates, latents and pictures are rounded to it.

float16 has 11 bits, bfloat16 8: a latent near 1 is known to 5e-4 and 4e-3.  What is least squares, a Markov chain, a tuned text, or a small
gradient on its way back must not be.
"""

import pytest
import torch
from gaussian_world import GaussianPrior, smooth_covariance
from test_all_solvers import MEANS, an_instrument, measured, short

import treg_edu as te
from treg_edu.likelihood import pull_back
from treg_edu.solvers.null_text import path_gradient

DOUBLE = GaussianPrior(smooth_covariance(), MEANS)
FAR = {torch.float16: 1e-3, torch.bfloat16: 5e-3}
"""How far from the picture in double precision a picture may be, root mean square: a quarter and one of 255 levels."""


class HalfPrior(GaussianPrior):
    """The closed form in double precision, between latents, embeddings and pictures that are rounded."""

    def __init__(self, dtype):
        self.rounded = dtype
        super().__init__(smooth_covariance(), MEANS)

    @property
    def dtype(self):
        return self.rounded

    def embed_text(self, texts):
        return super().embed_text(texts).to(self.dtype)

    def _predict_noise(self, z_t, t, alpha_bar, text_embedding):
        return super()._predict_noise(z_t.double(), t, alpha_bar.double(), text_embedding.double()).to(self.dtype)

    def denoise(self, x, sigma, prompt=""):
        return DOUBLE.denoise(x, sigma, prompt)


OTHERWISE = {
    # Many small steps, as the authors have for boxes: of √η = 2e-3, which 8 bits do not tell from none
    "daps": dict(steps=8, chain_steps=100, step_size=0.01),
    "latent_daps": dict(steps=8, chain_steps=60, step_size=1e-3),
    # The authors' 30 belongs to 384² numbers
    "flowdps": dict(step_size=0.5),
    # Guidance multiplies rounding, and Adam makes whole steps of it where the path is met: ten of 1e-2 would be too long
    "null_text": dict(guidance_scale=2.0, source_prompt="fox", learning_rate=1e-3),
    "treg": dict(guidance_scale=2.0),
}


@pytest.mark.parametrize("dtype", FAR)
@pytest.mark.parametrize("name", te.SOLVERS)
def test_the_picture_is_that_of_double_precision(name, dtype):
    operator = an_instrument(name)
    y = measured(operator, 2)
    settings = short(name, **OTHERWISE.get(name, {}))
    expected, found = (te.solve(name, prior, operator, y, "fox", progress=False, **settings) for prior in (DOUBLE, HalfPrior(dtype)))
    assert found.dtype == torch.float32
    assert (found - expected).square().mean().sqrt() < FAR[dtype]


def test_a_small_gradient_finds_its_way_back_through_float16():
    """Of 3e-8, half of float16's least number, and of two samples whose gradients differ by 1e8."""
    with torch.enable_grad():
        source = torch.linspace(-1, 1, 8).view(2, 4).requires_grad_()
        made = (source.half() ** 2).float()
    gradient = torch.tensor([[3e-8], [3.0]]).expand(2, 4)
    torch.testing.assert_close(pull_back(gradient, made, source), 2 * source.detach() * gradient, rtol=2e-3, atol=0)


def test_one_source_of_a_whole_batch_gets_the_sum():
    with torch.enable_grad():
        source = torch.linspace(-1, 1, 4).view(1, 4).requires_grad_()
        made = (source.expand(2, 4).half() ** 2).float()
    gradient = torch.tensor([[1.0], [3.0]]).expand(2, 4)
    torch.testing.assert_close(pull_back(gradient, made, source), 8 * source.detach(), rtol=2e-3, atol=0)


@pytest.mark.parametrize("gradient", [torch.zeros(2, 4), torch.full((2, 4), torch.nan)])
def test_no_gradient_is_no_gradient_and_nonsense_stays_nonsense(gradient):
    with torch.enable_grad():
        source = torch.linspace(-1, 1, 8).view(2, 4).requires_grad_()
        made = source**2
    torch.testing.assert_close(pull_back(gradient, made, source), gradient, equal_nan=True)


def test_the_gradient_of_the_null_text_where_the_path_is_nearly_met():
    """A mean square of 1e-9, far below where tuning ends: each number's gradient is about 1e-6 before it enters the network."""
    half, t, t_prev, scale = HalfPrior(torch.float16), 500, 480, 2.5
    z, off = (torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    c, null = (DOUBLE.embed_text([text] * 2).float() for text in ("fox", ""))

    def gradient(prior, z, c, null, off):
        """(loss, gradient) where the step from z misses the path by `off`."""
        text_noise = prior.predict_noise(z, t, c)
        noise = te.diffusion.guide(prior.predict_noise(z, t, null), text_noise, scale)
        met = te.diffusion.ddim_step(te.diffusion.tweedie(z, noise, prior.alpha_bar(t)), noise, prior.alpha_bar(t_prev))
        return path_gradient(prior, z, t, t_prev, null, text_noise, scale, met + off)

    loss, found = gradient(half, z, c, null, 3e-5 * off)
    _, expected = gradient(DOUBLE, *(each.double() for each in (z, c, null, 3e-5 * off)))
    assert loss.max() < 3e-9 and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=2e-2, atol=2e-2 * expected.abs().max().item())
