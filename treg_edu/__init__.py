"""A course on text-regularized latent diffusion inverse solvers, and the small library it stands on.

In short:

    import treg_edu as te
    prior = te.load_prior()
    operator = te.operators.SuperResolution(factor=16)
    y = operator.measure(te.images.example("ice cream"), sigma=0.005)
    x_hat = te.solve("treg", prior, operator, y, prompt="ice cream", **prior.recommended["treg"])
"""

import importlib
from typing import Any

from . import (
    checks,
    consistency,
    deepinv,
    diffusion,
    files,
    images,
    judge,
    likelihood,
    memory,
    metrics,
    negation,
    noise,
    operators,
    phase_retrieval,
    priors,
    solvers,
    tables,
)
from .costs import Cost, cost
from .judge import load_judge
from .priors import DiffusionPrior, LatentDiffusion, PixelDiffusion, load_prior
from .solvers import SOLVERS, solve, treg

__version__ = "0.2.0"

LAZY = ("exercises", "figures", "pipeline", "widgets")

__all__ = [
    "SOLVERS",
    "Cost",
    "DiffusionPrior",
    "LatentDiffusion",
    "PixelDiffusion",
    "TRegPipeline",
    "checks",
    "consistency",
    "cost",
    "deepinv",
    "diffusion",
    "files",
    "images",
    "judge",
    "likelihood",
    "load_judge",
    "load_prior",
    "memory",
    "metrics",
    "negation",
    "noise",
    "operators",
    "phase_retrieval",
    "priors",
    "solve",
    "solvers",
    "tables",
    "treg",
    *LAZY,
]


def __getattr__(name: str) -> Any:
    """`te.figures`, `te.widgets` and `te.pipeline` bring matplotlib, ipywidgets and diffusers, so they are imported on first use."""
    if name in LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "TRegPipeline":
        return importlib.import_module(f"{__name__}.pipeline").TRegPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
