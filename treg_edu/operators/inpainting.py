"""Inpainting: some pixels are measured, the others are hidden."""

from typing import Any

import torch

from .. import checks, noise
from .base import LinearOperator, check_image, check_measurement, check_weight
from .decomposition import SVD

__all__ = ["Inpainting", "same"]


class Inpainting(LinearOperator):
    """A x = m ∘ x: pixels under a mask m in {0, 1} are measured, the others are not, and carry no noise either.

    mask: (H, W), or (1 or B, 1 or C, H, W), 1 or True where measured.  y: (B, C, H, W), 0 where hidden.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        expected = "a torch.Tensor of shape (H, W) or (1 or B, 1 or C, H, W)"
        checks.expect(isinstance(mask, torch.Tensor), "mask", type(mask).__name__, expected, checks.ArgumentTypeError)
        checks.expect(mask.ndim in (2, 4) and 0 not in mask.shape, "mask", f"shape {tuple(mask.shape)}", expected)
        binary = ((mask == 0) | (mask == 1)).all()
        checks.expect(binary, "mask", f"values from {mask.min():g} to {mask.max():g}", "only 0 (hidden) and 1 (measured)")
        self._mask = mask.expand(1, 1, -1, -1) if mask.ndim == 2 else mask
        self._masks: dict[tuple, torch.Tensor] = {}

    @property
    def mask(self) -> torch.Tensor:
        """(1 or B, 1 or C, H, W); fixed, as its copies are kept."""
        return self._mask

    @classmethod
    def box(cls, size: int | tuple[int, int], top: int, left: int, height: int, width: int) -> "Inpainting":
        """Hide the box whose first row is `top` and whose first column is `left`.  size: side, or (H, W)."""
        H, W = checks.sides("size", size)
        top, left = checks.integer("top", top, 0), checks.integer("left", left, 0)
        height, width = checks.integer("height", height), checks.integer("width", width)
        inside = top + height <= H and left + width <= W
        checks.expect(inside, "box", f"top {top}, left {left}, height {height}, width {width}", f"a box inside an image of {H}×{W}")
        mask = torch.ones(H, W, dtype=torch.bool, device="cpu")
        mask[top : top + height, left : left + width] = False
        return cls(mask)

    def A(self, x: torch.Tensor) -> torch.Tensor:
        """A x = m ∘ x.  x: (B, C, H, W)."""
        return self._mask_for("x", x) * x

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Aᵀ = A: a diagonal matrix is symmetric."""
        return self._mask_for("y", y) * y

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        """A† = A: the singular values are 0 and 1."""
        check_measurement(y)
        return self.A_adjoint(y)

    def prox_l2(self, z: torch.Tensor, y: torch.Tensor, gamma: float | torch.Tensor) -> torch.Tensor:
        """argminₓ γ/2 ‖A x − y‖² + ½ ‖x − z‖² = z + m ∘ (y − z) γ / (1 + γ)

        z, y: (B, C, H, W).  gamma: number, or tensor (B, 1, 1, 1).  Returns the shape of z.
        """
        gamma = check_weight("gamma", gamma)
        mask = self._mask_for("z", z)
        check_measurement(y, z)
        weight = torch.as_tensor(gamma / (1 + gamma), dtype=z.dtype, device=z.device)
        return torch.lerp(z, y.to(z.dtype), mask * weight)

    def svd(self, y: torch.Tensor) -> SVD:
        """A = I diag(m) I: the singular values are the mask, (1 or B, 1 or C, H, W); a spectrum is an image."""
        return SVD(self._mask_for("y", y), same, same, same, same)

    def measure(self, x: torch.Tensor, sigma: float, generator: noise.Generators = None) -> torch.Tensor:
        """y = m ∘ (x + n),  n ~ N(0, σ²)"""
        return self.A(super().measure(x, sigma, generator))

    def _mask_for(self, name: str, x: Any) -> torch.Tensor:
        check_image(name, x)
        b, c, h, w = self.mask.shape
        fits = b in (1, x.shape[0]) and c in (1, x.shape[1]) and (h, w) == tuple(x.shape[2:])
        checks.expect(fits, name, f"shape {tuple(x.shape)}", f"one that the mask fits, whose shape is {tuple(self.mask.shape)}")
        key = x.device, x.dtype
        if key not in self._masks:
            with torch.inference_mode(False):  # kept for later calls, which may be under autograd
                self._masks[key] = self.mask.to(*key, copy=True)
        return self._masks[key]


def same(x: torch.Tensor) -> torch.Tensor:
    """The identity, as U and V of an inpainting."""
    return x
