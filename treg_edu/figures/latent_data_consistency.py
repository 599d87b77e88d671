"""Figures of notebook 04."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor

from .base import TIME, Figure, misfit_axes, name_axes, one_each, show
from .earlier import blank, own_style

__all__ = ["along_trajectory", "cg_iterations", "over_measurements", "pixel_step"]


@own_style()
def over_measurements(pictures: Tensor, titles: Sequence[str], operator: Any, notes: Sequence[str] | None = None) -> Figure:
    """Pictures over what would be measured of them, each on a scale from 0 to 1.  pictures: (N, 3, H, W).  notes: N lines under all."""
    one_each("titles", titles, len(pictures))
    one_each("notes", notes, len(pictures))
    figure = blank(1.45 * len(pictures) + 0.4, 3.5)
    grid = figure.subplots(2, len(pictures), squeeze=False)
    for index, (picture, seen) in enumerate(zip(pictures, operator.A(pictures))):
        show(grid[0, index], picture, titles[index])
        show(grid[1, index], seen, note=notes[index] if notes else None)
    for axes, name in zip(grid[:, 0], ["picture", "A(picture)"]):
        axes.set_ylabel(name)
    return figure


@own_style()
def cg_iterations(counts: Sequence[int], walks: Mapping[str, tuple[ArrayLike, ArrayLike]], sigma: float) -> Figure:
    """Conjugate gradient, iteration by iteration: how far from the closed form, and how well y is met.

    counts: K numbers of iterations.  walks: {operator: (distance (K,), misfit (K,))}.  sigma: the noise, drawn as a level.
    """
    styles: list[dict[str, Any]] = [
        dict(color="tab:blue", marker="o"),
        dict(color="tab:red", marker="s", linestyle="--"),
        dict(color="0.3", marker="^", linestyle=":"),
    ]
    figure = blank(8.5, 3.2)
    left, right = figure.subplots(1, 2)
    for (name, (distance, misfit)), style in zip(walks.items(), styles):
        left.plot(counts, distance, label=name, markersize=4, linewidth=1.2, **style)
        right.plot(counts, misfit, label=name, markersize=4, linewidth=1.2, **style)
    left.set_yscale("log")
    name_axes(left, "iteration", "RMS distance to the closed form")
    misfit_axes(right, "iteration", sigma)
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    left.legend(fontsize=8)
    return figure


@own_style()
def pixel_step(start: Tensor, walk: Tensor, closed: Tensor, misfits: ArrayLike, sigma: float) -> Figure:
    """The start, the last image of a walk and the closed form it goes to, beside the misfits on the way.

    start, closed: (3, H, W).  walk: (K + 1, 3, H, W), from iteration 0 on.  misfits: (K + 1,), RMS of y − A(x̂).
    """
    figure = blank(8.5, 2.5)
    pictures, plot = figure.subfigures(1, 2, squeeze=False, width_ratios=[3, 2])[0]
    titles = ["x, where it starts", f"x̂, iteration {len(walk) - 1}", "x̂, closed form"]
    for axes, picture, title in zip(pictures.subplots(1, 3), [start, walk[-1], closed], titles):
        show(axes, picture, title)
    axes = plot.subplots()
    axes.plot(misfits, color="tab:blue", marker="o", markersize=3, linewidth=1)
    misfit_axes(axes, "iteration", sigma)
    return figure


@own_style()
def along_trajectory(curves: Mapping[str, tuple[Sequence[int], ArrayLike, ArrayLike, ArrayLike]], levels: Mapping[str, float]) -> Figure:
    """How well y is met from noise to data.  curves: {label: (timesteps, mean, low, high)}, each (K,).  levels: {name: value}."""
    styles: list[dict[str, Any]] = [
        dict(color="0.5", linestyle="--"),
        dict(color="tab:blue", marker="o"),
        dict(color="tab:red", marker="s", linestyle=":"),
    ]
    figure = blank(8.5, 3.6)
    axes = figure.subplots()
    for (label, (t, mean, low, high)), style in zip(curves.items(), styles):
        axes.plot(t, mean, label=label, markersize=4, linewidth=1.2, **style)
        axes.fill_between(t, low, high, color=style["color"], alpha=0.2, linewidth=0)
    at_the_right: dict[str, Any] = dict(
        xytext=(-2, 3), textcoords="offset points", xycoords=axes.get_yaxis_transform(), fontsize=8, ha="right"
    )
    for name, value in levels.items():
        axes.axhline(value, color="black", linewidth=0.8)
        axes.annotate(name, (1, value), **at_the_right)
    axes.invert_xaxis()
    axes.set_yscale("log")
    name_axes(axes, TIME, "misfit, RMS of y − A(·), 95 % interval")
    axes.legend()
    return figure
