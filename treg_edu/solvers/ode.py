"""The clean latent at the end of the probability-flow ODE, in few steps from any noise level: what DAPS and LATINO start from.

In the variables z_t / √ᾱ = z₀ + σ ε, with σ = √((1 − ᾱ) / ᾱ), a step of Euler's method on dz/dσ = ε̂ is one of DDIM (Song, Meng, Ermon
2021, §4.3).
"""

from collections.abc import Sequence

import torch

from ..diffusion import ddim_step, guided_noise, tweedie
from ..priors import DiffusionPrior

__all__ = ["nearest_timesteps", "noise_level", "polynomial_levels", "probability_flow", "stops"]

LOWEST = 0.01
"""σ at which the ODE would end, where the schedule of its steps is concerned (Zhang et al. 2025); its last step goes on to 0."""


def noise_level(alpha_bar: torch.Tensor) -> torch.Tensor:
    """σ = √((1 − ᾱ) / ᾱ)"""
    return ((1 - alpha_bar) / alpha_bar).sqrt()


def polynomial_levels(highest: float, lowest: float, count: int, power: int = 7) -> torch.Tensor:
    """σ_i = (σ_max^{1/ρ} + i / (n − 1) (σ_min^{1/ρ} − σ_max^{1/ρ}))^ρ,  ρ = 7      (Karras et al. 2022, Eq. 5).  (n,), falling."""
    return torch.linspace(highest ** (1 / power), lowest ** (1 / power), count, dtype=torch.float64, device="cpu") ** power


def nearest_timesteps(prior: DiffusionPrior, levels: torch.Tensor) -> list[int]:
    """For each σ the timestep of the prior whose noise level is nearest, in the logarithm; the first or the last one beyond the range."""
    known = noise_level(prior.scheduler.alphas_cumprod.cpu().double()).log()
    return (known - levels.double().log()[:, None]).abs().argmin(dim=1).tolist()


def stops(prior: DiffusionPrior, t: int, steps: int) -> list[int]:
    """The timesteps at which the ODE from t looks at the network: t first, then falling as σ_i do; fewer than `steps` where t is low."""
    level = noise_level(prior.alpha_bar(t)).item()
    below = nearest_timesteps(prior, polynomial_levels(level, min(LOWEST, level), steps + 1)[1:-1])
    return [t, *dict.fromkeys(each for each in below if each < t)]


def probability_flow(
    prior: DiffusionPrior,
    z_t: torch.Tensor,
    timesteps: Sequence[int],
    text_embedding: torch.Tensor,
    null_embedding: torch.Tensor,
    guidance_scale: float,
) -> torch.Tensor:
    """ẑ₀ after steps of DDIM through `timesteps`, the first of which is that of z_t; with one it is Tweedie's ẑ₀.  Shape of z_t."""
    for t, t_next in zip(timesteps, [*timesteps[1:], -1], strict=True):
        noise = guided_noise(prior, z_t, t, text_embedding, null_embedding, guidance_scale)
        z0 = tweedie(z_t, noise, prior.alpha_bar(t))
        z_t = ddim_step(z0, noise, prior.alpha_bar(t_next))
    return z0
