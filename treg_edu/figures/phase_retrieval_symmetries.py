"""Figures of notebook 02."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.patches
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike
from torch import Tensor

from .. import checks
from .base import WIDEST, Figure, blank, name_axes, one_each, own_style, show, show_map
from .pictures import LINE, lines, wrapped

__all__ = ["circle_and_box", "convergence", "copies_found", "found_shifts", "log_magnitude", "over_magnitudes"]

FLOOR = 1e-2  # of a magnitude, before its logarithm


def log_magnitude(magnitude: Tensor, floor: float) -> Tensor:
    """log₁₀ of a Fourier magnitude and at least of `floor`, the zero frequency in the middle.  magnitude, returned: (…, H, W)."""
    return torch.fft.fftshift(magnitude, (-2, -1)).clamp(min=floor).log10()


@own_style()
def over_magnitudes(
    pictures: Sequence[Tensor],
    titles: Sequence[str],
    notes: Sequence[str] | None = None,
    against: Sequence[int] | None = None,
) -> Figure:
    """Pictures over the logarithms of their Fourier magnitudes, zero frequency in the middle, all on one scale.

    pictures: N of (3, H, W).  A picture whose mean is negative is drawn with 1 added, and says so.
    against: N indices; a third row shows how far each magnitude is from that of the picture with this index, black where they agree.
    """
    one_each("titles", titles, len(pictures))
    one_each("notes", notes, len(pictures))
    one_each("against", against, len(pictures))
    magnitudes = [torch.fft.fft2(picture, norm="ortho").abs() for picture in pictures]
    rows = {"log₁₀ |F x|": magnitudes}
    if against is not None:
        rows["change, log₁₀"] = [(magnitudes[index] - each).abs() for index, each in zip(against, magnitudes)]
    logs = {name: [log_magnitude(each.mean(0), FLOOR) for each in row] for name, row in rows.items()}
    top = max(float(log.max()) for log in logs["log₁₀ |F x|"])
    side = min(1.7, (WIDEST - 1.2) / len(pictures))
    above, below = ([wrapped(each, side) for each in texts or [""] * len(pictures)] for texts in (titles, notes))
    figure = blank(1.2 + side * len(pictures), side * (1 + len(logs)) + LINE * (lines(above) + lines(below)))
    grid = figure.subplots(1 + len(logs), len(pictures), squeeze=False)
    for axes, picture, title, note in zip(grid[0], pictures, above, below):
        negative = float(picture.mean()) < 0
        show(axes, picture + 1 if negative else picture, f"{title} (+ 1)" if negative else title, note)
    grid[0, 0].set_ylabel("picture")
    for line, (name, row) in zip(grid[1:], logs.items()):
        for axes, log in zip(line, row):
            drawn = show_map(axes, log, float(np.log10(FLOOR)), top, "gray")
        line[0].set_ylabel(name)
    figure.colorbar(drawn, ax=list(grid[1:].ravel()), shrink=0.8, aspect=25)
    return figure


BOX = np.array([[-0.7, -0.6], [0.95, 0.5]])  # its lower left and its upper right corner
START = np.array([-0.5, 0.1])


def on_circle(u: np.ndarray) -> np.ndarray:
    """The closest point of the unit circle: the magnitude is replaced, the phase is kept."""
    return u / np.linalg.norm(u)


def reduced(u: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Error reduction: the points on the circle and in the box, in turn."""
    for _ in range(steps):
        yield on_circle(u)
        u = on_circle(u).clip(*BOX)
        yield u


def fed_back(u: np.ndarray, steps: int, beta: float = 0.9) -> Iterator[np.ndarray]:
    """The inputs of HIO, coordinate by coordinate."""
    for _ in range(steps):
        output = on_circle(u)
        u = np.where(output == output.clip(*BOX), output, u - beta * (output - output.clip(*BOX)))
        yield u


@own_style()
def circle_and_box() -> Figure:
    """Error reduction and HIO for one Fourier coefficient of known magnitude, the circle, and bounds on its two parts, the box.

    Both begin at the same point. The formulas are those of `phase_retrieval`, in two dimensions.
    """
    figure = blank(WIDEST, 4.6)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    caught = np.array([START, *reduced(START, 40)])
    freed = np.array([START, *fed_back(caught[-1], 60)])
    _sets(left, "error reduction: caught at a corner")
    left.plot(*caught.T, "o-", color="tab:red", markersize=4, linewidth=1)
    left.plot(*caught[-1], "s", color="tab:red", markersize=11)
    left.text(-0.6, 0.2, "nowhere nearby is\ncloser to the circle")
    _sets(right, "HIO, from that corner: the correction adds up")
    right.plot(*freed[1:].T, "o-", color="tab:blue", markersize=4, linewidth=1)
    right.plot(*freed[-1], "*", color="tab:blue", markersize=20)
    right.text(0.58, -0.55, "on both", ha="right")
    for axes in (left, right):
        name_axes(axes, "real part", "imaginary part" if axes is left else "")
    return figure


