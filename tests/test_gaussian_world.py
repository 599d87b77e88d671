"""The Gaussian world itself, before solvers are measured in it."""

import torch
from gaussian_world import GaussianPrior, smooth_covariance

import treg_edu as te


def test_ddim_draws_the_prior():
    """1 000 plain samples have the mean and the covariance of the world, within Monte Carlo error."""
    mean = torch.linspace(-0.5, 0.5, 48).view(3, 4, 4)
    prior = GaussianPrior(smooth_covariance(), {"": mean})
    *_, last = te.diffusion.sample(prior, [""] * 1000, steps=200, guidance_scale=1.0, seed=0)
    z0 = last.z_next.flatten(1)
    error = (z0.mean(0) - mean.flatten()).abs() / (prior.covariance.diagonal() / 1000).sqrt()
    assert error.max() < 4.5
    spread = z0.var(0).mean() / prior.covariance.diagonal().mean()
    assert 0.9 < spread < 1.1
