"""Folders of photographs as they are unpacked: Food-101, ImageNet, AFHQ, FFHQ, LHQ, and others that are laid out like them."""

import csv
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from . import checks, images

__all__ = ["Photograph", "all_of", "find", "read", "read_all"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
TRAIN, HELD_OUT = {"train", "training"}, ("test", "testing", "val", "valid", "validation")
NO_CLASS = r"\d+|images.*|thumbnails.*|in-the-wild-images|lhq.*"  # names of folders in FFHQ, LHQ and Food-101 that say nothing
SYNSETS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")
"""Files that come with ImageNet: a line "n01440764 tench, Tinca tinca" a class."""


class Photograph(NamedTuple):
    """A file, not read yet.

    kind: its class folder, "" in a flat folder.  text: what it shows.  held_out: whether it lies in a test or validation part.
    """

    path: Path
    name: str
    kind: str
    text: str
    held_out: bool = False


def find(data: str | Path, texts: str | None = None) -> list[Photograph]:
    """The picture files below a folder, and their texts.

    Their class is the folder that they lie in: food-101/images/ice_cream/12.jpg, train/n01440764/x.JPEG, afhq/val/cat/1.jpg.  Where all lie
    in one folder, or in numbered ones, there are no classes: lhq_256/7.png, images1024x1024/00000/7.png.
    Where folders of a held-out part have the classes as well, as AFHQ's, they alone are taken; of Food-101 what its meta/test.txt lists.

    texts: None for the name of the class, or of the whole folder; of a WordNet number, the first word that a file of SYNSETS has for it.
    Or one text for all; or a CSV file with the columns file,text or class,text, whose pictures alone are taken.
    """
    found = listed(Path(data), "data")
    return with_texts(Path(data), [each for each in found if each.held_out] or found, texts)


def all_of(data: str | Path, texts: str | None = None, name: str = "data") -> list[Photograph]:
    """As `find`, but all parts of the folder; none is held out where there is no such part.  name: of the folder, for errors."""
    return with_texts(Path(data), listed(Path(data), name), texts)


def listed(root: Path, name: str) -> list[Photograph]:
    """All picture files below a folder, without texts."""
    checks.expect(root.is_dir(), name, repr(str(root)), "a folder of pictures", checks.MissingFileError)
    folders = {Path(at): sorted(each for each in names if Path(each).suffix.lower() in SUFFIXES) for at, _, names in os.walk(root)}
    training, held_out = parts(root, {at: names for at, names in sorted(folders.items()) if names})
    checks.expect(training or held_out, name, f"{str(root)!r} without pictures", f"a folder with files {', '.join(sorted(SUFFIXES))}")
    found = [of_file(root, at / each, False) for at, names in training.items() for each in names]
    return tested(root, found + [of_file(root, at / each, True) for at, names in held_out.items() for each in names])


def of_file(root: Path, path: Path, held_out: bool) -> Photograph:
    """A file, with its class."""
    return Photograph(path, path.relative_to(root).as_posix(), path.parent.name if is_class(root, path.parent) else "", "", held_out)


def is_class(root: Path, at: Path) -> bool:
    """Whether a folder's name says what its pictures show."""
    return at != root and at.name.lower() not in TRAIN | set(HELD_OUT) and not re.fullmatch(NO_CLASS, at.name.lower())


def parts(root: Path, folders: dict[Path, list[str]]) -> tuple[dict[Path, list[str]], dict[Path, list[str]]]:
    """(those to train on, those of the test or validation part); the second are none unless they have class folders, or nothing has."""

    def of_part(name: str) -> dict[Path, list[str]]:
        return {at: names for at, names in folders.items() if name in (part.lower() for part in at.relative_to(root).parts)}

    with_classes = any(is_class(root, at) for at in folders)
    named = {at for name in HELD_OUT for at in of_part(name)}  # also a test part without classes beside a training part with them
    training = {at: names for at, names in folders.items() if at not in named}
    for part in map(of_part, HELD_OUT):
        if part and (not with_classes or any(is_class(root, at) for at in part)):
            return training, part
    return training, {}


def tested(root: Path, found: list[Photograph]) -> list[Photograph]:
    """Held out is what Food-101's list of its test part names, "ice_cream/12" a line; as they were where there is no such list."""
    for file in (root / "meta" / "test.txt", root.parent / "meta" / "test.txt"):
        if file.is_file():
            names = set(file.read_text(encoding="utf-8", errors="replace").split())
            on_it = [f"{each.kind}/{each.path.stem}" in names for each in found]
            return [each._replace(held_out=own) for each, own in zip(found, on_it)] if any(on_it) else found
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


def shuffled(found: Sequence[Photograph], seed: int = 0) -> list[list[Photograph]]:
    """The pictures of each class, in an order of its own, the same whichever other classes are there."""
    classes: dict[str, list[Photograph]] = {}
    for each in found:
        classes.setdefault(each.kind, []).append(each)
    return [[own[i] for i in np.random.default_rng(seed).permutation(len(own))] for own in classes.values()]


def read(found: Sequence[Photograph], count: int, side: int) -> tuple[torch.Tensor, list[Photograph], list[str]]:
    """`count` pictures, the classes in turn: (count, 3, side, side), which they are, and the names of the damaged files passed over.

    Instead of a damaged file its class gives its next one.
    """
    kept: list[tuple[Photograph, torch.Tensor]] = []
    damaged: list[str] = []
    classes = [readable(own, side, damaged) for own in shuffled(found)]
    while classes and len(kept) < count:
        for own in classes[: count - len(kept)]:
            each = next(own, None)
            if each is None:
                classes.remove(own)
            else:
                kept.append(each)
    tell(damaged, len(kept), "data")
    checks.expect(len(kept) == count, "images", count, f"at most {len(kept)}, which is how many can be read")
    return torch.cat([picture for _, picture in kept]), [each for each, _ in kept], damaged


def read_all(found: Sequence[Photograph], side: int, name: str = "data") -> tuple[list[tuple[Photograph, torch.Tensor]], list[str]]:
    """Every one that can be read, with its picture (1, 3, side, side), and the names of the damaged files.  name: as in `all_of`."""
    damaged: list[str] = []
    kept = list(readable(found, side, damaged))
    tell(damaged, len(kept), name)
    checks.expect(kept, name, f"{len(damaged)} files that cannot be read", "some pictures")
    return kept, damaged


def readable(own: Iterable[Photograph], side: int, damaged: list[str]) -> Iterator[tuple[Photograph, torch.Tensor]]:
    """Those that can be read, with their pictures.  damaged: the names of those that are passed over are added to it."""
    for each in own:
        try:
            yield each, images.read(each.path, side)
        except (images.ImageError, OSError):
            damaged.append(each.name)


def tell(damaged: Sequence[str], kept: int, name: str) -> None:
    """Warn of files that were passed over."""
    if damaged:
        told = f"{', '.join(map(repr, damaged[:3]))}{', …' if len(damaged) > 3 else ''}"
        warnings.warn(f"{name}: {len(damaged)} of {kept + len(damaged)} files could not be read, and are left out: {told}", stacklevel=3)
