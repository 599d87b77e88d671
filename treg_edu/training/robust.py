"""The autoencoder, further: clean pictures where their latents are, and the corrupted ones that solvers hand to it."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..priors import LatentDiffusion
from ..solvers import treg
from . import corruption, data, loop
from .vae import evaluate as evaluate_clean
from .vae import reconstruction_loss

__all__ = ["Loss", "block_loss", "evaluate", "latents_of", "pixel_step_estimates", "round_trip", "round_trip_misfit", "train"]

LATENT_NOISE = 0.02  # deviation; what a solver decodes is never exactly E(x)
STAY = 2.0  # weight of the latents' distance to where they were
BLOCK, BLOCK_WEIGHT = 16, 16.0


def block_loss(x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """‖P(x̂ − x)‖² as a mean, P the means of 16×16 pixels: the errors that a coarse measurement sees."""
    return F.avg_pool2d(x_hat - x, BLOCK).square().mean()


class Loss(nn.Module):
    """L = R(D(E(x) + n), x) + 2 ‖E(x) − z‖² over the clean pictures alone, n ~ N(0, 0.02²),   R = `reconstruction_loss` + 16 `block_loss`

    images: (B, 3, 64, 64), those of [0, 1] as [−1, 1], the clean ones first.  noise: (B, 4, 16, 16), normal.
    known: (≤ B, 4, 16, 16), z, the earlier latents of the clean ones.
    """

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: torch.Tensor, known: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        latents = self.vae.encode(images).latent_dist.mode().float()
        x_hat = self.vae.decode(latents + LATENT_NOISE * noise).sample.float()
        moved = (latents[: len(known)] - known).square().mean()
        return reconstruction_loss(x_hat, images) + BLOCK_WEIGHT * block_loss(x_hat, images) + STAY * moved


def train(
    vae: Any, earlier: Any, corpus: str | Path, out: str | Path, *, minutes: float, batch_size: int = 16, peak: float = 4e-4, seed: int = 2
) -> tuple[Any, dict[str, float]]:
    """Train encoder and decoder on batches of which half is clean, a quarter corrupted, a quarter corrected.  Returns (vae, log).

    vae: an `AutoencoderKL` to go on from.  earlier: another, frozen, whose latents of clean pictures are to be kept.
    """
    x, _ = data.load(corpus, "train")
    earlier.requires_grad_(False).eval()

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        picked = x[torch.randint(len(x), (batch_size,), generator=generator)]
        clean, corrupted, estimates = data.shift(picked, generator).tensor_split([batch_size // 2, batch_size * 3 // 4])
        corrupted, estimates = corruption.corrupt(corrupted, generator), corruption.correct(estimates, generator)
        images = 2 * torch.cat([clean, corrupted, estimates]) - 1
        with torch.no_grad():
            known = earlier.encode(images[: len(clean)].to(earlier.device)).latent_dist.mode()
        return images, known, torch.randn(batch_size, *known.shape[1:], generator=generator)

    log = loop.fit(Loss(vae), batch, out, minutes=minutes, peak=peak, seed=seed)
    return vae, log


@torch.no_grad()
def evaluate(vae: Any, earlier: Any, x: torch.Tensor, seed: int = 1_000_003) -> dict[str, float]:
    """{"clean psnr", "corrupted psnr", "corrected psnr", "moved"} of images in [0, 1].

    PSNR: mean over images, in dB; of `corruption.correct` without clipping.  moved: RMS of E(x) − E_earlier(x).
    seed: of the corruption; no training has drawn from it.
    """
    corrupted, corrected = (way(x, torch.Generator().manual_seed(seed)) for way in (corruption.corrupt, corruption.correct))
    mse = (round_trip(vae, corrected) - corrected).square().mean((1, 2, 3))
    moved = latents_of(vae, x) - latents_of(earlier, x)
    return {
        "clean psnr": evaluate_clean(vae, x)["psnr"],
        "corrupted psnr": evaluate_clean(vae, corrupted)["psnr"],
        "corrected psnr": (-10 * mse.log10()).mean().item(),
        "moved": moved.square().mean().sqrt().item(),
    }


@torch.no_grad()
def latents_of(vae: Any, x: torch.Tensor) -> torch.Tensor:
    """E(x), the posterior's mean, of images in [0, 1]: (N, 4, h, w)."""
    return torch.cat([vae.encode(2 * part.to(vae.device) - 1).latent_dist.mode().cpu() for part in x.split(64)])


@torch.no_grad()
def round_trip(vae: Any, x: torch.Tensor) -> torch.Tensor:
    """D(E(x)), neither clipped: (N, 3, h, w)."""
    return torch.cat([vae.decode(part.to(vae.device)).sample.cpu() for part in latents_of(vae, x).split(64)]) / 2 + 0.5


def pixel_step_estimates(prior: LatentDiffusion, operator: Any, y: torch.Tensor, prompts: list[str], seed: int = 0) -> torch.Tensor:
    """x̂ of every pixel step of TReg at the prior's recommended settings, as the encoder gets it, not clipped: (N, 3, H, W).

    y: (B, …).  prompts: B.
    """
    seen, recorder = [], copy.copy(prior)

    def encode(x_hat: torch.Tensor) -> torch.Tensor:
        seen.append(x_hat)
        return prior.encode(x_hat)

    recorder.encode = encode  # type: ignore[assignment, method-assign]
    for _ in treg(recorder, operator, y, prompts, seed=seed, **prior.recommended["treg"]):
        pass
    return torch.cat(seen)


def round_trip_misfit(vae: Any, operator: Any, x: torch.Tensor, sigma: float) -> float:
    """RMS of A(D(E(x))) − A(x) over σ: the part of a correction that the autoencoder loses, in the noise's units."""
    return ((operator.A(round_trip(vae, x)) - operator.A(x)).square().mean().sqrt() / sigma).item()
