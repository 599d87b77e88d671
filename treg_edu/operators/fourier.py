"""Phase retrieval: the magnitude of a Fourier transform is measured, its phase is lost."""

import torch

from .. import checks
from .base import Operator, at_least_float32, check_image, check_measurement

__all__ = ["FourierMagnitude"]


class FourierMagnitude(Operator):
    """A(x) = |F P x|: P pads each channel with zeros, below and right, to `oversampling` times its side; F is the unitary DFT.

    y: (B, C, oversampling·H, oversampling·W), the zero frequency first.  ‖A(x)‖ = ‖x‖.  (Fienup 1982; Shechtman et al. 2015)
    """

    def __init__(self, oversampling: int = 2) -> None:
        self.oversampling = checks.integer("oversampling", oversampling)

    def spectrum(self, x: torch.Tensor) -> torch.Tensor:
        """F P x, complex."""
        check_image("x", x)
        padded = [self.oversampling * side for side in x.shape[-2:]]
        return torch.fft.fft2(at_least_float32(x), s=padded, norm="ortho")

    def back_project(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Pᵀ Re F⁻¹: the adjoint of `spectrum` among real images."""
        H, W = (side // self.oversampling for side in spectrum.shape[-2:])
        return torch.fft.ifft2(spectrum, norm="ortho").real[..., :H, :W]

    def A(self, x: torch.Tensor) -> torch.Tensor:
        """A(x) = |F P x|.  x: (B, C, H, W)."""
        return self.spectrum(x).abs().to(x.dtype)

    def A_vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """J(x)ᵀ v = Pᵀ Re F⁻¹ (v F P x / |F P x|).  A zero magnitude has no phase; the subgradient 0 is taken there."""
        return self.back_project(v * torch.sgn(self.spectrum(x))).to(x.dtype)

    def gradient(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """∇ₓ ½‖|F P x| − y‖² = x − Pᵀ Re F⁻¹ (y F P x / |F P x|)

        A step of length 1 puts y's magnitudes on x's phases: error reduction is gradient descent (Fienup 1982).
        x: (B, C, H, W).  y: shape of A(x).  Returns the shape of x.
        """
        spectrum = self.spectrum(x)
        check_measurement(y, spectrum.real.to(x.dtype))
        return (x - self.back_project(y * torch.sgn(spectrum))).to(x.dtype)

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        """A start, not an inverse: y back-projected with zero phase.

        y: (B, C, oversampling·H, oversampling·W).  Returns (B, C, H, W).
        """
        check_measurement(y)
        fits = all(side % self.oversampling == 0 for side in y.shape[-2:])
        checks.expect(fits, "y", f"shape {tuple(y.shape)}", f"sides that oversampling {self.oversampling} divides")
        return self.back_project(at_least_float32(y)).to(y.dtype)
