"""treg_edu.consistency: the pixel step against closed forms, the latent step against its objective, the renewal of noise."""

import pytest
import torch
from deepinv_reference import deepinv

from treg_edu import consistency, operators
from treg_edu.operators import FourierMagnitude, GammaCorrection, GaussianBlur, Inpainting, SuperResolution

LINEAR = {
    "sr": SuperResolution(4),
    "blur": GaussianBlur(sigma=1.0, kernel_size=7),
    "inpaint": Inpainting.box(16, top=3, left=4, height=8, width=5),
}
NONLINEAR = {"gamma": GammaCorrection(2.2), "phase": FourierMagnitude()}
ALPHA_BARS = [0.01, 0.3, 0.9, 1.0]


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(operator, batch=2):
    return operator.measure(rand(batch, 3, 16, 16), sigma=0.01, generator=torch.Generator().manual_seed(1)), rand(batch, 3, 16, 16, seed=2)


def objective(operator, y, x_hat, x, lam):
    return (y - operator.A(x_hat)).square().flatten(1).sum(1) + lam * (x_hat - x).square().flatten(1).sum(1)


def scalar(value):
    return torch.tensor(value, dtype=torch.float64)


# Pixel step, linear


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("lam", [1e-2, 1.0])
def test_pixel_step_is_the_proximal_map(name, lam):
    """λ ‖x̂ − x‖² + ‖A x̂ − y‖² is 2λ times ½ ‖x̂ − x‖² + 1/(2λ) ‖A x̂ − y‖²: gamma = 1/λ."""
    operator = LINEAR[name]
    y, x = problem(operator)
    x_hat = consistency.pixel_step(operator, y, x, lam, iterations=200)
    torch.testing.assert_close(x_hat, operator.prox_l2(x, y, gamma=1 / lam), rtol=0, atol=2e-6 / lam)


@pytest.mark.parametrize("name", LINEAR)
def test_the_gradient_vanishes_at_the_pixel_step(name):
    operator, lam = LINEAR[name], 0.05
    y, x = problem(operator)
    x_hat = consistency.pixel_step(operator, y, x, lam, iterations=200).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(operator, y, x_hat, x, lam).sum(), x_hat)
    assert gradient.abs().max() < 1e-4


def test_each_iteration_lowers_the_objective_from_x():
    operator = LINEAR["blur"]
    y, x = problem(operator)
    path = [consistency.pixel_step(operator, y, x, iterations=n) for n in (0, 1, 2, 5, 20)]
    torch.testing.assert_close(path[0], x, rtol=0, atol=0)
    torch.testing.assert_close(path[3], consistency.pixel_step(operator, y, x), rtol=0, atol=0)  # 5 by default
    values = torch.stack([objective(operator, y, x_hat, x, 1e-4) for x_hat in path])
    assert (values.diff(dim=0) < 0).all()


def test_what_already_explains_y_stays():
    operator = LINEAR["sr"]
    x = rand(2, 3, 16, 16)
    torch.testing.assert_close(consistency.pixel_step(operator, operator.A(x), x), x)


def test_where_nothing_was_measured_x_stays():
    operator = LINEAR["inpaint"]
    y, x = problem(operator)
    x_hat = consistency.pixel_step(operator, y, x)
    hidden = (operator.mask == 0).expand_as(x)
    torch.testing.assert_close(x_hat[hidden], x[hidden])
    torch.testing.assert_close(x_hat[~hidden], ((y + 1e-4 * x) / (1 + 1e-4))[~hidden])


# Pixel step, nonlinear


