"""Is a solver cheaper than others at no lower quality?  A non-inferiority test, paired over pictures.

That no difference was found is no evidence that there is none: with few pictures nothing is found.  So a margin is stated beforehand, the
most by which a quality may be worse, and the interval of the difference has to lie within it (Schuirmann 1987; Piaggio et al. 2012).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from .. import checks
from .grading import FIGURES
from .intervals import Interval, limits_of_difference, mean_interval
from .runner import BASELINE

__all__ = ["BACK", "Compared", "against", "gradient_based", "of_every"]

BACK = ("unet_backward", "decoder_backward", "encoder_backward")
"""The counts of a row that a solver without gradients through networks leaves at 0."""


class Compared(NamedTuple):
    """A solver and a rival.

    passes, seconds: the rival's over its own, ratios of the means.  worse: {figure: (mean, low, high)}, by how much it is worse than the
    rival.  verdicts: {"cost", or a figure: "holds", "fails" or "undecided"}.  verdict: "holds" where all do, "fails" where one does.
    """

    rival: str
    passes: float
    seconds: float
    worse: dict[str, Interval]
    verdicts: dict[str, str]
    verdict: str


def gradient_based(rows: pd.DataFrame, baseline: str = BASELINE) -> list[str]:
    """The arms that pass a gradient through a network, by their counts, but for the baseline."""
    back = rows[list(BACK)].sum(axis=1).groupby(rows["arm"], sort=False).sum()
    return [arm for arm, count in back.items() if count > 0 and arm != baseline]


def against(
    rows: pd.DataFrame,
    rivals: Sequence[str],
    margins: Mapping[str, float],
    factor: float = 3.0,
    baseline: str = BASELINE,
    level: float = 0.95,
) -> list[Compared]:
    """For each rival: is the baseline `factor` times cheaper, and worse by no more than `margins`?

    A quality holds where the upper end of the interval of "worse by" is below its margin; it fails where the lower end is above.  The
    cost holds where passes and seconds both are `factor` times the baseline's, and fails where neither is.  Passes are the same in every
    run; seconds are not, but they are measured in batches; so neither has an interval here.

    That all hold needs no correction for their number: each has to, so that a wrong "holds" is no more likely than that of one (Berger
    1982).  That one fails is said after Bonferroni's correction, for all rivals and qualities.  So a wrong "holds", and a wrong "fails"
    of any quality, each have a probability of (1 − level) / 2 at most.

    rows: of one measurement, a row a reconstruction; the seeds of a picture are averaged.  margins: {figure of FIGURES: above 0}, in the
    unit of the rows.
    """
    for name, margin in margins.items():
        checks.one_of("margins", name, [name for name, figure in FIGURES.items() if figure.better and name != "kid"])
        checks.number(f"margins[{name!r}]", margin, above=0)
    checks.number("factor", factor, above=0)
    measurements = rows["measurement"].unique()
    checks.expect(len(measurements) == 1, "rows", f"those of {', '.join(measurements)}", "those of one measurement")
    means = {arm: per_picture(rows, arm, margins) for arm in dict.fromkeys([baseline, *rivals])}
    own, comparisons = means[baseline], max(len(rivals) * len(margins), 1)
    found = []
    for rival in rivals:
        other = means[rival]
        same = list(own.index) == list(other.index)
        checks.expect(same, "rows", f"other pictures for {rival} than for {baseline}", "the same for all arms")
        ratios = {name: float(other[name].mean() / own[name].mean()) for name in ("passes", "seconds")}
        cheaper = [ratio >= factor for ratio in ratios.values()]
        verdicts = {"cost": "holds" if all(cheaper) else "undecided" if any(cheaper) else "fails"}
        worse = {}
        for name, margin in margins.items():
            figure = FIGURES[name]
            by = (figure.better * (other[name] - own[name])).to_numpy()
            limits = limits_of_difference(figure.limits)
            worse[name] = mean_interval(by, limits, level)
            corrected = mean_interval(by, limits, 1 - (1 - level) / comparisons)
            verdicts[name] = "holds" if worse[name][2] < margin else "fails" if corrected[1] > margin else "undecided"
        found.append(Compared(rival, **ratios, worse=worse, verdicts=verdicts, verdict=together(list(verdicts.values()))))
    return found


def of_every(compared: Sequence[Compared]) -> str:
    """Of the statement for every rival: "holds" where it does for each, "fails" where it does for one, else "undecided"."""
    checks.expect(len(compared) > 0, "compared", "none", "one at least")
    return together([each.verdict for each in compared])


def together(verdicts: Sequence[str]) -> str:
    return "fails" if "fails" in verdicts else "undecided" if "undecided" in verdicts else "holds"


def per_picture(rows: pd.DataFrame, arm: str, margins: Mapping[str, float]) -> pd.DataFrame:
    """A row a picture, in the order of their names: means over the seeds."""
    part = rows[rows["arm"] == arm]
    checks.expect(len(part), "rows", f"none of {arm}", "some of every arm")
    return part.groupby("picture")[["passes", "seconds", *margins]].mean()
