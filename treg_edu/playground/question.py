"""What a visitor asks: a picture, an instrument, a text and a solver.  It goes to the worker as JSON, and is checked there again."""

import base64
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from .. import checks, images
from ..operators import FourierMagnitude, GammaCorrection, GaussianBlur, Inpainting, SuperResolution, is_linear
from ..solvers import SOLVERS
from ..solvers.common import NONLINEAR, WITHOUT_NOISE
from ..widgets.base import LINEAR, NOISE_SEED, SIGMA
from ..widgets.base import NONLINEAR as NONLINEAR_MENU
from .uploads import SIDE, read_upload

__all__ = [
    "BOX",
    "DRAWN",
    "INSTRUMENTS",
    "MOST_SEEDS",
    "MOST_TEXT",
    "OFFERED",
    "STRENGTH",
    "Question",
    "settings_of",
    "solvers_for",
    "strengths",
]

MOST_SEEDS, MOST_TEXT = 4, 200
"""Reconstructions of one question; characters of a text."""
BOX = ("top", "left", "height", "width")
DRAWN = "box inpainting"
"""The instrument whose setting is a box that the visitor may draw."""

INSTRUMENTS: dict[str, Callable[..., Any]] = {
    "super-resolution": SuperResolution,
    "Gaussian blur": GaussianBlur,
    DRAWN: Inpainting.box,
    "gamma correction": GammaCorrection,
    "phase retrieval": FourierMagnitude,
}
STRENGTH = {"super-resolution": "factor", "Gaussian blur": "sigma", "gamma correction": "exponent", "phase retrieval": "oversampling"}
"""The argument that is an instrument's strength; a box has four."""

OFFERED: dict[str, dict[str, Any]] = {
    "treg": {},
    "latino": {"steps": 8, "guidance_scale": 2.5},
    "mpgd": {"steps": 25, "guidance_scale": 2.5, "step_size": 32.0},
    "ldps": {"steps": 25, "guidance_scale": 2.5, "step_size": 16.0},
    "psld": {"steps": 25, "guidance_scale": 2.5, "step_size": 4.0, "gluing": 0.5, "back": "pseudo-inverse"},
    "resample": {"steps": 25, "guidance_scale": 2.5, "step_size": 16.0, "every": 4, "latent_iterations": 20},
    "p2l": {"steps": 25, "guidance_scale": 2.5, "step_size": 8.0, "every": 4, "gamma": 1e4},
    "flowdps": {"steps": 25, "guidance_scale": 2.5, "step_size": 2.5},
    "hio": {},
    "total_variation": {},
    "wavelet": {},
    "tikhonov": {},
}
"""{solver: its settings, those of notebook 08}; what the prior recommends for a solver goes before them."""


def strengths(instrument: str) -> list[float]:
    """What the menu offers: the strengths of the course's panels."""
    return (LINEAR | NONLINEAR_MENU)[instrument][1]


def solvers_for(operator: Any) -> list[str]:
    """The solvers that take an operator, TReg first."""
    if is_linear(operator):
        return [name for name in OFFERED if name != "hio"]
    return [name for name in OFFERED if name in NONLINEAR or (name == "hio" and isinstance(operator, FourierMagnitude))]


