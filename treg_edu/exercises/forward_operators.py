"""Checks of the exercises in notebook 01."""

import torch

from .base import Attempt, Hints, normal, uniform, verdict

__all__ = ["HINTS", "check_block_mean_adjoint", "check_gamma_gradient", "check_least_squares_near", "check_split"]

HINTS: Hints = {}


def check_block_mean_adjoint(attempt: Attempt) -> None:
    """attempt(y, f) → Aᵀy, (B, C, f H, f W), where A takes the means of f×f blocks and y is (B, C, H, W)."""
    cases = []
    for i, (f, shape) in enumerate([(2, (1, 3, 4, 4)), (3, (2, 1, 2, 5)), (1, (1, 2, 3, 3))]):
        y = normal(*shape, seed=100 + i)
        cases.append((f"f = {f} and y of shape {shape}", (y, f), y.repeat_interleave(f, -1).repeat_interleave(f, -2) / f**2))
    hint = "what stands in row i, column j of the matrix of A? Its transpose spreads each number of y over a block with the same weights"
    verdict(attempt, cases, hint)


def check_split(attempt: Attempt) -> None:
    """attempt(M, x) → (seen, unseen), both (n,): x = seen + unseen, M unseen = 0, seen ⟂ unseen.  M: (m, n).  x: (n,)."""
    cases = []
    for i, (what, M) in enumerate(
        [
            ("a 3×6 matrix", normal(3, 6, seed=110)),
            ("a 6×6 matrix of rank 2", normal(6, 2, seed=111) @ normal(2, 6, seed=112)),
            ("an invertible matrix", torch.eye(4) + 0.1 * normal(4, 4, seed=113)),
        ]
    ):
        x = normal(M.shape[1], seed=114 + i)
        seen = (torch.linalg.pinv(M.double(), rtol=1e-4) @ M.double() @ x.double()).float()
        cases.append((what, (M, x), (seen, x - seen)))
    hint = "seen is A†A x: a projection, so doing it twice changes nothing; singular values below 1e-4 of the largest count as zero"
    verdict(attempt, cases, hint, tolerance=1e-3)


def check_least_squares_near(attempt: Attempt) -> None:
    """attempt(M, y, lam, z) → argmin_x ‖M x − y‖² + λ ‖x − z‖², (n,).  M: (m, n).  y: (m,).  z: (n,)."""
    cases = []
    for i, (m, n, lam) in enumerate([(6, 4, 1.0), (3, 5, 0.1), (3, 5, 10.0)]):
        M, y, z = normal(m, n, seed=120 + i), normal(m, seed=130 + i), normal(n, seed=140 + i)
        x = torch.linalg.solve(M.T @ M + lam * torch.eye(n), M.T @ y + lam * z)
        cases.append((f"M of shape {(m, n)} and λ = {lam:g}", (M, y, lam, z), x))
    verdict(attempt, cases, "set the gradient of the objective, 2 Mᵀ(M x − y) + 2 λ (x − z), to zero and solve for x", tolerance=1e-3)


def check_gamma_gradient(attempt: Attempt) -> None:
    """attempt(x, y, exponent) → ∇ₓ ½‖x^γ − y‖², γ the exponent; the shape of x."""
    cases = []
    for i, exponent in enumerate([2.2, 0.45, 1.0]):
        x, y = 0.1 + 0.8 * uniform(2, 3, 4, 4, seed=150 + i), uniform(2, 3, 4, 4, seed=160 + i)
        cases.append((f"γ = {exponent}", (x, y, exponent), exponent * x ** (exponent - 1) * (x**exponent - y)))
    verdict(attempt, cases, "the chain rule: the difference A(x) − y, times the slope of the curve at x, pixel by pixel")
