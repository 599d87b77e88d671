"""Pixel solvers where the posterior is known: who meets it, and who misses it does so by the amount that theory gives.

With a Gaussian prior and a linear operator a step of ΠGDM or DDRM is an affine map of z_t plus noise, so the distribution of the samples
follows by recursion on a mean and a covariance. The maps are written here once more, with dense matrices. DPS divides by a norm, which is
not linear: it is simulated, on the same noise.
"""

import math

import pytest
import torch
from gaussian_world import GaussianPrior, Matrix, dense, smooth_covariance

import treg_edu as te
from treg_edu.operators import GaussianBlur, Inpainting, SuperResolution

MEAN = torch.linspace(-0.4, 0.4, 48).view(3, 4, 4)
SMOOTH = GaussianPrior(smooth_covariance(), {"": MEAN})
UNIT = GaussianPrior(torch.eye(48), {"": MEAN})
OPERATORS = {"sr": SuperResolution(2), "blur": GaussianBlur(1.0, 3), "inpaint": Inpainting.box(4, 1, 1, 2, 2)}
MATRIX = Matrix(torch.randn(20, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 7)
GREY = torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64)
EYE = torch.eye(48, dtype=torch.float64)
WHITE = torch.zeros(48, dtype=torch.float64), EYE
"""The mean and the covariance of z_T."""


def measured(operator, sigma, seed=0):
    x = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return operator.measure(x, sigma, torch.Generator().manual_seed(seed + 1))


def samples(name, prior, operator, y, count=500, **settings):
    """z₀ of `count` seeds, (count, 48)."""
    *_, last = te.SOLVERS[name](prior, operator, y.expand(count, *y.shape[1:]), **settings)
    return last.z_next.flatten(1)


def moments(step, prior, steps, mean, covariance):
    """(mean, covariance) of z₀, if z_T has those given and `step(z, ᾱ, ᾱ′)`, of rows z, returns (its mean, the covariance of its noise)."""
    for t, t_prev in prior.timesteps(steps):
        levels = prior.alpha_bar(t), prior.alpha_bar(t_prev)
        constant, noise = step(torch.zeros_like(EYE[:1]), *levels)
        matrix = (step(EYE, *levels)[0] - constant).T
        mean, covariance = matrix @ mean + constant[0], matrix @ covariance @ matrix.T + noise
    return mean, covariance


def assert_drawn_from(z0, mean, covariance):
    """Monte Carlo error alone: 4.5 standard errors of each of 48 means, and of the mean square along each of 48 axes."""
    variances, axes = torch.linalg.eigh(covariance)
    along = (z0 - mean) @ axes
    floor = 1e-9  # of directions without spread
    assert (along.mean(0).abs() <= 4.5 * (variances.clamp(min=0) / len(z0)).sqrt() + floor).all()
    ratio = along.square().mean(0)[variances > floor] / variances[variances > floor]
    assert (ratio - 1).abs().max() < 4.5 * math.sqrt(2 / len(z0))
    assert (along[:, variances <= floor].abs() < 1e-3).all()


def clean(prior, z, alpha_bar):
    """(ẑ₀, ∂ẑ₀/∂z) by the normal equations: E[z₀ | z]."""
    gain = alpha_bar.sqrt() * prior.covariance @ torch.linalg.inv(alpha_bar * prior.covariance + (1 - alpha_bar) * EYE)
    return prior.mean("").flatten() + (z - alpha_bar.sqrt() * prior.mean("").flatten()) @ gain.T, gain


# ΠGDM


def pigdm_step(prior, operator, y, sigma, eta, scaling):
    B, centred = dense(operator, (4, 4)) / 2, (y - operator.A(GREY)).flatten()

    def step(z, alpha_bar, alpha_bar_prev):
        z0, gain = clean(prior, z, alpha_bar)
        r2 = 1 - alpha_bar
        solve = torch.linalg.inv(r2 * B @ B.T + sigma**2 * torch.eye(len(B))) if sigma else torch.linalg.pinv(r2 * B @ B.T)
        g = r2 * (centred - z0 @ B.T) @ solve @ B @ gain
        pulled = z0 + g / alpha_bar.sqrt() if scaling == "score" else z0
        noise = (z - alpha_bar.sqrt() * pulled) / (1 - alpha_bar).sqrt()
        s2 = eta**2 * (1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)
        z = alpha_bar_prev.sqrt() * pulled + (1 - alpha_bar_prev - s2).clamp(min=0).sqrt() * noise
        return z + {"paper": alpha_bar.sqrt(), "code": (alpha_bar * alpha_bar_prev).sqrt(), "score": 0}[scaling] * g, s2 * EYE

    return step


