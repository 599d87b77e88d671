"""A course on text-regularized latent diffusion inverse solvers, and the small library it stands on.

    import treg_edu as te
    prior = te.load_prior()
    operator = te.operators.SuperResolution(factor=16)
    y = operator.measure(te.images.example("ice cream"), sigma=0.005)
    x_hat = te.solve(te.treg, prior, operator, y, prompt="ice cream", **prior.recommended)
"""

__version__ = "0.2.0"

from . import consistency, diffusion, exercises, images, judge, latent_diffusion, metrics, negation, operators, phase_retrieval, solvers
from .judge import load_judge
from .latent_diffusion import LatentDiffusion, load_prior
from .solvers import SOLVERS, solve
from .treg import treg


def __getattr__(name):
    """`te.figures` and `te.widgets` bring matplotlib and ipywidgets, so they are imported on first use."""
    if name in ("figures", "widgets"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