def settings_of(solver: str, null_text: str, recommended: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that a solver is called with, but for the seed.  recommended: `prior.recommended[solver]`."""
    takes = inspect.signature(SOLVERS[solver]).parameters
    settings = OFFERED[solver] | dict(recommended)
    asked = {"null_prompt": null_text, "sigma": SIGMA}
    return settings | {name: value for name, value in asked.items() if name in takes}


@dataclass(frozen=True)
class Question:
    """One solver, asked to reconstruct one picture from one measurement.

    label: the held-out picture's; or png: the bytes of a picture of SIDE×SIDE pixels that is the visitor's own.
    instrument: of INSTRUMENTS.  setting: {argument of the instrument: number}.  seed: of the first of `seeds` reconstructions.
    """

    instrument: str
    setting: dict[str, float]
    text: str
    null_text: str = ""
    solver: str = "treg"
    seeds: int = MOST_SEEDS
    seed: int = 0
    label: str | None = None
    png: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        checks.one_of("instrument", self.instrument, INSTRUMENTS)
        checks.expect(isinstance(self.setting, dict), "setting", repr(self.setting), "names and numbers", checks.ArgumentTypeError)
        wanted = set(BOX) if self.instrument == DRAWN else {STRENGTH[self.instrument]}
        checks.expect(set(self.setting) == wanted, "setting", ", ".join(map(str, self.setting)) or "none", ", ".join(sorted(wanted)))
        if self.instrument != DRAWN:
            (name,) = wanted
            checks.one_of(name, self.setting[name], strengths(self.instrument))
        for name in ("text", "null_text"):
            check_text(name.replace("_", " "), getattr(self, name))
        checks.integer("seeds", self.seeds, 1, MOST_SEEDS)
        checks.integer("seed", self.seed, 0, 2**32 - MOST_SEEDS)
        checks.expect((self.label is None) != (not self.png), "picture", "both or neither", "a held-out picture or one of your own")
        checks.one_of("solver", self.solver, solvers_for(self.operator()))

    def x(self) -> torch.Tensor:
        """The picture, (1, 3, SIDE, SIDE)."""
        return read_upload(self.png) if self.label is None else images.example(self.label)

    def operator(self) -> Any:
        """A."""
        return INSTRUMENTS[self.instrument](**self._arguments())

    def y(self) -> torch.Tensor:
        """y = A(x) + n, the noise the same for every visitor, once for each seed: (B, C, h, w)."""
        y = self.operator().measure(self.x(), SIGMA, torch.Generator().manual_seed(NOISE_SEED))
        return y.expand(self.batch, *y.shape[1:])

    @property
    def batch(self) -> int:
        """How many reconstructions: one where no seed changes anything."""
        return 1 if self.solver in WITHOUT_NOISE else self.seeds

    def lines(self, recommended: Mapping[str, Any]) -> str:
        """Python that repeats the answer; a picture of the visitor's own is read from picture.png."""
        settings = settings_of(self.solver, self.null_text, recommended) | {"seed": self.seed}
        x = 'te.images.read("picture.png")' if self.label is None else f"te.images.example({self.label!r})"
        named = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        given = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return (
            "import torch\nimport treg_edu as te\n\n"
            "prior = te.load_prior()\n"
            f"x = {x}\n"
            f"operator = te.operators.{INSTRUMENTS[self.instrument].__qualname__}({named})\n"
            f"y = operator.measure(x, sigma={SIGMA}, generator=torch.Generator().manual_seed({NOISE_SEED}))\n"
            f"y = y.expand({self.batch}, *y.shape[1:])  # one for each seed\n"
            f"x_hat = te.solve({self.solver!r}, prior, operator, y, prompt={self.text!r}, {given})\n"
            "for number, one in enumerate(x_hat.split(1)):\n"
            f'    te.images.save(one, f"{self.solver}-{{number}}.png")\n'
        )

    def to_json(self) -> bytes:
        return json.dumps(asdict(self) | {"png": base64.b64encode(self.png).decode()}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Question":
        """The question, checked again: ArgumentError where it is none."""
        try:
            entries = json.loads(text)
            return cls(**entries | {"png": base64.b64decode(entries["png"], validate=True)})
        except checks.ArgumentError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            checks.fail("question", f"{len(text)} bytes ({type(error).__name__})", "the JSON of one")

    def _arguments(self) -> dict[str, Any]:
        """The instrument's, in the order of its signature."""
        return ({"size": SIDE} if self.instrument == DRAWN else {}) | self.setting


def check_text(name: str, text: Any) -> None:
    """A visitor's text: short, and without control characters."""
    checks.expect(isinstance(text, str), name, type(text).__name__, "a text", checks.ArgumentTypeError)
    checks.expect(len(text) <= MOST_TEXT, name, f"{len(text)} characters", f"at most {MOST_TEXT}")
    checks.expect(text.isprintable(), name, "a control character", "letters, digits, spaces and signs")
