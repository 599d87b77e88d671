"""Forward operators: what a measurement y = A(x) + n, n ~ N(0, σ²), keeps of an image x.  Taught in 01_forward_operators.

Images are (B, C, H, W) in [0, 1].  An operator never has to be moved: its matrices follow the image's dtype and device.
"""

from .base import LinearOperator, Operator, conjugate_gradient, inner
from .decomposition import SVD, svd
from .fourier import FourierMagnitude
from .gamma import GammaCorrection
from .inpainting import Inpainting
from .protocol import image_shape, is_linear, mean_square, misfit, prox, square_norm, twin, vjp
from .separable import GaussianBlur, SeparableOperator, SuperResolution, cubic_kernel

OPERATORS: dict[str, type[Operator]] = {
    "sr": SuperResolution,
    "blur": GaussianBlur,
    "inpaint": Inpainting,
    "phase": FourierMagnitude,
    "gamma": GammaCorrection,
}

__all__ = [
    "OPERATORS",
    "SVD",
    "FourierMagnitude",
    "GammaCorrection",
    "GaussianBlur",
    "Inpainting",
    "LinearOperator",
    "Operator",
    "SeparableOperator",
    "SuperResolution",
    "conjugate_gradient",
    "cubic_kernel",
    "image_shape",
    "inner",
    "is_linear",
    "mean_square",
    "misfit",
    "prox",
    "square_norm",
    "svd",
    "twin",
    "vjp",
]
