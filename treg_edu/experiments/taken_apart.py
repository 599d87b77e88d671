"""TReg with each of its parts to be exchanged, for the studies `parts` and `negation`.  As they stand, the parts are `treg`'s own."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..consistency import is_consistency_step, latent_step, renoise
from ..diffusion import Step, ddim_step, guided_noises, tweedie
from ..negation import adaptive_negation
from ..noise import Seed, generators, normal
from ..operators import misfit
from ..priors import DiffusionPrior, LatentDiffusion
from ..solvers.common import last_image, pose
from ..solvers.treg import pixel_solver

__all__ = ["ENCODINGS", "RENOISINGS", "SIGNS", "WEIGHTS", "taken_apart"]

WEIGHTS = {
    "ᾱ": lambda alpha_bar: alpha_bar,
    "1": torch.ones_like,
    "½": lambda alpha_bar: torch.full_like(alpha_bar, 0.5),
    "1 − ᾱ": lambda alpha_bar: 1 - alpha_bar,
}
"""The weight of E(x̂) in the latent step, a function of ᾱ_{t−1}."""
ENCODINGS = ("mean", "sample")
"""E(x̂) as the posterior's mean, or as a sample of it, as in the authors' code."""
RENOISINGS = ("theirs", "DDIM", "fresh")
"""How ẑ goes down to the next noise level: with half of the noise new, with the old noise, or with new noise alone."""
SIGNS = ("published", "reversed", "another picture's", "random")
"""What adaptive negation moves c_∅ away from: the feature of x̂, its negative, that of another picture, or a random direction."""


def taken_apart(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str],
    *,
    null_prompt: str | Sequence[str] = "",
    steps: int = 25,
    guidance_scale: float = 4.0,
    guidance: str = "cfg",
    lam: float = 1e-4,
    iterations: int | None = None,
    every: int = 2,
    until: float = 1.0,
    since: float = 0.0,
    negation: str | None = None,
    negation_learning_rate: float = 1e-3,
    negation_iterations: int = 10,
    weight: str = "ᾱ",
    encoding: str = "mean",
    renoising: str = "theirs",
    sign: str = "published",
    negation_since: float = 0.0,
    negation_until: float = 1.0,
    others: torch.Tensor | None = None,
    seed: Seed = 0,
) -> Iterator[Step]:
    """`treg` without its latent-DPS branch and last rounds, and with these parts.

    weight: of `WEIGHTS`.  encoding: of `ENCODINGS`.  renoising: of `RENOISINGS`.  sign: of `SIGNS`; others: (B, 3, H, W), the other
    pictures.  negation_since, negation_until: the share of the steps in which negation is called.  The other arguments are `treg`'s.
    """
    for name, value, options in (
        ("weight", weight, WEIGHTS), ("encoding", encoding, ENCODINGS), ("renoising", renoising, RENOISINGS), ("sign", sign, SIGNS),
    ):  # fmt: skip
        checks.one_of(name, value, options)
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    y, c, own = problem.y, problem.text, problem.generators
    solve_pixels = pixel_solver(operator, iterations, None, problem)
    latent_shape = (len(y), *prior.latent_shape(problem.size))
    checks.expect(sign != "another picture's" or others is not None, "others", "none", "another picture for each sample")
    chance = generators([2**40 + each.initial_seed() for each in own], len(y))  # apart from the sample's own, whose noise stays the same
    width = problem.null.shape[-1]  # a random direction is kept, so that its moves add up as those of a picture do
    direction = normal(chance, (len(y), width), prior.device, prior.dtype) if sign == "random" else None

    def encoded(x_hat: torch.Tensor) -> torch.Tensor:
        if encoding == "mean" or not isinstance(prior, LatentDiffusion):
            return prior.encode(x_hat)
        of_x = prior.vae.encode(2 * x_hat.to(prior.device, prior.dtype) - 1).latent_dist
        return (of_x.mean + of_x.std * normal(chance, of_x.mean.shape, prior.device, prior.dtype)) * prior.vae.config.scaling_factor

    def feature(x_hat: torch.Tensor) -> torch.Tensor:
        if direction is not None:
            return direction
        found = prior.embed_images(others if sign == "another picture's" and others is not None else x_hat)
        found = -found if sign == "reversed" else found
        return prior.to_hidden_space(found) if negation == "projected" else found

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        null = problem.null
        z_t = normal(own, latent_shape, prior.device, prior.dtype)
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            noise, old = guided_noises(prior, z_t, t, c, null, guidance_scale, guidance)
            z0, x_hat = tweedie(z_t, noise, alpha_bar), None
            if is_consistency_step(index, steps, every, until, since):
                x_hat = solve_pixels(operator, y, prior.decode(z0).to(y.dtype), lam)
                if negation and negation_since * steps <= index < negation_until * steps:
                    null = adaptive_negation(null, feature(x_hat), negation_learning_rate, negation_iterations)
                z0 = latent_step(encoded(x_hat), z0, WEIGHTS[weight](alpha_bar_prev))
                fresh = normal(own, latent_shape, prior.device, prior.dtype)
                if renoising == "theirs":
                    z_next = renoise(z0, old, fresh, alpha_bar_prev)
                else:
                    z_next = ddim_step(z0, old if renoising == "DDIM" else fresh, alpha_bar_prev)
            else:
                z_next = ddim_step(z0, old, alpha_bar_prev)
            if t_prev < 0:
                x_hat = last_image(prior, z0, y)
            x_hat = None if x_hat is None else x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, None if x_hat is None else misfit(operator, x_hat, y))
            z_t = z_next

    return walk()
