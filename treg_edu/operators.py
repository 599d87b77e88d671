"""Forward operators: what a measurement y = A(x) + n, n ~ N(0, σ²), keeps of an image x.  Taught in 01_forward_operators.

The names are deepinv's, so that any `deepinv.physics` object drops into the solvers here and ours into theirs.
Images are (B, C, H, W) in [0, 1].  An operator never has to be moved: its matrices follow the image's dtype and device.
"""

import math
import numbers
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch

RELATIVE_CUTOFF = 1e-4
"""A_dagger inverts the singular values above this fraction of the largest, so noise grows by 1 / (1e-4 · largest) at most."""

SMALLEST_GREY = 1e-3
"""Below this grey, a quarter of an 8-bit step, `GammaCorrection` is a straight line."""


class Operator(ABC):
    """A forward operator, possibly nonlinear: `A`, and the transpose of its Jacobian, `A_vjp`."""

    noise_model = None  # deepinv's samplers ask every physics for one; None means that σ is unknown to them

    @abstractmethod
    def A(self, x):
        """The noiseless measurement A(x)."""

    @abstractmethod
    def A_vjp(self, x, v):
        """The vector-Jacobian product J(x)ᵀ v, J(x) = ∂A/∂x.  v: shape of A(x).  Returns the shape of x."""

    def __call__(self, x):
        return self.A(x)

    def measure(self, x, sigma, generator=None):
        """y = A(x) + n,  n ~ N(0, σ²)

        sigma is in the units of [0, 1] images: half of a σ that is quoted for images in [-1, 1].
        generator: as in `gaussian_noise`.  Returns the shape of A(x).
        """
        _check_non_negative("sigma", sigma)
        _check_finite("x", x)
        clean = self.A(x)
        return clean + sigma * gaussian_noise(clean, generator)

    def gradient(self, x, y):
        """∇ₓ ½‖A(x) − y‖² = J(x)ᵀ (A(x) − y)

        x: (B, C, H, W).  y: shape of A(x).  Returns the shape of x.
        """
        predicted = self.A(x)
        _check_measurement(y, predicted)
        return self.A_vjp(x, predicted - y)


