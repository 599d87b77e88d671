"""Checks of the exercises in notebook 04."""

from collections.abc import Callable
from typing import Any

import torch

from .base import Attempt, Hints, answered, more, normal, uniform, verdict

__all__ = [
    "HINTS",
    "check_conjugate_gradient",
    "check_guess_weight",
    "check_inpainting_step",
    "check_noise_gain",
    "check_remaining_misfit",
    "check_shown_loss",
    "check_steepest_step",
]

HINTS: Hints = {
    "shown_loss": (
        "The autoencoder loses edges and small detail. Think of what each instrument does to an edge before it is measured.",
        "Super-resolution by 16 averages 256 pixels, and the blur is as wide. Which instrument looks at single pixels?",
        "Errors of single pixels average out in the first two. Inpainting measures each pixel outside the box as it is.",
    ),
    "remaining_misfit": (
        "Look at one direction: a pattern of singular value s. The usual mistake is to give the share that is removed.",
        "In this direction the equation is (s² + λ) x̂ = s y + λ x. Compute y − s x̂ and compare it with y − s x.",
        "y − s x̂ = λ / (s² + λ) · (y − s x). Insert s = 1/16 and λ = 10⁻⁴.",
    ),
    "inpainting_step": (
        "Each pixel has an equation of its own. The usual mistake is to treat hidden pixels like measured ones.",
        "AᵀA is the mask m itself. Write (AᵀA + λ I) u = Aᵀy + λ x for one pixel, once with m = 1 and once with m = 0.",
        "(m + λ) u = m y + λ x, pixel by pixel. Where m = 0 this says u = x.",
    ),
    "steepest_step": (
        "Two things can go wrong: the length of the step, and whose length it is. Each sample of the batch has its own.",
        "Put x + α r into ½⟨x, M x⟩ − ⟨b, x⟩ and differentiate by α. The result is linear in α; set it to zero.",
        "α = ⟨r, r⟩ / ⟨r, M r⟩ with r = b − M x; both sums run over C, H and W (keepdim=True), and the result is x + α r.",
    ),
    "conjugate_gradient": (
        "The first iteration is right, so the start and α are too. What is different from the second iteration on?",
        "The new direction is the new residual plus β times the old direction. As the residuals shrink, should β be above or below 1?",
        "β = ⟨r, r⟩ after the step, divided by ⟨r, r⟩ before it.",
    ),
    "guess_weight": (
        "λ is σ² / τ², and τ is unknown. The misfit of the guess tells it, but it also contains the noise.",
        "The mean square of y − A x₀ is τ² s̄² + σ², with s̄² the mean of the squared singular values. Solve this for τ².",
        "τ² = (misfit² − σ²) / s̄², and λ = σ² / τ². All are squares.",
    ),
    "noise_gain": (
        "Only y carries the noise. The usual mistake is to take the factor of the picture, s² / (s² + λ), for the factor of the noise.",
        "In the direction of s, (s² + λ) x̂ = s y + λ x. By what is y multiplied? For the largest factor, differentiate by s.",
        "The factor is s / (s² + λ). Its derivative is zero at s = √λ; insert this.",
    ),
}


def check_shown_loss(answer: Any) -> None:
    """answer: the instrument of three that shows most of what the autoencoder loses."""
    wrong = {
        "super-resolution ×16": "it averages over 256 pixels, so that errors at edges nearly cancel",
        "Gaussian blur, σ 5": "it averages over a wide neighbourhood, so that errors at edges nearly cancel",
    }
    because = "it measures single pixels, and the table below shows how much that matters"
    answered(answer, "box inpainting", because, wrong, more("shown_loss"))


