"""Figures of notebook 00."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..metrics import pixel_deviation
from .base import AS_TYPED, Figure, enlarged, show, show_map
from .earlier import blank, own_style

__all__ = ["measurement", "story", "variance_maps"]


@own_style()
def measurement(x: Tensor, y: Tensor) -> Figure:
    """The image and what was measured of it, side by side.  x: (1, 3, H, W).  y: (1, C, h, w)."""
    figure = blank(4.6, 2.6)
    left, right = figure.subplots(1, 2)
    show(left, x[0], "x, the truth", f"{x.shape[-2]}×{x.shape[-1]} pixels")
    show(right, enlarged(y, x), "y = A(x) + n, all we have", f"{y.shape[-2]}×{y.shape[-1]} pixels")
    return figure


@own_style()
def story(rows: Sequence[tuple[Tensor, Tensor, Mapping[str, Tensor]]], operator: Any) -> Figure:
    """The demo's picture: for each measurement, the truth, y, and reconstructions in titled groups, with A(x̂) under each.

    rows: [(truth (1, 3, H, W), y (1, C, h, w), {title: (S, 3, H, W)}), …], every row with the same number of seeds per group.
    """
    widths = [len(group) for group in rows[0][2].values()]
    figure = blank(1.0 * (2 + sum(widths)) + 0.25 * len(widths), 2.15 * len(rows))
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
    """Where the reconstructions of one measurement disagree.  groups: {title: (S, 3, H, W)}; one map each, on one scale."""
    maps = {title: pixel_deviation(group) for title, group in groups.items()}
    figure = blank(2.6 * len(maps) + 0.8, 2.8)
    grid = figure.subplots(1, len(maps), squeeze=False)[0]
    top = max(float(values.max()) for values in maps.values())
    for axes, (title, values) in zip(grid, maps.items()):
        drawn = show_map(axes, values, 0, top, "magma")
        axes.set_title(f"{title}\nmean {float(values.mean()):.3f}", **AS_TYPED)
    figure.colorbar(drawn, ax=list(grid), label="deviation over seeds", shrink=0.8)
    return figure
