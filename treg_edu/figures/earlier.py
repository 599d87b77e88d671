"""The style of the figures of notebooks that are still in their first edition: 9 points, at 90 pixels an inch.

They were laid out for it. A module that is redrawn for a projector imports `blank` and `own_style` from `base` instead.
"""

import functools
from collections.abc import Mapping
from typing import Any

from . import base

__all__ = ["SMALL", "SmallFigure", "blank", "own_style"]

SMALL = base.STYLE | {
    **dict.fromkeys(["figure.titlesize", "axes.titlesize", "axes.labelsize", "legend.fontsize"], 9),
    **dict.fromkeys(["xtick.labelsize", "ytick.labelsize"], 8),
    "font.size": 10,
    "savefig.dpi": 90,
}

own_style = functools.partial(base.own_style, SMALL)


class SmallFigure(base.Figure):
    """A `Figure` in this style."""

    style: Mapping[str, Any] = SMALL
    pixels_per_inch = 90


def blank(width: float, height: float) -> SmallFigure:
    """An empty figure, in inches, whose parts make room for each other."""
    return SmallFigure(figsize=(width, height), layout="constrained")
