"""Figures of notebook 05."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from ..metrics import pixel_deviation
from .base import AS_TYPED, LINES, TEXT, TIME, WIDEST, Figure, blank, enlarged, name_axes, one_each, own_style, show, show_map
from .pictures import LINE, lines, wrapped

__all__ = ["alternation", "deviation_and_error", "guidance_and_text", "paired", "seeds_and_deviation", "text_weight", "texts"]

MARKERS = "os^D"
COLOURS = ["tab:blue", "0.35", "tab:red", "tab:purple"]
Point = tuple[float, float, float]
"""A mean and its interval."""


@own_style()
def seeds_and_deviation(groups: Mapping[str, Tensor], columns: int = 8) -> Figure:
    """For each text its reconstructions of one measurement, their mean, and the deviation of every pixel, on one scale.

    groups: {title: (S, 3, H, W)}, S ≥ 2; the seeds in rows of `columns`.
    """
    deviations = {title: pixel_deviation(group) for title, group in groups.items()}
    top = max(float(values.max()) for values in deviations.values())
    count = max(map(len, groups.values()))
    columns = min(checks.integer("columns", columns), count)
    rows = math.ceil(count / columns)
    side = min(1.1, 5.6 / columns)
    figure = blank(WIDEST, (max(rows * side, 1.7) + 0.75) * len(groups))
    bands = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
    for band, (title, group) in zip(bands, groups.items()):
        left, right = band.subfigures(1, 2, width_ratios=[1.35, 1])
        left.suptitle(f"{title}, {len(group)} seeds", **AS_TYPED)
        for index, axes in enumerate(left.subplots(rows, columns, squeeze=False).flat):
            if index < len(group):
                show(axes, group[index])
            else:
                axes.axis("off")
        mean, deviation = right.subplots(1, 2)
        show(mean, group.mean(0), "mean")
        drawn = show_map(deviation, deviations[title], 0, top, "magma")
        deviation.set_title(f"deviation: {float(deviations[title].mean()):.2f}")
        right.colorbar(drawn, ax=deviation, shrink=0.7)
    return figure


@own_style()
def deviation_and_error(x: Tensor, groups: Mapping[str, Tensor]) -> Figure:
    """For each text a reconstruction, the deviation over seeds, and the error against the truth, both on one scale.

    x: (1, 3, H, W), the truth.  groups: {title: (S, 3, H, W)}, S ≥ 2.  Under the maps are their means.
    """
    maps = {}
    for title, group in groups.items():
        maps[title] = pixel_deviation(group), (group - x).square().mean((0, 1)).sqrt()
    top = max(float(each.max()) for pair in maps.values() for each in pair)
    figure = blank(min(WIDEST, 2.3 * (len(groups) + 1) + 0.6), 6.6)
    grid = figure.subplots(3, len(groups) + 1)
    show(grid[0, 0], x[0], "truth x")
    for axes in grid[1:, 0]:
        axes.axis("off")
    for row, name in zip(grid[1:], ["deviation over\nseeds", "error against\nthe truth"]):
        row[0].text(0.5, 0.5, name, transform=row[0].transAxes, ha="center", va="center")
    for column, (title, group) in zip(grid[:, 1:].T, groups.items()):
        show(column[0], group[0], title)
        for axes, values in zip(column[1:], maps[title]):
            drawn = show_map(axes, values, 0, top, "magma")
            axes.set_xlabel(f"mean {float(values.mean()):.2f}")
    figure.colorbar(drawn, ax=list(grid.flat), shrink=0.5)
    return figure


@own_style()
def text_weight(t: Tensor, weight: Tensor, is_consistency: Tensor) -> Figure:
    """The share of the measurement and of the text in the latent step, against t; dots where the step is taken.

    t: (T,), falling.  weight: ᾱ at the level below each, (T,).  is_consistency: (T,), bool, true in Γ.
    """
    times, share, taken = (each.numpy() for each in (t, weight, is_consistency))
    figure = blank(WIDEST, 4)
    axes = figure.subplots()
    axes.fill_between(times, 0, share, color="tab:blue", alpha=0.35, linewidth=0)
    axes.fill_between(times, share, 1, color="0.9", linewidth=0)
    axes.plot(times, share, color="black", linewidth=1.5)
    axes.plot(times[taken], share[taken], "o", color="black", markersize=7, clip_on=False, label="consistency steps, Γ")
    axes.axhline(0.5, color="0.4", linestyle="--", linewidth=1)
    for x, y, name in ((0.3, 0.72, "1 − ᾱ, the text: ẑ₀"), (0.85, 0.2, "ᾱ, the measurement: E(x̂)")):
        axes.text(x, y, name, transform=axes.transAxes, ha="center", va="center")
    axes.set_xlim(times.max(), times.min())
    axes.set_ylim(0, 1)
    name_axes(axes, TIME, "weight in the latent step")
    axes.legend(loc="upper left")
    return figure


@own_style()
def alternation(curves: Mapping[str, ArrayLike]) -> Figure:
    """An objective after each half step of methods that take turns between x and z.  curves: {method: (K,)}, from the start on."""
    figure = blank(WIDEST, 3.8)
    axes = figure.subplots()
    for index, (name, values) in enumerate(curves.items()):
        values = np.asarray(values)
        style = LINES[index % 4] + MARKERS[index % 4]
        axes.semilogy(np.arange(len(values)) / 2, values, style, color=COLOURS[index % 4], linewidth=2, label=name)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    name_axes(axes, "rounds (a step for x, then a step for z)", "joint objective J(x, z)")
    axes.legend()
    return figure


@own_style()
def texts(x: Tensor, y: Tensor, groups: Mapping[str, Tensor], operator: Any) -> Figure:
    """One measurement under several texts: a column each, over what would be measured of the last reconstruction in it.

    x: (1, 3, H, W).  y: (1, C, h, w).  groups: {text: (S, 3, H, W)}, S the same in all.
    """
    count = len(next(iter(groups.values())))
    columns = len(groups) + 1
    side = min(1.7, (WIDEST - 0.2) / columns)
    titles = {text: wrapped(text, side) for text in groups}
    figure = blank(side * columns, side * (count + 1) + LINE * (lines(list(titles.values())) + 2))
    grid = figure.subplots(count + 1, columns)
    for axes in grid[1:-1, 0]:
        axes.axis("off")
    show(grid[0, 0], x[0], "truth x")
    show(grid[-1, 0], enlarged(y, x), note="y")
    for column, (text, group) in zip(grid[:, 1:].T, groups.items()):
        for axes, x_hat in zip(column, group):
            show(axes, x_hat)
        column[0].set_title(titles[text], **AS_TYPED)
        show(column[-1], enlarged(operator.A(group[-1:]), x), note="A(x̂)")
    return figure


@own_style()
def paired(values: Mapping[str, ArrayLike], names: Sequence[str], label: str) -> Figure:
    """A number of every image under two conditions, joined by a line.  values: {condition: (N,)}, two.  names: N strings."""
    (first, a), (second, b) = ((condition, np.asarray(each)) for condition, each in values.items())
    one_each("names", names, len(a))
    order = np.argsort(a)
    places = np.arange(len(a))
    figure = blank(WIDEST, 1 + 0.32 * len(a))
    axes = figure.subplots()
    axes.hlines(places, np.minimum(a, b)[order], np.maximum(a, b)[order], color="0.6", linewidth=2, zorder=1)
    axes.scatter(a[order], places, color="white", edgecolor="black", s=64, label=first, zorder=2)
    axes.scatter(b[order], places, color="tab:blue", edgecolor="black", marker="s", s=56, label=second, zorder=2)
    axes.set_yticks(places, [names[i] for i in order], **AS_TYPED)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.legend(loc="lower right")
    return figure


@own_style()
def guidance_and_text(curves: Mapping[str, Mapping[str, Sequence[tuple[str, Point, Point]]]]) -> Figure:
    """What texts and guidance do: the similarity to the true label over the misfit in σ, a plot for each weight of the latent step.

    curves: {weight: {text: [(name of the point, (misfit, low, high), (similarity, low, high)), …]}}; the points of a text are joined.
    """
    figure = blank(WIDEST, 4.8)
    plots = figure.subplots(1, len(curves), sharey=True, sharex=True, squeeze=False)[0]
    for axes, (weight, each) in zip(plots, curves.items()):
        for index, (text, points) in enumerate(each.items()):
            x, y = (np.array([point[i] for point in points]).T for i in (1, 2))
            spread = dict(xerr=[x[0] - x[1], x[2] - x[0]], yerr=[y[0] - y[1], y[2] - y[0]], capsize=0, elinewidth=0.8)
            style = LINES[index % 4] + MARKERS[index % 4]
            axes.errorbar(x[0], y[0], fmt=style, color=COLOURS[index % 4], linewidth=2, markersize=7, label=text, **spread)
            for name, left, height in zip([point[0] for point in points], x[0], y[0]):
                axes.annotate(name, (left, height), xytext=(7, 7), textcoords="offset points", fontsize=TEXT)
        axes.set_title(weight)
        name_axes(axes, "misfit in σ", "similarity to the true label" if axes is plots[0] else "")
    figure.legend(*plots[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
