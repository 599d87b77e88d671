"""The pixel-space sister of the denoiser: a `UNet2DConditionModel` on rearranged pixels, with the same cached text states."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import checks
from ..priors.model_files import weights
from ..priors.pixel_diffusion import to_patches
from . import data, loop, unet
from .clip import WIDTH

__all__ = ["PATCH_SIZE", "SCHEDULE", "new_unet", "take_fitting", "train"]

PATCH_SIZE = 4
CONFIG = dict(
    sample_size=16,
    in_channels=3 * PATCH_SIZE**2,
    out_channels=3 * PATCH_SIZE**2,
    block_out_channels=(128, 128, 128),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    attention_head_dim=4,  # diffusers' name for the number of heads
    cross_attention_dim=WIDTH,
)
SCHEDULE: dict[str, Any] = unet.SCHEDULE | dict(beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
"""That of Ho et al. 2020, for pixels: it begins at a deviation of 0.01 (Stable Diffusion's: 0.03), as a denoiser needs, and ends at
√ᾱ = 0.006, so that even the mean of a picture, mostly white paper, is hidden: of 12 288 numbers the noise's mean deviates by 0.009."""
MOVED = 2  # pixels that a picture is moved by at most, in whole ones


def new_unet() -> Any:
    """A network with random weights."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**CONFIG)


@torch.no_grad()
def take_fitting(model: Any, theirs: Any) -> float:
    """Give a network those weights of another that have the same name and shape.  Returns their share of its parameters."""
    state, other = model.state_dict(), theirs.state_dict()
    fitting = {name: other[name] for name, value in state.items() if name in other and other[name].shape == value.shape}
    model.load_state_dict(state | fitting)
    return sum(value.numel() for value in fitting.values()) / sum(value.numel() for value in state.values())


def train(
    text_encoder: Any,
    tokenizer: Any,
    corpus: str | Path,
    out: str | Path,
    *,
    minutes: float,
    start: str | Path | None = None,
    phrases: Mapping[str, Sequence[str]] | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> tuple[Any, Any, dict[str, float]]:
    """Train the U-Net on the pictures and captions of the training split.  Returns (unet, scheduler, log).

    start: a folder with a U-Net, of pixels or of latents, to begin from as far as its weights fit: the log says in "taken" what share of
    all did; random weights if None.
    phrases: as in `unet.cache_captions`.
    """
    from diffusers import DDIMScheduler, UNet2DConditionModel

    x, frame = data.load(corpus, "train")
    captions = unet.remembered_captions(text_encoder, tokenizer, frame, out, phrases)
    scheduler = DDIMScheduler(**SCHEDULE)
    torch.manual_seed(seed)
    model, taken = new_unet(), 0.0
    if start:
        taken = take_fitting(model, weights(UNet2DConditionModel, "start", start, torch_dtype=torch.float32))
        checks.expect(taken > 0, "start", f"{str(start)!r}, of which no weight fits", "a U-Net of the same shape, at least in parts")
    unet.plain_attention(model)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        image = torch.randint(len(x), (batch_size,), generator=generator)
        z0 = to_patches(data.shift(x[image], generator, MOVED), PATCH_SIZE)
        return z0, *unet.noise_and_text(z0, captions, image, generator)

    peak = 2e-4 if taken == 1 else 5e-4  # a network that goes on needs less than one of which parts are new
    log = loop.fit(unet.Loss(model, scheduler.alphas_cumprod), batch, out, minutes=minutes, peak=peak, decay=0.9995, seed=seed)
    return model, scheduler, log | {"taken": taken}
