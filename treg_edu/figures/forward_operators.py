"""Figures of notebook 01."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from .base import LINES, WIDEST, Figure, blank, name_axes, own_style

__all__ = ["ellipses", "matrices", "picard", "spectra", "tone_curves", "truncation", "two_pixels", "weights"]

MARKERS = "osD^"


@own_style()
def matrices(named: Mapping[str, Tensor]) -> Figure:
    """Matrices side by side, each divided by its largest entry: bright is positive, black is negative.  named: {title: (m, n)}."""
    figure = blank(min(WIDEST, 3.1 * len(named) + 0.7), 3.6)
    grid = figure.subplots(1, len(named), squeeze=False)[0]
    for axes, (title, matrix) in zip(grid, named.items()):
        drawn = axes.imshow((matrix / matrix.abs().max()).numpy(), cmap="gray", vmin=-0.35, vmax=1, aspect="auto")
        axes.set_title(f"{title}\n{matrix.shape[0]}×{matrix.shape[1]}")
        name_axes(axes, "pixel of x", "number in y" if axes is grid[0] else "")
    figure.colorbar(drawn, ax=list(grid), ticks=[-0.35, 0, 0.5, 1], label="share of the largest")
    return figure


@own_style()
def spectra(named: Mapping[str, Tensor], sigma: float) -> Figure:
    """Singular values in falling order, on a logarithmic scale, beside the noise; those that are zero lie on the floor, counted.

    named: {label: (n,)}.
    """
    sigma = checks.number("sigma", sigma, least=0)
    figure = blank(WIDEST, 4.2)
    axes = figure.subplots()
    floor = 1e-7
    for index, (style, (label, values)) in enumerate(zip(LINES, named.items())):
        count, zero = np.arange(1, len(values) + 1), values.numpy() < floor
        (line,) = axes.semilogy(count[~zero], values[~zero], style, linewidth=2.5, label=label)
        if zero.any():
            height = 0.1 * floor * 10 ** (0.7 * (len(named) - index - 1))
            axes.plot(count[zero], np.full(zero.sum(), height), "|", color=line.get_color(), markersize=6)
            axes.text(count[-1] + 3, height, f"{zero.sum()} zeros", va="center", color=line.get_color())
    axes.axhline(sigma, color="0.4", linewidth=1)
    axes.text(1, sigma, f" σ = {sigma:g}", va="bottom")
    axes.set_ylim(0.02 * floor, 4)
    axes.set_xlim(-4, 1.13 * max(map(len, named.values())))
    name_axes(axes, "index $i$ of the singular value", "singular value $s_i$")
    axes.legend(loc="lower left", bbox_to_anchor=(0.12, 0.25))
    return figure


BLUR = np.array([[0.6, 0.4], [0.4, 0.6]])
NOISE = 0.1


@own_style()
def ellipses() -> Figure:
    """The SVD of a blur of two pixels: the circle of all pictures of norm 1, the ellipse of their measurements, and the way back.

    On the way back a disc of noise becomes an ellipse: what was shrunk by s is enlarged by 1/s.
    """
    U, s, Vh = np.linalg.svd(BLUR)
    signs = np.sign(Vh.sum(1) + (Vh.sum(1).round(9) == 0) * Vh[:, 0])
    U, Vh = U * signs, signs[:, None] * Vh
    noise = NOISE * np.random.default_rng(0).standard_normal((300, 2))
    figure = blank(WIDEST, 3.9)
    left, middle, right = figure.subplots(1, 3)
    left.add_patch(Circle((0, 0), 1, fill=False, linewidth=2))
    _arrows(left, Vh, ["v₁", "v₂"], "pictures x, ‖x‖ = 1")
    middle.add_patch(_ellipse(U, s))
    middle.plot(*noise.T, ".", color="tab:red", markersize=2)
    _arrows(middle, s[:, None] * U.T, ["s₁u₁", "s₂u₂"], "measurements A x,\nnoise (red)")
    right.add_patch(Circle((0, 0), 1, fill=False, linewidth=2))
    right.plot(*np.linalg.solve(BLUR, noise.T), ".", color="tab:red", markersize=2)
    right.add_patch(_ellipse(Vh.T, 2 * NOISE / s, color="tab:red"))
    _arrows(right, 2 * NOISE / s[:, None] * Vh, ["", ""], "way back A†y,\nnoise 1/s₁ and 1/s₂ as large", "tab:red")
    for axes, name in ((left, "pixel"), (middle, "measured"), (right, "pixel")):
        name_axes(axes, f"{name} 1", f"{name} 2")
    return figure


def _ellipse(axes: np.ndarray, lengths: np.ndarray, color: str = "black") -> Ellipse:
    """Of half-axes: the columns of `axes`, as long as `lengths`."""
    angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
    return Ellipse((0, 0), 2 * lengths[0], 2 * lengths[1], angle=angle, fill=False, linewidth=2, edgecolor=color)


def _arrows(axes: Axes, vectors: np.ndarray, names: Sequence[str], title: str, color: str = "tab:blue") -> None:
    """Vectors from the origin, (2, 2), one a row, and their names at the ends."""
    for vector, name in zip(vectors, names):
        axes.annotate("", tuple(vector), (0, 0), arrowprops=dict(arrowstyle="-|>", color=color, linewidth=2))
        away = 0.17 if np.linalg.norm(vector) > 0.5 else 0.45
        x, y = vector + away * vector / np.linalg.norm(vector)
        axes.text(x, y, name, ha="center", va="center")
    axes.set_title(title)
    axes.set_aspect("equal")
    axes.set_xlim(-1.4, 1.4)
    axes.set_ylim(-1.4, 1.4)


WEIGHTS, MEASURED = np.array([0.3, 0.7]), 0.62


@own_style()
def two_pixels() -> Figure:
    """All pictures of two pixels: the line of those with one measurement, where penalties end on it, and where pictures meet it.

    The instrument measures 0.3 of the left pixel and 0.7 of the right one. The curve of pictures is invented, the rest is computed.
    """
    figure = blank(7, 6.6)
    axes = figure.subplots()
    axes.set_aspect("equal")
    ends = np.array([[0, MEASURED / WEIGHTS[1]], [1, (MEASURED - WEIGHTS[0]) / WEIGHTS[1]]])
    axes.plot(*ends.T, color="black", linewidth=2)
    axes.text(0.43, 0.73, "{x : A x = y}")
    along = np.linspace(0, 1, 200)
    curve = 0.2 + 3.75 * (along - 0.6) ** 2
    axes.plot(along, curve, "--", color="tab:blue", linewidth=2)
    axes.text(0.6, 0.14, "pictures that occur", color="tab:blue", ha="center")
    gap = WEIGHTS[0] * along + WEIGHTS[1] * curve - MEASURED
    crossings = np.flatnonzero(np.diff(np.sign(gap)))
    for index, name, aside in zip(crossings[[0, -1]], ["“fox”", "“gorilla”"], (-26, 26)):
        axes.plot(along[index], curve[index], "*", color="tab:blue", markersize=22)
        axes.annotate(name, (along[index], curve[index]), xytext=(aside, -26), textcoords="offset points", ha="center")
    black = MEASURED * WEIGHTS / (WEIGHTS @ WEIGHTS)
    white = 1 + (MEASURED - WEIGHTS.sum()) * WEIGHTS / (WEIGHTS @ WEIGHTS)
    flat = np.array([MEASURED, MEASURED])
    for start, end, name, where in (
        ((0, 0), black, "minimum norm:\nclosest to black", (4, 24)),
        ((1, 1), white, "closest\nto white", (2, 30)),
    ):
        axes.plot(*np.transpose([start, end]), ":", color="0.4", linewidth=2)
        axes.plot(*end, "o", color="black", markersize=9)
        axes.annotate(name, tuple(end), xytext=where, textcoords="offset points", ha="left" if start == (0, 0) else "right")
    axes.plot([0, 1], [0, 1], "-", color="0.75", linewidth=1.5, zorder=0)
    axes.text(0.25, 0.21, "flat pictures")
    axes.plot(*flat, "s", color="tab:red", markersize=11)
    axes.annotate("least variation", tuple(flat), xytext=(-8, -30), textcoords="offset points", color="tab:red", ha="center")
    for corner, name, place in (((0, 0), "black", (8, -3)), ((1, 1), "white", (-8, -18))):
        axes.plot(*corner, "s", color="black", markersize=8, markerfacecolor="black" if corner == (0, 0) else "white")
        axes.annotate(name, corner, xytext=place, textcoords="offset points", ha="left" if corner == (0, 0) else "right")
    name_axes(axes, "left pixel", "right pixel")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    return figure


@own_style()
def picard(s: Tensor, clean: Tensor, sigma: float) -> Figure:
    """How strongly each pattern arrives, beside its singular value and the noise, in the order of the singular values.

    s: (n,), falling.  clean: (n,), |⟨u_i, A x⟩|, drawn as its running median.
    """
    sigma = checks.number("sigma", sigma, above=0)
    figure = blank(WIDEST, 4)
    axes = figure.subplots()
    count, values = np.arange(1, len(s) + 1), clean.numpy()
    width = max(1, len(values) // 60)
    middle = [np.median(values[max(0, i - width) : i + width + 1]) for i in range(len(values))]
    axes.semilogy(count, s.numpy().clip(1e-9), "--", color="black", linewidth=2, label="singular value $s_i$")
    axes.semilogy(count, np.clip(middle, 1e-9, None), color="tab:blue", linewidth=2.5, label="pattern that arrives, |⟨$u_i$, A x⟩|")
    axes.axhspan(1e-9, sigma, color="0.9", zorder=-1)
    axes.text(0.02 * len(s), sigma / 4, "below the noise")
    axes.set_ylim(1e-6, 20)
    axes.set_xlim(0, len(s))
    name_axes(axes, "pattern i, of the largest singular value first", "size")
    axes.legend()
    return figure


@own_style()
def truncation(kept: ArrayLike, lost: ArrayLike, noise: ArrayLike, measured: Sequence[ArrayLike]) -> Figure:
    """What a pseudo-inverse of `kept` singular values leaves out, what noise it lets in, their sum in squares, and what was measured.

    kept, lost, noise: (K,).  measured: (mean, low, high), each (K,).  The least measured error is circled.
    """
    kept, lost, noise, mean, low, high = map(np.asarray, (kept, lost, noise, *measured))
    figure = blank(WIDEST, 4.4)
    axes = figure.subplots()
    axes.semilogx(kept, lost, "--", color="tab:blue", linewidth=2, label="detail left out (bias)")
    axes.semilogx(kept, noise, ":", color="tab:red", linewidth=3, label="noise let in")
    axes.semilogx(kept, np.hypot(lost, noise), color="black", linewidth=1.5, label="both: √(bias² + noise²)")
    axes.errorbar(kept, mean, [mean - low, high - mean], fmt="ok", markersize=6, capsize=4, label="error, measured")
    least = mean.argmin()
    axes.plot(kept[least], mean[least], "o", color="none", markeredgecolor="black", markersize=18, markeredgewidth=1.5)
    axes.annotate(f"least at {kept[least]}", (kept[least], mean[least]), xytext=(0, 16), textcoords="offset points", ha="center")
    axes.set_ylim(0, 0.32)
    axes.set_xticks(kept[::2], [str(each) for each in kept[::2]])
    axes.xaxis.set_minor_formatter(NullFormatter())
    name_axes(axes, "singular values kept, of 4096", "error, RMS per pixel")
    axes.legend(loc="upper left")
    return figure


@own_style()
def weights(lam: ArrayLike, psnr: Mapping[str, ArrayLike], misfit: Mapping[str, ArrayLike]) -> Figure:
    """Left, the quality over the weight λ, for which one needs the truth; right, the misfit, for which one does not.

    lam: (L,), rising.  psnr, misfit: {method: (L,)}, misfits in units of σ; the noise is a level, and the largest λ below it is circled.
    """
    figure = blank(WIDEST, 4.2)
    left, right = figure.subplots(1, 2)
    lam = np.asarray(lam)
    for style, marker, method in zip(LINES, MARKERS, psnr):
        quality, off = np.asarray(psnr[method]), np.asarray(misfit[method])
        (line,) = left.semilogx(lam, quality, style + marker, markersize=6, label=method)
        right.loglog(lam, off, style + marker, markersize=6, color=line.get_color(), label=method)
        chosen = max(int((off <= 1).sum()) - 1, 0)
        left.plot(lam[chosen], quality[chosen], "o", color="none", markeredgecolor="black", markersize=16)
    right.axhline(1, color="black", linewidth=1)
    right.annotate("noise σ", (lam[0], 1), xytext=(0, 5), textcoords="offset points")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    name_axes(left, "weight λ", "PSNR in dB (needs the truth)")
    name_axes(right, "weight λ", "misfit in σ (does not)")
    left.legend()
    return figure


@own_style()
def tone_curves(grey: ArrayLike, curves: Mapping[str, ArrayLike], errors: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Left, gamma curves; right, the error of going back, predicted (lines) and measured (dots).

    grey: (N,).  curves: {label: (N,)}.  errors: {label: (predicted, measured)}, each (N,).
    """
    figure = blank(WIDEST, 4.2)
    left, right = figure.subplots(1, 2)
    for style, (label, values) in zip(LINES, curves.items()):
        left.plot(grey, values, style, linewidth=2, label=label)
    for style, marker, (label, (predicted, measured)) in zip(LINES, MARKERS, errors.items()):
        (line,) = right.semilogy(grey, predicted, style, linewidth=2, label=label)
        right.semilogy(grey, measured, marker, markersize=5, color=line.get_color())
    for axes, name in ((left, "A(x)"), (right, "error of A†y, RMS")):
        name_axes(axes, "grey level x", name)
        axes.legend()
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    return figure
