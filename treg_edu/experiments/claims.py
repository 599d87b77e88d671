"""What the paper says that a study can contradict, and what the stored results say to it.

A claim is a direction: in the paper an arm has more of a figure than TReg, or less.  Its size belongs to other pictures and another prior.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from . import stored
from .grading import FIGURES, cell
from .stored import study_named

__all__ = ["CLAIMS", "Claim", "examined", "verdict"]


class Claim(NamedTuple):
    """Something that the paper says.

    item: of docs/paper.md.  said: in our words.  study, measurement, arm, figure: the difference of the arm to the study's baseline is
    looked at.  sign: +1 where the paper has more for the arm than for the baseline, −1 where it has less.
    """

    item: str
    said: str
    study: str
    measurement: str
    arm: str
    figure: str
    sign: int


OF_THEIR_CODE = "sr, ω = 5.0, null text published"
CLAIMS = (
    Claim("ambiguity", "without the text, reconstructions spread more", "ambiguity", "sr", "treg, null text", "variance", 1),
    Claim("true-class", "PSLD with guidance has a lower PSNR", "accuracy", "sr", "psld + CFG", "psnr", -1),
    Claim("other-class", "PSLD explains the measurement less well", "other-class", "sr", "psld", "y_mse", 1),
    Claim("negation-table", "negation brings the pictures closer to the class", "negation", OF_THEIR_CODE, "published, ×1", "kid", -1),
    Claim("negation-table", "negation costs PSNR", "negation", OF_THEIR_CODE, "published, ×1", "psnr", -1),
    Claim("phase", "without the text, fewer pictures are upright", "phase", "phase", "treg, null text", "upright", -1),
    Claim("phase", "LDPS with the text finds fewer upright pictures", "phase", "phase", "ldps", "upright", -1),
)
"""Those of which we know what the paper found.  Its FID is our KID, its LPIPS our perceptual distance."""


def verdict(claim: Claim, difference: tuple[float, float, float, float] | None) -> str:
    """ "reproduced" where the difference has the paper's sign, "reversed" where it has the other; both with p < 0.05 after correction.

    difference: (mean, low, high, p) of the arm to the baseline, as a study's report has it, p by Holm; None where there is none.
    """
    if difference is None:
        return "not measured"
    mean, _, _, p = difference
    if p >= 0.05:
        return "not told apart"
    return "reproduced" if claim.sign * mean > 0 else "reversed"


def examined(reports: Mapping[str, Mapping[str, Any]] | None = None) -> pd.DataFrame:
    """A row a claim: what was said, the study and the arm, the difference, the verdict.

    reports: {study: its report}; those that are stored if None.
    """
    found = []
    for claim in CLAIMS:
        report = stored.report(claim.study) if reports is None else reports[claim.study]
        difference = report["tables"][claim.measurement][claim.arm]["differences"].get(claim.figure)
        figure = {**FIGURES, **study_named(claim.study).figures}[claim.figure]
        found.append(
            {
                "the paper": claim.said,
                "study": claim.study,
                "arm − TReg": f"{claim.arm}: {figure.title}",
                "difference": cell(difference, figure),
                "verdict": verdict(claim, difference),
            }
        )
    return pd.DataFrame(found, [claim.item for claim in CLAIMS])
