"""The algebra of variance-preserving diffusion, and plain text-to-image sampling by DDIM.

z_t = √ᾱ_t z₀ + √(1 − ᾱ_t) ε,  ε ~ N(0, I),  with ᾱ_t falling from 1 to nearly 0 as t rises.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from . import checks
from .noise import Seed, generators, normal
from .priors import DiffusionPrior

__all__ = [
    "GUIDANCE",
    "Step",
    "add_noise",
    "check_prior",
    "ddim_step",
    "ddim_step_eta",
    "guide",
    "guided_noise",
    "guided_noises",
    "invert",
    "noise_of",
    "sample",
    "score",
    "tweedie",
]


GUIDANCE = ("cfg", "cfg++")
"""The ways to use two noise estimates, see `guided_noises`."""


@dataclass(frozen=True)
class Step:
    """What a solver knows after one timestep.

    index: 0, 1, …  t: the timestep just treated.  z_t: the noisy latent it started from, (B, 4, h, w).
    z0: the clean latent it settled on, (B, 4, h, w).  z_next: the latent handed to the next timestep.
    null_embedding: c_∅ after this step, (B, L, d); None of a solver that knows no text.
    x_hat: the image estimate in [0, 1], (B, 3, H, W), on the steps that made one (consistency steps, and the last), else None.
    misfit: RMS of y − A(x̂) of each sample, (B,), where a solver made an x_hat.
    text_embedding: c after this step, (B, L, d), of a solver that tunes it.
    A solver without a prior yields its iterations: t counts those that are left, and z_t, z0 and z_next are images.
    """

    index: int
    t: int
    z_t: torch.Tensor
    z0: torch.Tensor
    z_next: torch.Tensor
    null_embedding: torch.Tensor | None
    x_hat: torch.Tensor | None = None
    misfit: torch.Tensor | None = None
    text_embedding: torch.Tensor | None = None


def check_prior(prior: Any) -> None:
    """Check that `prior` predicts noise."""
    is_prior = callable(getattr(prior, "predict_noise", None))
    checks.expect(is_prior, "prior", repr(prior), "a prior, such as load_prior() gives", checks.ArgumentTypeError)


def add_noise(z0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """The forward process in one jump.

    z_t = √ᾱ_t z₀ + √(1 − ᾱ_t) ε      (Ho et al. 2020, Eq. 4)

    z0, noise: (B, 4, h, w).  alpha_bar: scalar tensor in (0, 1].  Returns (B, 4, h, w).
    """
    return alpha_bar.sqrt() * z0 + (1 - alpha_bar).sqrt() * noise


def score(noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """The score of the noisy marginal, from the noise estimate.

    ∇ log p(z_t) = −ε̂ / √(1 − ᾱ_t)      (Vincent 2011; Song, Sohl-Dickstein et al. 2021)

    It is √(1 − ᾱ_t), the deviation of the noise in z_t, and not t. noise: (B, 4, h, w).  alpha_bar: scalar tensor in (0, 1).
    """
    return -noise / (1 - alpha_bar).sqrt()


def tweedie(z_t: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """Posterior mean of the clean latent given a noisy one.

    ẑ₀ = (z_t − √(1 − ᾱ_t) ε̂) / √ᾱ_t      (Robbins 1956; Efron 2011; Kim et al. 2025)

    z_t, noise: (B, 4, h, w).  alpha_bar: scalar tensor in (0, 1].  Returns (B, 4, h, w).
    """
    return (z_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()


def noise_of(z_t: torch.Tensor, z0: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """The noise in z_t, if z0 is the clean latent: the inverse of `tweedie`.

    ε̂ = (z_t − √ᾱ_t ẑ₀) / √(1 − ᾱ_t)

    z_t, z0: (B, 4, h, w).  alpha_bar: scalar tensor in (0, 1).  Returns (B, 4, h, w).
    """
    return (z_t - alpha_bar.sqrt() * z0) / (1 - alpha_bar).sqrt()


def ddim_step(z0: torch.Tensor, noise: torch.Tensor, alpha_bar_prev: torch.Tensor) -> torch.Tensor:
    """The deterministic step to the next lower noise level.

    z_{t−1} = √ᾱ_{t−1} ẑ₀ + √(1 − ᾱ_{t−1}) ε̂      (Song, Meng, Ermon 2021, DDIM, Eq. 12 with σ = 0)

    z0, noise: (B, 4, h, w).  alpha_bar_prev: scalar tensor in (0, 1].  Returns (B, 4, h, w).
    """
    return alpha_bar_prev.sqrt() * z0 + (1 - alpha_bar_prev).sqrt() * noise


def ddim_step_eta(
    z0: torch.Tensor, noise: torch.Tensor, fresh_noise: torch.Tensor, alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor, eta: float
) -> torch.Tensor:
    """The step to the next lower noise level with some of the noise renewed.

    z_{t−1} = √ᾱ_{t−1} ẑ₀ + √(1 − ᾱ_{t−1} − s²) ε̂ + s ε,   s = η √((1 − ᾱ_{t−1}) / (1 − ᾱ_t)) √(1 − ᾱ_t / ᾱ_{t−1}),   ε ~ N(0, I)
                                                            (Song, Meng, Ermon 2021, DDIM, Eqs. 12 and 16)

    eta: η, 0 for `ddim_step`, 1 for the ancestral step of DDPM.  z0, noise, fresh_noise: (B, 4, h, w).
    alpha_bar, alpha_bar_prev: scalar tensors, 0 < ᾱ_t < ᾱ_{t−1} ≤ 1.  Returns (B, 4, h, w).
    """
    s = eta * ((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)).sqrt()
    return alpha_bar_prev.sqrt() * z0 + (1 - alpha_bar_prev - s**2).clamp(min=0).sqrt() * noise + s * fresh_noise


def guide(null_noise: torch.Tensor, text_noise: torch.Tensor, guidance_scale: float) -> torch.Tensor:
    """Classifier-free guidance.

    ε̂ = ε_θ(z_t, c_∅) + ω (ε_θ(z_t, c) − ε_θ(z_t, c_∅))      (Ho & Salimans 2022)

    null_noise, text_noise: (B, 4, h, w).  guidance_scale: ω; 0 ignores the text, 1 ignores the null text.
    """
    return null_noise + guidance_scale * (text_noise - null_noise)


def guided_noise(
    prior: DiffusionPrior,
    z_t: torch.Tensor,
    t: int,
    text_embedding: torch.Tensor,
    null_embedding: torch.Tensor,
    guidance_scale: float,
) -> torch.Tensor:
    """ε̂ of `guide`, both halves in one call of the network; at ω = 1 the null text drops out and costs nothing.

    z_t: (B, 4, h, w).  text_embedding, null_embedding: (B, L, d).  Returns (B, 4, h, w).
    """
    guidance_scale = checks.number("guidance_scale", guidance_scale)
    if guidance_scale == 1:
        return prior.predict_noise(z_t, t, text_embedding)
    embeddings = torch.cat([null_embedding, text_embedding])
    null_noise, text_noise = prior.predict_noise(torch.cat([z_t, z_t]), t, embeddings).chunk(2)
    return guide(null_noise, text_noise, guidance_scale)


def guided_noises(
    prior: DiffusionPrior,
    z_t: torch.Tensor,
    t: int,
    text_embedding: torch.Tensor,
    null_embedding: torch.Tensor,
    guidance_scale: float,
    guidance: str = "cfg",
) -> tuple[torch.Tensor, torch.Tensor]:
    """(ε̂, what renoises): the noise that Tweedie's estimate takes out, and the noise that the step to the next level puts in.

    "cfg": ε̂ of `guide` both times.  "cfg++": ε̂ and ε_∅, the null text's own estimate, so that ẑ₀ moves along the text and the noise does
    not leave what the network knows; ω is then from 0 to 1; in 50 steps 0.6 does what CFG does at about 7.5      (Chung et al. 2025, CFG++)

    Arguments and shapes as in `guided_noise`.
    """
    guidance_scale = checks.number("guidance_scale", guidance_scale)
    if checks.one_of("guidance", guidance, GUIDANCE) == "cfg++":
        embeddings = torch.cat([null_embedding, text_embedding])
        null_noise, text_noise = prior.predict_noise(torch.cat([z_t, z_t]), t, embeddings).chunk(2)
        return guide(null_noise, text_noise, guidance_scale), null_noise
    noise = guided_noise(prior, z_t, t, text_embedding, null_embedding, guidance_scale)
    return noise, noise


def sample(
    prior: DiffusionPrior,
    prompt: str | Sequence[str],
    steps: int = 50,
    guidance_scale: float = 7.5,
    seed: Seed = 0,
    null_prompt: str | Sequence[str] = "",
    size: int | tuple[int, int] | None = None,
    guidance: str = "cfg",
) -> Iterator[Step]:
    """Text-to-image by DDIM.  Yields one `Step` per timestep; the last one carries x_hat.

    prompt: one string, or a list of B.  null_prompt: likewise.  seed: see `noise.generators`.  guidance_scale: ω ≥ 0.
    size: a side or (H, W) in pixels; the size the prior was trained at if None.
    guidance: "cfg", or "cfg++", which renoises with the null text's noise and wants ω from 0 to 1, see `guided_noises`.
    The picture equals that of diffusers' `StableDiffusionPipeline` with a `DDIMScheduler` (η = 0) and the same seeds
    - for ω ≥ 1.  The pipeline takes any smaller ω for 1; here ω = 0.5 is halfway between the two texts, and 0 the null text alone;
    - for "leading" spacing with any number of steps (its offset is 1, as the pipeline corrects it), and for "trailing" spacing where
      `steps` divides the training timesteps.  Elsewhere, and for "linspace", diffusers' levels have gaps or overlap, as it steps from t to
      t − ⌊1000 / steps⌋; ours join;
    - without thresholding, of which a prior warns when it is made; clip_sample is off here, as the pipeline corrects it.
    """
    check_prior(prior)
    batch = len(prompt) if isinstance(prompt, (list, tuple)) else 1
    checks.expect(batch > 0, "prompt", "an empty list", "at least one string")
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    timesteps = prior.timesteps(steps)
    text_embedding = prior.embed_text(checks.strings("prompt", prompt, batch))
    null_embedding = prior.embed_text(checks.strings("null_prompt", null_prompt, batch))
    checks.one_of("guidance", guidance, GUIDANCE)
    z_T = normal(generators(seed, batch), (batch, *prior.latent_shape(size)), prior.device, prior.dtype)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = z_T
        for index, (t, t_prev) in enumerate(timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            noise, renoising = guided_noises(prior, z_t, t, text_embedding, null_embedding, guidance_scale, guidance)
            z0 = tweedie(z_t, noise, alpha_bar)
            z_next = ddim_step(z0, renoising, alpha_bar_prev)
            x_hat = prior.decode(z_next).clamp(0, 1) if t_prev < 0 else None
            yield Step(index, t, z_t, z0, z_next, null_embedding, x_hat)
            z_t = z_next

    return walk()


def invert(
    prior: DiffusionPrior,
    z0: torch.Tensor,
    prompt: str | Sequence[str],
    steps: int = 50,
    guidance_scale: float = 1.0,
    null_prompt: str | Sequence[str] = "",
    guidance: str = "cfg",
) -> Iterator[Step]:
    """DDIM inversion: walk the deterministic path from a clean latent up to noise, with ε̂ taken at the lower of each two levels.

    z_{t+1} = √ᾱ_{t+1} ẑ₀ + √(1 − ᾱ_{t+1}) ε̂(z_t, t)      (Dhariwal & Nichol 2021; Mokady et al. 2023)

    With guidance "cfg++" the two noises change places: ẑ₀ by the null text's, the way up by ε̂      (Chung et al. 2025)

    z0: (B, 4, h, w).  Yields one `Step` per timestep, the noise level rising; the last `z_next` is the latent that `sample` with the
    same settings would start from, up to the error of the approximation.  Latents are in float32 at least, whatever the prior is in.
    """
    check_prior(prior)
    channels = prior.latent_shape()[0]
    checks.finite("z0", checks.tensor("z0", z0, f"(B, {channels}, h, w)", dimensions=(4,)))
    checks.expect(z0.shape[1] == channels, "z0", f"shape {tuple(z0.shape)}", f"(B, {channels}, h, w)")
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    checks.one_of("guidance", guidance, GUIDANCE)
    timesteps = prior.timesteps(steps)
    text_embedding = prior.embed_text(checks.strings("prompt", prompt, len(z0)))
    null_embedding = prior.embed_text(checks.strings("null_prompt", null_prompt, len(z0)))

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = z0.to(prior.device, torch.promote_types(prior.dtype, torch.float32))  # the path back has to meet the same latents
        for index, (t_next, t) in enumerate(reversed(timesteps)):
            alpha_bar, alpha_bar_next = prior.alpha_bar(t), prior.alpha_bar(t_next)
            noise, renoising = guided_noises(prior, z_t, max(t, 0), text_embedding, null_embedding, guidance_scale, guidance)
            z_hat = tweedie(z_t, renoising, alpha_bar)
            z_next = add_noise(z_hat, noise, alpha_bar_next)
            yield Step(index, t, z_t, z_hat, z_next, null_embedding)
            z_t = z_next

    return walk()
