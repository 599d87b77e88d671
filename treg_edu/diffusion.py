"""The algebra of variance-preserving diffusion, and plain text-to-image sampling by DDIM.

z_t = √ᾱ_t z₀ + √(1 − ᾱ_t) ε,  ε ~ N(0, I),  with ᾱ_t falling from 1 to nearly 0 as t rises.
"""

import math
import numbers
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Step:
    """What a solver knows after one timestep.

    index: 0, 1, …  t: the timestep just treated.  z_t: the noisy latent it started from, (B, 4, h, w).
    z0: the clean latent it settled on, (B, 4, h, w).  z_next: the latent handed to the next timestep.
    x_hat: the image estimate in [0, 1], (B, 3, H, W), on the steps that made one (consistency steps, and the last), else None.
    null_embedding: c_∅ after this step, (B, L, d).  residual: mean (y − A(x̂))² per sample, (B,), where x_hat is not None.
    """

    index: int
    t: int
    z_t: torch.Tensor
    z0: torch.Tensor
    z_next: torch.Tensor
    null_embedding: torch.Tensor
    x_hat: torch.Tensor | None = None
    residual: torch.Tensor | None = None


def add_noise(z0, noise, alpha_bar):
    """The forward process in one jump.

    z_t = √ᾱ_t z₀ + √(1 − ᾱ_t) ε      (Ho et al. 2020, Eq. 4)

    z0, noise: (B, 4, h, w).  alpha_bar: scalar tensor in (0, 1].  Returns (B, 4, h, w).
    """
    return alpha_bar.sqrt() * z0 + (1 - alpha_bar).sqrt() * noise


def score(noise, alpha_bar):
    """The score of the noisy marginal, from the noise estimate.

    ∇ log p(z_t) = −ε̂ / √(1 − ᾱ_t)      (Vincent 2011; Song, Sohl-Dickstein et al. 2021)

    It is √(1 − ᾱ_t), the deviation of the noise in z_t, and not t. noise: (B, 4, h, w).  alpha_bar: scalar tensor in (0, 1).
    """
    return -noise / (1 - alpha_bar).sqrt()


def tweedie(z_t, noise, alpha_bar):
    """Posterior mean of the clean latent given a noisy one.

    ẑ₀ = (z_t − √(1 − ᾱ_t) ε̂) / √ᾱ_t      (Robbins 1956; Efron 2011; Kim et al. 2025)

    z_t, noise: (B, 4, h, w).  alpha_bar: scalar tensor in (0, 1].  Returns (B, 4, h, w).
    """
    return (z_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()


def ddim_step(z0, noise, alpha_bar_prev):
    """The deterministic step to the next lower noise level.

    z_{t−1} = √ᾱ_{t−1} ẑ₀ + √(1 − ᾱ_{t−1}) ε̂      (Song, Meng, Ermon 2021, DDIM, Eq. 12 with σ = 0)

    z0, noise: (B, 4, h, w).  alpha_bar_prev: scalar tensor in (0, 1].  Returns (B, 4, h, w).
    """
    return alpha_bar_prev.sqrt() * z0 + (1 - alpha_bar_prev).sqrt() * noise


def guide(null_noise, text_noise, guidance_scale):
    """Classifier-free guidance.

    ε̂ = ε_θ(z_t, c_∅) + ω (ε_θ(z_t, c) − ε_θ(z_t, c_∅))      (Ho & Salimans 2022)

    null_noise, text_noise: (B, 4, h, w).  guidance_scale: ω; 0 ignores the text, 1 ignores the null text.
    """
    return null_noise + guidance_scale * (text_noise - null_noise)


def guided_noise(prior, z_t, t, text_embedding, null_embedding, guidance_scale):
    """ε̂ of `guide`, both halves in one call of the network; at ω = 1 the null text drops out and costs nothing.

    z_t: (B, 4, h, w).  text_embedding, null_embedding: (B, L, d).  Returns (B, 4, h, w).
    """
    if guidance_scale == 1:
        return prior.predict_noise(z_t, t, text_embedding)
    embeddings = torch.cat([null_embedding, text_embedding])
    return guide(*prior.predict_noise(torch.cat([z_t, z_t]), t, embeddings).chunk(2), guidance_scale)


def generators(seed, batch):
    """One CPU generator per sample, so that sample i depends on its own seed alone.

    seed: one int s, meaning s, s + 1, …, s + batch − 1, or a list of `batch` ints.
    """
    seeds = list(range(seed, seed + batch)) if isinstance(seed, numbers.Integral) else seed
    if not isinstance(seeds, (list, tuple)) or not all(isinstance(s, numbers.Integral) for s in seeds):
        raise TypeError(f"seed: got {seed!r}, expected one int or a list of {batch} ints")
    if len(seeds) != batch:
        raise ValueError(f"seed: got {len(seeds)} seeds for a batch of {batch}; expected one int or one seed per sample")
    return [torch.Generator().manual_seed(int(s)) for s in seeds]


def randn(generators, shape, device="cpu", dtype=torch.float32):
    """Standard normal noise, sample i from generator i.  shape: of one sample.  Returns (len(generators), *shape)."""
    return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device, dtype)


