"""A corpus of the reader's own pictures and captions, from a folder that `photographs` reads.

    treg-edu train corpus --from FOLDER                      each picture's text is the name of its class folder
    treg-edu train corpus --from FOLDER --texts FILE.csv     file,text or class,text

A folder with a training part and a test part keeps them. In any other a picture is held out by its own bytes alone: it stays on its side
when pictures are added or taken away, and copies of a file lie on one side.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import checks, photographs
from . import corpus, data

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HELD_OUT", "build", "held_out"]

HELD_OUT = 1 / 8  # of the pictures, about
OF_PARTS = "held out is what lies in the folder's test or validation part"
OF_BYTES = f"held out where the first 8 bytes of the file's SHA-256, as a number in [0, 1), are below {HELD_OUT}; at least one, never all"


def build(folder: str | Path, texts: str | None = None) -> "pd.DataFrame":
    """The pictures below a folder as a corpus: the columns of `corpus.build`, one row a picture, 64×64, the label its text.

    texts: as in `photographs.find`.  Files that cannot be read are left out, with a warning.
    frame.attrs holds the rule by which pictures were held out, "split", and the names of the files left out, "unreadable".
    """
    import pandas as pd

    found = photographs.all_of(folder, texts, "from")
    kept, unreadable = photographs.read_all(found, corpus.CANVAS, "from")
    of_parts = {each.held_out for each, _ in kept} == {True, False}
    aside = [each.held_out for each, _ in kept] if of_parts else held_out([each.path.read_bytes() for each, _ in kept])
    rows: list[dict[str, Any]] = [
        {
            "image": {"bytes": data.png_of(picture), "path": each.name},
            "label": each.text,
            "keywords": [],
            "style": "",
            "concept": corpus.slug(each.text),
            "group": each.kind,
            "split": "heldout" if out else "train",
            "licence": "",
        }
        for (each, picture), out in zip(kept, aside)
    ]
    frame = pd.DataFrame(rows)
    frame.attrs = {"split": OF_PARTS if of_parts else OF_BYTES, "unreadable": unreadable}
    return frame


def held_out(contents: Sequence[bytes]) -> list[bool]:
    """Which of some files are held out, by the rule OF_BYTES."""
    numbers = [int.from_bytes(hashlib.sha256(each).digest()[:8]) / 2**64 for each in contents]
    least, most = min(numbers), max(numbers)
    checks.expect(least < most, "from", f"{len(set(contents))} picture", "at least two different ones, so that one can be held out")
    return [(number < HELD_OUT or number == least) and number < most for number in numbers]
