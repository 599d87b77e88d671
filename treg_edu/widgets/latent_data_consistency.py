"""The panel of notebook 04."""

import ipywidgets as w
import torch

from .. import consistency, figures, operators
from .base import LINEAR, SIGMA, Live, measured

__all__ = ["pixel_step"]


def pixel_step(x: torch.Tensor, start: torch.Tensor) -> Live:
    """The panel of notebook 04: operator, λ and iterations → the pixel step of a measurement of x, from `start`.  Both (1, 3, H, W)."""
    controls = {
        "name": w.Dropdown(options=list(LINEAR), value="Gaussian blur", description="operator"),
        "log_lam": w.FloatSlider(value=-4, min=-8, max=0, step=0.5, description="log₁₀ λ"),
        "iterations": w.IntSlider(value=5, min=0, max=30, description="iterations"),
    }

    def draw(name: str, log_lam: float, iterations: int) -> figures.Figure:
        build, strengths = LINEAR[name]
        operator, lam = build(strengths[-1]), 10**log_lam
        y = measured(operator, x.double())
        walk = torch.cat([consistency.pixel_step(operator, y, start.double(), lam, k) for k in range(iterations + 1)])
        closed = operator.prox_l2(start.double(), y, gamma=1 / lam)
        return figures.pixel_step(start[0], walk, closed[0], operators.misfit(operator, walk, y), SIGMA)

    return Live(controls, draw)
