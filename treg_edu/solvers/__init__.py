"""Every solver by name, and the one way to run them to the end."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step
from ..priors import DiffusionPrior
from .classical import h1, tikhonov, total_variation, wavelet
from .daps import daps, latent_daps
from .ddrm import ddrm
from .discrepancy import discrepancy
from .dps import dps, ldps
from .flowdps import flowdps
from .hio import hio
from .latino import latino
from .mpgd import mpgd
from .null_text import null_text
from .p2l import p2l
from .pigdm import pigdm
from .psld import psld
from .red import red
from .resample import resample
from .treg import treg

Solver = Callable[..., Iterator[Step]]

SOLVERS: dict[str, Solver] = {
    "daps": daps,
    "ddrm": ddrm,
    "dps": dps,
    "flowdps": flowdps,
    "h1": h1,
    "hio": hio,
    "latent_daps": latent_daps,
    "latino": latino,
    "ldps": ldps,
    "mpgd": mpgd,
    "null_text": null_text,
    "p2l": p2l,
    "pigdm": pigdm,
    "psld": psld,
    "red": red,
    "resample": resample,
    "tikhonov": tikhonov,
    "total_variation": total_variation,
    "treg": treg,
    "wavelet": wavelet,
}

__all__ = [
    "SOLVERS",
    "Solver",
    "daps",
    "ddrm",
    "discrepancy",
    "dps",
    "flowdps",
    "h1",
    "hio",
    "latent_daps",
    "latino",
    "ldps",
    "mpgd",
    "null_text",
    "p2l",
    "pigdm",
    "psld",
    "red",
    "resample",
    "solve",
    "tikhonov",
    "total_variation",
    "treg",
    "wavelet",
]


def solve(
    solver: str | Solver,
    prior: DiffusionPrior | None,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    progress: bool = True,
    batch_size: int | None = None,
    **settings: Any,
) -> torch.Tensor:
    """Run a solver to its end, with a progress bar.

    solver: of `SOLVERS`, the function or its name.  settings: its keyword arguments.
    prior: None for a solver that uses none.
    batch_size: the most measurements that are solved at a time, None for all; it bounds the memory, and sample i stays the same.  The
    operator has to measure any number of images alike.  Returns x̂, (B, 3, H, W) in [0, 1].
    """
    from tqdm.auto import tqdm

    if isinstance(solver, str):
        solver = SOLVERS[checks.one_of("solver", solver, SOLVERS)]
    checks.expect(callable(solver), "solver", repr(solver), f"one of {', '.join(SOLVERS)}, or a solver itself", checks.ArgumentTypeError)
    _check_names(solver, settings)
    parts = _in_parts(y, prompt, settings, batch_size)
    walks = [solver(prior, operator, part_y, part_prompt, **part) for part_y, part_prompt, part in parts]  # each checks its own, before any
    parameter = inspect.signature(solver).parameters.get("steps")
    default = parameter.default if parameter is not None and isinstance(parameter.default, int) else None  # tqdm counts without a total
    steps = settings.get("steps", default)
    total = None if steps is None else len(walks) * steps
    name = getattr(solver, "__name__", "solving")  # a functools.partial has none
    found = []
    with tqdm(total=total, disable=not progress, desc=name, unit="step", delay=0.1) as bar:  # no bar before an error
        for walk in walks:
            x_hat = None
            for step in walk:
                bar.update()
                x_hat = step.x_hat
            if x_hat is None:
                checks.fail("solver", f"{name}, whose last step has no x_hat", "one that ends with a picture")
            found.append(x_hat)
    return torch.cat(found)


def _check_names(solver: Solver, settings: Mapping[str, Any]) -> None:
    """Settings that the solver does not have, or lacks; Python's own error names no others."""
    name, parameters = getattr(solver, "__name__", "the solver"), inspect.signature(solver).parameters.values()
    own = {each.name: each for each in parameters if each.kind is each.KEYWORD_ONLY}
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        for given, value in settings.items():
            expected = f"a setting of {name}: {', '.join(own)}"
            checks.expect(given in {each.name for each in parameters}, given, repr(value), expected, checks.ArgumentTypeError)
    for needed, each in own.items():
        missing = each.default is each.empty and needed not in settings
        meant = "the deviation of the noise in y" if needed == "sigma" else "a value"
        checks.expect(not missing, needed, "none", f"{meant}, which {name} needs", checks.ArgumentTypeError)


def _in_parts(y: Any, prompt: Any, settings: dict[str, Any], batch_size: int | None) -> list[tuple[Any, Any, dict[str, Any]]]:
    """[(y, prompt, settings), …] of `batch_size` samples each: what has one entry a sample is cut, and seeds counted on."""
    if batch_size is None or not isinstance(y, torch.Tensor) or y.ndim == 0:  # what is no measurement is the solver's to refuse
        return [(y, prompt, settings)]
    size, batch = checks.integer("batch_size", batch_size), len(y)
    drawn_in_order = isinstance(settings.get("seed"), torch.Generator) and size < batch
    expected = "an int, or a list of one for each sample: what one generator draws for a sample would depend on batch_size"
    checks.expect(not drawn_in_order, "seed", "one torch.Generator", expected)
    first = checks.as_integer(settings.get("seed", 0))
    if first is not None:
        settings = settings | {"seed": list(range(first, first + batch))}

    def part(value: Any, start: int) -> Any:
        one_each = isinstance(value, (list, tuple, range)) or getattr(value, "ndim", 0) > 0  # a tensor, or an array of numpy
        return value[start : start + size] if one_each and len(value) == batch else value

    starts = range(0, batch, size)
    return [(part(y, at), part(prompt, at), {name: part(value, at) for name, value in settings.items()}) for at in starts]
