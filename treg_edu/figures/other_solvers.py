"""Figures of notebook 08."""

from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from torch import Tensor

from .. import checks
from .base import WIDEST, Figure, blank, name_axes, own_style

__all__ = ["by_method", "posterior_clouds"]


@own_style()
def posterior_clouds(samples: Mapping[str, Tensor], mean: Tensor, covariance: Tensor, names: tuple[str, str] = ("red", "green")) -> Figure:
    """Samples of two numbers, each set over the ellipses of 1 and 2 deviations of the exact Gaussian posterior; its mean is a cross.

    samples: {solver: (N, 2)}.  mean: (2,).  covariance: (2, 2).  names: of the two numbers.
    """
    for name, points in samples.items():
        checks.expect(points.ndim == 2 and points.shape[1] == 2, name, f"shape {tuple(points.shape)}", "(N, 2)")
    columns = min(len(samples), 3)
    rows = -(-len(samples) // columns)
    figure = blank(WIDEST * columns / 3, 2.9 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(samples) :]:
        axes.remove()
    for above in grid.flat[len(samples) - columns : (rows - 1) * columns]:
        above.tick_params(labelbottom=True)  # nothing is below it
    values, vectors = np.linalg.eigh(covariance.detach().cpu().double().numpy())
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    centre = mean.detach().cpu().double().numpy()
    for place, (name, points) in enumerate(samples.items()):
        axes = grid.flat[place]
        cloud = points.detach().cpu().numpy()
        axes.plot(*cloud.T, ".", color="tab:blue", markersize=2.5, alpha=0.35)
        for deviations, style in ((1, "-"), (2, "--")):
            width, height = 2 * deviations * np.sqrt(values[::-1])
            axes.add_patch(Ellipse((centre[0], centre[1]), width, height, angle=angle, fill=False, color="black", linestyle=style))
        axes.plot(*centre, "+", color="black", markersize=9)
        axes.plot(*cloud.mean(0), "x", color="tab:red", markersize=7)
        axes.set_title(name)
        axes.set_aspect("equal")
        name_axes(axes, names[0] if place >= len(samples) - columns else "", names[1] if place % columns == 0 else "")
    return figure


@own_style()
def by_method(values: Mapping[str, Tensor], label: str) -> Figure:
    """A row of dots for each method, one a picture, and a bar at their mean, on a logarithmic axis.  values: {method: (N,)}, above 0."""
    figure = blank(WIDEST, 1.0 + 0.42 * len(values))
    axes = figure.subplots()
    for place, each in enumerate(values.values()):
        numbers = each.detach().cpu().float()
        axes.plot(numbers, [place] * len(numbers), "o", color="white", markeredgecolor="black", markersize=6)
        axes.plot([numbers.mean()], [place], "|", color="tab:red", markersize=18, markeredgewidth=2.5)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", which="both", color="0.9")
    axes.set_axisbelow(True)
    name_axes(axes, label, "")
    return figure
