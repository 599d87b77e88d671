"""Morozov's discrepancy principle (1966): the weight of a penalty is as large as the noise excuses."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..operators import inner, misfit

__all__ = ["discrepancy", "noise_in_misfit"]


@torch.no_grad()
def discrepancy(
    solver: Callable[..., Iterator[Any]],
    prior: Any,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    sigma: float,
    least: float = 1e-8,
    most: float = 1e2,
    iterations: int = 16,
    **settings: Any,
) -> torch.Tensor:
    """λ of each sample for which ‖y − A x̂_λ‖² = m σ², by bisection of log λ: the misfit rises with λ, as the fit to the noise gets worse.

    solver: one on images that takes `lam`, such as `tikhonov`.  sigma: σ ≥ 0, the deviation of the noise in y, [0, 1] units.
    m: how many numbers of y are measured.
    least, most: where λ is looked for; where even these give too much misfit, or too little, that end comes back.
    iterations: of the bisection, each a run of the solver.  settings: the solver's own.
    x̂_λ is the last z0, before it is clipped: clipping may raise the misfit of a small λ.  Returns (B,), to be given as `lam`.
    """
    sigma, iterations = checks.number("sigma", sigma, least=0), checks.integer("iterations", iterations)
    least, most = checks.number("least", least, above=0), checks.number("most", most, above=0)
    checks.expect(least < most, "most", most, f"more than least, {least:g}")
    checks.finite("y", checks.tensor("y", y, "(B, C, …)"))
    low, high = (torch.full((len(y),), end, dtype=torch.float64, device="cpu").log() for end in (least, most))  # MPS has no float64
    for _ in range(iterations):
        middle = (low + high) / 2
        *_, last = solver(prior, operator, y, prompt, lam=middle.exp(), **settings)
        left, noise = misfit(operator, last.z0, y.to(last.z0)), sigma * noise_in_misfit(operator, last.z0)
        rough = left.cpu().double() > noise.cpu().double()
        low, high = torch.where(rough, low, middle), torch.where(rough, middle, high)
    return ((low + high) / 2).exp().to(y.device, torch.promote_types(y.dtype, torch.float32))


def noise_in_misfit(operator: Any, x: torch.Tensor) -> torch.Tensor:
    """√(m / all numbers of y), (B,): the misfit of the truth in units of σ.  What stays 0 for any image is not measured.

    x: images (B, 3, H, W), for their shape.
    """
    probe = torch.rand((1, *x.shape[1:]), generator=torch.Generator("cpu").manual_seed(0), device="cpu") + 0.5
    measured = (operator.A(probe.to(x).expand_as(x)) != 0).to(x)
    return (inner(measured, measured).flatten() / measured[0].numel()).sqrt()
