"""Figures of notebook 10."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from .base import AS_TYPED, LINES, TIME, WIDEST, Figure, blank, name_axes, one_each, own_style
from .pictures import LETTER, wrapped

__all__ = ["differences", "guidance_along", "orientations_along", "ranked_texts", "renewed_from"]

COLOURS = ("tab:blue", "tab:red", "0.35", "tab:orange")


@own_style()
def guidance_along(curves: Mapping[str, tuple[Sequence[int], ArrayLike]], levels: Mapping[str, float]) -> Figure:
    """Guidance scales along a run.  curves: {label: (timesteps, ω at each)}.  levels: {name: ω}, drawn as lines across."""
    figure = blank(8.5, 3.8)
    axes = figure.subplots()
    for (label, (t, omega)), line, colour in zip(curves.items(), LINES, COLOURS):
        axes.plot(t, omega, line, color=colour, linewidth=2.2, label=label)
    for name, omega in levels.items():
        axes.axhline(omega, color="black", linewidth=0.9)
        axes.annotate(name, (0, omega), xytext=(4, 4), textcoords="offset points", xycoords=axes.get_yaxis_transform())
    axes.invert_xaxis()
    axes.set_ylim(bottom=0)
    name_axes(axes, TIME, "ω of the same CFG step")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@own_style()
def differences(rows: Mapping[str, Mapping[str, tuple[ArrayLike, tuple[float, float, float]]]]) -> Figure:
    """Paired differences: a plot a measure, in it a row a comparison; a dot a picture, and their mean with its interval.

    rows: {comparison: {measure: ((N,) differences, (mean, low, high))}}, the measures the same in all.
    """
    measures = list(next(iter(rows.values())))
    for name, each in rows.items():
        checks.expect(list(each) == measures, name, ", ".join(each), ", ".join(measures))
    figure = blank(WIDEST, 1.0 + 0.55 * len(rows))
    grid = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    for axes, measure in zip(grid, measures):
        axes.axvline(0, color="0.4", linewidth=1)
        for place, each in enumerate(rows.values()):
            values, (mean, low, high) = each[measure]
            axes.plot(np.asarray(values), np.full(len(np.asarray(values)), place + 0.18), "o", color="tab:blue", markersize=5, alpha=0.45)
            axes.errorbar(mean, place - 0.12, xerr=[[mean - low], [high - mean]], fmt="ok", markersize=6, capsize=4, linewidth=1.8)
        axes.set_xlabel(measure)
        axes.xaxis.set_major_locator(MaxNLocator(4 if len(measures) < 4 else 3))
    grid[0].set_yticks(range(len(rows)), list(rows))
    grid[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


@own_style()
def orientations_along(t: Sequence[int], walks: Mapping[str, Tensor]) -> Figure:
    """Which way up the estimates are along runs: a plot a way to run, a line a picture, 1 upright, −1 turned by 180°.

    t: K timesteps.  walks: {name: (K, N)}.
    """
    figure = blank(min(WIDEST, 3.4 * len(walks) + 0.6), 3.5)
    grid = figure.subplots(1, len(walks), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, values) in zip(grid, walks.items()):
        one_each(name, values, len(t))
        for line in values.detach().cpu().numpy().T:
            axes.plot(t, line, color="tab:blue" if line[-1] > 0 else "tab:red", linestyle="-" if line[-1] > 0 else "--", linewidth=1.6)
        axes.axhline(0, color="0.4", linewidth=0.8)
        axes.set_title(name, **AS_TYPED)
        axes.set_xlabel("t (data on the right)")
    grid[0].set_xlim(max(t), 0)
    grid[0].set_xticks([800, 600, 400, 200])
    grid[0].set_ylim(-1.05, 1.05)
    grid[0].set_yticks([-1, 0, 1], ["turned", "0", "upright"])
    grid[0].set_ylabel("orientation of D(ẑ₀)")
    return figure


@own_style()
def renewed_from(t: Sequence[int], orientations: Tensor) -> Figure:
    """How runs end that began at the turned copy under new noise: a dot a picture, a line through the means, over the level of the noise.

    t: K timesteps.  orientations: (K, N), 1 upright, −1 turned by 180°.
    """
    one_each("orientations", orientations, len(t))
    values = orientations.detach().cpu().numpy()
    figure = blank(7.5, 3.6)
    axes = figure.subplots()
    axes.axhline(0, color="0.4", linewidth=0.8)
    for each in values.T:
        axes.plot(t, each, "o", color="tab:blue", markersize=8, alpha=0.45)
    axes.plot(t, values.mean(1), "s-", color="black", markersize=6, linewidth=1.8, label="mean")
    axes.invert_xaxis()
    axes.set_xticks(t)
    axes.set_ylim(-1.1, 1.1)
    axes.set_yticks([-1, 0, 1], ["turned", "0", "upright"])
    name_axes(axes, "t at which new noise hid the turned copy", "orientation at the end")
    axes.legend(loc="upper right")
    return figure


@own_style()
def ranked_texts(scores: Mapping[str, Tensor], texts: Sequence[str]) -> Figure:
    """Every picture under every text, and which text is best: a matrix a criterion, dark where the text is among the first.

    scores: {criterion: (N, N)}, a row a picture, a column a text, larger is better; the picture's own text is on the diagonal, framed.
    A white dot marks the best text of each picture.  texts: N strings.
    """
    count, texts = len(texts), [wrapped(text, 1.3) for text in texts]
    beside = LETTER * max(len(line) for text in texts for line in text.split("\n"))  # inches, of a text
    figure = blank(WIDEST, (WIDEST - beside) / len(scores) + beside + 0.8)
    grid = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    for axes, (name, values) in zip(grid, scores.items()):
        checks.expect(tuple(values.shape) == (count, count), name, f"shape {tuple(values.shape)}", f"{(count, count)}")
        numbers = values.detach().cpu().double().numpy()
        ranks = np.argsort(np.argsort(-numbers, axis=1), axis=1)
        axes.imshow(ranks, cmap="Blues_r", vmin=0, vmax=1.25 * (count - 1))
        for row in range(count):
            axes.add_patch(_frame(row))
            axes.plot(int(ranks[row].argmin()), row, "o", color="white", markeredgecolor="black", markersize=9)
        right = int((ranks.argmin(1) == np.arange(count)).sum())
        axes.set_title(f"{name}\nown text best: {right} of {count} pictures", **AS_TYPED)
        axes.set_xticks(range(count), texts, rotation=90, **AS_TYPED)
        axes.set_xlabel("text")
    grid[0].set_yticks(range(count), texts, **AS_TYPED)
    grid[0].set_ylabel("measured picture")
    return figure


def _frame(place: int) -> Rectangle:
    """Around a cell of the diagonal."""
    return Rectangle((place - 0.47, place - 0.47), 0.94, 0.94, fill=False, edgecolor="black", linewidth=2)
