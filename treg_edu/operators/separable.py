"""Operators that act on the columns and on the rows of an image by a matrix each: super-resolution and Gaussian blur."""

from abc import abstractmethod
from typing import NamedTuple

import torch

from .. import checks
from .base import LinearOperator, check_image, check_measurement, check_weight
from .decomposition import SVD

__all__ = ["GaussianBlur", "SeparableOperator", "SuperResolution", "cubic_kernel"]


class _Factors(NamedTuple):
    """The reduced factors of the matrix of one side, D = U diag(s) Vᵀ, (m, n)."""

    U: torch.Tensor
    s: torch.Tensor
    V: torch.Tensor


class SeparableOperator(LinearOperator):
    """A x = D_h x D_wᵀ: one matrix acts on the columns of the image, one on its rows.

    With D_h = U_h diag(s_h) V_hᵀ and D_w likewise, A has the singular values s = s_h s_wᵀ, and whatever is a function of
    singular values has a closed form (Golub & Van Loan, "Matrix Computations", 4th ed., §12.3).
    A subclass gives the matrix of a side, and the side that a measured side came from.
    """

    def __init__(self) -> None:
        self._matrices: dict[tuple, torch.Tensor] = {}
        self._factors: dict[tuple, _Factors] = {}

    @abstractmethod
    def matrix(self, n: int) -> torch.Tensor:
        """The matrix D of a side of n pixels, (m, n), float64 on the CPU."""

    @abstractmethod
    def image_side(self, m: int) -> int:
        """The n of a side that was measured as m pixels."""

    def A(self, x: torch.Tensor) -> torch.Tensor:
        """A x = D_h x D_wᵀ.  x: (B, C, H, W)."""
        check_image("x", x)
        D_h, D_w = (self._matrix(n, x) for n in x.shape[-2:])
        return D_h @ (x @ D_w.mT)

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Aᵀ y = D_hᵀ y D_w.  Returns (B, C, H, W)."""
        check_image("y", y)
        D_h, D_w = (self._matrix(self.image_side(m), y) for m in y.shape[-2:])
        return D_h.mT @ y @ D_w

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        """A†y = V diag(1/s) Uᵀ y, over the singular values above RELATIVE_CUTOFF times the largest."""
        check_measurement(y)
        svd = self.svd(y)
        return svd.V(torch.where(svd.kept, 1 / svd.s, 0).to(y.dtype) * svd.U_adjoint(y))

    def prox_l2(self, z: torch.Tensor, y: torch.Tensor, gamma: float | torch.Tensor) -> torch.Tensor:
        """argminₓ γ/2 ‖A x − y‖² + ½ ‖x − z‖² = z + V diag(γ s / (1 + γ s²)) Uᵀ (y − A z)

        z: (B, C, H, W).  y: shape of A(z).  gamma: number, or tensor (B, 1, 1, 1).  Returns the shape of z.
        """
        gamma = check_weight("gamma", gamma)
        predicted = self.A(z)
        check_measurement(y, predicted)
        svd = self.svd(y)
        weight = gamma * svd.s / (1 + gamma * svd.s**2)
        return z + svd.V(weight.to(y.dtype) * svd.U_adjoint(y - predicted))

    def singular_values(self, y: torch.Tensor) -> torch.Tensor:
        """s = s_h s_wᵀ for a measurement of y's size: the shape of Uᵀ y, in float32 at least."""
        return self.svd(y).s

    def svd(self, y: torch.Tensor) -> SVD:
        """A x = U_h (s ∘ V_hᵀ x V_w) U_wᵀ,  s = s_h s_wᵀ, for measurements of y's size, dtype and device; s in float32 at least.

        y: (B, C, h, w).  A spectrum is (B, C, min(h, H), min(w, W)).
        """
        check_image("y", y)
        h, w = (self._factor(self.image_side(m), y) for m in y.shape[-2:])
        return SVD(
            s=torch.outer(h.s, w.s),
            U=lambda spectrum: h.U @ spectrum @ w.U.mT,
            U_adjoint=lambda measurement: h.U.mT @ measurement @ w.U,
            V=lambda spectrum: h.V @ spectrum @ w.V.mT,
            V_adjoint=lambda x: h.V.mT @ x @ w.V,
        )

    def _matrix(self, n: int, like: torch.Tensor) -> torch.Tensor:
        """The matrix of a side, built once for each length, dtype and device."""
        key = n, like.dtype, like.device
        if key not in self._matrices:
            with torch.inference_mode(False):  # kept for later calls, which may be under autograd
                self._matrices[key] = self.matrix(n).to(like.dtype).to(like.device)
        return self._matrices[key]

    def _factor(self, n: int, like: torch.Tensor) -> _Factors:
        """Its factors, likewise."""
        key = n, like.dtype, like.device
        if key not in self._factors:
            with torch.inference_mode(False):
                U, s, Vh = torch.linalg.svd(self.matrix(n), full_matrices=False)
                s = s.to(torch.promote_types(like.dtype, torch.float32)).to(like.device)
                U, V = (matrix.to(like.dtype).to(like.device) for matrix in (U, Vh.mT.contiguous()))
                self._factors[key] = _Factors(U, s, V)
        return self._factors[key]


