"""How ambiguous a measurement leaves the picture, and what a text does to that: ten reconstructions of each, and their spread.

The paper's pixel variance; and whether the spread tells the error, as the spread of a posterior's samples would.
"""

from typing import Any

import numpy as np
import pandas as pd

from .arms import Arm
from .grading import Figure, picture_of
from .measurements import Measurement
from .report import run as run_study
from .report import truths
from .runner import BASELINE, DDIM, Setting, Study
from .texts import alike

__all__ = ["STUDY", "run"]


def arms(setting: Setting) -> list[Arm]:
    """The text, or another in its place, everything else kept."""
    found = []
    for instrument in ("sr", "blur", "boxes"):
        y = Measurement(instrument)
        found += [
            Arm(BASELINE, measurement=y),
            Arm("treg, null text", text="null", measurement=y),
            Arm("treg, wrong text", text="alike", measurement=y),
            Arm("ldps", "ldps", measurement=y),
            Arm("ldps, null text", "ldps", text="null", measurement=y),
            Arm(DDIM, "ddim", measurement=y),
        ]
    return found


def spread(rows: pd.DataFrame, setting: Setting) -> dict[str, Any]:
    """Of the S reconstructions of each picture, with mean x̄ and unbiased variance V at each pixel, and their truth x:

    variance  the mean of V      (the paper's)
    too_sure  the RMS of x̄ − x, over the root of the mean of (1 + 1/S) V: 1 if x might be one more sample, above 1 if it is too far for that
    where     the correlation of √V and |x̄ − x| over pixels: does the picture vary where it is wrong?
    """
    found: dict[str, list[float]] = {"variance": [], "too_sure": [], "where": []}
    for x, (_, own) in zip(truths(rows, setting), rows.groupby("picture", sort=False)):
        x_hats = picture_of(own)
        variance, away = x_hats.var(0), (x_hats.mean(0) - x).abs()
        expected = (1 + 1 / len(x_hats)) * variance.mean()
        found["variance"].append(variance.mean().item())
        found["too_sure"].append((away.square().mean() / expected.clamp(min=1e-12)).sqrt().item())
        found["where"].append(float(np.corrcoef(variance.sqrt().flatten(), away.flatten())[0, 1]))
    return found


STUDY = Study(
    "ambiguity",
    arms,
    texts={"alike": alike},
    of_pictures=spread,
    figures={
        "variance": Figure("variance ×10⁻³", "{:.2f}", 1e3, better=-1),
        "too_sure": Figure("error / spread", "{:.2f}", better=-1),
        "where": Figure("corr. of both", "{:.2f}", limits=(-1, 1), better=1),
    },
    shown=("variance", "too_sure", "where", "psnr", "distance", "misfit", "top1", "kid", "cost", "passes"),
    least_seeds=2,
)


def run(**options: Any) -> dict[str, Any] | None:
    """options: of `runner.Options`."""
    return run_study(STUDY, **options)
