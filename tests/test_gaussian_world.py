"""The Gaussian world itself, before solvers are measured in it."""

import pytest
import torch
from gaussian_world import GaussianPrior, dense, smooth_covariance

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


def test_the_posterior_is_that_of_the_joint_gaussian():
    """(z₀, y) is Gaussian: condition it by the block formula on its precision, instead of by a gain."""
    mean = torch.linspace(-0.5, 0.5, 48).view(3, 4, 4).double()
    prior, operator, sigma = GaussianPrior(smooth_covariance(), {"": mean}), te.operators.SuperResolution(2), 0.1
    x = (mean[None] + 1) / 2
    y = operator.measure(x, sigma, torch.Generator().manual_seed(0))
    M = dense(operator, 4) / 2
    precision = torch.linalg.inv(prior.covariance) + M.T @ M / sigma**2
    offset = operator.A(torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64)).flatten()
    expected = torch.linalg.solve(precision, torch.linalg.solve(prior.covariance, mean.flatten()) + M.T @ (y.flatten() - offset) / sigma**2)
    found, covariance = prior.posterior(operator, y, sigma)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(covariance, torch.linalg.inv(precision), rtol=0, atol=1e-9)


def test_what_is_no_world_is_refused():
    with pytest.raises(te.checks.ArgumentError, match=r"^covariance: got shape \(3, 3\), expected \(48, 48\)"):
        GaussianPrior(torch.eye(3))
    with pytest.raises(te.checks.ArgumentError, match="^covariance: got an eigenvalue of -1"):
        GaussianPrior(-torch.eye(3), size=1)
    with pytest.raises(te.checks.ArgumentError, match="^y: got a batch of 2"):
        GaussianPrior(torch.eye(3), size=1).posterior(te.operators.Inpainting.box(2, 0, 0, 1, 1), torch.zeros(2, 3, 1, 1), 0.1)


def test_nothing_is_recommended_and_asking_is_no_error():
    """As of every other prior: `**prior.recommended[name]` runs."""
    world = GaussianPrior(smooth_covariance())
    assert all(world.recommended[name] == {} for name in te.SOLVERS) and not world.recommended
