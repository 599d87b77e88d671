"""Drawings for a small corpus: forty concepts, five shapes × four colours × one or two of them, as SVG documents of our own.

A concept is drawn as often as one likes: where the shapes stand, how large they are, how they are turned, and the shade of the colour are
drawn by chance.  The emoji of `corpus` need packages that do not ship; these need nothing.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import corpus

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLOURS", "CONCEPTS", "NUMBERS", "SHAPES", "Concept", "build", "svg"]

COLOURS = {"red": 2, "yellow": 46, "green": 130, "blue": 220}  # degrees of hue
NUMBERS = ("one", "two")
STAR = " ".join(f"{r * math.sin(a):.3f},{-r * math.cos(a):.3f}" for a, r in ((math.pi * i / 5, 0.45 if i % 2 else 1.1) for i in range(10)))
SHAPES = {  # bodies of SVG, each in the square from −1 to 1
    "disc": '<circle r="0.95"/>',
    "square": '<rect x="-0.85" y="-0.85" width="1.7" height="1.7"/>',
    "triangle": '<polygon points="0,-1 1.05,0.85 -1.05,0.85"/>',
    "star": f'<polygon points="{STAR}"/>',
    "heart": '<path d="M0 0.95 C-1.9 -0.35 -0.75 -1.5 0 -0.45 C0.75 -1.5 1.9 -0.35 0 0.95z"/>',
}
SIDE = 64  # of the canvas, in its own units, which are pixels where nothing is scaled
RADIUS, PLACES = {"one": 21.0, "two": 11.2}, {"one": [(32, 32)], "two": [(17, 32), (47, 32)]}


class Concept(NamedTuple):
    """What is drawn.  number: one of NUMBERS."""

    number: str
    colour: str
    shape: str

    @property
    def label(self) -> str:
        """Its text: "red star", "two red stars"."""
        return f"{self.colour} {self.shape}" if self.number == "one" else f"two {self.colour} {self.shape}s"


CONCEPTS = [Concept(number, colour, shape) for number in NUMBERS for colour in COLOURS for shape in SHAPES]


def svg(body: str, colour: str, number: str, generator: np.random.Generator) -> str:
    """A drawing as an SVG document.  body: SVG in the square from −1 to 1, such as those of SHAPES."""

    def within(most: float) -> float:
        return most * (2 * generator.random() - 1)

    light, tilt = 50 + within(7), within(12)
    shapes = ""
    for x, y in PLACES[number]:
        radius = RADIUS[number] * (1 + within(0.08))
        place = f"translate({x + within(1.5):.2f} {y + within(4):.2f}) rotate({tilt:.1f}) scale({radius:.2f})"
        shapes += f'<g transform="{place}">{body}</g>'
    fill = f"hsl({COLOURS[colour]} 85% {light:.0f}%)"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}"><g fill="{fill}">{shapes}</g></svg>'


def build(each: int, held_out: int, concepts: Sequence[Concept] = CONCEPTS, seed: int = 0) -> "pd.DataFrame":
    """So many drawings of each concept to train on, and so many held out: a corpus with the columns of `corpus.build`."""
    import pandas as pd

    generator = np.random.default_rng(seed)
    rows = [_row(concept, index < each, generator) for concept in concepts for index in range(each + held_out)]
    return pd.DataFrame(rows)


def _row(concept: Concept, trained: bool, generator: np.random.Generator) -> dict[str, Any]:
    pixels = corpus.drawn(svg(SHAPES[concept.shape], concept.colour, concept.number, generator))
    named = {"label": concept.label, "keywords": [], "group": "shapes"}
    return corpus.row_of(named, "", pixels, "MIT", "train" if trained else "heldout")
