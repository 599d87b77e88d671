"""A prior from its files: the bundled one, or any Stable Diffusion folder or hub model that the user names."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .. import checks, files
from .latent_diffusion import LatentDiffusion

__all__ = ["load_prior", "training_size"]

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
    if clip is None:
        clip = str(folder / "clip") if (folder / "clip").is_dir() else CLIP_OF_STABLE_DIFFUSION
    preprocessing = _preprocessing(clip)
    recommended = _recommended(folder / RECOMMENDED)
    # Without accelerate, which training alone needs, diffusers would warn that it cannot save memory while it reads the weights.
    of_diffusers: dict[str, Any] = {"torch_dtype": dtype, "low_cpu_mem_usage": is_accelerate_available()}
    of_transformers: dict[str, Any] = {"dtype": dtype}
    with without_bars(), readable("name", folder):
        vae = weights(AutoencoderKL, "name", source, "vae", **of_diffusers)
        unet = weights(UNet2DConditionModel, "name", source, "unet", **of_diffusers)
        text_encoder = weights(CLIPTextModel, "name", source, "text_encoder", **of_transformers)
        clip_model = weights(AutoModel, "clip", clip, trust_remote_code=False, **of_transformers)
        with readable("name", folder / "tokenizer"):
            tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer")
            fitting_tokenizer("name", tokenizer, text_encoder.config)
        with readable("name", folder / "scheduler"):
            scheduler = DDIMScheduler.from_pretrained(source, subfolder="scheduler")
        checks.number("name: scaling_factor in vae/config.json", vae.config.scaling_factor, above=0)
        return LatentDiffusion(
            vae.to(device),
            unet.to(device),
            tokenizer,
            text_encoder.to(device),
            scheduler,
            clip_model.to(device, memory_format=torch.channels_last),  # convolutional image towers take half the time on a CPU
            preprocessing["image_mean"],
            preprocessing["image_std"],
            recommended,
        )


def training_size(name: str | Path | None = None) -> tuple[int, int]:
    """(H, W) of the images that a prior was trained on, read from its configuration alone.  name: as in `load_prior`."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    source = _source(name)
    with readable("name", Path(source) / "unet"):
        h, w = checks.sides("sample_size", UNet2DConditionModel.load_config(source, subfolder="unet")["sample_size"])
    with readable("name", Path(source) / "vae"):
        factor = 2 ** (len(AutoencoderKL.load_config(source, subfolder="vae")["block_out_channels"]) - 1)
    return factor * h, factor * w


# Files that may be damaged


def weights(kind: Any, name: str, source: str | Path, part: str = "", **settings: Any) -> Any:
    """A network of diffusers or transformers from its safetensors; pickles are never opened.

    name: the argument that led to it.  part: its folder in `source`.
    """
    folder = Path(source) / part
    if folder.is_dir():
        came = f"{str(folder)!r} without a .safetensors file"
        checks.expect(any(folder.glob("*.safetensors")), name, came, "weights as safetensors; pickles can run code and are not opened")
    with readable(name, folder):
        network, info = kind.from_pretrained(source, subfolder=part, use_safetensors=True, output_loading_info=True, **settings)
        unfit = [*info["missing_keys"], *(key if isinstance(key, str) else key[0] for key in info["mismatched_keys"])]
        if unfit:
            raise ValueError(f"{len(unfit)} weights are missing or have another shape, such as {sorted(map(str, unfit))[0]}")
    return network


@contextmanager
def readable(name: str, folder: Path) -> Iterator[None]:
    """Whatever a library raises about the files in a local folder, told as an error about the file that is damaged."""
    try:
        yield
    except (checks.ArgumentError, MemoryError):
        raise
    except Exception as error:
        if not folder.is_dir():
            if isinstance(error, OSError):
                came = f"{str(folder)!r}, which is not there or cannot be read"
                raise checks.MissingFileError(f"{name}: got {came}, expected a complete model") from error
            raise
        file, why = damaged(folder) or (folder / "config.json", str(error).strip() or type(error).__name__)
        reason = " ".join(why.split())[:300]
        raise checks.ArgumentError(
            f"{name}: got {str(file)!r}, which is damaged or does not fit ({reason}), expected a whole file"
        ) from error


def damaged(folder: Path) -> tuple[Path, str] | None:
    """The first file of a part that cannot be read, and why."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.rglob("*.json")):
        try:
            content = files.read_json(file)
            checks.expect(isinstance(content, dict), "path", type(content).__name__, "a JSON object")
            lost = {str(shard) for shard in content.get("weight_map", {}).values() if not (file.parent / str(shard)).is_file()}
            checks.expect(not lost, "path", f"no file {', '.join(sorted(lost))}", "all that the index names")
        except (OSError, ValueError, AttributeError) as error:
            return file, str(error)
    for file in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(file, "pt"):
                pass
        except (OSError, SafetensorError) as error:
            return file, str(error)
    return None


def fitting_tokenizer(name: str, tokenizer: Any, config: Any) -> None:
    """A tokenizer whose numbers and lengths the text tower has embeddings for."""
    came, most = len(tokenizer), config.vocab_size
    checks.expect(0 < came <= most, name, f"a tokenizer of {came} tokens", f"1 to {most}, what the text tower embeds")
    came, most = tokenizer.model_max_length, config.max_position_embeddings
    checks.expect(2 < came <= most, name, f"a tokenizer with model_max_length {came}", f"3 to {most}, what the text tower embeds")


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