@pytest.mark.parametrize(
    ("kind", "sigma", "eta", "scaling"),
    [
        ("sr", 0.1, 1.0, "paper"),
        ("blur", 0.1, 0.0, "paper"),
        ("inpaint", 0.0, 1.0, "paper"),
        ("sr", 0.2, 0.5, "code"),
        ("sr", 0.1, 1.0, "score"),
    ],
)
def test_pigdm_has_the_distribution_that_its_rule_gives(kind, sigma, eta, scaling):
    operator = OPERATORS[kind]
    y = measured(operator, sigma)
    mean, covariance = moments(pigdm_step(SMOOTH, operator, y, sigma, eta, scaling), SMOOTH, 30, *WHITE)
    z0 = samples("pigdm", SMOOTH, operator, y, sigma=sigma, steps=30, eta=eta, scaling=scaling)
    assert_drawn_from(z0, mean, covariance)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("sigma", [0.02, 0.2])
def test_pigdm_meets_the_posterior_where_its_r_is_right(sigma, eta):
    """For N(m, I) the covariance of z₀ given z_t is r² I: DDIM's steps of the posterior's score meet its mean, and many its spread."""
    operator = OPERATORS["sr"]
    y = measured(operator, sigma)
    mean, covariance = UNIT.posterior(operator, y, sigma)
    z0 = samples("pigdm", UNIT, operator, y, sigma=sigma, steps=100, eta=eta, scaling="score")
    assert ((z0.mean(0) - mean).abs() / (covariance.diagonal() / len(z0)).sqrt()).max() < 4.5
    for steps, most in ((30, 0.2), (1000, 0.01)):
        found, spread = moments(pigdm_step(UNIT, operator, y, sigma, eta, "score"), UNIT, steps, *WHITE)
        torch.testing.assert_close(found, mean, rtol=0, atol=4e-3)  # of deviations near 1
        assert 0 < 1 - (spread.trace() / covariance.trace()).sqrt() < most


def test_pigdm_as_published_pulls_harder_the_more_steps():
    """√ᾱ g does not shrink with the step: with σ = 0.2 the mean leaves the posterior's for the measurement's, the more the more steps."""
    operator, sigma = OPERATORS["sr"], 0.2
    y = measured(operator, sigma)
    posterior, _ = SMOOTH.posterior(operator, y, sigma)
    B = dense(operator, (4, 4)) / 2
    misfits = []
    for steps in (20, 100, 1000):
        rule = pigdm_step(SMOOTH, operator, y, sigma, 1.0, "paper")
        mean, _ = moments(rule, SMOOTH, steps, *WHITE)
        misfits.append((y - operator.A(GREY)).flatten() - B @ mean)
    lengths = [misfit.norm() / ((y - operator.A(GREY)).flatten() - B @ posterior).norm() for misfit in misfits]
    assert 0.9 < lengths[0] < 1.1 and lengths[1] < 0.8 and lengths[2] < 0.5


# DDRM, in the units of the latents, where A's singular values are half of those of images


def ddrm_rule(prior, operator, y, sigma, eta, eta_b, steps):
    """(step, mean and covariance of z_T)"""
    B = dense(operator, (4, 4)) / 2
    U, values, Vh = torch.linalg.svd(B)
    s = torch.zeros(48, dtype=torch.float64)
    s[: len(values)] = torch.where(values > 1e-4 * values.max(), values, 0)
    y_bar = torch.zeros(48, dtype=torch.float64)
    y_bar[: len(values)] = ((y - operator.A(GREY)).flatten() @ U)[: len(values)]
    y_bar = torch.where(s > 0, y_bar / s, 0)
    memory = math.sqrt(1 - eta**2)

    def level(alpha_bar):
        return ((1 - alpha_bar) / alpha_bar).sqrt()

    def step(z, alpha_bar, alpha_bar_prev):
        z0, _ = clean(prior, z, alpha_bar)
        now, then = level(alpha_bar), level(alpha_bar_prev)
        z0, noise = z0 @ Vh.T, (z / alpha_bar.sqrt() - z0) @ Vh.T / now
        worse = z0 + memory * then * (y_bar - z0) * s / max(sigma, 1e-12)
        better = (1 - eta_b) * z0 + eta_b * y_bar
        use_better, use_worse = (s > 0) & (then * s >= sigma), (s > 0) & (then * s < sigma)
        rows = torch.where(use_better, better, torch.where(use_worse, worse, z0 + memory * then * noise))
        variance = torch.where(use_better, then**2 - (eta_b * sigma / s.clamp(min=1e-12)) ** 2, (eta * then) ** 2)
        return alpha_bar_prev.sqrt() * rows @ Vh, alpha_bar_prev * Vh.T @ variance.diag() @ Vh

    first = prior.alpha_bar(prior.timesteps(steps)[0][0])
    measured = (s > 0) & (level(first) * s >= sigma)
    variance = level(first) ** 2 - torch.where(measured, sigma / s.clamp(min=1e-12), 0) ** 2
    return step, first.sqrt() * torch.where(measured, y_bar, 0) @ Vh, first * Vh.T @ variance.diag() @ Vh


