"""treg_edu.solvers.dps: weight 0 is a plain sample, and DPS with DDIM's steps is LDPS where nothing is clipped."""

import pytest
import torch
from gaussian_world import GaussianPrior, smooth_covariance

import treg_edu as te
from treg_edu.operators import GammaCorrection, SuperResolution

MEANS = {"": torch.zeros(3, 4, 4), "fox": torch.linspace(-0.3, 0.3, 48).view(3, 4, 4)}
PRIOR = GaussianPrior(smooth_covariance(deviation=0.1), MEANS)  # so narrow that no sample comes near ±1
SR = SuperResolution(2)


def measured(operator, batch=3):
    return operator.A(torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def last(walk):
    *_, step = walk
    return step


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_ldps_of_weight_0_is_the_plain_sample_of_that_seed(guidance_scale):
    settings = dict(steps=12, guidance_scale=guidance_scale, seed=5)
    plain = te.diffusion.sample(PRIOR, ["fox"] * 3, **settings)
    guided = te.SOLVERS["ldps"](PRIOR, SR, measured(SR), "fox", step_size=0.0, **settings)
    for one, other in zip(guided, plain, strict=True):
        assert torch.equal(one.z_next, other.z_next) and one.t == other.t
    assert torch.equal(one.x_hat, other.x_hat)


def test_ldps_of_weight_0_is_the_plain_sample_of_the_bundled_prior(prior):
    operator = SuperResolution(16)
    y = operator.A(te.images.example("fox"))
    plain = last(te.diffusion.sample(prior, "fox", steps=2, guidance_scale=1.0, seed=1))
    guided = last(te.SOLVERS["ldps"](prior, operator, y, "fox", steps=2, step_size=0.0, seed=1))
    torch.testing.assert_close(guided.x_hat, plain.x_hat, rtol=0, atol=1e-5)


def test_dps_of_weight_0_is_ancestral_sampling():
    """Of Ho et al. 2020, Eqs. 6 and 7: the posterior of z_{t−1} given z_t and ẑ₀, between any two levels."""
    steps = list(te.SOLVERS["dps"](PRIOR, SR, measured(SR), "fox", steps=12, step_size=0.0, seed=5))
    generators = te.noise.generators(5, 3)
    z = te.noise.normal(generators, (3, 3, 4, 4), dtype=torch.float64)
    for step, (t, t_prev) in zip(steps, PRIOR.timesteps(12), strict=True):
        alpha_bar, alpha_bar_prev = PRIOR.alpha_bar(t), PRIOR.alpha_bar(t_prev)
        noise = PRIOR.predict_noise(z, t, PRIOR.embed_text(["fox"] * 3))
        z0 = ((z - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()).clamp(-1, 1)
        alpha = alpha_bar / alpha_bar_prev
        mean = (alpha_bar_prev.sqrt() * (1 - alpha) * z0 + alpha.sqrt() * (1 - alpha_bar_prev) * z) / (1 - alpha_bar)
        variance = (1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha)
        z = mean + variance.sqrt() * te.noise.normal(generators, (3, 3, 4, 4), dtype=torch.float64)
        torch.testing.assert_close(step.z_next, z, rtol=0, atol=1e-10)


@pytest.mark.parametrize("operator", [SR, GammaCorrection(2.2)], ids=["sr", "gamma"])
def test_dps_without_fresh_noise_is_ldps_where_nothing_is_clipped(operator):
    settings = dict(steps=12, step_size=0.02, guidance_scale=2.0, seed=5)
    one = list(te.SOLVERS["ldps"](PRIOR, operator, measured(operator), "fox", **settings))
    other = list(te.SOLVERS["dps"](PRIOR, operator, measured(operator), "fox", eta=0.0, **settings))
    assert max(step.z0.abs().max() for step in one) < 1
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left.z_next, right.z_next, rtol=0, atol=1e-10)
    plain = last(te.SOLVERS["ldps"](PRIOR, operator, measured(operator), "fox", **settings | {"step_size": 0.0}))
    assert (one[-1].misfit < plain.misfit).all()


def test_dps_works_on_pixels_alone(prior):
    with pytest.raises(te.checks.ArgumentTypeError, match=r"^prior: got LatentDiffusion, expected a PixelDiffusion, .*on latents, ldps"):
        te.SOLVERS["dps"](prior, SR, measured(SR))
