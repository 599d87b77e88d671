"""Checks of the exercises in notebook 01."""

from typing import Any

import torch

from ..operators import GaussianBlur
from .base import Attempt, Hints, answered, more, normal, uniform, verdict

__all__ = [
    "HINTS",
    "check_best_cut",
    "check_colour_mosaic",
    "check_descent",
    "check_discrepancy_weight",
    "check_gamma_gradient",
    "check_least_squares_near",
    "check_split",
    "check_weight_of_a_prior",
]

HINTS: Hints = {
    "colour_mosaic": (
        "A keeps one colour of each pixel: (B, 3, H, W) becomes (B, 1, H, W). The usual mistake is to keep all three, or to average.",
        "mask has a 1 where a colour is measured. Multiply x by it; in each pixel only one channel is left, so that their sum is it.",
        "A(x) is mask · x, summed over channels. Aᵀ sends y[i, j] back to the one entry of x that it came from: mask · y.",
    ),
    "split": (
        "seen + unseen must be x. The usual mistake is to take Mᵀ M x for what is seen: the adjoint is not an inverse.",
        "What is seen is A†A x, a projection: doing it twice changes nothing. torch.linalg.pinv has an argument rtol.",
        "seen = pinv(M, rtol=1e-4) @ M @ x, and unseen = x − seen; return them in this order.",
    ),
    "best_cut": (
        "Two errors add up: detail left out, and noise let in. With few patterns the first is large, with all of them the second.",
        "A pattern does harm when the noise on it is larger than the pattern: noise σ / s_i against its size in the picture.",
        "With σ = 0.005 and patterns of size about 0.1, the turning point is near s_i = 0.03 to 0.05. Where is that in the figure above?",
    ),
    "least_squares_near": (
        "The objective is quadratic: its minimum is where the gradient is zero. The usual mistake is to forget c on the right.",
        "The gradient is 2 Mᵀ(M x − y) + 2 λ (x − c). Collect the terms with x on the left.",
        "(Mᵀ M + λ I) x = Mᵀ y + λ c; torch.linalg.solve does the rest, and torch.eye(n) is I.",
    ),
    "weight_of_a_prior": (
        "λ compares two variances, not two standard deviations. The usual mistake is to forget a square, or to turn the fraction over.",
        "Minimise ‖A x − y‖² / (2σ²) + ‖x − c‖² / (2τ²). Multiply by 2σ²: which factor stands before ‖x − c‖²?",
        "λ = σ² / τ² with σ = 0.005 and τ = 0.25.",
    ),
    "discrepancy_weight": (
        "Misfits rise with λ. The usual mistake is to take the weight of least misfit: it is the smallest one, and it fits the noise.",
        "Keep the weights whose misfit is at most σ. Of these, which one relies most on the prior?",
        "The largest weight with misfit ≤ σ; where there is none, the smallest weight.",
    ),
    "descent": (
        "The result fits y, but it is too dark. Which term of the gradient knows about c?",
        "Write down the objective ½‖A x − y‖² + (λ/2)‖x − c‖² and take the gradient of its second term.",
        "The second term of the gradient is λ (x − c), not λ x.",
    ),
    "gamma_gradient": (
        "The operator acts on each pixel alone, so no transpose of a matrix is needed. The usual mistake is to leave out the slope.",
        "The chain rule: the derivative of ½ (a(x) − y)² is (a(x) − y) times the derivative of a(x) = x^q.",
        "q x^(q − 1) (x^q − y), pixel by pixel.",
    ),
}


