"""The files of a model: what is damaged or does not fit is told in one line, before a library stumbles over it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import checks

__all__ = ["check_files", "chosen_variant", "fitting_tokenizer", "readable", "weights", "without_reports"]


def weights(kind: Any, name: str, source: str | Path, part: str = "", variant: str | None = None, **settings: Any) -> Any:
    """A network of diffusers or transformers from its safetensors; pickles are never opened.

    name: the argument that led to it.  part: its folder in `source`.  variant: as in diffusers, "fp16" for files of that name; None for
    the plain files, or the one variant that a local folder has instead.
    """
    folder = Path(source) / part
    settings["variant"] = chosen_variant(folder, variant)
    if folder.is_dir():
        came = f"{str(folder)!r} without a .safetensors file"
        checks.expect(any(folder.glob("*.safetensors")), name, came, "weights as safetensors; pickles can run code and are not opened")
    with readable(name, folder):
        network, info = kind.from_pretrained(source, subfolder=part, use_safetensors=True, output_loading_info=True, **settings)
    unfit = sorted(str(key if isinstance(key, str) else key[0]) for key in (*info["missing_keys"], *info["mismatched_keys"]))
    unfit += [key for key, weight in network.named_parameters() if weight.is_meta and key not in unfit]  # diffusers leaves them so
    came = f"{str(folder)!r}, where {len(unfit)} weights are missing or have another shape, such as {unfit[:1]}"
    checks.expect(not unfit, name, came, "those that its config.json tells of")
    broken = [key for key, weight in network.named_parameters() if not weight.isfinite().all()]
    checks.expect(not broken, name, f"{str(folder)!r} with NaN or infinite weights, such as {broken[:1]}", "finite ones")
    return network


def chosen_variant(folder: Path, variant: str | None = None) -> str | None:
    """The variant of a local folder's weights that is asked for, or else the one, such as "fp16", that it has instead of plain ones."""
    names = [file.name for pattern in ("*.safetensors", "*.safetensors.index*.json") for file in folder.glob(pattern)]
    found = {variant_of(each) for each in names} or {variant}
    return variant if variant in found or len(found) > 1 else found.pop()


def variant_of(name: str) -> str | None:
    """Of "model.fp16.safetensors", "model.fp16-00001-of-00002.safetensors" and "model.safetensors.index.fp16.json" it is "fp16"."""
    words = name.removesuffix(".json").replace(".safetensors", "").replace(".index", "").split(".")
    return words[-1].split("-")[0] if len(words) > 1 else None


@contextmanager
def readable(name: str, folder: Path) -> Iterator[None]:
    """Around one call of a library that reads a folder: damaged files are named before, what the library then raises is one line.

    folder: local, or the name of a part of a model on the hub.  Nothing but the library's call belongs inside: all that is raised there
    counts as the fault of the files.
    """
    check_files(name, folder)
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        missing = isinstance(error, OSError) and not folder.is_dir()
        kind = checks.MissingFileError if missing else checks.ArgumentError
        what = "is not there or cannot be read" if missing else "cannot be loaded"
        raise kind(f"{name}: got {str(folder)!r}, which {what} ({reason}), expected a complete model") from error


MOST_LAYERS, LARGEST_SIZE = 1000, 10**6
"""No network has more layers, or a larger width, side or vocabulary; one of a damaged configuration would be built for hours."""
POINTER = b"version https://git-lfs"
"""What a file begins with that git-lfs has not fetched."""


def check_files(name: str, folder: Path) -> None:
    """The files of a local folder are whole, as far as can be told without a library; the first that is not is named."""
    files_here = sorted(folder.iterdir()) if folder.is_dir() else []
    for file in files_here:
        if file.suffix in (".json", ".safetensors", ".txt") and file.is_file():
            why = damage(file)
            checks.expect(why is None, name, f"{str(file)!r}, which is damaged ({why})", "a whole file")


def damage(file: Path) -> str | None:
    """What is wrong with a file of a model, None if nothing is seen.  Of weights the header and the length are looked at."""
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb") as opened:
            start = opened.read(len(POINTER))
        if not start or start == POINTER:
            return "a pointer of git-lfs; `git lfs pull` fetches the file" if start else "empty"
        if file.suffix == ".safetensors":
            with safe_open(file, "pt"):
                return None
        if file.suffix == ".txt":
            file.read_text(encoding="utf-8")
            return None
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        return f"no JSON: {error}" if file.suffix == ".json" and not isinstance(error, OSError) else str(error)
    if not isinstance(content, dict):
        return "no JSON object"
    if file.name == "config.json" and (huge := oversized(content)):
        return f"{huge} is larger than in any network"
    if not file.name.endswith(".safetensors.index.json"):
        return None
    shards = content.get("weight_map")
    if not isinstance(shards, dict):
        return "without a weight_map"
    lost = sorted({str(shard) for shard in shards.values() if not (file.parent / str(shard)).is_file()})
    return f"it names {', '.join(lost)}, which {'is' if len(lost) == 1 else 'are'} not there" if lost else None


def oversized(config: dict[str, Any]) -> str | None:
    """The first entry of a network's configuration that no network has, and which would be built for hours: "name: number"."""
    for name, value in config.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and (inner := oversized(one)):
                return inner
            if isinstance(one, (int, float)) and abs(one) > (MOST_LAYERS if "layers" in name else LARGEST_SIZE):
                return f"{name}: {one}"
    return None


def fitting_tokenizer(name: str, tokenizer: Any, config: Any) -> None:
    """A tokenizer with a vocabulary, whose numbers and lengths the text tower has embeddings for."""
    came, least, most = len(tokenizer), len(set(tokenizer.all_special_tokens)) + 1, config.vocab_size  # without its files it has none
    checks.expect(least <= came <= most, name, f"a tokenizer of {came} tokens", f"{least} to {most}, what the text tower embeds")
    came, most = tokenizer.model_max_length, config.max_position_embeddings
    checks.expect(2 < came <= most, name, f"a tokenizer with model_max_length {came}", f"3 to {most}, what the text tower embeds")


@contextmanager
def without_reports() -> Iterator[None]:
    """Load weights without the libraries' progress bars and reports; a download keeps its bar, and an error says enough."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    libraries = of_diffusers, of_transformers
    before = [(library, library.is_progress_bar_enabled(), library.get_verbosity()) for library in libraries]
    for library in libraries:
        library.disable_progress_bar()
        library.set_verbosity(of_transformers.CRITICAL)
    try:
        yield
    finally:
        for library, shown, verbosity in before:
            library.set_verbosity(verbosity)
            if shown:
                library.enable_progress_bar()
