"""The panel of notebook 07."""

from collections.abc import Sequence
from typing import Any

import ipywidgets as w
import torch

from .. import checks, figures, images, operators
from ..diffusion import Step
from ..figures.phase_retrieval_symmetries import log_magnitude
from ..priors import LatentDiffusion
from ..solvers import treg
from .base import (
    LINEAR,
    NONLINEAR,
    SIGMA,
    Cancelled,
    Panel,
    Progress,
    count_of_steps,
    measured,
    omega_slider,
    operator_and_strength,
    picture_and_text,
    thinned,
    walk,
)

__all__ = ["grey", "solver", "solver_figure"]


def solver(prior: LatentDiffusion, name: str = "fox") -> Panel:
    """The panel of notebook 07: picture, text, operator, ω, negation and seed → the whole run, from measurement to reconstruction."""
    menu = LINEAR | NONLINEAR
    picture, text = picture_and_text(name)
    operator, strength = operator_and_strength(menu)
    omega = omega_slider(prior.recommended["treg"].get("guidance_scale", 5.0))
    negation = w.Dropdown(options={"off": None, "hidden": "hidden", "projected": "projected"}, value="hidden", description="negation")
    seed = w.IntText(value=0, description="seed")

    def solve(cancelled: Cancelled, progress: Progress) -> figures.Figure:
        A, x = menu[operator.value][0](strength.value), images.example(picture.value)
        y = measured(A, x)
        settings = prior.recommended["treg"] | {"guidance_scale": omega.value, "negation": negation.value}
        steps = treg(prior, A, y, text.value, seed=seed.value, **settings)
        return solver_figure(prior, A, x, y, walk(steps, count_of_steps(settings), cancelled, progress))

    return Panel([w.HBox([picture, text]), w.HBox([operator, strength]), w.HBox([omega, negation, seed])], solve)


def solver_figure(
    prior: LatentDiffusion, operator: Any, x: torch.Tensor, y: torch.Tensor, steps: Sequence[Step], sigma: float = SIGMA, sample: int = 0
) -> figures.Figure:
    """What the panel of notebook 07 draws of one sample of a run, whole or cancelled.

    x: (B, 3, H, W).  y: (B, C, h, w).  steps: as the solver yielded them.
    """
    sample = checks.integer("sample", sample, 0, len(x) - 1)
    shown = thinned(steps, 9)
    estimates = prior.decode(torch.stack([step.z0[sample] for step in shown])).clamp(0, 1)
    x, y = x[sample : sample + 1], y[sample : sample + 1]
    x_hat = estimates[-1:]
    pictures = {"truth x": x, "measured: y": y, "reconstructed: x̂": x_hat, "A(x̂), to compare with y": operator.A(x_hat)}
    if isinstance(operator, operators.FourierMagnitude):
        of_x, of_x_hat = grey(y), grey(operator.A(x_hat))
        pictures = {"truth x": x, "measured: y, log₁₀": of_x, "reconstructed: x̂": x_hat, "A(x̂), to compare with y, log₁₀": of_x_hat}
    misfit = {step.t: step.misfit[sample].item() for step in steps if step.misfit is not None}
    return figures.solver({title: each[0] for title, each in pictures.items()}, estimates, [step.t for step in shown], misfit, sigma)


def grey(magnitude: torch.Tensor) -> torch.Tensor:
    """Magnitudes from 1e-3 to 10 as greys from 0 to 1: what can be seen of |F P x|.  magnitude, returned: (B, C, H, W)."""
    return (log_magnitude(magnitude, floor=1e-3) + 3) / 4
