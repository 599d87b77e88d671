"""The singular value decomposition of a linear operator: its own, deepinv's, or that of its matrix where the images are small."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .. import checks
from .protocol import is_linear

__all__ = ["LARGEST_MATRIX", "RELATIVE_CUTOFF", "SVD", "svd"]

RELATIVE_CUTOFF = 1e-4
"""Singular values below this fraction of the largest count as 0: whoever divides by the others amplifies noise by 1e4 / largest at most."""

LARGEST_MATRIX = 2**24
"""How many entries the matrix of an operator without a decomposition of its own may have: 134 MB, some ten seconds."""

Map = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class SVD:
    """A x = U (s ∘ Vᵀ x).  A spectrum Vᵀ x or Uᵀ y, (B, …), has the shape that suits the operator; s broadcasts over it.

    s: the singular values, ≥ 0, in any order.  U, V: from a spectrum to a measurement, to an image.  U_adjoint, V_adjoint: the way back.
    Vᵀ V = I where s > 0, so V Vᵀ is the projection onto the images that a spectrum describes; the others, x − V Vᵀ x, are not measured.
    """

    s: torch.Tensor
    U: Map
    U_adjoint: Map
    V: Map
    V_adjoint: Map

    @property
    def kept(self) -> torch.Tensor:
        """Which singular values count as measured, s > RELATIVE_CUTOFF · max s: the shape of s, of bool."""
        return self.s > RELATIVE_CUTOFF * self.s.max()


def svd(operator: Any, y: torch.Tensor, size: tuple[int, int]) -> SVD:
    """The decomposition of a linear operator for measurements of y's shape, dtype and device, and images of `size`.

    By the operator's method `svd(y)`, as ours have; by the attributes of deepinv's `DecomposablePhysics`; otherwise from its matrix, whose
    columns are the measurements of single pixels, if it has at most LARGEST_MATRIX entries.
    """
    checks.expect(is_linear(operator), "operator", f"a nonlinear one, {type(operator).__name__}", "a linear one")
    if callable(getattr(operator, "svd", None)):
        return operator.svd(y)
    if all(hasattr(operator, name) for name in ("mask", "U", "U_adjoint", "V", "V_adjoint")):
        return of_deepinv(operator, y)
    return of_matrix(operator, y, size)


def of_deepinv(operator: Any, y: torch.Tensor) -> SVD:
    """deepinv calls the singular values `mask`; a sign or a phase of theirs goes to U."""
    mask = operator.mask
    checks.expect(not mask.is_complex(), "operator", f"complex singular values, {mask.dtype}", "real ones")
    sign = torch.where(mask < 0, -1, 1).to(y.dtype)
    return SVD(
        s=mask.abs().to(y.dtype),
        U=lambda spectrum: operator.U(sign * spectrum),
        U_adjoint=lambda measurement: sign * operator.U_adjoint(measurement),
        V=operator.V,
        V_adjoint=operator.V_adjoint,
    )


@torch.no_grad()
def of_matrix(operator: Any, y: torch.Tensor, size: tuple[int, int]) -> SVD:
    """The decomposition of the operator's matrix, (m, n), in float64 on the CPU, where every machine has it."""
    shape, measured = (3, *size), tuple(y.shape[1:])
    n, m = 3 * size[0] * size[1], y[0].numel()
    came = f"a matrix of {m}×{n} entries ({type(operator).__name__})"
    expected = f"a method svd(y), deepinv's DecomposablePhysics, or at most {LARGEST_MATRIX} entries"
    checks.expect(m * n <= LARGEST_MATRIX, "operator", came, expected)
    eye = torch.eye(n, dtype=y.dtype, device=y.device).view(n, *shape)
    matrix = torch.cat([operator.A(some).flatten(1) for some in eye.split(256)]).T
    U, s, Vh = torch.linalg.svd(matrix.cpu().double(), full_matrices=False)
    U, s, Vh = (factor.to(y) for factor in (U, s, Vh))
    return SVD(
        s=s,
        U=lambda spectrum: (spectrum @ U.T).view(-1, *measured),
        U_adjoint=lambda measurement: measurement.flatten(1) @ U,
        V=lambda spectrum: (spectrum @ Vh).view(-1, *shape),
        V_adjoint=lambda x: x.flatten(1) @ Vh.T,
    )
