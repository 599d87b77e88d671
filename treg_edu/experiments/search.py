"""The search for settings, with as many trials for each solver.

A compass search (Hooke & Jeeves 1961): from the start, one coordinate after the other, a rung up its ladder, or else a rung down, and on in
that direction while it helps; a coordinate without an order is tried value by value. Where a round over all coordinates has changed
nothing, the trials that are left change two coordinates at random. A trial sees a quarter of the pictures; the best of the trials, and the
start, see all of them, and RULE chooses. Everything is solved from the same measurements and seeds, so that comparisons are paired. No
measured time takes part.
"""

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..operators import is_linear
from .coordinates import Settings, changed, coordinates_of
from .intervals import mean_interval
from .study import INSTRUMENTS, Study, name_of

__all__ = ["FINALISTS", "RULE", "choose", "few", "neighbours", "search", "tried"]

RULE = """Of the settings in the last comparison: those whose perceptual distance cannot be told from the least (paired 95 % interval over
pictures); of these, those whose judge's top-1 cannot be told from the best; of these, those whose misfit is within a tenth of the least; of
these the cheapest, counted in passes through networks, a pass back as two; of these the least perceptual distance."""

FINALISTS = 4  # of the trials, beside the start
FEWEST = 8  # pictures of a trial, where there are as many


def few(images: int) -> int:
    """How many pictures a trial sees: a quarter, FEWEST at least."""
    return min(max(images // 4, FEWEST), images)


def choose(seen: Mapping[str, pd.DataFrame]) -> str:
    """RULE.  seen: {settings as a text: a row a picture, the same pictures for all}."""
    left = list(seen)
    for column, sign in (("distance", 1), ("top1", -1)):
        best = min(left, key=lambda name: sign * seen[name][column].mean())
        left = [name for name in left if not worse(sign * seen[name][column], sign * seen[best][column])]
    least = min(seen[name]["misfit"].mean() for name in left)
    left = [name for name in left if seen[name]["misfit"].mean() <= 1.1 * least]
    return min(left, key=lambda name: (seen[name]["passes"].mean(), seen[name]["distance"].mean()))


def worse(values: pd.Series, others: pd.Series) -> bool:
    """Whether a mean is above another: the 95 % interval of the paired differences lies above 0."""
    return mean_interval((values - others).to_numpy())[1] > 0


def neighbours(solver: str, settings: Settings, candidates: Sequence[Settings]) -> list[Settings]:
    """The settings a step away along one coordinate: on a ladder the next rung up and the next down, otherwise all others.

    candidates: the changes of the coordinate, see `coordinates.COORDINATES`.  What is None now has no place on a ladder.
    """
    name = next(iter(candidates[0]))
    numbers = [each[name] for each in candidates if len(each) == 1 and isinstance(each[name], int | float)]
    now = settings[name]
    if len(numbers) == len(candidates) and now is not None:
        above, below = sorted(each for each in numbers if each > now), sorted(each for each in numbers if each < now)
        candidates = [{name: each} for each in above[:1] + below[-1:]]
    return [new for new in (changed(solver, settings, changes) for changes in candidates) if new != settings]


def tried(
    solver: str, start: Settings, coordinates: Mapping[str, Sequence[Settings]], value: Callable[[Settings], float], trials: int
) -> dict[str, float]:
    """{settings as a text: value}: those of the compass search, the start first; small values are good.

    Fewer than `trials` only where the coordinates have no more to try.
    """
    values: dict[str, float] = {}

    def better(new: Settings, old: Settings) -> bool:
        for each in (old, new):
            if name_of(each) not in values and len(values) < trials:
                values[name_of(each)] = value(each)
        return values.get(name_of(new), np.inf) < values[name_of(old)]

    best, moved = start, True
    while moved:
        began = best
        for candidates in coordinates.values():
            best = climbed(solver, best, candidates, better)
        moved = best != began
    random = np.random.default_rng(0)
    for _ in range(100 * trials):
        if len(values) == trials:
            break
        new = best
        for place in random.permutation(len(coordinates))[:2]:
            candidates = list(coordinates.values())[place]
            new = changed(solver, new, candidates[int(random.integers(len(candidates)))])
        best = new if better(new, best) else best
    return values


def climbed(solver: str, best: Settings, candidates: Sequence[Settings], better: Callable[[Settings, Settings], bool]) -> Settings:
    """Steps along one coordinate for as long as they help; on a ladder it goes on in the direction that helped."""
    while True:
        step = next((new for new in neighbours(solver, best, candidates) if better(new, best)), None)
        if step is None:
            return best
        best = step


def search(study: Study, instrument: str, start: Settings, trials: int) -> Settings:
    """The settings that RULE leads to, from `start`."""
    coordinates = coordinates_of(study.solver, is_linear(INSTRUMENTS[instrument]()))

    def value(settings: Settings) -> float:
        return float(study.per_picture(instrument, settings, few(len(study.x)))["distance"].mean())

    values = tried(study.solver, start, coordinates, value, trials)
    ranked = sorted(values, key=lambda name: values[name])
    final = dict.fromkeys([name_of(start), *ranked[:FINALISTS]])
    return dict(json.loads(choose({name: study.per_picture(instrument, json.loads(name), len(study.x)) for name in final})))
