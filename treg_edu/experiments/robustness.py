"""What happens when the measurement is not what the solver thinks: more noise, a wrong σ, a wrong kernel, JPEG, photons, other pictures."""

from typing import Any

from .arms import Arm
from .measurements import CHANGES, SIGMA, Measurement
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study

__all__ = ["MEASUREMENTS", "STUDY", "run"]

RIVALS = ("ldps", "psld", "latino", "mpgd", "latent_daps")
MEASUREMENTS = (
    *(Measurement("sr", sigma, f"sr, σ = {sigma}") for sigma in (0.0, SIGMA, 0.02, 0.05, 0.1)),
    *(Measurement("sr", 0.02, f"sr, σ = 0.02, told {told}", told=told) for told in (SIGMA, 0.08)),
    *(Measurement("blur", label=f"blur of 5, told {told}", assumed={"sigma": told}) for told in (5.0, 4.5, 6.0)),
    *(
        Measurement("blur", 0.0, f"blur, JPEG of quality {quality}", jpeg=quality, told=told)
        for quality, told in ((90, 0.004), (30, 0.0125))
    ),
    *(Measurement("sr", 0.0, f"sr, {photons} photons", photons=photons, told=photons**-0.5) for photons in (1000, 50)),
    *(Measurement("sr", label=f"sr, {change}", change=change) for change in CHANGES),
)
"""A table each.  Of JPEG, the σ that is told is the RMS of what 24 drawings lose; of photons, that of a white pixel, as most are."""


def arms(setting: Setting) -> list[Arm]:
    """TReg's λ = σ²/τ² follows the σ that it is told; its twin keeps the best one for σ = 0.005."""
    lam = setting.best("treg").get("lam", 1e-4)
    found = []
    for y in MEASUREMENTS:
        told = y.sigma if y.told is None else y.told
        found += [Arm(BASELINE, settings={"lam": max(lam * (told / SIGMA) ** 2, 1e-6)}, measurement=y)]
        if told != SIGMA:
            found += [Arm("treg, λ of σ = 0.005", measurement=y)]
        found += [Arm(solver, solver, measurement=y) for solver in RIVALS]
    return [*found, Arm(DDIM, "ddim", measurement=MEASUREMENTS[0])]


STUDY = Study("robustness", arms)


def run(**options: Any) -> dict[str, Any] | None:
    """options: of `runner.Options`."""
    return run_study(STUDY, **options)
