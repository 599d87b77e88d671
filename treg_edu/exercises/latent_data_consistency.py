"""Checks of the exercises in notebook 04."""

import torch

from .base import Attempt, normal, uniform, verdict

__all__ = ["check_inpainting_step", "check_noise_gain", "check_steepest_step"]


def check_inpainting_step(attempt: Attempt) -> None:
    """attempt(mask, y, x, lam) → argmin_u ‖y − m ∘ u‖² + λ ‖u − x‖².  mask: 0 or 1, y, x: all of one shape.  lam: a number above 0."""
    cases = []
    for i, lam in enumerate([1e-4, 0.5, 3.0]):
        mask = (uniform(2, 3, 4, 4, seed=400 + i) > 0.4).float()
        y, x = mask * uniform(2, 3, 4, 4, seed=410 + i), uniform(2, 3, 4, 4, seed=420 + i)
        cases.append((f"λ = {lam:g}", (mask, y, x, lam), torch.where(mask == 1, (y + lam * x) / (1 + lam), x)))
    verdict(attempt, cases, "AᵀA is the mask, so each pixel has its own equation, (m + λ) u = m y + λ x", tolerance=1e-5)


def check_steepest_step(attempt: Attempt) -> None:
    """attempt(matvec, b, x) → x + α r, r = b − M x, α = ⟨r, r⟩ / ⟨r, M r⟩, each sample with its own α.  b, x: (B, C, H, W)."""
    cases = []
    for i, lam in enumerate([1.0, 0.01]):
        weight, b, x = 2 * uniform(1, 1, 4, 4, seed=430 + i), normal(3, 2, 4, 4, seed=440 + i), normal(3, 2, 4, 4, seed=450 + i)

        def matvec(u: torch.Tensor, weight: torch.Tensor = weight, lam: float = lam) -> torch.Tensor:
            return weight * u + lam * u

        r = b - matvec(x)
        alpha = (r * r).sum((1, 2, 3), keepdim=True) / (r * matvec(r)).sum((1, 2, 3), keepdim=True)
        cases.append((f"a diagonal M and {'a batch of 3' if i else 'λ = 1'}", (matvec, b, x), x + alpha * r))
    verdict(
        attempt, cases, "the step along the residual that ends where the slope along it is zero; the sums run over each sample alone", 1e-3
    )


def check_noise_gain(attempt: Attempt) -> None:
    """attempt(s, lam) → (the factor by which noise in a direction of singular value s enters x̂, the largest factor for any s)."""
    cases = []
    for i, lam in enumerate([0.25, 1e-2, 4.0]):
        s = 2 * uniform(6, seed=460 + i)
        cases.append((f"λ = {lam:g}", (s, lam), (s / (s**2 + lam), 0.5 / lam**0.5)))
    verdict(
        attempt,
        cases,
        "in the basis of the singular vectors (s² + λ) x̂ = s y + λ x; y carries the noise. Then set the derivative by s to zero",
    )
