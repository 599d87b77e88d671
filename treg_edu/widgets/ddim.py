"""The panel of notebook 03."""

import ipywidgets as w
import torch

from .. import figures
from ..diffusion import sample
from ..priors import LatentDiffusion
from .base import Cancelled, Panel, Progress, omega_slider, text_field, thinned, walk

__all__ = ["ddim"]


def ddim(prior: LatentDiffusion, prompt: str = "tomato") -> Panel:
    """The panel of notebook 03: prompt, ω, steps and seed → z_t and ẑ₀ along the way, decoded."""
    text, omega = text_field(prompt, "prompt"), omega_slider(4, most=16)
    steps = w.IntSlider(value=25, min=1, max=100, description="steps")
    seed = w.IntText(value=0, description="seed")

    def solve(cancelled: Cancelled, progress: Progress) -> figures.Figure:
        total = steps.value
        shown = thinned(walk(sample(prior, text.value, total, omega.value, seed.value), total, cancelled, progress), 8)
        rows = {"D(z_t)": torch.cat([step.z_t for step in shown]), "D(ẑ₀)": torch.cat([step.z0 for step in shown])}
        return figures.picture_rows({name: prior.decode(z) for name, z in rows.items()}, [f"t = {step.t}" for step in shown])

    return Panel([w.HBox([text, omega]), w.HBox([steps, seed])], solve)
