"""The gradient of the misfit, and its way back through what made the image: what DPS and its relatives descend.

    log p(y | x) = −‖y − A(x)‖² / 2σ² + const

No gradient passes through A by autograd where the operator knows J(x)ᵀ v itself, as ours and deepinv's do.
"""

from collections.abc import Callable
from typing import Any

import torch

from .diffusion import guided_noise, tweedie
from .operators import inner, vjp
from .priors import DiffusionPrior

__all__ = [
    "estimate_in_graph",
    "latent_gradient",
    "norm_gradient",
    "pull_back",
    "square_gradient",
    "through_decoder",
    "unit",
]


def square_gradient(operator: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """∇ₓ ½ ‖y − A(x)‖² = J(x)ᵀ (A(x) − y), of each sample.

    x: (B, 3, H, W).  y: (B, …), as A returns it.  Returns (B, 3, H, W).
    """
    x = x.detach().to(y.dtype)
    with torch.no_grad():
        off = operator.A(x) - y
    return vjp(operator, x, off)


def norm_gradient(operator: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """∇ₓ ‖y − A(x)‖ = J(x)ᵀ (A(x) − y) / ‖A(x) − y‖, of each sample; 0 where the norm is.      (Chung et al. 2023, DPS, Algorithm 1)

    Of the norm, not of its square: its length does not depend on how far off x is.
    x: (B, 3, H, W).  y: (B, …), as A returns it.  Returns (B, 3, H, W).
    """
    x = x.detach().to(y.dtype)
    with torch.no_grad():
        direction = unit(operator.A(x) - y)
    return vjp(operator, x, direction)


def unit(r: torch.Tensor) -> torch.Tensor:
    """r / ‖r‖ of each sample, which is ∇‖r‖ with respect to r; 0 where r is.  Returns the shape of r."""
    length = inner(r, r).sqrt()
    return torch.where(length > 0, r / length, 0).to(r.dtype)


def pull_back(gradient: torch.Tensor, made: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """J_{made/source}ᵀ g by autograd: the gradient with respect to what an image or a latent was made of, each sample of its own.

    gradient: g, the shape of `made`, which was computed from `source` under `torch.enable_grad()`.  Returns the shape of `source`.
    The way back is linear in g.  It is taken with g / 2ᵏ, whose largest entry is near 1, and multiplied by 2ᵏ at its end: a network in
    float16, whose least number is 6e-8, would make much of a small g 0.  In wider dtypes this changes no digit.
    """
    largest = gradient.abs().flatten(1).amax(1)
    if len(source) != len(gradient):  # one source of all samples: one k
        largest = largest.amax(0, keepdim=True)
    scale = torch.where(largest > 0, largest, 1).to(torch.promote_types(largest.dtype, torch.float32)).log2().ceil().exp2()
    scaled = gradient / scale.view(-1, *[1] * (gradient.ndim - 1))
    (pulled,) = torch.autograd.grad(made, source, scaled.to(made.dtype))
    return (pulled * scale.view(-1, *[1] * (pulled.ndim - 1))).to(source.dtype)


def estimate_in_graph(
    prior: DiffusionPrior,
    z_t: torch.Tensor,
    t: int,
    text_embedding: torch.Tensor,
    null_embedding: torch.Tensor,
    guidance_scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(z_t, ε̂, ẑ₀, D(ẑ₀)), each made of the first under autograd, for `pull_back`.  Arguments as of `guided_noise`."""
    with torch.enable_grad():
        z_t = z_t.detach().requires_grad_()
        noise = guided_noise(prior, z_t, t, text_embedding, null_embedding, guidance_scale)
        z0 = tweedie(z_t, noise, prior.alpha_bar(t))
        return z_t, noise, z0, prior.decode(z0)


def latent_gradient(prior: DiffusionPrior, operator: Any, y: torch.Tensor, z0: torch.Tensor, z_t: torch.Tensor) -> torch.Tensor:
    """∇_{z_t} ‖y − A(D(ẑ₀))‖, through the decoder and whatever made ẑ₀ of z_t under `torch.enable_grad()`.

    The step of LDPS, and of TReg off Γ      (Kim et al. 2025, the latent-DPS branch).  Returns the shape of z_t.
    """
    with torch.enable_grad():
        x_hat = prior.decode(z0)
    return pull_back(norm_gradient(operator, x_hat, y), x_hat, z_t)


def through_decoder(
    prior: DiffusionPrior, z: torch.Tensor, gradient: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """D(z), and J_D(z)ᵀ g(D(z)): a gradient at the picture, pulled back to the clean latent; it does not meet the U-Net.

    z: (B, k, h, w).  gradient: g, images to images.  Returns (B, 3, H, W), not clamped, and the shape of z.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        x = prior.decode(z)
    return x.detach(), pull_back(gradient(x.detach()), x, z)
