"""Folders of photographs as they are unpacked: Food-101, ImageNet, AFHQ, FFHQ, LHQ, and others that are laid out like them."""

import csv
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .. import checks, images

__all__ = ["Photograph", "find", "read"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
TRAIN, HELD_OUT = {"train", "training"}, ("test", "testing", "val", "valid", "validation")
NO_CLASS = r"\d+|images.*|thumbnails.*|in-the-wild-images|lhq.*"  # names of folders in FFHQ, LHQ and Food-101 that say nothing
SYNSETS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")
"""Files that come with ImageNet: a line "n01440764 tench, Tinca tinca" a class."""


class Photograph(NamedTuple):
    """A file, not read yet.  kind: its class folder, "" in a flat folder.  text: what it shows."""

    path: Path
    name: str
    kind: str
    text: str


def find(data: str | Path, texts: str | None = None) -> list[Photograph]:
    """The picture files below a folder, and their texts.

    Their class is the folder that they lie in: food-101/images/ice_cream/12.jpg, train/n01440764/x.JPEG, afhq/val/cat/1.jpg.  Where all lie
    in one folder, or in numbered ones, there are no classes: lhq_256/7.png, images1024x1024/00000/7.png.
    Where folders of a held-out part have the classes as well, as AFHQ's, they alone are taken; of Food-101 what its meta/test.txt lists.

    texts: None for the name of the class, or of the whole folder; of a WordNet number, the first word that a file of SYNSETS has for it.
    Or one text for all; or a CSV file with the columns file,text or class,text, whose pictures alone are taken.
    """
    root = Path(data)
    checks.expect(root.is_dir(), "data", repr(str(data)), "'emoji', or a folder of pictures", checks.MissingFileError)
    folders = {Path(at): sorted(each for each in names if Path(each).suffix.lower() in SUFFIXES) for at, _, names in os.walk(root)}
    folders = held_out_part(root, {at: names for at, names in sorted(folders.items()) if names})
    checks.expect(folders, "data", f"{str(data)!r} without pictures", f"a folder with files {', '.join(sorted(SUFFIXES))}")
    kinds = {at: at.name if is_class(root, at) else "" for at in folders}
    found = [Photograph(at / name, (at / name).relative_to(root).as_posix(), kinds[at], "") for at in folders for name in folders[at]]
    return with_texts(root, tested(root, found), texts)


def is_class(root: Path, at: Path) -> bool:
    """Whether a folder's name says what its pictures show."""
    return at != root and at.name.lower() not in TRAIN | set(HELD_OUT) and not re.fullmatch(NO_CLASS, at.name.lower())


def held_out_part(root: Path, folders: dict[Path, list[str]]) -> dict[Path, list[str]]:
    """Those of the test or validation part, if it has class folders, or nothing has."""

    def of_part(name: str) -> dict[Path, list[str]]:
        return {at: names for at, names in folders.items() if name in (part.lower() for part in at.relative_to(root).parts)}

    with_classes = any(is_class(root, at) for at in folders)
    for part in map(of_part, HELD_OUT):
        if part and (not with_classes or any(is_class(root, at) for at in part)):
            return part
    flat = {at for name in HELD_OUT for at in of_part(name)}  # a test part without classes beside a training part with them
    return {at: names for at, names in folders.items() if at not in flat}


def tested(root: Path, found: list[Photograph]) -> list[Photograph]:
    """What Food-101's list of its test part names, "ice_cream/12" a line; all where there is no such list."""
    for listed in (root / "meta" / "test.txt", root.parent / "meta" / "test.txt"):
        if listed.is_file():
            names = set(listed.read_text(encoding="utf-8", errors="replace").split())
            return [each for each in found if f"{each.kind}/{each.path.stem}" in names] or found
    return found


def with_texts(root: Path, found: list[Photograph], texts: str | None) -> list[Photograph]:
    """Each with its text; those that a CSV file lacks are told of, and left out."""
    if texts is None:
        words = synset_words(root, {each.kind for each in found})
        return [each._replace(text=words.get(each.kind) or (each.kind or root.resolve().name).replace("_", " ")) for each in found]
    if Path(texts).suffix.lower() != ".csv":
        return [each._replace(text=texts) for each in found]
    by_file, by_class = csv_texts(texts)
    told = [each._replace(text=by_file.get(each.name) or by_file.get(each.path.name) or by_class.get(each.kind, "")) for each in found]
    without = [each.name for each in told if not each.text]
    if without:
        came = f"{len(without)} of {len(told)} pictures, such as {without[0]!r}"
        warnings.warn(f"texts: {came}, have no row in {texts!r}, and are left out", stacklevel=2)
    told = [each for each in told if each.text]
    checks.expect(told, "texts", f"{texts!r}, which names none of the pictures", "a CSV with the columns file,text or class,text")
    return told


def csv_texts(path: str) -> tuple[dict[str, str], dict[str, str]]:
    """({file: text}, {class: text}) of a CSV file with a head."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        checks.fail("texts", f"{path!r}, which cannot be read ({error})", "a CSV file in UTF-8, or one text", checks.MissingFileError)
    head = set(rows[0]) if rows else set()
    checks.expect("text" in head and head & {"file", "class"}, "texts", f"{path!r} with the columns {', '.join(map(str, head))}",
                  "file,text or class,text")  # fmt: skip
    return tuple({row[column]: row["text"] or "" for row in rows if row.get(column)} for column in ("file", "class"))  # type: ignore[return-value]


def synset_words(root: Path, kinds: set[str]) -> dict[str, str]:
    """{WordNet number: first word} of the file of SYNSETS that lies in the folder or above it."""
    numbers = {kind for kind in kinds if re.fullmatch(r"n\d{8}", kind)}
    if not numbers:
        return {}
    for folder in (root.resolve(), *root.resolve().parents[:4]):
        for listed in (folder / name for name in SYNSETS):
            if listed.is_file():
                lines = (line.split(None, 1) for line in listed.read_text(encoding="utf-8", errors="replace").splitlines())
                return {parts[0]: parts[1].split(",")[0].strip() for parts in lines if len(parts) == 2 and parts[0] in numbers}
    checks.fail("texts", f"folders named by WordNet numbers, such as {min(numbers)!r}",
                f"one of {', '.join(SYNSETS)} beside them, or a CSV file with the columns class,text")  # fmt: skip


def shuffled(found: Sequence[Photograph], seed: int = 0) -> list[Iterator[Photograph]]:
    """The pictures of each class, in an order of its own, the same whichever other classes are there."""
    classes: dict[str, list[Photograph]] = {}
    for each in found:
        classes.setdefault(each.kind, []).append(each)
    return [iter([own[i] for i in np.random.default_rng(seed).permutation(len(own))]) for own in classes.values()]


def read(found: Sequence[Photograph], count: int, side: int) -> tuple[torch.Tensor, list[Photograph], list[str]]:
    """`count` pictures, the classes in turn: (count, 3, side, side), which they are, and the names of the damaged files passed over.

    Instead of a damaged file its class gives its next one.
    """
    pictures: list[torch.Tensor] = []
    kept: list[Photograph] = []
    damaged: list[str] = []
    classes = shuffled(found)
    while classes and len(kept) < count:
        for own in classes[: count - len(kept)]:
            each = next_readable(own, side, damaged)
            if each is None:
                classes.remove(own)
            else:
                kept.append(each[0])
                pictures.append(each[1])
    if damaged:
        told = f"{', '.join(map(repr, damaged[:3]))}{', …' if len(damaged) > 3 else ''}"
        total = len(kept) + len(damaged)
        warnings.warn(f"data: {len(damaged)} of {total} files could not be read, and are left out: {told}", stacklevel=2)
    checks.expect(len(kept) == count, "images", count, f"at most {len(kept)}, which is how many can be read")
    return torch.cat(pictures), kept, damaged


def next_readable(own: Iterator[Photograph], side: int, damaged: list[str]) -> tuple[Photograph, torch.Tensor] | None:
    """The next picture of a class; None at its end.  damaged: the names of those that are passed over are added to it."""
    for each in own:
        try:
            return each, images.read(each.path, side)
        except (images.ImageError, OSError):
            damaged.append(each.name)
    return None
