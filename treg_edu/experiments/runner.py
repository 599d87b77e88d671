"""Runs a study: what is to be reconstructed, what is there already, and whose turn the rest is."""

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pandas as pd
import torch

from .. import checks, files
from ..costs import COUNTED, counting, passes
from ..diffusion import Step
from ..priors import DiffusionPrior
from ..solvers import SOLVERS
from . import pictures as picture_files
from .arms import Arm, Batch, Models, base_of, hash_of, searched, settings_of, solver_of, takes
from .coordinates import WITHOUT_TEXT
from .grading import Figure, Grader
from .measurements import INSTRUMENTS
from .pictures import Pictures
from .store import Store

__all__ = [
    "BASELINE",
    "DDIM",
    "KEY",
    "Options",
    "Setting",
    "Study",
    "Watcher",
    "checked",
    "planned",
    "reconstruct",
    "share",
    "solved",
    "square",
]

BATCH = 16
KEY = ("measurement", "arm", "picture", "text", "seed", "hash")
BASELINE, DDIM = "treg", "DDIM"
"""The arms that the others are compared with, in quality unless a study says otherwise, and in seconds."""

Texts = Mapping[str, Callable[[Pictures, Arm], Sequence[str]]]


class Watcher(Protocol):
    """What a study sees of a run besides its result."""

    def step(self, step: Step) -> None:
        """Called after each timestep."""

    def columns(self, x_hat: torch.Tensor) -> dict[str, list[Any]]:
        """{column: B values}, after the last."""


@dataclass(frozen=True)
class Options:
    """What every study can be told; the command line has the same.

    prior: as in `load_prior`.  data: "emoji", or a folder of photographs.  classes: the labels to take from.  texts: of the folder.
    solvers: those to run, besides the baselines.  instruments: those to measure with.  settings: a folder in which `treg-edu experiment
    settings` chose settings.  images: how many.  seeds: reconstructions of each.  steps: fewer timesteps, for a trial.
    out: the folder of the results.  device: cpu, cuda or mps.
    """

    prior: str | None = None
    data: str = "emoji"
    classes: Sequence[str] | None = None
    texts: str | None = None
    solvers: Sequence[str] | None = None
    instruments: Sequence[str] | None = None
    images: int = 48
    seeds: int = 2
    settings: str | Path | None = None
    steps: int | None = None
    out: str | Path = "out"
    device: str = "cpu"


class Setting(NamedTuple):
    """What a study's arms may depend on.  settings: the folder in which a search chose some, None for those that the prior recommends."""

    prior: DiffusionPrior
    pictures: Pictures
    models: Models
    settings: str | Path | None = None

    def searched(self, solver: str, instrument: str) -> dict[str, Any] | None:
        """What was chosen for a solver of `SOLVERS`, see `arms.searched`."""
        return None if self.settings is None else searched(self.settings, solver, instrument, self.models.fingerprint(solver))

    def best(self, solver: str, instrument: str = "sr") -> dict[str, Any]:
        """The same, or else what the prior recommends; empty where there is neither."""
        prior, chosen = self.models.of(solver), self.searched(solver, instrument)
        return chosen if chosen is not None else {} if prior is None else dict(prior.recommended.get(solver, {}))


@dataclass(frozen=True)
class Study:
    """A question, as a table of arms.

    name: of its files.  arms: for a setting.  texts: {name: for each picture}, besides "true" and "null".
    columns: more to grade each reconstruction by.  watcher: the same, for what only the run itself shows; made with the solver's settings.
    of_pictures: for what all seeds of a picture show together, from the rows of one arm: {column: one value a picture, in their order}.
    figures: how tables show these, besides those that every table has.  shown: the names of what is printed; all if empty.
    baseline: the arm that each other of its measurement is compared with.  classes: for `data`, the labels it is restricted to, None for
    all.  least_seeds: the fewest that it makes sense with.  picture: of its rows, a figure that is written to NAME.png.
    """

    name: str
    arms: Callable[[Setting], Sequence[Arm]]
    texts: Texts | None = None
    columns: Callable[[Arm, Batch, torch.Tensor], dict[str, Any]] | None = None
    watcher: Callable[[Arm, Batch, dict[str, Any]], Watcher] | None = None
    of_pictures: Callable[[pd.DataFrame, Setting], dict[str, Any]] | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    shown: Sequence[str] = ()
    baseline: str = BASELINE
    classes: Callable[[str], Sequence[str] | None] | None = None
    least_seeds: int = 1
    picture: Callable[[pd.DataFrame], Any] | None = None


