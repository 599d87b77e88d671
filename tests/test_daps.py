"""DAPS where the posterior is known.

With a Gaussian prior and a linear operator every step of DAPS is an affine map plus noise, so the distribution of its samples follows by
recursion on a mean and a covariance. The maps are written here once more, with dense matrices, in the variables z₀ + σ ε.
"""

import functools
import math
import sys

import pytest
import torch
from gaussian_world import GaussianPrior, dense, smooth_covariance

import treg_edu as te
from treg_edu.operators import GammaCorrection, Inpainting, SuperResolution
from treg_edu.solvers.daps import check_levels, conditional_score, data_gradient, hamiltonian, langevin
from treg_edu.solvers.ode import nearest_timesteps, polynomial_levels, probability_flow, stops

PRIOR = GaussianPrior(smooth_covariance(2, scale=1.0), {"": torch.linspace(-0.4, 0.4, 12).view(3, 2, 2)}, 2)
OPERATORS = {"sr": SuperResolution(2), "inpaint": Inpainting.box(2, 0, 0, 1, 1)}
SIGMA = 0.1
EYE = torch.eye(12, dtype=torch.float64)
LEVELS = ((1 - PRIOR.scheduler.alphas_cumprod) / PRIOR.scheduler.alphas_cumprod).sqrt()
FAITHFUL = dict(steps=200, ode_steps=1, chain_steps=50, step_size=0.1, final_ratio=0.01, sigma_max=2.0, sigma_min=0.05)
"""Tweedie's estimate, and a chain that mixes at the low levels in small steps."""


def measured(operator):
    x = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return operator.measure(x, SIGMA, torch.Generator().manual_seed(1))


def samples(name, operator, count, **settings):
    y = measured(operator).expand(count, -1, -1, -1)
    *_, last = te.SOLVERS[name](PRIOR, operator, y, sigma=SIGMA, guidance_scale=1.0, **settings)
    return last.z0.flatten(1)


def moments(operator, steps, ode_steps, chain_steps, step_size, final_ratio, sigma_max, sigma_min, momentum=None):
    """(mean, covariance) of what DAPS draws, by recursion; of LatentDAPS with a momentum, whose chain moves a latent and a velocity."""
    C, m, M, b = PRIOR.covariance, PRIOR.mean("").flatten(), dense(operator, 2) / 2, measured(operator)
    b = (b - operator.A(torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64))).flatten()
    walk = check_levels(PRIOR, steps, ode_steps, sigma_max, sigma_min)
    mean, covariance = torch.zeros(12, dtype=torch.float64), LEVELS[walk[0][0]] ** 2 * EYE
    for i, timesteps in enumerate(walk):
        s = [*LEVELS[timesteps].tolist(), 0.0]
        # Euler's method on dz/dσ = ε̂ = σ (C + σ²)⁻¹ (z − m)
        for high, low in zip(s, s[1:], strict=False):
            G = EYE + (low - high) * high * torch.linalg.inv(C + high**2 * EYE)
            mean, covariance = m + G @ (mean - m), G @ covariance @ G.T
        # The chain, from (ẑ₀, v): drawn towards ẑ₀, which stays, and towards y
        eta = min(8 * SIGMA**2 * step_size * (1 + i / steps * (final_ratio - 1)), s[0] ** 2)
        keep, H = momentum or 0.0, EYE / s[0] ** 2 + M.T @ M / SIGMA**2
        kick = torch.cat([eta * EYE, math.sqrt(eta) * EYE])
        step = torch.cat([torch.cat([EYE, 0 * EYE]), torch.cat([math.sqrt(eta) * keep * EYE, keep * EYE])], 1)
        step[:, :12] -= kick @ H
        noise = torch.cat([math.sqrt(eta) * EYE, EYE]) * math.sqrt(2 * (1 - keep))
        of_start, constant, spread = torch.cat([EYE, 0 * EYE]), torch.zeros(24, dtype=torch.float64), torch.zeros(24, 24).double()
        spread[12:, 12:] = EYE if momentum else 0
        for _ in range(chain_steps):
            of_start = step @ of_start + kick / s[0] ** 2
            constant = step @ constant + kick @ (M.T @ b) / SIGMA**2
            spread = step @ spread @ step.T + noise @ noise.T
        of_start = of_start[:12]
        mean, covariance = of_start @ mean + constant[:12], of_start @ covariance @ of_start.T + spread[:12, :12]
        if i + 1 < steps:
            z0, covariance = covariance, covariance + LEVELS[walk[i + 1][0]] ** 2 * EYE
        else:
            z0 = covariance
    return mean, z0


