"""The protocol of an operator, and conjugate gradient, by which a linear one needs no more than A and Aᵀ.

The names are deepinv's, so that any `deepinv.physics` object drops into the solvers here and ours into theirs.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .. import checks, noise

__all__ = [
    "LinearOperator",
    "Operator",
    "at_least_float32",
    "autograd_vjp",
    "check_image",
    "check_measurement",
    "check_weight",
    "conjugate_gradient",
    "conjugate_gradient_steps",
    "inner",
]


class Operator(ABC):
    """A forward operator, possibly nonlinear.  A subclass gives `A`, written in torch; `A_vjp` and `A_dagger` where it knows them better.

    Where it has no `A_dagger`, images are taken to be of the size that the prior was trained at.
    """

    noise_model = None  # deepinv's samplers ask every physics for one; None means that σ is unknown to them

    @abstractmethod
    def A(self, x: torch.Tensor) -> torch.Tensor:
        """The noiseless measurement A(x).  x: (B, C, H, W).  Returns (B, …)."""

    def A_vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """The vector-Jacobian product J(x)ᵀ v, J(x) = ∂A/∂x, by autograd through `A`.  v: shape of A(x).  Returns the shape of x."""
        return autograd_vjp(self.A, x, v)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.A(x)

    def measure(self, x: torch.Tensor, sigma: float, generator: noise.Generators = None) -> torch.Tensor:
        """y = A(x) + n,  n ~ N(0, σ²)      (Kim et al. 2025, Eq. 1)

        sigma is in the units of [0, 1] images: half of a σ that is quoted for images in [-1, 1].
        generator: as in `noise.per_sample`.  Returns the shape of A(x).  Warns of images that are far from [0, 1].
        """
        sigma = checks.number("sigma", sigma, least=0)
        _warn_of_range(checks.finite("x", check_image("x", x)))
        clean = self.A(x)
        return clean + sigma * noise.normal(generator, clean.shape, clean.device, clean.dtype)

    def gradient(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """∇ₓ ½‖A(x) − y‖² = J(x)ᵀ (A(x) − y)

        x: (B, C, H, W).  y: shape of A(x).  Returns the shape of x.
        """
        predicted = self.A(x)
        check_measurement(y, predicted)
        return self.A_vjp(x, predicted - y)


def _warn_of_range(x: torch.Tensor) -> None:
    """Images of [−1, 1] or of 0 to 255 are a common slip, which no shape tells."""
    low, high = (each.item() for each in x.aminmax())
    if low < -0.5 or high > 1.5:
        warnings.warn(f"x: values from {low:.3g} to {high:.3g}; images are in [0, 1] here, and sigma and solvers mean that", stacklevel=3)


class LinearOperator(Operator):
    """A linear operator.  A subclass gives `A` and its exact adjoint, and closed forms of the rest where there are any."""

    @abstractmethod
    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Aᵀ y, with ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ exactly."""

    def A_vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """The Jacobian of a linear map is the map: J(x)ᵀ v = Aᵀ v."""
        return self.A_adjoint(v)

    def A_adjoint_A(self, x: torch.Tensor) -> torch.Tensor:
        """AᵀA x"""
        return self.A_adjoint(self.A(x))

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        """Pseudo-inverse A†y, the least-squares solution of least norm:  AᵀA x = Aᵀ y by conjugate gradient from 0.

        y: shape of A(x).  Returns the shape of x.
        """
        check_measurement(y)
        return conjugate_gradient(self.A_adjoint_A, self.A_adjoint(y), iterations=200)

    def prox_l2(self, z: torch.Tensor, y: torch.Tensor, gamma: float | torch.Tensor) -> torch.Tensor:
        """argminₓ γ/2 ‖A x − y‖² + ½ ‖x − z‖²:  (I + γ AᵀA) x = z + γ Aᵀ y by conjugate gradient from z.

        z: (B, C, H, W).  y: shape of A(z).  gamma: number, or tensor (B, 1, 1, 1).  Returns the shape of z.
        """
        gamma = check_weight("gamma", gamma)
        check_measurement(y, self.A(z))
        return conjugate_gradient(lambda x: x + gamma * self.A_adjoint_A(x), z + gamma * self.A_adjoint(y), z, iterations=200)


