"""The prior: a text-conditional latent diffusion model, and everything a solver may ask of it."""

from collections.abc import Sequence
from typing import Any

import torch

from .. import checks
from .base import DiffusionPrior

__all__ = ["LatentDiffusion"]


class LatentDiffusion(DiffusionPrior):
    """A diffusers Stable Diffusion folder and the CLIP whose text tower it uses, on one device.

    Images x: (B, 3, H, W) in [0, 1].  Latents z: (B, 4, h, w), scaled to about unit variance.  Embeddings c: (B, L, d), the hidden
    states of the text tower.  Features: (B, p), in CLIP's shared space, not normalised.
    The autoencoder may be more precise than the U-Net: one that overflows in float16 runs in float32, its latents and images are float32.
    """

    def __init__(
        self,
        vae: Any,
        unet: Any,
        tokenizer: Any,
        text_encoder: Any,
        scheduler: Any,
        clip: Any,
        image_mean: Sequence[float] | None,
        image_std: Sequence[float] | None,
        recommended: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        shift = vae.config.get("shift_factor")
        checks.expect(not shift, "vae", f"one with shift_factor {shift}", "one whose latents are scaled alone")
        self.vae = vae.requires_grad_(False).eval()
        super().__init__(unet, tokenizer, text_encoder, scheduler, clip, image_mean, image_std, recommended)

    @property
    def channels(self) -> int:
        """Of the latents: 4 for Stable Diffusion."""
        return self.vae.config.latent_channels

    @property
    def factor(self) -> int:
        """How many pixels of the image one side of a latent stands for."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """E(x): the posterior mean, scaled      (Rombach et al. 2022).  (B, 3, H, W) in [0, 1] → (B, 4, h, w)."""
        return self.vae.encode(2 * x.to(self.device, self.vae.dtype) - 1).latent_dist.mode() * self.vae.config.scaling_factor

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """D(z)      (Rombach et al. 2022).  (B, 4, h, w) → (B, 3, H, W).

        Not clamped, so that gradients and linear operators see all of it.
        """
        return self.vae.decode(z.to(self.device, self.vae.dtype) / self.vae.config.scaling_factor).sample / 2 + 0.5
