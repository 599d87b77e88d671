"""Data consistency: the two closed steps that pull an estimate towards the measurement.

    pixel step    x̂ = argmin_x ‖y − A(x)‖² + λ ‖x − D(ẑ₀)‖²
    latent step   ẑ = argmin_z ζ ‖z − E(x̂)‖² + γ ‖z − ẑ₀‖²

No gradient passes through a network in either.
"""

import torch

from .operators import conjugate_gradient


def is_linear(operator):
    """Whether the operator has a proximal map in closed form, as ours (`LinearOperator`) and deepinv's (`LinearPhysics`) do.

    `A_adjoint` tells nothing: deepinv's nonlinear `PhaseRetrieval` has one, that of the linear map inside it.
    """
    return hasattr(operator, "prox_l2")


def image_shape(operator, y):
    """(H, W) of the images that the operator measures, read off its back-projection of y."""
    return tuple((operator.A_adjoint(y) if is_linear(operator) else operator.A_dagger(y)).shape[-2:])


def pixel_step(operator, y, x, lam=1e-4, iterations=5):
    """The image that explains y and stays near x, for linear A.

    (AᵀA + λ I) x̂ = Aᵀ y + λ x, by conjugate gradient from x      (Kim et al. 2025, Algorithm 1)

    y: measurement.  x: (B, 3, H, W), usually D(ẑ₀).  lam: λ > 0.  iterations: of conjugate gradient.  Returns (B, 3, H, W).
    """
    return conjugate_gradient(
        lambda v: operator.A_adjoint(operator.A(v)) + lam * v,
        operator.A_adjoint(y) + lam * x,
        x,
        iterations=iterations,
    )


def pixel_step_nonlinear(operator, y, x, lam=1e-4, iterations=50, learning_rate=0.02):
    """The same objective for nonlinear A, by Adam from x.

    ∇ (½ ‖y − A(x̂)‖² + ½ λ ‖x̂ − x‖²) = J_Aᵀ (A(x̂) − y) + λ (x̂ − x)

    learning_rate: the largest change of a pixel in one iteration, in units of the image's range.  Returns (B, 3, H, W).
    """
    x_hat = x.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([x_hat], learning_rate)
    for _ in range(iterations):
        at = x_hat.detach()
        x_hat.grad = operator.A_vjp(at, operator.A(at) - y) + lam * (at - x)
        optimizer.step()
    return x_hat.detach()


def latent_step(z_y, z0, alpha_bar_prev):
    """The latent between what the measurement says and what the text says.

    ẑ = ᾱ_{t−1} E(x̂) + (1 − ᾱ_{t−1}) ẑ₀,  as ζ / (ζ + γ) = ᾱ_{t−1}      (Kim et al. 2025, Algorithm 1)

    The text rules while the noise is high, the measurement as it falls.
    z_y: E(x̂), z0: ẑ₀, both (B, 4, h, w).  alpha_bar_prev: scalar tensor in (0, 1].
    """
    return alpha_bar_prev * z_y + (1 - alpha_bar_prev) * z0


def renoise(z0, noise, fresh_noise, alpha_bar_prev):
    """Down one noise level with part of the noise renewed, so that the next steps can follow a latent that was moved.

    z_{t−1} = √ᾱ_{t−1} ẑ + √(1 − ᾱ_{t−1}) (√(1 − ᾱ_{t−1}) ε̂ + √ᾱ_{t−1} ε),  ε ~ N(0, I)      (Kim et al. 2025, Algorithm 1)

    z0, noise, fresh_noise: (B, 4, h, w).  alpha_bar_prev: scalar tensor in (0, 1].
    """
    mixed = (1 - alpha_bar_prev).sqrt() * noise + alpha_bar_prev.sqrt() * fresh_noise
    return alpha_bar_prev.sqrt() * z0 + (1 - alpha_bar_prev).sqrt() * mixed


def is_consistency_step(index, steps, every=3, until=0.85):
    """Whether step `index` of `steps` is in Γ: every third among the first 85 %  (the authors' code: 170 of 200)."""
    return index % every == 0 and index < until * steps
