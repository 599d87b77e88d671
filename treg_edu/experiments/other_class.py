"""What a wrong text makes of a measurement: one that could be true, as macarons for ice cream in the paper, and one that contradicts.

The paper's tables of different classes.  No truth bears such a text, so there is no PSNR; what counts is the misfit, and whether the
picture shows what was asked for.
"""

from typing import Any

from .arms import Arm
from .grading import Figure
from .measurements import Measurement
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study
from .texts import alike, contradicting

__all__ = ["STUDY", "run"]

RIVALS = ("ldps", "psld", "p2l", "resample", "latent_daps", "mpgd", "latino", "flowdps", "null_text")


def arms(setting: Setting) -> list[Arm]:
    """The first is told the class that measures alike; every other text, and every rival, is compared with it."""
    found = []
    for instrument in ("sr", "blur", "boxes"):
        y = Measurement(instrument)
        found += [
            Arm(BASELINE, text="alike", measurement=y),
            Arm("treg, no negation", text="alike", settings={"negation": None}, measurement=y),
            Arm("treg, true text", text="true", measurement=y),
            Arm("treg, null text", text="null", measurement=y),
            Arm("treg, contradicting", text="contradicting", measurement=y),
            Arm(DDIM, "ddim", text="alike", measurement=y),
        ]
        found += [Arm(solver, solver, text="alike", measurement=y) for solver in RIVALS]
    return found


STUDY = Study(
    "other-class",
    arms,
    texts={"alike": alike, "contradicting": contradicting},
    figures={
        "y_mse": Figure("y-MSE ×10⁻⁵", "{:.2f}", 1e5, better=-1),
        "asked_top1": Figure("asked top-1 %", "{:.0f}", 100, (0, 1), better=1),
        "asked_top5": Figure("asked top-5 %", "{:.0f}", 100, (0, 1), better=1),
        "asked_similarity": Figure("asked similarity", "{:.3f}", better=1),
    },
    shown=("distance", "misfit", "y_mse", "asked_top1", "asked_top5", "asked_similarity", "top1", "cost", "passes"),
)


def run(**options: Any) -> dict[str, Any] | None:
    """options: of `runner.Options`."""
    return run_study(STUDY, **options)
