"""Figures of notebook 00."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..metrics import pixel_deviation
from . import earlier
from .base import AS_TYPED, TEXT, WIDEST, Figure, blank, enlarged, own_style, show, show_map

__all__ = ["measurement", "story", "variance_maps"]


@own_style()
def measurement(x: Tensor, y: Tensor) -> Figure:
    """The image and what was measured of it, side by side.  x: (1, 3, H, W).  y: (1, C, h, w)."""
    figure = blank(6, 3.5)
    left, right = figure.subplots(1, 2)
    show(left, x[0], "x, the truth", f"{x.shape[-2]}×{x.shape[-1]} pixels")
    show(right, enlarged(y, x), "y = A(x) + n, all we have", f"{y.shape[-2]}×{y.shape[-1]} pixels")
    return figure


@earlier.own_style()
def story(rows: Sequence[tuple[Tensor, Tensor, Mapping[str, Tensor]]], operator: Any) -> Figure:
    """The demo's picture: for each measurement, the truth, y, and reconstructions in titled groups, with A(x̂) under each.

    rows: [(truth (1, 3, H, W), y (1, C, h, w), {title: (S, 3, H, W)}), …], every row with the same number of seeds per group.
    """
    widths = [len(group) for group in rows[0][2].values()]
    figure = earlier.blank(1.0 * (2 + sum(widths)) + 0.25 * len(widths), 2.15 * len(rows))
    bands = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for band, (truth, y, groups) in zip(bands, rows):
        blocks = band.subfigures(1, 1 + len(groups), width_ratios=[2, *widths])
        blocks[0].suptitle("truth x, measurement y")
        grid = blocks[0].subplots(2, 2)
        show(grid[0, 0], truth[0])
        show(grid[0, 1], enlarged(y, truth))
        show(grid[1, 0], enlarged(operator.A(truth), truth), note="A(x)")
        grid[1, 1].axis("off")
        grid[1, 1].text(0.5, 0.5, "below each x̂:\nA(x̂), to be\ncompared with y", ha="center", va="center", fontsize=7)
        for block, (title, group) in zip(blocks[1:], groups.items()):
            block.suptitle(title, **AS_TYPED)
            grid = block.subplots(2, len(group), squeeze=False)
            for column, x_hat in enumerate(group):
                show(grid[0, column], x_hat)
                show(grid[1, column], enlarged(operator.A(x_hat[None]), truth), note="A(x̂)")
    return figure


@own_style()
def variance_maps(groups: Mapping[str, Tensor]) -> Figure:
    """The mean of some reconstructions of one measurement, and below it where they disagree.  groups: {title: (S, 3, H, W)}."""
    maps = {title: pixel_deviation(group) for title, group in groups.items()}
    side = min(2.6, (WIDEST - 2) / len(maps))
    figure = blank(side * len(maps) + (2 if len(maps) > 1 else 3), 2 * side + 5 * TEXT / 72)
    grid = figure.subplots(2, len(maps), squeeze=False)
    top = max(float(values.max()) for values in maps.values())
    for (above, below), (title, values) in zip(grid.T, maps.items()):
        show(above, groups[title].mean(0), title)
        drawn = show_map(below, values, 0, top, "magma")
        below.set_xlabel(f"average {float(values.mean()):.3f}")
    for axes, name in zip(grid[:, 0], ("mean\nover seeds", "deviation\nover seeds")):
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.colorbar(drawn, ax=list(grid[1]), shrink=0.9)
    return figure
