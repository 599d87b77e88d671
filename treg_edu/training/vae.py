"""The autoencoder: 64×64×3 pixels ↔ 16×16×4 latents."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import data, loop

__all__ = ["CONFIG", "evaluate", "reconstruction_loss", "standardise", "train", "train_decoder"]

CONFIG = dict(
    in_channels=3,
    out_channels=3,
    latent_channels=4,
    sample_size=64,
    block_out_channels=(16, 48, 96),
    down_block_types=("DownEncoderBlock2D",) * 3,
    up_block_types=("UpDecoderBlock2D",) * 3,
    layers_per_block=1,
    norm_num_groups=8,
    mid_block_add_attention=False,
    scaling_factor=1.0,
)
KL_WEIGHT = 1e-4  # per latent element; an order more collapses the posterior


def reconstruction_loss(x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """4 ‖x̂ − x‖² + |x̂ − x| + ½ |∇x̂ − ∇x|, each a mean: PSNR, flat areas, edges.  Images in [−1, 1]."""
    error = x_hat - x
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return 4 * error.square().mean() + error.abs().mean() + 0.5 * edges


class Loss(nn.Module):
    """Reconstruction of a sampled latent, plus a little KL(q(z | x) ‖ N(0, I)) per latent element."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        posterior = self.vae.encode(images).latent_dist
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        return reconstruction_loss(self.vae.decode(posterior.sample()).sample.float(), images) + KL_WEIGHT * kl


class DecoderLoss(nn.Module):
    """Reconstruction from the posterior mean, the encoder frozen: sharpens D without moving the latents."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv = vae.decoder, vae.post_quant_conv

    def forward(self, latents: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return reconstruction_loss(self.decoder(self.post_quant_conv(latents)).float(), images)


def train(
    corpus: str | Path, out: str | Path, *, minutes: float, batch_size: int = 8, peak: float = 1.5e-3, seed: int = 0
) -> tuple[Any, dict[str, float]]:
    """Train an `AutoencoderKL`, then make each latent channel zero-mean and unit-variance.  Returns (vae, log)."""
    from diffusers import AutoencoderKL

    x, _ = data.load(corpus, "train")
    torch.manual_seed(seed)
    vae = AutoencoderKL(**CONFIG)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor]:
        picked = x[torch.randint(len(x), (batch_size,), generator=generator)]
        return (2 * data.shift_and_scale(picked, generator) - 1,)

    log = loop.fit(Loss(vae), batch, out, minutes=minutes, peak=peak, seed=seed)
    standardise(vae, x)
    return vae, log


def train_decoder(
    vae: Any, corpus: str | Path, out: str | Path, *, minutes: float, batch_size: int = 8, peak: float = 1e-3, seed: int = 1
) -> tuple[Any, dict[str, float]]:
    """Go on with the decoder alone, on the posterior means of a frozen encoder, of images as sharp as they are.  Returns (vae, log)."""
    x, _ = data.load(corpus, "train")
    vae.requires_grad_(False)
    loss = DecoderLoss(vae).requires_grad_(True)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        picked = x[torch.randint(len(x), (batch_size,), generator=generator)]
        images = 2 * data.shift(picked, generator) - 1
        with torch.no_grad():
            return vae.encode(images.to(vae.device)).latent_dist.mode(), images

    log = loop.fit(loss, batch, out, minutes=minutes, peak=peak, seed=seed)
    return vae, log


@torch.no_grad()
def standardise(vae: Any, x: torch.Tensor) -> None:
    """Fold an affine map per latent channel into the two quant convolutions, so that E(x) has mean 0 and deviation 1 in each.

    z ← (z − m) / s after `quant_conv`, and back before `post_quant_conv`; D(E(x)) is unchanged.
    """
    z = torch.cat([vae.encode(2 * part.to(vae.device) - 1).latent_dist.mode() for part in x.split(64)])
    mean, deviation = z.mean((0, 2, 3)), z.std((0, 2, 3))
    channels = len(mean)
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:channels] /= deviation[:, None, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
    quant.bias[channels:] -= 2 * deviation.log()
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= deviation[None, :, None, None]


@torch.no_grad()
def evaluate(vae: Any, x: torch.Tensor) -> dict[str, Any]:
    """{"psnr": mean over images in dB, "latent_mean": [per channel], "latent_std": [per channel]} of images in [0, 1]."""
    latents = torch.cat([vae.encode(2 * part.to(vae.device) - 1).latent_dist.mode() for part in x.split(64)])
    x_hat = torch.cat([vae.decode(part).sample for part in latents.split(64)]).cpu() / 2 + 0.5
    mse = (x_hat.clamp(0, 1) - x).square().mean((1, 2, 3))
    return {
        "psnr": (-10 * mse.log10()).mean().item(),
        "latent_mean": latents.mean((0, 2, 3)).tolist(),
        "latent_std": latents.std((0, 2, 3)).tolist(),
    }
