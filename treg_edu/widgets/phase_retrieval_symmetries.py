"""The panel of notebook 02."""

import ipywidgets as w
import torch

from .. import figures, images, phase_retrieval
from .base import Live, picture_menu

__all__ = ["phases_and_copies"]

COLOURS = ["red", "green", "blue"]


def phases_and_copies(name: str = "fox", other: str = "strawberry") -> Live:
    """The panel of notebook 02: two pictures → magnitudes of one with phases of the other, and the first on its canvas, changed."""
    controls = {
        "name": picture_menu(name, "a"),
        "other": picture_menu(other, "b"),
        "turned": w.Dropdown(options=["no channel", "every channel", *COLOURS], value="every channel", description="turned"),
        "down": w.IntSlider(value=0, min=0, max=127, description="down"),
        "right": w.IntSlider(value=0, min=0, max=127, description="right"),
        "negative": w.Checkbox(description="negative"),
        "mirrored": w.Checkbox(description="mirrored"),
    }

    def draw(name: str, other: str, turned: str, down: int, right: int, negative: bool, mirrored: bool) -> figures.Figure:
        a, b = images.example(name), images.example(other)
        chosen = torch.tensor([turned in ("every channel", colour) for colour in COLOURS]).view(3, 1, 1)
        copy = phase_retrieval.shift(phase_retrieval.pad(torch.where(chosen, phase_retrieval.rotate(a), a)), down, right)
        copy = (-copy if negative else copy).flip([-1] if mirrored else [])
        canvas = phase_retrieval.pad(a)
        apart = (torch.fft.fft2(copy, norm="ortho").abs() - torch.fft.fft2(canvas, norm="ortho").abs()).abs().max()
        note = "magnitudes are the same" if apart < 1e-4 else f"magnitudes differ by {apart:.1g}"
        pictures = {"a": a, "b": b, "|F a|, phases of b": phase_retrieval.with_phases(a, b), "a on its canvas": canvas, "changed": copy}
        return figures.over_magnitudes([each[0] for each in pictures.values()], list(pictures), ["", "", "", "", note])

    return Live(controls, draw)