def check_remaining_misfit(answer: Any) -> None:
    """answer: the share of the misfit that the pixel step leaves in a direction of singular value 1/16, for λ = 10⁻⁴."""
    s, lam = 1 / 16, 1e-4
    wrong = {
        s**2 / (s**2 + lam): "this is the share that is removed; how much is left?",
        lam / (s + lam): "s has to be squared: AᵀA has the eigenvalue s²",
        lam / s: "s has to be squared: AᵀA has the eigenvalue s²",
        lam / s**2: "this is close, but λ is missing in the denominator",
    }
    because = "λ / (s² + λ) = 0.025: the pixel step removes all but a fortieth of the misfit"
    answered(answer, lam / (s**2 + lam), because, wrong, more("remaining_misfit"), tolerance=0.01)


def check_inpainting_step(attempt: Attempt) -> None:
    """attempt(mask, y, x, lam) → argmin_u ‖y − m ∘ u‖² + λ ‖u − x‖².  mask: 0 or 1, y, x: all of one shape.  lam: a number above 0."""
    cases = []
    for i, lam in enumerate([0.5, 1e-4, 3.0]):
        mask = (uniform(2, 3, 4, 4, seed=400 + i) > 0.4).float()
        y, x = mask * uniform(2, 3, 4, 4, seed=410 + i), uniform(2, 3, 4, 4, seed=420 + i)
        cases.append((f"λ = {lam:g}", (mask, y, x, lam), torch.where(mask == 1, (y + lam * x) / (1 + lam), x)))
    mistakes = {
        "This treats hidden pixels as if they had been measured as 0": lambda mask, y, x, lam: (y + lam * x) / (1 + lam),
        "This is the limit λ → 0: measured pixels are copied": lambda mask, y, x, lam: torch.where(mask == 1, y, x),
        "λ is missing before the guess": lambda mask, y, x, lam: (mask * y + x) / (mask + lam),
        "λ stands before the wrong term, the measurement": lambda mask, y, x, lam: (mask * lam * y + x) / (mask * lam + 1),
    }
    verdict(attempt, cases, more("inpainting_step"), tolerance=1e-5, mistakes=mistakes)


def _inner(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)


