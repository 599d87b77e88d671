"""Pictures in rows and sheets, for any notebook."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from .. import checks
from . import earlier
from .base import AS_TYPED, TEXT, WIDEST, Figure, blank, one_each, own_style, show, show_rows

__all__ = ["LETTER", "LINE", "ladder", "lines", "nearest_sheet", "picture_rows", "sample_sheet", "wrapped"]

ABREAST = 6  # pictures
LETTER, LINE = 0.6 * TEXT / 72, 1.5 * TEXT / 72  # inches: the width of a letter on average, the height of a line


@own_style()
def ladder(pictures: Sequence[Tensor], titles: Sequence[str], notes: Sequence[str] | None = None) -> Figure:
    """Images side by side under their titles, at most six in a row.  pictures: N of (3, H, W).  notes: N lines under the pictures."""
    one_each("titles", titles, len(pictures))
    one_each("notes", notes, len(pictures))
    rows = math.ceil(len(pictures) / ABREAST)
    columns = math.ceil(len(pictures) / rows)
    side = 1.6
    titles = [wrapped(each, side) for each in titles]
    notes = [wrapped(each, side) for each in notes or [""] * len(pictures)]
    height = side + LINE * (lines(titles) + lines(notes))
    figure = blank(side * columns, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, picture, title, note in zip(grid, pictures, titles, notes):
        show(axes, picture, title, note)
    for axes in grid[len(pictures) :]:
        axes.axis("off")
    return figure


@own_style()
def picture_rows(
    rows: Mapping[str, Tensor | Sequence[Tensor]],
    columns: Sequence[str] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Rows of images, each after its name.  rows: {name: (N, 3, H, W)}, N the same in all.

    columns: N titles over the first row.  notes: {name of a row: N lines under its pictures}.
    """
    count = len(next(iter(rows.values())))
    for name, pictures in rows.items():
        one_each(name, pictures, count)
    one_each("columns", columns, count)
    for name, each in (notes or {}).items():
        one_each(f"notes of {name}", each, count)
    names = {name: wrapped(name, 1.3) for name in rows}
    label = max(len(line) for name in names.values() for line in name.split("\n")) * LETTER + 0.2
    side = min(1.6, (WIDEST - label) / count)
    titles = [wrapped(each, side) for each in columns or []]
    below = LINE * sum(lines((notes or {}).get(name, [])) for name in rows)
    figure = blank(label + side * count, side * len(rows) + LINE * lines(titles) + below)
    grid = figure.subplots(len(rows), count, squeeze=False)
    show_rows(grid, {names[name]: pictures for name, pictures in rows.items()})
    for axes, title in zip(grid[0], titles):
        axes.set_title(title, **AS_TYPED)
    for line, name in zip(grid, rows):
        for axes, note in zip(line, (notes or {}).get(name, [])):
            axes.set_xlabel(note, **AS_TYPED)
    return figure


def wrapped(text: str, inches: float) -> str:
    """A text in lines of at most so many inches, broken at spaces; the breaks that it has stay."""
    most = max(1, int(inches / LETTER))
    return "\n".join(textwrap.fill(line, most, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))


def lines(texts: Sequence[str]) -> int:
    """Of the text that has most; 0 where there is none."""
    return max((text.count("\n") + 1 for text in texts if text), default=0)


@earlier.own_style()
def sample_sheet(x: Tensor, captions: Sequence[str] | None = None, columns: int = 8) -> Figure:
    """Images in rows of `columns`, each over its caption.  x: (N, 3, H, W).  captions: N lines."""
    one_each("captions", captions, len(x))
    figure, grid = _sheet(len(x), columns, width=1.1, height=1.3)
    for index, axes in enumerate(grid[: len(x)]):
        show(axes, x[index], note=captions[index] if captions else None)
        axes.xaxis.label.set_size(6)
    return figure


@earlier.own_style()
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
    figure = earlier.blank(columns * width, rows * height)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.axis("off")
    return figure, grid
