"""The panel of notebook 00."""

import ipywidgets as w

from .. import figures, images
from ..priors import LatentDiffusion
from ..solvers import treg
from .base import LINEAR, Cancelled, Panel, Progress, count_of_steps, estimate, measured, operator_and_strength, picture_and_text, walk

__all__ = ["quickstart"]


def quickstart(prior: LatentDiffusion, name: str = "fox") -> Panel:
    """The panel of notebook 00: picture, prompt, operator, strength and seed → truth, measurement, x̂ and A(x̂)."""
    picture, prompt = picture_and_text(name, "prompt")
    operator, strength = operator_and_strength(LINEAR)
    seed = w.IntText(value=0, description="seed")

    def solve(cancelled: Cancelled, progress: Progress) -> figures.Figure:
        A, x, text = LINEAR[operator.value][0](strength.value), images.example(picture.value), prompt.value
        y, settings = measured(A, x), prior.recommended["treg"]
        steps = treg(prior, A, y, text, seed=seed.value, **settings)
        x_hat = estimate(prior, walk(steps, count_of_steps(settings), cancelled, progress)[-1])
        return figures.story([(x, y, {f'text "{text}"': x_hat})], A)

    return Panel([w.HBox([picture, prompt]), w.HBox([operator, strength, seed])], solve)
