"""ΠGDM: Pseudoinverse-Guided Diffusion Models for Inverse Problems (Song, Vahdat, Mardani, Kautz, ICLR 2023)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, add_noise, ddim_step_eta, guided_noise, noise_of, tweedie
from ..likelihood import pull_back
from ..noise import Seed, normal
from ..operators import misfit, prox
from ..priors import PixelDiffusion
from .common import Problem, last_image, linear_alone, on_pixels, pose

__all__ = ["pigdm"]


def pigdm(
    prior: PixelDiffusion,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    sigma: float,
    null_prompt: str | Sequence[str] = "",
    steps: int = 100,
    guidance_scale: float = 1.0,  # ω
    eta: float = 1.0,  # η
    weight: float = 1.0,  # w
    scaling: str = "paper",
    start: torch.Tensor | None = None,
    seed: Seed = 0,
) -> Iterator[Step]:
    """DDIM, and at every step one towards the image near ẑ₀ that explains y, pulled back through the network.

    p(z₀ | z_t) ≈ N(ẑ₀, r² I),  r² = 1 − ᾱ_t,  gives  r² ∇ log p(y | z_t) ≈ g = r² (∂ẑ₀/∂z_t)ᵀ Aᵀ (r² A Aᵀ + σ² I)⁻¹ (y − A ẑ₀)
    z_{t−1} = DDIM_η(ẑ₀, ε̂) + w √ᾱ_t g                                                                 (Algorithm 1, for noisy y)

    r² Aᵀ (r² A Aᵀ + σ² I)⁻¹ (y − A x̂) is prox(x̂; y, r²/σ²) − x̂, which every operator knows; where σ = 0, it is A†(y − A x̂).

    prior: a `PixelDiffusion`.  operator: a linear one.  sigma: σ ≥ 0, the deviation of the noise in y, in units of [0, 1] images.
    eta: η in [0, 1]; 1 as the paper is quoted, 0 in NVIDIA's code (RED-diff), 0.2 in InverseBench.  weight: w ≥ 0.
    scaling: what g is multiplied by.  "paper": √ᾱ_t.  "code": √ᾱ_{t−1} √ᾱ_t, of NVIDIA's code; the same in the last steps.  Neither depends
    on how far the step goes, so more steps pull harder.  "score": what DDIM makes of the posterior's score, ẑ₀ + g / √ᾱ_t in place of ẑ₀;
    its steps add up to the posterior where r² is right, that is for a prior N(m, I).
    start: images (B, 3, H, W) at which the walk begins, noised to the first level; `operator.A_dagger(y)` in NVIDIA's code.  None: noise.
    Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with x_hat = D(ẑ₀); the last x_hat is D(z₀), the reconstruction.
    """
    on_pixels("pigdm", prior, instead="ldps")
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    linear_alone("pigdm", operator)
    y, c, null, generators = problem.y, problem.text, problem.null, problem.generators
    sigma = checks.number("sigma", sigma, least=0)
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    eta = checks.number("eta", eta, least=0, most=1)
    weight = checks.number("weight", weight, least=0)
    checks.one_of("scaling", scaling, ("paper", "code", "score"))
    latent_shape = (len(y), *prior.latent_shape(problem.size))
    first = None if start is None else prior.encode(check_start(start, problem))

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = normal(generators, latent_shape, prior.device, prior.dtype)
        if first is not None:
            z_t = add_noise(first, z_t, prior.alpha_bar(problem.timesteps[0][0]))
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            # The clean picture, kept in autograd's graph
            with torch.enable_grad():
                z = z_t.detach().requires_grad_()
                z0 = tweedie(z, guided_noise(prior, z, t, c, null, guidance_scale), alpha_bar)
            # The picture near it that explains y: r² is (1 − ᾱ) / 4 in [0, 1] images, whose deviations are half of those in [−1, 1]
            x_hat = prior.decode(z0.detach()).to(y.dtype)
            towards = towards_measurement(operator, x_hat, y, ((1 - alpha_bar) / 4).item(), sigma)
            # The way there, pulled back through the network
            gradient = weight * pull_back(prior.encode(x_hat + towards) - z0.detach(), z0, z)
            z0 = z0.detach()
            # DDIM with part of the noise renewed, and the step along the gradient
            fresh = normal(generators, latent_shape, prior.device, prior.dtype)
            if scaling == "score":
                moved = z0 + gradient / alpha_bar.sqrt()
                z_next = ddim_step_eta(moved, noise_of(z_t, moved, alpha_bar), fresh, alpha_bar, alpha_bar_prev, eta)
            else:
                scale = alpha_bar.sqrt() if scaling == "paper" else (alpha_bar * alpha_bar_prev).sqrt()
                z_next = ddim_step_eta(z0, noise_of(z_t, z0, alpha_bar), fresh, alpha_bar, alpha_bar_prev, eta) + scale * gradient
            x_hat = last_image(prior, z_next, y) if t_prev < 0 else x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
            z_t = z_next

    return walk()


def towards_measurement(operator: Any, x: torch.Tensor, y: torch.Tensor, variance: float, sigma: float) -> torch.Tensor:
    """r² Aᵀ (r² A Aᵀ + σ² I)⁻¹ (y − A x): from x to the posterior mean of x₀ ~ N(x, r² I) given y = A x₀ + n.

    variance: r².  sigma: σ ≥ 0.  x: (B, 3, H, W).  y: (B, …).  Returns the shape of x.
    """
    if sigma == 0:
        return operator.A_dagger(y - operator.A(x))
    return prox(operator, x, y, variance / sigma**2) - x


def check_start(start: Any, problem: Problem) -> torch.Tensor:
    """Finite images (B, 3, H, W), one for each sample."""
    shape = (len(problem.y), 3, *problem.size)
    checks.finite("start", checks.tensor("start", start, "(B, 3, H, W)"))
    checks.expect(tuple(start.shape) == shape, "start", f"shape {tuple(start.shape)}", f"{shape}, one for each sample")
    return start
