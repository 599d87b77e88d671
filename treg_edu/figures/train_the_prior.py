"""Figures of notebook 12."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from .. import checks
from .base import AS_TYPED, WIDEST, Figure, blank, own_style

__all__ = ["text_similarities"]


@own_style()
def text_similarities(named: Mapping[str, Tensor], groups: Sequence[str]) -> Figure:
    """Cosines of texts with each other, a matrix a text tower: black is 1, white 0 or less.

    named: {title: (N, N)}.  groups: names of as many equal stretches of the N texts, written along both axes.
    """
    figure = blank(min(WIDEST, 4.3 * len(named) + 1.2), 4.6)
    grid = figure.subplots(1, len(named), squeeze=False, sharey=True)[0]
    for axes, (title, values) in zip(grid, named.items()):
        checks.expect(values.ndim == 2 and len(values) == values.shape[1], title, f"shape {tuple(values.shape)}", "(N, N)")
        drawn = axes.imshow(values.detach().cpu().numpy(), cmap="gray_r", vmin=0, vmax=1)
        size = len(values) / len(groups)
        middle = [size * (place + 0.5) - 0.5 for place in range(len(groups))]
        axes.set_xticks(middle, groups, rotation=90, **AS_TYPED)
        axes.set_yticks(middle, groups, **AS_TYPED)
        axes.set_title(title, **AS_TYPED)
    figure.colorbar(drawn, ax=list(grid), label="cosine")
    return figure
