"""What the four trainings share: the images as one tensor, gentle augmentation, captions."""

import io
import math
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from .. import checks, images

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "bend",
    "caption",
    "corpus_text",
    "degrade",
    "erase",
    "load",
    "mirror",
    "one_file",
    "packed",
    "png_of",
    "read_corpus",
    "read_parquet",
    "recolour",
    "shift",
    "shift_and_scale",
    "turn_hue",
]

CORPUS_COLUMNS = ("image", "label", "keywords", "style", "concept", "group", "split", "licence")


def read_parquet(name: str, path: str | Path, command: str, columns: Sequence[str]) -> "pd.DataFrame":
    """The rows of a file that `treg-edu train COMMAND` wrote.  name: the argument that led to it, for the error."""
    import pandas as pd

    expected = f"a parquet file that `treg-edu train {command}` wrote"
    checks.expect(Path(path).is_file(), name, f"{str(path)!r}, where no file is", expected, checks.MissingFileError)
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError) as error:  # all of pyarrow's are one or the other
        checks.fail(name, f"{str(path)!r}, which cannot be read ({error})", expected)
    lacking = [column for column in columns if column not in frame]
    checks.expect(not lacking, name, f"{str(path)!r}, without {', '.join(lacking)}", expected)
    return frame


def read_corpus(path: str | Path, name: str = "corpus") -> "pd.DataFrame":
    """The rows of a corpus, of both splits, as `corpus.build` gives them."""
    return read_parquet(name, path, "corpus", CORPUS_COLUMNS)


def load(path: str | Path, split: str, name: str = "corpus") -> "tuple[torch.Tensor, pd.DataFrame]":
    """The images of one split of a corpus, (N, 3, 64, 64) in [0, 1], and their rows, as `images.load` gives those that ship."""
    frame = read_corpus(path, name)
    frame = images.of_split(frame, split)
    checks.expect(len(frame), name, f"{str(path)!r}, without a picture of the split {split!r}", "some of both splits")
    frame["image"] = [image["bytes"] for image in frame["image"]]
    try:
        return images.decode(frame), frame
    except images.ImageError as error:
        checks.fail(name, f"{str(path)!r} with a picture that is damaged ({error.__cause__})", "PNG bytes in every row of image")


def png_of(picture: torch.Tensor) -> bytes:
    """(3, H, W) or (1, 3, H, W) in [0, 1] as the bytes of a PNG."""
    buffer = io.BytesIO()
    images.to_pil(picture).save(buffer, "PNG")
    return buffer.getvalue()


def one_file(name: str, folder: str | Path, pattern: str, fetched_by: str) -> Path:
    """The path of the only file in `folder` that fits.  name: the argument that the folder was given by."""
    found = sorted(Path(folder).glob(pattern))
    there = ", ".join(path.name for path in found) or f"no {pattern}"
    expected = f"one {pattern}, as `{fetched_by}` writes it"
    checks.expect(len(found) == 1, name, f"{there} in {str(folder)!r}", expected, checks.MissingFileError)
    return found[0]


def packed(name: str, folder: str | Path, pattern: str, fetched_by: str, member: str) -> bytes:
    """One file inside the .tgz in `folder` that fits, see `one_file`."""
    path = one_file(name, folder, pattern, fetched_by)
    try:
        with tarfile.open(path, "r:gz") as archive:
            return archive.extractfile(member).read()  # type: ignore[union-attr]  # None for a folder alone
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        came = f"{str(path)!r}, which is damaged or lacks {member} ({error})"
        checks.fail(name, came, f"the whole file, as `{fetched_by}` writes it")


def shift_and_scale(
    x: torch.Tensor,
    generator: torch.Generator,
    pixels: float = 4,
    sizes: tuple[float, float] = (1 / 1.15, 1 / 0.85),
    degrees: float = 0,
) -> torch.Tensor:
    """Move each image by up to `pixels`, draw it at one of `sizes` times its own, and tilt it by up to `degrees`, on white.

    Never flips, and tilts for classifiers alone: orientation is content.
    """
    count, side = len(x), x.shape[-1]
    most, least = (1 / size for size in sizes)
    zoom = least + (most - least) * torch.rand(count, 1, 1, generator=generator)
    move = (2 * torch.rand(count, 2, 1, generator=generator) - 1) * 2 * pixels / side
    angle = math.radians(degrees) * (2 * torch.rand(count, generator=generator) - 1)
    tilt = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(count, 2, 2)
    grid = F.affine_grid(torch.cat([tilt * zoom, move], 2), list(x.shape), align_corners=False)
    return 1 - F.grid_sample(1 - x, grid, mode="bicubic", align_corners=False).clamp(0, 1)


def shift(x: torch.Tensor, generator: torch.Generator, pixels: int = 4) -> torch.Tensor:
    """Move each image by a whole number of up to `pixels`, on white: nothing is resampled, so nothing is blurred."""
    side, paper = x.shape[-1], F.pad(1 - x, (pixels,) * 4)
    moves = torch.randint(2 * pixels + 1, (len(x), 2), generator=generator).tolist()
    return 1 - torch.stack([image[:, down : down + side, across : across + side] for image, (down, across) in zip(paper, moves)])


