"""TReg taken apart: each part exchanged alone, at two guidance scales.

Does the latent step's weight matter, or Γ, or that half of the noise is new?
"""

from typing import Any

from .arms import Arm
from .measurements import Measurement
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study

__all__ = ["CHANGED", "STUDY", "run"]

CHANGED: dict[str, tuple[str, dict[str, Any]]] = {
    "weight 1": ("taken apart", {"weight": "1"}),
    "weight ½": ("taken apart", {"weight": "½"}),
    "weight 1 − ᾱ": ("taken apart", {"weight": "1 − ᾱ"}),
    "Γ: first 85 %": ("treg", {"since": 0.0, "until": 0.85}),
    "Γ: last 85 %": ("treg", {"since": 0.15, "until": 1.0}),
    "Γ: all steps": ("treg", {"every": 1, "since": 0.0, "until": 1.0}),
    "Γ: every third": ("treg", {"every": 3, "since": 0.0, "until": 1.0}),
    "E sampled": ("taken apart", {"encoding": "sample"}),
    "renoised by DDIM": ("taken apart", {"renoising": "DDIM"}),
    "renoised afresh": ("taken apart", {"renoising": "fresh"}),
    "λ = 10⁻⁶": ("treg", {"lam": 1e-6}),
    "λ = 10⁻²": ("treg", {"lam": 1e-2}),
    "λ = 1": ("treg", {"lam": 1.0}),
    "2 iterations": ("treg", {"iterations": 2}),
    "20 iterations": ("treg", {"iterations": 20}),
    "Γ: every third, DPS, ρ = 2": ("treg", {"every": 3, "since": 0.0, "until": 1.0, "dps_step_size": 2.0}),
    "Γ: every third, DPS, ρ = 16": ("treg", {"every": 3, "since": 0.0, "until": 1.0, "dps_step_size": 16.0}),
    "one last round": ("treg", {"last_rounds": 1}),
    "three last rounds": ("treg", {"last_rounds": 3}),
    "no negation": ("treg", {"negation": None}),
    "negation, projected": ("treg", {"negation": "projected"}),
}
"""{arm: (solver, its settings)}; the arm "treg" has what is recommended, at either ω.  The latent-DPS branch works off Γ, so it is compared
with every third step in Γ."""
AT = {2.5: 0.3, 5.0: 0.6}
"""{ω: the scale of CFG++ beside it}; in 50 steps of DDIM, 0.6 does what CFG does at about 7.5."""


def arms(setting: Setting) -> list[Arm]:
    """A table for each guidance scale."""
    found = []
    for omega, plus in AT.items():
        y = Measurement("sr", label=f"sr, ω = {omega}")
        own = {"guidance": "cfg", "guidance_scale": omega}
        found += [Arm(BASELINE, settings=own, measurement=y)]
        found += [Arm(name, solver, settings=own | changes, measurement=y) for name, (solver, changes) in CHANGED.items()]
        found += [Arm(f"CFG++, {plus}", settings={"guidance": "cfg++", "guidance_scale": plus}, measurement=y)]
        found += [Arm(DDIM, "ddim", settings={"guidance_scale": omega}, measurement=y)]
    return found


STUDY = Study("parts", arms)


def run(**options: Any) -> dict[str, Any] | None:
    """options: of `runner.Options`."""
    return run_study(STUDY, **options)
