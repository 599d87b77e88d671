"""treg_edu.training.redraw: what changes in a drawing, and what does not."""

import re

import numpy as np
import pytest

from treg_edu.training import corpus as corpora
from treg_edu.training import redraw

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><g fill="none"><path fill="#F80" d="M2 2h6v12H2z"/>'
    '<path fill="#ff8800" d="M8 2h6v6H8z"/><circle cx="11" cy="11" r="3" fill="#123456"/><path fill="url(#abc)" d="M0 0h1v1z"/></g></svg>'
)


def colours(svg):
    return re.findall(r'fill="(#\w+)"', svg)


def drawn(seed=0):
    return np.random.default_rng(seed)


def test_a_colour_is_replaced_everywhere_by_the_same_and_references_stay():
    new = redraw.recoloured(SVG, lambda colour: colour[::-1])
    assert colours(new) == ["#0088ff", "#0088ff", "#563412"] and "url(#abc)" in new
    assert redraw.recoloured(SVG, lambda colour: (2, -1, 0.5)).count("#ff0080") == 3  # cut to what a colour can be


@pytest.mark.parametrize("way", redraw.WAYS)
def test_a_redrawing_is_its_seeds_and_keeps_every_shape(way):
    assert way(SVG, drawn()) == way(SVG, drawn())
    assert len({way(SVG, drawn(seed)) for seed in range(5)}) == 5
    new = way(SVG, drawn())
    assert re.findall(r' d="[^"]*"', new) == re.findall(r' d="[^"]*"', SVG)
    original, changed = corpora.render(SVG), corpora.render(new)
    assert np.abs(original.astype(int) - changed).max() > 20
    inside = (original < 250).any(2)
    assert (changed[~inside] == 255).mean() > 0.8  # an outline reaches a little over the edge


def test_outlines_are_dark_and_thin():
    new = redraw.outlined(SVG, drawn())
    width = float(re.search(r'stroke-width="([\d.]+)"', new).group(1))
    assert 0.16 <= width <= 0.48 and new.endswith("</g></svg>")
    before, after = corpora.render(SVG).astype(int), corpora.render(new).astype(int)
    grown = (after.sum(2) < 300) & (before.sum(2) > 300)
    assert 50 < grown.sum() < 1000


def test_line_art_is_black_on_white():
    pixels = corpora.render(redraw.line_art(SVG.replace("#123456", "#ffee88"), drawn())).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 2  # grey at most, at the rims
    assert (pixels[20:40, 14:26] > 250).all()  # what was orange


def test_few_tones_keep_dark_below_light():
    for seed in range(10):
        dark, light = (sum(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in colours(redraw.few_tones(SVG, drawn(seed)))[::-2])
        assert dark <= light
