"""What `treg-edu experiment settings` varies, for each solver.  A rival gets as wide a search as TReg, in its own settings."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..solvers import SOLVERS

__all__ = [
    "COORDINATES",
    "NONLINEAR_COORDINATES",
    "ON_PIXELS",
    "WITHOUT_TEXT",
    "Coordinates",
    "Settings",
    "at_the_edge",
    "changed",
    "coordinates_of",
    "start_of",
]

Settings = dict[str, Any]
Coordinates = dict[str, tuple[Settings, ...]]
"""{coordinate: the changes that are tried, one after the other}, in the order in which the coordinates are searched."""

ON_PIXELS = ("daps", "ddrm", "dps", "pigdm", "red")
"""The solvers that are searched with `load_prior("pixel")`."""
WITHOUT_TEXT = ("h1", "hio", "tikhonov", "total_variation", "wavelet")
"""The solvers that use no prior, and so no text."""


def values(name: str, *each: Any) -> Coordinates:
    """A coordinate that is one setting."""
    return {name: tuple({name: value} for value in each)}


def ladder(name: str, least: float, most: float, factor: float = 2.0) -> Coordinates:
    """A setting on a logarithmic ladder, from `least` to `most`."""
    rungs = [least]
    while rungs[-1] * factor <= most * 1.001:
        rungs.append(float(f"{rungs[-1] * factor:.4g}"))
    return values(name, *rungs)


SCALES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
NULL_PROMPTS = values("null_prompt", "", "out of focus, depth of field", "blurry")
TEXT = values("guidance_scale", *SCALES) | NULL_PROMPTS
STEPS = values("steps", 15, 25, 50)
PENALTY = ladder("lam", 1e-6, 1.0, 10**0.5)
CHAIN = (
    ladder("step_size", 2**-6, 4.0)
    | values("chain_steps", 10, 30, 100, 300)
    | values("ode_steps", 1, 2, 5)
    | TEXT
    | values("sigma_max", 3.0, 10.0, 30.0, 100.0)
    | values("sigma_min", 0.01, 0.03, 0.1, 0.3)
    | values("final_ratio", 0.01, 0.1, 1.0)
)

COORDINATES: dict[str, Coordinates] = {
    "daps": CHAIN | STEPS,
    "ddrm": values("eta", 0.0, 0.5, 0.7, 0.85, 1.0) | values("eta_b", 0.25, 0.5, 0.75, 1.0) | TEXT | STEPS,
    "dps": ladder("step_size", 0.5, 128.0) | TEXT | values("eta", 0.0, 0.5, 1.0) | STEPS,
    "flowdps": {
        **ladder("step_size", 0.5, 128.0),
        **values("residual", "pseudo-inverse", "adjoint", "measurement"),
        **values("iterations", 1, 3, 10),
        **TEXT,
        **STEPS,
    },
    "h1": PENALTY | values("steps", 50, 200, 500),
    "hio": {
        **values("beta", 0.5, 0.7, 0.9, 1.0),
        **values("er_share", 0.0, 0.2, 0.5),
        **values("starts", 1, 4, 8, 32),
        **values("steps", 100, 250, 1000),
    },
    "latent_daps": CHAIN | values("momentum", 0.0, 0.45, 0.7, 0.9) | values("clamp", None, 0.125) | STEPS,
    "latino": {
        **ladder("delta", 0.01, 20.0),
        **ladder("late_delta", 0.01, 20.0),
        **values("inner_steps", 1, 2, 4),
        **TEXT,
        **values("steps", 4, 8, 15, 25, 50),  # the authors have 4 and 8
    },
    "ldps": ladder("step_size", 1.0, 128.0) | TEXT | STEPS,
    "mpgd": ladder("step_size", 2.0, 256.0) | TEXT | values("eta", 0.0, 0.5, 1.0) | STEPS,
    "null_text": {
        **values("source_prompt", "", "blurry", "pixelated"),
        **ladder("learning_rate", 1e-3, 1e-1, 10**0.5),
        **values("iterations", 1, 3, 10),
        **TEXT,
        **STEPS,
    },
    "p2l": {
        **ladder("step_size", 1.0, 128.0),
        **TEXT,
        **values("tuning_iterations", 0, 1, 3),
        **ladder("tuning_learning_rate", 1e-5, 1e-2, 10),
        **values("every", 0, 1, 2, 4, 8),
        **ladder("gamma", 1e-2, 1e4, 10),
        **STEPS,
    },
    "pigdm": ladder("weight", 0.125, 4.0) | values("scaling", "paper", "code", "score") | TEXT | values("eta", 0.0, 0.2, 1.0) | STEPS,
    "psld": {
        **ladder("step_size", 1.0, 64.0),
        **ladder("gluing", 0.03125, 16.0),
        **values("back", "adjoint", "pseudo-inverse"),
        **TEXT,
        **STEPS,
    },
    "red": {
        **ladder("lam", 6.5, 6.5e4, 10**0.5),
        **ladder("denoiser_sigma", 0.004, 0.128),
        **values("method", "fixed-point", "gradient"),
        **values("steps", 15, 25, 50, 100, 200),
    },
    "resample": {
        **ladder("step_size", 0.5, 64.0),
        **values("every", 1, 2, 3, 5, 10),
        **values("variance", "paper", "code"),
        **ladder("gamma", 2.5, 2560.0, 4),
        **TEXT,
        **values("look_ahead", 0, 1, 2, 5),
        **ladder("latent_learning_rate", 1.25e-3, 4e-2),
        **values("latent_iterations", 20, 50, 100, 500),
        **STEPS,
    },
    "tikhonov": PENALTY,
    "total_variation": PENALTY | values("steps", 100, 500),
    "treg": {
        **values("guidance_scale", *SCALES),
        **values("every", 1, 2, 3),
        "consistency": tuple({"since": since, "until": until} for since, until in ((0.0, 1.0), (0.0, 0.85), (0.15, 1.0))),
        **NULL_PROMPTS,
        "guidance": (
            {"guidance": "cfg", "guidance_scale": 2.5},
            *({"guidance": "cfg++", "guidance_scale": scale} for scale in (0.3, 0.6)),
        ),
        "negation": (
            {"negation": None, "negation_learning_rate": 1e-3},
            *({"negation": space, "negation_learning_rate": rate} for space in ("hidden", "projected") for rate in (1e-3, 3e-3)),
        ),
        **ladder("lam", 1e-5, 1e-2, 10),
        **values("iterations", 2, 5, 10, 20),
        **values("last_rounds", 0, 1, 3),
        # Off Γ alone, so also with fewer steps in Γ.  The authors' 2 belongs to 200 steps, 16 to 25.
        "dps_step_size": (
            *({"dps_step_size": step} for step in (0.0, 2.0, 16.0)),
            *({"dps_step_size": step, "every": 3} for step in (2.0, 16.0)),
        ),
        **STEPS,
    },
    "wavelet": PENALTY | values("family", "haar", "db2") | values("levels", 2, 3, 4) | values("steps", 100, 500),
}
"""Step sizes are for [0, 1] images."""
NONLINEAR_COORDINATES: dict[str, Coordinates] = {
    "resample": ladder("pixel_learning_rate", 1.25e-3, 4e-2) | values("pixel_iterations", 100, 500, 2000),
    "treg": values("iterations", 10, 25, 50, 100),
}
"""What is varied otherwise, or besides, where the operator is nonlinear."""
PER_STEP: dict[str, tuple[str, ...]] = {
    "dps": ("step_size",),
    "ldps": ("step_size",),
    "mpgd": ("step_size",),
    "p2l": ("step_size",),
    "psld": ("step_size", "gluing"),
    "resample": ("step_size",),
    "treg": ("dps_step_size",),
}
"""Settings that are as much for each step.  Twice the steps need half of them, and this is what is tried."""


def coordinates_of(solver: str, linear: bool) -> Coordinates:
    """What is varied."""
    return COORDINATES[solver] | ({} if linear else NONLINEAR_COORDINATES.get(solver, {}))


def start_of(solver: str, recommended: Mapping[str, Any], linear: bool) -> Settings:
    """Where a search begins: what the prior recommends; else the authors' settings, but for 25 steps and a guidance scale of 2.5.

    A solver without a prior keeps its own number of steps, which are of another kind.
    """
    parameters = inspect.signature(SOLVERS[solver]).parameters
    first: Settings = {} if solver in WITHOUT_TEXT else {"steps": 25, "guidance_scale": 2.5}
    if solver == "treg":
        first["iterations"] = 5 if linear else 50  # what its None means
    varied = [name for candidates in coordinates_of(solver, linear).values() for changes in candidates for name in changes]
    start = {name: first.get(name, parameters[name].default) for name in varied}
    return start | {name: value for name, value in recommended.items() if name in parameters}


def changed(solver: str, settings: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """Settings after a change; where it changes the steps, what is PER_STEP changes with them."""
    new = {**settings, **changes}
    if "steps" not in changes:
        return new
    scale = settings["steps"] / new["steps"]
    return new | {name: float(f"{scale * new[name]:.3g}") for name in PER_STEP.get(solver, ()) if name in new}


def at_the_edge(solver: str, settings: Mapping[str, Any], linear: bool) -> list[str]:
    """The settings with the least or the largest of the numbers that were tried: beyond it there may be a better one."""
    found = []
    for name, candidates in coordinates_of(solver, linear).items():
        tried: list[Any] = [changes.get(name) for changes in candidates if len(changes) == 1]
        if len(tried) == len(candidates) and all(isinstance(each, float) and each > 0 for each in tried):
            found += [name] * (not min(tried) < settings[name] < max(tried))
    return found
