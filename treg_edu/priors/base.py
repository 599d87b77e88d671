"""What every prior shares: words, CLIP's shared space, the schedule, and the network that predicts noise."""

import copy
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from .. import checks

__all__ = ["DiffusionPrior", "Recommended", "as_list", "latent_sides", "resized"]


class Recommended(dict[str, dict[str, Any]]):
    """{solver: its settings}; a solver that nothing is recommended for has none, and asking adds no entry."""

    def __missing__(self, solver: str) -> dict[str, Any]:
        return {}


class DiffusionPrior(ABC):
    """A text-conditional diffusion model and the CLIP whose text tower it uses, on one device.  A subclass gives `encode` and `decode`.

    Images x: (B, 3, H, W) in [0, 1].  Latents z: (B, k, h, w), what the network denoises; k is `channels`, H / h and W / w are `factor`.
    Embeddings c: (B, L, d), the hidden states of the text tower.  Features: (B, p), in CLIP's shared space, not normalised.
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
    ) -> None:
        """clip: None where no image and no label is to be embedded; adaptive negation needs it."""
        self.unet, self.tokenizer, self.text_encoder = unet, tokenizer, text_encoder
        self.scheduler, self.clip = as_in_the_pipeline(scheduler), clip
        self.image_mean, self.image_std = image_mean, image_std
        self.recommended = Recommended(recommended or {})
        predicts = scheduler.config.prediction_type
        checks.expect(
            predicts in ("epsilon", "v_prediction"), "scheduler", f"one that predicts {predicts!r}", "'epsilon' or 'v_prediction'"
        )
        informed = scheduler.alphas_cumprod.min() > 0
        checks.expect(informed, "scheduler", "ᾱ that falls to 0 (rescale_betas_zero_snr)", "above 0: no estimate of z₀ is left there")
        self._warn_of_thresholds()
        came = unet.config.in_channels
        checks.expect(came == self.channels, "unet", f"{came} channels", f"the {self.channels} of the latents")
        came, expected = unet.config.cross_attention_dim, text_encoder.config.hidden_size
        checks.expect(came == expected, "unet", f"text states of width {came}", f"{expected}, that of its one text encoder")
        distilled = unet.config.get("time_cond_proj_dim") is not None
        checks.expect(not distilled, "unet", "one that takes ω as an input (time_cond_proj_dim)", "one that is guided by two texts")
        both = clip is None or hasattr(clip.config, "vision_config")
        checks.expect(both, "clip", f"a {type(clip).__name__}", "a CLIP with an image tower and a text tower")
        for network in (unet, text_encoder, clip):
            if network is not None:
                network.requires_grad_(False).eval()

    def _warn_of_thresholds(self) -> None:
        """Thresholds are for pixels; a latent is larger than 1 in many places."""
        if self.scheduler.config.get("thresholding"):
            warnings.warn(
                "scheduler: its thresholding would clip the estimate of z₀ in diffusers' pipeline; the solvers here do not, so that "
                "pictures differ from the pipeline's",
                stacklevel=4,
            )

    @property
    def device(self) -> torch.device:
        """Where the networks are, and where everything that they take has to be."""
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the networks."""
        return self.unet.dtype

    # ---- images ↔ latents

    @property
    @abstractmethod
    def channels(self) -> int:
        """k, of the latents."""

    @property
    @abstractmethod
    def factor(self) -> int:
        """How many pixels of the image one side of a latent stands for."""

    @abstractmethod
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """E(x).  (B, 3, H, W) in [0, 1] → (B, k, h, w)."""

    @abstractmethod
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """D(z).  (B, k, h, w) → (B, 3, H, W), not clamped, so that gradients and linear operators see all of it."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the images that the prior was trained on."""
        h, w = latent_sides("sample_size", self.unet.config)
        return self.factor * h, self.factor * w

    def latent_shape(self, size: int | tuple[int, int] | None = None) -> tuple[int, int, int]:
        """(k, h, w) for images of `size`, a side or (H, W); the training size if None."""
        height, width = self.size if size is None else checks.sides("size", size)
        fits = height % self.factor == width % self.factor == 0
        checks.expect(fits, "size", f"{height}×{width}", f"multiples of {self.factor}, the factor of this prior's latents")
        return self.channels, height // self.factor, width // self.factor

    # ---- words

    def embed_text(self, texts: str | Iterable[str]) -> torch.Tensor:
        """c: hidden states of the text tower for B strings, (B, L, d); one string is a list of one.

        Warns of what a text loses at the tokenizer's length.
        """
        tokens = self._tokens(texts, padding="max_length")
        return self.text_encoder(tokens).last_hidden_state

    def _tokens(self, texts: str | Iterable[str], padding: bool | str) -> torch.Tensor:
        texts = as_list(texts)
        limit = self.tokenizer.model_max_length
        whole = self.tokenizer(texts, verbose=False).input_ids
        for text, tokens in zip(texts, whole):
            if len(tokens) > limit:
                lost = self.tokenizer.decode(tokens[limit - 1 : -1])
                warnings.warn(f"prompt: {len(tokens)} tokens, the prior takes {limit}; cut from {text!r}: {lost!r}", stacklevel=4)
        cut = self.tokenizer(texts, padding=padding, truncation=True, max_length=limit)
        return torch.tensor(cut.input_ids, device=self.device)

    # ---- CLIP's shared space

    def shared_space(self) -> Any:
        """The CLIP; ArgumentError where the prior has none."""
        checks.expect(self.clip is not None, "clip", "None", "the CLIP whose text tower the prior uses: this needs its features")
        return self.clip

    def embed_images(self, x: torch.Tensor) -> torch.Tensor:
        """Image features of x, (B, 3, H, W) in [0, 1] → (B, p)."""
        clip = self.shared_space()
        x = resized(x.to(self.device), clip.config.vision_config.image_size).to(self.dtype)
        mean, std = (x.new_tensor(value)[:, None, None] for value in (self.image_mean, self.image_std))
        pooled = clip.vision_model(pixel_values=(x - mean) / std).pooler_output.flatten(1)  # some convolutional towers leave (B, d, 1, 1)
        return clip.visual_projection(pooled)

    def embed_labels(self, texts: str | Iterable[str]) -> torch.Tensor:
        """Text features of B strings, (B, p); one string is a list of one."""
        clip = self.shared_space()
        return clip.text_projection(clip.text_model(input_ids=self._tokens(texts, padding=True)).pooler_output)

    def to_hidden_space(self, feature: torch.Tensor) -> torch.Tensor:
        """Pull an image feature back through the text projection P, so that ⟨Pᵀ f, c⟩ = ⟨f, P c⟩ for a hidden state c.

        (B, p) → (B, d).  f is normalised first.
        """
        return F.normalize(feature, dim=-1) @ self.shared_space().text_projection.weight

    # ---- diffusion

    def timesteps(self, steps: int) -> list[tuple[int, int]]:
        """[(t, t_prev), …], noise falling, as the scheduler spaces them; the last t_prev is −1, the clean latent."""
        most = self.scheduler.config.num_train_timesteps
        most = self.scheduler.config.get("original_inference_steps", most)  # of an LCM, which knows no others
        steps = checks.integer("steps", steps, 1, most)
        scheduler = copy.copy(self.scheduler)  # set_timesteps changes it, and a panel's thread may be walking another list
        scheduler.set_timesteps(steps)
        ts = scheduler.timesteps.tolist()[:steps]  # for some counts "trailing" spacing is one too long, by rounding
        past = max(0, ts[0] - (len(self.scheduler.alphas_cumprod) - 1))  # of as many steps as timesteps, whose offset finds no room
        ts = [t - past for t in ts]
        return list(zip(ts, [*ts[1:], -1], strict=True))

    def alpha_bar(self, t: int) -> torch.Tensor:
        """ᾱ_t, a scalar tensor; for t = −1 the value the scheduler gives the clean latent.

        In float32 at least: 1 − ᾱ_t of the lowest noise levels is 0 in bfloat16.
        As a scalar tensor it does not change the dtype of what it multiplies.
        """
        t = checks.integer("t", t, -1, len(self.scheduler.alphas_cumprod) - 1)
        value = self.scheduler.alphas_cumprod[t] if t >= 0 else self.scheduler.final_alpha_cumprod
        return value.to(self.device, torch.promote_types(self.dtype, torch.float32))

    def predict_noise(self, z_t: torch.Tensor, t: int, text_embedding: torch.Tensor) -> torch.Tensor:
        """ε_θ(z_t, t, c), (B, k, h, w).  A network trained for v = √ᾱ ε − √(1 − ᾱ) z₀ (Salimans & Ho 2022) is converted:

        ε = √ᾱ v + √(1 − ᾱ) z_t
        """
        t = checks.integer("t", t, 0, len(self.scheduler.alphas_cumprod) - 1)
        return self._predict_noise(z_t.to(self.device, self.dtype), t, self.alpha_bar(t), text_embedding.to(self.device, self.dtype))

    def _predict_noise(
        self, z_t: torch.Tensor, t: int | torch.Tensor, alpha_bar: torch.Tensor, text_embedding: torch.Tensor
    ) -> torch.Tensor:
        """The same at any level, each sample at its own: t (B,), real, and alpha_bar (B, 1, 1, 1); or one for all."""
        output = self.unet(z_t, t, encoder_hidden_states=text_embedding).sample
        if self.scheduler.config.prediction_type == "epsilon":
            return output
        return alpha_bar.sqrt() * output + (1 - alpha_bar).sqrt() * z_t


