"""MPGD: Manifold Preserving Guided Diffusion (He, Murata, Lai, Takida, Uesaka, Kim, Liao, Mitsufuji, Kolter, Salakhutdinov, Ermon,
ICLR 2024), without its projection by an autoencoder."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, ddim_step_eta, guided_noise, noise_of, tweedie
from ..likelihood import norm_gradient, through_decoder
from ..noise import Seed, normal
from ..operators import misfit
from ..priors import DiffusionPrior
from .common import last_image, on_pixels, pose

__all__ = ["mpgd"]


def mpgd(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    null_prompt: str | Sequence[str] = "",
    steps: int = 100,
    guidance_scale: float = 1.0,  # ω
    step_size: float = 8.0,  # ζ
    eta: float = 0.5,  # η
    clip: bool = False,
    seed: Seed = 0,
) -> Iterator[Step]:
    """DDIM, with one step down the gradient of the misfit at the clean estimate; no gradient passes through the network.

    ẑ₀ ← ẑ₀ − ζ / √ᾱ_{t−1} ∇_{ẑ₀} ‖y − A(D(ẑ₀))‖
    z_{t−1} = √ᾱ_{t−1} ẑ₀ + √(1 − ᾱ_{t−1} − s²) ε̂ + s ε,  with the ε̂ of before the step and the s of `ddim_step_eta`      (Algorithm 1)

    prior: any.  On a `PixelDiffusion` D only rearranges, and the gradient costs one A and one Aᵀ; on latents it passes through D.
    operator: any, linear or not.  eta: η from 0 to 1; the authors have 0.5.
    step_size: ζ ≥ 0.  The authors' 4 at 100 steps, for measurements of images in [−1, 1], is 8 here; they take 7.5 at 50 steps and 17.5 at
    20, that is 15 and 35 here.  (The paper leaves the step free, c_t; ζ / √ᾱ_{t−1} is their code's.)
    clip: clip ẑ₀ to [−1, 1] before its step, and take ε̂ from the clipped one, as the authors' code does; needs a `PixelDiffusion`.
    Their code takes the norm over the whole batch; here it is each sample's.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with the moved ẑ₀ as z0, and as x_hat the picture that the gradient was
    taken at; the last x_hat is D(z₀), the reconstruction.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    y, c, null, generators = problem.y, problem.text, problem.null, problem.generators
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    step_size = checks.number("step_size", step_size, least=0)
    eta = checks.number("eta", eta, least=0, most=1)
    if checks.one_of("clip", clip, (False, True)):
        on_pixels("mpgd with clip", prior, instead="clip=False")
    latent_shape = (len(y), *prior.latent_shape(problem.size))
    gradient_of = functools.partial(norm_gradient, operator, y=y)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = normal(generators, latent_shape, prior.device, prior.dtype)
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            # The clean latent
            noise = guided_noise(prior, z_t, t, c, null, guidance_scale)
            z0 = tweedie(z_t, noise, alpha_bar)
            if clip:
                z0 = z0.clamp(-1, 1)
                noise = noise_of(z_t, z0, alpha_bar)
            # One step down the gradient of its misfit, through the decoder alone
            x_hat, gradient = through_decoder(prior, z0, gradient_of)
            z0 = z0 - step_size / alpha_bar_prev.sqrt() * gradient
            # DDIM from there, with the noise estimate of before
            fresh = normal(generators, latent_shape, prior.device, prior.dtype)
            z_next = ddim_step_eta(z0, noise, fresh, alpha_bar, alpha_bar_prev, eta)
            x_hat = last_image(prior, z_next, y) if t_prev < 0 else x_hat.to(y.dtype).clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
            z_t = z_next

    return walk()