@pytest.mark.parametrize(
    ("kind", "sigma", "eta", "eta_b"),
    [("sr", 0.1, 0.85, 1.0), ("blur", 0.05, 0.5, 0.7), ("inpaint", 0.0, 0.85, 1.0), ("blur", 0.4, 0.85, 1.0), ("matrix", 0.1, 1.0, 0.5)],
)
def test_ddrm_has_the_distribution_that_its_rule_gives(kind, sigma, eta, eta_b):
    operator = (OPERATORS | {"matrix": MATRIX})[kind]
    y = measured(operator, sigma)
    step, *start = ddrm_rule(SMOOTH, operator, y, sigma, eta, eta_b, 20)
    assert_drawn_from(samples("ddrm", SMOOTH, operator, y, sigma=sigma, eta=eta, eta_b=eta_b), *moments(step, SMOOTH, 20, *start))


def test_ddrm_is_exact_where_pixels_are_independent_nothing_is_renewed_and_nothing_is_noisy():
    """C and A diagonal, η = 0, σ = 0: DDIM of each hidden pixel, and the measured ones as they are; the spread with many steps."""
    prior = GaussianPrior(torch.linspace(0.02, 0.5, 48).diag(), {"": MEAN})
    y = measured(OPERATORS["inpaint"], 0.0)
    mean, covariance = prior.posterior(OPERATORS["inpaint"], y, 1e-6)
    z0 = samples("ddrm", prior, OPERATORS["inpaint"], y, sigma=0.0, eta=0.0, steps=100)
    hidden = covariance.diagonal() > 1e-6
    assert hidden.sum() == 12
    error = (z0.mean(0) - mean).abs()
    assert error[~hidden].max() < 1e-9 and (error[hidden] / (covariance.diagonal()[hidden] / len(z0)).sqrt()).max() < 4.5
    for steps, most in ((100, 0.2), (1000, 0.02)):
        step, *start = ddrm_rule(prior, OPERATORS["inpaint"], y, 0.0, 0.0, 1.0, steps)
        _, spread = moments(step, prior, steps, *start)
        assert (1 - spread.diagonal()[hidden] / covariance.diagonal()[hidden]).abs().max() < most


@pytest.mark.parametrize("eta", [0.0, 0.5, 0.85, 1.0])
def test_what_ddrm_does_not_measure_varies_too_little_by_what_theory_gives(eta):
    """With many steps the variance c of what is not measured becomes (1 + √(1 − η²)) / 2 of itself: the fixed point v of one level σ,

    v = a² v + η² σ²,  a = (c + √(1 − η²) σ²) / (c + σ²),  which is  v = (1 + √(1 − η²)) (c + σ²)² / (2 c + (1 + √(1 − η²)) σ²),  at σ = 0
    """
    prior = GaussianPrior(0.16 * EYE)
    y = measured(OPERATORS["inpaint"], 0.0)
    share = (1 + math.sqrt(1 - eta**2)) / 2
    step, *start = ddrm_rule(prior, OPERATORS["inpaint"], y, 0.0, eta, 1.0, 1000)
    _, covariance = moments(step, prior, 1000, *start)
    hidden = covariance.diagonal() > 1e-9
    torch.testing.assert_close(covariance.diagonal()[hidden] / 0.16, torch.full((12,), share, dtype=torch.float64), rtol=0, atol=0.02)
    z0 = samples("ddrm", prior, OPERATORS["inpaint"], y, count=100, sigma=0.0, eta=eta, steps=200)[:, hidden]
    assert abs(z0.var(0).mean() / 0.16 / share - 1) < 4.5 * math.sqrt(2 / z0.numel()) + 0.03


@pytest.mark.parametrize("kind", OPERATORS)
def test_ddrm_without_noise_keeps_what_was_measured(kind):
    """σ = 0: exactly, however few the steps, unless η_b < 1.  With any σ > 0 the last level, 0, is below σ/s, and the rule ends with ẑ₀."""
    operator = OPERATORS[kind]
    y = measured(operator, 0.0)

    def found(**settings):
        *_, last = te.SOLVERS["ddrm"](SMOOTH, operator, y.expand(3, *y.shape[1:]), steps=5, **settings)
        return last, (operator.A(SMOOTH.decode(last.z_next)) - y).abs().max()

    assert found(sigma=0.0)[1] < 1e-12
    assert found(sigma=0.0, eta_b=0.5)[1] > 1e-3
    last, off = found(sigma=1e-7)
    assert off > 1e-3
    torch.testing.assert_close(last.z_next, last.z0)


