"""Figures of notebook 07."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from .base import AS_TYPED, TIME, Figure, enlarged, misfit_axes, one_each, show, show_rows
from .earlier import blank, own_style

__all__ = ["problems", "retrieved", "solver"]

COPIES = {"upright": ("▲ upright", "black"), "rotated": ("▼ rotated", "tab:red")}
"""How the notes under retrieved pictures look; any other copy is grey."""


@own_style()
def problems(x: Tensor, solved: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Every picture and every operator: a row for a picture, and for each operator the measurement beside the reconstructions.

    x: (N, 3, H, W).  solved: {operator: {column: (N, C, h, w)}}, smaller pictures drawn with square pixels.
    """
    widths = [len(columns) for columns in solved.values()]
    figure = blank(0.95 * (1 + sum(widths)) + 0.15 * len(widths), 0.95 * len(x) + 0.55)
    blocks = figure.subfigures(1, 1 + len(widths), squeeze=False, width_ratios=[1, *widths])[0]
    for block, (title, columns) in zip(blocks, {" ": {"truth x": x}, **solved}.items()):
        block.suptitle(title, **AS_TYPED)
        grid = block.subplots(len(x), len(columns), squeeze=False)
        for line, (name, pictures) in zip(grid.T, columns.items()):
            for axes, picture in zip(line, pictures):
                show(axes, enlarged(picture[None], x))
            line[0].set_title(name, fontsize=8, **AS_TYPED)
    return figure


@own_style()
def retrieved(x: Tensor, arms: Mapping[str, tuple[Tensor, Sequence[str]]], labels: Sequence[str]) -> Figure:
    """Pictures retrieved from their magnitudes, each over the name of the copy that it is.

    x: (N, 3, H, W).  arms: {name: ((N, 3, H, W), N names of copies)}.  labels: N titles.
    """
    one_each("labels", labels, len(x))
    for name, (pictures, copies) in arms.items():
        one_each(name, pictures, len(x))
        one_each(f"copies of {name}", copies, len(x))
    figure = blank(len(x) + 1.1, 1.12 * (1 + len(arms)) + 0.2)
    grid = figure.subplots(1 + len(arms), len(x), squeeze=False)
    show_rows(grid, {"truth x": x, **{name: pictures for name, (pictures, _) in arms.items()}})
    for axes, label in zip(grid[0], labels):
        axes.set_title(label, **AS_TYPED)
    for line, (_, copies) in zip(grid[1:], arms.values()):
        for axes, copy in zip(line, copies):
            text, colour = COPIES.get(copy, (copy, "0.4"))
            axes.set_xlabel(text, fontsize=8, color=colour)
    return figure


@own_style()
def solver(pictures: Mapping[str, Tensor], estimates: Tensor, t: Sequence[int], misfit: Mapping[int, float], sigma: float) -> Figure:
    """One whole run: what went in and came out, over the estimate along the way, over how well it explains the measurement.

    pictures: {title: (3, h, w)}.  estimates: (K, 3, H, W), at K timesteps t.  misfit: {timestep: RMS of y − A(x̂)}.  sigma: the noise.
    """
    figure = blank(max(8.5, 0.95 * len(t)), 5.6)
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=[2, 1.3, 2])[:, 0]
    for axes, (title, picture) in zip(top.subplots(1, len(pictures), squeeze=False)[0], pictures.items()):
        show(axes, picture, title)
    for axes, picture, each in zip(middle.subplots(1, len(t), squeeze=False)[0], estimates, t):
        show(axes, picture, f"t = {each}")
    axes = bottom.subplots()
    label = "x̂, after the pixel step; at the run's end D(ẑ)"
    axes.plot(list(misfit), list(misfit.values()), "o-", color="tab:blue", markersize=4, linewidth=1.2, label=label)
    axes.invert_xaxis()
    misfit_axes(axes, TIME, sigma)
    return figure