def _diagonal(i: int, lam: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """A symmetric positive definite matrix, as its product with a vector."""
    weight = 2 * uniform(1, 1, 4, 4, seed=430 + i)
    return lambda u: weight * u + lam * u


def check_steepest_step(attempt: Attempt) -> None:
    """attempt(matvec, b, x) → x + α r, r = b − M x, α = ⟨r, r⟩ / ⟨r, M r⟩, each sample with its own α.  b, x: (B, C, H, W)."""

    def step(matvec: Attempt, b: torch.Tensor, x: torch.Tensor, dims: tuple[int, ...] = (1, 2, 3), sign: int = 1) -> torch.Tensor:
        r = b - matvec(x)
        return x + sign * (r * r).sum(dims, keepdim=True) / (r * matvec(r)).sum(dims, keepdim=True) * r

    cases = []
    for i, lam in enumerate([1.0, 0.01]):
        matvec, b, x = _diagonal(i, lam), normal(3, 2, 4, 4, seed=440 + i), normal(3, 2, 4, 4, seed=450 + i)
        cases.append((f"a diagonal M and {'a batch of 3' if i else 'λ = 1'}", (matvec, b, x), step(matvec, b, x)))
    mistakes = {
        "All samples share one step length; each needs its own": lambda matvec, b, x: step(matvec, b, x, (0, 1, 2, 3)),
        "You go up instead of down: check the sign of r": lambda matvec, b, x: step(matvec, b, x, sign=-1),
        "Your step has length 1; compute α": lambda matvec, b, x: x + b - matvec(x),
        "Each channel has its own step length; the sums run over channels as well": lambda matvec, b, x: step(matvec, b, x, (2, 3)),
    }
    verdict(attempt, cases, more("steepest_step"), 1e-3, mistakes)


def check_conjugate_gradient(attempt: Attempt) -> None:
    """attempt(matvec, b, x, iterations) → x after so many iterations of conjugate gradient, each sample on its own."""

    def walk(matvec: Attempt, b: torch.Tensor, x: torch.Tensor, iterations: int, beta: Callable[[Any, Any], Any]) -> torch.Tensor:
        r = p = b - matvec(x)
        for _ in range(iterations):
            alpha = _inner(r, r) / _inner(p, matvec(p))
            x, before, r = x + alpha * p, _inner(r, r), r - alpha * matvec(p)
            p = r + beta(_inner(r, r), before) * p
        return x

    cases = []
    for i, (lam, iterations) in enumerate([(0.5, 1), (0.5, 2), (0.1, 4)]):
        matvec, b, x = _diagonal(i, lam), normal(2, 2, 4, 4, seed=470 + i), normal(2, 2, 4, 4, seed=480 + i)
        cases.append((f"{iterations} iterations", (matvec, b, x, iterations), walk(matvec, b, x, iterations, lambda new, old: new / old)))
    mistakes = {
        "β is upside down: it multiplies the old direction by more than 1": lambda M, b, x, k: walk(M, b, x, k, lambda new, old: old / new),
        "Without the old direction this is steepest descent": lambda M, b, x, k: walk(M, b, x, k, lambda new, old: 0 * new),
        "The old direction is added whole; it has to be multiplied by β": lambda M, b, x, k: walk(M, b, x, k, lambda new, old: 1 + 0 * new),
        "The sign of β is wrong": lambda M, b, x, k: walk(M, b, x, k, lambda new, old: -new / old),
    }
    verdict(attempt, cases, more("conjugate_gradient"), 1e-3, mistakes)


def check_guess_weight(attempt: Attempt) -> None:
    """attempt(misfit, mean_square, sigma) → λ = σ² / τ² of each picture, where misfit² = τ² · mean_square + σ².  misfit: (B,), above σ."""
    cases = []
    for i, (mean_square, sigma) in enumerate([(0.25, 0.1), (0.004, 0.005), (1.0, 0.02)]):
        misfit = sigma * (1.5 + 9 * uniform(4, seed=490 + i))
        cases.append((f"σ = {sigma:g}", (misfit, mean_square, sigma), sigma**2 * mean_square / (misfit**2 - sigma**2)))
    mistakes = {
        "You took the whole misfit for an error of the guess; part of it is noise": lambda m, s2, sigma: sigma**2 * s2 / m**2,
        "The squares are missing": lambda m, s2, sigma: sigma * s2 / (m - sigma),
        "You returned τ² and not λ": lambda m, s2, sigma: (m**2 - sigma**2) / s2,
        "You forgot the instrument: the error of the guess arrives scaled by s": lambda m, s2, sigma: sigma**2 / (m**2 - sigma**2),
        "The fraction is upside down": lambda m, s2, sigma: (m**2 - sigma**2) / (s2 * sigma**2),
    }
    verdict(attempt, cases, more("guess_weight"), 1e-5, mistakes)


def check_noise_gain(attempt: Attempt) -> None:
    """attempt(s, lam) → (the factor by which noise in a direction of singular value s enters x̂, the largest factor for any s)."""
    cases = []
    for i, lam in enumerate([0.25, 1e-2, 4.0]):
        s = 2 * uniform(6, seed=460 + i)
        cases.append((f"λ = {lam:g}", (s, lam), (s / (s**2 + lam), 0.5 / lam**0.5)))
    mistakes = {
        "This is the pseudo-inverse: λ is missing": lambda s, lam: (1 / s, 0.5 / lam**0.5),
        "The first result is right. The second has to be the value of the factor at its best s": lambda s, lam: (s / (s**2 + lam), 1 / lam),
        "The first result is right. The second is where the maximum lies, not how large it is": lambda s, lam: (s / (s**2 + lam), lam**0.5),
        "This is the factor of the picture; the noise does not pass through A, so one s is too many": lambda s, lam: (
            s**2 / (s**2 + lam),
            1.0,
        ),
        "AᵀA has the eigenvalue s², not s": lambda s, lam: (s / (s + lam), 0.5 / lam**0.5),
    }
    verdict(attempt, cases, more("noise_gain"), mistakes=mistakes)
