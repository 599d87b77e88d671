"""The panel of notebook 06."""

from collections.abc import Sequence

import ipywidgets as w
import torch

from .. import checks, figures, images, operators
from ..diffusion import Step
from ..negation import negation_loss
from ..priors import LatentDiffusion
from ..solvers import treg
from .base import Cancelled, Panel, Progress, count_of_steps, measured, omega_slider, picture_menu, walk

__all__ = ["negation", "negation_figure"]


def negation(prior: LatentDiffusion, name: str = "fox") -> Panel:
    """The panel of notebook 06: picture, η, ω and space → x̂ along the run with and without negation, the loss, and the move of c_∅."""
    picture, omega = picture_menu(name), omega_slider(4)
    rate = w.FloatLogSlider(value=1e-3, min=-4, max=-1, step=0.5, description="η")
    space = w.Dropdown(options=["hidden", "projected"], description="space")

    def solve(cancelled: Cancelled, progress: Progress) -> figures.Figure:
        A, text, chosen = operators.SuperResolution(16), picture.value, space.value
        y = measured(A, images.example(text))
        settings = {"null_prompt": ""} | prior.recommended["treg"] | {"guidance_scale": omega.value, "negation_learning_rate": rate.value}
        pairs = zip(*(treg(prior, A, y, text, **settings | {"negation": each}) for each in (None, chosen)))
        without, with_negation = zip(*walk(pairs, count_of_steps(settings), cancelled, progress))
        return negation_figure(prior, without, with_negation, null_prompt=settings["null_prompt"], space=chosen)

    return Panel([w.HBox([picture, space]), w.HBox([rate, omega])], solve)


def negation_figure(
    prior: LatentDiffusion,
    without: Sequence[Step],
    with_negation: Sequence[Step],
    null_prompt: str,
    space: str = "hidden",
    sample: int = 0,
) -> figures.Figure:
    """What the panel of notebook 06 draws of two runs, lists of `Step`, at every second of their consistency steps."""
    sample = checks.integer("sample", sample, 0, len(without[0].z_t) - 1)
    start, names = prior.embed_text([null_prompt]), ("off", "on")
    shown = [pair for pair in zip(without, with_negation) if pair[0].x_hat is not None][::2]
    x_hats = [torch.stack([step.x_hat[sample] for step in steps]) for steps in zip(*shown)]
    nulls = [torch.stack([step.null_embedding[sample] for step in steps]) for steps in zip(*shown)]
    features = [prior.embed_images(each) for each in x_hats]
    if space == "projected":
        features = [prior.to_hidden_space(each) for each in features]
    losses = {name: negation_loss(feature, null) for name, feature, null in zip(names, features, nulls)}
    moves = {name: (null - start).square().mean((1, 2)).sqrt() for name, null in zip(names, nulls)}
    rows = dict(zip(("negation off", "negation on"), x_hats)) | {"difference, × 3": 3 * (x_hats[1] - x_hats[0]).abs()}
    return figures.negation_trajectory(rows, [pair[0].t for pair in shown], losses, moves)