def bend(x: torch.Tensor, generator: torch.Generator, pixels: float = 3) -> torch.Tensor:
    """Displace each image smoothly: by noise on 5×5 points, of up to `pixels` of deviation, between which is interpolated."""
    count, side = len(x), x.shape[-1]
    strength = 2 * pixels / side * torch.rand(count, 1, 1, 1, generator=generator)
    moves = F.interpolate(strength * torch.randn(count, 2, 5, 5, generator=generator), side, mode="bicubic", align_corners=True)
    still = F.affine_grid(torch.eye(2, 3).expand(count, 2, 3), list(x.shape), align_corners=False)
    return 1 - F.grid_sample(1 - x, still + moves.permute(0, 2, 3, 1), align_corners=False)


def recolour(x: torch.Tensor, generator: torch.Generator, strength: float = 0.12) -> torch.Tensor:
    """Change each image's brightness, contrast and white balance, and tint the paper of a quarter of them."""
    count = len(x)

    def around_one(shape: Sequence[int]) -> torch.Tensor:
        return 1 + strength * (2 * torch.rand(shape, generator=generator) - 1)

    x = (x - 0.5) * around_one((count, 1, 1, 1)) + 0.5
    x = 1 - (1 - x) * around_one((count, 3, 1, 1))
    tinted = (torch.rand(count, 1, 1, 1, generator=generator) < 1 / 4).float()
    return (x * (1 - tinted * 0.3 * torch.rand(count, 3, 1, 1, generator=generator))).clamp(0, 1)


def turn_hue(x: torch.Tensor, generator: torch.Generator, share: float, grey: float) -> torch.Tensor:
    """Rotate the colours of some images about the grey axis by any angle, and drop those of some: shape must name them too."""
    count = len(x)

    def chosen(probability: float) -> torch.Tensor:
        return (torch.rand(count, generator=generator) < probability).float()

    angle = 2 * torch.pi * torch.rand(count, generator=generator) * chosen(share)
    a, b = (1 + 2 * angle.cos()) / 3, (angle.sin() / 3**0.5)
    c = (1 - angle.cos()) / 3
    rotation = torch.stack([a, c - b, c + b, c + b, a, c - b, c - b, c + b, a], 1).view(count, 3, 3)
    dropped = chosen(grey)[:, None, None]
    rotation = rotation * (1 - dropped) + dropped / 3
    return torch.einsum("bij,bjhw->bihw", rotation, x).clamp(0, 1)


def mirror(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Flip half of the images left to right, for classifiers alone: styles disagree on where an animal looks."""
    flipped = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(flipped, x.flip(-1), x)


def erase(x: torch.Tensor, generator: torch.Generator, share: float = 0.3) -> torch.Tensor:
    """Hide a rectangle of an eighth to a half of the side, in one colour, in some of the images  (Zhong et al. 2020)."""
    count, side = len(x), x.shape[-1]

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator)

    extent = 1 / 8 + 3 / 8 * draw(2, 1)
    start = draw(2, 1) * (1 - extent)
    pixel = (torch.arange(side) + 0.5) / side
    down, across = ((start <= pixel) & (pixel < start + extent)).unbind(1)
    hidden = down[:, None, :, None] & across[:, None, None, :] & (draw(1, 1, 1) < share)
    return torch.where(hidden, draw(3, 1, 1), x)


def degrade(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur a quarter of the images and add noise to a quarter, so that a reconstruction is not a foreign thing to a classifier."""
    count, side = len(x), x.shape[-1]
    small = F.interpolate(F.interpolate(x, scale_factor=0.5, mode="area"), side, mode="bilinear")
    x = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 1 / 4, small, x)
    sigma = 0.08 * torch.rand(count, 1, 1, 1, generator=generator) * (torch.rand(count, 1, 1, 1, generator=generator) < 1 / 4)
    return (x + sigma * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def caption(row: Mapping[str, Any], generator: torch.Generator) -> str:
    """A caption of one image: the label half of the time, otherwise a template with its style, or label and keywords.

    Where there is no style, the label is a sentence of the reader's own, and always the caption.
    """

    def draw(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    label, style, keywords = row["label"], row["style"], list(row["keywords"])
    if draw(2) or not style:
        return label
    templates = [
        f"{label}, {style} style",
        f"a {style} icon of a {label}",
        f"a photo of a {label}",
        f"a picture of a {label}",
        f"{label}, {keywords[draw(len(keywords))]}" if keywords else label,
    ]
    return templates[draw(len(templates))]


def corpus_text(frame: "pd.DataFrame") -> Iterator[str]:
    """Everything a caption can say, for the tokenizer's vocabulary."""
    for _, row in frame.iterrows():
        yield from [row["label"], row["style"], *row["keywords"], "a photo of a, picture of a, icon of a, style"]