def autograd_vjp(A: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """J(x)ᵀ v of a function written in torch.  v: shape of A(x).  Returns the shape of x."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        measured = A(x)
        differentiable = measured.requires_grad
        checks.expect(differentiable, "operator", "an A(x) that autograd cannot follow", "one computed in torch from x, or an A_vjp")
        (gradient,) = torch.autograd.grad(measured, x, v.clone())
    return gradient


def conjugate_gradient(
    matvec: Callable[[torch.Tensor], torch.Tensor],
    b: torch.Tensor,
    x: torch.Tensor | None = None,
    iterations: int = 50,
    tolerance: float = 1e-6,
) -> torch.Tensor:
    """Solve M x = b for a symmetric positive definite M (Hestenes & Stiefel 1952), each sample of the batch on its own.

    α = ⟨r, r⟩ / ⟨p, M p⟩,  x ← x + α p,  r ← r − α M p,  β = ⟨r, r⟩ / ⟨r, r⟩_before,  p ← r + β p

    matvec: x ↦ M x, sample by sample.  b, x: (B, …); x is the start, zero if None.  A sample is left alone once
    ‖r‖ ≤ tolerance ‖b‖, so it comes out the same in any batch.  Returns the shape of b.
    """
    iterations, tolerance = checks.integer("iterations", iterations, 0), checks.number("tolerance", tolerance, least=0)
    found = torch.zeros_like(b) if x is None else x
    for found in conjugate_gradient_steps(matvec, b, x, iterations, tolerance):
        pass
    return found


def conjugate_gradient_steps(
    matvec: Callable[[torch.Tensor], torch.Tensor], b: torch.Tensor, x: torch.Tensor | None, iterations: int, tolerance: float = 1e-6
) -> Iterator[torch.Tensor]:
    """The iterates of `conjugate_gradient`, at most `iterations` of them: none comes after every sample is left alone."""
    x, r = (torch.zeros_like(b), b) if x is None else (x, b - matvec(x))
    p, rr = r, inner(r, r)
    precision = torch.finfo(rr.dtype)
    enough = (tolerance**2 * inner(b, b)).clamp(min=precision.tiny / precision.eps)  # of b = 0 too: ⟨p, M p⟩ must not underflow
    for _ in range(iterations):
        active = ~(rr <= enough)  # not "rr > enough": a NaN must show in the result
        if not active.any():
            break
        Mp = matvec(p)
        alpha = torch.where(active, rr / inner(p, Mp), 0).to(b.dtype)
        x = x + alpha * p
        r = r - alpha * Mp
        rr_before, rr = rr, inner(r, r)
        beta = torch.where(active, rr / rr_before, 0).to(b.dtype)
        p = r + beta * p
        yield x


def inner(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """⟨a, b⟩ for each sample, (B, 1, …), in float32 at least: float16 overflows on an image's sum of squares."""
    return (at_least_float32(a) * at_least_float32(b)).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """x, in float32 if its precision is less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


# Arguments


def check_image(name: str, x: Any) -> torch.Tensor:
    """A floating-point (B, C, H, W)."""
    return checks.tensor(name, x, "(B, C, H, W)", dimensions=(4,))


def check_measurement(y: Any, expected: torch.Tensor | None = None) -> torch.Tensor:
    """A finite (B, C, h, w).  expected: where it is known, a tensor of the shape, dtype and device that y should have."""
    check_image("y", y)
    if expected is not None:
        checks.like("y", y, expected, "A(x)")
    return checks.finite("y", y)


def check_weight(name: str, value: Any) -> float | torch.Tensor:
    """A number of at least 0, or a tensor of such, which stays one: a gradient may flow through it."""
    if not isinstance(value, torch.Tensor):
        return checks.number(name, value, least=0)
    for each in value.detach().aminmax():
        checks.number(name, each, least=0)
    return value
