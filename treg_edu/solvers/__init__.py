"""Every solver by name, and the one way to run them to the end."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step
from ..priors import DiffusionPrior
from .dps import dps, ldps
from .psld import psld
from .treg import treg

Solver = Callable[..., Iterator[Step]]

SOLVERS: dict[str, Solver] = {"dps": dps, "ldps": ldps, "psld": psld, "treg": treg}

__all__ = ["SOLVERS", "Solver", "dps", "ldps", "psld", "solve", "treg"]


def solve(
    solver: str | Solver,
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    progress: bool = True,
    **settings: Any,
) -> torch.Tensor:
    """Run a solver to its end, with a progress bar.

    solver: of `SOLVERS`, the function or its name.  settings: its keyword arguments.  Returns x̂, (B, 3, H, W) in [0, 1].
    """
    from tqdm.auto import tqdm

    if isinstance(solver, str):
        solver = SOLVERS[checks.one_of("solver", solver, SOLVERS)]
    checks.expect(callable(solver), "solver", repr(solver), f"one of {', '.join(SOLVERS)}, or a solver itself", checks.ArgumentTypeError)
    walk = solver(prior, operator, y, prompt, **settings)
    parameter = inspect.signature(solver).parameters.get("steps")
    default = parameter.default if parameter is not None and isinstance(parameter.default, int) else None  # tqdm counts without a total
    steps = settings.get("steps", default)
    name = getattr(solver, "__name__", "solving")  # a functools.partial has none
    for step in tqdm(walk, total=steps, disable=not progress, desc=name, unit="step", delay=0.1):  # no bar before an error
        pass
    return step.x_hat
