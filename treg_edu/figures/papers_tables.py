"""Figures of notebook 09."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import ArrayLike

from .. import checks
from .base import LINES, WIDEST, Figure, blank, name_axes, own_style

__all__ = ["compared", "curves", "shares", "standing"]

WITH_GRADIENTS = "sD^v<>PXhpd*"
WITHOUT = "x+1234|_"
Point = tuple[float, tuple[float, float, float], bool]
"""(time, (mean, low, high), whether it is on the front)."""


@own_style()
def standing(panels: Mapping[str, Mapping[str, Sequence[Point]]], own: str, gradients: Collection[str]) -> Figure:
    """A plot a quality: each solver's, with different numbers of steps, over the time it takes.

    `own` is the thick line; the solvers of `gradients` have filled markers, the others thin ones and a dashed line.  A ring marks a point
    that no other beats in time and quality.  panels: {quality: {solver: [(time over DDIM's, (mean, low, high), on the front?), …]}}.
    """
    checks.expect(len(panels) > 0, "panels", "none", "one or more")
    figure = blank(WIDEST, 5.6)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    styles = {name: style_of(name, names, own, gradients) for name in names}
    for axes, (quality, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for name, each in curves.items():
            time = [time for time, *_ in each]
            mean, low, high = np.array([interval for _, interval, _ in each]).T
            axes.errorbar(time, mean, yerr=[mean - low, high - mean], label=name, elinewidth=0.6, **styles[name])
        ringed = [(time, mean) for each in curves.values() for time, (mean, *_), on in each if on]
        if ringed:
            axes.plot(*zip(*ringed), "o", color="none", markeredgecolor="black", markersize=13, label="none is faster and better")
        scales(axes, curves)
        name_axes(axes, "time / DDIM's", quality)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, handlelength=1.6, columnspacing=1.0)
    return figure


def style_of(name: str, names: Sequence[str], own: str, gradients: Collection[str]) -> dict[str, Any]:
    """Line, marker and colour of a solver, which differ in grey as well."""
    if name == own:
        return dict(color="tab:blue", marker="o", markersize=7, linewidth=3, zorder=5)
    alike = [each for each in names if each != own and (each in gradients) == (name in gradients)]
    markers = WITH_GRADIENTS if name in gradients else WITHOUT
    marker = markers[alike.index(name) % len(markers)]
    if name in gradients:
        return dict(color="tab:red", marker=marker, markersize=6, linewidth=0.8, markeredgecolor="black", markeredgewidth=0.5)
    return dict(color="0.35", marker=marker, markersize=7, linewidth=0.8, linestyle="--")


def scales(axes: Axes, curves: Mapping[str, Sequence[Point]]) -> None:
    """Time on a logarithmic axis, and the quality where its means differ by a factor of 20."""
    times = [time for each in curves.values() for time, *_ in each]
    means = [mean for each in curves.values() for _, (mean, *_), _ in each]
    axes.set_xscale("log")
    decades(axes.xaxis, max(times) / min(times))
    if min(means) > 0 and max(means) / min(means) > 20:
        axes.set_yscale("log")
        decades(axes.yaxis, max(means) / min(means))
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def decades(axis: Axis, wide: float) -> None:
    """Ticks of a logarithmic axis that spans a factor of `wide`, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1,) if wide > 300 else (1, 3) if wide > 30 else (1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


@own_style()
def compared(panels: Mapping[str, Mapping[str, tuple[float, float, float]]], margins: Mapping[str, float] | None = None) -> Figure:
    """Differences with their intervals, a plot a quantity, a row an arm; a line at 0.

    panels: {quantity: {arm: (mean, low, high)}}.  margins: {quantity: m}; what lies beyond m is shaded, where more is worse.
    """
    checks.expect(len(panels) > 0 and all(panels.values()), "panels", "none, or one without arms", "one or more, with arms")
    arms = list(dict.fromkeys(arm for each in panels.values() for arm in each))
    figure = blank(WIDEST, 1.3 + 0.34 * len(arms))
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (quantity, each) in zip(grid, panels.items()):
        mean, low, high = np.array(list(each.values())).T
        places = [arms.index(arm) for arm in each]
        axes.axvline(0, color="black", linewidth=0.8)
        axes.errorbar(mean, places, xerr=[mean - low, high - mean], fmt="o", color="tab:blue", markersize=6, capsize=3, linewidth=1.5)
        if margins and quantity in margins:
            right = max(axes.get_xlim()[1], 1.3 * margins[quantity])
            axes.axvspan(margins[quantity], right, facecolor="0.92", hatch="//", edgecolor="0.7", linewidth=0, zorder=-1)
            axes.set_xlim(right=right)
        axes.locator_params(axis="x", nbins=5 if len(panels) < 4 else 3)
        axes.grid(axis="y", color="0.92")
        axes.set_axisbelow(True)
        name_axes(axes, quantity, "")
    grid[0].set_yticks(range(len(arms)), arms)
    grid[0].set_ylim(len(arms) - 0.4, -0.6)
    return figure


@own_style()
def shares(rows: Mapping[str, Mapping[str, float]]) -> Figure:
    """A bar a row, divided into its shares.  rows: {row: {kind: share}}, which sum up to 1; the same kinds for all."""
    checks.expect(len(rows) > 0, "rows", "none", "one or more")
    kinds = list(next(iter(rows.values())))
    figure = blank(WIDEST, 1.5 + 0.36 * len(rows))
    axes = figure.subplots()
    at = np.zeros(len(rows))
    for kind, (colour, hatch) in zip(kinds, [("tab:blue", ""), ("0.75", "///"), ("tab:orange", "..."), ("white", ""), ("0.4", "xx")]):
        found = np.array([each[kind] for each in rows.values()])
        axes.barh(range(len(rows)), found, left=at, color=colour, hatch=hatch, edgecolor="black", linewidth=0.5, label=kind)
        at += found
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    name_axes(axes, "share of reconstructions", "")
    figure.legend(loc="outside upper center", ncols=len(kinds))
    return figure


@own_style()
def curves(
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]], x: str, y: str, level: float | None = None, logarithmic: bool = False
) -> Figure:
    """Curves, a plot a title.  panels: {title: {curve: (x values, y values)}}.  x, y: what is on the axes.  level: a line at this y."""
    checks.expect(len(panels) > 0, "panels", "none", "one or more")
    level = None if level is None else checks.number("level", level)
    figure = blank(WIDEST, 4.0)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, each) in zip(grid, panels.items()):
        for place, (name, (across, values)) in enumerate(each.items()):
            axes.plot(across, values, LINES[place % len(LINES)], marker="os^Dvx"[place % 6], markevery=0.15, label=name, linewidth=1.8)
        if level is not None:
            axes.axhline(level, color="black", linewidth=0.8)
        if logarithmic:
            axes.set_yscale("log")
        axes.set_title(title)
        name_axes(axes, x, y if axes is grid[0] else "")
        axes.legend()
    return figure
