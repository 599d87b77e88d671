"""Checks of the exercises in notebook 05."""

import torch

from .base import Attempt, normal, uniform, verdict

__all__ = ["check_decided_by_text", "check_exact_pixel_step", "check_latent_step_of_two_texts", "check_treg_step"]


def check_exact_pixel_step(attempt: Attempt) -> None:
    """attempt(A, y, x, lam) → argmin_u ‖y − A u‖² + λ ‖u − x‖².  A: (m, n).  y: (m,).  x: (n,).  lam: a number above 0."""
    cases = []
    for i, (case, m, n, lam) in enumerate([("fewer measurements than unknowns", 3, 7, 0.1), ("as many", 4, 4, 2.0), ("more", 6, 3, 0.01)]):
        A, y, x = normal(m, n, seed=50 + i), normal(m, seed=60 + i), normal(n, seed=70 + i)
        stacked = torch.cat([A, lam**0.5 * torch.eye(n)]), torch.cat([y, lam**0.5 * x])
        cases.append((f"{case}, λ = {lam}", (A, y, x, lam), torch.linalg.lstsq(*stacked).solution))
    verdict(attempt, cases, "set the gradient to zero: (AᵀA + λI) u = Aᵀy + λx, a linear system for u", tolerance=1e-3)


def check_latent_step_of_two_texts(attempt: Attempt) -> None:
    """attempt(z_y, z_1, z_2, zeta, gamma_1, gamma_2) → argmin_z ζ‖z − z_y‖² + γ₁‖z − z_1‖² + γ₂‖z − z_2‖²."""
    cases = []
    for i, weights in enumerate([(1.0, 1.0, 1.0), (0.5, 2.0, 1.5), (3.0, 1.0, 0.0)]):
        latents = [normal(2, 4, 3, 3, seed=80 + 3 * i + k) for k in range(3)]
        expected = sum(w * z for w, z in zip(weights, latents)) / sum(weights)
        cases.append((f"ζ, γ₁, γ₂ = {weights}", (*latents, *weights), expected))
    verdict(
        attempt,
        cases,
        "the gradient is a weighted sum of three differences; where it vanishes, z is a weighted mean, and its weights sum to 1",
    )


def check_treg_step(attempt: Attempt) -> None:
    """attempt(z_t, noise, fresh, alpha_bar, alpha_bar_prev, correct) → z_{t−1} of a consistency step, where correct(ẑ₀) is E(x̂)."""

    def correct(z0: torch.Tensor) -> torch.Tensor:
        return 0.5 * z0 + 1

    cases = []
    for i, levels in enumerate([(0.05, 0.2), (0.5, 0.9), (0.9, 1.0)]):
        z_t, noise, fresh = (normal(2, 4, 3, 3, seed=100 + 3 * i + k) for k in range(3))
        a, b = map(torch.tensor, levels)
        z0 = (z_t - (1 - a).sqrt() * noise) / a.sqrt()
        z = b * correct(z0) + (1 - b) * z0
        expected = b.sqrt() * z + (1 - b).sqrt() * ((1 - b).sqrt() * noise + b.sqrt() * fresh)
        cases.append((f"ᾱ_t = {a:.2f}, ᾱ_(t−1) = {b:.2f}", (z_t, noise, fresh, a, b, correct), expected))
    verdict(attempt, cases, "Tweedie at ᾱ_t; then correct ẑ₀, mix the two and renew the noise, all three with ᾱ_(t−1)", tolerance=1e-3)


def check_decided_by_text(attempt: Attempt) -> None:
    """attempt(x_hats) → the share of the pixel variance that lies between texts.  x_hats: (K, S, 3, H, W), K texts, S seeds."""

    def share(x_hats: torch.Tensor) -> float:
        everything, own = x_hats.mean((0, 1)), x_hats.mean(1)
        return float((own - everything).square().mean() / (x_hats - everything).square().mean())

    cases = [
        ("texts that decide all", uniform(3, 1, 3, 4, 4, seed=90).expand(3, 5, 3, 4, 4)),
        ("texts that decide nothing", uniform(1, 5, 3, 4, 4, seed=91).expand(3, 5, 3, 4, 4)),
        ("2 texts, 3 seeds", uniform(2, 3, 3, 4, 4, seed=92)),
        ("4 texts, 2 seeds", uniform(4, 2, 3, 4, 4, seed=93) + uniform(4, 1, 3, 4, 4, seed=94)),
    ]
    hint = "how far the mean of each text lies from the mean of all, squared and averaged, over the same for all pictures; both divide by N"
    verdict(attempt, [(case, (x_hats,), share(x_hats)) for case, x_hats in cases], hint)
