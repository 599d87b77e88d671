"""From the four trainings to what ships: `data/prior`, a diffusers Stable Diffusion folder with its CLIP, and `data/judge`."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import files
from ..priors.loading import PATCH_SIZE, RECOMMENDED

__all__ = ["replacing", "save_judge", "save_pixel_prior", "save_prior"]

WRITTEN_BY_HAND = ("README.md", "samples.png", "nearest.png")


def text_tower(clip: Any) -> Any:
    """The `CLIPTextModel` inside a CLIP, as the pipeline wants it."""
    from transformers import CLIPTextModel

    tower = CLIPTextModel(clip.config.text_config)
    tower.load_state_dict(clip.text_model.state_dict())
    return tower.eval()


def save_prior(folder: str | Path, vae: Any, unet: Any, clip: Any, tokenizer: Any, scheduler: Any, recommended: Mapping[str, Any]) -> None:
    """Write a folder that `StableDiffusionPipeline.from_pretrained` and `treg_edu.load_prior` both read, in float16 safetensors."""
    from diffusers import StableDiffusionPipeline

    with replacing(folder, keep=WRITTEN_BY_HAND) as beside:
        pipeline = StableDiffusionPipeline(
            vae=vae.half(),
            text_encoder=text_tower(clip).half(),
            tokenizer=tokenizer,
            unet=unet.half(),
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(beside, max_shard_size="15MB")
        _load_as_float32(beside / "text_encoder" / "config.json")
        clip.half().save_pretrained(beside / "clip", max_shard_size="15MB")
        side = clip.config.vision_config.image_size
        preprocessing = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": side}, "do_normalize": True}
        files.write_text(beside / "clip" / "preprocessor_config.json", files.json_text(preprocessing))
        files.write_text(beside / RECOMMENDED, files.json_text(recommended))


def save_pixel_prior(
    folder: str | Path, unet: Any, text_encoder: Any, tokenizer: Any, scheduler: Any, recommended: Mapping[str, Any], patch_size: int
) -> None:
    """Write a folder that `treg_edu.load_prior` reads as a `PixelDiffusion`, in float16 safetensors, laid out as diffusers does."""
    from diffusers import __version__

    parts = {"unet": unet.half(), "text_encoder": text_encoder.half(), "tokenizer": tokenizer, "scheduler": scheduler}
    library = {"unet": "diffusers", "text_encoder": "transformers", "tokenizer": "transformers", "scheduler": "diffusers"}
    index = {"_class_name": "PixelDiffusion", "_diffusers_version": __version__, PATCH_SIZE: patch_size}
    with replacing(folder, keep=WRITTEN_BY_HAND) as beside:
        for name, part in parts.items():
            settings = {} if name in ("tokenizer", "scheduler") else {"max_shard_size": "15MB"}
            part.save_pretrained(beside / name, **settings)
            index[name] = [library[name], type(part).__name__]
        _load_as_float32(beside / "text_encoder" / "config.json")
        files.write_text(beside / "model_index.json", files.json_text(index))
        files.write_text(beside / RECOMMENDED, files.json_text(recommended))


def _load_as_float32(config: Path) -> None:
    """transformers loads a network in the dtype its config names, diffusers in float32; the pipeline needs one dtype."""
    files.write_text(config, files.json_text({**files.read_json(config), "dtype": "float32"}))


def save_judge(folder: str | Path, image_encoder: Any, text_encoder: Any, tokenizer: Any) -> None:
    """Write a folder that `treg_edu.load_judge` reads, in float16 safetensors."""
    with replacing(folder, keep=WRITTEN_BY_HAND) as beside:
        image_encoder.half().save_pretrained(beside / "image_encoder")
        text_encoder.half().save_pretrained(beside / "text_encoder")
        tokenizer.save_pretrained(beside / "tokenizer")


@contextmanager
def replacing(folder: str | Path, keep: Sequence[str] = ()) -> Iterator[Path]:
    """A folder beside `folder` to write into, which takes its place at the end, and is removed if writing fails.

    keep: names of files to take over from the folder that is replaced.
    """
    folder = Path(folder)
    beside, old = folder.with_name(f"{folder.name}.part"), folder.with_name(f"{folder.name}.old")
    for left_over in (beside, old):
        shutil.rmtree(left_over, ignore_errors=True)
    new_parents = [parent for parent in folder.parents if not parent.exists()]
    beside.mkdir(parents=True)
    try:
        yield beside
        for name in keep:
            if (folder / name).is_file():
                shutil.copy2(folder / name, beside / name)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        files.remove_empty(new_parents)
        raise
    if folder.exists():
        os.replace(folder, old)
    os.replace(beside, folder)
    shutil.rmtree(old, ignore_errors=True)