def reconstruct(study: Study, options: Options, models: Models | None = None) -> tuple[pd.DataFrame, Setting, int]:
    """(rows, setting, how many rows the study has): those that were there, and this process' share of the others, solved.

    Of several processes, the one that finishes last has all rows.
    """
    rank, world, local = share()
    options = checked(study, options)
    folder = files.results_folder("out", options.out)
    device = f"cuda:{local}" if options.device == "cuda" and world > 1 else options.device
    models = models or Models(options.prior, device)
    side = square(models.prior)
    pictures = picture_files.load(options.data, options.classes, options.images, side, options.texts)
    setting = Setting(models.prior, pictures, models, options.settings)
    arms = chosen(study, options, setting)
    plan = planned(study, arms, setting, options)
    store = Store(folder, study.name, KEY)
    there = set(map(tuple, store.read()[list(KEY)].itertuples(index=False)))
    jobs = [[row for row in job if key_of(row) not in there] for job in jobs_of(plan, batch_of(side))[rank::world]]
    solve(study, [job for job in jobs if job], setting, store, rank)
    rows = store.merge()
    wanted = pd.DataFrame([dict(zip(KEY, key_of(row))) for row in plan])
    return wanted.merge(rows, on=list(KEY), how="inner"), setting, len(plan)


def share() -> tuple[int, int, int]:
    """(rank, number of processes, place on this machine) as `accelerate launch` and `torchrun` tell them; (0, 1, 0) otherwise."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    rank, world, local = (checks.integer(name, int(os.environ.get(name, default)), 0) for name, default in zip(names, "010"))
    return rank, max(world, 1), local


def checked(study: Study, options: Options) -> Options:
    """The options, as far as they can be looked at before anything is loaded; with the classes that the study is restricted to."""
    checks.integer("seeds", options.seeds, study.least_seeds, 1000)
    for name in options.solvers or ():
        checks.one_of("solvers", name, SOLVERS)
    for name in options.instruments or ():
        checks.one_of("instruments", name, INSTRUMENTS)
    if options.settings is not None:
        folder = Path(options.settings)
        there = folder.is_dir() and any(folder.glob("settings_*.json"))
        expected = "a folder with settings_SOLVER.json, as `treg-edu experiment settings` leaves it"
        checks.expect(there, "settings", repr(str(folder)), expected, checks.MissingFileError)
    if options.steps is not None:
        checks.integer("steps", options.steps)
    if options.classes is None and study.classes is not None:
        options = replace(options, classes=study.classes(options.data))
    picture_files.check(options.data, options.classes, options.images, options.texts)
    return options


def square(prior: DiffusionPrior) -> int:
    """The side of the prior's images."""
    height, width = prior.size
    checks.expect(height == width, "prior", f"one of {height}×{width} images", "one of square images")
    return height


def chosen(study: Study, options: Options, setting: Setting) -> list[Arm]:
    """The arms that are to be run: those whose solver was asked for, takes the instrument, and has a prior.  The baselines stay."""
    arms, models = study.arms(setting), setting.models
    names = [(arm.measurement.name, arm.name) for arm in arms]
    assert len(set(names)) == len(names), "two arms of one measurement share a name"
    wanted = [arm for arm in arms if options.instruments is None or arm.measurement.instrument in options.instruments]
    left = sorted({arm.measurement.instrument for arm in arms})
    checks.expect(wanted, "instruments", ", ".join(options.instruments or ()), f"some of {', '.join(left)}, which this study measures with")
    asked = [arm for arm in wanted if options.solvers is None or arm.solver in options.solvers or arm.name in (study.baseline, DDIM)]
    missing = sorted({arm.solver for arm in asked if models.of(arm.solver) is None})
    if missing:
        warnings.warn(f"prior: {', '.join(missing)} work on pixels, and there is no such prior here; left out", stacklevel=3)
    there = [arm for arm in asked if arm.solver not in missing]
    return [arm for arm in there if arm.solver not in SOLVERS or takes(arm.solver, arm.measurement.instrument)]


class Row(NamedTuple):
    """One reconstruction to be made.  i: the picture's place."""

    arm: Arm
    i: int
    picture: str
    text: str
    seed: int
    settings: dict[str, Any]
    hash: str


def key_of(row: Row) -> tuple[Any, ...]:
    """KEY of a row to be made."""
    return row.arm.measurement.name, row.arm.name, row.picture, row.text, row.seed, row.hash


def planned(study: Study, arms: Sequence[Arm], setting: Setting, options: Options) -> list[Row]:
    """A row for each arm, picture and seed.  The seeds are a picture's own, the same in every arm, so that arms are compared in pairs."""
    plan = []
    pictures = setting.pictures
    for arm in arms:
        prior = setting.models.of(arm.solver)
        assert prior is not None
        settings = settings_of(arm, prior, pictures.side, options.steps, setting.searched(base_of(arm.solver), arm.measurement.instrument))
        told = hash_of(arm, settings, setting.models.fingerprint(arm.solver), pictures.side)
        texts = texts_of(study, arm, pictures, settings)
        for i, (name, number, text) in enumerate(zip(pictures.names, pictures.numbers, texts)):
            plan += [Row(arm, i, name, text, 1000 * number + s, settings, told) for s in range(options.seeds)]
    return plan