def assert_drawn_from(z0, mean, covariance):
    """Monte Carlo error alone: 4.5 standard errors of each mean, and of the mean square along each axis."""
    variances, axes = torch.linalg.eigh(covariance)
    along = (z0 - mean) @ axes
    assert (along.mean(0).abs() < 4.5 * (variances / len(z0)).sqrt()).all()
    assert (along.square().mean(0) / variances - 1).abs().max() < 4.5 * math.sqrt(2 / len(z0))


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize(("name", "momentum"), [("daps", None), ("latent_daps", 0.6)])
def test_samples_have_the_distribution_that_the_rule_gives(name, momentum, kind):
    settings = dict(steps=15, ode_steps=3, chain_steps=8, step_size=0.1, final_ratio=0.3, sigma_max=5.0, sigma_min=0.1)
    extra = {"momentum": momentum} if momentum else {}
    z0 = samples(name, OPERATORS[kind], 1500, **settings, **extra)
    assert_drawn_from(z0, *moments(OPERATORS[kind], **settings, momentum=momentum))


@pytest.mark.parametrize("kind", OPERATORS)
def test_daps_with_tweedie_and_small_steps_meets_the_posterior(kind):
    """Its rule by theory: the means within a tenth of a deviation, the variances a little too large, most of all those below σ_min²."""
    operator = OPERATORS[kind]
    posterior, covariance = PRIOR.posterior(operator, measured(operator), SIGMA)
    mean, spread = moments(operator, **FAITHFUL)
    variances, axes = torch.linalg.eigh(covariance)
    assert ((mean - posterior).abs() / covariance.diagonal().sqrt()).max() < 0.1
    ratio = (axes.T @ spread @ axes).diagonal() / variances
    assert 1 < ratio.min() and ratio.max() < 1.25 and 1 < spread.trace() / covariance.trace() < 1.08


def test_samples_meet_the_posterior():
    operator, count = OPERATORS["sr"], 600
    posterior, covariance = PRIOR.posterior(operator, measured(operator), SIGMA)
    z0 = samples("daps", operator, count, **FAITHFUL)
    assert ((z0.mean(0) - posterior).abs() / (covariance.diagonal() / count).sqrt()).max() < 4.5
    assert abs(z0.var(0).sum() / covariance.trace() - 1) < 0.15
    away = (torch.cov(z0.T) - covariance).norm() / covariance.norm()
    assert away < 0.2 < (PRIOR.covariance - covariance).norm() / covariance.norm()  # the prior's covariance is another one


@pytest.mark.parametrize("kind", OPERATORS)
def test_daps_as_published_spreads_too_much(kind):
    """The ODE ends in a draw of z₀ given z_t, and N(ẑ₀, σ_t²) draws once more; Tweedie's estimate, the mean, does not.

    At a low level the ODE moves z by half of σ² ∇log p, so that many levels draw from √p(z) p(y | z): up to twice the prior's variance.
    """
    operator = OPERATORS[kind]
    posterior, covariance = PRIOR.posterior(operator, measured(operator), SIGMA)
    authors = dict(steps=200, chain_steps=100, step_size=1.0, final_ratio=0.01, sigma_max=100.0, sigma_min=0.1)
    mean, spread = moments(operator, **authors, ode_steps=5)
    assert 1.5 < spread.trace() / covariance.trace() < 2
    assert ((mean - posterior).abs() / covariance.diagonal().sqrt()).max() > 0.3
    less = moments(operator, **authors, ode_steps=1)[1]
    assert less.trace() < 0.75 * spread.trace()


