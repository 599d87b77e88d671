"""The panel of notebook 05."""

import ipywidgets as w

from .. import figures, images, operators
from ..priors import LatentDiffusion
from ..solvers import treg
from .base import Cancelled, Panel, Progress, count_of_steps, estimate, measured, picture_and_text, walk

__all__ = ["text_regularization"]


def text_regularization(prior: LatentDiffusion, name: str = "fox") -> Panel:
    """The panel of notebook 05: picture, text and seeds → reconstructions with the text and the null text, and where they disagree."""
    picture, text = picture_and_text(name)
    seeds = w.IntSlider(value=4, min=2, max=8, description="seeds")

    def solve(cancelled: Cancelled, progress: Progress) -> figures.Figure:
        count, words, settings = seeds.value, text.value, {"null_prompt": ""} | prior.recommended["treg"] | {"negation": None}
        A = operators.SuperResolution(16)
        y = measured(A, images.example(picture.value)).expand(2 * count, -1, -1, -1)
        prompts, each = [words] * count + [settings["null_prompt"]] * count, [*range(count)] * 2
        steps = treg(prior, A, y, prompts, seed=each, **settings)
        x_hat = estimate(prior, walk(steps, count_of_steps(settings), cancelled, progress)[-1])
        return figures.seeds_and_deviation({f'text "{words}"': x_hat[:count], "null text": x_hat[count:]})

    return Panel([w.HBox([picture, text, seeds])], solve)