def _sets(axes: Axes, title: str) -> None:
    """The circle and the box, named."""
    axes.add_patch(matplotlib.patches.Rectangle(BOX[0], *(BOX[1] - BOX[0]), color="0.9"))
    axes.add_patch(matplotlib.patches.Circle((0, 0), 1, fill=False, linewidth=2))
    axes.text(-0.95, 0.9, "|F x| = y", ha="right")
    axes.text(0.9, 0.36, "bounds", ha="right")
    axes.set_title(title)
    axes.set_aspect("equal")
    axes.set_xlim(-1.5, 1.15)
    axes.set_ylim(-1.1, 1.15)


@own_style()
def convergence(walks: Mapping[str, Tensor]) -> Figure:
    """Misfits along iterations, one line a start; the noise is a level.  walks: {label: (iterations, starts)}, in units of σ."""
    figure = blank(WIDEST, 4.2)
    axes = figure.subplots()
    styles: list[dict[str, Any]] = [dict(color="0.55", linestyle="--"), dict(color="tab:blue"), dict(color="tab:red", linestyle=":")]
    for (label, misfits), style in zip(walks.items(), styles):
        for index, line in enumerate(misfits.T):
            axes.plot(range(1, len(line) + 1), line.cpu(), linewidth=1.2, label=None if index else label, **style)
    axes.axhline(1, color="black", linewidth=1)
    axes.annotate("noise σ", (1, 1), xytext=(2, 3), textcoords="offset points")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    name_axes(axes, "iteration", "misfit, in units of σ")
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

    orientations: {method: (N,)}, in [−1, 1]; beyond ½ on either side, shaded, a channel is decided.
    shares: {method: {name: (mean, low, high)}}.  chance: {name: share}.  coin: what they are the chances of, for the legend.
    """
    figure = blank(WIDEST, 4.4)
    left, right = figure.subplots(1, 2)
    styles = [dict(color="0.85", hatch=""), dict(color="tab:blue", hatch="///"), dict(color="tab:red", hatch="...")]
    values = [np.asarray(each) for each in orientations.values()]
    of_all: dict[str, Any] = {name: [style[name] for style in styles[: len(values)]] for name in styles[0]}
    weights = [np.full(len(each), 1 / len(each)) for each in values]
    for side in (-1, 1):
        left.fill_between([0.5 * side, side], 0, 1, color="0.95", zorder=-1, transform=left.get_xaxis_transform())
    left.hist(values, np.linspace(-1, 1, 9), weights=weights, label=list(orientations), edgecolor="black", lw=0.5, **of_all)
    left.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1\nturned", "−½", "0", "½", "1\nupright"])
    name_axes(left, "orientation of a channel; decided where shaded", "share of channels")
    left.set_ylim(0, 1.35 * left.get_ylim()[1])
    left.legend(loc="upper center", ncols=2)
    names, width = list(chance), 0.8 / len(shares)
    for index, ((method, found), style) in enumerate(zip(shares.items(), styles)):
        mean, low, high = np.array([found[name] for name in names]).T
        places = np.arange(len(names)) + (index + 0.5) * width - 0.4
        right.bar(places, mean, width, yerr=[mean - low, high - mean], capsize=3, **style, edgecolor="black", lw=0.5, label=method)
        for place, share in zip(places, mean):
            if share == 0:
                right.text(place, 0.01, "0", ha="center")
    for place, name in enumerate(names):
        label = None if place else coin
        right.plot([place - 0.45, place + 0.45], [chance[name]] * 2, color="black", linestyle="--", linewidth=1.5, label=label)
    right.set_xticks(range(len(names)), names)
    right.set_ylabel("share of pictures, 95 % interval")
    right.set_ylim(0, 1.35)
    right.set_yticks(np.linspace(0, 1, 6))
    right.legend(loc="upper right")
    return figure


@own_style()
def found_shifts(
    dy: Tensor, dx: Tensor, rotated: Tensor, rows: tuple[int, int], columns: tuple[int, int], pictures: Sequence[Tensor] = ()
) -> Figure:
    """Where each start put the picture, and which way up.  dy, dx: (N,), pixels.  rotated: (N,), bool.

    rows, columns: the lowest and the highest shift that keeps the picture inside its support; drawn as a frame.
    pictures: four of what was found, (3, H, W) each, beside it; or none.
    """
    more = len(pictures)
    checks.expect(more in (0, 4), "pictures", f"{more}", "four, or none")
    figure = blank(9.6 if more else 4.8, 4.8)
    layout: list[Any] = [["map", "map", *(f"picture {i}" for i in range(row, more, 2))] for row in range(2)] if more == 4 else [["map"]]
    grid = figure.subplot_mosaic(layout)
    for index, picture in enumerate(pictures):
        show(grid[f"picture {index}"], picture)
    axes = grid["map"]
    frame = (columns[0], rows[0]), columns[1] - columns[0], rows[1] - rows[0]
    axes.add_patch(matplotlib.patches.Rectangle(*frame, fill=False, color="0.5"))
    for turned, marker, colour, label in ((False, "^", "tab:blue", "upright"), (True, "v", "tab:red", "turned")):
        chosen = rotated == turned
        axes.scatter(dx[chosen], dy[chosen], marker=marker, color=colour, s=50, alpha=0.8, label=label)
    axes.plot(0, 0, "+", color="black", markersize=16, label="truth")
    name_axes(axes, "shift to the right, pixels", "shift down, pixels")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