class SuperResolution(SeparableOperator):
    """Bicubic antialiased downsampling by an integer factor that divides both sides (Keys 1981, a = −1/2).

        D[i, j] ∝ k((j − c_i) / f),  c_i = (i + ½) f − ½,  rows summing to 1;  y: (B, C, H/f, W/f)

    The kernel is cut at the border and its row rescaled, as in `F.interpolate(mode="bicubic", antialias=True)` and in Pillow.
    deepinv's `DownsamplingMatlab` mirrors the image there instead: the same away from the outer two pixels of y.
    deepinv's `Downsampling(filter="bicubic")` has the same kernel with its centres moved by f/2 − 1 pixels.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self._downsampling = checks.integer("factor", factor)

    @property
    def factor(self) -> int:
        """How many pixels of a side become one; fixed, as the matrices are kept."""
        return self._downsampling

    def matrix(self, n: int) -> torch.Tensor:
        """Rows of the cubic kernel, stretched by the factor so that nothing aliases, each of sum 1: (n / factor, n)."""
        n = checks.integer("n", n)
        fits = n % self.factor == 0
        checks.expect(fits, "factor", self.factor, f"a divisor of the height and of the width of x, one of which is {n}")
        centres = (torch.arange(n // self.factor, dtype=torch.float64, device="cpu") + 0.5) * self.factor - 0.5
        D = cubic_kernel((torch.arange(n, device="cpu") - centres[:, None]) / self.factor)
        return D / D.sum(1, keepdim=True)

    def image_side(self, m: int) -> int:
        """m · factor."""
        return checks.integer("m", m) * self.factor


def cubic_kernel(t: torch.Tensor) -> torch.Tensor:
    """Cubic convolution kernel, the interpolant of highest order on four points.

    k(t) = 3/2 |t|³ − 5/2 |t|² + 1 for |t| ≤ 1;  −1/2 |t|³ + 5/2 |t|² − 4 |t| + 2 for 1 < |t| < 2;  0 beyond      (Keys 1981)
    """
    t = t.abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0))


class GaussianBlur(SeparableOperator):
    """Convolution with a Gaussian of standard deviation sigma, cut to kernel_size taps and normalised; the paper's by default.

        D[i, j] = Σ_o g(o) [j = reflect(i + o)],  g(o) ∝ exp(−o² / 2σ²),  |o| ≤ kernel_size // 2;  y: (B, C, H, W)

    The image is mirrored at its border without repeating the edge pixel, as in deepinv's `Blur(padding="reflect")`, and as often
    as it takes: the kernel may be larger than the image.  deepinv's `BlurFFT` is circular: the same away from the border.
    """

    def __init__(self, sigma: float = 5.0, kernel_size: int = 61) -> None:
        super().__init__()
        self._sigma = checks.number("sigma", sigma, above=0)
        self._kernel_size = checks.integer("kernel_size", kernel_size)
        checks.expect(self.kernel_size % 2, "kernel_size", kernel_size, "an odd integer, so that the kernel has a centre")

    @property
    def sigma(self) -> float:
        """The standard deviation, in pixels; fixed, as the matrices are kept."""
        return self._sigma

    @property
    def kernel_size(self) -> int:
        """How many taps; fixed, likewise."""
        return self._kernel_size

    def matrix(self, n: int) -> torch.Tensor:
        """The Gaussian taps about each pixel, reflected at the ends: (n, n)."""
        n = checks.integer("n", n)
        offsets = torch.arange(self.kernel_size, device="cpu") - self.kernel_size // 2
        taps = torch.exp(-((offsets.double() / self.sigma) ** 2) / 2)  # σ² of a tiny σ is 0
        columns = reflect(torch.arange(n, device="cpu")[:, None] + offsets, n)
        return torch.zeros(n, n, dtype=torch.float64, device="cpu").scatter_add_(1, columns, (taps / taps.sum()).expand(n, -1))

    def image_side(self, m: int) -> int:
        """m: a blur keeps the size."""
        return checks.integer("m", m)


def reflect(index: torch.Tensor, n: int) -> torch.Tensor:
    """Index into n mirrored pixels, …, 2, 1, 0, 1, …, n−2, n−1, n−2, …: a triangle wave of period 2(n − 1)."""
    period = max(2 * (n - 1), 1)
    index = index.abs() % period
    return torch.minimum(index, period - index)