@pytest.mark.parametrize("name", NONLINEAR)
def test_the_nonlinear_step_lowers_its_objective(name):
    operator = NONLINEAR[name]
    y, x = problem(operator)
    x, before = x.clamp(0.05, 0.95), x.clone().clamp(0.05, 0.95)
    path = [consistency.pixel_step_nonlinear(operator, y, x, iterations=n) for n in (0, 5, 50)]
    torch.testing.assert_close(path[0], before, rtol=0, atol=0)
    torch.testing.assert_close(x, before, rtol=0, atol=0)  # not in place
    values = torch.stack([objective(operator, y, x_hat, x, 1e-4) for x_hat in path])
    assert (values[1] < 0.9 * values[0]).all() and (values[2] < 0.3 * values[0]).all()
    torch.testing.assert_close(path[2], consistency.pixel_step_nonlinear(operator, y, x), rtol=0, atol=0)  # 50 by default


@pytest.mark.parametrize("lam", [1e-4, 1.0, 3.0])
def test_the_nonlinear_step_weighs_x_by_lam(lam):
    """With A the identity, which gamma = 1 is on [0, 1], x̂ = (y + λ x) / (1 + λ)."""
    y, x = 0.1 + 0.8 * rand(2, 3, 4, 4), 0.1 + 0.8 * rand(2, 3, 4, 4, seed=1)
    x_hat = consistency.pixel_step_nonlinear(GammaCorrection(1.0), y, x, lam, iterations=100)
    torch.testing.assert_close(x_hat, (y + lam * x) / (1 + lam), rtol=0, atol=1e-6)


def test_the_first_nonlinear_iteration_is_a_gradient_step_of_length_one_onto_the_bounds():
    operator, lam = GammaCorrection(1.0), 1e-4
    y, x = rand(2, 3, 4, 4), rand(2, 3, 4, 4, seed=1)
    moved = consistency.pixel_step_nonlinear(operator, y, x, lam, iterations=1)
    torch.testing.assert_close(moved, (x - operator.gradient(x, y)).clamp(0, 1))


@pytest.mark.parametrize("name", NONLINEAR)
def test_no_nonlinear_iteration_raises_the_objective_or_leaves_the_bounds(name):
    operator = NONLINEAR[name]
    y, x = problem(operator)
    path = [consistency.pixel_step_nonlinear(operator, y, x, iterations=n) for n in range(30)]
    values = torch.stack([objective(operator, y, x_hat, x, 1e-4) for x_hat in path])
    assert (values.diff(dim=0) <= 0).all() and (values[-1] < values[0]).all()
    assert all(0 <= x_hat.min() and x_hat.max() <= 1 for x_hat in path)


def line_search(y, x, lam, exponent, iterations):
    """One sample of projected gradient descent for A(x) = x^exponent, the gradient by hand.  Returns x̂, and which trials it kept."""

    def f(u):
        return 0.5 * (u**exponent - y).square().sum() + 0.5 * lam * (u - x).square().sum()

    u, eta, kept = x.clone(), 1.0, []
    for _ in range(iterations):
        gradient = exponent * u ** (exponent - 1) * (u**exponent - y) + lam * (u - x)
        trial = (u - eta * gradient).clamp(0, 1)
        kept.append(bool(f(trial) <= f(u) + 1e-4 * (gradient * (trial - u)).sum()))
        u, eta = (trial, 1.5 * eta) if kept[-1] else (u, eta / 2)
    return u, kept


def test_the_nonlinear_step_is_a_line_search_written_out():
    """Exponent 4 has slopes up to 4, where a step of length one is too long: some trials are refused, and the gradient stays that of x̂."""
    exponent, lam = 4.0, 0.1
    x = 0.5 + 0.5 * rand(2, 3, 4, 4)
    y = torch.stack([rand(3, 4, 4, seed=1), 0.9 * x[1] ** exponent])
    for iterations in range(1, 9):
        x_hat = consistency.pixel_step_nonlinear(GammaCorrection(exponent), y, x, lam, iterations)
        by_hand, kept = zip(*(line_search(*sample, lam, exponent, iterations) for sample in zip(y, x)))
        torch.testing.assert_close(x_hat, torch.stack(by_hand), rtol=0, atol=1e-9)  # below s = 1e-3 GammaCorrection is straight
    assert kept[0] != kept[1] and all((False, True) in zip(each, each[1:]) for each in kept), kept


