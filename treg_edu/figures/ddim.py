"""Figures of notebook 03."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from .base import TIME, Figure, show
from .earlier import blank, own_style

__all__ = ["noising", "paths", "scores"]


@own_style()
def noising(pictures: Tensor, levels: Sequence[int], alpha_bar: Tensor) -> Figure:
    """An image under rising noise, over the weights √ᾱ_t of the image and √(1 − ᾱ_t) of the noise.

    pictures: (N, 3, H, W), at the N timesteps `levels`.  alpha_bar: (T,), of all timesteps.
    """
    figure = blank(8.5, 3.9)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.7])[:, 0]
    for axes, picture, t in zip(top.subplots(1, len(pictures), squeeze=False)[0], pictures, levels):
        show(axes, picture, f"t = {t}")
    axes = bottom.subplots()
    axes.plot(alpha_bar.sqrt(), color="tab:blue", label="√ᾱ, weight of the image")
    axes.plot((1 - alpha_bar).sqrt(), color="tab:red", linestyle="--", label="√(1 − ᾱ), deviation of the noise")
    for t in levels:
        axes.axvline(t, color="0.8", linewidth=0.8, zorder=0)
    axes.set_xlabel("t")
    axes.legend(loc="center right")
    return figure


@own_style()
def scores(z: Tensor, levels: Mapping[str, tuple[Tensor, Mapping[str, Tensor]]]) -> Figure:
    """Densities of one number z at some noise levels, and under each what is said to be its score.

    z: (N,).  levels: {title: (density (N,), {label: score (N,)})}; the first score is drawn broad, the others over it.
    """
    styles: list[dict[str, Any]] = [
        dict(color="0.75", linewidth=6),
        dict(color="tab:blue", linestyle="--"),
        dict(color="tab:red", linestyle=":", linewidth=2),
    ]
    figure = blank(8.5, 4)
    grid = figure.subplots(2, len(levels), squeeze=False, sharex=True, sharey="row")
    for (above, below), (title, (density, candidates)) in zip(grid.T, levels.items()):
        above.fill_between(z, density, color="0.75")
        above.set_title(title)
        for style, (label, values) in zip(styles, candidates.items()):
            below.plot(z, values, label=label, **style)
        below.axhline(0, color="0.5", linewidth=0.5)
        below.set_xlabel("z")
    grid[0, 0].set_ylabel("density of z")
    grid[1, 0].set_ylabel("score")
    figure.legend(*grid[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@own_style()
def paths(t: Sequence[int], z: Tensor, density: Tensor, walks: Mapping[str, tuple[Sequence[int], Tensor]]) -> Figure:
    """Ways from noise to data over the densities they cross, each column of which is shaded by its own maximum.

    t: (T,).  z: (N,).  density: (N, T).  walks: {title: (timesteps (K,), z at them (K, P))}.
    """
    figure = blank(8.5, 3.4)
    grid = figure.subplots(1, len(walks), squeeze=False, sharey=True)[0]
    for axes, (title, (timesteps, values)) in zip(grid, walks.items()):
        axes.pcolormesh(t, z.numpy(), (density / density.amax(0)).numpy(), cmap="Greys", vmax=1.6, shading="nearest")
        axes.plot(timesteps, values, color="tab:blue", linewidth=0.9)
        axes.set_xlim(max(t), min(t))
        axes.set_title(title)
        axes.set_xlabel(TIME)
    grid[0].set_ylabel("z")
    return figure
