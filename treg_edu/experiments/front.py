"""Where TReg stands: quality against time, for every solver and 4 to 100 timesteps.

Nothing but the number of steps is changed, and with it what is as much for each step; the rest is what suits the solver best, found by a
search in which the steps took part.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..solvers import SOLVERS
from .arms import Arm
from .coordinates import WITHOUT_TEXT, start_of
from .grading import FIGURES
from .intervals import Interval, mean_interval
from .measurements import Measurement
from .noninferiority import BACK
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study
from .settings import front

__all__ = ["QUALITIES", "STEPS", "STUDY", "picture", "points", "run"]

STEPS = (10, 15, 25, 50, 100)
OF_FEW = {"latino": (4, 8, 15, 25, 50)}
"""A solver for few steps: its authors have 4 and 8."""
TITLES = {"distance": "perceptual distance ↓", "top1": "judge's top-1, % ↑", "misfit": "misfit / σ ↓"}
QUALITIES = tuple(TITLES)


def arms(setting: Setting) -> list[Arm]:
    """Each solver at its best settings, under its own name, and with the other numbers of steps; a solver without a prior once."""
    y = Measurement("sr")
    found = [Arm(BASELINE, measurement=y), Arm(DDIM, "ddim", measurement=y)]
    for solver in SOLVERS:
        if solver != BASELINE:
            found.append(Arm(solver, solver, measurement=y))
        if solver in WITHOUT_TEXT:
            continue
        own = start_of(solver, setting.best(solver), linear=True)["steps"]
        found += [
            Arm(f"{solver}, {steps} steps", solver, settings={"steps": steps}, measurement=y)
            for steps in OF_FEW.get(solver, STEPS)
            if steps != own
        ]
    return found


def points(rows: pd.DataFrame, qualities: Sequence[str] = QUALITIES) -> dict[str, dict[str, list[tuple[float, Interval, bool]]]]:
    """{quality: {solver: [(seconds over DDIM's, (mean, low, high), on the front?), …]}}, the quick arms first.

    rows: of one measurement, with the arm DDIM, whose own quality is no reconstruction's and is left out.  On the front: no other arm is as
    quick and as good, and better in one.
    """
    ddim = rows.loc[rows["arm"] == DDIM, "seconds"].mean()
    of_arms = dict(list(rows[rows["arm"] != DDIM].groupby("arm", sort=False)))
    cost = {arm: float(part["seconds"].mean() / ddim) for arm, part in of_arms.items()}
    found: dict[str, dict[str, list[tuple[float, Interval, bool]]]] = {}
    for name in qualities:
        figure = FIGURES[name]
        of_quality = {arm: part.groupby("picture")[name].mean().to_numpy() for arm, part in of_arms.items()}
        if not all(np.isfinite(values).all() for values in of_quality.values()):  # such as top-1 of photographs of one class
            continue
        means = {arm: mean_interval(figure.scale * values, scaled(name)) for arm, values in of_quality.items()}
        on_front = front([(cost[arm], -figure.better * means[arm][0]) for arm in of_arms])
        curves = found.setdefault(name, {})
        for on, arm in sorted(zip(on_front, of_arms), key=lambda each: cost[each[1]]):
            curves.setdefault(of_arms[arm]["solver"].iloc[0], []).append((cost[arm], means[arm], on))
    return found


def scaled(name: str) -> tuple[float, float] | None:
    """The limits of a figure in the unit in which tables show it."""
    limits, scale = FIGURES[name].limits, FIGURES[name].scale
    return None if limits is None else (scale * limits[0], scale * limits[1])


def picture(rows: pd.DataFrame) -> Any:
    """`points`, drawn: TReg's line before those of the solvers that pass gradients through a network, and of the others."""
    from ..figures import standing

    panels = {TITLES[name]: curves for name, curves in points(rows).items()}
    gradient = rows.groupby("solver")[list(BACK)].sum().sum(axis=1) > 0
    return standing(panels, BASELINE, [solver for solver, back in gradient.items() if back])


STUDY = Study("front", arms, shown=(*QUALITIES, "psnr", "cost", "passes"), picture=picture)


def run(**options: Any) -> dict[str, Any] | None:
    """Every solver, from ×16, and the picture, `front.png`.  options: of `runner.Options`."""
    return run_study(STUDY, **options)
