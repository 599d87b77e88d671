"""Figures of notebook 06."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from .base import LINES, TIME, WIDEST, Figure, blank, name_axes, own_style, show_rows

__all__ = ["effects", "found_among", "negation_losses", "negation_trajectory", "null_directions", "push_of_null_text"]

MARKERS = "osD^v"
COLOURS = ["tab:blue", "tab:red", "0.45", "black", "tab:green"]

OMEGA, WORDS, SEEN = 2.5, np.array([1.0, 0.3]), np.array([0.6, 0.75])
AWAY = 0.4 * SEEN / np.linalg.norm(SEEN)


@own_style()
def push_of_null_text() -> Figure:
    """Where guidance goes when the null text moves, in a world of two qualities: how much of an apple, and how red.

    Three moves of the null text: to the words "red apple", away from what x̂ shows (negation), and towards it. The end of guidance,
    c_∅ + ω (c − c_∅), moves by −(ω − 1) as much.
    """
    moves = {"chosen by hand:\nto “red apple”": np.array([0.9, 0.8]), "negation:\naway from x̂": -AWAY, "reversed:\ntowards x̂": AWAY}
    figure = blank(WIDEST, 4.4)
    grid = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, (title, move) in zip(grid, moves.items()):
        for null, colour, after in ((np.zeros(2), "0.6", False), (move, "black", True)):
            end = null + OMEGA * (WORDS - null)
            _arrow(axes, null, end, colour)
            axes.plot(*null, "o", color=colour, markersize=9, label="null text, moved" if after else "null text, empty")
            axes.plot(*end, "*", color=colour, markersize=17, label="end of guidance, moved" if after else "end of guidance")
        _arrow(axes, np.zeros(2), move, "tab:red")
        _arrow(axes, OMEGA * WORDS, OMEGA * WORDS - (OMEGA - 1) * move, "tab:red")
        axes.plot(*WORDS, "s", color="tab:blue", markersize=9, label="text “apple”")
        axes.plot(*SEEN, "D", color="tab:red", markersize=9, label="what x̂ shows, a red apple")
        axes.set_title(title)
        name_axes(axes, "more of an apple →", "redder →" if axes is grid[0] else "")
        axes.set_aspect("equal")
        axes.set_xlim(-0.7, 3.3)
        axes.set_ylim(-1.0, 1.75)
        axes.set_xticks([])
        axes.set_yticks([])
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _arrow(axes: Axes, start: np.ndarray, end: np.ndarray, colour: str) -> None:
    axes.annotate("", tuple(end), tuple(start), arrowprops=dict(arrowstyle="-|>", color=colour, linewidth=2))


@own_style()
def negation_losses(t: Sequence[int], walks: Mapping[str, tuple[ArrayLike, ArrayLike]], iterations: int = 10) -> Figure:
    """The loss along a run: within a call of negation a straight line, between two calls a jump, because the estimate has changed.

    t: K timesteps with a call.  walks: {label: (before, after)}, the loss at the ends of each call, (K,).
    """
    styles: list[dict[str, Any]] = [dict(color="0.5"), dict(color="tab:blue", marker="o"), dict(color="tab:red", marker="s")]
    figure = blank(WIDEST, 4.6)
    axes = figure.subplots()
    iterations = checks.integer("iterations", iterations, 0)
    starts = iterations * np.arange(len(t))
    for (label, values), style in zip(walks.items(), styles):
        before, after = map(np.asarray, values)
        for index, (start, *ends) in enumerate(zip(starts, before, after)):
            axes.plot([start, start + iterations], ends, markersize=4, linewidth=2.5, label=None if index else label, **style)
        joined = np.stack([starts, starts + iterations], 1).ravel()
        axes.plot(joined, np.stack([before, after], 1).ravel(), ":", color=style["color"], linewidth=1.2)
    for start in starts:
        axes.axvline(float(start), color="0.9", linewidth=0.8, zorder=-1)
    top = axes.secondary_xaxis("top")
    shown = slice(None, None, 1 + len(t) // 14)
    top.set_xticks(starts[shown], [str(each) for each in t[shown]])
    top.set_xlabel("t, at which the call is made")
    name_axes(axes, "iteration of Adam, over the run", "similarity of x̂ and the null text")
    axes.legend()
    return figure


@own_style()
def found_among(ranks: Mapping[str, ArrayLike], count: int) -> Figure:
    """The share of pictures whose own label is among the k nearest of `count`, over k.  ranks: {label: (N,)}, 0 is the nearest."""
    count = checks.integer("count", count)
    places = np.arange(1, count + 1)
    figure = blank(WIDEST, 4.2)
    axes = figure.subplots()
    for style, colour, (label, values) in zip(LINES, COLOURS, ranks.items()):
        shares = (np.asarray(values)[:, None] < places).mean(0)
        axes.semilogx(places, shares, style, color=colour, linewidth=2.5, label=label)
    axes.semilogx(places, places / count, color="0.7", linewidth=1, label="chance")
    name_axes(axes, f"k, of {count} labels", "share of pictures with\ntheir own label among k")
    axes.set_ylim(0, 1.05)
    axes.legend()
    return figure


@own_style()
def null_directions(
    shifts: Sequence[float], panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]]], marks: Mapping[str, float]
) -> Figure:
    """What moving the null text along directions does, one plot a measure.

    shifts: S numbers.  panels: {measure: {direction: (mean, low, high)}}, each (S,).  marks: {name: shift}, told at the foot of each plot.
    """
    figure = blank(WIDEST, 4.8)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (measure, curves) in zip(grid, panels.items()):
        for style, marker, colour, (label, (mean, low, high)) in zip([*LINES, "-"], MARKERS, COLOURS, curves.items()):
            axes.plot(shifts, mean, style, marker=marker, markersize=6, color=colour, label=label)
            axes.fill_between(shifts, low, high, color=colour, alpha=0.12, linewidth=0)
        for name, shift in marks.items():
            axes.axvline(shift, color="0.6", linewidth=1, linestyle=":")
            axes.annotate(name, (shift, 0), xytext=(4, 4), xycoords=axes.get_xaxis_transform(), textcoords="offset points")
        name_axes(axes, "move of the null text:\n← away     towards →", measure)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@own_style()
def effects(named: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> Figure:
    """Differences with their 95 % intervals, one plot a measure, one row a setting.  named: {measure: {setting: (mean, low, high)}}."""
    count = len(next(iter(named.values())))
    figure = blank(WIDEST, 1 + 0.36 * count)
    grid = figure.subplots(1, len(named), squeeze=False, sharey=True)[0]
    for axes, (measure, settings) in zip(grid, named.items()):
        mean, low, high = np.array(list(settings.values())).T
        axes.axvline(0, color="0.5", linewidth=1)
        axes.errorbar(mean, np.arange(count), xerr=[mean - low, high - mean], fmt="ok", markersize=6, capsize=4)
        axes.set_yticks(np.arange(count), list(settings))
        axes.set_xlabel(measure)
        axes.locator_params(axis="x", nbins=4)
        for edge in range(1, count):
            axes.axhline(edge - 0.5, color="0.92", linewidth=0.8, zorder=-1)
    grid[0].set_ylim(count - 0.5, -0.5)
    return figure


@own_style()
def negation_trajectory(
    rows: Mapping[str, Tensor], t: Sequence[int], losses: Mapping[str, ArrayLike], moves: Mapping[str, ArrayLike]
) -> Figure:
    """Estimates along a run in rows, over the loss and how far the null text has moved.

    rows: {name: (K, 3, H, W)}.  t: K timesteps.  losses: {name: (K,)}.  moves: {name: (K,)}, RMS per number of c_∅.
    """
    side = min(1.2, (WIDEST - 1.8) / len(t))
    figure = blank(max(8, side * len(t) + 1.8), side * len(rows) + 3.6)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[side * len(rows) + 0.4, 3.2])[:, 0]
    grid = top.subplots(len(rows), len(t), squeeze=False)
    show_rows(grid, rows)
    for axes, each in zip(grid[0], t):
        axes.set_title(f"t = {each}" if side > 0.85 else f"{each}")
    styles: list[dict[str, Any]] = [dict(color="0.5", linestyle="--", marker="o"), dict(color="tab:blue", marker="s")]
    names = "similarity of x̂\nand the null text", "move of the null text,\nRMS per number"
    for axes, curves, label in zip(bottom.subplots(1, 2), (losses, moves), names):
        for (name, values), style in zip(curves.items(), styles):
            axes.plot(t, values, markersize=6, linewidth=2, label=name, **style)
        axes.invert_xaxis()
        name_axes(axes, TIME.replace(" (", "\n("), label)
        axes.legend()
    return figure
