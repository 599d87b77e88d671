"""Figures of notebook 05."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from ..metrics import pixel_deviation
from .base import AS_TYPED, TIME, Figure, enlarged, name_axes, one_each, show, show_map
from .earlier import blank, own_style

__all__ = ["paired", "seeds_and_deviation", "text_weight", "texts"]


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
    side = max(rows, 1.5)
    figure = blank(min(10, 1 + 0.95 * (columns + 2 * side)), (0.85 * side + 0.35) * len(groups))
    bands = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
    for band, (title, group) in zip(bands, groups.items()):
        left, right = band.subfigures(1, 2, width_ratios=[columns, 2.3 * side])
        left.suptitle(f"{title}, {len(group)} seeds", **AS_TYPED)
        for index, axes in enumerate(left.subplots(rows, columns, squeeze=False).flat):
            if index < len(group):
                show(axes, group[index])
            else:
                axes.axis("off")
        mean, deviation = right.subplots(1, 2)
        show(mean, group.mean(0), "mean")
        drawn = show_map(deviation, deviations[title], 0, top, "magma")
        deviation.set_title(f"deviation, mean {float(deviations[title].mean()):.2f}")
        right.colorbar(drawn, ax=deviation, shrink=0.8)
    return figure


@own_style()
def text_weight(t: Tensor, weight: Tensor, is_consistency: Tensor) -> Figure:
    """The share of the measurement and of the text in the latent step, against t; dots where the step is taken.

    t: (T,), falling.  weight: ᾱ at the level below each, (T,).  is_consistency: (T,), bool, true in Γ.
    """
    times, share, taken = (each.numpy() for each in (t, weight, is_consistency))
    figure = blank(8.5, 3.2)
    axes = figure.subplots()
    axes.fill_between(times, 0, share, color="tab:blue", alpha=0.35, linewidth=0)
    axes.fill_between(times, share, 1, color="0.9", linewidth=0)
    axes.plot(times, share, color="black", linewidth=1)
    axes.plot(times[taken], share[taken], "o", color="black", markersize=5, clip_on=False, label="consistency steps, Γ")
    axes.axhline(0.5, color="0.4", linestyle="--", linewidth=0.8)
    for x, y, name in ((0.3, 0.78, "1 − ᾱ, the text: ẑ₀"), (0.85, 0.2, "ᾱ, the measurement: E(x̂)")):
        axes.text(x, y, name, transform=axes.transAxes, ha="center", va="center", fontsize=10)
    axes.set_xlim(times.max(), times.min())
    axes.set_ylim(0, 1)
    name_axes(axes, TIME, "weight in the latent step")
    axes.legend(loc="upper left")
    return figure


@own_style()
def texts(x: Tensor, y: Tensor, groups: Mapping[str, Tensor], operator: Any) -> Figure:
    """One measurement under several texts: a column each, over what would be measured of the last reconstruction in it.

    x: (1, 3, H, W).  y: (1, C, h, w).  groups: {text: (S, 3, H, W)}, S the same in all.
    """
    count = len(next(iter(groups.values())))
    figure = blank(1.45 * (len(groups) + 1), 1.5 * (count + 1))
    grid = figure.subplots(count + 1, len(groups) + 1)
    for axes in grid[1:-1, 0]:
        axes.axis("off")
    show(grid[0, 0], x[0], "truth x")
    show(grid[-1, 0], enlarged(y, x), note="measured: y")
    for column, (text, group) in zip(grid[:, 1:].T, groups.items()):
        for axes, x_hat in zip(column, group):
            show(axes, x_hat)
        column[0].set_title(text, fontsize=10, **AS_TYPED)
        show(column[-1], enlarged(operator.A(group[-1:]), x), note="A(x̂) of the x̂ above")
    return figure


@own_style()
def paired(values: Mapping[str, ArrayLike], names: Sequence[str], label: str) -> Figure:
    """A number of every image under two conditions, joined by a line.  values: {condition: (N,)}, two.  names: N strings."""
    (first, a), (second, b) = ((condition, np.asarray(each)) for condition, each in values.items())
    one_each("names", names, len(a))
    order = np.argsort(a)
    places = np.arange(len(a))
    figure = blank(8.5, 0.8 + 0.24 * len(a))
    axes = figure.subplots()
    axes.hlines(places, np.minimum(a, b)[order], np.maximum(a, b)[order], color="0.6", linewidth=1.2, zorder=1)
    axes.scatter(a[order], places, color="white", edgecolor="black", s=36, label=first, zorder=2)
    axes.scatter(b[order], places, color="tab:blue", edgecolor="black", marker="s", s=30, label=second, zorder=2)
    axes.set_yticks(places, [names[i] for i in order], **AS_TYPED)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.legend(loc="lower right")
    return figure
