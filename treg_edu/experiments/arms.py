"""The arms of a study: which solver, with which text and settings, from which measurement."""

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .. import checks, diffusion, files, operators
from ..diffusion import Step
from ..judge import Judge, load_judge
from ..noise import Seed
from ..operators import is_linear
from ..priors import DiffusionPrior, LatentDiffusion, load_prior
from ..solvers import SOLVERS
from ..solvers.common import NONLINEAR
from . import measurements
from .coordinates import ON_PIXELS, WITHOUT_TEXT, changed, start_of
from .measurements import Measurement
from .pictures import Pictures
from .taken_apart import taken_apart

__all__ = [
    "ALONE",
    "OF_STUDIES",
    "Arm",
    "Batch",
    "Models",
    "base_of",
    "ddim",
    "fingerprint",
    "hash_of",
    "searched",
    "settings_of",
    "solver_of",
    "takes",
]

ALONE = {"hio": ("phase",), "null_text": ("sr", "blur", "boxes", "gamma", "phase")}
"""The solvers whose instruments are others than the linear ones, with those in NONLINEAR all."""
TEXT_AND_NOT_GUIDANCE = ("null_text", "p2l")
"""The solvers in which a text that is the null text is not the same as no guidance: they change one of the two."""


PAPERS = Measurement()


@dataclass(frozen=True)
class Batch:
    """What is reconstructed at a time: B measurements.

    pictures: of the study.  rows: which of them, B.  seeds: B.  x: the truths, (B, 3, H, W).  y: the measurements.
    operator: as the solver is given it.  texts: B prompts.  prior: of the arm.
    """

    pictures: Pictures
    rows: Sequence[int]
    seeds: Sequence[int]
    x: torch.Tensor
    y: torch.Tensor
    operator: Any
    texts: Sequence[str]
    prior: DiffusionPrior


@dataclass(frozen=True)
class Arm:
    """One way to reconstruct every picture.

    name: in tables and rows, unique among those of its measurement.  solver: of `SOLVERS` or `OF_STUDIES`.
    text: which of each picture's texts it is given, a name among the study's texts; "true" is the label, "null" the null text.
    settings: what differs from the recommended ones.  given: more arguments of the solver, made for each batch.
    """

    name: str
    solver: str = "treg"
    text: str = "true"
    settings: Mapping[str, Any] = field(default_factory=dict)
    measurement: Measurement = PAPERS
    given: Callable[[Batch], dict[str, Any]] | None = None


def ddim(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str],
    *,
    null_prompt: str | Sequence[str] = "",
    steps: int = 25,
    guidance_scale: float = 2.5,
    seed: Seed = 0,
) -> Iterator[Step]:
    """Text to image: what the text alone gives, and the time that the others are compared with.  y is not looked at, but for its number."""
    texts = checks.strings("prompt", prompt, len(y))
    size = operators.image_shape(operator, y.to(prior.device), prior.size)
    return diffusion.sample(prior, texts, null_prompt=null_prompt, steps=steps, guidance_scale=guidance_scale, seed=seed, size=size)


OF_STUDIES: dict[str, tuple[Callable[..., Iterator[Step]], str]] = {"ddim": (ddim, "treg"), "taken apart": (taken_apart, "treg")}
"""{name: (function, the solver whose recommended settings it takes)} of what only studies use; a study may add its own."""


def solver_of(name: str) -> Callable[..., Iterator[Step]]:
    """The function."""
    return OF_STUDIES[name][0] if name in OF_STUDIES else SOLVERS[checks.one_of("solver", name, SOLVERS)]


def base_of(name: str) -> str:
    """The solver of `SOLVERS` whose settings it takes."""
    return OF_STUDIES[name][1] if name in OF_STUDIES else name


def takes(solver: str, instrument: str) -> bool:
    """Whether a solver takes an instrument of `INSTRUMENTS`."""
    if solver in ALONE:
        return instrument in ALONE[solver]
    return solver in NONLINEAR or is_linear(measurements.instrument(instrument))


