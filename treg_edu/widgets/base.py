"""What every panel stands on: `Panel` and `Live`, the operators and pictures to choose from, and the run that can be cancelled."""

import inspect
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import ipywidgets as w
import torch

from .. import checks, images, operators
from ..diffusion import Step
from ..figures import Figure
from ..priors import LatentDiffusion
from ..solvers import treg

__all__ = [
    "LINEAR",
    "NOISE_SEED",
    "NONLINEAR",
    "SIGMA",
    "Cancelled",
    "Live",
    "Panel",
    "Progress",
    "count_of_steps",
    "estimate",
    "measured",
    "omega_slider",
    "operator_and_strength",
    "picture_and_text",
    "picture_menu",
    "text_field",
    "thinned",
    "told",
    "walk",
]

Cancelled = Callable[[], bool]
Progress = Callable[[int, int], None]
Menu = dict[str, tuple[Callable[..., Any], list[float]]]
T = TypeVar("T")


def _centred_box(side: int, size: int = 64) -> operators.Inpainting:
    corner = (size - side) // 2
    return operators.Inpainting.box((size, size), corner, corner, side, side)


#               menu entry          operator of the strength's value      strengths
LINEAR: Menu = {
    "super-resolution": (operators.SuperResolution, [2, 4, 8, 16]),
    "Gaussian blur": (lambda sigma: operators.GaussianBlur(sigma=sigma), [1.0, 2.0, 3.0, 5.0]),
    "box inpainting": (_centred_box, [16, 24, 32, 48]),
}
NONLINEAR: Menu = {
    "gamma correction": (operators.GammaCorrection, [0.45, 2.2, 4.0]),
    "phase retrieval": (operators.FourierMagnitude, [2]),
}
SIGMA, NOISE_SEED = 0.005, 10_000  # the noise apart from every solver's seed


class Panel:
    """A running solve and the widgets around it: a button to start, one to cancel, a bar, a picture, a line of text.

    A solve runs in a thread, so that the kernel stays free and its interrupt works; one runs at a time. Errors show as text.

    solve(cancelled, progress) → Figure, None where it shows its answer itself; it should stop early when cancelled() is true, and report
    progress(done, total).
    """

    _running: "Panel | None" = None  # the panel that solved last: of all panels one solves at a time

    def __init__(self, controls: Iterable[w.Widget], solve: Callable[[Cancelled, Progress], Figure | None]) -> None:
        self._solve, self._thread, self._cancel = solve, threading.Thread(), threading.Event()
        self.start, self.stop = w.Button(description="Solve", button_style="primary"), w.Button(description="Cancel", disabled=True)
        self.bar, self.status, self.picture = w.IntProgress(layout={"width": "200px"}), w.Label(), w.Image(format="png")
        self.start.on_click(lambda _: self.run())
        self.stop.on_click(lambda _: self._cancel.set())
        self.widget = w.VBox([*controls, w.HBox([self.start, self.stop, self.bar, self.status]), self.picture])

    def run(self) -> threading.Thread:
        """Start a solve in the background, and cancel another panel's; does nothing while its own is running.  Returns its thread."""
        if self._thread.is_alive():
            return self._thread
        if Panel._running and Panel._running._thread.is_alive():
            Panel._running._cancel.set()
            Panel._running._thread.join()
        Panel._running = self
        self._cancel.clear()
        self.bar.value = 0
        self.start.disabled, self.stop.disabled, self.status.value = True, False, "solving …"
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self._thread

    def _work(self) -> None:
        try:
            if figure := self._solve(self._cancel.is_set, self._progress):
                show(self.picture, figure)
            self.status.value = "cancelled" if self._cancel.is_set() else "done"
        except Exception as error:  # a panel has nowhere else to say it
            self.status.value = told(error)
        finally:
            self.start.disabled, self.stop.disabled = False, True

    def _progress(self, done: int, total: int) -> None:
        self.bar.max, self.bar.value = total, done


