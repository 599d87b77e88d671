"""Null-text Inversion for Editing Real Images using Guided Diffusion Models (Mokady, Hertz, Aberman, Pritch, Cohen-Or, CVPR 2023), as a
restorer: what is edited is the picture that the operator's pseudo-inverse makes of the measurement."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, ddim_step, guide, guided_noise, invert, tweedie
from ..likelihood import pull_back
from ..noise import Seed
from ..operators import inner, misfit
from ..priors import DiffusionPrior
from .common import last_image, pose

__all__ = ["learning_rate_at", "null_text", "path_gradient"]


def null_text(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    source_prompt: str | Sequence[str] = "",
    null_prompt: str | Sequence[str] = "",
    steps: int = 50,  # S
    guidance_scale: float = 7.5,  # ω
    iterations: int = 10,
    learning_rate: float = 1e-2,
    tolerance: float = 1e-5,
    seed: Seed = 0,
) -> Iterator[Step]:
    """Go from the picture A†y up to noise, and down again under another text, with null texts tuned so that the old text leads back to A†y.

    pivot    z*_0 = E(clip A†y),  z*_1 … z*_S by DDIM inversion under the source text at ω = 1
    tuning   from z̄ = z*_S, for i = 0 … S − 1: c_∅ ← Adam(c_∅, ∇ mean (DDIM_ω(z̄; source, c_∅) − z*_{S−i−1})²), at most ten times;
             then z̄ ← DDIM_ω(z̄; source, c_∅)                                                              (Algorithm 1, Eq. 3)
    replay   from z_S = z*_S: z ← DDIM_ω(z; prompt, c_∅) with the c_∅ of each timestep

    It never sees A or y after A†y, so that nothing holds its picture to the measurement: read the misfit.
    prior: any.  operator: linear, or any other with an A_dagger(y) that makes a picture.  source_prompt: what A†y looks like, one string or
    B, such as "a blurry photo"; prompt: what the picture should be.  seed: unused, as nothing is drawn.
    learning_rate: of Adam, times 1 − i / 2S, which falls to one half.  The authors' code has 1 − i / 100: the same at its 50 steps, but
    zero at i = 100 and negative after.  tolerance: a sample's tuning at timestep i ends below tolerance · (1 + 100 i / S), as theirs does
    at 50 steps.
    Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep of the way down, with its c_∅; the last alone has an x_hat, D(z₀).
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    has_inverse = callable(getattr(operator, "A_dagger", None))
    came = f"{type(operator).__name__}, without A_dagger"
    checks.expect(has_inverse, "operator", came, "one with A_dagger(y), whose picture null_text starts from")
    y, c, timesteps = problem.y, problem.text, problem.timesteps
    source_prompts = checks.strings("source_prompt", source_prompt, len(y))
    source = prior.embed_text(source_prompts)
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    iterations = checks.integer("iterations", iterations, 0)
    learning_rate = checks.number("learning_rate", learning_rate, above=0)
    tolerance = checks.number("tolerance", tolerance, least=0)
    with torch.no_grad():
        start = operator.A_dagger(y).clamp(0, 1)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        # Pivot: the path of A†y up to noise
        pivot = [prior.encode(start)]
        pivot += [step.z_next for step in invert(prior, pivot[0], source_prompts, len(timesteps))]
        z_t = z_bar = pivot.pop()
        null = problem.null
        for index, (t, t_prev) in enumerate(timesteps):
            alpha_bar, alpha_bar_prev, target = prior.alpha_bar(t), prior.alpha_bar(t_prev), pivot.pop()
            # Tuning: the null text under which the guided step of the source text stays on the path
            source_noise = prior.predict_noise(z_bar, t, source)
            null = null.detach().clone()
            optimizer = torch.optim.Adam([null], learning_rate_at(learning_rate, index, len(timesteps)))
            active = torch.ones(len(y), dtype=torch.bool, device=y.device)
            for _ in range(iterations):
                before = null.clone()
                loss, null.grad = path_gradient(prior, z_bar, t, t_prev, null, source_noise, guidance_scale, target)
                optimizer.step()
                null.copy_(torch.where(active.view(-1, 1, 1), null, before))
                active = active & (loss >= tolerance * (1 + 100 * index / len(timesteps)))
                if not active.any():
                    break
            noise = guide(prior.predict_noise(z_bar, t, null), source_noise, guidance_scale)
            z_bar = ddim_step(tweedie(z_bar, noise, alpha_bar), noise, alpha_bar_prev)
            # Replay: the same step under the text of what is wanted
            noise = guided_noise(prior, z_t, t, c, null, guidance_scale)
            z0 = tweedie(z_t, noise, alpha_bar)
            z_next = ddim_step(z0, noise, alpha_bar_prev)
            x_hat = last_image(prior, z_next, y) if t_prev < 0 else None
            yield Step(index, t, z_t, z0, z_next, null.detach(), x_hat, None if x_hat is None else misfit(operator, x_hat, y))
            z_t = z_next

    return walk()


def learning_rate_at(learning_rate: float, index: int, steps: int) -> float:
    """η (1 − i / 2S): from η at the first timestep to about η / 2 at the last, for any number of steps."""
    return learning_rate * (1 - index / (2 * steps))


def path_gradient(
    prior: DiffusionPrior,
    z_t: torch.Tensor,
    t: int,
    t_prev: int,
    null: torch.Tensor,
    text_noise: torch.Tensor,
    guidance_scale: float,
    target: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the guided DDIM step from z_t misses the path, mean (DDIM_ω(z_t; c, c_∅) − z*)² of each sample, (B,), and ∇_{c_∅} of it.

    null: c_∅, (B, L, d).  text_noise: ε_θ(z_t, t, c), which c_∅ does not change.  z_t, target: (B, k, h, w).
    """
    with torch.enable_grad():
        null = null.detach().requires_grad_()
        noise = guide(prior.predict_noise(z_t, t, null), text_noise, guidance_scale)
        z_next = ddim_step(tweedie(z_t, noise, prior.alpha_bar(t)), noise, prior.alpha_bar(t_prev))
    off = z_next.detach() - target
    numbers = off[0].numel()
    return inner(off, off).flatten() / numbers, pull_back(2 / numbers * off, z_next, null)
