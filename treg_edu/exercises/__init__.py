"""Checks that tell a reader whether their own function is right, and if it is not, why, in one sentence.

    def tweedie(z_t, noise, alpha_bar):
        return ...                          # yours to fill

    te.exercises.check_tweedie(tweedie)     # "not attempted yet"

One function an exercise, one module a notebook: `ddim` holds those of 03_ddim. Each calls the reader's function on cases that the notebook
does not show and prints a verdict: "not attempted yet", "right", or "not yet: …" with the case, what was expected, what was found, and the
mistake where it is a known one. None of them raises; `assert_right` does, for nbgrader. `hint` gives three hints for an exercise, one at a
time.
"""

from .adaptive_negation import (
    check_adam,
    check_extra_guidance,
    check_gentle_rate,
    check_negation_loss,
    check_negation_push,
    check_pull_back,
    check_shortest_move,
)
from .after_treg import (
    check_backwards,
    check_equivalent_omega,
    check_evidence_gradient,
    check_kept_run,
    check_more_steps,
    check_trust,
    check_tuned,
)
from .base import assert_right, difference, verdict
from .ddim import (
    check_ddim_step,
    check_enough_steps,
    check_from_v,
    check_gaussian_noise,
    check_guide,
    check_renoise,
    check_rescaled_score,
    check_tweedie,
    check_walk_down,
    check_where_text_helps,
)
from .forward_operators import (
    check_best_cut,
    check_colour_mosaic,
    check_descent,
    check_discrepancy_weight,
    check_gamma_gradient,
    check_least_squares_near,
    check_split,
    check_weight_of_a_prior,
)
from .hints import hint
from .latent_data_consistency import (
    check_conjugate_gradient,
    check_guess_weight,
    check_inpainting_step,
    check_noise_gain,
    check_remaining_misfit,
    check_shown_loss,
    check_steepest_step,
)
from .other_solvers import (
    check_clean_estimate,
    check_gluing,
    check_norm_gradient,
    check_through_the_network,
    check_without_a_gradient,
)
from .papers_tables import (
    check_chosen_beforehand,
    check_discordant,
    check_fair_lead,
    check_no_difference,
    check_not_worse,
    check_pictures_needed,
    check_trivial_winner,
)
from .phase_retrieval_symmetries import (
    check_best_estimates,
    check_best_shift,
    check_conjugate_flip,
    check_distinct_magnitudes,
    check_hio_step,
    check_mixture,
    check_turned_error,
)
from .stable_diffusion import (
    check_in_our_units,
    check_largest_consistent,
    check_noise_share,
    check_passes,
    check_twice_the_side,
)
from .text_regularization import (
    check_cancelling_factor,
    check_choose_guidance,
    check_decided_by_text,
    check_guided,
    check_larger_cost,
    check_latent_step_of_two_texts,
    check_precision_weight,
    check_sign_test,
    check_treg_step,
)
from .treg import (
    check_algorithm_step,
    check_best_seed,
    check_consistency_steps,
    check_cost,
    check_dps_gradient,
    check_paired_difference,
    check_turned_copy,
)

__all__ = [
    "assert_right",
    "check_adam",
    "check_algorithm_step",
    "check_backwards",
    "check_best_cut",
    "check_best_estimates",
    "check_best_seed",
    "check_best_shift",
    "check_cancelling_factor",
    "check_choose_guidance",
    "check_chosen_beforehand",
    "check_clean_estimate",
    "check_colour_mosaic",
    "check_conjugate_flip",
    "check_conjugate_gradient",
    "check_consistency_steps",
    "check_cost",
    "check_ddim_step",
    "check_decided_by_text",
    "check_descent",
    "check_discordant",
    "check_discrepancy_weight",
    "check_distinct_magnitudes",
    "check_dps_gradient",
    "check_enough_steps",
    "check_equivalent_omega",
    "check_evidence_gradient",
    "check_extra_guidance",
    "check_fair_lead",
    "check_from_v",
    "check_gamma_gradient",
    "check_gaussian_noise",
    "check_gentle_rate",
    "check_gluing",
    "check_guess_weight",
    "check_guide",
    "check_guided",
    "check_hio_step",
    "check_in_our_units",
    "check_inpainting_step",
    "check_kept_run",
    "check_larger_cost",
    "check_largest_consistent",
    "check_latent_step_of_two_texts",
    "check_least_squares_near",
    "check_mixture",
    "check_more_steps",
    "check_negation_loss",
    "check_negation_push",
    "check_no_difference",
    "check_noise_gain",
    "check_noise_share",
    "check_norm_gradient",
    "check_not_worse",
    "check_paired_difference",
    "check_passes",
    "check_pictures_needed",
    "check_precision_weight",
    "check_pull_back",
    "check_remaining_misfit",
    "check_renoise",
    "check_rescaled_score",
    "check_shortest_move",
    "check_shown_loss",
    "check_sign_test",
    "check_split",
    "check_steepest_step",
    "check_through_the_network",
    "check_treg_step",
    "check_trivial_winner",
    "check_trust",
    "check_tuned",
    "check_turned_copy",
    "check_turned_error",
    "check_tweedie",
    "check_twice_the_side",
    "check_walk_down",
    "check_weight_of_a_prior",
    "check_where_text_helps",
    "check_without_a_gradient",
    "difference",
    "hint",
    "verdict",
]
