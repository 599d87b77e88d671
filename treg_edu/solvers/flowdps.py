"""FlowDPS: Flow-Driven Posterior Sampling for Inverse Problems (Kim, Kim, Ye, ICCV 2025), in variance-preserving form."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, add_noise, guided_noise, tweedie
from ..likelihood import norm_gradient, through_decoder, unit
from ..noise import Seed, normal
from ..operators import misfit
from ..priors import DiffusionPrior
from .common import last_image, linear_alone, pose

__all__ = ["back_projected_gradient", "flow_time", "flowdps"]


def flowdps(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    null_prompt: str | Sequence[str] = "",
    steps: int = 28,
    guidance_scale: float = 2.0,  # ω
    step_size: float = 30.0,
    iterations: int = 3,
    residual: str = "pseudo-inverse",
    seed: Seed = 0,
) -> Iterator[Step]:
    """Some steps towards y at the clean estimate, which count less as the noise falls, and partly new noise.

    s = √(1 − ᾱ) / (√ᾱ + √(1 − ᾱ)) is the time of the straight flow, from 1 to 0:   z_t / (√ᾱ + √(1 − ᾱ)) = (1 − s) z₀ + s ε
    u ← u − step_size ∇_u ‖A†(y − A D(u))‖,  from u = ẑ₀, `iterations` times;   ẑ = (1 − s) ẑ₀ + s u
    z_{t−1} = √ᾱ_{t−1} ẑ + √(1 − ᾱ_{t−1}) (√s′ ε̂ + √(1 − s′) ε),  s′ of t − 1

    prior: any; the authors have a flow (Stable Diffusion 3), whose two estimates z − s v and z + (1 − s) v are ẑ₀ and ε̂.
    residual: what the steps lower.  "pseudo-inverse": as above, which the authors use for super-resolution; "adjoint": ‖Aᵀ(y − A D(u))‖,
    which they use for blurs, whose A† amplifies the noise; "measurement": ‖y − A D(u)‖.  operator: linear, for "measurement" any.
    step_size ≥ 0: the 15 of the authors' command line, for images in [−1, 1], is 30 here.  The gradient of a norm does not grow with the
    latent: 30 is for a length of 384 = √(16·96·96), their latents'; for those of 4·16·16 numbers, 2.5 goes as far.
    They have s of a shifted schedule of 28 steps; ours is the prior's.  The norm is each sample's.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with ẑ as z0, and as x_hat the picture of the last u whose gradient was
    taken; the last x_hat is D(ẑ), the reconstruction.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    y, c, null, generators = problem.y, problem.text, problem.null, problem.generators
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    step_size = checks.number("step_size", step_size, least=0)
    iterations = checks.integer("iterations", iterations)
    if checks.one_of("residual", residual, ("pseudo-inverse", "adjoint", "measurement")) == "measurement":
        gradient_of = functools.partial(norm_gradient, operator, y=y)
    else:
        linear_alone("flowdps with an A† or Aᵀ", operator)
        gradient_of = functools.partial(back_projected_gradient, operator, y=y, exact=residual == "pseudo-inverse")
    latent_shape = (len(y), *prior.latent_shape(problem.size))

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = normal(generators, latent_shape, prior.device, prior.dtype)
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            s, s_prev = flow_time(alpha_bar), flow_time(alpha_bar_prev)
            # The clean latent
            noise = guided_noise(prior, z_t, t, c, null, guidance_scale)
            z0 = tweedie(z_t, noise, alpha_bar)
            # Steps from there down the gradient of the residual, through the decoder alone
            u = z0
            for _ in range(iterations):
                x_hat, gradient = through_decoder(prior, u, gradient_of)
                u = u - step_size * gradient
            # Between the two, nearer to the first as the noise falls
            z0 = (1 - s) * z0 + s * u
            # Down one level, with noise that is old at high levels and new at low ones
            fresh = normal(generators, latent_shape, prior.device, prior.dtype)
            z_next = add_noise(z0, s_prev.sqrt() * noise + (1 - s_prev).sqrt() * fresh, alpha_bar_prev)
            x_hat = last_image(prior, z0, y) if t_prev < 0 else x_hat.to(y.dtype).clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
            z_t = z_next

    return walk()


def flow_time(alpha_bar: torch.Tensor) -> torch.Tensor:
    """s = √(1 − ᾱ) / (√ᾱ + √(1 − ᾱ)): where on the straight path (1 − s) z₀ + s ε the ratio of noise to latent is that of z_t."""
    return (1 - alpha_bar).sqrt() / (alpha_bar.sqrt() + (1 - alpha_bar).sqrt())


def back_projected_gradient(operator: Any, x: torch.Tensor, y: torch.Tensor, exact: bool) -> torch.Tensor:
    """∇ₓ ‖B(y − A x)‖ = −(BA)ᵀ r / ‖r‖ of each sample, r = B(y − A x), for B = A† (exact) or Aᵀ; 0 where r is.

    (A†A)ᵀ r = r, as A†A is the projection onto the images that A sees, where r lies; (AᵀA)ᵀ = AᵀA.
    x: (B, 3, H, W).  y: (B, …), as A returns it.  Returns (B, 3, H, W).
    """
    x = x.to(y.dtype)
    r = (operator.A_dagger if exact else operator.A_adjoint)(y - operator.A(x))
    u = unit(r)
    return -u if exact else -operator.A_adjoint(operator.A(u))
