"""DDRM: Denoising Diffusion Restoration Models (Kawar, Elad, Ermon, Song, NeurIPS 2022)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, guided_noise, tweedie
from ..noise import Seed, normal
from ..operators import SVD, misfit, svd
from ..priors import PixelDiffusion
from .common import last_image, linear_alone, on_pixels, pose

__all__ = ["ddrm"]


def ddrm(
    prior: PixelDiffusion,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    sigma: float,
    null_prompt: str | Sequence[str] = "",
    steps: int = 20,
    guidance_scale: float = 1.0,  # ω
    eta: float = 0.85,  # η
    eta_b: float = 1.0,  # η_b
    seed: Seed = 0,
) -> Iterator[Step]:
    """Sampling in the coordinates Vᵀx of A = U S Vᵀ, in which the measurement is one number a coordinate, ȳ = S⁻¹Uᵀy, with noise σ/s.

    With x̄ = D(z_t / √ᾱ_t) = x + τ_t ε, the image under noise of deviation τ_t = ½ √((1 − ᾱ_t) / ᾱ_t) in [0, 1] units, and x̂ = D(ẑ₀),
    every coordinate i goes to the next level τ = τ_{t−1} by one of three rules:

        s = 0, not measured      x̂ᵢ + √(1 − η²) τ ε̂ᵢ + η τ ξᵢ,            ε̂ = (x̄ − x̂) / τ_t
        τ < σ/s, measured worse  x̂ᵢ + √(1 − η²) τ (ȳᵢ − x̂ᵢ) s/σ + η τ ξᵢ
        τ ≥ σ/s, measured        (1 − η_b) x̂ᵢ + η_b ȳᵢ + √(τ² − η_b² σ²/s²) ξᵢ                          ξ ~ N(0, I)

    prior: a `PixelDiffusion`.  operator: a linear one with a decomposition, see `operators.svd`: ours, deepinv's `DecomposablePhysics`, or
    any whose matrix is small.  Singular values below 1e-4 of the largest count as 0.
    sigma: σ ≥ 0, the deviation of the noise in y, in units of [0, 1] images, as in the authors' code, which doubles it for its [−1, 1].
    eta, eta_b: η, η_b in [0, 1].  η is not DDIM's: it keeps the level of the noise and shortens the memory, so what is not measured varies
    too little where η > 0.  A tie, τ = σ/s, counts as measured.  So with σ = 0 and η_b = 1 the last picture explains y exactly; in the
    authors' code a tie counts as not measured, and the last picture is D(ẑ₀).  With σ > 0 it is D(ẑ₀) by the rule: the last τ is 0.
    Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with x_hat = D(ẑ₀); the last x_hat is D(z₀), the reconstruction.
    """
    on_pixels("ddrm", prior, instead="ldps")
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    linear_alone("ddrm", operator)
    y, c, null = problem.y, problem.text, problem.null
    sigma = checks.number("sigma", sigma, least=0)
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    eta, eta_b = checks.number("eta", eta, least=0, most=1), checks.number("eta_b", eta_b, least=0, most=1)
    factors = svd(operator, y, problem.size)
    kept = factors.kept
    # Where nothing is measured s = 1 stands for 0, so that nothing is divided by 0; the rules of measured coordinates are not used there.
    s = torch.where(kept, factors.s, 1)
    y_bar, sigma_bar = factors.U_adjoint(y) / s, sigma / s
    image_shape = (len(y), 3, *problem.size)

    def level(alpha_bar: torch.Tensor) -> float:
        """τ, the deviation of the noise in x̄."""
        return ((1 - alpha_bar) / alpha_bar).sqrt().item() / 2

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        # At the first level: noise about ȳ where that is measured better, noise about mid-grey, the zero of the latents, elsewhere
        tau, xi = level(prior.alpha_bar(problem.timesteps[0][0])), normal(problem.generators, image_shape, y.device, y.dtype)
        measured = kept & (sigma_bar <= tau)
        x_bar = replace(factors, 0.5 + tau * xi, y_bar + left(tau, sigma_bar) * factors.V_adjoint(xi), measured)
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            # The clean picture
            z_t = alpha_bar.sqrt() * prior.encode(x_bar)
            z0 = tweedie(z_t, guided_noise(prior, z_t, t, c, null, guidance_scale), alpha_bar)
            x_hat = prior.decode(z0).to(y.dtype)
            noise, tau, xi = (x_bar - x_hat) / tau, level(alpha_bar_prev), normal(problem.generators, image_shape, y.device, y.dtype)
            # What is not measured: DDIM, but for the share of the old noise
            memory = (1 - eta**2) ** 0.5 * tau
            x_bar = x_hat + memory * noise + eta * tau * xi
            # What is measured worse than the next level asks, and what is measured better
            estimate, xi = factors.V_adjoint(x_hat), factors.V_adjoint(xi)
            worse = estimate + memory * (y_bar - estimate) / torch.where(sigma_bar > 0, sigma_bar, 1) + eta * tau * xi
            better = (1 - eta_b) * estimate + eta_b * y_bar + left(tau, eta_b * sigma_bar) * xi
            x_bar = replace(factors, x_bar, torch.where(sigma_bar <= tau, better, worse), kept)
            z_next = alpha_bar_prev.sqrt() * prior.encode(x_bar)
            x_hat = last_image(prior, z_next, y) if t_prev < 0 else x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))

    return walk()


def left(deviation: float, spent: torch.Tensor) -> torch.Tensor:
    """√(τ² − δ²), the deviation of the noise that is still to be added, 0 where there is none.  spent: δ.  Returns its shape."""
    return (deviation**2 - spent**2).clamp(min=0).sqrt()


def replace(factors: SVD, x: torch.Tensor, spectrum: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """The image x with the coordinates Vᵀx replaced by those of `spectrum` where `where` says so.  Returns the shape of x."""
    own = factors.V_adjoint(x)
    return x - factors.V(torch.where(where, own, 0)) + factors.V(torch.where(where, spectrum, 0))
