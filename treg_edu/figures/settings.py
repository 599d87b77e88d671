"""The figure of `treg-edu experiment settings`."""

from collections.abc import Mapping, Sequence

from .base import AS_TYPED, Figure, name_axes
from .earlier import blank, own_style

__all__ = ["quality_and_time"]


@own_style()
def quality_and_time(points: Mapping[str, Sequence[tuple[float, tuple[float, float, float], bool, bool]]]) -> Figure:
    """A plot an instrument: the perceptual distance of each setting over the seconds of a reconstruction, the best of them joined.

    points: {instrument: [(seconds, (mean, low, high), whether it is on the Pareto front, whether it was chosen), …]}.
    """
    figure = blank(3.2 * len(points), 2.9)
    for axes, (name, each) in zip(figure.subplots(1, len(points), squeeze=False)[0], points.items()):
        for seconds, (mean, low, high), on_front, chosen in each:
            colour = "tab:blue" if on_front else "0.6"
            axes.errorbar(seconds, mean, [[mean - low], [high - mean]], fmt="o", color=colour, markersize=4, linewidth=0.8)
            if chosen:
                axes.plot(seconds, mean, "o", color="none", markeredgecolor="black", markersize=9, label="chosen")
        line = sorted((seconds, mean) for seconds, (mean, *_), on_front, _ in each if on_front)
        axes.plot(*zip(*line), "-", color="tab:blue", linewidth=1, label="no other is faster and better")
        axes.set_title(name, **AS_TYPED)
        name_axes(axes, "seconds a picture", "perceptual distance")
        axes.legend(fontsize=7)
    return figure
