"""The page of one visitor: a picture, an instrument, texts and solvers to choose, and the answers as the worker gives them."""

import contextlib
import os
from typing import Any

import ipywidgets as w

from .. import checks, images
from ..widgets.base import LINEAR, NONLINEAR, Cancelled, Panel, Progress, operator_and_strength, picture_and_text, text_field, told
from . import answers
from .messages import ADDRESS, ask
from .pad import SCALE, Box, Pad
from .pictures import image_tag, seen, text_of
from .question import DRAWN, MOST_SEEDS, STRENGTH, Question, solvers_for
from .uploads import FORMATS, SIDE, png_of, read_upload

__all__ = ["MOST_MEMORY", "MOST_SOLVERS", "Page", "page"]

MOST_SOLVERS = 3
MOST_MEMORY = 2**30
"""Bytes of data that a visitor's process may hold; the course's packages take a quarter of it."""
STYLE = """<style>
.answer { border-collapse: collapse; margin: 0.5em 0 }
.answer caption { text-align: left; font-weight: bold }
.answer th, .answer td { padding: 2px 6px; text-align: center; vertical-align: top; font-weight: normal; line-height: 1.3 }
.answer th { text-align: right }
</style>"""


class Page:
    """address: where the worker listens; None where there is no worker, and the page says so when it is asked to solve."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address
        self.picture, self.text = picture_and_text("fox")
        self.null_text = text_field("", "null text")
        self.upload = w.FileUpload(accept=",".join(f".{name.lower()}" for name in (*FORMATS, "jpg")), description="upload")
        self.blank = w.Button(description="blank sheet")
        self.hand = w.ToggleButtons(options={"draw the box": "box", "pen": "pen"}, style={"button_width": "auto"})
        self.colour = w.ColorPicker(value="#000000", concise=True, description="pen")
        self.thickness = w.IntSlider(value=12, min=2, max=40, description="thickness")
        self.operator, self.strength = operator_and_strength(LINEAR | NONLINEAR)
        self.solvers = w.SelectMultiple(options=["treg"], value=["treg"], rows=11, description="solvers")
        self.several = w.HTML(f"<small>up to {MOST_SOLVERS}: hold Ctrl or ⌘ and click</small>", layout={"margin": "0 0 0 90px"})
        self.seeds = w.IntSlider(value=MOST_SEEDS, min=1, max=MOST_SEEDS, description="seeds")
        self.seed = w.BoundedIntText(value=0, min=0, max=2**31 - 1, description="first seed")
        self.measured, self.said = w.HTML(), w.Label()
        self.table, self.kept = w.HTML(), w.HTML()
        self.pad = Pad(self._pad_changed)
        self._own = False  # whether the picture is the visitor's
        self._wire()
        self._choose()
        self._instrument_changed()
        self.panel = Panel([w.HTML(STYLE), self._controls()], self._solve)
        self.panel.picture.layout.display = "none"
        self.widget = w.VBox([self.panel.widget, self.table, self.kept])

    def _controls(self) -> w.Widget:
        """Three columns, that stand one below the other on a narrow page."""
        columns = {
            "1. A picture x": [self.picture, w.HBox([self.upload, self.blank]), self.pad.widget, self.hand, self.colour, self.thickness],
            "2. An instrument: y = A(x) + n": [self.operator, self.strength, self.measured],
            "3. Texts and solvers": [self.text, self.null_text, self.solvers, self.several, self.seeds, self.seed],
        }
        made = [w.VBox([w.HTML(f"<h3>{title}</h3>"), *each], layout={"width": "330px"}) for title, each in columns.items()]
        return w.VBox([w.HBox(made, layout={"flex_flow": "row wrap"}), self.said])

    def _wire(self) -> None:
        self.picture.observe(lambda _: self._choose(), "value")
        self.upload.observe(lambda _: self._upload(), "value")
        self.blank.on_click(lambda _: self._show(None))
        self.hand.observe(lambda change: setattr(self.pad, "hand", change["new"]), "value")
        self.colour.observe(lambda change: setattr(self.pad, "colour", change["new"]), "value")
        self.thickness.observe(lambda change: setattr(self.pad, "thickness", change["new"]), "value")
        self.operator.observe(lambda _: self._instrument_changed(), "value")
        self.strength.observe(lambda _: self._instrument_changed(), "value")

    # The picture

    def _choose(self) -> None:
        """The held-out picture of the menu."""
        self._own, self.said.value = False, ""
        self.pad.show(images.example(self.picture.value))

    def _show(self, x: Any) -> None:
        """A picture of the visitor's own; None: a blank sheet for the pen."""
        self._own, self.said.value = True, ""
        if x is None:
            self.hand.value = "pen"
            self.pad.blank()
        else:
            self.pad.show(x)

    def _upload(self) -> None:
        """The file that was chosen, or a sentence on why it is not taken; it is not kept."""
        if not self.upload.value:
            return
        content = bytes(self.upload.value[0]["content"])
        self.upload.value = ()
        try:
            self._show(read_upload(content))
        except Exception as error:  # a page has nowhere else to say it
            self.said.value = told(error)

    # The measurement

    def _pad_changed(self) -> None:
        """A box that was drawn chooses its instrument."""
        box = self.pad.box
        if box is not None and self.operator.value != DRAWN:
            self.operator.value = DRAWN
            self.pad.put_box(box)
        self._measure()

    def _instrument_changed(self) -> None:
        """Another instrument or strength: its box in the middle, or none; and the solvers that take it."""
        self.pad.put_box(centred_box(int(self.strength.value)) if self.operator.value == DRAWN else None)
        offered = solvers_for(self._question("treg").operator())
        if tuple(offered) != self.solvers.options:
            kept = [solver for solver in self.solvers.value if solver in offered]
            self.solvers.options = offered
            self.solvers.value = kept or ["treg"]
        self._measure()

    def _measure(self) -> None:
        """Show y."""
        question = self._question("treg", seeds=1)
        picture = seen(question.operator(), question.y())[0]
        size = "×".join(map(str, picture.shape[-2:]))
        self.measured.value = image_tag(text_of(picture), f"y, the measurement, {size} pixels", SIDE * SCALE) + f"<br>y: {size} pixels"

    # The question and its answers

    def _question(self, solver: str, **changes: Any) -> Question:
        own = self._own or self.pad.sketched
        entries: dict[str, Any] = {
            "instrument": self.operator.value,
            "setting": self.pad.box if self.operator.value == DRAWN else {STRENGTH[self.operator.value]: self.strength.value},
            "text": self.text.value,
            "null_text": self.null_text.value,
            "seeds": self.seeds.value,
            "seed": self.seed.value,
            **({"png": png_of(self.pad.x())} if own else {"label": self.picture.value}),
        }
        return Question(solver=solver, **entries | changes)

    def _solve(self, cancelled: Cancelled, progress: Progress) -> None:
        """Ask for the solvers one after the other, each with a place at the end of the line, and show what comes."""
        checks.expect(self.address, "worker", "none", "the page that `make playground` opens")
        chosen = self.solvers.value
        checks.expect(1 <= len(chosen) <= MOST_SOLVERS, "solvers", len(chosen), f"1 to {MOST_SOLVERS}")
        questions = [self._question(solver) for solver in chosen]
        self.kept.value = ""
        tables, found, lines = dict.fromkeys(chosen, ""), {}, {}
        x_and_y = answers.given(questions[0])
        for question in questions:
            shown: dict[str, Any] = {}
            for event in ask(str(self.address), question, cancelled):
                if "error" in event:
                    raise checks.ArgumentError(event["error"])
                if "place" in event:
                    self.panel.status.value = answers.in_line(event["place"])
                    continue
                if "answer" in event:
                    found[question.solver], lines[question.solver] = shown["x_hat"], event["lines"]
                    tables[question.solver] = answers.table(question, x_and_y, shown, event)
                else:
                    shown = event
                    progress(event["step"], event["of"])
                    tables[question.solver] = answers.table(question, x_and_y, event)
                self.table.value = "".join(tables.values())
        if found:
            self.table.value += answers.variances(found)
            self.kept.value = answers.downloads(x_and_y[0], found, lines)


def centred_box(side: int) -> Box:
    """A box in the middle of the picture."""
    corner = (SIDE - side) // 2
    return {"top": corner, "left": corner, "height": side, "width": side}


def page() -> w.Widget:
    """The page, as the notebook shows it, in a process whose memory is bounded."""
    with contextlib.suppress(ImportError):  # Windows has no resource
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    return Page(os.environ.get(ADDRESS)).widget
