"""A prior from its files: the bundled one, or any Stable Diffusion folder or hub model that the user names."""

import math
from pathlib import Path
from typing import Any, Literal, overload

import torch

from .. import checks, files
from .base import DiffusionPrior, latent_sides
from .latent_diffusion import LatentDiffusion
from .model_files import check_files, fitting_tokenizer, readable, weights, without_reports
from .pixel_diffusion import PixelDiffusion
from .schedulers import scheduler_of

__all__ = ["PATCH_SIZE", "PIXEL", "RECOMMENDED", "clip_of", "load_clip", "load_prior", "training_size"]

CLIP_OF_STABLE_DIFFUSION = "openai/clip-vit-large-patch14"
RECOMMENDED = "recommended.json"
"""In a prior's folder: {solver: {setting: value}}, what suits this prior."""
PIXEL, PATCH_SIZE = "pixel", "patch_size"
"""The name of the bundled pixel-space prior, and the entry of its model_index.json that a latent prior has not."""


@overload
def load_prior(
    name: None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    clip: str | Path | None = None,
    variant: str | None = None,
) -> LatentDiffusion: ...


@overload
def load_prior(
    name: Literal["pixel"],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    clip: str | Path | None = None,
    variant: str | None = None,
) -> PixelDiffusion: ...


@overload
def load_prior(
    name: str | Path | None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    clip: str | Path | None = None,
    variant: str | None = None,
) -> DiffusionPrior: ...


def load_prior(
    name: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    clip: str | Path | None = None,
    variant: str | None = None,
) -> DiffusionPrior:
    """A bundled prior, or any Stable Diffusion folder or hub model, named by the user.

    name: None for `data/prior`; "pixel" for `data/pixel`; a folder; or a hub name such as "stable-diffusion-v1-5/stable-diffusion-v1-5"
    (downloaded once).  A folder whose model_index.json has a `patch_size` is a `PixelDiffusion`, every other one a `LatentDiffusion`.
    dtype: torch.float32, or on a GPU torch.bfloat16 or torch.float16.
    clip: the CLIP whose text tower the model uses, a folder or hub name; None means `clip/` inside the folder if there is one, and
    otherwise that of `data/prior` for a pixel prior, CLIP ViT-L/14, which Stable Diffusion 1.x uses, for a latent one.
    variant: "fp16" for a hub model's files of that name.  A local folder that has nothing else is read without being told.
    A safety checker is not loaded.  Weights that are there as pickles alone are refused.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from diffusers.utils import is_accelerate_available
    from transformers import CLIPTextModel, CLIPTokenizer

    source = _source(name)
    folder = Path(source)
    check_files("name", folder)  # model_index.json; the parts are looked at as they are loaded
    patch_size = _patch_size(folder)
    recommended = _recommended(folder / RECOMMENDED)
    clip_model, image_mean, image_std = load_clip(clip_of(folder, patch_size) if clip is None else clip, dtype)
    # Without accelerate, which training alone needs, diffusers would warn that it cannot save memory while it reads the weights.
    of_diffusers: dict[str, Any] = {"variant": variant, "torch_dtype": dtype, "low_cpu_mem_usage": is_accelerate_available()}
    of_transformers: dict[str, Any] = {"variant": variant, "dtype": dtype, "ignore_mismatched_sizes": True}  # `weights` tells them
    with without_reports():
        vae = None if patch_size else weights(AutoencoderKL, "name", source, "vae", **of_diffusers)
        unet = weights(UNet2DConditionModel, "name", source, "unet", **of_diffusers)
        text_encoder = weights(CLIPTextModel, "name", source, "text_encoder", **of_transformers)
        with readable("name", folder / "tokenizer"):
            tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer")
        with readable("name", folder / "scheduler"):
            scheduler = scheduler_of(DDIMScheduler.load_config(source, subfolder="scheduler"))
    fitting_tokenizer("name", tokenizer, text_encoder.config)
    parts: dict[str, Any] = dict(
        unet=unet.to(device),
        tokenizer=tokenizer,
        text_encoder=text_encoder.to(device),
        scheduler=scheduler,
        clip=clip_model.to(device),
        image_mean=image_mean,
        image_std=image_std,
        recommended=recommended,
    )
    if patch_size:
        return tried(PixelDiffusion(**parts, patch_size=patch_size), folder)
    assert vae is not None
    checks.number("name: scaling_factor in vae/config.json", vae.config.scaling_factor, above=0)
    return tried(LatentDiffusion(vae.to(device), **parts), folder)


def load_clip(clip: str | Path, dtype: torch.dtype) -> tuple[Any, list[float], list[float]]:
    """(a CLIP, the mean and the deviation of the pixels that it takes) from a folder or hub name, on the CPU."""
    from transformers import AutoModel

    preprocessing = _preprocessing(clip)
    with without_reports():
        model = weights(AutoModel, "clip", clip, trust_remote_code=False, dtype=dtype, ignore_mismatched_sizes=True)
    model = model.to(memory_format=torch.channels_last)  # convolutional image towers take half the time on a CPU
    return model, preprocessing["image_mean"], preprocessing["image_std"]


@torch.no_grad()
def tried(prior: Any, folder: Path) -> Any:
    """The prior, after each of its networks has run once on the smallest input: parts that do not fit are told now, not in a solver."""
    try:
        side = 2 ** (len(prior.unet.config.block_out_channels) - 1)
        x = prior.decode(torch.zeros(1, prior.channels, side, side, device=prior.device, dtype=prior.dtype))
        prior.predict_noise(prior.encode(x), 0, prior.embed_text(""))
        prior.to_hidden_space(prior.embed_images(x))
    except (RuntimeError, TypeError, IndexError) as error:  # torch's about shapes; a KeyError or an AttributeError is a bug of ours
        if "can't allocate memory" in str(error) or type(error).__name__ == "OutOfMemoryError":
            raise
        reason = " ".join(str(error).split())[:300]
        checks.fail("name", f"{str(folder)!r}, whose parts do not fit each other ({reason})", "a complete model")
    return prior


def training_size(name: str | Path | None = None) -> tuple[int, int]:
    """(H, W) of the images that a prior was trained on, read from its configuration alone.  name: as in `load_prior`."""
    from diffusers import UNet2DConditionModel

    source = _source(name)
    with readable("name", Path(source) / "unet"):
        unet = UNet2DConditionModel.load_config(source, subfolder="unet")
    factor = _patch_size(Path(source)) or _factor(source)
    h, w = latent_sides("name: sample_size in unet/config.json", unet)
    return factor * h, factor * w


def _factor(source: str) -> int:
    """How many pixels one side of a latent stands for, from the autoencoder's configuration."""
    from diffusers import AutoencoderKL

    with readable("name", Path(source) / "vae"):
        vae = AutoencoderKL.load_config(source, subfolder="vae")
    widths = vae.get("block_out_channels", [64])
    checks.expect(isinstance(widths, list), "name: block_out_channels in vae/config.json", repr(widths), "a list of widths")
    return 2 ** (len(widths) - 1)


