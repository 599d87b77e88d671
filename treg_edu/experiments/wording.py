"""How much the wording of the right text matters, and how much a wrong one."""

import warnings
from typing import Any

from .arms import Arm
from .measurements import Measurement
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study
from .texts import WORDINGS, paraphrased

__all__ = ["STUDY", "run"]


def arms(setting: Setting) -> list[Arm]:
    """TReg with each wording; and DDIM, which shows how far the prior itself understands it."""
    y = Measurement("sr")
    found = [Arm(BASELINE, measurement=y), Arm("null text", text="null", measurement=y)]
    found += [Arm(wording, text=wording, measurement=y) for wording in WORDINGS]
    return [*found, Arm(DDIM, "ddim", measurement=y), *(Arm(f"DDIM, {each}", "ddim", text=each, measurement=y) for each in WORDINGS)]


STUDY = Study("wording", arms, texts=WORDINGS, classes=paraphrased)


def run(**options: Any) -> dict[str, Any] | None:
    """options: of `runner.Options`.  The drawings are those whose label has a paraphrase in `data/paraphrases.csv`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "prompt: .* tokens, the prior takes")  # one of the texts is too long on purpose
        return run_study(STUDY, **options)
