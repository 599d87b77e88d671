"""P2L: Prompt-tuning Latent Diffusion Models for Inverse Problems (Chung, Ye, Milanfar, Delbracio, ICML 2024)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, ddim_step, guided_noise, tweedie
from ..likelihood import estimate_in_graph, norm_gradient, pull_back, square_gradient
from ..noise import Seed, normal
from ..operators import misfit, prox
from ..priors import DiffusionPrior
from .common import last_image, linear_alone, pose

__all__ = ["embedding_gradient", "p2l"]


def p2l(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    null_prompt: str | Sequence[str] = "",
    steps: int = 1000,
    guidance_scale: float = 1.0,  # ω
    tuning_iterations: int = 1,  # K
    tuning_learning_rate: float = 1e-4,
    step_size: float = 2.0,  # ρ
    every: int = 8,
    gamma: float = 1.0,  # γ of the proximal map
    seed: Seed = 0,
) -> Iterator[Step]:
    """LDPS whose text is tuned to the measurement on the way, and whose clean latents are kept among those that the encoder makes.

    text      K times: c ← Adam(c, ∇_c ‖y − A D(ẑ₀(z_t, c))‖²)
    range     every eighth step: ẑ ← E(prox_γ(D(ẑ₀); y)), prox_γ(u; y) = argmin_x γ/2 ‖A x − y‖² + ½ ‖x − u‖²; otherwise ẑ = ẑ₀
    latent    z_{t−1} = DDIM(ẑ, ε̂) − ρ ∇_{z_t} ‖y − A D(ẑ₀)‖                                                      (Algorithm 1)

    prior: any.  operator: linear.  prompt: where c starts.  Adam's averages are kept from timestep to timestep, so that K = 1 is enough.
    tuning_iterations: K ≥ 0.  every: a range step where a multiple of it is left, the last step too; 0 for none.  K = 0 and every = 0
    is `ldps`.  step_size: ρ ≥ 0; 1 for misfits of images in [−1, 1] is 2 here.  Adam's steps and the proximal map keep their numbers.
    The authors published no code.  The two public versions that we know differ: one detaches c from its optimiser, so that it moves at the
    first step only, and takes no range step; the other compares images in [0, 1] with measurements of images in [−1, 1].  The settings are
    those versions'.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with text_embedding = c after it and x_hat = the picture of ẑ; the last
    x_hat is D(z₀), the reconstruction.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    linear_alone("p2l", operator)
    y, null, timesteps = problem.y, problem.null, problem.timesteps
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    tuning_iterations = checks.integer("tuning_iterations", tuning_iterations, 0)
    tuning_rate = checks.number("tuning_learning_rate", tuning_learning_rate, above=0)
    step_size = checks.number("step_size", step_size, least=0)
    every, gamma = checks.integer("every", every, 0), checks.number("gamma", gamma, above=0)
    latent_shape = (len(y), *prior.latent_shape(problem.size))

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = normal(problem.generators, latent_shape, prior.device, prior.dtype)
        tuned = problem.text.to(y.dtype, copy=True).requires_grad_()
        optimizer = torch.optim.Adam([tuned], tuning_rate)  # one for all timesteps
        for index, (t, t_prev) in enumerate(timesteps):
            alpha_bar_prev = prior.alpha_bar(t_prev)
            # Text: the embedding moves to where the clean picture explains the measurement better
            for _ in range(tuning_iterations):
                tuned.grad = embedding_gradient(prior, operator, y, z_t, t, tuned, null, guidance_scale)
                optimizer.step()
            c = tuned.detach().clone()
            # The clean latent and its picture, kept in autograd's graph, and the gradient of the misfit
            z, noise, z0, x_hat = estimate_in_graph(prior, z_t, t, c, null, guidance_scale)
            gradient = pull_back(norm_gradient(operator, x_hat, y), x_hat, z)
            z0, noise, x_hat = z0.detach(), noise.detach(), x_hat.detach().to(y.dtype)
            # Range: the picture near it that explains the measurement better, through the encoder
            if every and (len(timesteps) - 1 - index) % every == 0:
                x_hat = prox(operator, x_hat, y, gamma)
                z0 = prior.encode(x_hat)
            # Latent: DDIM, and the step down the gradient
            z_next = ddim_step(z0, noise, alpha_bar_prev) - step_size * gradient
            x_hat = last_image(prior, z_next, y) if t_prev < 0 else x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y), c)
            z_t = z_next

    return walk()


def embedding_gradient(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    z_t: torch.Tensor,
    t: int,
    c: torch.Tensor,
    null: torch.Tensor,
    guidance_scale: float,
) -> torch.Tensor:
    """∇_c ½ ‖y − A D(ẑ₀(z_t, c))‖² of each sample, through the decoder and the network.

    y: (B, …).  z_t: (B, k, h, w).  c, null: (B, L, d).  Returns the shape of c.
    """
    with torch.enable_grad():
        c = c.detach().requires_grad_()
        x_hat = prior.decode(tweedie(z_t, guided_noise(prior, z_t, t, c, null, guidance_scale), prior.alpha_bar(t)))
    return pull_back(square_gradient(operator, x_hat, y), x_hat, c)
