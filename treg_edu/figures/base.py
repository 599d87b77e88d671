"""What every figure stands on: the figure that shows itself, one style for all of them, and a few ways to fill axes."""

import contextlib
import io
import threading
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import IPython
import matplotlib
import matplotlib.figure
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from torch import Tensor
from torch.nn import functional as F

from .. import checks

__all__ = [
    "AS_TYPED",
    "LINES",
    "STYLE",
    "TEXT",
    "TIME",
    "WIDEST",
    "Figure",
    "blank",
    "enlarged",
    "misfit_axes",
    "name_axes",
    "one_each",
    "own_style",
    "show",
    "show_map",
    "show_rows",
]

TEXT = 12
"""Points: the least size of text in a figure of at most `WIDEST` inches, so that it can be projected."""

WIDEST = 10
"""Inches: as wide as a page of a notebook, and as a slide."""

STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # it comes with matplotlib; the other families of the default depend on the machine
    "font.size": TEXT,
    "figure.titlesize": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "legend.fontsize": TEXT,
    "image.interpolation": "nearest",
    "savefig.dpi": 192,
}
"""What differs from matplotlib's defaults in all figures."""

AS_TYPED: dict[str, Any] = {"parse_math": False}
"""For a text that a reader may have typed, such as a prompt: two dollar signs do not mean a formula in it."""

LINES = ["-", "--", ":", "-."]
"""One for each curve, so that curves differ in grey as well."""

TIME = "t (noise on the left, data on the right)"
"""The name of an axis of timesteps."""

_one_at_a_time = threading.RLock()  # matplotlib's settings are the process's, and a panel draws in a thread of its own


@contextlib.contextmanager
def own_style(style: Mapping[str, Any] = STYLE) -> Iterator[None]:
    """matplotlib's defaults and `style`, whatever the user has set; the user's settings hold again afterwards.

    matplotlib reads its settings while a figure is built, and again while it is rendered. So every function that builds a figure
    is decorated with this, and `Figure` renders in it.
    """
    with _one_at_a_time, matplotlib.style.context(["default", dict(style)]):
        yield


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that a notebook shows when it is a cell's value, the same whatever backend and settings are in use.

    Beside the picture a notebook keeps its width on the page and a description for readers who cannot see it, `alt`.
    """

    style: Mapping[str, Any] = STYLE
    pixels_per_inch = 96  # of the page; the picture holds twice as many, so that it is sharp on any screen

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _show_as_it_is(type(self))

    def draw(self, renderer: Any) -> None:
        with own_style(self.style):
            super().draw(renderer)

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        with own_style(self.style):
            super().savefig(*args, **kwargs)

    @property
    def alt(self) -> str:
        """What the parts of the figure are, by their titles and by the names of their axes."""
        return ". ".join(filter(None, map(told, self.axes)))

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    @property
    def width(self) -> int:
        """Pixels of the page."""
        return round(self.get_figwidth() * self.pixels_per_inch)

    def _shown(self) -> tuple[bytes, dict[str, Any]]:
        """The picture, and what a notebook keeps beside it."""
        return self._repr_png_(), {"width": self.width, "alt": self.alt}


def told(axes: Axes) -> str:
    """Some axes in words: a picture by its title and note, a plot by the names of its axes and curves."""
    title, x, y = axes.get_title(), axes.get_xlabel(), axes.get_ylabel()
    if axes.images:
        words = [" ".join(filter(None, [y, title])), x]
    else:
        curves = [label for label in axes.get_legend_handles_labels()[1] if not label.startswith("_")]
        words = [title, f"{y} over {x}" if x and y else x or y, ", ".join(curves)]
    return ": ".join(" ".join(each.split()) for each in words if each)


def _show_as_it_is(kind: type[Figure]) -> None:
    """Have IPython show a `Figure` by its `_shown` alone.

    Once a notebook imports pyplot, IPython shows every matplotlib figure through the inline backend: cropped, at the user's resolution,
    in the user's format. What is registered for this very class goes first.
    """
    if shell := IPython.get_ipython():
        for mime, formatter in shell.display_formatter.formatters.items():
            if mime.startswith("image/") or mime == "application/pdf":
                formatter.for_type(kind, kind._shown if mime == "image/png" else lambda figure: None)


def one_each(name: str, values: Sized | None, count: int) -> None:
    """None, or as many values as there are pictures."""
    came = count if values is None else len(values)
    checks.expect(came == count, name, f"{came}", f"{count}, one for each picture")


def blank(width: float, height: float) -> Figure:
    """An empty figure, in inches, whose parts make room for each other."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06)  # type: ignore[union-attr, call-arg]
    return figure


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Labels of both axes."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def bare(axes: Axes) -> None:
    """No ticks, for a picture."""
    axes.set_xticks([])
    axes.set_yticks([])


def show(axes: Axes, picture: Tensor, title: str | None = None, note: str | None = None) -> None:
    """A picture, its title above and a note below.  picture: (3, H, W), or (1, H, W) in grey, drawn as if clipped to [0, 1]."""
    checks.tensor("picture", picture, "(3, H, W)", dimensions=[3])
    checks.expect(picture.shape[0] in (1, 3), "picture", f"shape {tuple(picture.shape)}", "(3, H, W)")
    axes.imshow(picture.detach().float().clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).cpu().numpy())
    axes.spines[:].set_color("0.75")
    bare(axes)
    if title:
        axes.set_title(title, **AS_TYPED)
    if note:
        axes.set_xlabel(note, fontsize=matplotlib.rcParams["xtick.labelsize"], **AS_TYPED)


def show_map(axes: Axes, values: Tensor, low: float, high: float, cmap: str) -> AxesImage:
    """One number a pixel, in colours from `low` to `high`.  values: (H, W)."""
    bare(axes)
    return axes.imshow(values.detach().float().cpu().numpy(), cmap=cmap, vmin=low, vmax=high)


def show_rows(grid: np.ndarray, rows: Mapping[str, Any]) -> None:
    """Rows of pictures, each after its name.  grid: axes (R, N).  rows: {name: (N, 3, H, W)}, R of them."""
    for line, (name, pictures) in zip(grid, rows.items()):
        for axes, picture in zip(line, pictures):
            show(axes, picture)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", **AS_TYPED)


def enlarged(y: Tensor, truth: Tensor) -> Tensor:
    """The first of some measurements as an image of the truth's size, its pixels kept square.

    y: (B, C, h, w).  truth: (N, 3, H, W).  Returns (C, H, W).
    """
    return F.interpolate(y[:1], truth.shape[-2:], mode="nearest")[0]


def misfit_axes(axes: Axes, x: str, sigma: float) -> None:
    """A plot of misfits over x, on a logarithmic scale, with the noise as a level."""
    axes.axhline(checks.number("sigma", sigma, least=0), color="black", linewidth=0.8, label="noise σ")
    axes.set_yscale("log")
    name_axes(axes, x, "misfit, RMS of y − A(x̂)")
    axes.legend(fontsize=matplotlib.rcParams["xtick.labelsize"])
