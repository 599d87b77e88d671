"""Figures of notebook 02."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.patches
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from .base import Figure, blank, name_axes, one_each, own_style, show, show_map

__all__ = ["convergence", "copies_found", "found_shifts", "log_magnitude", "over_magnitudes"]


def log_magnitude(magnitude: Tensor, floor: float) -> Tensor:
    """log₁₀ of a Fourier magnitude and at least of `floor`, the zero frequency in the middle.  magnitude, returned: (…, H, W)."""
    return torch.fft.fftshift(magnitude, (-2, -1)).clamp(min=floor).log10()


@own_style()
def over_magnitudes(pictures: Sequence[Tensor], titles: Sequence[str], notes: Sequence[str] | None = None) -> Figure:
    """Pictures over the logarithms of their Fourier magnitudes, zero frequency in the middle, all on one scale.

    pictures: N of (3, H, W).  Where the mean of one is negative, all are drawn with 0 as mid-grey.
    """
    one_each("titles", titles, len(pictures))
    one_each("notes", notes, len(pictures))
    signed = any(float(picture.mean()) < 0 for picture in pictures)
    logs = [log_magnitude(torch.fft.fft2(picture, norm="ortho").abs().mean(0), floor=1e-2) for picture in pictures]
    top = max(float(log.max()) for log in logs)
    figure = blank(1.55 * len(pictures), 3.7)
    grid = figure.subplots(2, len(pictures), squeeze=False)
    for index, (picture, log) in enumerate(zip(pictures, logs)):
        show(grid[0, index], (1 + picture) / 2 if signed else picture, titles[index], notes[index] if notes else None)
        show_map(grid[1, index], log, -2, top, "gray")
    for axes, name in zip(grid[:, 0], ["picture", "log |F x|"]):
        axes.set_ylabel(name)
    return figure


@own_style()
def convergence(walks: Mapping[str, Tensor], floor: float | None = None) -> Figure:
    """Misfits along iterations, one line a start.  walks: {label: (iterations, starts)}.  floor: drawn as a level, the noise."""
    figure = blank(8.5, 3.2)
    axes = figure.subplots()
    styles: list[dict[str, Any]] = [dict(color="0.6", linestyle="--"), dict(color="tab:blue"), dict(color="tab:red", linestyle=":")]
    for (label, misfits), style in zip(walks.items(), styles):
        for index, line in enumerate(misfits.T):
            axes.plot(range(1, len(line) + 1), line.cpu(), linewidth=1, label=None if index else label, **style)
    if floor is not None:
        floor = checks.number("floor", floor, above=0)
        axes.axhline(floor, color="black", linewidth=0.8)
        axes.annotate("noise σ", (1, floor), xytext=(2, 3), textcoords="offset points", fontsize=8)
    axes.set_yscale("log")
    name_axes(axes, "iteration", "misfit, RMS of |F x̂| − y")
    axes.legend(loc="upper right")
    return figure


@own_style()
def copies_found(
    orientations: Mapping[str, ArrayLike],
    shares: Mapping[str, Mapping[str, tuple[float, float, float]]],
    chance: Mapping[str, float],
    coin: str,
) -> Figure:
    """Left, how the orientations of channels spread; right, the shares of whole pictures by name, beside those of chance.

    orientations: {method: (N,)}, in [−1, 1].  shares: {method: {name: (mean, low, high)}}.  chance: {name: share}.
    coin: what they are the chances of, for the legend.
    """
    figure = blank(8.5, 3.2)
    left, right = figure.subplots(1, 2)
    styles = [dict(color="0.85", hatch=""), dict(color="tab:blue", hatch="///"), dict(color="tab:red", hatch="...")]
    values = [np.asarray(each) for each in orientations.values()]
    of_all: dict[str, Any] = {name: [style[name] for style in styles[: len(values)]] for name in styles[0]}
    weights = [np.full(len(each), 1 / len(each)) for each in values]
    left.hist(values, np.linspace(-1.05, 1.05, 8), weights=weights, label=list(orientations), edgecolor="black", lw=0.5, **of_all)
    name_axes(left, "orientation of a channel: −1 turned, 1 upright", "share of channels")
    left.legend()
    names, width = list(chance), 0.8 / len(shares)
    for index, ((method, found), style) in enumerate(zip(shares.items(), styles)):
        mean, low, high = np.array([found[name] for name in names]).T
        places = np.arange(len(names)) + (index + 0.5) * width - 0.4
        right.bar(places, mean, width, yerr=[mean - low, high - mean], capsize=3, **style, edgecolor="black", lw=0.5, label=method)
    for place, name in enumerate(names):
        label = None if place else coin
        right.plot([place - 0.45, place + 0.45], [chance[name]] * 2, color="black", linestyle="--", linewidth=1.2, label=label)
    right.set_xticks(range(len(names)), names, fontsize=9)
    right.set_ylabel("share of pictures, 95 % interval")
    right.set_ylim(0, 1)
    right.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return figure


@own_style()
def found_shifts(dy: Tensor, dx: Tensor, rotated: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Figure:
    """Where each start put the picture, and which way up.  dy, dx: (N,), pixels.  rotated: (N,), bool.

    rows, columns: the lowest and the highest shift that keeps the picture inside its support; drawn as a frame.
    """
    figure = blank(4.6, 4)
    axes = figure.subplots()
    frame = (columns[0], rows[0]), columns[1] - columns[0], rows[1] - rows[0]
    axes.add_patch(matplotlib.patches.Rectangle(*frame, fill=False, color="0.5"))
    for turned, marker, colour, label in ((False, "^", "tab:blue", "upright"), (True, "v", "tab:red", "turned by 180°")):
        chosen = rotated == turned
        axes.scatter(dx[chosen], dy[chosen], marker=marker, color=colour, s=30, alpha=0.8, label=label)
    axes.plot(0, 0, "+", color="black", markersize=14, label="the truth")
    name_axes(axes, "shift to the right, pixels", "shift down, pixels")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure
