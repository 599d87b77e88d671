"""Every figure of the course, one function a figure, one module a notebook: `ddim` holds those of 03_ddim.

Each returns a matplotlib `Figure`, and shows nothing by itself. All look the same whatever the user's matplotlib settings are.
"""

from .adaptive_negation import effects, found_among, negation_losses, negation_trajectory, null_directions, push_of_null_text
from .after_treg import differences, guidance_along, orientations_along, ranked_texts, renewed_from
from .base import Figure
from .ddim import noising, paths, score_field, triangle
from .forward_operators import ellipses, matrices, picard, spectra, tone_curves, truncation, two_pixels, weights
from .latent_data_consistency import along_trajectory, best_weights, cg_iterations, over_measurements, pixel_step, way_back
from .machine import machine
from .other_solvers import by_method, posterior_clouds
from .papers_tables import compared, curves, shares, standing
from .phase_retrieval_symmetries import circle_and_box, convergence, copies_found, found_shifts, over_magnitudes
from .pictures import ladder, nearest_sheet, picture_rows, sample_sheet
from .quickstart import measurement, story, variance_maps
from .settings import quality_and_time
from .stable_diffusion import memory_of_stages, rounded_noise, visited_levels
from .text_regularization import (
    alternation,
    deviation_and_error,
    guidance_and_text,
    paired,
    seeds_and_deviation,
    text_weight,
    texts,
)
from .train_the_prior import text_similarities
from .treg import error_and_deviation, problems, retrieved, solver

__all__ = [
    "Figure",
    "along_trajectory",
    "alternation",
    "best_weights",
    "by_method",
    "cg_iterations",
    "circle_and_box",
    "compared",
    "convergence",
    "copies_found",
    "curves",
    "deviation_and_error",
    "differences",
    "effects",
    "ellipses",
    "error_and_deviation",
    "found_among",
    "found_shifts",
    "guidance_along",
    "guidance_and_text",
    "ladder",
    "machine",
    "matrices",
    "measurement",
    "memory_of_stages",
    "nearest_sheet",
    "negation_losses",
    "negation_trajectory",
    "noising",
    "null_directions",
    "orientations_along",
    "over_magnitudes",
    "over_measurements",
    "paired",
    "paths",
    "picard",
    "picture_rows",
    "pixel_step",
    "posterior_clouds",
    "problems",
    "push_of_null_text",
    "quality_and_time",
    "ranked_texts",
    "renewed_from",
    "retrieved",
    "rounded_noise",
    "sample_sheet",
    "score_field",
    "seeds_and_deviation",
    "shares",
    "solver",
    "spectra",
    "standing",
    "story",
    "text_similarities",
    "text_weight",
    "texts",
    "tone_curves",
    "triangle",
    "truncation",
    "two_pixels",
    "variance_maps",
    "visited_levels",
    "way_back",
    "weights",
]