def as_in_the_pipeline(scheduler: Any) -> Any:
    """The scheduler with what diffusers' `StableDiffusionPipeline` corrects: an offset that is not 1, and clipping, which is for pixels."""
    corrected = {"steps_offset": 1, "clip_sample": False}
    if all(scheduler.config.get(name, value) == value for name, value in corrected.items()):
        return scheduler
    return type(scheduler).from_config(scheduler.config, **corrected)


def latent_sides(name: str, config: Any) -> tuple[int, int]:
    """(h, w) of the latents that a U-Net was trained on, from its configuration.  name: for the error.

    A side below 64 in a file of diffusers before 0.9 is a known mistake for 64, as the pipeline takes it.
    """
    sides = config.get("sample_size")
    release = re.match(r"(\d+)\.(\d+)", str(config.get("_diffusers_version")))
    old = release is not None and tuple(map(int, release.groups())) < (0, 9)
    return checks.sides(name, 64 if old and isinstance(sides, int) and sides < 64 else sides)


def resized(x: torch.Tensor, size: int | tuple[int, int]) -> torch.Tensor:
    """x as a CLIP sees it: (B, 3, *size) in [0, 1], by antialiased bicubic interpolation in float32 at least, as bfloat16 has none.

    size: a side or (H, W).
    """
    x, sides = x.to(torch.promote_types(x.dtype, torch.float32)), checks.sides("image_size", size)
    if tuple(x.shape[-2:]) != sides:
        x = F.interpolate(x, sides, mode="bicubic", antialias=True, align_corners=False)
    return x.clamp(0, 1)


def as_list(texts: str | Iterable[str]) -> list[str]:
    """One string is a list of one; no text at all is an error."""
    many = [texts] if isinstance(texts, str) else list(texts)
    checks.expect(many, "texts", "none", "a string or a list of at least one")
    return checks.strings("texts", many, len(many))
