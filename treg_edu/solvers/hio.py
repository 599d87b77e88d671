"""HIO: the hybrid input-output algorithm (Fienup, Applied Optics 1982), from many random starts."""

from collections.abc import Iterator, Sequence

import torch

from .. import checks
from ..diffusion import Step
from ..noise import Seed
from ..operators import FourierMagnitude
from ..phase_retrieval import error_reduction, hybrid_input_output, lowest, match_channels, random_start
from ..priors import DiffusionPrior
from .common import image_step, pose_images

__all__ = ["hio"]


def hio(
    prior: DiffusionPrior | None,
    operator: FourierMagnitude,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    steps: int = 250,
    starts: int = 8,
    beta: float = 0.9,  # β
    er_share: float = 0.2,
    seed: Seed = 0,
) -> Iterator[Step]:
    """Phase retrieval: HIO, then error reduction, from several random phases; of every channel the start of lowest misfit is kept.

    x′ = F⁻¹ (y F x / |F x|);   x ← x′ where x′ obeys,  x ← x − β (x′ − clip(x′)) elsewhere      (`hybrid_input_output`)
    at the end x ← clip(Pᵀ F⁻¹ (y F P x / |F P x|))                                             (`error_reduction`)

    operator: a `FourierMagnitude`.  steps: iterations of both; er_share: the share of them, at the end, that are error reduction, 0 to 1.
    starts: random starts for each sample.  beta: β ≥ 0, Fienup's 0.5 to 1.  prior, prompt: not used.  Page: docs/solvers.md.
    |F P x| says nothing of how channels belong together, so that each may come out turned by 180°: `match_channels`, which is not Fienup's,
    turns them to agree.  The picture as a whole stays as likely to be turned.

    Checks everything at the call.  Yields one `Step` per iteration, of the starts that are lowest there; the last x_hat is the result.
    """
    problem = pose_images(prior, operator, y, prompt, steps, seed)
    came, expected = type(operator).__name__, "a FourierMagnitude: hio is for phase retrieval alone; treg takes any operator"
    checks.expect(isinstance(operator, FourierMagnitude), "operator", came, expected, checks.ArgumentTypeError)
    steps, starts, beta = checks.integer("steps", steps), checks.integer("starts", starts), checks.number("beta", beta, least=0)
    er = round(steps * checks.number("er_share", er_share, least=0, most=1))
    many = problem.y.repeat_interleave(starts, 0)
    generators = [each for each in problem.generators for _ in range(starts)]

    def iterates() -> Iterator[torch.Tensor]:
        x = random_start(operator, many, generators)
        for x in hybrid_input_output(operator, many, x, steps - er, beta):  # noqa: B020, the walk goes on from the last
            yield x
        yield from error_reduction(operator, many, x, er)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        x = operator.A_dagger(problem.y)
        for index, each in enumerate(iterates()):
            x_next = match_channels(lowest(operator, each, many, starts).x_hat)
            yield image_step(operator, problem.y, index, steps, x, x_next)
            x = x_next

    return walk()
