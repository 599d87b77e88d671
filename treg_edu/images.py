"""Reading, validating and sampling images: every picture here is a float32 tensor (B, 3, H, W) with values in [0, 1]."""

import difflib
import functools
import io
import os
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from . import checks, files
from .bare_pictures import without_metadata

if TYPE_CHECKING:  # pandas costs half a second
    import pandas as pd

__all__ = [
    "DAMAGED",
    "PARTS",
    "SIBLINGS",
    "SPLITS",
    "ImageError",
    "captions",
    "decode",
    "example",
    "examples",
    "from_pil",
    "load",
    "of_split",
    "read",
    "save",
    "to_pil",
    "tuning",
]

SPLITS = ("train", "heldout")
PARTS = ("tuning", "test")  # of the held-out pictures, see `of_split`
TUNED_ON = 3  # one in so many of them is for tuning
SIBLINGS = ("fluent", "fluent flat")  # one drawing, with gradients and without: where one is held out, the other is mostly trained on
# Pillow documents OSError for a damaged file; its decoders also let these through.
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, RuntimeError, struct.error)


class ImageError(checks.ArgumentError):
    """A file or a picture that cannot become a (1, 3, size, size) tensor."""


# From files, and back


def read(path: str | os.PathLike, size: int = 64) -> torch.Tensor:
    """The picture in any file that Pillow reads, as (1, 3, size, size) in [0, 1].

    Orientation follows EXIF, transparency is laid on white, an animation gives its first frame; then `from_pil`.  Metadata that cannot be
    read refuses no PNG and no JPEG.  Raises FileNotFoundError, or ImageError where the file is no image, damaged, or too large to be
    decoded safely.
    """
    path, size = Path(path), checks.integer("size", size)  # a wrong size is no damaged file
    if not path.exists():
        raise FileNotFoundError(f"path: got {str(path)!r}, which does not exist; expected an image file")
    if not path.is_file():  # a pipe that nobody writes to would be waited for
        kind = "a folder" if path.is_dir() else "no regular file"
        raise ImageError(f"path: got {str(path)!r}, which is {kind}; expected an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _from_file(path, size)
    except ImageError as error:
        raise ImageError(f"path: {str(path)!r}: {error}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageError(
            f"path: {str(path)!r} holds too many pixels to be decoded safely ({error}); expected at most {Image.MAX_IMAGE_PIXELS}"
        ) from error
    except UnidentifiedImageError as error:
        why = _refusal(path)
        if why is not None:
            raise ImageError(
                f"path: {str(path)!r} is damaged, or of a kind that Pillow does not read ({why}); expected a complete image"
            ) from error
        raise ImageError(
            f"path: got {str(path)!r} ({path.stat().st_size} bytes), which is not an image; "
            "expected a format that Pillow reads, such as PNG, JPEG or WebP"
        ) from error
    except PermissionError:
        raise
    except DAMAGED as error:
        raise ImageError(f"path: {str(path)!r} is damaged or cut short ({error}); expected a complete image") from error


def _from_file(path: Path, size: int) -> torch.Tensor:
    """The picture in a file; where it cannot be read, without its metadata, which may be the reason."""
    try:
        with Image.open(path) as image:
            return from_pil(image, size)
    except ImageError:
        raise
    except DAMAGED:
        bare = without_metadata(path.read_bytes())
        if bare is None:
            raise
        try:
            with Image.open(io.BytesIO(bare)) as image:
                return from_pil(image, size)
        except DAMAGED:
            pass  # it is something else: the first error stands
        raise


def _refusal(path: Path) -> str | None:
    """Why Pillow does not take a file that begins as one of its formats does, None if it begins as none."""
    with path.open("rb") as file:
        begin = file.read(16)
        for name in Image.ID:
            factory, accept = Image.OPEN[name]
            if len(begin) == 16 and accept is not None and accept(begin) is True:
                file.seek(0)
                try:
                    factory(file, str(path))
                except Exception as error:
                    return f"{name}: {str(error) or type(error).__name__}"
    return None


def from_pil(image: Image.Image, size: int = 64) -> torch.Tensor:
    """A Pillow image as (1, 3, size, size) in [0, 1]: white behind, the central square, Lanczos resampling."""
    size = checks.integer("size", size)
    if 0 in image.size:
        raise ImageError(f"image: got {image.width}×{image.height} pixels, expected at least 1×1")
    square = ImageOps.fit(_on_white(_eight_bit(_upright(image))), (size, size), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(square))
    return (pixels.permute(2, 0, 1)[None].float() / 255).contiguous()


def _upright(image: Image.Image) -> Image.Image:
    """A copy, turned as EXIF says; as it is where its EXIF cannot be read, since the pixels can."""
    key = _transparent_value(image)
    image.load()
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception:
        upright = image.copy()
    if key is not None:
        upright.info["transparency"] = key
    return upright


GREYS = {"L;2": 3, "L;4": 15}
"""The largest value of a grey PNG by Pillow's name for its depth."""


def _transparent_value(image: Image.Image) -> int | tuple[int, ...] | None:
    """The grey or colour of a PNG that is transparent, in the depth in which Pillow gives the pixels, not in the file's.

    Of 16 bits a colour the upper eight are left, and those of its pixels.  None where Pillow's value stands.
    """
    key = image.info.get("transparency")
    tiles: Any = getattr(image, "tile", None)  # until the pixels are read
    depth = tiles[0].args if image.format == "PNG" and tiles else None
    if depth in GREYS and isinstance(key, int):
        return key * 255 // GREYS[depth]
    if depth == "RGB;16B" and isinstance(key, tuple):
        return tuple(value >> 8 for value in key)
    return None


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey pictures of 16 or 32 bits as 8 bits; integers count from 0 to 65535, floats from 0 to 1; others unchanged."""
    if not image.mode.startswith(("I", "F")):
        return image
    full = 1.0 if image.mode == "F" else 65535.0
    values = np.asarray(image)
    grey = values.astype(np.float64) / full
    if not (grey.min() >= 0 and grey.max() <= 1):
        raise ImageError(
            f"image: got mode {image.mode!r} with values from {grey.min() * full:.6g} to {grey.max() * full:.6g}, expected 0 to {full:.6g}"
        )
    eight = Image.fromarray((grey * 255).round().astype(np.uint8))
    if "transparency" in image.info:
        eight.putalpha(Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)))
    return eight


def _on_white(image: Image.Image) -> Image.Image:
    """Any 8-bit mode (palette, grey, CMYK, with or without alpha) as RGB, transparency composited on white."""
    try:
        if not image.has_transparency_data:
            return image.convert("RGB")
        coloured = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
    except ValueError as error:
        raise ImageError(f"image: got mode {image.mode!r}, expected one that converts to RGB ({error})") from error
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, coloured).convert("RGB")


def to_pil(x: torch.Tensor) -> Image.Image:
    """One image (1, 3, H, W) or (3, H, W) in [0, 1] as an 8-bit Pillow image."""
    x = checks.images("x", x[None] if isinstance(x, torch.Tensor) and x.ndim == 3 else x)
    checks.expect(len(x) == 1, "x", f"a batch of {len(x)}", "one image (1, 3, H, W); index the batch")
    pixels = (x[0].detach().cpu().float().clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def save(x: torch.Tensor, path: str | os.PathLike) -> Path:
    """Write one image (1, 3, H, W) as PNG and return the path; an interrupted write leaves no half file under it."""
    path = Path(path)
    checks.expect(path.suffix.lower() == ".png", "path", repr(str(path)), "a name ending in .png")
    picture = to_pil(x)
    with files.written_beside(path) as beside:
        picture.save(beside, format="PNG")
    return path


# The captioned images that ship


def captions() -> "pd.DataFrame":
    """Every shipped image with its words, one row each, as a pandas DataFrame.

    image: PNG bytes.  label: "ice cream".  keywords: list of words.  style: "noto".  concept: the label as a slug.
    group: "food & drink".  split: "train" or "heldout".  licence: an SPDX name.
    """
    return _captions(files.data_folder() / "images").copy()


@functools.lru_cache(maxsize=2)
def _captions(folder: Path) -> "pd.DataFrame":
    import pandas as pd

    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(
            f"no .parquet file in {str(folder)!r}; expected the captioned images there "
            "(set TREG_EDU_DATA to the folder that holds images/, or work in a checkout of the repository)"
        )
    frame = pd.concat([_table(file) for file in files], ignore_index=True)
    frame["image"] = [image["bytes"] for image in frame["image"]]
    frame["keywords"] = [list(words) for words in frame["keywords"]]
    return frame


COLUMNS = ("image", "label", "keywords", "style", "concept", "group", "split", "licence")


def _table(file: Path) -> "pd.DataFrame":
    """One file of captioned images."""
    import pandas as pd
    import pyarrow

    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:300]
        raise checks.ArgumentError(f"data: got {str(file)!r}, which is damaged ({reason}), expected a whole file") from error
    missing = [name for name in COLUMNS if name not in frame]
    checks.expect(not missing, "data", f"{str(file)!r} without {', '.join(missing)}", f"the columns {', '.join(COLUMNS)}")
    return frame


def decode(frame: "pd.DataFrame", size: int = 64) -> torch.Tensor:
    """The pictures of rows of `captions()`, in their order: (len(frame), 3, size, size) in [0, 1]."""
    size = checks.integer("size", size)
    try:
        return torch.cat([from_pil(Image.open(io.BytesIO(png)), size) for png in frame["image"]])
    except DAMAGED as error:
        raise ImageError(f"frame: got a picture that is damaged ({error}), expected PNG bytes in every row of image") from error


def of_split(frame: "pd.DataFrame", split: str) -> "pd.DataFrame":
    """The rows of one split, "train" or "heldout", or of one part of the held-out rows, "tuning" or "test".

    The held-out rows are sorted by concept and style. Those at positions 0, 3, 6, … are the tuning part, the others are the test part.
    Settings, checkpoints and losses are chosen on the tuning part; figures are measured on the test part.
    """
    checks.one_of("split", split, SPLITS + PARTS)
    if split in SPLITS:
        return frame[frame["split"] == split].reset_index(drop=True)
    rows = frame[frame["split"] == "heldout"].sort_values(["concept", "style"], ignore_index=True)
    in_tuning = rows.index % TUNED_ON == 0
    return rows[in_tuning if split == "tuning" else ~in_tuning].reset_index(drop=True)


def load(split: str) -> tuple[torch.Tensor, "pd.DataFrame"]:
    """(images, rows) of one split: (N, 3, 64, 64) in [0, 1], and the N rows of `captions()` that they show, see `of_split`."""
    rows = of_split(captions(), split)
    return decode(rows), rows


def example(name: str, style: str | None = None) -> torch.Tensor:
    """The held-out picture of a concept, by its label ("ice cream") or slug ("ice-cream"): (1, 3, 64, 64) in [0, 1].

    style: ask for it in one style; at most one picture of a concept is held out, so usually there is no choice.
    """
    held_out = captions().query("split == 'heldout'")
    checks.expect(isinstance(name, str), "name", repr(name), "a concept, such as 'ice cream'", checks.ArgumentTypeError)
    wanted = name.strip().lower()
    rows = held_out[(held_out["label"].str.lower() == wanted) | (held_out["concept"] == wanted)]
    if rows.empty:
        labels = {label.lower(): label for label in held_out["label"]}
        near = [label for low, label in labels.items() if wanted and wanted in low.split()]
        near += [labels[low] for low in difflib.get_close_matches(wanted, labels, n=5, cutoff=0.5)]
        hint = ", ".join(map(repr, list(dict.fromkeys(near))[:5])) or "none; see images.captions()"
        checks.fail("name", repr(name), f"a concept with a held-out picture; close matches: {hint}")
    fits = style is None or (isinstance(style, str) and style in set(rows["style"]))
    checks.expect(fits, "style", repr(style), f"for {name!r}: {', '.join(map(repr, rows['style']))}")
    return decode((rows if style is None else rows[rows["style"] == style]).iloc[:1])


def examples(n: int, first: int = 0, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
    """(images, labels) of n held-out pictures of distinct concepts: (n, 3, 64, 64) in [0, 1], list of n strings.

    One seed shuffles all concepts once. So `examples(4)` are the first four of `examples(8)`, and `examples(4, first=8)` are four others.
    """
    held_out = captions().query("split == 'heldout'").drop_duplicates("concept").sort_values("concept")
    first = checks.integer("first", first, 0, len(held_out) - 1)
    n = checks.integer("n", n, 1, len(held_out) - first)
    shuffled = np.random.default_rng(checks.integer("seed", seed, 0)).permutation(len(held_out))
    rows = held_out.iloc[shuffled[first : first + n]]
    return decode(rows), rows["label"].tolist()


def tuning(n: int, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
    """(images, labels) of n pictures of the tuning part, for choosing settings: (n, 3, 64, 64) in [0, 1], list of n strings.

    One seed shuffles them once, so `tuning(4)` are the first four of `tuning(8)`.
    """
    rows = of_split(captions(), "tuning")
    n = checks.integer("n", n, 1, len(rows))
    rows = rows.iloc[np.random.default_rng(checks.integer("seed", seed, 0)).permutation(len(rows))[:n]]
    return decode(rows), rows["label"].tolist()
