"""TReg: Regularization by Texts for Latent Diffusion Inverse Solvers (Kim, Park, Chung, Ye, ICLR 2025), Algorithm 1."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..consistency import is_consistency_step, latent_correction, latent_step, pixel_step, pixel_step_nonlinear, renoise
from ..diffusion import GUIDANCE, Step, ddim_step, guided_noises, tweedie
from ..likelihood import latent_gradient
from ..negation import adaptive_negation
from ..noise import Seed, normal
from ..operators import is_linear, misfit
from ..priors import DiffusionPrior
from .common import Problem, pose

__all__ = ["pixel_solver", "treg"]


def treg(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str],
    *,
    null_prompt: str | Sequence[str] = "out of focus, depth of field",
    steps: int = 200,  # T
    guidance_scale: float = 5.0,  # ω
    guidance: str = "cfg",
    lam: float = 1e-4,  # λ of the pixel step
    iterations: int | None = None,  # of the pixel step: 5 of conjugate gradient (linear A), 50 of projected gradient (nonlinear A)
    every: int = 3,  # Γ: every third …
    until: float = 0.85,  # … among the first 85 % of the steps …
    since: float = 0.0,  # … but for this share of them
    negation: str | None = "hidden",
    negation_learning_rate: float = 1e-3,
    negation_iterations: int = 10,
    dps_step_size: float = 0.0,  # ρ of the latent-DPS branch
    last_rounds: int = 0,
    start: torch.Tensor | None = None,
    seed: Seed = 0,
) -> Iterator[Step]:
    """Reconstruct images from measurements y = A(x) + n, a text telling which of the many explanations is meant.

    The loop is Algorithm 1      (Kim et al. 2025, Algorithm 1).

    prior: as `load_prior` gives.  operator: of `treg_edu.operators`, a `deepinv.physics` object, or any with A(x).  y: B measurements.
    prompt, null_prompt: one string, or a list of B.  seed: one int or a list of B, see `noise.generators`.
    negation: "hidden" compares the image feature with the null text's hidden states, as published; "projected" after CLIP's text
    projection; None leaves c_∅ alone.  start: (B, 3, H, W), where the pixel steps of a nonlinear A descend from, such as the result of HIO;
    None means from D(ẑ₀), which knows the text.  guidance: "cfg", or "cfg++", see `guided_noises`.
    dps_step_size: off Γ, a step ρ_t = ρ √ᾱ_{t−1} down the gradient of the misfit, through decoder and network.  0 is DDIM.  2 is the
    authors' branch, whose ρ_t = √ᾱ_{t−1} is for images in [−1, 1]; their code leaves the text out of it, Algorithm 1 does not.
    last_rounds: how many times, at the end, x̂ ← pixel step from D(ẑ), ẑ ← ẑ + E(x̂) − E(D(ẑ)); not in the paper.
    Ranges: steps, iterations, every, negation_iterations ≥ 1; guidance_scale, dps_step_size, last_rounds ≥ 0; lam, negation_learning_rate
    > 0; 0 ≤ since, until ≤ 1.
    Defaults are the authors' (for Stable Diffusion 1.5 at 512×512); `prior.recommended["treg"]` holds what suits another prior.
    Page: docs/solvers.md.

    Checks everything at the call: ArgumentError, `name: got …, expected …`.
    Yields one `Step` per timestep; the last `x_hat`, (B, 3, H, W) in [0, 1], is the reconstruction.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    y, c, generators = problem.y, problem.text, problem.generators
    checks.number("guidance_scale", guidance_scale, least=0)
    checks.one_of("guidance", guidance, GUIDANCE)
    check_gamma(lam, every, until, since)
    check_negation(prior, negation, negation_learning_rate, negation_iterations)
    dps_step_size, last_rounds = checks.number("dps_step_size", dps_step_size, least=0), checks.integer("last_rounds", last_rounds, 0)
    solve_pixels = pixel_solver(operator, iterations, start, problem)
    latent_shape = (len(y), *prior.latent_shape(problem.size))

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        null = problem.null
        z_t = normal(generators, latent_shape, prior.device, prior.dtype)
        for index, (t, t_prev) in enumerate(problem.timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            # The clean latent that the text asks for: guidance, ε̂ = ε_∅ + ω (ε_c − ε_∅), then Tweedie, ẑ₀ = (z_t − √(1 − ᾱ) ε̂) / √ᾱ
            reconcile = is_consistency_step(index, steps, every, until, since)
            descend = dps_step_size > 0 and not reconcile
            with torch.set_grad_enabled(descend):
                z = z_t.detach().requires_grad_(descend)
                noise, renoising = guided_noises(prior, z, t, c, null, guidance_scale, guidance)
                z0 = tweedie(z, noise, alpha_bar)
            x_hat = None
            if reconcile:
                # Pixel step: the image near D(ẑ₀) that explains y, x̂ = argmin ‖y − A(x)‖² + λ ‖x − D(ẑ₀)‖²
                x_hat = solve_pixels(operator, y, prior.decode(z0).to(y.dtype), lam)
                # Adaptive negation: the null text moves away from what that image shows, by Adam down ⟨T_img(x̂), c_∅⟩
                if negation:
                    feature = prior.embed_images(x_hat)
                    feature = prior.to_hidden_space(feature) if negation == "projected" else feature
                    null = adaptive_negation(null, feature, negation_learning_rate, negation_iterations)
                # Latent step: ẑ = ᾱ′ E(x̂) + (1 − ᾱ′) ẑ₀, then down one noise level with part of the noise renewed
                z0 = latent_step(prior.encode(x_hat), z0, alpha_bar_prev)
                fresh = normal(generators, latent_shape, prior.device, prior.dtype)
                z_next = renoise(z0, renoising, fresh, alpha_bar_prev)
            else:
                # Off Γ: DDIM, or the latent-DPS step, z′ − ρ_t ∇_{z_t} ‖y − A(D(ẑ₀))‖
                z_next = ddim_step(z0.detach(), renoising.detach(), alpha_bar_prev)
                if descend:
                    z_next = z_next - dps_step_size * alpha_bar_prev.sqrt() * latent_gradient(prior, operator, y, z0, z)
                z0 = z0.detach()
            if t_prev < 0:
                z0 = z_next if descend else z0
                for _ in range(last_rounds):
                    x_hat = solve_pixels(operator, y, prior.decode(z0).to(y.dtype), lam)
                    z0 = latent_correction(prior, z0, x_hat)
                x_hat = prior.decode(z0).to(y.dtype)
            if x_hat is not None:
                x_hat = x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, None if x_hat is None else misfit(operator, x_hat, y))
            z_t = z_next

    return walk()


