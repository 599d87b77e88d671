"""The block diagram of the latent diffusion model, of notebooks 00 and 03."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from .base import WIDEST, Figure, blank, own_style

__all__ = ["machine"]

NETWORK, DATA, STEP = "#cfe2f3", "white", "0.92"
"""Of the boxes: what was trained, what is handed on, what is computed."""


@own_style()
def machine() -> Figure:
    """How a latent diffusion model draws a picture of a text, and where a measurement enters."""
    height = 5.0
    figure = blank(WIDEST, height)
    axes = figure.subplots()
    axes.set_xlim(0, WIDEST)
    axes.set_ylim(0, height)
    axes.set_title("from noise and a text to a picture")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.axis("off")
    _box(axes, (0.1, 3.9), "text “fox”", DATA, 1.5)
    _box(axes, (2.1, 3.9), "text encoder\n(CLIP)", NETWORK, 1.7)
    _box(axes, (0.1, 2.3), "noisy latent\n$z_t$, 4×16×16", DATA, 1.8)
    _box(axes, (2.9, 2.3), "U-Net\nε̂($z_t$, t, c)", NETWORK, 1.6)
    _box(axes, (5.3, 2.3), "clean estimate\nẑ₀ (Tweedie)", STEP, 1.8)
    _box(axes, (8.0, 2.3), "less noise\n$z_{t-1}$ (DDIM)", STEP, 1.8)
    _box(axes, (5.3, 3.9), "measurement y", DATA, 1.8, edge="tab:red")
    _box(axes, (8.2, 0.2), "decoder D", NETWORK, 1.6)
    _box(axes, (5.7, 0.2), "picture x̂\n3×64×64", DATA, 1.6)
    _box(axes, (0.1, 0.2), "picture x", DATA, 1.2)
    _box(axes, (1.8, 0.2), "encoder E", NETWORK, 1.4)
    _box(axes, (3.7, 0.2), "latent $z_0$", DATA, 1.4)
    for points in (
        [(1.6, 4.3), (2.1, 4.3)],
        [(1.9, 2.7), (2.9, 2.7)],
        [(4.5, 2.7), (5.3, 2.7)],
        [(7.1, 2.7), (8.0, 2.7)],
        [(8.4, 2.3), (8.4, 1.5), (1.0, 1.5), (1.0, 2.3)],
        [(9.4, 2.3), (9.4, 1.0)],
        [(8.2, 0.6), (7.3, 0.6)],
        [(1.3, 0.6), (1.8, 0.6)],
        [(3.2, 0.6), (3.7, 0.6)],
    ):
        _arrow(axes, points)
    _arrow(axes, [(3.8, 4.3), (4.1, 4.3), (4.1, 3.1)])
    _arrow(axes, [(6.2, 3.9), (6.2, 3.1)], "tab:red")
    axes.text(4.2, 3.75, "embedding\nc", va="center")
    axes.text(4.9, 2.85, "ε̂", ha="center")
    axes.text(6.35, 3.5, "corrects ẑ₀ (notebooks 04, 05)", color="tab:red", va="center")
    axes.text(4.9, 1.62, "repeat, from t = 999 down to 0", ha="center")
    axes.text(9.45, 1.6, "at the\nend", va="center", ha="left")
    return figure


def _box(axes: Axes, corner: tuple[float, float], text: str, color: str, width: float, edge: str = "0.3") -> None:
    """A text in a box, its lower left corner and its width in inches."""
    height = 0.8
    axes.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.08", facecolor=color, edgecolor=edge, linewidth=1.5))
    axes.text(corner[0] + width / 2, corner[1] + height / 2, text, ha="center", va="center")


def _arrow(axes: Axes, points: Sequence[tuple[float, float]], color: str = "0.2") -> None:
    """A line through points, with a head at the last."""
    if len(points) > 2:
        axes.plot(*zip(*points[:-1]), color=color, linewidth=1.8)
    axes.annotate("", points[-1], points[-2], arrowprops=dict(arrowstyle="-|>", color=color, linewidth=1.8, shrinkA=0, shrinkB=0))