def check_colour_mosaic(attempt: Attempt) -> None:
    """attempt() → an operator whose A keeps red, green, green, blue of each 2×2 pixels, (B, 3, H, W) → (B, 1, H, W), and its A_adjoint."""

    def both(x: torch.Tensor, y: torch.Tensor) -> Any:
        operator = attempt()
        if operator is ... or operator is None:
            return operator
        there, back = operator.A(x), operator.A_adjoint(y)
        return ... if there is ... or back is ... else (there, back)

    cases = []
    for i, (B, H, W) in enumerate([(1, 4, 4), (2, 6, 8)]):
        x, y = uniform(B, 3, H, W, seed=100 + i), normal(B, 1, H, W, seed=105 + i)
        mask = torch.zeros(3, H, W)
        mask[0, ::2, ::2] = mask[1, ::2, 1::2] = mask[1, 1::2, ::2] = mask[2, 1::2, 1::2] = 1
        cases.append((f"pictures of {H}×{W}", (x, y), ((mask * x).sum(1, keepdim=True), mask * y)))

    def mosaic(x: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(x.shape[1:])
        mask[0, ::2, ::2] = mask[1, ::2, 1::2] = mask[1, 1::2, ::2] = mask[2, 1::2, 1::2] = 1
        return mask

    mistakes = {
        "A is right. Your adjoint gives every channel the measured number; only the measured colour may get it": lambda x, y: (
            (mosaic(x) * x).sum(1, keepdim=True),
            y.expand(-1, 3, -1, -1),
        ),
        "A is right. Your adjoint divides by 3, as an average would": lambda x, y: (
            (mosaic(x) * x).sum(1, keepdim=True),
            y.expand(-1, 3, -1, -1) / 3,
        ),
        "Your A averages over channels; two of the three are zero, so take the sum": lambda x, y: (
            (mosaic(x) * x).mean(1, keepdim=True),
            mosaic(x) * y,
        ),
    }
    verdict(both if callable(attempt) else attempt, cases, more("colour_mosaic"), mistakes=mistakes)


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
        seen = (torch.linalg.pinv(M.double(), rtol=1e-4) @ M.double() @ x.double()).to(x)
        cases.append((what, (M, x), (seen, x - seen)))

    def seen_of(M: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.pinv(M, rtol=1e-4) @ M @ x

    mistakes = {
        "You swapped the two": lambda M, x: (x - seen_of(M, x), seen_of(M, x)),
        "You took the adjoint for the inverse": lambda M, x: (M.T @ M @ x, x - M.T @ M @ x),
        "The second result is x itself": lambda M, x: (seen_of(M, x), x),
    }
    verdict(attempt, cases, more("split"), tolerance=1e-3, mistakes=mistakes)


def check_best_cut(answer: Any) -> None:
    """answer: how many of 4096 singular values give the least error, of 64, 1024 and 4096."""
    because = "fewer leave out detail, more let in noise; the figure below shows both"
    wrong = {
        64: "so few patterns leave the picture blurred; the noise on the next ones is still small",
        4096: "the last patterns have singular values far below σ, and their noise is divided by them",
    }
    answered(answer, 1024, because, wrong, more("best_cut"))


def check_least_squares_near(attempt: Attempt) -> None:
    """attempt(M, y, lam, c) → argmin_x ‖M x − y‖² + λ ‖x − c‖², (n,).  M: (m, n).  y: (m,).  c: (n,)."""
    cases = []
    for i, (m, n, lam) in enumerate([(6, 4, 0.5), (3, 5, 0.1), (3, 5, 10.0)]):
        M, y, c = normal(m, n, seed=120 + i), normal(m, seed=130 + i), normal(n, seed=140 + i)
        x = torch.linalg.solve(M.T @ M + lam * torch.eye(n), M.T @ y + lam * c)
        cases.append((f"M of shape {(m, n)} and λ = {lam:g}", (M, y, lam, c), x))

    def solved(M: torch.Tensor, right: torch.Tensor, lam: float) -> torch.Tensor:
        return torch.linalg.solve(M.T @ M + lam * torch.eye(M.shape[1]), right)

    mistakes = {
        "You forgot the centre c on the right: this is Tikhonov around zero": lambda M, y, lam, c: solved(M, M.T @ y, lam),
        "c on the right is not multiplied by λ": lambda M, y, lam, c: solved(M, M.T @ y + c, lam),
        "λ is squared in your solution": lambda M, y, lam, c: solved(M, M.T @ y + lam**2 * c, lam**2),
        "You added λ to every entry of MᵀM; it belongs on the diagonal": lambda M, y, lam, c: torch.linalg.solve(
            M.T @ M + lam, M.T @ y + lam * c
        ),
    }
    verdict(attempt, cases, more("least_squares_near"), tolerance=1e-3, mistakes=mistakes)


def check_weight_of_a_prior(answer: Any) -> None:
    """answer: λ for noise of σ = 0.005 and pixels of standard deviation τ = 0.25."""
    wrong = {
        0.02: "this is σ / τ; both have to be squared",
        2500.0: "the fraction is upside down: more noise must mean more weight on the prior",
        0.0002: "there is a factor of ½ too many: it stands before both terms",
    }
    answered(answer, 0.0004, "λ = σ² / τ² = 0.0004", wrong, more("weight_of_a_prior"), tolerance=0.02)


def check_discrepancy_weight(attempt: Attempt) -> None:
    """attempt(weights, misfits, sigma) → the largest weight with misfit ≤ σ, else the smallest.  weights, misfits: (L,), rising."""
    weights = torch.tensor([1e-5, 1e-4, 1e-3, 1e-2])
    cases = [
        ("misfits of 0.3, 0.6, 1.1 and 2 σ", (weights, torch.tensor([0.3, 0.6, 1.1, 2.0]) * 0.005, 0.005), 1e-4),
        ("misfits that are all below σ", (weights, torch.tensor([0.1, 0.2, 0.3, 0.4]) * 0.01, 0.01), 1e-2),
        ("misfits that are all above σ", (weights, torch.tensor([1.5, 2.0, 3.0, 9.0]) * 0.01, 0.01), 1e-5),
    ]
    mistakes = {
        "You took the weight of least misfit, which fits the noise": lambda weights, misfits, sigma: weights[misfits.argmin()],
        "You took the weight whose misfit is closest to σ; it may be above": lambda weights, misfits, sigma: weights[
            (misfits - sigma).abs().argmin()
        ],
        "You returned the place of the weight, not the weight": lambda weights, misfits, sigma: (misfits <= sigma).sum() - 1,
        "You took the first weight whose misfit is above σ": lambda weights, misfits, sigma: weights[
            int((misfits <= sigma).sum().clamp(max=len(weights) - 1))
        ],
    }
    verdict(attempt, cases, more("discrepancy_weight"), tolerance=1e-6, mistakes=mistakes)


def check_descent(attempt: Attempt) -> None:
    """attempt(operator, y, c, lam, steps) → argmin_x ‖A x − y‖² + λ ‖x − c‖² by gradient descent, for ‖A‖ ≤ 1."""
    operator, cases = GaussianBlur(1.0, 5), []
    for i, lam in enumerate([0.2, 1.0]):
        y, c = uniform(1, 3, 8, 8, seed=170 + i), uniform(1, 3, 8, 8, seed=175 + i)
        cases.append((f"λ = {lam:g}", (operator, y, c, lam, 300), operator.prox_l2(c, y, 1 / lam)))
    mistakes = {
        "This is Tikhonov around black": lambda operator, y, c, lam, steps: operator.prox_l2(torch.zeros_like(c), y, 1 / lam),
        "Nothing has moved: the centre came back": lambda operator, y, c, lam, steps: c,
    }
    verdict(attempt, cases, more("descent"), tolerance=1e-3, mistakes=mistakes)


def check_gamma_gradient(attempt: Attempt) -> None:
    """attempt(x, y, exponent) → ∇ₓ ½‖x^q − y‖², q the exponent; the shape of x."""
    cases = []
    for i, exponent in enumerate([2.2, 0.45, 1.0]):
        x, y = 0.1 + 0.8 * uniform(2, 3, 4, 4, seed=150 + i), uniform(2, 3, 4, 4, seed=160 + i)
        cases.append((f"q = {exponent}", (x, y, exponent), exponent * x ** (exponent - 1) * (x**exponent - y)))
    mistakes = {
        "You left out the slope of the curve": lambda x, y, q: x**q - y,
        "The sign is the wrong way round": lambda x, y, q: q * x ** (q - 1) * (y - x**q),
        "The factor q of the slope is missing": lambda x, y, q: x ** (q - 1) * (x**q - y),
        "There is a factor of 2 too many: the objective has a ½": lambda x, y, q: 2 * q * x ** (q - 1) * (x**q - y),
    }
    verdict(attempt, cases, more("gamma_gradient"), mistakes=mistakes)
