"""DAPS: Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing (Zhang, Chu, Berner, Meng, Anandkumar, Song,
CVPR 2025), on pixels and on latents."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, add_noise
from ..likelihood import square_gradient, through_decoder
from ..noise import Seed, normal
from ..operators import misfit
from ..priors import DiffusionPrior, PixelDiffusion
from .common import Problem, last_image, on_pixels, pose
from .ode import nearest_timesteps, noise_level, polynomial_levels, probability_flow, stops

__all__ = ["daps", "hamiltonian", "langevin", "latent_daps"]

Kernel = Callable[[torch.Tensor, Callable[[torch.Tensor], torch.Tensor], float, torch.Tensor], torch.Tensor]
"""Some steps of a Markov chain: from a latent, by a score, of a step size, with their noise (B, n + 1, k, h, w)."""


def daps(
    prior: PixelDiffusion,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    sigma: float,
    null_prompt: str | Sequence[str] = "",
    steps: int = 200,
    guidance_scale: float = 1.0,  # ω
    ode_steps: int = 5,
    chain_steps: int = 100,
    step_size: float = 1.0,  # η in units of 8σ²
    final_ratio: float = 0.01,
    sigma_max: float = 100.0,
    sigma_min: float = 0.1,
    seed: Seed = 0,
) -> Iterator[Step]:
    """At every noise level: a clean picture from z_t alone, a Markov chain from it towards y, and wholly new noise.

    z_t / √ᾱ = z₀ + σ_t ε, at levels σ_t falling from σ_max to σ_min; ẑ₀ = the probability-flow ODE's end      (Algorithm 1)
    p(z₀ | z_t, y) ∝ N(z₀; ẑ₀, σ_t² I) N(y; A(D(z₀)), σ² I):   z ← z + η s(z) + √(2η) ξ,  from ẑ₀, `chain_steps` times,
        s(z) = (ẑ₀ − z) / σ_t² − ∇_z ‖y − A(D(z))‖² / 2σ²
    z_{t−1} = √ᾱ_{t−1} z + √(1 − ᾱ_{t−1}) ε

    prior: a `PixelDiffusion`; on any other, `latent_daps`.  operator: any, linear or not.
    sigma: σ > 0, the deviation of the noise in y, in units of [0, 1] images.  The authors have τ = 0.01 for images in [−1, 1], whatever the
    noise, and in their code no ½: this is σ = τ / √8 = 0.0035 here.  (Their noise is 0.05, 0.025 here, which they trust too much.)
    step_size: η / 8σ² > 0 at the first level; from there η falls linearly towards final_ratio · η.  1 is the authors' η = 10⁻⁴ = τ² of
    super-resolution and blur; they have 0.5 for phase retrieval and for a box, 0.2 for high dynamic range.  η never exceeds σ_t², where the
    chain would diverge; at the authors' settings it does not.  Nor may it exceed 16σ² / ‖A‖²: a smaller step for a larger A.
    sigma_max ≥ sigma_min > 0: of images in [−1, 1].  The levels are those of the prior's timesteps next to Karras' schedule; where its
    range ends before σ_max or σ_min, they end there.  ode_steps: looks at the network at each level; 1 is Tweedie's estimate.
    Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per level, with z0 the end of the chain and x_hat its picture.
    """
    on_pixels("daps", prior, instead="latent_daps")
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    chain = check_chain(sigma, chain_steps, step_size, final_ratio)
    levels = check_levels(prior, steps, ode_steps, sigma_max, sigma_min)
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    gradient = functools.partial(data_gradient, prior, operator, problem.y, None)
    return anneal(prior, operator, problem, levels, guidance_scale, gradient, langevin, *chain)


def latent_daps(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    sigma: float,
    null_prompt: str | Sequence[str] = "",
    steps: int = 50,
    guidance_scale: float = 7.5,  # ω
    ode_steps: int = 2,
    chain_steps: int = 30,
    step_size: float = 1.0,  # η in units of 8σ²
    final_ratio: float = 1.0,
    momentum: float = 0.45,  # m
    clamp: float | None = None,
    sigma_max: float = 10.0,
    sigma_min: float = 0.1,
    seed: Seed = 0,
) -> Iterator[Step]:
    """`daps` in the latent space, with a chain that has a velocity.

    v ← m v + √η s(z) + √(2 (1 − m)) ξ,   z ← z + √η v,   v ~ N(0, I) at first,  with the score s of `daps`, through the decoder

    prior: any.  operator: any, linear or not.  Arguments as in `daps`; the defaults are the authors' for Stable Diffusion 1.5 and
    super-resolution.  In the order chain_steps, step_size, momentum, they have 40, 0.1, 0.9 for Gaussian blur, 58, 0.011, 0.92 for a box,
    95, 1.1, 0.47 with final_ratio 0.027 for phase retrieval.  momentum: m from 0 to 1; with m = 0 this is Langevin.
    clamp: the largest value that an entry of ∇_z ½‖y − A(D(z))‖² may have.  The authors' code clamps the gradient of the square, of images
    in [−1, 1], to 1: 0.125 here.  None: unbounded, as in the paper.  With it the chain no longer aims at the posterior.
    Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per level, with z0 the end of the chain and x_hat its picture.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    chain = check_chain(sigma, chain_steps, step_size, final_ratio)
    levels = check_levels(prior, steps, ode_steps, sigma_max, sigma_min)
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    momentum = checks.number("momentum", momentum, least=0, most=1)
    clamp = None if clamp is None else checks.number("clamp", clamp, above=0)
    gradient = functools.partial(data_gradient, prior, operator, problem.y, clamp)
    return anneal(prior, operator, problem, levels, guidance_scale, gradient, functools.partial(hamiltonian, momentum=momentum), *chain)