def test_the_ode_ends_where_its_closed_form_does():
    """In many steps, from z = m + (C + σ²)^½ u, the flow ends at m + C^½ u."""
    t = nearest_timesteps(PRIOR, torch.tensor([3.0]))[0]
    m, values, axes = PRIOR.mean("").flatten(), *torch.linalg.eigh(PRIOR.covariance)
    away = torch.randn(2, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = m + away @ axes @ torch.diag((values + LEVELS[t] ** 2).sqrt()) @ axes.T
    alpha_bar, text = PRIOR.alpha_bar(t), PRIOR.embed_text(["", ""])
    found = probability_flow(PRIOR, (alpha_bar.sqrt() * z).view(2, 3, 2, 2), stops(PRIOR, t, 300), text, text, 1.0)
    expected = m + away @ axes @ torch.diag(values.sqrt()) @ axes.T
    torch.testing.assert_close(found.flatten(1), expected, rtol=0, atol=0.02)


def test_levels_fall_and_stay_within_the_prior():
    walk = check_levels(PRIOR, 50, 4, 1e6, 1e-6)
    first = [timesteps[0] for timesteps in walk]
    assert first[0] == 999 and first[-1] == 0 and first == sorted(first, reverse=True)
    assert all(timesteps == sorted(set(timesteps), reverse=True) for timesteps in walk)
    wanted = polynomial_levels(10, 0.1, 50)
    assert wanted[7].item() == pytest.approx((10 ** (1 / 7) + 7 / 49 * (0.1 ** (1 / 7) - 10 ** (1 / 7))) ** 7)
    assert wanted[0].item() == pytest.approx(10) and wanted[-1].item() == pytest.approx(0.1)
    near = LEVELS[nearest_timesteps(PRIOR, wanted)]
    assert ((near - wanted).abs() / wanted).max() < 0.03  # half of the way between two timesteps
    assert stops(PRIOR, 500, 1) == [500] and len(stops(PRIOR, 500, 5)) == 5 and stops(PRIOR, 0, 5) == [0]


def test_the_step_never_exceeds_the_level():
    """Noise of 0.5 asks for η = 2, a level of 0.1 takes no more than 0.01: the chain stays finite."""
    y = measured(OPERATORS["sr"])
    x_hat = te.solve("daps", PRIOR, OPERATORS["sr"], y, sigma=0.5, steps=20, chain_steps=200, final_ratio=1.0, progress=False)
    assert x_hat.isfinite().all()


def test_the_step_falls_linearly_over_the_levels(monkeypatch):
    """η_i = 8σ² · step_size · (1 + i/N (final_ratio − 1)), i from 0: the last of N levels is one short of final_ratio."""
    etas = []
    module = sys.modules["treg_edu.solvers.daps"]
    monkeypatch.setattr(module, "langevin", lambda z, score, eta, noise: etas.append(eta) or z)
    operator = OPERATORS["sr"]
    for _ in te.solvers.daps(PRIOR, operator, measured(operator), sigma=0.01, steps=4, step_size=0.5, final_ratio=0.2):
        pass
    assert etas == pytest.approx([8e-4 * 0.5 * (1 - 0.8 * i / 4) for i in range(4)])


def test_two_hamiltonian_steps_written_out():
    """From a velocity that is the first of the noise; the second step goes on with the first one's velocity."""
    v, first, second = noise = torch.randn(3, 2, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z, m, eta = torch.ones(2, 3, 2, 2, dtype=torch.float64), 0.7, 0.1
    expected = z
    for fresh in (first, second):
        v = m * v + eta**0.5 * torch.sin(expected) + (2 * (1 - m)) ** 0.5 * fresh
        expected = expected + eta**0.5 * v
    torch.testing.assert_close(hamiltonian(z, torch.sin, eta, noise.transpose(0, 1), momentum=m), expected)


def test_without_momentum_hamiltonian_is_langevin():
    noise = torch.randn(2, 6, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = torch.ones(2, 3, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(hamiltonian(z, torch.sin, 0.1, noise, momentum=0.0), langevin(z, torch.sin, 0.1, noise))


def test_the_score_agrees_with_finite_differences():
    operator, sigma, variance = GammaCorrection(2.2), 0.1, 0.3
    z = torch.linspace(-0.6, 0.7, 12, dtype=torch.float64).view(1, 3, 2, 2)
    y, centre = operator.A(torch.full_like(z, 0.4)), torch.zeros_like(z)

    def log_density(z):
        off = operator.A(z / 2 + 0.5) - y
        return -off.square().sum() / (2 * sigma**2) - (z - centre).square().sum() / (2 * variance)

    found = conditional_score(functools.partial(data_gradient, PRIOR, operator, y, None), sigma**2, centre, variance, z)
    for i in range(12):
        move = 1e-6 * EYE[i].view_as(z)
        slope = (log_density(z + move) - log_density(z - move)) / 2e-6
        torch.testing.assert_close(found.flatten()[i], slope, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_clamped_where_asked():
    y = measured(OPERATORS["inpaint"])
    z = torch.full((1, 3, 2, 2), 5.0, dtype=torch.float64)
    free, bound = (data_gradient(PRIOR, OPERATORS["inpaint"], y, clamp, z) for clamp in (None, 0.125))
    assert free.abs().max() > 0.5 and torch.equal(bound, free.clamp(-0.125, 0.125))


def test_nonsense_is_refused_at_the_call():
    y = measured(OPERATORS["sr"])
    with pytest.raises(te.checks.ArgumentError, match=r"^sigma_min: got 3.*, expected at most sigma_max, 2"):
        te.solvers.daps(PRIOR, OPERATORS["sr"], y, sigma=0.1, sigma_max=2.0, sigma_min=3.0)
    with pytest.raises(te.checks.ArgumentError, match="^momentum: got 1.5"):
        te.solvers.latent_daps(PRIOR, OPERATORS["sr"], y, sigma=0.1, momentum=1.5)
