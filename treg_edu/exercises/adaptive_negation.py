"""Checks of the exercises in notebook 06."""

import torch

from .base import Attempt, normal, verdict

__all__ = ["check_adam", "check_negation_loss", "check_pull_back", "check_shortest_move"]


def check_negation_loss(attempt: Attempt) -> None:
    """attempt(feature, null) → (sim (B,), its gradient by null (B, L, d)).  feature: (B, d).  null: (B, L, d)."""
    cases = []
    for i, (B, L, d) in enumerate([(1, 4, 6), (3, 2, 5), (2, 1, 3)]):
        feature, null = 3 * normal(B, d, seed=600 + i), normal(B, L, d, seed=610 + i)
        unit = feature / feature.norm(dim=1, keepdim=True)
        expected = (null * unit[:, None]).sum((1, 2)) / L, (unit[:, None] / L).repeat(1, L, 1)
        cases.append((f"B, L, d = {B, L, d}", (feature, null), expected))
    hint = "the feature is divided by its length, c_∅ is not; each of the L tokens has its share 1/L of the mean, and of the gradient"
    verdict(attempt, cases, hint)


def check_adam(attempt: Attempt) -> None:
    """attempt(gradient, c, rate, iterations) → c after Adam with β = (0.9, 0.999) and ε = 1e-8, where gradient(c) has the shape of c."""
    direction = normal(2, 3, 4, seed=620) + 0.1
    centre = normal(2, 3, 4, seed=621)
    cases = []
    for case, gradient, rate, iterations in [
        ("a gradient that never changes, 1 iteration", lambda c: direction, 1e-2, 1),
        ("a gradient that never changes, 10 iterations", lambda c: direction, 1e-2, 10),
        ("a parabola, 20 iterations", lambda c: 2 * (c - centre), 0.1, 20),
    ]:
        start = normal(2, 3, 4, seed=622)
        c = start.clone()
        optimizer = torch.optim.Adam([c], rate)
        for _ in range(iterations):
            c.grad = gradient(c)
            optimizer.step()
        cases.append((case, (gradient, start, rate, iterations), c))
    hint = "m and v start at 0, so in iteration k they are divided by 1 − β₁ᵏ and 1 − β₂ᵏ, k from 1; the root is of the corrected v"
    verdict(attempt, cases, hint, tolerance=1e-3)


def check_pull_back(attempt: Attempt) -> None:
    """attempt(feature, P) → g (B, d) with ⟨g, c⟩ = ⟨f/‖f‖, P c⟩ for every c in R^d.  feature: (B, p).  P: (p, d)."""
    cases = []
    for i, (B, p, d) in enumerate([(1, 3, 5), (3, 6, 4), (2, 4, 4)]):
        feature, P = 2 * normal(B, p, seed=630 + i), normal(p, d, seed=640 + i)
        cases.append((f"B, p, d = {B, p, d}", (feature, P), torch.einsum("bp,pd->bd", feature / feature.norm(dim=1, keepdim=True), P)))
    verdict(
        attempt, cases, "⟨f, P c⟩ = ⟨Pᵀ f, c⟩; the length is taken of f, before the matrix, and the rows of a batch stand on the left of P"
    )


def check_shortest_move(attempt: Attempt) -> None:
    """attempt(null, feature, drop) → the c_∅ nearest to null, in ‖·‖ over all numbers, whose sim is lower by drop.  null: (B, L, d)."""
    cases = []
    for i, (B, L, d, drop) in enumerate([(1, 4, 6, 0.5), (3, 2, 5, 0.1), (2, 3, 4, 1.0)]):
        feature, null = 2 * normal(B, d, seed=650 + i), normal(B, L, d, seed=660 + i)
        unit = feature / feature.norm(dim=1, keepdim=True)
        cases.append((f"L = {L} and a drop of {drop}", (null, feature, drop), null - drop * unit[:, None]))
    hint = "go against the gradient itself, not its sign: every token by the same vector; choose its length so that the mean falls by drop"
    verdict(attempt, cases, hint)
