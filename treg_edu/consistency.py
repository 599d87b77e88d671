"""Data consistency: the two closed steps that pull an estimate towards the measurement.

    pixel step    x̂ = argmin_x ‖y − A(x)‖² + λ ‖x − D(ẑ₀)‖²
    latent step   ẑ = argmin_z ζ ‖z − E(x̂)‖² + γ ‖z − ẑ₀‖²

No gradient passes through a network in either.
"""

from typing import Any

import torch

from . import checks
from .operators import conjugate_gradient, inner, vjp
from .priors import DiffusionPrior

__all__ = ["ENOUGH", "is_consistency_step", "latent_correction", "latent_step", "pixel_step", "pixel_step_nonlinear", "renoise"]

ENOUGH = 1e-4
"""A step must lower the objective by this share of what its slope promises (Nocedal & Wright 2006, §3.1)."""


def pixel_step(operator: Any, y: torch.Tensor, x: torch.Tensor, lam: float = 1e-4, iterations: int = 5) -> torch.Tensor:
    """The image that explains y and stays near x, for linear A.

    (AᵀA + λ I) x̂ = Aᵀ y + λ x, by conjugate gradient from x      (Kim et al. 2025, Algorithm 1)

    y: measurement.  x: (B, 3, H, W), usually D(ẑ₀).  lam: λ ≥ 0.  iterations: of conjugate gradient.  Returns (B, 3, H, W).
    """
    lam = checks.number("lam", lam, least=0)
    return conjugate_gradient(
        lambda v: operator.A_adjoint(operator.A(v)) + lam * v,
        operator.A_adjoint(y) + lam * x,
        x,
        iterations=iterations,
    )


def pixel_step_nonlinear(
    operator: Any,
    y: torch.Tensor,
    x: torch.Tensor,
    lam: float = 1e-4,
    iterations: int = 50,
    start: torch.Tensor | None = None,
) -> torch.Tensor:
    """The same objective for nonlinear A, over images in [0, 1], by projected gradient descent from `start`, or x, with a line search.

    f(x̂) = ½ ‖y − A(x̂)‖² + ½ λ ‖x̂ − x‖²,   ∇f = J_Aᵀ (A(x̂) − y) + λ (x̂ − x)      (the objective: Kim et al. 2025)
    x̂ ← clip(x̂ − η ∇f, 0, 1) where that lowers f enough, η growing by half; otherwise x̂ stays and η is halved
                                                            (Armijo's rule on the projection arc, Bertsekas 1976)

    Without the bounds a pixel that leaves [0, 1] would be lost to an operator that clips, as gamma correction does.
    Each iteration takes one A and one J(x)ᵀv, which by autograd runs A once more; each sample has its own η.  Returns (B, 3, H, W).
    """

    lam = checks.number("lam", lam, least=0)

    def objective(x_hat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        off, away = operator.A(x_hat) - y, x_hat - x
        value = inner(off, off).view(-1, 1, 1, 1) + lam * inner(away, away)
        return value / 2, vjp(operator, x_hat, off) + lam * away

    x_hat = (x if start is None else start).clamp(0, 1)
    value, gradient = objective(x_hat)
    eta = torch.ones_like(value)
    for _ in range(checks.integer("iterations", iterations, 0)):
        trial = (x_hat - eta * gradient).clamp(0, 1)
        trial_value, trial_gradient = objective(trial)
        lower = trial_value <= value + ENOUGH * inner(gradient, trial - x_hat)
        x_hat, gradient = torch.where(lower, trial, x_hat), torch.where(lower, trial_gradient, gradient)
        value, eta = torch.where(lower, trial_value, value), torch.where(lower, 1.5 * eta, eta / 2)
    return x_hat


def latent_step(z_y: torch.Tensor, z0: torch.Tensor, alpha_bar_prev: torch.Tensor) -> torch.Tensor:
    """The latent between what the measurement says and what the text says.

    ẑ = ᾱ_{t−1} E(x̂) + (1 − ᾱ_{t−1}) ẑ₀,  as ζ / (ζ + γ) = ᾱ_{t−1}      (Kim et al. 2025, Algorithm 1)

    The text rules while the noise is high, the measurement as it falls.
    z_y: E(x̂), z0: ẑ₀, both (B, 4, h, w).  alpha_bar_prev: scalar tensor in (0, 1].
    """
    return alpha_bar_prev * z_y + (1 - alpha_bar_prev) * z0


def latent_correction(prior: DiffusionPrior, z: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """The latent moved by what the pixel step changed, and not by what the encoder loses.

    ẑ ← ẑ + E(x̂) − E(D(ẑ))

    E(D(ẑ)) is not quite ẑ; the difference is the same in both terms and cancels.  z: (B, 4, h, w).  x_hat: x̂, (B, 3, H, W).
    """
    return z + prior.encode(x_hat) - prior.encode(prior.decode(z))


def renoise(z0: torch.Tensor, noise: torch.Tensor, fresh_noise: torch.Tensor, alpha_bar_prev: torch.Tensor) -> torch.Tensor:
    """Down one noise level with part of the noise renewed, so that the next steps can follow a latent that was moved.

    z_{t−1} = √ᾱ_{t−1} ẑ + √(1 − ᾱ_{t−1}) (√(1 − ᾱ_{t−1}) ε̂ + √ᾱ_{t−1} ε),  ε ~ N(0, I)      (Kim et al. 2025, Algorithm 1)

    z0, noise, fresh_noise: (B, 4, h, w).  alpha_bar_prev: scalar tensor in (0, 1].
    """
    mixed = (1 - alpha_bar_prev).sqrt() * noise + alpha_bar_prev.sqrt() * fresh_noise
    return alpha_bar_prev.sqrt() * z0 + (1 - alpha_bar_prev).sqrt() * mixed


def is_consistency_step(index: int, steps: int, every: int = 3, until: float = 0.85, since: float = 0.0) -> bool:
    """Whether step `index` of `steps` is in Γ: every third among the first 85 %  (Kim et al. 2025; their code: 170 of 200).

    since: the share of the steps that passes before, 0.15 for the last 85 %.
    """
    index, steps, every = checks.integer("index", index, 0), checks.integer("steps", steps), checks.integer("every", every)
    until = checks.number("until", until, least=0)
    since = checks.number("since", since, least=0)
    return index % every == 0 and since * steps <= index < until * steps
