"""Three hints for each exercise, given one at a time."""

from .. import checks
from . import (
    adaptive_negation,
    after_treg,
    base,
    ddim,
    forward_operators,
    latent_data_consistency,
    other_solvers,
    papers_tables,
    phase_retrieval_symmetries,
    stable_diffusion,
    text_regularization,
    train_the_prior,
    treg,
)

__all__ = ["HINTS", "hint"]

HINTS: base.Hints = {
    **forward_operators.HINTS,
    **phase_retrieval_symmetries.HINTS,
    **ddim.HINTS,
    **latent_data_consistency.HINTS,
    **text_regularization.HINTS,
    **adaptive_negation.HINTS,
    **treg.HINTS,
    **other_solvers.HINTS,
    **papers_tables.HINTS,
    **after_treg.HINTS,
    **stable_diffusion.HINTS,
    **train_the_prior.HINTS,
}


def hint(exercise: str, number: int = 1) -> None:
    """Print a hint: 1 says what the case is and where one goes wrong, 2 how to begin, 3 is nearly the answer."""
    checks.one_of("exercise", exercise, HINTS)
    number = checks.integer("number", number, least=1, most=3)
    further = f"  (There is more: number={number + 1}.)" if number < 3 else ""
    print(HINTS[exercise][number - 1] + further)
