"""Pictures from strangers: bytes and pixels are bounded before anything is decoded, and only common formats are opened."""

import io
import warnings

import torch
from PIL import Image, UnidentifiedImageError

from .. import checks, images

__all__ = ["FORMATS", "MOST_BYTES", "MOST_PIXELS", "SIDE", "png_of", "read_upload"]

SIDE = 64
"""Pixels of a side of every picture: what the bundled prior draws."""
MOST_BYTES, MOST_PIXELS = 4 * 2**20, 16_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def read_upload(content: bytes) -> torch.Tensor:
    """The picture in an uploaded file as (1, 3, SIDE, SIDE) in [0, 1]: its central square, as `images.from_pil` takes it.

    Raises ArgumentError, one sentence, where it has more than MOST_BYTES bytes or MOST_PIXELS pixels, is of none of FORMATS, or damaged.
    """
    checks.expect(len(content) <= MOST_BYTES, "picture", f"{len(content) / 2**20:.1f} MiB", f"at most {MOST_BYTES // 2**20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the pixels are counted here
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                came = f"{image.width}×{image.height} pixels"
                checks.expect(image.width * image.height <= MOST_PIXELS, "picture", came, f"at most {MOST_PIXELS / 1e6:.0f} million pixels")
                return images.from_pil(image, SIDE)
    except (checks.ArgumentError, MemoryError):
        raise
    except Image.DecompressionBombError:
        checks.fail("picture", "far too many pixels", f"at most {MOST_PIXELS / 1e6:.0f} million pixels")
    except UnidentifiedImageError:
        checks.fail("picture", f"a file of {len(content)} bytes that is no picture", f"one of {', '.join(FORMATS)}")
    except images.DAMAGED:
        checks.fail("picture", "a file that is damaged or cut short", "a complete picture")


def png_of(x: torch.Tensor) -> bytes:
    """One image (1, 3, H, W) or (3, H, W) in [0, 1] as a PNG file."""
    file = io.BytesIO()
    images.to_pil(x).save(file, format="PNG")
    return file.getvalue()