class Times:
    """A(x) = factor · x."""

    def __init__(self, factor):
        self.factor = factor

    def A(self, x):
        return self.factor * x


def test_a_step_that_hardly_lowers_the_objective_is_refused():
    """From x, with f″ = a² + λ = 2 − 1e-4, a step of length one lowers f by 1 − f″/2 = 5e-5 of |∇f|²: less than 1e-4 of it."""
    lam, x = 1e-4, torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)
    for short, moves in ((1e-4, False), (4e-4, True)):  # 4e-4: a share of 2e-4
        operator = Times((2 - short - lam) ** 0.5)
        y = operator.A(x) - 0.1
        trial = x - operator.factor * 0.1
        assert (objective(operator, y, trial, x, lam) < objective(operator, y, x, x, lam)).all()
        x_hat = consistency.pixel_step_nonlinear(operator, y, x, lam, iterations=1)
        torch.testing.assert_close(x_hat, trial if moves else x, rtol=0, atol=1e-12)


def test_a_pixel_that_the_operator_would_clip_comes_back():
    """Gamma correction is flat outside [0, 1], so no gradient of it moves a pixel back from there."""
    operator, truth = GammaCorrection(2.2), torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64)
    for outside in (-0.3, 1.4):
        x_hat = consistency.pixel_step_nonlinear(operator, operator.A(truth), torch.full_like(truth, outside))
        torch.testing.assert_close(x_hat, truth, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", [*LINEAR, *NONLINEAR])
def test_the_pixel_step_treats_each_sample_alone(name):
    operator = {**LINEAR, **NONLINEAR}[name]
    y, x = problem(operator, batch=3)
    step = consistency.pixel_step if name in LINEAR else consistency.pixel_step_nonlinear
    torch.testing.assert_close(step(operator, y, x)[1:2], step(operator, y[1:2], x[1:2]))


@pytest.mark.parametrize("name", [*LINEAR, *NONLINEAR])
def test_is_linear_and_image_shape(name):
    operator = {**LINEAR, **NONLINEAR}[name]
    y, _ = problem(operator)
    assert operators.is_linear(operator) == (name in LINEAR)
    assert operators.image_shape(operator, y, (64, 64)) == (16, 16)


def test_deepinv_physics_are_told_apart():
    """deepinv's PhaseRetrieval has an `A_adjoint`, that of the linear map inside it."""
    compressed = deepinv.physics.CompressedSensing(m=300, img_size=(3, 16, 16), rng=torch.Generator().manual_seed(0))
    assert operators.is_linear(deepinv.physics.Inpainting((3, 16, 16), mask=0.5)) and operators.is_linear(compressed)
    assert not operators.is_linear(deepinv.physics.PhaseRetrieval(compressed))
    assert operators.image_shape(compressed, rand(2, 300).float(), (64, 64)) == (16, 16)


def test_deepinv_physics_take_both_steps():
    B = deepinv.physics.CompressedSensing(m=900, img_size=(3, 16, 16), rng=torch.Generator().manual_seed(0))
    phase = deepinv.physics.PhaseRetrieval(B)
    truth, x = rand(2, 3, 16, 16).float(), rand(2, 3, 16, 16, seed=2).float()
    x_hat = consistency.pixel_step(B, B.A(truth), x, lam=0.1, iterations=200)
    torch.testing.assert_close(x_hat, B.prox_l2(x, B.A(truth), gamma=10.0), rtol=1e-3, atol=1e-3)
    x_hat = consistency.pixel_step_nonlinear(phase, phase.A(truth), x)
    assert (objective(phase, phase.A(truth), x_hat, x, 1e-4) < 0.5 * objective(phase, phase.A(truth), x, x, 1e-4)).all()


# Latent step


@pytest.mark.parametrize("alpha_bar", ALPHA_BARS)
def test_the_latent_step_minimises_its_objective(alpha_bar):
    """ζ ‖z − E(x̂)‖² + γ ‖z − ẑ₀‖² with ζ = ᾱ, γ = 1 − ᾱ: the gradient is zero, and the Hessian 2 (ζ + γ) I positive."""
    z_y, z0 = randn(2, 4, 5, 6), randn(2, 4, 5, 6, seed=1)
    z = consistency.latent_step(z_y, z0, scalar(alpha_bar)).requires_grad_()
    value = alpha_bar * (z - z_y).square().sum() + (1 - alpha_bar) * (z - z0).square().sum()
    (gradient,) = torch.autograd.grad(value, z)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_the_text_rules_first_and_the_measurement_last():
    z_y, z0 = randn(2, 4, 5, 6), randn(2, 4, 5, 6, seed=1)
    torch.testing.assert_close(consistency.latent_step(z_y, z0, scalar(0.0)), z0)
    torch.testing.assert_close(consistency.latent_step(z_y, z0, scalar(1.0)), z_y)
    torch.testing.assert_close(consistency.latent_step(z_y, z0, scalar(0.25)), 0.25 * z_y + 0.75 * z0)


# Renewal of noise


def test_the_renewed_noise_keeps_its_variance_at_every_level(prior):
    """(1 − ᾱ)² + ᾱ (1 − ᾱ) = 1 − ᾱ, read off `renoise` by giving it unit vectors."""
    one, zero = scalar(1.0), scalar(0.0)
    for alpha_bar in prior.scheduler.alphas_cumprod.double():
        clean = consistency.renoise(one, zero, zero, alpha_bar)
        old = consistency.renoise(zero, one, zero, alpha_bar)
        new = consistency.renoise(zero, zero, one, alpha_bar)
        torch.testing.assert_close(clean**2, alpha_bar)
        torch.testing.assert_close(old, 1 - alpha_bar)
        torch.testing.assert_close(new, (alpha_bar * (1 - alpha_bar)).sqrt())
        torch.testing.assert_close(old**2 + new**2, 1 - alpha_bar)


@pytest.mark.parametrize("alpha_bar", ALPHA_BARS)
def test_the_renewed_noise_in_samples(alpha_bar):
    """Variance 1 − ᾱ; covariance 1 − ᾱ with the old noise. 10⁶ draws: a deviation of the variance is 0.0014, six are allowed."""
    old, new = randn(10**6), randn(10**6, seed=1)
    z = consistency.renoise(torch.zeros_like(old), old, new, scalar(alpha_bar))
    assert abs(z.var().item() - (1 - alpha_bar)) < 0.009
    assert abs((z * old).mean().item() - (1 - alpha_bar)) < 0.009
    torch.testing.assert_close(consistency.renoise(new, old, new, scalar(1.0)), new)


# Γ


def test_gamma_of_the_paper_has_57_of_200_steps():
    """0, 3, …, 168: the authors count to 170, and 170 / 3 rounds up to 57."""
    chosen = [i for i in range(200) if consistency.is_consistency_step(i, 200)]
    assert chosen == list(range(0, 170, 3)) and len(chosen) == 57 and chosen[-1] == 168


@pytest.mark.parametrize(
    "steps, every, until, since, chosen",
    [
        (10, 3, 0.85, 0.0, [0, 3, 6]),
        (6, 1, 1.0, 0.0, [0, 1, 2, 3, 4, 5]),
        (6, 2, 0.5, 0.0, [0, 2]),
        (6, 1, 0.0, 0.0, []),
        (7, 1, 0.85, 0.0, [0, 1, 2, 3, 4, 5]),
        (1, 3, 0.85, 0.0, [0]),
        (20, 3, 1.0, 0.15, [3, 6, 9, 12, 15, 18]),
        (10, 2, 0.85, 0.25, [4, 6, 8]),
        (6, 1, 1.0, 1.0, []),
    ],
)
def test_gamma_counted_by_hand(steps, every, until, since, chosen):
    assert [i for i in range(steps) if consistency.is_consistency_step(i, steps, every, until, since)] == chosen
