"""The pad: a picture that a visitor draws on with a pen, and on which a box is drawn that the instrument will hide."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from .. import images
from .uploads import SIDE

__all__ = ["SCALE", "Box", "Pad", "box_between"]

SCALE = 4
"""Pixels of the page, in each direction, for a pixel of the picture."""
Box = dict[str, float]
"""{"top", "left", "height", "width"}, in pixels of the picture."""
Point = tuple[float, float]


def box_between(a: Point, b: Point) -> Box:
    """The box of whole pixels of the picture that spans two points (x, y) of the page, inside the picture and at least one pixel wide."""
    (left, right), (top, bottom) = (sorted(min(max(int(each // SCALE), 0), SIDE - 1) for each in pair) for pair in zip(a, b))
    return {"top": top, "left": left, "height": bottom - top + 1, "width": right - left + 1}


class Pad:
    """changed(): called after each stroke, each box and each new picture.

    hand: "box" or "pen".  colour, thickness: of the pen, the second in pixels of the page.  box: the box, None until one is drawn.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        from ipycanvas import MultiCanvas

        self._changed = changed
        self.hand, self.colour, self.thickness = "box", "#000000", 12
        self.box: Box | None = None
        self._picture = torch.ones(1, 3, SIDE, SIDE)
        self._page = Image.new("RGB", (SIDE * SCALE,) * 2, "white")
        self._sketched = False
        self._from: Point | None = None
        side = SIDE * SCALE
        layout = {"border": "1px solid #bbb", "width": f"{side + 2}px", "height": f"{side + 2}px"}
        self.widget = MultiCanvas(2, width=side, height=side, layout=layout)
        self._paper, self._glass = self.widget[0], self.widget[1]
        for down, move, up in (("mouse_down", "mouse_move", "mouse_up"), ("touch_start", "touch_move", "touch_end")):
            getattr(self.widget, f"on_{down}")(self._down)
            getattr(self.widget, f"on_{move}")(self._move)
            getattr(self.widget, f"on_{up}")(self._up)
        self.widget.on_mouse_out(self._up)
        self.widget.on_client_ready(self._redraw)

    def show(self, x: torch.Tensor) -> None:
        """Another picture, (1, 3, SIDE, SIDE), without strokes; the box stays."""
        self._picture, self._sketched = x, False
        self._page = images.to_pil(x).resize((SIDE * SCALE,) * 2, Image.Resampling.NEAREST)
        self._redraw()
        self._changed()

    def blank(self) -> None:
        """A white sheet."""
        self.show(torch.ones(1, 3, SIDE, SIDE))

    def put_box(self, box: Box | None) -> None:
        """A box that was not drawn by hand, or none."""
        self.box = box
        self._draw_box()

    def x(self) -> torch.Tensor:
        """The picture with the strokes on it, (1, 3, SIDE, SIDE)."""
        return images.from_pil(self._page, SIDE) if self._sketched else self._picture

    @property
    def sketched(self) -> bool:
        """Whether the pen has changed the picture."""
        return self._sketched

    def _down(self, *point: Any) -> None:
        self._from = point_of(point)
        self._move(*point)

    def _move(self, *point: Any) -> None:
        if self._from is None:
            return
        here = point_of(point)
        if self.hand == "box":
            self.box = box_between(self._from, here)
            self._draw_box()
        else:
            self._stroke(self._from, here)
            self._from = here

    def _up(self, *point: Any) -> None:
        if self._from is not None:
            self._from = None
            self._changed()

    def _stroke(self, a: Point, b: Point) -> None:
        """A line with round ends, on the page and in the picture."""
        self._sketched, radius = True, self.thickness / 2
        pen = ImageDraw.Draw(self._page)
        pen.line([a, b], fill=self.colour, width=self.thickness)
        for x, y in (a, b):
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=self.colour)
        self._paper.line_width, self._paper.line_cap, self._paper.stroke_style = self.thickness, "round", self.colour
        self._paper.stroke_line(*a, *b)

    def _draw_box(self) -> None:
        self._glass.clear()
        if self.box is not None:
            self._glass.fill_style, self._glass.stroke_style = "rgba(128, 128, 128, 0.6)", "black"
            place = [SCALE * self.box[name] for name in ("left", "top", "width", "height")]
            self._glass.fill_rect(*place)
            self._glass.stroke_rect(*place)

    def _redraw(self) -> None:
        """All of it, as for a browser that has just connected."""
        self._paper.put_image_data(np.asarray(self._page))
        self._draw_box()


def point_of(event: tuple[Any, ...]) -> Point:
    """(x, y) of a mouse's event, or of the first finger of a touch, inside the page."""
    first = event[0]
    x, y = first[0] if isinstance(first, (list, tuple)) and first else event[:2]
    most = SIDE * SCALE - 1
    return min(max(float(x), 0.0), most), min(max(float(y), 0.0), most)
