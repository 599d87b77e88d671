"""The captioned images: open emoji art, rendered at 64×64 from the SVG packages of eight styles.

    npm pack @iconify-json/noto @iconify-json/twemoji …  emojibase-data      (those of PACKAGES)
    treg-edu train corpus FOLDER_WITH_THE_TGZ_FILES          (of one's own pictures: `own`)

Every concept of *animals & nature* and *food & drink* is one label ("ice cream"); every (concept, style) pair is one image.
One image of each concept that has at least four is held out of every training: autoencoder, CLIP, U-Net and judge alike. Drawings of the
same concepts in six further styles (`train further`, those of FURTHER) are a second corpus, which does not ship: the image towers of
CLIP and judge see them beside.
"""

import io
import json
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks, files
from . import redraw
from .data import packed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CANVAS", "build", "drawn", "row_of", "slug"]

Concept = Mapping[str, Any]

CANVAS, GLYPH = 64, 56
GROUPS = {3: "animals & nature", 4: "food & drink"}
MIN_STYLES_TO_HOLD_OUT = 4
COPY_MSE = 2e-3  # two styles of a concept closer than this are one picture shipped twice

PACKAGES = {
    "noto": ("iconify-json-noto", "Apache-2.0"),
    "twemoji": ("iconify-json-twemoji", "CC-BY-4.0"),
    "openmoji": ("iconify-json-openmoji", "CC-BY-SA-4.0"),
    "emojione": ("iconify-json-emojione", "CC-BY-4.0"),
    "emojione v1": ("iconify-json-emojione-v1", "CC-BY-SA-4.0"),
    "firefox": ("iconify-json-fxemoji", "CC-BY-4.0"),
    "fluent": ("iconify-json-fluent-emoji", "MIT"),
    "fluent flat": ("iconify-json-fluent-emoji-flat", "MIT"),
}
# style: (package, licence, the styles above that it is an edition of)
FURTHER = {
    "noto v1": ("iconify-json-noto-v1", "Apache-2.0", ["noto"]),
    "emojione monotone": ("iconify-json-emojione-monotone", "CC-BY-4.0", ["emojione", "emojione v1"]),
    "fluent high contrast": ("iconify-json-fluent-emoji-high-contrast", "MIT", ["fluent", "fluent flat"]),
    "streamline": ("iconify-json-streamline-emojis", "CC-BY-4.0", []),
    "game icons": ("iconify-json-game-icons", "CC-BY-3.0", []),
    "icon park": ("iconify-json-icon-park", "Apache-2.0", []),
}
# Icons that share a label's name and mean something else: a computer's mouse, the seal of a letter, the country.
NOT_MEANT = {
    "game icons": {"ram", "camel"},
    "icon park": {"mouse", "seal", "pie", "turkey", "chicken", "cooking"},
    "streamline": {"turkey", "camel"},
}
WORDS = "emojibase-data"

# Firefox OS has no code points, and its own names for some of the pictures.
FIREFOX_NAMES = {
    "dog face": "dog", "dog": "dogside", "cat face": "cat", "cat": "catside", "wolf": "wolfface",
    "tiger face": "tiger", "tiger": "tigerside", "leopard": "leopardside", "pig face": "pig", "pig": "pigside",
    "pig nose": "pigsnout", "ewe": "sheep", "camel": "dromedarycamel", "two-hump camel": "bactriancamel",
    "mouse face": "mouse", "mouse": "mouseside", "hamster": "hampster", "rabbit face": "bunny", "rabbit": "bunnyside",
    "panda": "pandaface", "front-facing baby chick": "frontfacingchick", "dove": "doveofpeace",
    "dragon face": "dragonhead", "dragon": "dragonside", "spouting whale": "spurtingwhale",
    "evergreen tree": "evergreen", "sheaf of rice": "earofrice", "fallen leaf": "fallingleaf",
    "leaf fluttering in wind": "leaffluttering", "eggplant": "aubergine", "ear of corn": "earofmaize",
    "hot pepper": "chilipepper", "chestnut": "acorn", "pizza": "sliceofpizza", "curry rice": "curryandrice",
    "fish cake with swirl": "fishcakeswirl", "sake": "sakebottleandcup", "kitchen knife": "hocho",
    "fork and knife": "forkandknife", "fork and knife with plate": "forkknife",
}  # fmt: skip


