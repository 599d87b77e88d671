"""What solvers hand to an encoder: pictures with smooth fields of colour, tinted, blurred, two under one mask; and pixel steps' estimates.

Each function changes every picture of a batch by a draw of its own, from a CPU generator.  x: (B, 3, s, s) in [0, 1].  What is returned is
in [0, 1] as well, but for `correct`.
"""

import torch
from torch.nn import functional as F

from ..operators import SuperResolution

__all__ = ["FACTORS", "WAYS", "blur", "collage", "colour_fields", "correct", "corrupt", "smooth_fields", "tint", "uniform"]

CELLS = (2, 8)  # fewest and most cells a side of a smooth field; at 64 pixels they are 32 to 8 pixels wide
FIELD, TINT = 0.25, 0.3  # the strongest field of colour, the strongest tint
WIDTHS = (0.5, 3.0)  # pixels of a blur's deviation
FACTORS = (4, 8, 16)  # pixels a side of what a pixel step knows the mean of
RADIUS = 9  # pixels of a blur's kernel to each side: three times the widest deviation


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """One number from [low, high] for each picture: (count, 1, 1, 1)."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)


def smooth_fields(count: int, channels: int, side: int, generator: torch.Generator) -> torch.Tensor:
    """(count, channels, side, side) in [−1, 1]: uniform noise on n×n cells, n drawn from 2 to 8 for each, bicubic between them."""
    fewest, most = CELLS
    cells = torch.randint(fewest, most + 1, (count,), generator=generator).tolist()
    noise = 2 * torch.rand(count, channels, most, most, generator=generator) - 1
    fields = [F.interpolate(part[None, :, :n, :n], side, mode="bicubic", align_corners=False) for part, n in zip(noise, cells)]
    return torch.cat(fields).clamp(-1, 1)


def colour_fields(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """x + a f, clipped to [0, 1]: a smooth field f in each channel, a from 0 to ¼."""
    strength = uniform(len(x), 0, FIELD, generator)
    return (x + strength * smooth_fields(len(x), 3, x.shape[-1], generator)).clamp(0, 1)


def tint(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(1 − a) x + a c: a part a of one colour c over all of the picture, a from 0 to 0.3."""
    share = uniform(len(x), 0, TINT, generator)
    return (1 - share) * x + share * torch.rand(len(x), 3, 1, 1, generator=generator)


def blur(x: torch.Tensor, generator: torch.Generator, widths: tuple[float, float] = WIDTHS) -> torch.Tensor:
    """A Gaussian blur of ½ to 3 pixels of deviation, the border pixels going on beyond the border.

    widths: the least and the most deviation, at most 3 pixels.
    """
    count, channels, side, _ = x.shape
    width = uniform(count, *widths, generator).flatten()
    kernel = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1) / width[:, None]).square())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)  # (B · 3, 2 RADIUS + 1)
    planes = F.pad(x, (RADIUS,) * 4, mode="replicate").reshape(1, count * channels, side + 2 * RADIUS, side + 2 * RADIUS)
    rows = F.conv2d(planes, kernel[:, None, :, None], groups=count * channels)
    return F.conv2d(rows, kernel[:, None, None, :], groups=count * channels).view_as(x).clamp(0, 1)


def collage(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """m x + (1 − m) x', x' the picture before it in the batch, the mask m = ½ + s f clipped to [0, 1], f smooth, s from ½ to 2."""
    contrast = uniform(len(x), 0.5, 2, generator)
    mask = (0.5 + contrast * smooth_fields(len(x), 1, x.shape[-1], generator)).clamp(0, 1)
    return mask * x + (1 - mask) * x.roll(1, 0)


WAYS = (colour_fields, tint, blur, collage)


def corrupt(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each picture corrupted in one of WAYS, each as likely."""
    drawn = torch.randint(len(WAYS), (len(x),), generator=generator)
    return torch.stack([way(x, generator) for way in WAYS], 1)[torch.arange(len(x)), drawn]


def correct(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """x + s A†(A(x') − A(x)), A super-resolution by 4, 8 or 16, x' the picture before it in the batch, s from 0 to 1.

    This is a pixel step from x, with a measurement of x'. It leaves [0, 1], as pixel steps do: white paper that should be darker on
    average, with a dark drawing on it that should be lighter, becomes whiter than white somewhere.
    """
    drawn = torch.randint(len(FACTORS), (len(x),), generator=generator)
    corrections = [operator.A_dagger(operator.A(x.roll(1, 0) - x)) for operator in map(SuperResolution, FACTORS)]
    return x + uniform(len(x), 0, 1, generator) * torch.stack(corrections, 1)[torch.arange(len(x)), drawn]
