"""Drawings drawn again: an SVG knows its shapes and its colours apart, so each can be changed without the other.

What the pixels of a picture cannot give a classifier, its source can: the same fox with a black outline, as line art, or in three blues.
"""

import colorsys
import re
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["WAYS", "few_tones", "line_art", "outlined", "recoloured"]

Colour = Sequence[float] | np.ndarray

COLOUR = re.compile(r"(?<!url\()#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
DARK = 0.25  # luminance below which a part is a line rather than an area


def recoloured(svg: str, change: Callable[[Colour], Colour]) -> str:
    """Each colour (r, g, b) of the drawing, in [0, 1], replaced by change((r, g, b)), everywhere by the same."""
    changed = {}

    def replace(match: re.Match[str]) -> str:
        text = match.group(1).lower()
        if text not in changed:
            digits = text if len(text) == 6 else "".join(2 * digit for digit in text)
            new = np.clip(change(tuple(int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))), 0, 1)
            changed[text] = "#" + "".join(f"{round(255 * value):02x}" for value in new)
        return changed[text]

    return COLOUR.sub(replace, svg)


def outlined(svg: str, generator: np.random.Generator) -> str:
    """A nearly black line of 1 to 3 % of the canvas around every part that has no line of its own."""
    start = svg.index(">") + 1
    side = float(re.findall(r'viewBox="[^"]* (\S+)"', svg)[0])
    width, grey = side * generator.uniform(0.01, 0.03), generator.integers(48)
    line = f'stroke="#{grey:02x}{grey:02x}{grey:02x}" stroke-width="{width:.3f}" stroke-linejoin="round" stroke-linecap="round"'
    return f"{svg[:start]}<g {line}>{svg[start:].removesuffix('</svg>')}</g></svg>"


def luminance(colour: Colour) -> float:
    return float(np.dot(colour, (0.299, 0.587, 0.114)))


def other_tones(svg: str, generator: np.random.Generator) -> str:
    """Every colour a little another one; in three drawings of ten, all hues turned by one angle as well."""
    turn = generator.uniform(-0.5, 0.5) if generator.random() < 0.3 else 0

    def change(colour: Colour) -> Colour:
        hue, light, saturation = colorsys.rgb_to_hls(*colour)
        light, saturation = np.clip(light + generator.uniform(-0.15, 0.15), 0, 1), np.clip(saturation * generator.uniform(0.5, 1.3), 0, 1)
        return colorsys.hls_to_rgb((hue + turn + generator.uniform(-0.1, 0.1)) % 1, light, saturation)

    return recoloured(svg, change)


def few_tones(svg: str, generator: np.random.Generator) -> str:
    """Two to four colours drawn at random, from dark to light as the ones they replace."""
    lights = np.linspace(generator.uniform(0.05, 0.3), generator.uniform(0.7, 1), generator.integers(2, 5))
    colours = [colorsys.hls_to_rgb(generator.random(), light, generator.uniform(0.2, 1)) for light in lights]
    return recoloured(svg, lambda colour: colours[min(int(luminance(colour) * len(colours)), len(colours) - 1)])


def inked(svg: str, generator: np.random.Generator) -> str:
    """With outlines, half of the time in other tones."""
    return outlined(other_tones(svg, generator) if generator.random() < 0.5 else svg, generator)


def pale(svg: str, generator: np.random.Generator) -> str:
    """With outlines, the areas washed out."""

    def change(colour: Colour) -> Colour:
        return colour if luminance(colour) < DARK else 1 - generator.uniform(0.3, 0.8) * (1 - np.array(colour))

    return outlined(recoloured(svg, change), generator)


def line_art(svg: str, generator: np.random.Generator) -> str:
    """Outlines on white; what is dark stays, in black."""
    dark = generator.uniform(0.6, 1.4) * DARK
    return outlined(recoloured(svg, lambda colour: (0, 0, 0) if luminance(colour) < dark else (1, 1, 1)), generator)


WAYS = (other_tones, few_tones, inked, pale, line_art)