def texts_of(study: Study, arm: Arm, pictures: Pictures, settings: Mapping[str, Any]) -> Sequence[str]:
    """What the solver is told of each picture."""
    if base_of(arm.solver) in WITHOUT_TEXT:
        return [""] * len(pictures)
    if arm.text == "true":
        return pictures.labels
    if arm.text == "null":
        return [settings.get("null_prompt", "")] * len(pictures)
    return (study.texts or {})[arm.text](pictures, arm)


def batch_of(side: int) -> int:
    """How many images of `side` are reconstructed at a time: BATCH of 64×64 pixels, and as many pixels of larger ones, but one at least."""
    return max(1, BATCH * 64**2 // max(side, 64) ** 2)


def jobs_of(plan: Sequence[Row], batch: int) -> list[list[Row]]:
    """Batches of one arm, in turn of all arms: so the time left is known after a round, and a study that is stopped has rows of all."""
    of_arm: dict[tuple[str, str], list[Row]] = {}
    for row in plan:
        of_arm.setdefault((row.arm.measurement.name, row.arm.name), []).append(row)
    batches = [[rows[at : at + batch] for at in range(0, len(rows), batch)] for rows in of_arm.values()]
    return [each[turn] for turn in range(max(map(len, batches), default=0)) for each in batches if turn < len(each)]


def solve(study: Study, jobs: Sequence[Sequence[Row]], setting: Setting, store: Store, rank: int) -> None:
    """Each batch solved, graded, and stored before the next."""
    from tqdm.auto import tqdm

    if not jobs:
        return
    grader = Grader(setting.models.judge, setting.pictures.choices)
    with tqdm(total=sum(map(len, jobs)), unit="image", desc=study.name, disable=rank > 0, smoothing=0) as bar:
        for job in jobs:
            bar.set_postfix_str(f"{job[0].arm.measurement.name}, {job[0].arm.name}", refresh=False)
            store.add(solved(study, job, setting, grader))
            bar.update(len(job))


def solved(study: Study, job: Sequence[Row], setting: Setting, grader: Grader) -> pd.DataFrame:
    """The rows of a batch.  Counts and seconds are shared equally among its reconstructions."""
    arm, settings, pictures = job[0].arm, job[0].settings, setting.pictures
    prior = setting.models.of(arm.solver)
    assert prior is not None
    which = [row.i for row in job]
    x = arm.measurement.truth(pictures.x[which])
    y = arm.measurement.measure(x, [pictures.numbers[i] for i in which])
    operator = arm.measurement.operator(pictures.side)
    batch = Batch(pictures, which, [row.seed for row in job], x, y, operator, [row.text for row in job], prior)
    given = {} if arm.given is None else arm.given(batch)
    watcher = None if study.watcher is None else study.watcher(arm, batch, settings)
    with counting(prior, operator) as (counted, counts):
        began = time.perf_counter()
        for step in solver_of(arm.solver)(prior, counted, y, list(batch.texts), seed=list(batch.seeds), **settings, **given):
            if watcher is not None:
                watcher.step(step)
        seconds = time.perf_counter() - began
    x_hat = step.x_hat
    assert x_hat is not None
    diverged = [not bool(each.isfinite().all()) for each in x_hat]
    x_hat = x_hat.detach().float().cpu().nan_to_num(0).clamp(0, 1)  # too large a step may diverge: graded as black, not left out
    told = {
        "study": study.name,
        "measurement": arm.measurement.name,
        "change": arm.measurement.change or "",
        "arm": arm.name,
        "picture": [row.picture for row in job],
        "label": [pictures.labels[i] for i in which],
        "text": [row.text for row in job],
        "seed": [row.seed for row in job],
        "hash": job[0].hash,
        "solver": arm.solver,
        "settings": files.json_text(settings),
        "prior": setting.models.fingerprint(arm.solver),
        "diverged": diverged,
        "seconds": seconds / len(job),
        "passes": passes(counts) / len(job),
        **{name: counts[name] / len(job) for name in (*COUNTED, "clip_backward")},
    }
    replaced = replace(batch, x=x.float(), y=y.float())
    more = {} if study.columns is None else study.columns(arm, replaced, x_hat)
    seen = {} if watcher is None else watcher.columns(x_hat)
    return pd.DataFrame(told | grader.grade(arm, replaced, x_hat) | more | seen)
