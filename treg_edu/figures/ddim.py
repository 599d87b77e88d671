"""Figures of notebook 03."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from .. import checks
from .base import TIME, WIDEST, Figure, blank, name_axes, own_style, show

__all__ = ["noising", "paths", "score_field", "triangle"]

ARROWS = 13  # along a side
SHORTER = 0.25  # an arrow as a share of what it stands for, so that arrows do not cross


@own_style()
def noising(pictures: Tensor, levels: Sequence[int], alpha_bar: Tensor) -> Figure:
    """An image under rising noise, over the weights √ᾱ_t of the image and √(1 − ᾱ_t) of the noise.

    pictures: (N, 3, H, W), at the N timesteps `levels`.  alpha_bar: (T,), of all timesteps.
    """
    figure = blank(WIDEST, 5)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.7])[:, 0]
    for axes, picture, t in zip(top.subplots(1, len(pictures), squeeze=False)[0], pictures, levels):
        show(axes, picture, f"t = {t}")
    axes = bottom.subplots()
    axes.plot(alpha_bar.sqrt(), color="tab:blue", linewidth=2.5, label="√ᾱ, weight of the clean latent")
    axes.plot((1 - alpha_bar).sqrt(), color="tab:red", linestyle="--", linewidth=2.5, label="√(1 − ᾱ), standard deviation of the noise")
    for t in levels:
        axes.axvline(t, color="0.8", linewidth=1, zorder=0)
    axes.set_xlabel("t")
    axes.legend(loc="center right")
    return figure


@own_style()
def score_field(grid: Tensor, levels: Mapping[str, tuple[Tensor, Tensor]], walked: Mapping[str, Tensor] | None = None) -> Figure:
    """Densities of two numbers at some noise levels, arrows over them, and the paths that were walked down to each level.

    grid: (n,), values of both numbers.  levels: {title: (density (n, n), arrows (n, n, 2))}, the first number along rows.
    walked: {title: paths (K, P, 2)}, from a dot to a square; or none.  An arrow is drawn at a quarter of its length.
    """
    figure = blank(WIDEST, 3.9)
    some = slice(len(grid) // ARROWS // 2, None, max(1, len(grid) // ARROWS))
    columns = figure.subplots(1, len(levels), squeeze=False, sharey=True)[0]
    for axes, (title, (density, arrows)) in zip(columns, levels.items()):
        axes.pcolormesh(grid.numpy(), grid.numpy(), density.sqrt().numpy(), cmap="Greys", vmax=1.7 * float(density.amax()) ** 0.5)
        right, up = (SHORTER * arrows[some, some]).numpy().transpose(2, 0, 1)
        kept = dict(angles="xy", scale_units="xy", scale=1, color="tab:blue", width=0.006)
        axes.quiver(grid[some].numpy(), grid[some].numpy(), right, up, **kept)
        if walked:
            axes.plot(*walked[title].permute(2, 0, 1).numpy(), color="tab:red", linewidth=1.8)
            axes.plot(*walked[title][0].T.numpy(), "o", color="tab:red", markersize=5)
            axes.plot(*walked[title][-1].T.numpy(), "s", color="tab:red", markeredgecolor="white", markersize=8)
        axes.set_title(title)
        axes.set_aspect("equal")
        axes.set_xlim(float(grid[0]), float(grid[-1]))
        axes.set_ylim(float(grid[0]), float(grid[-1]))
        name_axes(axes, "first number of z", "second number" if axes is columns[0] else "")
    return figure


@own_style()
def paths(t: Sequence[int], z: Tensor, density: Tensor, walks: Mapping[str, tuple[Sequence[int], Tensor, Tensor]]) -> Figure:
    """Ways from noise to data over the densities they cross, each column of which is shaded by its own maximum.

    t: (T,).  z: (N,).  density: (N, T).  walks: {title: (timesteps (K,), z at them (K, P), lost (P,))}; those that are lost are red.
    """
    figure = blank(WIDEST, 4)
    grid = figure.subplots(1, len(walks), squeeze=False, sharey=True)[0]
    for axes, (title, (timesteps, values, lost)) in zip(grid, walks.items()):
        axes.pcolormesh(t, z.numpy(), (density / density.amax(0)).numpy(), cmap="Greys", vmax=1.6, shading="nearest")
        for path, is_lost in zip(values.T, lost.tolist()):
            style = dict(color="tab:red", linewidth=2.5, zorder=3) if is_lost else dict(color="tab:blue", linewidth=1)
            axes.plot(timesteps, path, **style)
        axes.set_xlim(max(t), min(t))
        axes.set_title(title)
        axes.set_xlabel(TIME)
    grid[0].set_ylabel("z")
    return figure


@own_style()
def triangle(alpha_bar: float, alpha_bar_prev: float) -> Figure:
    """One DDIM step as a drawing: left in the plane of ẑ₀ and ε̂, both drawn as long as 1; right with the image at its full size.

    alpha_bar, alpha_bar_prev: ᾱ before the step and after it.
    """
    alpha_bar_prev = checks.number("alpha_bar_prev", alpha_bar_prev, above=0, most=1)
    alpha_bar = checks.number("alpha_bar", alpha_bar, above=0, most=alpha_bar_prev)
    figure = blank(WIDEST, 4.7)
    left, right = figure.subplots(1, 2)
    _in_the_plane(left, alpha_bar, alpha_bar_prev)
    _at_full_size(right, math.sqrt(1 / alpha_bar - 1), math.sqrt(1 / alpha_bar_prev - 1))
    return figure


def _in_the_plane(axes: Axes, alpha_bar: float, alpha_bar_prev: float) -> None:
    """The two latents on the quarter of a circle between ε̂ and ẑ₀, and the triangle of each."""
    angle = np.linspace(0, math.pi / 2, 100)
    axes.plot(np.cos(angle), np.sin(angle), color="0.75", linewidth=1.5)
    for level, name, color, style in ((alpha_bar, "z_t", "tab:red", "-"), (alpha_bar_prev, "z_{t-1}", "tab:blue", "--")):
        foot, height = math.sqrt(level), math.sqrt(1 - level)
        axes.plot([0, foot, foot], [0, 0, height], color=color, linestyle=style, linewidth=2.5)
        axes.plot([0, foot], [0, height], color=color, linestyle=style, linewidth=1.2)
        axes.plot(foot, height, "o", color=color, markersize=10)
        axes.annotate(f"${name}$", (foot, height), xytext=(6, 8), textcoords="offset points", color=color, fontsize=15)
    foot, height = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    axes.text(foot + 0.03, 0.3 * height, "√(1 − ᾱ) ε̂", rotation=90, color="tab:red", va="center")
    axes.text(foot / 2, -0.08, "√ᾱ ẑ₀", color="tab:red", ha="center", va="center")
    for end, name, place in (((1, 0), "ẑ₀", (10, -4)), ((0, 1), "ε̂", (-4, 8))):
        axes.plot(*end, "s", color="black", markersize=8, clip_on=False)
        axes.annotate(name, end, xytext=place, textcoords="offset points", ha="left" if end == (1, 0) else "center", fontsize=15)
    axes.set_title("more of ẑ₀, less of ε̂")
    _bare_plane(axes)


def _at_full_size(axes: Axes, sigma: float, sigma_prev: float) -> None:
    """The same divided by √ᾱ: a step along the straight line from x_t to ẑ₀, which leaves a share of the noise."""
    share = sigma_prev / sigma
    start, end = np.array([0.15, 1.0]), np.array([0.95, 0.12])
    middle = end + share * (start - end)
    axes.plot(*np.transpose([start, end]), ":", color="0.5", linewidth=2)
    axes.annotate("", tuple(middle), tuple(start), arrowprops=dict(arrowstyle="-|>", color="tab:blue", linewidth=3, shrinkA=6, shrinkB=6))
    before, after = r"$z_t\,/\sqrt{\bar\alpha_t}$", r"$z_{t-1}\,/\sqrt{\bar\alpha_{t-1}}$"
    for point, name, color, mark in ((start, before, "tab:red", "o"), (middle, after, "tab:blue", "o"), (end, "ẑ₀", "black", "s")):
        axes.plot(*point, mark, color=color, markersize=10, clip_on=False)
        axes.annotate(name, tuple(point), xytext=(12, 2), textcoords="offset points", color=color, fontsize=15)
    for one, other, name in ((start, middle, "removed:\n$(σ_t - σ_{t-1})$ ε̂"), (middle, end, "left:\n$σ_{t-1}$ ε̂")):
        x, y = (one + other) / 2
        axes.text(x - 0.08, y - 0.02, name, ha="right", va="center")
    axes.set_title("divided by √ᾱ: a straight step towards ẑ₀")
    _bare_plane(axes)


def _bare_plane(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(-0.1, 1.25)
    axes.set_ylim(-0.15, 1.2)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.axis("off")
