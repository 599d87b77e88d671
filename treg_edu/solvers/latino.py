"""LATINO: LAtent consisTency INverse sOlver (Spagnoletti, Prost, Almansa, Papadakis, Pereyra, ICCV 2025), with a few DDIM steps in place of
its consistency model."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, add_noise
from ..noise import Seed, normal
from ..operators import misfit, prox
from ..priors import DiffusionPrior
from .common import last_image, linear_alone, pose
from .ode import probability_flow, stops

__all__ = ["latino"]

LATE = 0.3
"""t / T from which down δ is the late one."""


def latino(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    sigma: float,
    null_prompt: str | Sequence[str] = "",
    steps: int = 8,
    guidance_scale: float = 1.0,  # ω
    inner_steps: int = 4,
    delta: float = 0.665,
    late_delta: float = 0.443,
    seed: Seed = 0,
) -> Iterator[Step]:
    """A clean picture, its proximal map, and wholly new noise; no gradient anywhere.

    z_T = √ᾱ_T E(clip x₀) + √(1 − ᾱ_T) ε,  x₀ = ½ + Aᵀ(y − A(½)), the back-projection of images in [−1, 1]
    x = clip D(G(z_t)),   x⁺ = argmin_u γ/2 ‖A u − y‖² + ½ ‖u − x‖²,   γ = δ (1 − ᾱ_t) / (2σ)²,   δ = c · misfit(x) / σ
    ẑ = E(clip x⁺),   z_{t−1} = √ᾱ_{t−1} ẑ + √(1 − ᾱ_{t−1}) ε                                   (the last one: ẑ)

    G: the authors have a model distilled to one step (of Stable Diffusion XL, or 1.5 with LCM-LoRA).  Here G is `inner_steps` steps of DDIM
    from t to 0, the probability-flow ODE of DAPS: LATINO's proximal map around DAPS's estimate.  inner_steps=1 is Tweedie's ẑ₀, which is
    blurred at high noise.  prior: any.  operator: linear.
    sigma: σ > 0, the deviation of the noise in y, in units of [0, 1] images; γ is the same as with 2σ for images in [−1, 1].
    delta, late_delta ≥ 0: c for t / T above 0.3, and from there on.  The authors have δ = 0.3 ‖A x − y‖, then 0.2 ‖A x − y‖, for
    super-resolution ×16 of 1024² pixels, whose y has 12 288 numbers, and σ = 0.02 of images in [−1, 1]: this c · misfit / σ, which does
    not depend on the size.  Likewise ×32: 0.166, 0.333; Gaussian blur: 0.018, 0.007.  For a box they have δ = 1, then 0.5.
    Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with ẑ as z0, and clip x⁺ as x_hat; the last x_hat is D(ẑ), the
    reconstruction.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    linear_alone("latino", operator)
    y, c, null, generators = problem.y, problem.text, problem.null, problem.generators
    sigma = checks.number("sigma", sigma, above=0)
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    inner_steps = checks.integer("inner_steps", inner_steps)
    delta, late_delta = checks.number("delta", delta, least=0), checks.number("late_delta", late_delta, least=0)
    latent_shape = (len(y), *prior.latent_shape(problem.size))
    last_timestep = len(prior.scheduler.alphas_cumprod) - 1

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        # What the measurement shows by itself, almost lost in noise
        grey = y.new_full((len(y), 3, *problem.size), 0.5)
        z0 = prior.encode((grey + operator.A_adjoint(y - operator.A(grey))).clamp(0, 1))
        fresh = normal(generators, latent_shape, prior.device, prior.dtype)
        z_t = add_noise(z0, fresh, prior.alpha_bar(problem.timesteps[0][0]))
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            # The clean picture that z_t leads to
            z0 = probability_flow(prior, z_t, stops(prior, t, inner_steps), c, null, guidance_scale)
            x = last_image(prior, z0, y)
            # Its proximal map, which trusts the measurement the more, the worse x explains it
            trust = (delta if t > LATE * last_timestep else late_delta) * misfit(operator, x, y) / sigma
            gamma = trust * (1 - alpha_bar) / (2 * sigma) ** 2
            x_hat = prox(operator, x, y, gamma.to(y.dtype).view(-1, 1, 1, 1)).clamp(0, 1)
            # Back through the encoder, and wholly new noise, less of it
            z0 = prior.encode(x_hat)
            fresh = normal(generators, latent_shape, prior.device, prior.dtype)
            z_next = add_noise(z0, fresh, alpha_bar_prev) if t_prev >= 0 else z0
            x_hat = last_image(prior, z0, y) if t_prev < 0 else x_hat
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
            z_t = z_next

    return walk()