def pixel_solver(operator: Any, iterations: int | None, start: torch.Tensor | None, problem: Problem) -> Any:
    """The pixel step that fits the operator, with the settings that were given.

    Only a nonlinear pixel step has several minima to choose among by where it begins.
    """
    settings: dict[str, Any] = {} if iterations is None else {"iterations": checks.integer("iterations", iterations)}
    if is_linear(operator):
        expected = "None: the pixel steps of a linear operator begin at D(ẑ₀)"
        checks.expect(start is None, "start", "images", expected)
        return functools.partial(pixel_step, **settings)
    if start is not None:
        shape = (len(problem.y), 3, *problem.size)
        checks.finite("start", checks.tensor("start", start, "(B, 3, H, W)"))
        checks.expect(tuple(start.shape) == shape, "start", f"shape {tuple(start.shape)}", f"{shape}, one for each sample")
        settings["start"] = start.to(problem.y)
    return functools.partial(pixel_step_nonlinear, **settings)


def check_gamma(lam: float, every: int, until: float, since: float) -> None:
    """The settings of Γ and of what is done there, whose nonsense would only show in the picture."""
    checks.number("lam", lam, above=0)
    checks.integer("every", every)
    checks.number("until", until, least=0, most=1)
    checks.number("since", since, least=0, most=1)


def check_negation(prior: DiffusionPrior, negation: str | None, learning_rate: float, iterations: int) -> None:
    """Those of adaptive negation; and an image's feature and the null text's states must be of one width."""
    checks.one_of("negation", negation, ("hidden", "projected", None))
    checks.number("negation_learning_rate", learning_rate, above=0)
    checks.integer("negation_iterations", iterations)
    if negation is not None:
        has_clip = getattr(prior, "clip", None) is not None
        checks.expect(has_clip, "negation", f"{negation!r}", "None: this prior has no CLIP, whose image features negation compares")
        clip, width = prior.clip.config, prior.text_encoder.config.hidden_size
        came = clip.projection_dim if negation == "hidden" else clip.text_config.hidden_size
        expected = (
            f"the width of the text states, {width}: load the prior with the CLIP whose text tower it uses (clip=…), or pass negation=None"
        )
        checks.expect(came == width, "negation", f"{negation!r}, which compares features of width {came}", expected)