def settings_of(
    arm: Arm, prior: DiffusionPrior, side: int, steps: int | None = None, found: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The settings of an arm's solver: those found, else what the prior recommends, else the authors' for 25 steps; then the arm's changes.

    Where the text is the null text, guidance changes nothing but the time, and is left out.  Where an arm changes the steps, what is as
    much for each step changes with them, see `coordinates.changed`, unless the arm says it.  steps: fewer, for a trial; of a solver without
    a prior, its own number stays.  found: by a search for the arm's instrument, see `searched`.
    """
    solver = base_of(arm.solver)
    parameters = inspect.signature(solver_of(arm.solver)).parameters
    best = prior.recommended.get(solver, {}) if found is None else found
    settings = start_of(solver, best, is_linear(arm.measurement.operator(side)))
    own = dict(arm.settings)
    if solver not in WITHOUT_TEXT:
        asked = [checks.integer("steps", each) for each in (steps, own.pop("steps", None)) if each is not None]
        settings = changed(solver, settings, {"steps": min(asked)}) if asked else settings
    settings = {name: value for name, value in settings.items() if name in parameters} | own
    if "negation" in settings and prior.clip is None:
        settings["negation"] = None
    same = settings.get("negation") is None and solver not in TEXT_AND_NOT_GUIDANCE
    if arm.text == "null" and same and "guidance_scale" in settings:
        settings["guidance_scale"] = 1.0
    if "sigma" in parameters:
        told = arm.measurement.sigma if arm.measurement.told is None else arm.measurement.told
        settings["sigma"] = told or 1e-4  # a solver that asks for σ divides by it
    return settings


def searched(folder: str | Path, solver: str, instrument: str, of_prior: str) -> dict[str, Any] | None:
    """What `treg-edu experiment settings --out FOLDER` chose for a solver and an instrument, None where it has not looked.

    For an instrument that was not searched it is what was chosen for the first of its kind, linear or not.
    of_prior: its fingerprint; settings that suit another prior are refused.
    """
    file = Path(folder) / f"settings_{solver}.json"
    if not file.is_file():
        return None
    report = files.read_json(file, "settings")
    checks.expect(
        report.get("prior") == of_prior, "settings", f"{str(file)!r}, of prior {report.get('prior')}", f"those of this prior, {of_prior}"
    )
    linear = {name: is_linear(measurements.instrument(name)) for name in (instrument, *report["found"])}
    of_its_kind = [name for name in report["found"] if linear[name] == linear[instrument]]
    first = instrument if instrument in report["found"] else next(iter(of_its_kind), None)
    return None if first is None else report["found"][first]["chosen"]


def hash_of(arm: Arm, settings: Mapping[str, Any], of_prior: str, side: int) -> str:
    """Twelve digits of all that a reconstruction is made from, but the picture, its text and the seed."""
    given = None if arm.given is None else arm.given.__name__
    parts = [arm.solver, arm.text, dict(settings), arm.measurement.described(), given, of_prior, side]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]


def fingerprint(prior: DiffusionPrior) -> str:
    """A prior's weights, in twelve digits: rows of another prior are not compared with this one's."""
    seen = hashlib.sha256()
    autoencoder = [prior.vae] if isinstance(prior, LatentDiffusion) else []
    networks = [each for each in (*autoencoder, prior.unet, getattr(prior, "text_encoder", None), prior.clip) if each is not None]
    tensors = [value for network in networks for value in network.state_dict().values()]
    for value in tensors or [prior.covariance]:  # type: ignore[attr-defined]  # of a GaussianPrior
        seen.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return seen.hexdigest()[:12]


class Models:
    """The priors and the judge of a study, each loaded when it is first asked for.

    name: of the prior, as `load_prior` takes it.  A latent prior has a companion for the solvers that work on pixels: the bundled one,
    if it is there and `name` is the bundled latent one, since only these two have seen the same pictures.
    """

    def __init__(self, name: str | None = None, device: str = "cpu") -> None:
        self.name, self.device = name, device

    @functools.cached_property
    def prior(self) -> DiffusionPrior:
        """The one that was asked for."""
        return load_prior(self.name, device=self.device)

    @functools.cached_property
    def pixels(self) -> DiffusionPrior | None:
        """The one for solvers that work on pixels."""
        if not isinstance(self.prior, LatentDiffusion):
            return self.prior
        try:
            return load_prior("pixel", device=self.device) if self.name is None else None
        except checks.MissingFileError:
            return None

    @functools.cached_property
    def judge(self) -> Judge:
        """The one that ships."""
        return load_judge(device=self.device)

    def of(self, solver: str) -> DiffusionPrior | None:
        """The prior that a solver runs on, None where there is none for it."""
        return self.pixels if solver in ON_PIXELS else self.prior

    @functools.cache  # noqa: B019  # as long as the models themselves
    def fingerprint(self, solver: str) -> str:
        """Of the prior that a solver runs on."""
        prior = self.of(solver)
        return "none" if prior is None else fingerprint(prior)
