"""The prior's sister in pixel space: the same kind of network on rearranged pixels, which is a denoiser of images as well."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from .. import checks
from .base import DiffusionPrior

__all__ = ["PixelDiffusion", "from_patches", "to_patches"]


def to_patches(x: torch.Tensor, patch_size: int) -> torch.Tensor:
    """P(2x − 1): images (B, 3, H, W) in [0, 1] to (B, 3p², H/p, W/p) in [−1, 1].

    P is `pixel_unshuffle` (Shi et al. 2016): each patch of p×p pixels becomes one place with 3p² channels.
    """
    return F.pixel_unshuffle(2 * x - 1, patch_size)


def from_patches(z: torch.Tensor, patch_size: int) -> torch.Tensor:
    """(Pᵀ z + 1) / 2, the inverse of `to_patches`: (B, 3p², h, w) to (B, 3, ph, pw)."""
    return F.pixel_shuffle(z, patch_size) / 2 + 0.5


class PixelDiffusion(DiffusionPrior):
    """A diffusion model of pixels with the interface of `LatentDiffusion`, whose encoder and decoder are exact.

        E(x) = P (2x − 1),   D(z) = (Pᵀ z + 1) / 2,   P = pixel_unshuffle, a permutation: Pᵀ P = P Pᵀ = I

    D(E(x)) = x and E(D(z)) = z, up to rounding.  Both maps are affine, and their linear parts are orthogonal up to the scale 2 between
    [0, 1] and [−1, 1]: ‖E(x) − E(x')‖ = 2 ‖x − x'‖, J_E = 2P, J_D = ½Pᵀ = ¼J_Eᵀ.  So the pixels of an image and the entries of its latent
    are the same numbers, noise of deviation σ in x is noise of 2σ in z, and a gradient of D is a gradient of pixels, halved.

    Images x: (B, 3, H, W) in [0, 1].  Latents z: (B, 3p², H/p, W/p), in [−1, 1] for an image.  p: `patch_size`.
    """

    def __init__(
        self,
        unet: Any,
        tokenizer: Any,
        text_encoder: Any,
        scheduler: Any,
        clip: Any,
        image_mean: Sequence[float] | None,
        image_std: Sequence[float] | None,
        recommended: dict[str, dict[str, Any]] | None = None,
        patch_size: int = 4,
    ) -> None:
        self.patch_size = checks.integer("patch_size", patch_size)
        super().__init__(unet, tokenizer, text_encoder, scheduler, clip, image_mean, image_std, recommended)

    @property
    def channels(self) -> int:
        """3p², of the latents."""
        return 3 * self.patch_size**2

    @property
    def factor(self) -> int:
        """How many pixels of the image one side of a latent stands for: p."""
        return self.patch_size

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """E(x) = P (2x − 1).  (B, 3, H, W) in [0, 1] → (B, 3p², H/p, W/p)."""
        return to_patches(x.to(self.device, self.dtype), self.patch_size)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """D(z) = (Pᵀ z + 1) / 2.  (B, 3p², h, w) → (B, 3, H, W), not clamped."""
        return from_patches(z.to(self.device, self.dtype), self.patch_size)

    # ---- the denoiser

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor, prompt: str | Sequence[str] | torch.Tensor = "") -> torch.Tensor:
        """The posterior mean x̂ = E[x₀ | x] of a clean image x₀ given x = x₀ + σ n,  n ~ N(0, I).

        In the latent, z = E(x) = z₀ + s ε with s = 2σ and ε = P n ~ N(0, I).  Scaled by √ᾱ it is a variable of the forward process,
            z_t = √ᾱ z = √ᾱ z₀ + √(1 − ᾱ) ε   if   √(1 − ᾱ) / √ᾱ = s,   that is   ᾱ = 1 / (1 + 4σ²),
        so that Tweedie's formula gives the posterior mean of z₀,
            ẑ₀ = (z_t − √(1 − ᾱ) ε̂) / √ᾱ = z − 2σ ε̂(z_t, t),   and   x̂ = D(ẑ₀) = x − σ Pᵀ ε̂.
        The timestep whose noise level is s is found by linear interpolation of t in log s between those of the schedule, and is a real
        number, as the network's embedding of t takes any.  Below the lowest level t is 0, and x̂ → x as σ → 0.

        x: (B, 3, H, W), noisy, so not bounded.  sigma: in units of [0, 1] images, one number or a tensor of B, from 0 to half of the
        highest level.  prompt: one string or a list of B; the empty text stands for all images; or c, as `embed_text` gives for B strings.
        Returns (B, 3, H, W), not clamped.
        """
        checks.tensor("x", x, "(B, 3, H, W)", dimensions=(4,))
        checks.expect(x.shape[1] == 3, "x", f"shape {tuple(x.shape)}", "(B, 3, H, W)")
        self.latent_shape((x.shape[2], x.shape[3]))
        wide = torch.promote_types(self.dtype, torch.float32)
        levels = 2 * self._sigmas(sigma, len(x)).to(self.device, wide)
        alpha_bar = (1 / (1 + levels.square()))[:, None, None, None]
        z_t = alpha_bar.sqrt() * to_patches(x.to(self.device, wide), self.patch_size)
        text = prompt if isinstance(prompt, torch.Tensor) else self._embeddings(checks.strings("prompt", prompt, len(x)))
        noise = self._predict_noise(z_t.to(self.dtype), self.timestep_of(levels), alpha_bar, text)
        away = levels[:, None, None, None] / 2 * F.pixel_shuffle(noise.to(wide), self.patch_size)
        return (x.to(self.device, wide) - away).to(x.dtype)

    def _embeddings(self, prompts: list[str]) -> torch.Tensor:
        """`embed_text`, each text once."""
        distinct = list(dict.fromkeys(prompts))
        return self.embed_text(distinct)[[distinct.index(each) for each in prompts]]

    def forward(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """`denoise` under the name and with the arguments of `deepinv.models.Denoiser`."""
        return self.denoise(x, sigma)

    __call__ = forward

    @property
    def highest_sigma(self) -> float:
        """½ √((1 − ᾱ_T) / ᾱ_T): the largest σ, in units of [0, 1] images, that the network was trained for."""
        last = self.scheduler.alphas_cumprod[-1]
        return ((1 - last) / last).sqrt().item() / 2

    def timestep_of(self, levels: torch.Tensor) -> torch.Tensor:
        """t, real, with √(1 − ᾱ_t) / √ᾱ_t = `levels`, by linear interpolation in the logarithm; at least 0.  (B,) → (B,)."""
        alphas = self.scheduler.alphas_cumprod.to(levels)
        known = ((1 - alphas) / alphas).log() / 2  # rises with t
        wanted = levels.log().clamp(known[0], known[-1])
        above = torch.searchsorted(known, wanted).clamp(1, len(known) - 1)
        low, high = known[above - 1], known[above]
        return above - 1 + (wanted - low) / (high - low)

    def _sigmas(self, sigma: float | torch.Tensor, batch: int) -> torch.Tensor:
        """(B,) deviations, checked, of a number, a tensor of one number, or B numbers in any shape."""
        most = self.highest_sigma
        if not isinstance(sigma, torch.Tensor) or sigma.numel() == 1:
            sigma = checks.number("sigma", sigma.reshape(()) if isinstance(sigma, torch.Tensor) else sigma, least=0, most=most)
            return torch.full((batch,), float(sigma), dtype=torch.float64, device="cpu")
        fits = sigma.numel() == batch and sigma.is_floating_point()
        checks.expect(fits, "sigma", f"shape {tuple(sigma.shape)}, {sigma.dtype}", f"one number, or {batch} of floating point")
        flat = sigma.detach().flatten().cpu().double()  # MPS has no float64
        low, high = flat.min().item(), flat.max().item()
        checks.expect(low >= 0 and high <= most, "sigma", f"values from {low:.4g} to {high:.4g}", f"finite ones from 0 to {most:.4g}")
        return flat
