"""How near each solver comes to the truth, told the true class: ×16, blur, and boxes over eyes and mouth.

The paper's Tables 1 and 2, with what its reviewers missed: a row without text, spread, and the cost of each.
"""

from typing import Any

from ..solvers import SOLVERS
from .arms import Arm
from .coordinates import WITHOUT_TEXT
from .measurements import Measurement
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study

__all__ = ["STUDY", "run"]


def arms(setting: Setting) -> list[Arm]:
    """TReg first; every other solver with the text; PSLD without guidance, as published, and with it; TReg without text."""
    guided = max(setting.best("psld").get("guidance_scale", 2.5), 1.5)
    found = []
    for instrument in ("sr", "blur", "boxes"):
        y = Measurement(instrument)
        found += [Arm(BASELINE, measurement=y), Arm("treg, null text", text="null", measurement=y), Arm(DDIM, "ddim", measurement=y)]
        found += [Arm(solver, solver, measurement=y) for solver in SOLVERS if solver not in (BASELINE, "psld", *WITHOUT_TEXT)]
        found += [Arm("psld", "psld", settings={"guidance_scale": 1.0}, measurement=y)]
        found += [Arm("psld + CFG", "psld", settings={"guidance_scale": guided}, measurement=y)]
        found += [Arm(solver, solver, measurement=y) for solver in WITHOUT_TEXT]
    return found


STUDY = Study("accuracy", arms)


def run(**options: Any) -> dict[str, Any] | None:
    """All solvers that take the instrument.  options: of `runner.Options`."""
    return run_study(STUDY, **options)