class LinearOperator(Operator):
    """A linear operator.  A subclass gives `A` and its exact adjoint, and closed forms of the rest where there are any."""

    @abstractmethod
    def A_adjoint(self, y):
        """Aᵀ y, with ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ exactly."""

    def A_vjp(self, x, v):
        """The Jacobian of a linear map is the map: J(x)ᵀ v = Aᵀ v."""
        return self.A_adjoint(v)

    def A_adjoint_A(self, x):
        """AᵀA x"""
        return self.A_adjoint(self.A(x))

    def A_dagger(self, y):
        """Pseudo-inverse A†y, the least-squares solution of least norm:  AᵀA x = Aᵀ y by conjugate gradient from 0.

        y: shape of A(x).  Returns the shape of x.
        """
        _check_measurement(y)
        return conjugate_gradient(self.A_adjoint_A, self.A_adjoint(y), iterations=200)

    def prox_l2(self, z, y, gamma):
        """argminₓ γ/2 ‖A x − y‖² + ½ ‖x − z‖²:  (I + γ AᵀA) x = z + γ Aᵀ y by conjugate gradient from z.

        z: (B, C, H, W).  y: shape of A(z).  gamma: number, or tensor (B, 1, 1, 1).  Returns the shape of z.
        """
        _check_non_negative("gamma", gamma)
        _check_measurement(y, self.A(z))
        return conjugate_gradient(lambda x: x + gamma * self.A_adjoint_A(x), z + gamma * self.A_adjoint(y), z, iterations=200)


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

    def __init__(self):
        self._matrices, self._factors = {}, {}

    @abstractmethod
    def matrix(self, n):
        """The matrix D of a side of n pixels, (m, n), float64 on the CPU."""

    @abstractmethod
    def image_side(self, m):
        """The n of a side that was measured as m pixels."""

    def A(self, x):
        """A x = D_h x D_wᵀ.  x: (B, C, H, W)."""
        _check_image("x", x)
        D_h, D_w = (self._matrix(n, x) for n in x.shape[-2:])
        return D_h @ (x @ D_w.mT)

    def A_adjoint(self, y):
        """Aᵀ y = D_hᵀ y D_w.  Returns (B, C, H, W)."""
        _check_image("y", y)
        D_h, D_w = (self._matrix(self.image_side(m), y) for m in y.shape[-2:])
        return D_h.mT @ y @ D_w

    def A_dagger(self, y):
        """A†y = V diag(1/s) Uᵀ y, over the singular values above RELATIVE_CUTOFF times the largest."""
        _check_measurement(y)
        s = self.singular_values(y)
        return self._from_spectrum(y, torch.where(s > RELATIVE_CUTOFF * s.max(), 1 / s, 0))

    def prox_l2(self, z, y, gamma):
        """argminₓ γ/2 ‖A x − y‖² + ½ ‖x − z‖² = z + V diag(γ s / (1 + γ s²)) Uᵀ (y − A z)

        z: (B, C, H, W).  y: shape of A(z).  gamma: number, or tensor (B, 1, 1, 1).  Returns the shape of z.
        """
        _check_non_negative("gamma", gamma)
        predicted = self.A(z)
        _check_measurement(y, predicted)
        s = self.singular_values(y)
        return z + self._from_spectrum(y - predicted, gamma * s / (1 + gamma * s**2))

    def singular_values(self, y):
        """s = s_h s_wᵀ for a measurement of y's size: the shape of Uᵀ y, in float32 at least."""
        h, w = (self._factor(self.image_side(m), y) for m in y.shape[-2:])
        return torch.outer(h.s, w.s)

    def _from_spectrum(self, y, weight):
        """V diag(weight) Uᵀ y = V_h (weight ∘ U_hᵀ y U_w) V_wᵀ"""
        h, w = (self._factor(self.image_side(m), y) for m in y.shape[-2:])
        return h.V @ (weight.to(y.dtype) * (h.U.mT @ y @ w.U)) @ w.V.mT

    def _matrix(self, n, like):
        """The matrix of a side, built once for each length, dtype and device."""
        key = n, like.dtype, like.device
        if key not in self._matrices:
            with torch.inference_mode(False):  # kept for later calls, which may be under autograd
                self._matrices[key] = self.matrix(n).to(like.dtype).to(like.device)
        return self._matrices[key]

    def _factor(self, n, like):
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

    def __init__(self, factor):
        super().__init__()
        self.factor = _positive_integer("factor", factor)

    def matrix(self, n):
        if n % self.factor:
            raise ValueError(f"factor: got {self.factor}, expected a divisor of the height and of the width of x, one of which is {n}")
        centres = (torch.arange(n // self.factor, dtype=torch.float64) + 0.5) * self.factor - 0.5
        D = cubic_kernel((torch.arange(n) - centres[:, None]) / self.factor)
        return D / D.sum(1, keepdim=True)

    def image_side(self, m):
        return m * self.factor


def cubic_kernel(t):
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

    def __init__(self, sigma=5.0, kernel_size=61):
        super().__init__()
        self.sigma = _positive_number("sigma", sigma)
        self.kernel_size = _positive_integer("kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, so that the kernel has a centre, got {kernel_size}")

    def matrix(self, n):
        offsets = torch.arange(self.kernel_size) - self.kernel_size // 2
        taps = torch.exp(-(offsets.double() ** 2) / (2 * self.sigma**2))
        columns = reflect(torch.arange(n)[:, None] + offsets, n)
        return torch.zeros(n, n, dtype=torch.float64).scatter_add_(1, columns, (taps / taps.sum()).expand(n, -1))

    def image_side(self, m):
        return m


def reflect(index, n):
    """Index into n mirrored pixels, …, 2, 1, 0, 1, …, n−2, n−1, n−2, …: a triangle wave of period 2(n − 1)."""
    period = max(2 * (n - 1), 1)
    index = index.abs() % period
    return torch.minimum(index, period - index)


class Inpainting(LinearOperator):
    """A x = m ∘ x: pixels under a mask m in {0, 1} are measured, the others are not, and carry no noise either.

    mask: (H, W), or (1 or B, 1 or C, H, W), 1 or True where measured.  y: (B, C, H, W), 0 where hidden.
    """

    def __init__(self, mask):
        if not isinstance(mask, torch.Tensor) or mask.ndim not in (2, 4):
            came = f"shape {tuple(mask.shape)}" if isinstance(mask, torch.Tensor) else type(mask).__name__
            raise ValueError(f"mask must be a tensor of shape (H, W) or (1 or B, 1 or C, H, W), got {came}")
        if not ((mask == 0) | (mask == 1)).all():
            raise ValueError(f"mask must hold only 0 (hidden) and 1 (measured), got values from {mask.min():g} to {mask.max():g}")
        self.mask = mask.expand(1, 1, -1, -1) if mask.ndim == 2 else mask
        self._masks = {}

    @classmethod
    def box(cls, size, top, left, height, width):
        """Hide the box whose first row is `top` and whose first column is `left`.  size: side, or (H, W)."""
        H, W = (size, size) if isinstance(size, numbers.Integral) else size
        if min(top, left) < 0 or min(height, width) < 1 or top + height > H or left + width > W:
            raise ValueError(f"box must lie inside the image: top {top}, left {left}, height {height}, width {width} in {H}×{W}")
        mask = torch.ones(H, W, dtype=torch.bool)
        mask[top : top + height, left : left + width] = False
        return cls(mask)

    def A(self, x):
        """A x = m ∘ x.  x: (B, C, H, W)."""
        return self._mask_for("x", x) * x

    def A_adjoint(self, y):
        """Aᵀ = A: a diagonal matrix is symmetric."""
        return self._mask_for("y", y) * y

    def A_dagger(self, y):
        """A† = A: the singular values are 0 and 1."""
        _check_measurement(y)
        return self.A_adjoint(y)

    def prox_l2(self, z, y, gamma):
        """argminₓ γ/2 ‖A x − y‖² + ½ ‖x − z‖² = z + m ∘ (y − z) γ / (1 + γ)

        z, y: (B, C, H, W).  gamma: number, or tensor (B, 1, 1, 1).  Returns the shape of z.
        """
        _check_non_negative("gamma", gamma)
        mask = self._mask_for("z", z)
        _check_measurement(y, z)
        weight = torch.as_tensor(gamma / (1 + gamma), dtype=z.dtype, device=z.device)
        return torch.lerp(z, y.to(z.dtype), mask * weight)

    def measure(self, x, sigma, generator=None):
        """y = m ∘ (x + n),  n ~ N(0, σ²)"""
        return self.A(super().measure(x, sigma, generator))

    def _mask_for(self, name, x):
        _check_image(name, x)
        b, c, h, w = self.mask.shape
        if b not in (1, x.shape[0]) or c not in (1, x.shape[1]) or (h, w) != x.shape[2:]:
            raise ValueError(f"mask of shape {tuple(self.mask.shape)} does not fit {name} of shape {tuple(x.shape)}")
        key = x.device, x.dtype
        if key not in self._masks:
            with torch.inference_mode(False):  # kept for later calls, which may be under autograd
                self._masks[key] = self.mask.to(*key, copy=True)
        return self._masks[key]


class FourierMagnitude(Operator):
    """A(x) = |F P x|: P pads each channel with zeros, below and right, to `oversampling` times its side; F is the unitary DFT.

    y: (B, C, oversampling·H, oversampling·W), the zero frequency first.  ‖A(x)‖ = ‖x‖.  (Fienup 1982; Shechtman et al. 2015)
    """

    def __init__(self, oversampling=2):
        self.oversampling = _positive_integer("oversampling", oversampling)

    def spectrum(self, x):
        """F P x, complex."""
        _check_image("x", x)
        padded = [self.oversampling * side for side in x.shape[-2:]]
        return torch.fft.fft2(_at_least_float32(x), s=padded, norm="ortho")

    def back_project(self, spectrum):
        """Pᵀ Re F⁻¹: the adjoint of `spectrum` among real images."""
        H, W = (side // self.oversampling for side in spectrum.shape[-2:])
        return torch.fft.ifft2(spectrum, norm="ortho").real[..., :H, :W]

    def A(self, x):
        """A(x) = |F P x|.  x: (B, C, H, W)."""
        return self.spectrum(x).abs().to(x.dtype)

    def A_vjp(self, x, v):
        """J(x)ᵀ v = Pᵀ Re F⁻¹ (v F P x / |F P x|).  A zero magnitude has no phase; the subgradient 0 is taken there."""
        return self.back_project(v * torch.sgn(self.spectrum(x))).to(x.dtype)

    def gradient(self, x, y):
        """∇ₓ ½‖|F P x| − y‖² = x − Pᵀ Re F⁻¹ (y F P x / |F P x|)

        A step of length 1 puts y's magnitudes on x's phases: error reduction is gradient descent (Fienup 1982).
        x: (B, C, H, W).  y: shape of A(x).  Returns the shape of x.
        """
        spectrum = self.spectrum(x)
        _check_measurement(y, spectrum.real.to(x.dtype))
        return (x - self.back_project(y * torch.sgn(spectrum))).to(x.dtype)

    def A_dagger(self, y):
        """A start, not an inverse: y back-projected with zero phase.

        y: (B, C, oversampling·H, oversampling·W).  Returns (B, C, H, W).
        """
        _check_measurement(y)
        if any(side % self.oversampling for side in y.shape[-2:]):
            raise ValueError(f"y must have sides that oversampling {self.oversampling} divides, got shape {tuple(y.shape)}")
        return self.back_project(_at_least_float32(y)).to(y.dtype)


class GammaCorrection(Operator):
    """A(x) = x^γ pixel by pixel, x in [0, 1] (Poynton 2012, "Digital Video and HD"): γ > 1 darkens, γ < 1 brightens.

        A(x) = x max(x, s)^(γ−1),  s = SMALLEST_GREY

    Below s the curve is the straight line to 0, as in sRGB: for γ < 1 the power is infinitely steep at 0.
    x is clamped to [0, 1] first: a solver's iterates leave the range, and a negative number has no real power.
    """

    def __init__(self, gamma=2.2):
        self.gamma = _positive_number("gamma", gamma)
        if gamma > 10:
            raise ValueError(f"gamma must be at most 10, past which float32 cannot hold the darkest greys, got {gamma}")

    def A(self, x):
        """A(x) = x max(x, s)^(γ−1), which is x^γ from s on.  x: (B, C, H, W)."""
        _check_image("x", x)
        grey = _at_least_float32(x).clamp(0, 1)
        return (grey * grey.clamp(min=SMALLEST_GREY) ** (self.gamma - 1)).to(x.dtype)

    def A_vjp(self, x, v):
        """J(x)ᵀ v = γ x^(γ−1) v;  s^(γ−1) v below s;  0 outside [0, 1], where the clamp is flat."""
        power = x.clamp(SMALLEST_GREY, 1) ** (self.gamma - 1)
        slope = torch.where(x < SMALLEST_GREY, power, self.gamma * power)
        return torch.where((x >= 0) & (x <= 1), slope * v, 0)

    def A_dagger(self, y):
        """The exact inverse, y max(y, s^γ)^(1/γ−1); noise that left [0, 1] is clamped.  y: (B, C, H, W)."""
        _check_measurement(y)
        grey = _at_least_float32(y).clamp(0, 1)
        return (grey * grey.clamp(min=SMALLEST_GREY**self.gamma) ** (1 / self.gamma - 1)).to(y.dtype)


OPERATORS = {
    "sr": SuperResolution,
    "blur": GaussianBlur,
    "inpaint": Inpainting,
    "phase": FourierMagnitude,
    "gamma": GammaCorrection,
}


def conjugate_gradient(matvec, b, x=None, iterations=50, tolerance=1e-6):
    """Solve M x = b for a symmetric positive definite M (Hestenes & Stiefel 1952), each sample of the batch on its own.

    α = ⟨r, r⟩ / ⟨p, M p⟩,  x ← x + α p,  r ← r − α M p,  β = ⟨r, r⟩ / ⟨r, r⟩_before,  p ← r + β p

    matvec: x ↦ M x, sample by sample.  b, x: (B, …); x is the start, zero if None.  A sample is left alone once
    ‖r‖ ≤ tolerance ‖b‖, so it comes out the same in any batch.  Returns the shape of b.
    """
    x, r = (torch.zeros_like(b), b) if x is None else (x, b - matvec(x))
    p, rr = r, inner(r, r)
    enough = tolerance**2 * inner(b, b)
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
    return x


def twin(operator, x, other, iterations=100):
    """An image that measures like x and otherwise looks like `other`, for linear A.

    u ← clip(u + A†(A x − A u), 0, 1): projections in turn onto the images that measure like x, and onto [0, 1], from u = `other`
                                                                                                (Youla & Webb 1982)
    x, other: (B, C, H, W) in [0, 1].  Returns (B, C, H, W) in [0, 1]; A(x) is met better the more iterations.
    """
    y, u = operator.A(x), other
    for _ in range(iterations):
        u = (u + operator.A_dagger(y - operator.A(u))).clamp(0, 1)
    return u


def inner(a, b):
    """⟨a, b⟩ for each sample, (B, 1, …), in float32 at least: float16 overflows on an image's sum of squares."""
    return (_at_least_float32(a) * _at_least_float32(b)).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))


def gaussian_noise(like, generator=None):
    """n ~ N(0, I) of the shape of `like`, (B, …), drawn one sample after the other.

    generator: a list of B torch.Generators, one for each sample, which then does not depend on its batch; or one, from which the
    samples are drawn in order, so that the first is the same in any batch; or None, torch's global one.
    Drawn in float32 where the generator lives, then moved: a generator on the CPU gives one noise in every dtype, on every device.
    """
    generators = list(generator) if isinstance(generator, (list, tuple)) else [generator] * len(like)
    if len(generators) != len(like):
        raise ValueError(f"generator must be one torch.Generator or a list of {len(like)}, one a sample, got {len(generators)}")
    for each in generators:
        if not isinstance(each, (torch.Generator, type(None))):
            raise TypeError(f"generator must be a torch.Generator, a list of them or None, got {type(each).__name__}")
    devices = [like.device if each is None else each.device for each in generators]
    draws = [torch.randn(like.shape[1:], generator=each, device=device) for each, device in zip(generators, devices)]
    return torch.stack([draw.to(like.device) for draw in draws]).to(like.dtype)


def _at_least_float32(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _check_image(name, x):
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape (B, C, H, W), got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be floating point, got dtype {x.dtype}; for a uint8 image pass {name} / 255")
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"{name} must have the shape (B, C, H, W), none of them 0, got {tuple(x.shape)}")


def _check_finite(name, x):
    _check_image(name, x)
    total = x.sum(dtype=torch.promote_types(x.dtype, torch.float32))  # one cheap pass; only a bad sum is looked at closer
    if not total.isfinite() and not x.isfinite().all():
        raise ValueError(f"{name} must be finite, got {(~x.isfinite()).sum()} NaN or infinite values in {x.numel()}")


def _check_measurement(y, expected=None):
    """`expected`, where it is known, has the shape, dtype and device that y should have."""
    _check_image("y", y)
    expected = y if expected is None else expected
    for what in ("shape", "dtype", "device"):
        came, wanted = getattr(y, what), getattr(expected, what)
        if came != wanted:
            raise ValueError(f"y must have the {what} of A(x), {wanted}, got {came}")
    _check_finite("y", y)


def _check_non_negative(name, value):
    lowest, highest = value.aminmax() if isinstance(value, torch.Tensor) else (value, value)
    if not 0 <= lowest <= highest < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {value}")


def _positive_number(name, value):
    if not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0, got {value!r}")
    return value


def _positive_integer(name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    return value
