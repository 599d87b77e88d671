"""Figures of notebook 09."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from .. import checks
from .base import WIDEST, Figure, blank, name_axes, own_style

__all__ = ["standing"]

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
