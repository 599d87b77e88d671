"""Figures of notebook 07."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from .. import checks
from ..metrics import pixel_deviation
from .base import AS_TYPED, TIME, WIDEST, Figure, blank, enlarged, misfit_axes, one_each, own_style, show, show_map, show_rows
from .pictures import LINE, lines, wrapped

__all__ = ["error_and_deviation", "problems", "retrieved", "solver"]

COPIES = {"upright": ("▲ upright", "black"), "rotated": ("▼ rotated", "tab:red")}
"""How the notes under retrieved pictures look; any other copy is grey."""


@own_style()
def problems(x: Tensor, solved: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Every picture and every operator: a row for a picture, and for each operator the measurement beside the reconstructions.

    x: (N, 3, H, W).  solved: {operator: {column: (N, C, h, w)}}, smaller pictures drawn with square pixels.
    """
    widths = [len(columns) for columns in solved.values()]
    side = min(1.2, WIDEST / (1 + sum(widths)) - 0.02)
    heads = {
        title: {wrapped(name, side): each for name, each in columns.items()} for title, columns in {" ": {"truth x": x}, **solved}.items()
    }
    head = LINE * (1.4 + lines([name for columns in heads.values() for name in columns]))
    figure = blank(side * (1 + sum(widths)), side * len(x) + head)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)  # type: ignore[union-attr, call-arg]
    blocks = figure.subfigures(1, 1 + len(widths), squeeze=False, width_ratios=[1, *widths])[0]
    for block, (title, columns) in zip(blocks, heads.items()):
        block.suptitle(title, **AS_TYPED)
        grid = block.subplots(len(x), len(columns), squeeze=False)
        for line, (name, pictures) in zip(grid.T, columns.items()):
            for axes, picture in zip(line, pictures):
                show(axes, enlarged(picture[None], x))
            line[0].set_title(name, **AS_TYPED)
    return figure


@own_style()
def retrieved(x: Tensor, arms: Mapping[str, tuple[Tensor, Sequence[str]]], labels: Sequence[str]) -> Figure:
    """Pictures retrieved from their magnitudes, each over the name of the copy that it is.

    x: (N, 3, H, W).  arms: {name: ((N, 3, H, W), N names of copies)}.  labels: N titles.
    """
    one_each("labels", labels, len(x))
    for name, (pictures, copies) in arms.items():
        one_each(name, pictures, len(x))
        one_each(f"copies of {name}", copies, len(x))
    side = min(1.4, (WIDEST - 1.2) / len(x))
    titles = [wrapped(label, side) for label in labels]
    figure = blank(1.2 + side * len(x), (side + LINE) * (1 + len(arms)) + LINE * lines(titles))
    grid = figure.subplots(1 + len(arms), len(x), squeeze=False)
    show_rows(grid, {"truth x": x, **{wrapped(name, 1.1): pictures for name, (pictures, _) in arms.items()}})
    for axes, title in zip(grid[0], titles):
        axes.set_title(title, **AS_TYPED)
    for line, (_, copies) in zip(grid[1:], arms.values()):
        for axes, copy in zip(line, copies):
            text, colour = COPIES.get(copy, (copy, "0.4"))
            axes.set_xlabel(text, color=colour)
    return figure


@own_style()
def error_and_deviation(x: Tensor, x_hats: Tensor, labels: Sequence[str]) -> Figure:
    """A row for each picture: the truth, one seed, the mean over seeds, how the seeds deviate, and how far their mean is from the truth.

    x: (N, 3, H, W).  x_hats: (N, S, 3, H, W), S ≥ 2 seeds.  labels: N names.  Both maps are RMS over the channels, on one scale.
    """
    one_each("x_hats", x_hats, len(x))
    one_each("labels", labels, len(x))
    checks.tensor("x_hats", x_hats, "(N, S, 3, H, W)", dimensions=[5])
    mean = x_hats.mean(1)
    deviations = [pixel_deviation(each) for each in x_hats]
    errors = [(a - b).square().mean(0).sqrt() for a, b in zip(mean, x)]
    top = max(float(each.max()) for each in [*deviations, *errors])
    side = 1.6
    figure = blank(WIDEST, side * len(x) + 2.5 * LINE)
    grid = figure.subplots(len(x), 5, squeeze=False)
    titles = ["truth x", "one seed", "mean of the seeds", "deviation\nof the seeds", "error of\ntheir mean"]
    for axes, title in zip(grid[0], titles):
        axes.set_title(title)
    for line, label, *pictures, deviation, error in zip(grid, labels, x, x_hats[:, 0], mean, deviations, errors):
        for axes, picture in zip(line, pictures):
            show(axes, picture)
        drawn = [show_map(axes, values, 0, top, "magma") for axes, values in zip(line[3:], (deviation, error))]
        line[0].set_ylabel(wrapped(label, side), **AS_TYPED)
    figure.colorbar(drawn[-1], ax=list(grid[:, 3:].ravel()), shrink=0.8, label="RMS over the channels")
    return figure


@own_style()
def solver(pictures: Mapping[str, Tensor], estimates: Tensor, t: Sequence[int], misfit: Mapping[int, float], sigma: float) -> Figure:
    """One whole run: what went in and came out, over the estimate along the way, over how well it explains the measurement.

    pictures: {title: (3, h, w)}.  estimates: (K, 3, H, W), at K timesteps t.  misfit: {timestep: RMS of y − A(x̂)}.  sigma: the noise.
    """
    side = min(1.3, WIDEST / len(t))
    figure = blank(WIDEST, 2.5 + side + 0.4 + 3.0)
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=[2.5, side + 0.4, 3.0])[:, 0]
    for axes, (title, picture) in zip(top.subplots(1, len(pictures), squeeze=False)[0], pictures.items()):
        show(axes, picture, wrapped(title, WIDEST / len(pictures)))
    for axes, picture, each in zip(middle.subplots(1, len(t), squeeze=False)[0], estimates, t):
        show(axes, picture, f"t = {each}")
    axes = bottom.subplots()
    label = "x̂, after the pixel step; at the run's end D(ẑ)"
    axes.plot(list(misfit), list(misfit.values()), "o-", color="tab:blue", markersize=6, linewidth=2, label=label)
    axes.invert_xaxis()
    misfit_axes(axes, TIME, sigma)
    return figure
