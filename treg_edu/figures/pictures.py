"""Pictures in rows and sheets, for any notebook."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from .. import checks
from .base import AS_TYPED, Figure, blank, one_each, own_style, show, show_rows

__all__ = ["ladder", "nearest_sheet", "picture_rows", "sample_sheet"]


@own_style()
def ladder(pictures: Sequence[Tensor], titles: Sequence[str], notes: Sequence[str] | None = None) -> Figure:
    """Images side by side under their titles.  pictures: N of (3, H, W).  notes: N lines under the pictures."""
    one_each("titles", titles, len(pictures))
    one_each("notes", notes, len(pictures))
    figure = blank(1.5 * len(pictures), 1.9)
    grid = figure.subplots(1, len(pictures), squeeze=False)[0]
    for index, (axes, picture) in enumerate(zip(grid, pictures)):
        show(axes, picture, titles[index], notes[index] if notes else None)
    return figure


@own_style()
def picture_rows(rows: Mapping[str, Tensor | Sequence[Tensor]], columns: Sequence[str] | None = None) -> Figure:
    """Rows of images, each after its name.  rows: {name: (N, 3, H, W)}, N the same in all.  columns: N titles over the first row."""
    count = len(next(iter(rows.values())))
    for name, pictures in rows.items():
        one_each(name, pictures, count)
    one_each("columns", columns, count)
    figure = blank(count + 1.1, 1.02 * len(rows) + 0.25)
    grid = figure.subplots(len(rows), count, squeeze=False)
    show_rows(grid, rows)
    for axes, title in zip(grid[0], columns or []):
        axes.set_title(title, **AS_TYPED)
    return figure


@own_style()
def sample_sheet(x: Tensor, captions: Sequence[str] | None = None, columns: int = 8) -> Figure:
    """Images in rows of `columns`, each over its caption.  x: (N, 3, H, W).  captions: N lines."""
    one_each("captions", captions, len(x))
    figure, grid = _sheet(len(x), columns, width=1.1, height=1.3)
    for index, axes in enumerate(grid[: len(x)]):
        show(axes, x[index], note=captions[index] if captions else None)
        axes.xaxis.label.set_size(6)
    return figure


@own_style()
def nearest_sheet(samples: Tensor, neighbours: Tensor, copies: Sequence[bool], columns: int = 10) -> Figure:
    """Each sample beside the training image most like it, in pairs; a frame around those that count as near copies.

    samples, neighbours: (N, 3, H, W).  copies: N bools.
    """
    one_each("neighbours", neighbours, len(samples))
    one_each("copies", copies, len(samples))
    figure, grid = _sheet(len(samples), columns, width=1.15, height=0.62)
    gap = samples.new_ones(3, samples.shape[-2], 4)
    for index, axes in enumerate(grid[: len(samples)]):
        show(axes, torch.cat([samples[index], gap, neighbours[index].to(samples)], 2))
        axes.spines[:].set(visible=copies[index], color="black", linewidth=1.5)
    return figure


def _sheet(count: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure, and its axes in reading order, those past `count` empty.  width, height: of one picture, in inches."""
    columns = checks.integer("columns", columns)
    rows = math.ceil(count / columns)
    figure = blank(columns * width, rows * height)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.axis("off")
    return figure, grid
