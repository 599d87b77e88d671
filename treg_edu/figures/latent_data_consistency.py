"""Figures of notebook 04."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from .base import LINES, TIME, WIDEST, Figure, blank, name_axes, one_each, own_style, show
from .pictures import picture_rows

__all__ = ["along_trajectory", "best_weights", "cg_iterations", "over_measurements", "pixel_step", "way_back"]

MARKERS = "os^D"
COLOURS = ["tab:blue", "tab:red", "0.35", "tab:purple"]


def over_measurements(pictures: Tensor, titles: Sequence[str], operator: Any, notes: Sequence[str] | None = None) -> Figure:
    """Pictures over what would be measured of them, each on a scale from 0 to 1.  pictures: (N, 3, H, W).  notes: N lines under all."""
    one_each("titles", titles, len(pictures))
    one_each("notes", notes, len(pictures))
    rows = {"picture": pictures, "A(picture)": operator.A(pictures)}
    return picture_rows(rows, titles, {"A(picture)": notes} if notes else None)


@own_style()
def cg_iterations(counts: Sequence[int], walks: Mapping[str, tuple[ArrayLike, ArrayLike]], sigma: float) -> Figure:
    """Conjugate gradient, iteration by iteration: how far from the closed form, and how well y is met.

    counts: K numbers of iterations.  walks: {operator: (distance (K,), misfit (K,))}, RMS.  sigma: the noise, the unit of the misfits.
    """
    sigma = checks.number("sigma", sigma, above=0)
    figure = blank(WIDEST, 4.4)
    left, right = figure.subplots(1, 2)
    for index, (name, (distance, misfit)) in enumerate(walks.items()):
        style: dict[str, Any] = dict(marker=MARKERS[index % 4], linestyle=LINES[index % 4], color=COLOURS[index % 4], linewidth=2)
        left.semilogy(counts, np.asarray(distance), label=name, **style)
        right.semilogy(counts, np.asarray(misfit) / sigma, label=name, **style)
    name_axes(left, "iteration", "RMS distance to the closed form")
    _misfit_in_sigma(right, "iteration")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=len(walks))
    return figure


def _misfit_in_sigma(axes: Axes, x: str) -> None:
    """A plot of misfits in units of the noise, which is a level."""
    axes.axhline(1, color="black", linewidth=1)
    place: dict[str, Any] = dict(xytext=(-4, -4), textcoords="offset points", xycoords=axes.get_yaxis_transform())
    axes.annotate("noise", (1, 1), ha="right", va="top", **place)
    axes.set_yscale("log")
    axes.set_ylim(bottom=min(axes.get_ylim()[0], 0.5))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    name_axes(axes, x, "misfit in σ")


@own_style()
def pixel_step(start: Tensor, walk: Tensor, closed: Tensor, misfits: ArrayLike, sigma: float) -> Figure:
    """The start, the last image of a walk and the closed form it goes to, beside the misfits on the way.

    start, closed: (3, H, W).  walk: (K + 1, 3, H, W), from iteration 0 on.  misfits: (K + 1,), RMS of y − A(x̂).
    """
    sigma = checks.number("sigma", sigma, above=0)
    figure = blank(WIDEST, 2.9)
    pictures, plot = figure.subfigures(1, 2, squeeze=False, width_ratios=[3, 2])[0]
    titles = ["guess", f"x̂, iteration {len(walk) - 1}", "x̂, closed form"]
    for axes, picture, title in zip(pictures.subplots(1, 3), [start, walk[-1], closed], titles):
        show(axes, picture, title)
    axes = plot.subplots()
    axes.plot(np.asarray(misfits) / sigma, color="tab:blue", marker="o", linewidth=2)
    _misfit_in_sigma(axes, "iteration")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


@own_style()
def way_back() -> Figure:
    """Pictures of two pixels: a guess that the decoder can draw, moved to the measurement by pixels, and back by the encoder.

    The instrument measures 0.35 of the left pixel and 0.65 of the right one. The curve of pictures that the decoder draws is invented; the
    pixel step is the nearest point of the line, the encoder takes the nearest point of the curve, and gradients slide along the curve.
    """
    weights, measured = np.array([0.35, 0.65]), 0.6
    u = np.linspace(0, 1, 2001)
    curve = np.stack([0.06 + 0.9 * u, 0.22 + 0.5 * u**1.5], 1)
    off = curve @ weights - measured
    guess = curve[int(0.3 * len(u))]
    x_hat = guess + (measured - guess @ weights) * weights / (weights @ weights)
    encoded = curve[np.linalg.norm(curve - x_hat, axis=1).argmin()]
    last = int(np.flatnonzero(np.diff(np.sign(off)))[0])
    slid = curve[int(0.3 * len(u)) : last + 1]

    figure = blank(8, 6.4)
    axes = figure.subplots()
    axes.set_aspect("equal")
    ends = np.array([[0, measured / weights[1]], [1, (measured - weights[0]) / weights[1]]])
    axes.plot(*ends.T, color="black", linewidth=2)
    axes.annotate("{x : A x = y}", tuple(ends[0]), xytext=(36, -8), textcoords="offset points")
    axes.plot(*curve.T, "--", color="tab:blue", linewidth=2)
    axes.annotate("what the decoder draws", tuple(curve[0]), xytext=(0, -18), textcoords="offset points", color="tab:blue")
    axes.plot(*slid.T, color="tab:purple", linewidth=6, alpha=0.4, solid_capstyle="butt")
    arrow = dict(arrowstyle="-|>", linewidth=2, shrinkA=4, shrinkB=5)
    axes.annotate("", tuple(x_hat), tuple(guess), arrowprops=arrow | dict(color="tab:red"))
    axes.annotate("", tuple(encoded), tuple(x_hat), arrowprops=arrow | dict(color="0.35"))
    marks: list[tuple[np.ndarray, str, str, tuple[int, int], str]] = [
        (guess, "o", "guess D(ẑ₀)", (-10, 6), "right"),
        (x_hat, "s", "x̂, pixel step", (-6, 10), "left"),
        (encoded, "D", "by the encoder,\nD(E(x̂))", (8, -38), "left"),
        (slid[-1], "*", "gradients\nthrough D", (30, -4), "left"),
    ]
    for point, marker, name, where, side in marks:
        axes.plot(*point, marker, color="black", markersize=15 if marker == "*" else 9)
        axes.annotate(name, tuple(point), xytext=where, textcoords="offset points", ha=side)
    name_axes(axes, "left pixel", "right pixel")
    axes.set_xlim(0, 1)
    axes.set_ylim(0.1, 1)
    return figure


@own_style()
def best_weights(t: Sequence[int], best: Sequence[ArrayLike], times: ArrayLike, used: ArrayLike) -> Figure:
    """The weight of the measurement in the latent step that comes closest to the truth, beside the one that is used.

    t: K timesteps.  best: (mean, low, high), each (K,).  times, used: (T,), the curve of the weight that is used.
    """
    mean, low, high = map(np.asarray, best)
    figure = blank(WIDEST, 4)
    axes = figure.subplots()
    axes.errorbar(
        t, mean, [mean - low, high - mean], fmt="o", color="tab:red", markersize=8, capsize=5, linewidth=2, label="closest to the truth"
    )
    axes.plot(np.asarray(times), np.asarray(used), color="black", linewidth=2, label="used: ᾱ of the next level")
    axes.set_ylim(-0.05, 1.05)
    axes.invert_xaxis()
    name_axes(axes, TIME, "weight of E(x̂)")
    axes.legend(loc="upper center")
    return figure


@own_style()
def along_trajectory(curves: Mapping[str, tuple[Sequence[int], ArrayLike, ArrayLike, ArrayLike]], levels: Mapping[str, float]) -> Figure:
    """How well y is met from noise to data, in units of the noise.

    curves: {label: (timesteps, mean, low, high)}, each (K,).  levels: {name: value}.
    """
    figure = blank(WIDEST, 4.6)
    axes = figure.subplots()
    for index, (label, (t, mean, low, high)) in enumerate(curves.items()):
        colour = COLOURS[index % 4]
        axes.plot(t, mean, LINES[index % 4] + MARKERS[index % 4], color=colour, linewidth=2, label=label)
        axes.fill_between(t, low, high, color=colour, alpha=0.2, linewidth=0)
    for name, value in levels.items():
        axes.axhline(value, color="black", linewidth=1)
        lowest = value == min(levels.values())  # its name goes under its line, where no other is
        place: dict[str, Any] = dict(textcoords="offset points", xycoords=axes.get_yaxis_transform(), ha="right")
        axes.annotate(name, (1, value), xytext=(-4, -4 if lowest else 4), va="top" if lowest else "bottom", **place)
    axes.invert_xaxis()
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.6 * min(axes.get_ylim()[0], *levels.values()))
    axes.yaxis.set_major_formatter("{x:g}")
    name_axes(axes, TIME, "misfit in σ")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(curves))
    return figure
