"""A prior from its files: the bundled one, or any Stable Diffusion folder or hub model that the user names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .. import checks, files
from .latent_diffusion import LatentDiffusion

CLIP_OF_STABLE_DIFFUSION = "openai/clip-vit-large-patch14"
RECOMMENDED = "recommended.json"
"""In a prior's folder: {solver: {setting: value}}, what suits this prior."""


def load_prior(
    name: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    clip: str | Path | None = None,
) -> LatentDiffusion:
    """The bundled prior, or any Stable Diffusion folder or hub model, named by the user.

    name: None for `data/prior`; a folder; or a hub name such as "stable-diffusion-v1-5/stable-diffusion-v1-5" (downloaded once).
    dtype: torch.float32, or on a GPU torch.bfloat16 or torch.float16.
    clip: the CLIP whose text tower the model uses, a folder or hub name; None means `clip/` inside the folder if there is one, and
    otherwise CLIP ViT-L/14, which Stable Diffusion 1.x uses.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from diffusers.utils import is_accelerate_available
    from transformers import AutoModel, CLIPTextModel, CLIPTokenizer

    source = _source(name)
    folder = Path(source)
    # Without accelerate, which training alone needs, diffusers would warn that it cannot save memory while it reads the weights.
    settings = {"torch_dtype": dtype, "use_safetensors": True, "low_cpu_mem_usage": is_accelerate_available()}
    if clip is None:
        clip = str(folder / "clip") if (folder / "clip").is_dir() else CLIP_OF_STABLE_DIFFUSION
    preprocessing = _preprocessing(clip)
    recommended = folder / RECOMMENDED
    channels_last = torch.channels_last  # convolutional image towers take half the time on a CPU
    with without_bars():
        return LatentDiffusion(
            AutoencoderKL.from_pretrained(source, subfolder="vae", **settings).to(device),
            UNet2DConditionModel.from_pretrained(source, subfolder="unet", **settings).to(device),
            CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
            CLIPTextModel.from_pretrained(source, subfolder="text_encoder", dtype=dtype, use_safetensors=True).to(device),
            DDIMScheduler.from_pretrained(source, subfolder="scheduler"),
            AutoModel.from_pretrained(clip, dtype=dtype, use_safetensors=True, trust_remote_code=False).to(
                device, memory_format=channels_last
            ),
            preprocessing["image_mean"],
            preprocessing["image_std"],
            files.read_json(recommended, "name") if recommended.is_file() else None,
        )


def training_size(name: str | Path | None = None) -> tuple[int, int]:
    """(H, W) of the images that a prior was trained on, read from its configuration alone.  name: as in `load_prior`."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    source = _source(name)
    unet, vae = (network.load_config(source, subfolder=part) for network, part in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")))
    h, w = checks.sides("sample_size", unet["sample_size"])
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    return factor * h, factor * w


@contextmanager
def without_bars() -> Iterator[None]:
    """Load weights without the libraries' progress bars; a download keeps its own."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [library for library in (of_diffusers, of_transformers) if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def _source(name: str | Path | None) -> str:
    """A folder, or the name of a model that the hub has."""
    folder = files.data_folder() / "prior" if name is None else Path(name)
    if name is None and not folder.is_dir():
        checks.fail(
            "name", f"None, and no bundled prior at {str(folder)!r}", "a whole installation, or a prior's name", checks.MissingFileError
        )
    return str(folder) if folder.is_dir() else _on_the_hub(str(name))


def _on_the_hub(name: str) -> str:
    from huggingface_hub import hf_hub_download

    try:
        if "/" not in name:
            raise ValueError("a name on the hub is owner/model")
        hf_hub_download(name, "model_index.json")
    except (OSError, ValueError) as error:
        came = f"{name!r}, which is no folder here and no diffusers model that was downloaded before or can be reached on the hub"
        expected = "None for the bundled prior, a folder, or a name such as 'stable-diffusion-v1-5/stable-diffusion-v1-5'"
        raise checks.MissingFileError(f"name: got {came}, expected {expected}") from error
    return name


def _preprocessing(clip: str | Path) -> dict:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    local = Path(clip) / "preprocessor_config.json"
    try:
        return files.read_json(local if local.is_file() else hf_hub_download(str(clip), local.name), "clip")
    except (OSError, HFValidationError) as error:
        came = f"{str(clip)!r}, where no {local.name} is or can be fetched"
        expected = (
            "a CLIP that was downloaded before or can be reached on the hub, such as 'openai/clip-vit-large-patch14', or a folder with one"
        )
        raise checks.MissingFileError(f"clip: got {came}, expected {expected}") from error
