"""The panel of notebook 10."""

from collections.abc import Callable, Iterator

import ipywidgets as w
import torch

from .. import checks, figures, images
from ..consistency import pixel_step, pixel_step_nonlinear
from ..diffusion import Step, add_noise, guided_noises, tweedie
from ..noise import Seed, generators, normal
from ..operators import is_linear, misfit
from ..priors import LatentDiffusion
from ..solvers.flowdps import flow_time
from .base import LINEAR, NONLINEAR, Cancelled, Panel, Progress, measured, omega_slider, operator_and_strength, picture_and_text, walk
from .treg import solver_figure

__all__ = ["GUIDANCES", "MEMORIES", "WEIGHTS", "slots", "swapped_slots"]

Rule = Callable[[torch.Tensor], torch.Tensor]
"""A number in [0, 1] for each noise level, of ᾱ_{t−1}."""

WEIGHTS: dict[str, Rule] = {
    "ᾱ, rises as the noise falls (TReg)": lambda alpha_bar: alpha_bar,
    "1 (DAPS, LATINO)": torch.ones_like,
    "s, falls with the noise (FlowDPS)": flow_time,
}
"""How much the data step is believed."""

MEMORIES: dict[str, Rule] = {
    "part of it (TReg)": lambda alpha_bar: (1 - alpha_bar).sqrt(),
    "all of it (DDIM)": torch.ones_like,
    "nothing of it (DAPS, LATINO)": torch.zeros_like,
}
"""How much of the old noise is put back; the rest is new."""

GUIDANCES = {"CFG": "cfg", "CFG++": "cfg++"}


def swapped_slots(prior: LatentDiffusion, name: str = "fox", steps: int = 20) -> Panel:
    """The panel of notebook 10: picture, text, operator, and the slots of TReg's loop with what other papers put in → the whole run."""
    steps = checks.integer("steps", steps)
    menu = LINEAR | NONLINEAR
    picture, text = picture_and_text(name)
    operator, strength = operator_and_strength(menu)
    guidance = w.Dropdown(options=GUIDANCES, value="cfg", description="guidance")
    omega = omega_slider(2.5)
    weight = w.Dropdown(options=WEIGHTS, value=next(iter(WEIGHTS.values())), description="weight")
    memory = w.Dropdown(options=MEMORIES, value=next(iter(MEMORIES.values())), description="noise kept")
    seed = w.IntText(value=0, description="seed")

    def solve(cancelled: Cancelled, progress: Progress) -> figures.Figure:
        A, x = menu[operator.value][0](strength.value), images.example(picture.value)
        y = measured(A, x)
        run = slots(prior, A, y, text.value, weight.value, memory.value, guidance.value, omega.value, steps, seed.value)
        return solver_figure(prior, A, x, y, walk(run, steps, cancelled, progress))

    rows = [[picture, text], [operator, strength], [guidance, omega], [weight, memory], [seed]]
    return Panel([w.HBox(row) for row in rows], solve)


@torch.no_grad()
def slots(
    prior: LatentDiffusion,
    operator: object,
    y: torch.Tensor,
    prompt: str,
    weight: Rule,
    memory: Rule,
    guidance: str,
    guidance_scale: float,
    steps: int,
    seed: Seed,
) -> Iterator[Step]:
    """TReg without negation, with every step in Γ, and with any weight of the data step, memory of the noise, and guidance.

    ẑ = w E(x̂) + (1 − w) ẑ₀,   z_{t−1} = √ᾱ_{t−1} ẑ + √(1 − ᾱ_{t−1}) (m ε̂ + √(1 − m²) ε),  w and m of ᾱ_{t−1}
    """
    draws, shape = generators(seed, len(y)), (len(y), *prior.latent_shape())
    c, null = prior.embed_text([prompt] * len(y)), prior.embed_text([""] * len(y))
    solve_pixels = pixel_step if is_linear(operator) else pixel_step_nonlinear
    z_t = normal(draws, shape, prior.device, prior.dtype)
    for index, (t, t_prev) in enumerate(prior.timesteps(steps)):
        alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
        noise, put_back = guided_noises(prior, z_t, t, c, null, guidance_scale, guidance)
        z0 = tweedie(z_t, noise, alpha_bar)
        x_hat = solve_pixels(operator, y, prior.decode(z0))
        share, kept = weight(alpha_bar_prev), memory(alpha_bar_prev)
        z0 = share * prior.encode(x_hat) + (1 - share) * z0
        fresh = normal(draws, shape, prior.device, prior.dtype)
        z_next = add_noise(z0, kept * put_back + (1 - kept**2).sqrt() * fresh, alpha_bar_prev)
        x_hat = (prior.decode(z0) if t_prev < 0 else x_hat).clamp(0, 1)
        yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
        z_t = z_next
