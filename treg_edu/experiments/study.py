"""The reconstructions that settings are chosen by: pictures of the tuning part, measured, solved, graded, stored, and counted."""

import inspect
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .. import images as pictures
from .. import metrics
from ..costs import counting, passes
from ..judge import Judge
from ..priors import DiffusionPrior
from ..solvers import SOLVERS, solve
from . import common
from .arms import fingerprint, takes
from .coordinates import WITHOUT_TEXT, Settings
from .measurements import INSTRUMENTS, SIGMA
from .store import Store

__all__ = ["FIGURES", "INSTRUMENTS", "Study", "fingerprint", "name_of", "taken_by"]

FIGURES = ("distance", "top1", "misfit", "psnr", "passes", "seconds")
KEY = ("solver", "prior", "instrument", "settings", "picture", "seed")


def name_of(settings: Mapping[str, Any]) -> str:
    """Settings as a text, the same for equal ones."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)


def taken_by(solver: str) -> list[str]:
    """The instruments that a solver takes."""
    return [name for name in INSTRUMENTS if takes(solver, name)]


class Study:
    """The reconstructions of a search, in the store `settings_SOLVER` of a folder as soon as a batch is there.

    Picture i is solved with the seeds 1000 i, 1000 i + 1, …; a search that was killed goes on where its rows end.
    """

    def __init__(self, folder: Path, solver: str, prior: DiffusionPrior, judge: Judge, images: int, seeds: int) -> None:
        self.solver, self.prior, self.judge, self.seeds = solver, prior, judge, seeds
        self.x, self.labels = pictures.tuning(images)
        self.names = list(dict.fromkeys(pictures.captions()["label"]))
        self.of_prior, self.file = fingerprint(prior), f"settings_{solver}"
        self.store = Store(folder, self.file, KEY)
        self.parts = [self.store.read()]

    def rows(self, instrument: str, settings: Settings, count: int) -> pd.DataFrame:
        """Those of the first `count` pictures; what is lacking is solved first, whole pictures of all seeds at a time."""
        operator, name, at_once = INSTRUMENTS[instrument](), name_of(settings), max(common.BATCH // self.seeds, 1)
        for first in range(0, count, at_once):
            there = set(self.found(instrument, name)["picture"])
            lacking = [i for i in range(first, min(first + at_once, count)) if i not in there]
            if lacking:
                rows = self.solved(operator, lacking, settings)
                self.parts.append(rows.assign(solver=self.solver, prior=self.of_prior, instrument=instrument, settings=name))
                self.store.add(self.parts[-1])
        found = self.found(instrument, name)
        return found[found["picture"] < count].sort_values(["picture", "seed"], ignore_index=True)

    def of(self, instrument: str) -> pd.DataFrame:
        """The rows there are of this prior and instrument, of pictures that have one for each seed."""
        self.parts = [pd.concat([each for each in self.parts if len(each)], ignore_index=True)] if any(map(len, self.parts)) else self.parts
        rows = self.parts[0]
        if rows.empty:
            return rows
        own = (rows["prior"] == self.of_prior) & (rows["instrument"] == instrument)
        rows = rows[own & (rows["seed"] < 1000 * rows["picture"] + self.seeds)]
        return rows[rows.groupby(["settings", "picture"])["seed"].transform("count") == self.seeds]

    def found(self, instrument: str, name: str) -> pd.DataFrame:
        """Those of one of its settings."""
        rows = self.of(instrument)
        return rows if rows.empty else rows[rows["settings"] == name]

    def tried(self, instrument: str, count: int) -> list[str]:
        """The settings, as texts, that the first `count` pictures were solved with."""
        found = self.of(instrument)
        there = found[found["picture"] < count].groupby("settings", sort=False)["picture"].nunique()
        return list(there.index[there == count])

    def solved(self, operator: Any, chosen: Sequence[int], settings: Settings) -> pd.DataFrame:
        """Pictures solved and graded: a row a reconstruction.  passes, seconds: of the batch, shared equally."""
        y = common.measured(operator, self.x)  # of all: the noise of a picture is by its place
        each = [i for i in chosen for _ in range(self.seeds)]
        seeds = [1000 * i + s for i in chosen for s in range(self.seeds)]
        if "sigma" in inspect.signature(SOLVERS[self.solver]).parameters:
            settings = settings | {"sigma": SIGMA}
        texts = ["" if self.solver in WITHOUT_TEXT else self.labels[i] for i in each]
        with counting(self.prior, operator) as (counted, counts):
            began = time.perf_counter()
            x_hat = solve(self.solver, self.prior, counted, y[each], texts, progress=False, seed=seeds, **settings)
            seconds = time.perf_counter() - began
        x_hat = x_hat.float().cpu().nan_to_num(0)  # too large a step may diverge: graded as black, not left out
        names, _ = metrics.top_k(self.judge, x_hat, self.names, k=1)
        return pd.DataFrame(
            {
                "picture": each,
                "label": [self.labels[i] for i in each],
                "seed": seeds,
                "distance": metrics.perceptual_distance(self.judge, self.x[each], x_hat).tolist(),
                "top1": [found == self.labels[i] for (found,), i in zip(names, each)],
                "misfit": (metrics.misfit(operator, x_hat, y[each]) / SIGMA).tolist(),
                "psnr": metrics.psnr(x_hat, self.x[each]).tolist(),
                "passes": passes(counts) / len(each),
                "seconds": seconds / len(each),
            }
        )

    def per_picture(self, instrument: str, settings: Settings, count: int) -> pd.DataFrame:
        """FIGURES of the first `count` pictures, means over their seeds: a row a picture."""
        return self.rows(instrument, settings, count).groupby("picture")[list(FIGURES)].mean()
