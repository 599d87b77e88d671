"""What a solver asks of any operator that follows the protocol: ours, deepinv's, or one of the reader's with `A` alone."""

from typing import Any

import torch

from .. import checks
from .base import autograd_vjp, inner

__all__ = ["check_operator", "image_shape", "is_linear", "mean_square", "misfit", "prox", "square_norm", "twin", "vjp"]


def check_operator(operator: Any, device: torch.device) -> None:
    """An object with `A`.  Our operators follow the image; deepinv's are modules with buffers, which stay where they are."""
    expected = "one of treg_edu.operators, a deepinv.physics object, or an object with A(x)"
    checks.expect(callable(getattr(operator, "A", None)), "operator", repr(operator), expected, checks.ArgumentTypeError)
    if isinstance(operator, torch.nn.Module):
        for tensor in (*operator.parameters(), *operator.buffers()):
            where = f"{device}, where the prior is; call operator.to(…)"
            checks.expect(tensor.device == device, "operator", f"one on {tensor.device}", where)


def is_linear(operator: Any) -> bool:
    """Whether the operator has a proximal map `prox_l2`, as ours (`LinearOperator`) and deepinv's (`LinearPhysics`) do.

    `A_adjoint` tells nothing: deepinv's nonlinear `PhaseRetrieval` has one, that of the linear map inside it.
    The pixel step of a linear operator uses `A` and `A_adjoint`; ArgumentError where there is `prox_l2` without `A_adjoint`.
    """
    linear = hasattr(operator, "prox_l2")
    checks.expect(
        not linear or hasattr(operator, "A_adjoint"), "operator", "prox_l2 without A_adjoint", "both, or neither if A is nonlinear"
    )
    return linear


@torch.no_grad()
def image_shape(operator: Any, y: torch.Tensor, otherwise: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of the images that the operator measures as y, read off its back-projection; its A is tried on images of that size.

    otherwise: the size where the operator has no way back, the one that the prior was trained at.
    """
    back, lacking = back_projection(operator, y)
    size = otherwise if back is None else (back[-2], back[-1])
    x = y.new_full((len(y), 3, *size), 0.5)
    measured = measurement(operator, x, "" if back is None else f"; its back-projection of y has the shape {back}")
    expected = f"{tuple(measured.shape)}, which operator.A makes of {len(y)} images of {size[0]}×{size[1]}"
    checks.expect(y.shape == measured.shape, "y", f"shape {tuple(y.shape)}", expected + lacking)
    checks.expect(back is None or back == x.shape, "operator", f"images of shape {back} from y", f"{tuple(x.shape)}")
    return size


def measurement(operator: Any, x: torch.Tensor, hint: str) -> torch.Tensor:
    """A(x), a floating-point tensor.  An A that fails is the argument's error, which the hint ends."""
    try:
        measured = operator.A(x)
    except checks.ArgumentError:  # one of ours says more
        raise
    except Exception as error:  # of a stranger's code
        came = f"an A that fails on images of shape {tuple(x.shape)} ({reason(error)})"
        checks.fail("operator", came, "one that measures batches of RGB images" + hint)
    real = isinstance(measured, torch.Tensor) and measured.is_floating_point()
    came = f"dtype {measured.dtype}" if isinstance(measured, torch.Tensor) else type(measured).__name__
    checks.expect(real, "operator", f"an A that returns {came}", "one that returns a floating-point torch.Tensor")
    return measured


def back_projection(operator: Any, y: torch.Tensor) -> tuple[tuple[int, ...] | None, str]:
    """The shape of the images that the operator makes of y, (B, 3, H, W) if it fits, or None and a hint where it has no way back.

    Of one sample where A is nonlinear: deepinv's `PhaseRetrieval.A_dagger` is fifty iterations, and other nonlinear physics of deepinv
    have one that needs an adjoint they lack.
    """
    linear = is_linear(operator)
    way = operator.A_adjoint if linear else getattr(operator, "A_dagger", None)
    if way is None:
        return None, "; for another size give the operator an A_dagger"
    try:
        back = way(y if linear else y[:1])
    except checks.ArgumentError:
        raise
    except Exception as error:
        if not linear:
            return None, f"; for another size its A_dagger must not fail ({reason(error)})"
        checks.fail("operator", f"an A_adjoint that fails on y of shape {tuple(y.shape)} ({reason(error)})", "one that takes y")
    came = f"shape {tuple(back.shape)}" if isinstance(back, torch.Tensor) else type(back).__name__
    fits = isinstance(back, torch.Tensor) and back.ndim == 4 and (not linear or back.is_floating_point())
    checks.expect(fits, "operator", f"{came} from y", "real images (B, 3, H, W)")
    return (len(y), *back.shape[1:]), ""


def reason(error: Exception) -> str:
    """The type of an error and its first line, for another error to quote."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]]).rstrip(".")


def vjp(operator: Any, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """J(x)ᵀ v by the operator's `A_vjp`, by autograd where it has none.  v: shape of A(x).  Returns the shape of x.

    The images are real: of a complex product, as deepinv's `PhaseRetrieval` returns for a complex matrix, the real part counts.
    """
    product = operator.A_vjp(x, v) if hasattr(operator, "A_vjp") else autograd_vjp(operator.A, x, v)
    return product.real if product.is_complex() else product


def prox(operator: Any, z: torch.Tensor, y: torch.Tensor, gamma: float | torch.Tensor) -> torch.Tensor:
    """argminₓ γ/2 ‖A x − y‖² + ½ ‖x − z‖², for linear A, as z + argmin_d γ/2 ‖A d − (y − A z)‖² + ½ ‖d‖², by the operator's `prox_l2`.

    At 0, and not at z: of a `DecomposablePhysics` that has no basis of what it does not measure, as `Decolorize`, deepinv's map drops that
    part of z.  z: (B, 3, H, W).  y: (B, …).  gamma: number, or tensor (B, 1, 1, 1).  Returns the shape of z.
    """
    return z + operator.prox_l2(torch.zeros_like(z), y - operator.A(z), gamma)


@torch.no_grad()
def square_norm(operator: Any, x: torch.Tensor, iterations: int = 50) -> torch.Tensor:
    """‖A‖², the largest eigenvalue of AᵀA, for linear A, by power iteration, with 2 % on top: the iteration comes from below.

    v ← AᵀA v / ‖AᵀA v‖      (von Mises & Pollaczek-Geiringer 1929)

    x: any images (B, 3, H, W), for their shape.  Each sample has its own norm, as a mask may be one for each, and begins at the same v.
    Returns (B, 1, 1, 1), at least 1e-12.
    """
    start = torch.randn((1, *x.shape[1:]), generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    v = start.to(x).expand_as(x)
    for _ in range(checks.integer("iterations", iterations)):
        v = v / inner(v, v).sqrt().clamp(min=1e-12).to(v.dtype)
        v = operator.A_adjoint(operator.A(v))
    return 1.02 * inner(v, v).sqrt().clamp(min=1e-12).to(x.dtype)


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
    for _ in range(checks.integer("iterations", iterations, 0)):
        u = (u + operator.A_dagger(y - operator.A(u))).clamp(0, 1)
    return u
