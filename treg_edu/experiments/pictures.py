"""The pictures of a study, with their texts: the held-out drawings that ship, or a folder of photographs."""

import difflib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .. import checks, photographs
from .. import images as shipped

__all__ = ["Pictures", "check", "chosen_classes", "load"]

SHUFFLE = 0


@dataclass(frozen=True)
class Pictures:
    """N pictures.

    x: (N, 3, side, side) in [0, 1].  names: what each is called in rows, unique.  labels: the text of each.
    choices: the labels that the judge chooses among.  source: "emoji", or the folder.  skipped: files that could not be read.
    """

    x: torch.Tensor
    names: list[str]
    labels: list[str]
    choices: list[str]
    source: str = "emoji"
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def side(self) -> int:
        """Of the images, in pixels."""
        return self.x.shape[-1]

    @property
    def numbers(self) -> list[int]:
        """A number for each picture, of its name: the same whatever else is chosen, for seeds."""
        return [zlib.crc32(name.encode("utf-8", "surrogateescape")) for name in self.names]


def load(data: str = "emoji", classes: Sequence[str] | None = None, count: int = 48, side: int = 64, texts: str | None = None) -> Pictures:
    """The first `count` pictures, in an order that one fixed seed shuffles: those of a smaller count come first in a larger one.

    data: "emoji" for the test part of the held-out drawings, on which no setting was chosen; or a folder, see `photographs.find`.
    classes: the labels, or class folders, to take from; all if None.  texts: see `photographs.find`; for a folder.
    """
    if data != "emoji":
        return photographed(data, classes, count, side, texts)
    rows = drawings(classes, count, texts)
    names = [f"{style}/{concept}" for style, concept in zip(rows["style"], rows["concept"])]
    choices = list(dict.fromkeys(shipped.captions()["label"]))
    return Pictures(shipped.decode(rows, side), names, rows["label"].tolist(), choices)


def check(data: str, classes: Sequence[str] | None, count: int, texts: str | None) -> None:
    """What of `load`'s arguments can be looked at before anything is read."""
    if data == "emoji":
        drawings(classes, count, texts)
    else:
        checks.integer("images", count, 2)
        checks.expect(Path(data).is_dir(), "data", repr(data), "'emoji', or a folder of pictures", checks.MissingFileError)


def drawings(classes: Sequence[str] | None, count: int, texts: str | None) -> pd.DataFrame:
    """The chosen rows of `captions()`."""
    checks.expect(texts is None, "texts", repr(texts), "none with --data emoji, whose pictures have their labels")
    rows = shipped.of_split(shipped.captions(), "test")
    if classes is not None:
        rows = rows[rows["label"].isin(chosen_classes(classes, sorted(set(rows["label"]))))]
    count = checks.integer("images", count, 2, len(rows))
    return rows.iloc[np.random.default_rng(SHUFFLE).permutation(len(rows))[:count]]


def chosen_classes(wanted: Sequence[str], there: Sequence[str]) -> list[str]:
    """Those of `there` that are named, whether written with spaces or underscores, in whatever case."""
    plain = {each.replace("_", " ").casefold(): each for each in there}
    found = []
    for name in wanted:
        key = name.strip().replace("_", " ").casefold()
        near = ", ".join(difflib.get_close_matches(key, plain, n=5, cutoff=0.5)) or f"{', '.join(list(plain)[:5])}, …"
        checks.expect(key in plain, "classes", repr(name.strip()), f"some of those there are, such as {near}")
        found.append(plain[key])
    return found


def photographed(data: str, classes: Sequence[str] | None, count: int, side: int, texts: str | None) -> Pictures:
    """Pictures of a folder."""
    found = photographs.find(data, texts)
    choices = sorted({each.text for each in found})
    if classes is not None:
        kinds = {each.kind: each.text for each in found}
        wanted = chosen_classes([{text: kind for kind, text in kinds.items()}.get(name.strip(), name) for name in classes], sorted(kinds))
        found = [each for each in found if each.kind in wanted]
    x, kept, damaged = photographs.read(found, checks.integer("images", count, 2), side)
    return Pictures(x, [each.name for each in kept], [each.text for each in kept], choices, str(data), damaged)
