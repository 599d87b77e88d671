"""Other texts for a picture than its label: wrong ones that measure alike, wrong ones that do not, and other wordings of the right one."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
from torch.nn import functional as F

from .. import checks, files, images
from ..operators import Operator
from .arms import Arm
from .measurements import instrument
from .pictures import Pictures

__all__ = ["WORDINGS", "alike", "by_measurement", "contradicting", "paraphrased"]

SMALL = 64
"""Pixels of a side at which pictures are compared: larger ones are shrunk for it."""
FILLER = "with many small details on a plain background and soft light from above that falls on every part of it, "


def by_measurement(
    operator: Operator, x: torch.Tensor, labels: Sequence[str], references: Mapping[str, torch.Tensor], farthest: bool = False
) -> list[str]:
    """For each image the label of another concept, whose pictures look most alike when measured; or least.

    The distance is that of A(x) and the mean of A over a label's pictures.  A label that shares a word is no other concept: "dog face" is
    the same thing as "dog".  x: (N, 3, H, W).  references: {label: (n, 3, H, W)}.
    """
    names = sorted(references)
    means = torch.stack([operator.A(references[name]).mean(0).flatten() for name in names])
    distance = torch.cdist(operator.A(x).flatten(1), means)
    away = -float("inf") if farthest else float("inf")
    for i, label in enumerate(labels):
        others = [j for j, name in enumerate(names) if not set(name.split()) & set(label.split())]
        checks.expect(others, "classes", f"{label!r} and none that is another thing", "two classes or more")
        distance[i, [j for j in range(len(names)) if j not in others]] = away
    return [names[j] for j in (distance.argmax(1) if farthest else distance.argmin(1))]


def other_labels(pictures: Pictures, arm: Arm, farthest: bool) -> list[str]:
    """By what the arm's instrument measures of the training drawings; or where the pictures are a folder's, of those pictures."""
    if pictures.source == "emoji":
        x, rows = images.load("train")
        labels = rows["label"].tolist()
    else:
        x, labels = pictures.x, pictures.labels
    side = min(pictures.side, SMALL)
    x, own = shrunk(x, side), shrunk(pictures.x, side)
    places = {name: [i for i, each in enumerate(labels) if each == name] for name in sorted(set(labels))}
    references = {name: x[where] for name, where in places.items()}
    return by_measurement(instrument(arm.measurement.instrument, side), own, pictures.labels, references, farthest)


def shrunk(x: torch.Tensor, side: int) -> torch.Tensor:
    """Pixels averaged."""
    return x if x.shape[-1] == side else F.adaptive_avg_pool2d(x, side)


def alike(pictures: Pictures, arm: Arm) -> list[str]:
    """A wrong text that could be true, as macarons for ice cream in the paper."""
    return other_labels(pictures, arm, farthest=False)


def contradicting(pictures: Pictures, arm: Arm) -> list[str]:
    """A wrong text that the measurement speaks against."""
    return other_labels(pictures, arm, farthest=True)


# The right text, in other words


def paraphrases() -> dict[str, str]:
    """{label: a description that no caption of the training has}, of `data/paraphrases.csv`."""
    listed = pd.read_csv(files.data_folder() / "paraphrases.csv")
    return dict(zip(listed["label"], listed["text"]))


def paraphrased(data: str) -> list[str] | None:
    """The labels of the test part that have a paraphrase; of photographs all."""
    if data != "emoji":
        return None
    known = paraphrases()
    return sorted(set(images.of_split(images.captions(), "test")["label"]) & set(known))


def in_other_words(pictures: Pictures, arm: Arm) -> list[str]:
    """The paraphrase; of a photograph, a sentence with the label."""
    known = paraphrases() if pictures.source == "emoji" else {}
    return [known.get(label, f"this photo shows {label}") for label in pictures.labels]


def general(pictures: Pictures, arm: Arm) -> list[str]:
    """The kind of thing; of a photograph, nothing but that."""
    rows = images.captions()
    groups = dict(zip(rows["label"], rows["group"])) if pictures.source == "emoji" else {}
    return [groups.get(label, "a photo") for label in pictures.labels]


def styled(pictures: Pictures, arm: Arm) -> list[str]:
    return [f"a glossy, colourful {label} in the style of a sticker" for label in pictures.labels]


def long(pictures: Pictures, arm: Arm) -> list[str]:
    """Past the tokenizer's limit, the label first, so that it is kept."""
    return [f"{label} {6 * FILLER}".strip() for label in pictures.labels]


def misspelt(pictures: Pictures, arm: Arm) -> list[str]:
    """Two letters in the middle of the longest word change places; the first pair there that differ."""
    return [with_swapped_letters(label) for label in pictures.labels]


def with_swapped_letters(label: str) -> str:
    word = max(label.split(), key=len, default="")
    middle = max(len(word) // 2 - 1, 0)
    for i in [*range(middle, len(word) - 1), *range(middle)]:
        if word[i] != word[i + 1]:
            return label.replace(word, word[:i] + word[i + 1] + word[i] + word[i + 2 :], 1)
    return label + label[-1:]


WORDINGS: dict[str, Callable[[Pictures, Arm], Sequence[str]]] = {
    "paraphrase": in_other_words,
    "style words": styled,
    "too general": general,
    "too long": long,
    "misspelt": misspelt,
    "contradicting": contradicting,
}
"""{name: the text of each picture}."""
