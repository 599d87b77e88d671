"""Pictures as a page shows them."""

import base64
import html
from typing import Any

import torch

from ..operators import FourierMagnitude
from ..widgets.treg import grey
from .uploads import png_of

__all__ = ["image_tag", "seen", "text_of"]


def seen(operator: Any, y: torch.Tensor) -> torch.Tensor:
    """Measurements as pictures: as they are, or the logarithm of Fourier magnitudes, the zero frequency in the middle.  y: (B, C, h, w)."""
    shown = torch.fft.fftshift(grey(y), dim=(-2, -1)) if isinstance(operator, FourierMagnitude) else y
    return shown.clamp(0, 1)


def text_of(x: torch.Tensor) -> str:
    """The PNG of a picture (3, H, W), in base64."""
    return base64.b64encode(png_of(x)).decode()


def image_tag(png: str, alt: str, side: int = 128) -> str:
    """HTML of a picture, its pixels kept square.  png: in base64.  side: of the page."""
    style = f"width:{side}px;height:{side}px;image-rendering:pixelated;border:1px solid #bbb"
    return f'<img src="data:image/png;base64,{png}" alt="{html.escape(alt)}" style="{style}">'
