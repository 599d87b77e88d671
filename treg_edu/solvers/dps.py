"""DPS: Diffusion Posterior Sampling for General Noisy Inverse Problems (Chung, Kim, Mccann, Klasky, Ye, ICLR 2023), and LDPS,
the same on a latent prior (the baseline of Song et al. and Rout et al., 2024)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, ddim_step, ddim_step_eta, guided_noise, noise_of, tweedie
from ..likelihood import estimate_in_graph, norm_gradient, pull_back
from ..noise import Seed, normal
from ..operators import misfit
from ..priors import DiffusionPrior, PixelDiffusion
from .common import last_image, on_pixels, pose

__all__ = ["dps", "ldps"]


def dps(
    prior: PixelDiffusion,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    null_prompt: str | Sequence[str] = "",
    steps: int = 1000,
    guidance_scale: float = 1.0,  # ω
    step_size: float = 0.6,  # ζ
    eta: float = 1.0,  # η
    seed: Seed = 0,
) -> Iterator[Step]:
    """Ancestral sampling, and after every step one down the gradient of the misfit, through the network.

    ẑ₀ = clip(Tweedie(z_t), −1, 1)
    z′ = an ancestral step of DDPM from ẑ₀,   z_{t−1} = z′ − ζ ∇_{z_t} ‖y − A(D(ẑ₀))‖      (Algorithm 1, Gaussian noise)

    The gradient is the norm's, not the square's: the paper divides its step by the norm.  It does not shrink with the misfit, so DPS fits
    the noise in y as well, to within what one step changes.

    prior: a `PixelDiffusion`, whose latents are the pixels in [−1, 1]; on any other, `ldps`.  operator: any, linear or not.
    step_size: ζ ≥ 0.  The authors' 0.3 (super-resolution, Gaussian blur) is for measurements of images in [−1, 1], whose misfit is twice
    ours: 0.6 here; their random inpainting has 1.0, phase retrieval 2.0 in our units.
    eta: η of DDIM, in [0, 1].  1 is the ancestral step with the lower bound for its variance (Ho et al. 2020); the authors' network learnt
    that variance.  0 is `ldps`, as long as nothing is clipped.
    Their code takes the norm over the whole batch; here it is each sample's.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with x_hat = D(ẑ₀); the last x_hat is D(z₀), the reconstruction.
    """
    on_pixels("dps", prior, instead="ldps")
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    y, c, null, generators = problem.y, problem.text, problem.null, problem.generators
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    step_size = checks.number("step_size", step_size, least=0)
    eta = checks.number("eta", eta, least=0, most=1)
    latent_shape = (len(y), *prior.latent_shape(problem.size))

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = normal(generators, latent_shape, prior.device, prior.dtype)
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            # The clean picture, clipped, kept in autograd's graph
            with torch.enable_grad():
                z = z_t.detach().requires_grad_()
                z0 = tweedie(z, guided_noise(prior, z, t, c, null, guidance_scale), alpha_bar).clamp(-1, 1)
                x_hat = prior.decode(z0)
            # The gradient of its misfit with respect to the noisy picture, through the network
            gradient = pull_back(norm_gradient(operator, x_hat, y), x_hat, z)
            z0, x_hat = z0.detach(), x_hat.detach().to(y.dtype)
            # The ancestral step, whose noise is what z_t holds besides the clipped ẑ₀, and the step down the gradient
            fresh = normal(generators, latent_shape, prior.device, prior.dtype)
            z_next = ddim_step_eta(z0, noise_of(z_t, z0, alpha_bar), fresh, alpha_bar, alpha_bar_prev, eta) - step_size * gradient
            x_hat = last_image(prior, z_next, y) if t_prev < 0 else x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
            z_t = z_next

    return walk()


def ldps(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    null_prompt: str | Sequence[str] = "",
    steps: int = 1000,
    guidance_scale: float = 1.0,  # ω
    step_size: float = 2.0,  # ρ
    seed: Seed = 0,
) -> Iterator[Step]:
    """DDIM, and after every step one down the gradient of the misfit, through the decoder and the network.

    z_{t−1} = DDIM(ẑ₀, ε̂) − ρ ∇_{z_t} ‖y − A(D(ẑ₀))‖

    prior: any; on a `PixelDiffusion` this is DPS with DDIM's steps.  operator: any, linear or not.
    step_size: ρ ≥ 0.  LATINO's baseline has 1, for misfits of images in [−1, 1]: 2 here.  Others let it follow the noise: √ᾱ_{t−1} in
    TReg's branch, ½ ᾱ_t within ReSample.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with x_hat = D(ẑ₀); the last x_hat is D(z₀), the reconstruction.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    y, c, null = problem.y, problem.text, problem.null
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    step_size = checks.number("step_size", step_size, least=0)
    latent_shape = (len(y), *prior.latent_shape(problem.size))

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = normal(problem.generators, latent_shape, prior.device, prior.dtype)
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar_prev = prior.alpha_bar(t_prev)
            # The clean latent and its picture, kept in autograd's graph
            z, noise, z0, x_hat = estimate_in_graph(prior, z_t, t, c, null, guidance_scale)
            # The gradient of the misfit with respect to the noisy latent, through the decoder and the network
            gradient = pull_back(norm_gradient(operator, x_hat, y), x_hat, z)
            z0, noise, x_hat = z0.detach(), noise.detach(), x_hat.detach().to(y.dtype)
            # DDIM, and the step down the gradient
            z_next = ddim_step(z0, noise, alpha_bar_prev) - step_size * gradient
            x_hat = last_image(prior, z_next, y) if t_prev < 0 else x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
            z_t = z_next

    return walk()
