"""Every figure of the course, one function a figure. Each returns a matplotlib `Figure`, and shows nothing by itself."""

import io
import math

import matplotlib.figure
import numpy as np
from torch.nn import functional as F


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that a notebook shows when it is a cell's value, whatever backend is in use."""

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


def _array(x):
    """One image (3, H, W) → (H, W, 3) for matplotlib."""
    return x.detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()


def _figure(width, height):
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _show(axes, image, title=None, note=None, colour="black"):
    axes.imshow(image, interpolation="nearest", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("0.75")
    if title:
        axes.set_title(title, fontsize=9, color=colour)
    if note:
        axes.set_xlabel(note, fontsize=8)


def sample_sheet(x, captions=None, columns=8):
    """Images in rows of `columns`, each over its caption.  x: (N, 3, H, W)."""
    rows = math.ceil(len(x) / columns)
    figure = _figure(columns * 1.1, rows * 1.3)
    grid = np.atleast_2d(figure.subplots(rows, columns))
    for index, axes in enumerate(grid.flat):
        if index < len(x):
            _show(axes, _array(x[index]), note=captions and captions[index])
            axes.xaxis.label.set_size(6)
        else:
            axes.axis("off")
    return figure


def story(rows, operator):
    """The demo's picture: for each measurement, the truth, y, and reconstructions in titled groups, with A(x̂) under each.

    rows: [(truth, y, {title: (S, 3, H, W)}), …], every row with the same number of seeds per group.
    """
    widths = [len(group) for group in rows[0][2].values()]
    figure = _figure(1.0 * (2 + sum(widths)) + 0.25 * len(widths), 2.15 * len(rows))
    bands = figure.subfigures(len(rows), 1) if len(rows) > 1 else [figure]
    for band, (truth, y, groups) in zip(bands, rows):
        blocks = band.subfigures(1, 1 + len(groups), width_ratios=[2, *widths])
        blocks[0].suptitle("truth x, measurement y", fontsize=9)
        grid = blocks[0].subplots(2, 2)
        _show(grid[0, 0], _array(truth[0]))
        _show(grid[0, 1], _array(_enlarged(y, truth)))
        _show(grid[1, 0], _array(_enlarged(operator.A(truth), truth)), note="A(x)")
        grid[1, 1].axis("off")
        grid[1, 1].text(0.5, 0.5, "below each x̂:\nA(x̂), to be\ncompared with y", ha="center", va="center", fontsize=7)
        for block, (title, group) in zip(blocks[1:], groups.items()):
            block.suptitle(title, fontsize=9)
            grid = block.subplots(2, len(group), squeeze=False)
            for column, x_hat in enumerate(group):
                _show(grid[0, column], _array(x_hat))
                _show(grid[1, column], _array(_enlarged(operator.A(x_hat[None]), truth)), note="A(x̂)")
    return figure


def _enlarged(y, truth):
    """A measurement as an image of the truth's size, its pixels kept square."""
    return F.interpolate(y[:1], truth.shape[-2:], mode="nearest")[0]


def variance_maps(groups):
    """Where the reconstructions of one measurement disagree.  groups: {title: (S, 3, H, W)}; one map each, on one scale."""
    maps = {title: group.std(0).mean(0) for title, group in groups.items()}
    figure = _figure(2.6 * len(maps) + 0.8, 2.8)
    grid = figure.subplots(1, len(maps), squeeze=False)[0]
    top = max(float(m.max()) for m in maps.values())
    for axes, (title, values) in zip(grid, maps.items()):
        drawn = axes.imshow(values.cpu(), cmap="magma", vmin=0, vmax=top)
        axes.set_title(f"{title}\nmean {float(values.mean()):.3f}", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(drawn, ax=list(grid), label="deviation over seeds", shrink=0.8)
    return figure


def ladder(pictures, titles, notes=None):
    """Images side by side under their titles.  pictures: list of (3, H, W)."""
    figure = _figure(1.5 * len(pictures), 1.9)
    grid = figure.subplots(1, len(pictures), squeeze=False)[0]
    for index, (axes, picture) in enumerate(zip(grid, pictures)):
        _show(axes, _array(picture), titles[index], notes and notes[index])
    return figure


def measurement(x, y):
    """The image and what was measured of it, side by side.  x: (1, 3, H, W).  y: (1, C, h, w)."""
    figure = _figure(4.6, 2.6)
    left, right = figure.subplots(1, 2)
    _show(left, _array(x[0]), "x, the truth", f"{x.shape[-2]}×{x.shape[-1]} pixels")
    _show(right, _array(_enlarged(y, x)), "y = A(x) + n, all we have", f"{y.shape[-2]}×{y.shape[-1]} pixels")
    return figure
