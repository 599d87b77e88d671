"""Checks of the exercises in notebook 08."""

import torch

from .base import Attempt, normal, verdict

__all__ = ["check_clean_estimate", "check_gluing", "check_norm_gradient", "check_through_the_network", "check_without_a_gradient"]


def check_norm_gradient(attempt: Attempt) -> None:
    """attempt(A, y, x) → ∇ₓ ‖y − A x‖ of each sample.  A: (m, n).  y: (B, m).  x: (B, n).  Returns (B, n)."""
    cases = []
    for i, (case, batch, m, n) in enumerate([("one sample", 1, 3, 5), ("three samples", 3, 4, 4), ("more measured than unknown", 2, 6, 3)]):
        A, y, x = normal(m, n, seed=200 + i), normal(batch, m, seed=210 + i), normal(batch, n, seed=220 + i)
        x[0] *= 10  # so that a norm over the batch is not that of each sample
        off = x @ A.T - y
        cases.append((case, (A, y, x), off @ A / off.norm(dim=1, keepdim=True)))
    hint = "‖r‖ = √(rᵀr) with r = A x − y: the chain rule gives Aᵀ r over the norm, and each sample has its own norm"
    verdict(attempt, cases, hint)


def check_through_the_network(attempt: Attempt) -> None:
    """attempt(z_t, y, alpha_bar, variance) → ∇_{z_t} ‖y − ẑ₀(z_t)‖ for the prior N(0, variance · I) and A = I.  z_t, y: (n,)."""
    cases = []
    for i, (alpha_bar, variance) in enumerate([(0.9, 0.25), (0.5, 1.0), (0.1, 4.0)]):
        z_t, y = normal(6, seed=230 + i), normal(6, seed=240 + i)
        slope = alpha_bar**0.5 * variance / (alpha_bar * variance + 1 - alpha_bar)
        off = slope * z_t - y
        arguments = z_t, y, torch.tensor(alpha_bar), variance
        cases.append((f"ᾱ = {alpha_bar}, variance {variance}", arguments, slope * off / off.norm()))
    hint = "ẑ₀ = E[z₀ | z_t] is linear in z_t here: find its slope, which is the Jacobian; the gradient is slope · (ẑ₀ − y) / ‖ẑ₀ − y‖"
    verdict(attempt, cases, hint)


def check_gluing(attempt: Attempt) -> None:
    """attempt(A, y, x) → ‖A†y + (I − A†A) x − x‖, PSLD's gluing term with D = E = I.  A: (m, n).  y: (m,).  x: (n,).  A number."""
    cases = []
    for i, (case, m, n) in enumerate([("a wide A", 3, 6), ("a square A", 4, 4), ("a tall A", 6, 3)]):
        A, x = normal(m, n, seed=250 + i), normal(n, seed=260 + i)
        y = normal(m, seed=270 + i)
        cases.append((case, (A, y, x), (torch.linalg.pinv(A) @ (y - A @ x)).norm()))
    A, x = normal(3, 6, seed=280), normal(6, seed=281)
    cases.append(("x that explains y", (A, A @ x, x), torch.tensor(0.0)))
    hint = "what was measured, A†y, replaces what x says about it, A†A x; A† is torch.linalg.pinv(A)"
    verdict(attempt, cases, hint, tolerance=1e-3)


def check_clean_estimate(attempt: Attempt) -> None:
    """attempt(z_t, noise, alpha_bar) → ẑ₀, the published line mended.  z_t, noise: (B, 4, h, w).  alpha_bar: a scalar tensor."""
    cases = []
    for i, level in enumerate([0.05, 0.5, 0.95]):
        z0, noise, a = normal(2, 4, 3, 3, seed=290 + i), normal(2, 4, 3, 3, seed=300 + i), torch.tensor(level)
        cases.append((f"ᾱ = {level}", (a.sqrt() * z0 + (1 - a).sqrt() * noise, noise, a), z0))
    hint = "with the true noise the estimate has to be z₀: solve z_t = √ᾱ z₀ + √(1 − ᾱ) ε for z₀, and look at the power of (1 − ᾱ)"
    verdict(attempt, cases, hint, tolerance=1e-3)


def check_without_a_gradient(attempt: Attempt) -> None:
    """attempt(A, y, x, r2, sigma) → ΠGDM's r² Aᵀ (r² A Aᵀ + σ² I)⁻¹ (y − A x).  A: (m, n).  y: (m,).  x: (n,).  Returns (n,)."""
    cases = []
    for i, (m, n, r2, sigma) in enumerate([(3, 6, 0.5, 0.1), (4, 4, 0.1, 0.5), (6, 3, 1.0, 0.2)]):
        A, x, y = normal(m, n, seed=310 + i), normal(n, seed=320 + i), normal(m, seed=330 + i)
        near = torch.linalg.solve(A.T @ A / sigma**2 + torch.eye(n) / r2, A.T @ y / sigma**2 + x / r2)
        cases.append((f"{m} measurements of {n} numbers, r² = {r2}, σ = {sigma}", (A, y, x, r2, sigma), near - x))
    hint = "it is x̂ − x for the pixel step x̂ = argmin ‖y − A x̂‖² + λ ‖x̂ − x‖² with λ = σ² / r²"
    verdict(attempt, cases, hint, tolerance=1e-3)
