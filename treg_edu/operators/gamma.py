"""Gamma correction: the power curve of screens and cameras, a nonlinear instrument that treats each pixel on its own."""

import torch

from .. import checks
from .base import Operator, at_least_float32, check_image, check_measurement

__all__ = ["SMALLEST_GREY", "GammaCorrection"]

SMALLEST_GREY = 1e-3
"""Below this grey, a quarter of an 8-bit step, `GammaCorrection` is a straight line."""


class GammaCorrection(Operator):
    """A(x) = x^γ pixel by pixel, x in [0, 1], γ the `exponent` (Poynton 2012, "Digital Video and HD"): γ > 1 darkens, γ < 1 brightens.

        A(x) = x max(x, s)^(γ−1),  s = SMALLEST_GREY

    Below s the curve is the straight line to 0, as in sRGB: for γ < 1 the power is infinitely steep at 0.
    x is clamped to [0, 1] first: a solver's iterates leave the range, and a negative number has no real power.
    """

    def __init__(self, exponent: float = 2.2) -> None:
        self.exponent = checks.number("exponent", exponent, above=0, most=10)  # past 10 float32 cannot hold the darkest greys

    def A(self, x: torch.Tensor) -> torch.Tensor:
        """A(x) = x max(x, s)^(γ−1), which is x^γ from s on.  x: (B, C, H, W)."""
        check_image("x", x)
        grey = at_least_float32(x).clamp(0, 1)
        return (grey * grey.clamp(min=SMALLEST_GREY) ** (self.exponent - 1)).to(x.dtype)

    def A_vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """J(x)ᵀ v = γ x^(γ−1) v;  s^(γ−1) v below s;  0 outside [0, 1], where the clamp is flat."""
        grey = at_least_float32(x)
        power = grey.clamp(SMALLEST_GREY, 1) ** (self.exponent - 1)
        slope = torch.where(grey < SMALLEST_GREY, power, self.exponent * power)
        return torch.where((grey >= 0) & (grey <= 1), slope * v, 0).to(v.dtype)

    def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
        """The exact inverse, y max(y, s^γ)^(1/γ−1); noise that left [0, 1] is clamped.  y: (B, C, H, W)."""
        check_measurement(y)
        grey = at_least_float32(y).clamp(0, 1)
        return (grey * grey.clamp(min=SMALLEST_GREY**self.exponent) ** (1 / self.exponent - 1)).to(y.dtype)
