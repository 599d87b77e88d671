"""Figures of notebook 01."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from .base import LINES, Figure, blank, name_axes, own_style

__all__ = ["matrices", "spectra", "sweep", "tone_curves", "truncation"]


@own_style()
def matrices(named: Mapping[str, Tensor]) -> Figure:
    """Matrices side by side, darker where the entry is larger: √|M|, each on its own scale.  named: {title: (m, n)}."""
    figure = blank(3 * len(named), 3.1)
    for axes, (title, matrix) in zip(figure.subplots(1, len(named), squeeze=False)[0], named.items()):
        axes.imshow(matrix.abs().sqrt().numpy(), cmap="Greys", aspect="auto")
        axes.set_title(f"{title}: {matrix.shape[0]}×{matrix.shape[1]}")
        name_axes(axes, "pixel of x", "number in y")
    return figure


@own_style()
def spectra(named: Mapping[str, Tensor], sigma: float) -> Figure:
    """Singular values in falling order, on a logarithmic scale, over the noise.  named: {label: (n,)}."""
    sigma = checks.number("sigma", sigma, least=0)
    figure = blank(7, 3.4)
    axes = figure.subplots()
    for style, (label, values) in zip(LINES, named.items()):
        axes.semilogy(range(1, len(values) + 1), values.clamp(min=1e-30), style, linewidth=2, label=label)
    axes.axhline(sigma, color="0.4", linewidth=0.8)
    axes.text(1, sigma, f" σ = {sigma:g}", fontsize=9, va="bottom")
    axes.set_ylim(1e-6, 2)
    name_axes(axes, "index i of the singular value", "singular value s_i")
    axes.legend(loc="lower left")
    return figure


@own_style()
def truncation(kept: ArrayLike, lost: ArrayLike, noise: ArrayLike, measured: Sequence[ArrayLike]) -> Figure:
    """What a pseudo-inverse of `kept` singular values leaves out, what noise it lets in, and the error that was measured.

    kept, lost, noise: (K,).  measured: (mean, low, high), each (K,).
    """
    kept, lost, noise, mean, low, high = map(np.asarray, (kept, lost, noise, *measured))
    figure = blank(7, 3.4)
    axes = figure.subplots()
    axes.loglog(kept, lost, "--", color="tab:blue", label="detail left out")
    axes.loglog(kept, noise, ":", color="tab:red", linewidth=2, label="noise let in, σ √(Σ 1/s² / N)")
    axes.errorbar(kept, mean, [mean - low, high - mean], fmt="ok", markersize=4, capsize=3, label="error, measured")
    name_axes(axes, "singular values kept", "root mean square per pixel")
    axes.legend()
    return figure


@own_style()
def sweep(weights: ArrayLike, problems: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """PSNR over the weight λ, one plot a problem, one curve a method.  weights: (L,).  problems: {title: {method: (L,)}}."""
    columns = min(3, len(problems))
    rows = math.ceil(len(problems) / columns)
    figure = blank(2.9 * columns, 2.2 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for (title, curves), axes in zip(problems.items(), grid):
        for style, (method, values) in zip(LINES, curves.items()):
            axes.semilogx(weights, values, style + "o", markersize=4, label=method)
        axes.set_title(title)
        name_axes(axes, "λ", "PSNR in dB")
    for axes in grid[len(problems) :]:
        axes.axis("off")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LINES))
    return figure


@own_style()
def tone_curves(grey: ArrayLike, curves: Mapping[str, ArrayLike], errors: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Left, gamma curves; right, the error of going back, predicted (lines) and measured (dots).

    grey: (N,).  curves: {label: (N,)}.  errors: {label: (predicted, measured)}, each (N,).
    """
    figure = blank(8, 3.2)
    left, right = figure.subplots(1, 2)
    for style, (label, values) in zip(LINES, curves.items()):
        left.plot(grey, values, style, label=label)
    for style, (label, (predicted, measured)) in zip(LINES, errors.items()):
        (line,) = right.semilogy(grey, predicted, style, label=label)
        right.semilogy(grey, measured, "o", markersize=4, color=line.get_color())
    for axes, name in ((left, "A(x)"), (right, "root mean square error of A†y")):
        name_axes(axes, "grey level x", name)
        axes.legend()
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    return figure
