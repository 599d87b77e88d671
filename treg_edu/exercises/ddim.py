"""Checks of the exercises in notebook 03."""

from collections.abc import Callable

import torch

from .base import Attempt, normal, verdict

__all__ = ["check_from_v", "check_gaussian_noise", "check_renoise", "check_rescaled_score"]


def check_gaussian_noise(attempt: Attempt) -> None:
    """attempt(z_t, alpha_bar, mean, deviation) → E[ε | z_t] for z₀ ~ N(mean, deviation²), the shape of z_t."""

    def noise(z_t: torch.Tensor, alpha_bar: torch.Tensor, mean: float, deviation: float) -> torch.Tensor:
        return (1 - alpha_bar).sqrt() * (z_t - alpha_bar.sqrt() * mean) / (alpha_bar * deviation**2 + 1 - alpha_bar)

    cases = [
        (f"ᾱ = {a}, mean {mean}, deviation {deviation}", (normal(2, 4, 3, 3, seed=i), torch.tensor(a), mean, deviation))
        for i, (a, mean, deviation) in enumerate([(0.6, 0.0, 1.0), (0.6, 2.0, 1.0), (0.3, -1.0, 0.5)])
    ]
    hint = "z_t is Gaussian: write its mean and variance, take the score, and multiply by −√(1 − ᾱ)"
    verdict(attempt, [(case, arguments, noise(*arguments)) for case, arguments in cases], hint)


def check_rescaled_score(attempt: Attempt) -> None:
    """attempt(score_of_x, z_t, alpha_bar) → the score of z_t = √ᾱ x, where score_of_x(x, sigma) is that of x = z₀ + σ ε."""

    def gaussian(mean: float, deviation: float) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        return lambda x, sigma: (mean - x) / (deviation**2 + sigma**2)

    z_t, cases = normal(2, 4, 3, 3, seed=10), []
    for a, mean, deviation in [(0.7, 0.0, 1.0), (0.2, 3.0, 0.5)]:
        alpha_bar = torch.tensor(a)
        expected = (alpha_bar.sqrt() * mean - z_t) / (alpha_bar * deviation**2 + 1 - alpha_bar)
        arguments = (gaussian(mean, deviation), z_t, alpha_bar)
        cases.append((f"ᾱ = {a} and z₀ ~ N({mean:g}, {deviation:g}²)", arguments, expected))
    hint = "three things change with the scale: the point, the level σ = √((1 − ᾱ) / ᾱ), and the slope, by the chain rule"
    verdict(attempt, cases, hint)


def check_from_v(attempt: Attempt) -> None:
    """attempt(z_t, v, alpha_bar) → (ẑ₀, ε̂) where v = √ᾱ ε̂ − √(1 − ᾱ) ẑ₀."""
    cases = []
    for i, a in enumerate([0.9, 0.2]):
        alpha_bar, z0, noise = torch.tensor(a), normal(2, 4, 3, 3, seed=20 + i), normal(2, 4, 3, 3, seed=30 + i)
        z_t = alpha_bar.sqrt() * z0 + (1 - alpha_bar).sqrt() * noise
        v = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * z0
        cases.append((f"ᾱ = {a}", (z_t, v, alpha_bar), (z0, noise)))
    verdict(attempt, cases, "z_t and v are two equations for the two unknowns; the matrix is a rotation, so its inverse is its transpose")


def check_renoise(attempt: Attempt) -> None:
    """attempt(z0, noise, fresh, alpha_bar, s) → √ᾱ ẑ₀ + √(1 − ᾱ − s²) ε̂ + s n, with n = fresh."""
    z0, noise, fresh = (normal(2, 4, 3, 3, seed=40 + i) for i in range(3))
    cases = []
    for level, deviation in [(0.8, 0.0), (0.8, 0.3), (0.3, 0.8)]:
        alpha_bar, s = torch.tensor(level), torch.tensor(deviation)
        expected = alpha_bar.sqrt() * z0 + (1 - alpha_bar - s**2).sqrt() * noise + s * fresh
        cases.append((f"ᾱ = {level} and s = {deviation:.1f}", (z0, noise, fresh, alpha_bar, s), expected))
    verdict(attempt, cases, "the variances of the two noises, not their deviations, must add up to 1 − ᾱ")
