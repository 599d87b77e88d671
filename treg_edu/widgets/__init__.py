"""Panels of ipywidgets: the same functions as the cells, with knobs; one module a notebook.

A `Panel` solves in a thread, and can be cancelled. A `Live` panel draws at once, on every change: for what takes a fraction of a second.
"""

from .adaptive_negation import negation, negation_figure
from .after_treg import swapped_slots
from .base import LINEAR, NONLINEAR, SIGMA, Live, Panel
from .ddim import ddim
from .forward_operators import null_space
from .latent_data_consistency import pixel_step
from .other_solvers import two_solvers, two_solvers_figure
from .papers_tables import differences_to_treg, differences_to_treg_figure
from .phase_retrieval_symmetries import phases_and_copies
from .quickstart import quickstart
from .text_regularization import text_regularization
from .treg import solver, solver_figure

__all__ = [
    "LINEAR",
    "NONLINEAR",
    "SIGMA",
    "Live",
    "Panel",
    "ddim",
    "differences_to_treg",
    "differences_to_treg_figure",
    "negation",
    "negation_figure",
    "null_space",
    "phases_and_copies",
    "pixel_step",
    "quickstart",
    "solver",
    "solver_figure",
    "swapped_slots",
    "text_regularization",
    "two_solvers",
    "two_solvers_figure",
]
