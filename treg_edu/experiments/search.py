"""The search for settings: one coordinate at a time, the others as found so far.

The candidates are compared on few pictures first, and the better half of them on twice as many (successive halving, Jamieson & Talwalkar
2016). All are solved from the same measurements and seeds, so that comparisons are paired. RULE says what is chosen; no measured time takes
part in it.
"""

import json
from collections.abc import Mapping

import pandas as pd

from .. import metrics
from ..operators import is_linear
from .coordinates import Settings, changed, coordinates_of, start_of
from .study import INSTRUMENTS, Study, name_of

__all__ = ["RULE", "choose", "halved", "rungs", "search"]

RULE = """Of the settings in the last comparison: those whose perceptual distance cannot be told from the least (paired 95 % interval over
pictures); of these, those whose judge's top-1 cannot be told from the best; of these, those whose misfit is within a tenth of the least; of
these the cheapest, counted in passes through networks, a pass back as two; of these the least perceptual distance."""

PASSES = 2  # over all coordinates; the second is left out where the first has changed nothing
FEWEST = 8  # pictures of a first comparison


def rungs(images: int) -> list[int]:
    """How many pictures the comparisons of one coordinate see: a quarter, a half, all; FEWEST at least."""
    return sorted({count for count in (images // 4, images // 2) if count >= FEWEST} | {images})


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
    return metrics.confidence_interval((values - others).to_numpy())[1] > 0


def halved(seen: Mapping[str, pd.DataFrame], keep: str) -> list[str]:
    """The better half by perceptual distance, and `keep`, which stays."""
    ranked = sorted(seen, key=lambda name: seen[name]["distance"].mean())
    better = ranked[: (len(ranked) + 1) // 2]
    return [name for name in seen if name in better or name == keep]


def search(study: Study, instrument: str) -> Settings:
    """The settings that RULE leads to, coordinate by coordinate."""
    linear = is_linear(INSTRUMENTS[instrument]())
    best = start_of(study.solver, study.prior.recommended.get(study.solver, {}), linear)
    for _ in range(PASSES):
        before = best
        for candidates in coordinates_of(study.solver, linear).values():
            names = list(dict.fromkeys(name_of(each) for each in (best, *(changed(study.solver, best, changes) for changes in candidates))))
            for count in rungs(len(study.x)):
                seen = {name: study.per_picture(instrument, json.loads(name), count) for name in names}
                names = halved(seen, name_of(best))
            best = json.loads(choose(seen))
        if best == before:
            break
    return best
