"""PSLD: Solving Linear Inverse Problems Provably via Posterior Sampling with Latent Diffusion Models (Rout, Raoof, Daras, Caramanis,
Dimakis, Shakkottai, NeurIPS 2023)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, ddim_step
from ..likelihood import estimate_in_graph, norm_gradient, pull_back, unit
from ..noise import Seed, normal
from ..operators import misfit
from ..priors import DiffusionPrior
from .common import last_image, linear_alone, pose

__all__ = ["gluing_gradient", "psld"]


def psld(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    null_prompt: str | Sequence[str] = "",
    steps: int = 1000,
    guidance_scale: float = 1.0,
    step_size: float = 2.0,  # ω of the authors' code, which is not the ω of guidance
    gluing: float = 0.1,  # γ
    back: str = "adjoint",
    seed: Seed = 0,
) -> Iterator[Step]:
    """LDPS, and a second term that asks the encoder to agree with the latent where the measurement leaves the picture open.

    z_{t−1} = DDIM(ẑ₀, ε̂) − ∇_{z_t} [ω ‖y − A D(ẑ₀)‖ + γ ‖E(Aᵀy + (I − AᵀA) D(ẑ₀)) − ẑ₀‖]      (Algorithm 2; norms as in the code)

    The second term is called gluing.  Its picture is what was measured, Aᵀy, completed by what D(ẑ₀) shows elsewhere.
    prior: any.  operator: linear.  step_size: ω ≥ 0; the authors' 1 is for misfits of images in [−1, 1]: 2 here.  gluing: γ ≥ 0, whose
    term is a distance of latents, so that it keeps the authors' value; 0 is `ldps`.
    back: "adjoint" is Aᵀ, as published.  I − AᵀA is a projection only if AAᵀ = I, as for inpainting; "pseudo-inverse" puts A† in its
    place, which makes it one for every operator.
    The authors guide by 7.5 between two empty texts, which changes nothing; with another prompt this is PSLD + CFG.
    Their code draws new noise for A D(ẑ₀) and E(·) at every step, takes I for the Aᵀ of a blur, and the norms over the whole batch; here
    there is no noise, Aᵀ is exact, and the norms are each sample's.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with x_hat = D(ẑ₀); the last x_hat is D(z₀), the reconstruction.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    linear_alone("psld", operator)
    y, c, null = problem.y, problem.text, problem.null
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    step_size = checks.number("step_size", step_size, least=0)
    gluing = checks.number("gluing", gluing, least=0)
    way = operator.A_adjoint if checks.one_of("back", back, ("adjoint", "pseudo-inverse")) == "adjoint" else operator.A_dagger
    latent_shape = (len(y), *prior.latent_shape(problem.size))

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = normal(problem.generators, latent_shape, prior.device, prior.dtype)
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar_prev = prior.alpha_bar(t_prev)
            # The clean latent and its picture, kept in autograd's graph
            z, noise, z0, x_hat = estimate_in_graph(prior, z_t, t, c, null, guidance_scale)
            # The gradients of both terms: of the misfit with respect to the picture, of gluing to the picture and to the latent
            of_picture, of_latent = step_size * norm_gradient(operator, x_hat, y), torch.zeros_like(z0)
            if gluing > 0:
                glued_picture, glued_latent = gluing_gradient(prior, operator, way, y, x_hat.detach(), z0.detach())
                of_picture, of_latent = of_picture + gluing * glued_picture, gluing * glued_latent
            # Their way back to the noisy latent, through the decoder and the network
            gradient = pull_back(pull_back(of_picture, x_hat, z0) + of_latent, z0, z)
            z0, noise, x_hat = z0.detach(), noise.detach(), x_hat.detach().to(y.dtype)
            # DDIM, and the step down the gradient
            z_next = ddim_step(z0, noise, alpha_bar_prev) - gradient
            x_hat = last_image(prior, z_next, y) if t_prev < 0 else x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
            z_t = z_next

    return walk()


def gluing_gradient(
    prior: DiffusionPrior,
    operator: Any,
    back: Callable[[torch.Tensor], torch.Tensor],
    y: torch.Tensor,
    x: torch.Tensor,
    z0: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of g(x, z₀) = ‖E(x + B (y − A x)) − z₀‖ of each sample with respect to x and to z₀, for B = Aᵀ or A†.

    u = (E(·) − z₀) / g,   ∂g/∂x = (I − BA) J_Eᵀ u,   ∂g/∂z₀ = −u;   BA is symmetric for both B, and u is 0 where g is.

    back: B.  y: (B, …).  x: (B, 3, H, W).  z0: (B, k, h, w).  Returns the shapes of x, in y's precision, and of z0.
    """
    x = x.to(y.dtype)
    with torch.enable_grad():
        glued = (x + back(y - operator.A(x))).detach().requires_grad_()
        encoded = prior.encode(glued)
    u = unit(encoded.detach() - z0)
    pulled = pull_back(u, encoded, glued)
    return pulled - back(operator.A(pulled)), -u