@torch.no_grad()
def anneal(
    prior: DiffusionPrior,
    operator: Any,
    problem: Problem,
    levels: list[list[int]],
    guidance_scale: float,
    gradient: Callable[[torch.Tensor], torch.Tensor],
    kernel: Kernel,
    sigma: float,
    chain_steps: int,
    step_size: float,
    final_ratio: float,
) -> Iterator[Step]:
    """The loop of both.  levels: for each noise level the timesteps of its ODE, the first of which is its own."""
    y, c, null = problem.y, problem.text, problem.null
    latent_shape = (len(y), *prior.latent_shape(problem.size))
    draw = functools.partial(normal, problem.generators, device=prior.device)
    z_t = (1 - prior.alpha_bar(levels[0][0])).sqrt() * draw(latent_shape, dtype=prior.dtype)  # no picture in it: σ_max ξ, scaled
    for index, timesteps in enumerate(levels):
        t, t_next = timesteps[0], levels[index + 1][0] if index + 1 < len(levels) else -1
        # The clean latent that z_t leads to
        z0 = probability_flow(prior, z_t, timesteps, c, null, guidance_scale)
        # A Markov chain from there, towards what explains y and is within σ_t of it
        variance = noise_level(prior.alpha_bar(t)).item() ** 2
        decay = 1 + index / len(levels) * (final_ratio - 1)
        eta = min(8 * sigma**2 * step_size * decay, variance)
        z0 = z0.to(y.dtype)  # in float32 at least: a step may be smaller than what half precision tells apart
        score = functools.partial(conditional_score, gradient, sigma**2, z0, variance)
        z0 = kernel(z0, score, eta, draw((len(y), chain_steps + 1, *latent_shape[1:]), dtype=y.dtype)).to(prior.dtype)
        # Wholly new noise, less of it
        z_next = add_noise(z0, draw(latent_shape, dtype=prior.dtype), prior.alpha_bar(t_next)) if t_next >= 0 else z0
        x_hat = last_image(prior, z0, y)
        yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
        z_t = z_next


def conditional_score(
    gradient: Callable[[torch.Tensor], torch.Tensor], noise_variance: float, centre: torch.Tensor, variance: float, z: torch.Tensor
) -> torch.Tensor:
    """∇ log of N(z; centre, variance) N(y; A(D(z)), noise_variance), given the gradient of ½‖y − A(D(z))‖²."""
    return (centre - z) / variance - gradient(z) / noise_variance


def data_gradient(prior: DiffusionPrior, operator: Any, y: torch.Tensor, clamp: float | None, z: torch.Tensor) -> torch.Tensor:
    """∇_z ½‖y − A(D(z))‖², its entries clamped where `clamp` is a number."""
    gradient = through_decoder(prior, z, lambda x: square_gradient(operator, x, y))[1]
    return gradient if clamp is None else gradient.clamp(-clamp, clamp)


def langevin(z: torch.Tensor, score: Callable[[torch.Tensor], torch.Tensor], eta: float, noise: torch.Tensor) -> torch.Tensor:
    """z ← z + η s(z) + √(2η) ξ, n times.

    z: (B, k, h, w).  score: s.  eta: η.  noise: (B, n + 1, k, h, w), the first of which is `hamiltonian`'s.  Returns the shape of z.
    """
    for fresh in noise.unbind(1)[1:]:
        z = z + eta * score(z) + (2 * eta) ** 0.5 * fresh
    return z


def hamiltonian(
    z: torch.Tensor, score: Callable[[torch.Tensor], torch.Tensor], eta: float, noise: torch.Tensor, momentum: float
) -> torch.Tensor:
    """v ← m v + √η s(z) + √(2 (1 − m)) ξ,  z ← z + √η v, n times, from a velocity v ~ N(0, I): damped Hamiltonian dynamics.

    Arguments as in `langevin`.  momentum: m, 0 for `langevin`.
    """
    velocity, *rest = noise.unbind(1)
    for fresh in rest:
        velocity = momentum * velocity + eta**0.5 * score(z) + (2 * (1 - momentum)) ** 0.5 * fresh
        z = z + eta**0.5 * velocity
    return z


def check_chain(sigma: float, chain_steps: int, step_size: float, final_ratio: float) -> tuple[float, int, float, float]:
    """The settings of the Markov chain."""
    return (
        checks.number("sigma", sigma, above=0),
        checks.integer("chain_steps", chain_steps, 0),
        checks.number("step_size", step_size, above=0),
        checks.number("final_ratio", final_ratio, above=0),
    )


def check_levels(prior: DiffusionPrior, steps: int, ode_steps: int, sigma_max: float, sigma_min: float) -> list[list[int]]:
    """The noise levels, noise falling: for each of them the timesteps of its ODE, the first of which is its own."""
    sigma_max, sigma_min = checks.number("sigma_max", sigma_max, above=0), checks.number("sigma_min", sigma_min, above=0)
    checks.expect(sigma_min <= sigma_max, "sigma_min", sigma_min, f"at most sigma_max, {sigma_max}")
    ode_steps = checks.integer("ode_steps", ode_steps)
    highest, lowest = (noise_level(prior.alpha_bar(t)).item() for t in (len(prior.scheduler.alphas_cumprod) - 1, 0))
    inside = polynomial_levels(min(max(sigma_max, lowest), highest), max(min(sigma_min, highest), lowest), steps)
    return [stops(prior, t, ode_steps) for t in nearest_timesteps(prior, inside)]