def broadcast(prompt, batch, name="prompt"):
    """One string for all samples, or a list with one for each.  Returns a list of `batch` strings."""
    prompts = [prompt] * batch if isinstance(prompt, str) else prompt
    if not isinstance(prompts, (list, tuple)):
        raise TypeError(f"{name}: got {prompt!r}, expected one string or a list of {batch} strings")
    if len(prompts) != batch or not all(isinstance(p, str) for p in prompts):
        raise ValueError(f"{name}: got {prompt!r} for a batch of {batch}; expected one string or a list of {batch} strings")
    return list(prompts)


@torch.no_grad()
def sample(prior, prompt, steps=50, guidance_scale=7.5, seed=0, null_prompt="", size=None):
    """Text-to-image by DDIM.  Yields one `Step` per timestep; the last one carries x_hat.

    prompt: one string, or a list of B.  null_prompt: likewise.  seed: see `generators`.  guidance_scale: ω ≥ 0.
    size: a side or (H, W) in pixels; the size the prior was trained at if None.
    The picture equals that of diffusers' `StableDiffusionPipeline` with a `DDIMScheduler` (η = 0) and the same seeds, wherever `steps`
    divides the training timesteps. Elsewhere diffusers' levels have gaps (it steps from t to t − ⌊1000 / steps⌋); ours have none.
    """
    batch = len(prompt) if isinstance(prompt, (list, tuple)) else 1
    if batch == 0:
        raise ValueError("prompt: got an empty list; expected at least one prompt")
    if not 0 <= guidance_scale < math.inf:
        raise ValueError(f"guidance_scale: got {guidance_scale!r}, expected a finite number of at least 0")
    text_embedding = prior.embed_text(broadcast(prompt, batch))
    null_embedding = prior.embed_text(broadcast(null_prompt, batch, "null_prompt"))
    z_t = randn(generators(seed, batch), prior.latent_shape(size), prior.device, prior.dtype)
    for index, (t, t_prev) in enumerate(prior.timesteps(steps)):
        alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
        noise = guided_noise(prior, z_t, t, text_embedding, null_embedding, guidance_scale)
        z0 = tweedie(z_t, noise, alpha_bar)
        z_next = ddim_step(z0, noise, alpha_bar_prev)
        x_hat = prior.decode(z_next).clamp(0, 1) if index == steps - 1 else None
        yield Step(index, t, z_t, z0, z_next, null_embedding, x_hat)
        z_t = z_next


@torch.no_grad()
def invert(prior, z0, prompt, steps=50, guidance_scale=1.0, null_prompt=""):
    """DDIM inversion: walk the deterministic path from a clean latent up to noise, with ε̂ taken at the lower of each two levels.

    z_{t+1} = √ᾱ_{t+1} ẑ₀ + √(1 − ᾱ_{t+1}) ε̂(z_t, t)      (Dhariwal & Nichol 2021; Mokady et al. 2023)

    z0: (B, 4, h, w).  Yields one `Step` per timestep, the noise level rising; the last `z_next` is the latent that `sample` with the
    same settings would start from, up to the error of the approximation.
    """
    batch = len(z0)
    text_embedding = prior.embed_text(broadcast(prompt, batch))
    null_embedding = prior.embed_text(broadcast(null_prompt, batch, "null_prompt"))
    z_t = z0.to(prior.device, prior.dtype)
    for index, (t_next, t) in enumerate(reversed(prior.timesteps(steps))):
        alpha_bar, alpha_bar_next = prior.alpha_bar(t), prior.alpha_bar(t_next)
        noise = guided_noise(prior, z_t, max(t, 0), text_embedding, null_embedding, guidance_scale)
        z_hat = tweedie(z_t, noise, alpha_bar)
        z_next = add_noise(z_hat, noise, alpha_bar_next)
        yield Step(index, t, z_t, z_hat, z_next, null_embedding)
        z_t = z_next