def _member(folder: str | Path, package: str, name: str) -> bytes:
    """The bytes of one file of an npm package, given as a .tgz of `npm pack` in `folder`."""
    return packed("folder", folder, f"{package}-[0-9]*.tgz", "npm pack", f"package/{name}")


def concepts(folder: str | Path) -> list[Concept]:
    """The labels of the corpus: a list of {"label", "code", "keywords", "group"}, in Unicode's order."""
    rows = [row for row in json.loads(_member(folder, WORDS, "en/data.json")) if row.get("group") in GROUPS]
    return [
        {
            "label": row["label"],
            "code": _code(row["hexcode"]),
            "keywords": row.get("tags", []),
            "group": GROUPS[row["group"]],
        }
        for row in sorted(rows, key=lambda row: row["order"])
    ]


def _code(hexcode: str) -> str:
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def slug(label: str, joint: str = "-") -> str:
    """A label as part of a file's name: "ice-cream"."""
    return re.sub("[^a-z0-9]+", joint, label.lower()).strip("-")


def drawings(folder: str | Path, style: str) -> Callable[[Concept], str | None]:
    """All SVG documents of a style, as a function from a concept to SVG text, or None where the style lacks it."""
    package, *_ = (PACKAGES | FURTHER)[style]
    pack = json.loads(_member(folder, package, "icons.json"))
    names = {_code(code): name for code, name in json.loads(_member(folder, package, "chars.json")).items()}
    icons, aliases = pack["icons"], pack.get("aliases", {})

    def draw(concept: Concept) -> str | None:
        label = concept["label"]
        if label in NOT_MEANT.get(style, ()):
            return None
        name = names.get(concept["code"], slug(label))
        if style == "firefox":
            name = FIREFOX_NAMES.get(label, slug(label, ""))
        found = [icons.get(aliases.get(each, {}).get("parent", each)) for each in (name, f"{name}-1")]  # the first of several cats
        icon = next(filter(None, found), None)
        if icon is None:
            return None
        width, height = icon.get("width", pack.get("width", 16)), icon.get("height", pack.get("height", 16))
        side = max(width, height) * CANVAS / GLYPH
        box = f"{(width - side) / 2} {(height - side) / 2} {side} {side}"
        return f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">{icon["body"]}</svg>'

    return draw


def render(svg: str) -> np.ndarray | None:
    """SVG text → (64, 64, 3) uint8, the 56-pixel glyph in the middle of a white canvas; None for the few that resvg cannot draw."""
    import resvg_py
    from PIL import Image

    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, width=CANVAS, height=CANVAS, background="white")
    except BaseException as error:  # a panic of the Rust library, whose class cannot be imported
        if type(error).__name__ != "PanicException":
            raise
        return None
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


def drawn(svg: str) -> np.ndarray:
    """As `render`, of a document that is to be drawable."""
    pixels, why = None, "resvg cannot draw it"
    try:
        pixels = render(svg)
    except ValueError as error:
        why = str(error)
    if pixels is None:
        checks.fail("svg", f"{svg[:200]!r} ({why})", "a document that resvg draws")
    return pixels


def build(folder: str | Path, seed: int = 0) -> "pd.DataFrame":
    """The corpus as a DataFrame: image, label, keywords, style, concept, group, split, licence.

    A picture that a second style ships unchanged is kept once. Of each concept with at least four images, one, of a style drawn with
    `seed`, is held out.
    """
    import pandas as pd

    draw = {style: drawings(folder, style) for style in PACKAGES}
    generator = np.random.default_rng(seed)
    rows = []
    for concept in concepts(folder):
        kept = _distinct({style: _picture(draw[style](concept)) for style in PACKAGES})
        held_out = generator.integers(len(kept)) if len(kept) >= MIN_STYLES_TO_HOLD_OUT else None
        for index, (style, pixels) in enumerate(kept.items()):
            rows.append(row_of(concept, style, pixels, PACKAGES[style][1], "heldout" if index == held_out else "train"))
    return pd.DataFrame(rows)