def _patch_size(folder: Path) -> int | None:
    """p of a folder with a pixel-space prior, None of any other."""
    index = folder / "model_index.json"
    settings = files.read_json(index, "name") if index.is_file() else {}
    return checks.integer(f"name: {PATCH_SIZE} in model_index.json", settings[PATCH_SIZE]) if PATCH_SIZE in settings else None


def clip_of(folder: Path, patch_size: int | None = None) -> str:
    """Where the CLIP of a prior is that brings none of its own."""
    if (folder / "clip").is_dir():
        return str(folder / "clip")
    return str(files.data_folder() / "prior" / "clip") if patch_size else CLIP_OF_STABLE_DIFFUSION


def _source(name: str | Path | None) -> str:
    """A folder, or the name of a model that the hub has."""
    if name is None or name == PIXEL:
        return str(_bundled(name))
    return str(Path(name)) if Path(name).is_dir() else _on_the_hub(str(name))


def _bundled(name: Any) -> Path:
    folder = files.data_folder() / ("prior" if name is None else PIXEL)
    expected = "a whole installation, or a prior's name"
    if name is not None:
        expected = "another prior's name, or that folder, which `treg-edu train pixel` and `treg-edu train export` make"
    came = f"{name!r}, and no bundled prior at {str(folder)!r}"
    checks.expect(folder.is_dir(), "name", came, expected, checks.MissingFileError)
    return folder


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
        file = local if local.is_file() else hf_hub_download(str(clip), local.name)
    except (OSError, HFValidationError) as error:
        came = f"{str(clip)!r}, where no {local.name} is or can be fetched"
        expected = (
            "a CLIP that was downloaded before or can be reached on the hub, such as 'openai/clip-vit-large-patch14', or a folder with one"
        )
        raise checks.MissingFileError(f"clip: got {came}, expected {expected}") from error
    settings = files.read_json(file, "clip")
    for entry in ("image_mean", "image_std"):
        values: Any = settings.get(entry) if isinstance(settings, dict) else None
        fits = (
            isinstance(values, list) and len(values) == 3 and all(isinstance(each, (int, float)) and math.isfinite(each) for each in values)
        )
        least = fits and (entry == "image_mean" or min(values) > 0)
        checks.expect(fits and least, "clip", f"{entry} {values!r} in {str(file)!r}", "three finite numbers, deviations above 0")
    return settings


def _recommended(file: Path) -> dict[str, dict[str, Any]] | None:
    if not file.is_file():
        return None
    settings = files.read_json(file, "name")
    fits = isinstance(settings, dict) and all(isinstance(of_solver, dict) for of_solver in settings.values())
    checks.expect(fits, "name", f"{str(file)!r}, which is no table of settings", "{solver: {setting: value}}")
    return settings