class Live:
    """A picture that follows its controls: drawn anew on every change, in the kernel's own thread.

    controls: {argument: widget with a value}.  draw(**{argument: value}) → Figure, within a fraction of a second.
    An error shows as text under the picture, which stays as it was.
    """

    def __init__(self, controls: Mapping[str, w.Widget], draw: Callable[..., Figure]) -> None:
        self.controls, self._draw = controls, draw
        self._drawn: dict[str, Any] | None = None  # the controls' values at the last drawing
        self.picture, self.status = w.Image(format="png"), w.Label()
        for control in controls.values():
            control.observe(lambda _: self.refresh(), "value")
        self.widget = w.VBox([w.HBox([*controls.values()], layout={"flex_flow": "row wrap"}), self.picture, self.status])
        self.refresh()

    def refresh(self) -> None:
        """Draw what the controls say, unless it is drawn already: one change may reach here several times."""
        values = {name: control.value for name, control in self.controls.items()}
        if values == self._drawn:
            return
        self._drawn = values
        try:
            show(self.picture, self._draw(**values))
            self.status.value = ""
        except Exception as error:  # a panel has nowhere else to say it
            self.status.value = told(error)


def show(picture: w.Image, figure: Figure) -> None:
    """Show a figure, as wide as in a cell's output."""
    picture.value = figure._repr_png_()
    picture.width = str(figure.width)


def told(error: Exception) -> str:
    """An error as a line of text."""
    return str(error) if isinstance(error, checks.ArgumentError) else f"{type(error).__name__}: {error}"


# Controls


def picture_menu(name: str, description: str = "picture") -> w.Dropdown:
    """A menu of the held-out pictures, on `name`."""
    return w.Dropdown(options=sorted(images.captions().query("split == 'heldout'")["label"]), value=name, description=description)


def text_field(text: str, description: str = "text") -> w.Text:
    """A line for a prompt."""
    return w.Text(value=text, description=description, placeholder="empty: the null text")


def picture_and_text(name: str, description: str = "text") -> tuple[w.Dropdown, w.Text]:
    """A menu of pictures, and a line for a prompt that is set to the picture's label whenever another is chosen."""
    picture, text = picture_menu(name), text_field(name, description)
    picture.observe(lambda change: setattr(text, "value", change["new"]), "value")
    return picture, text


def omega_slider(value: float, most: float = 10) -> w.FloatSlider:
    """A slider for the guidance scale."""
    return w.FloatSlider(value=value, min=0, max=most, step=0.5, description="ω")


def operator_and_strength(menu: Menu) -> tuple[w.Dropdown, w.SelectionSlider]:
    """Two controls, the second offering the strengths that the first one's operator has.  menu: such as `LINEAR`."""
    operator = w.Dropdown(options=list(menu), description="operator")
    strengths = menu[operator.value][1]
    strength = w.SelectionSlider(options=strengths, value=strengths[-1], description="strength")

    def refresh(_: Any) -> None:
        strength.options = menu[operator.value][1]
        strength.value = strength.options[-1]

    operator.observe(refresh, "value")
    return operator, strength


# Solving


def measured(operator: Any, x: torch.Tensor) -> torch.Tensor:
    """y = A(x) + n, the noise the same in every panel.  x: (B, 3, H, W).  Returns (B, C, h, w)."""
    return operator.measure(x, SIGMA, torch.Generator().manual_seed(NOISE_SEED))


def walk(steps: Iterable[T], total: int, cancelled: Cancelled, progress: Progress) -> list[T]:
    """All that a solver yields, reported one by one, up to the step at which the reader cancelled."""
    walked = []
    for step in steps:
        walked.append(step)
        progress(len(walked), total)
        if cancelled():
            break
    return walked


def count_of_steps(settings: Mapping[str, Any]) -> int:
    """How many steps `treg` takes with these settings."""
    return settings.get("steps", inspect.signature(treg).parameters["steps"].default)


def estimate(prior: LatentDiffusion, step: Step) -> torch.Tensor:
    """The image at a step, decoded where the step has not made one.  Returns (B, 3, H, W) in [0, 1]."""
    return step.x_hat if step.x_hat is not None else prior.decode(step.z0).clamp(0, 1)


def thinned(steps: Sequence[T], most: int) -> list[T]:
    """At most `most` of the steps, evenly spaced, the last one among them."""
    return [*steps[:: -math.ceil(len(steps) / most)]][::-1]