# The table of docs/solvers/pixel.md

TABLE = {  # {(solver, its steps): (distance of the mean, spread) as shares of the posterior's deviation}, for sr and σ = 0.1
    ("ddrm", 20): (0.13, 0.65),
    ("ddrm", 100): (0.19, 0.65),
    ("ddrm", 1000): (0.54, 0.61),
    ("paper", 20): (0.06, 0.67),
    ("paper", 100): (0.73, 0.69),
    ("paper", 1000): (0.99, 0.66),
    ("score", 20): (0.18, 0.73),
    ("score", 100): (0.14, 0.91),
    ("score", 1000): (0.14, 0.99),
}


@pytest.mark.parametrize(("solver", "steps"), TABLE)
def test_how_far_from_the_posterior(solver, steps):
    """Authors' settings, in a world where pixels agree with their neighbours."""
    operator, sigma = OPERATORS["sr"], 0.1
    y = measured(operator, sigma)
    mean, covariance = SMOOTH.posterior(operator, y, sigma)
    if solver == "ddrm":
        step, *start = ddrm_rule(SMOOTH, operator, y, sigma, 0.85, 1.0, steps)
    else:
        step, start = pigdm_step(SMOOTH, operator, y, sigma, 1.0, solver), WHITE
    found, spread = moments(step, SMOOTH, steps, *start)
    distance = ((found - mean).square() / covariance.diagonal()).mean().sqrt()
    share = (spread.trace() / covariance.trace()).sqrt()
    assert (round(distance.item(), 2), round(share.item(), 2)) == TABLE[solver, steps]


# DPS


def simulated_dps(prior, operator, y, steps, step_size, eta, seeds):
    """z₀ of each seed, one after the other, on the noise that `dps` draws: z_T, and one picture at every step."""
    B, found = dense(operator, (4, 4)) / 2, []
    for seed in seeds:
        generators = te.noise.generators(seed, 1)
        z = te.noise.normal(generators, (1, 48), dtype=torch.float64)
        for t, t_prev in prior.timesteps(steps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            mean, gain = clean(prior, z, alpha_bar)
            z0 = mean.clamp(-1, 1)
            off = z0 @ B.T - (y - operator.A(GREY)).flatten()
            gradient = (off / off.norm() @ B * (mean == z0)) @ gain
            noise, s2 = (z - alpha_bar.sqrt() * z0) / (1 - alpha_bar).sqrt(), eta**2 * (1 - alpha_bar_prev) / (1 - alpha_bar)
            s2 = s2 * (1 - alpha_bar / alpha_bar_prev)
            fresh = te.noise.normal(generators, (1, 48), dtype=torch.float64)
            z = (
                alpha_bar_prev.sqrt() * z0
                + (1 - alpha_bar_prev - s2).clamp(min=0).sqrt() * noise
                + s2.sqrt() * fresh
                - step_size * gradient
            )
        found.append(z)
    return torch.cat(found)


@pytest.mark.parametrize(("kind", "eta"), [("sr", 1.0), ("inpaint", 0.5), ("blur", 0.0)])
def test_dps_is_what_an_independent_simulation_gives(kind, eta):
    operator = OPERATORS[kind]
    y = measured(operator, 0.05)
    expected = simulated_dps(SMOOTH, operator, y, 60, 0.6, eta, range(4))
    torch.testing.assert_close(samples("dps", SMOOTH, operator, y, 4, steps=60, eta=eta), expected, rtol=0, atol=1e-7)


def test_dps_misses_the_posterior_by_fitting_the_noise():
    """Of one number, y = a·x + n, the gradient of the norm has one length, whatever the misfit: a·x̂ comes to y and stays within a step.
    The bias of its mean is what separates y from the posterior's mean, and the spread is that of the steps."""
    operator, sigma, step_size = Matrix(torch.full((1, 48), 1 / math.sqrt(48), dtype=torch.float64)), 1.0, 0.1
    y = operator.A(GREY) + 1.5
    mean, covariance = SMOOTH.posterior(operator, y, sigma)
    row = dense(operator, (4, 4)).flatten() / 2  # of A ∘ D
    wanted, spread = operator.A(SMOOTH.decode(mean.view(1, 3, 4, 4))), (row @ covariance @ row).sqrt()
    found = operator.A(SMOOTH.decode(samples("dps", SMOOTH, operator, y, 20, steps=1000, step_size=step_size).view(-1, 3, 4, 4)))
    change = step_size / 4  # of a·x in a step: half for each D, and ‖a‖ = 1
    assert y - wanted > 0.8 and spread > 0.6
    assert (found - y).abs().max() < 1.3 * change and abs(found.mean() - y) < change / 2 and found.std() < change
