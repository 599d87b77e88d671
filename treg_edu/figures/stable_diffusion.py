"""Figures of notebook 11."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .base import LINES, TIME, Figure, blank, name_axes, own_style

__all__ = ["memory_of_stages", "rounded_noise", "visited_levels"]

COLOURS = ("tab:blue", "tab:red", "0.35", "tab:orange")
HATCHES = ("", "//", "..", "xx")


@own_style()
def memory_of_stages(panels: Mapping[str, Mapping[str, float]], unit: str) -> Figure:
    """Horizontal bars of memory, a plot a model.  panels: {model: {stage: memory in `unit`}}."""
    figure = blank(9.6, 0.9 + 0.34 * max(map(len, panels.values())))
    for axes, (model, stages) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for place, (value, hatch) in enumerate(zip(stages.values(), HATCHES * len(stages))):
            axes.barh(place, value, color="0.8", edgecolor="black", hatch=hatch)
            axes.annotate(f"{value:.2g}", (value, place), xytext=(4, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(stages)), list(stages))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.2 * max(stages.values()))
        axes.set_title(model)
        name_axes(axes, unit, "")
    return figure


@own_style()
def visited_levels(levels: Mapping[str, tuple[Sequence[int], ArrayLike]]) -> Figure:
    """Which noise levels a run visits: a row of dots over log √((1 − ᾱ) / ᾱ) for each name.  levels: {name: (timesteps, ᾱ at each)}."""
    figure = blank(9.6, 1.0 + 0.5 * len(levels))
    axes = figure.subplots()
    for place, (name, (t, alpha_bar)) in enumerate(levels.items()):
        alpha_bar = np.asarray(alpha_bar, dtype=float)
        noise = np.sqrt((1 - alpha_bar) / alpha_bar)
        axes.plot(noise, [place] * len(noise), "o", color="white", markeredgecolor="black", markersize=6)
        for end in (0, -1):
            axes.annotate(f"t = {t[end]}", (noise[end], place), xytext=(0, 7), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(levels)), list(levels))
    axes.set_ylim(len(levels) - 0.5, -0.8)
    axes.set_xscale("log")
    axes.invert_xaxis()
    name_axes(axes, "noise over signal, √((1 − ᾱ) / ᾱ) (noise on the left, data on the right)", "")
    return figure


@own_style()
def rounded_noise(t: Sequence[int], shares: Mapping[str, ArrayLike]) -> Figure:
    """1 − ᾱ along a run in several precisions, where 0 is drawn at the bottom of the logarithmic axis.  shares: {precision: (T,)}."""
    figure = blank(8.5, 3.8)
    axes = figure.subplots()
    floor = min(np.asarray(each, dtype=float)[np.asarray(each) > 0].min() for each in shares.values()) / 4
    for (name, share), line, colour in zip(shares.items(), LINES, COLOURS):
        share = np.asarray(share, dtype=float)
        axes.plot(t, np.maximum(share, floor), line, color=colour, linewidth=2.2, label=name)
        lost = share <= 0
        axes.plot(np.asarray(t)[lost], [floor] * int(lost.sum()), "x", color=colour, markersize=9, markeredgewidth=2, label="_")
    axes.set_yscale("log")
    axes.invert_xaxis()
    axes.annotate("× is rounded to 0", (0.02, floor), xytext=(0, 8), textcoords="offset points", xycoords=axes.get_yaxis_transform())
    name_axes(axes, TIME, "1 − ᾱ")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
