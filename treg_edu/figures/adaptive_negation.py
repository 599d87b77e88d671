"""Figures of notebook 06."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from .base import LINES, TIME, Figure, name_axes, show_rows
from .earlier import blank, own_style

__all__ = ["effects", "found_among", "negation_losses", "negation_trajectory", "null_directions"]


@own_style()
def negation_losses(t: Sequence[int], walks: Mapping[str, tuple[ArrayLike, ArrayLike]], iterations: int = 10) -> Figure:
    """The loss along a run: within a call of negation a straight line, between two calls a jump, because the estimate has changed.

    t: K timesteps with a call.  walks: {label: (before, after)}, the loss at the ends of each call, (K,).
    """
    styles: list[dict[str, Any]] = [dict(color="0.5"), dict(color="tab:blue", marker="o"), dict(color="tab:red", marker="s")]
    figure = blank(8.5, 3.4)
    axes = figure.subplots()
    iterations = checks.integer("iterations", iterations, 0)
    starts = iterations * np.arange(len(t))
    for (label, values), style in zip(walks.items(), styles):
        before, after = map(np.asarray, values)
        for index, (start, *ends) in enumerate(zip(starts, before, after)):
            axes.plot([start, start + iterations], ends, markersize=3, linewidth=1.8, label=None if index else label, **style)
        joined = np.stack([starts, starts + iterations], 1).ravel()
        axes.plot(joined, np.stack([before, after], 1).ravel(), "--", color=style["color"], linewidth=1.2)
    for start in starts:
        axes.axvline(float(start), color="0.9", linewidth=0.8, zorder=-1)
    top = axes.secondary_xaxis("top")
    top.set_xticks(starts, [str(each) for each in t])
    top.set_xlabel("t, at which the call is made")
    name_axes(axes, "iteration of Adam, over the run", "sim(T_img(x̂), c_∅)")
    axes.legend()
    return figure


@own_style()
def found_among(ranks: Mapping[str, ArrayLike], count: int) -> Figure:
    """The share of pictures whose own label is among the k nearest of `count`, over k.  ranks: {label: (N,)}, 0 is the nearest."""
    count = checks.integer("count", count)
    places = np.arange(1, count + 1)
    figure = blank(7, 3.2)
    axes = figure.subplots()
    for style, (label, values) in zip(LINES, ranks.items()):
        axes.semilogx(places, (np.asarray(values)[:, None] < places).mean(0), style, linewidth=2, label=label)
    axes.semilogx(places, places / count, color="0.5", linewidth=0.8, label="chance")
    name_axes(axes, f"k, of {count} labels", "share of pictures with\ntheir own label among k")
    axes.set_ylim(0, 1)
    axes.legend()
    return figure


@own_style()
def null_directions(
    shifts: Sequence[float], losses: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]], marks: Mapping[str, float]
) -> Figure:
    """How the U-Net's error on a noised picture changes when its text is moved along a direction.

    shifts: S numbers.  losses: {direction: (mean, low, high)}, each (S,), relative to no move.  marks: {name: shift}.
    """
    colours = ["tab:blue", "tab:red", "0.55", "black"]
    figure = blank(8.5, 3.6)
    axes = figure.subplots()
    for style, colour, (label, (mean, low, high)) in zip(LINES, colours, losses.items()):
        axes.plot(shifts, mean, style, marker="o", markersize=4, color=colour, label=label)
        axes.fill_between(shifts, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.axhline(1, color="0.5", linewidth=0.8)
    at_the_foot: dict[str, Any] = dict(xytext=(3, 4), xycoords=axes.get_xaxis_transform(), textcoords="offset points", fontsize=8)
    for name, shift in marks.items():
        axes.axvline(shift, color="0.5", linewidth=0.8, linestyle=":")
        axes.annotate(name, (shift, 0), **at_the_foot)
    move = "move of the null text, RMS per number: < 0 away from the picture, > 0 towards it"
    name_axes(axes, move, "error of the noise estimate,\nrelative to no move")
    axes.legend()
    return figure


@own_style()
def effects(named: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> Figure:
    """Differences with their 95 % intervals, one plot a measure, one row a setting.  named: {measure: {setting: (mean, low, high)}}."""
    count = len(next(iter(named.values())))
    figure = blank(8.5, 0.9 + 0.3 * count)
    grid = figure.subplots(1, len(named), squeeze=False, sharey=True)[0]
    for axes, (measure, settings) in zip(grid, named.items()):
        mean, low, high = np.array(list(settings.values())).T
        axes.axvline(0, color="0.5", linewidth=0.8)
        axes.errorbar(mean, np.arange(count), xerr=[mean - low, high - mean], fmt="ok", markersize=5, capsize=3)
        axes.set_yticks(np.arange(count), list(settings))
        axes.set_xlabel(measure)
    grid[0].invert_yaxis()
    return figure


@own_style()
def negation_trajectory(
    rows: Mapping[str, Tensor], t: Sequence[int], losses: Mapping[str, ArrayLike], moves: Mapping[str, ArrayLike]
) -> Figure:
    """Estimates along a run in rows, over the loss and how far the null text has moved.

    rows: {name: (K, 3, H, W)}.  t: K timesteps.  losses: {name: (K,)}.  moves: {name: (K,)}, RMS per number of c_∅.
    """
    figure = blank(max(6, 0.8 * len(t) + 1.4), 0.8 * len(rows) + 2.6)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[0.8 * len(rows) + 0.3, 2.3])[:, 0]
    grid = top.subplots(len(rows), len(t), squeeze=False)
    show_rows(grid, rows)
    for axes, each in zip(grid[0], t):
        axes.set_title(f"t = {each}", fontsize=8)
    styles: list[dict[str, Any]] = [dict(color="0.5", linestyle="--", marker="o"), dict(color="tab:blue", marker="s")]
    for axes, curves, label in zip(bottom.subplots(1, 2), (losses, moves), ("sim(T_img(x̂), c_∅)", "c_∅ has moved, RMS")):
        for (name, values), style in zip(curves.items(), styles):
            axes.plot(t, values, markersize=4, linewidth=1.2, label=name, **style)
        axes.invert_xaxis()
        name_axes(axes, TIME, label)
        axes.legend()
    return figure
