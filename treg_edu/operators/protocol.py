"""What a solver asks of any operator that follows the protocol: ours, deepinv's, or one of the reader's with `A` alone."""

from typing import Any

import torch

from .. import checks
from .base import autograd_vjp


def check_operator(operator: Any, device: torch.device) -> None:
    """An object with `A`.  Our operators follow the image; deepinv's are modules with buffers, which stay where they are."""
    expected = "one of treg_edu.operators, a deepinv.physics object, or an object with A(x)"
    checks.expect(callable(getattr(operator, "A", None)), "operator", repr(operator), expected, checks.ArgumentTypeError)
    if isinstance(operator, torch.nn.Module):
        for tensor in (*operator.parameters(), *operator.buffers()):
            where = f"{device}, where the prior is; call operator.to(…)"
            checks.expect(tensor.device == device, "operator", f"one on {tensor.device}", where)


def is_linear(operator: Any) -> bool:
    """Whether the operator has a proximal map in closed form, as ours (`LinearOperator`) and deepinv's (`LinearPhysics`) do.

    `A_adjoint` tells nothing: deepinv's nonlinear `PhaseRetrieval` has one, that of the linear map inside it.
    """
    return hasattr(operator, "prox_l2")


def image_shape(operator: Any, y: torch.Tensor, otherwise: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of the images that the operator measures as y, read off its back-projection.

    Of one sample where A is nonlinear: deepinv's `PhaseRetrieval.A_dagger` is fifty iterations.
    otherwise: the size to be tried where the operator has no way back, the one that the prior was trained at.
    """
    if is_linear(operator):
        return tuple(operator.A_adjoint(y).shape[-2:])
    if callable(getattr(operator, "A_dagger", None)):
        return tuple(operator.A_dagger(y[:1]).shape[-2:])
    H, W = otherwise
    measured = operator.A(y.new_zeros(len(y), 3, H, W))
    came, expected = tuple(y.shape), f"{tuple(measured.shape)}, which operator.A makes of {len(y)} images of {H}×{W}"
    checks.expect(came == tuple(measured.shape), "y", f"shape {came}", expected + "; for another size give the operator an A_dagger")
    return otherwise


def vjp(operator: Any, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """J(x)ᵀ v by the operator's `A_vjp`, by autograd where it has none.  v: shape of A(x).  Returns the shape of x."""
    return operator.A_vjp(x, v) if hasattr(operator, "A_vjp") else autograd_vjp(operator.A, x, v)


@torch.no_grad()
def mean_square(operator: Any, x_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """mean |y − A(x̂)|² of each sample, (B,).  x_hat: (B, 3, H, W).  y: (B, …) as A returns it, or (1, …)."""
    measured = operator.A(x_hat)
    checks.expect(
        y.shape in (measured.shape, (1, *measured.shape[1:])),
        "y",
        f"shape {tuple(y.shape)}",
        f"that of operator.A(x_hat), {tuple(measured.shape)}, or a batch of 1",
    )
    return (y.to(measured.device) - measured).abs().square().flatten(1).mean(dim=1)


def misfit(operator: Any, x_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """How far an image is from explaining the measurement: the RMS of y − A(x̂), which is about σ for the truth.

    (Times the root of the measured share of the pixels where some are hidden.)  x_hat: (B, 3, H, W).  y: (B, …), or (1, …).  Returns (B,).
    """
    return mean_square(operator, x_hat, y).sqrt()


def twin(operator: Any, x: torch.Tensor, other: torch.Tensor, iterations: int = 100) -> torch.Tensor:
    """An image that measures like x and otherwise looks like `other`, for linear A.

    u ← clip(u + A†(A x − A u), 0, 1): projections in turn onto the images that measure like x, and onto [0, 1], from u = `other`
                                                                                                (Youla & Webb 1982)
    x, other: (B, C, H, W) in [0, 1].  Returns (B, C, H, W) in [0, 1]; A(x) is met better the more iterations.
    """
    y, u = operator.A(x), other
    for _ in range(iterations):
        u = (u + operator.A_dagger(y - operator.A(u))).clamp(0, 1)
    return u