def build_further(folder: str | Path, corpus: "pd.DataFrame") -> "pd.DataFrame":
    """The concepts of `build` in the styles of FURTHER, all to train on: none that is another edition of a picture that `corpus` holds out.

    corpus: the DataFrame of `build`, or of the parquet that ships. Returns a DataFrame with the same columns.
    """
    import pandas as pd

    held_out = set(corpus.query("split == 'heldout'")[["label", "style"]].itertuples(index=False, name=None))
    rows = []
    for style, (_, licence, editions_of) in FURTHER.items():
        draw = drawings(folder, style)
        for concept in concepts(folder):
            pixels = _picture(draw(concept))
            if pixels is not None and not any((concept["label"], each) in held_out for each in editions_of):
                rows.append(row_of(concept, style, pixels, licence, "train"))
    return pd.DataFrame(rows)


def build_redrawn(folder: str | Path, corpus: "pd.DataFrame", seed: int = 0) -> "pd.DataFrame":
    """Every training picture of `corpus` drawn again in each of `redraw.WAYS`, under its own style.

    corpus: as in `build_further`.  Returns a DataFrame with the same columns.
    """
    import pandas as pd

    of_label = {concept["label"]: concept for concept in concepts(folder)}
    draw = {style: drawings(folder, style) for style in PACKAGES}
    rows = []
    for row in corpus.query("split == 'train'").itertuples():
        concept = of_label[row.label]
        generator = np.random.default_rng([seed, zlib.crc32(row.image["path"].encode())])
        svg = draw[row.style](concept)
        if svg is None:
            checks.fail("folder", f"no {row.label!r} in the style {row.style!r}", "the packages that the corpus was made from")
        for way in redraw.WAYS:
            pixels = _picture(way(svg, generator))
            if pixels is not None:
                rows.append(row_of(concept, row.style, pixels, row.licence, "train"))
    return pd.DataFrame(rows)


def _picture(svg: str | None) -> np.ndarray | None:
    pixels = render(svg) if svg else None
    return None if pixels is None or pixels.std() < 2 else pixels


def _distinct(pictures: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray]:
    """Those of {style: pixels or None} that are there and no copy of one before."""
    kept: dict[str, np.ndarray] = {}
    for style, pixels in pictures.items():
        if pixels is not None and all(_mse(pixels, other) >= COPY_MSE for other in kept.values()):
            kept[style] = pixels
    return kept


def row_of(concept: Concept, style: str, pixels: np.ndarray, licence: str, split: str) -> dict[str, Any]:
    """A row of a corpus.  concept: its label, keywords and group.  pixels: (64, 64, 3) uint8."""
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG", optimize=True)
    name = slug(concept["label"])
    return {
        "image": {"bytes": png.getvalue(), "path": f"{name}.{style.replace(' ', '-')}.png"},
        "label": concept["label"],
        "keywords": concept["keywords"],
        "style": style,
        "concept": name,
        "group": concept["group"],
        "split": split,
        "licence": licence,
    }


def _mse(a: np.ndarray, b: np.ndarray) -> np.floating:
    return np.mean((a / 255.0 - b / 255.0) ** 2)


def save(frame: "pd.DataFrame", path: str | Path) -> None:
    """Write the corpus as parquet, readable with pandas and, image column decoded, with `datasets`; pandas reads frame.attrs as well."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = {"dtype": "string", "_type": "Value"}
    features = dict.fromkeys(frame.columns, text) | {
        "image": {"_type": "Image"},
        "keywords": {"feature": text, "_type": "List"},
    }
    table = pa.Table.from_pandas(frame, preserve_index=False)
    told = {"PANDAS_ATTRS": json.dumps(frame.attrs)} if frame.attrs else {}
    table = table.replace_schema_metadata(told | {"huggingface": json.dumps({"info": {"features": features}})})
    with files.written_beside(path) as beside:
        pq.write_table(table, beside)
