"""What every check stands on: the verdict, what tells two results apart, and numbers that no reader has seen."""

import contextlib
import io
import math
import numbers
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

__all__ = ["NOT_YET", "Attempt", "Hints", "answered", "assert_right", "difference", "more", "normal", "uniform", "verdict"]

NOT_YET = "not attempted yet"

Attempt = Callable[..., Any]
"""A reader's function."""

Case = tuple[str, tuple[Any, ...], Any]
"""What the case is, the arguments, the expected result."""


Hints = dict[str, tuple[str, str, str]]
"""{exercise: three hints}: what the case is and where one goes wrong, how to begin, nearly the answer."""


def more(exercise: str) -> str:
    """Where the hints of an exercise are."""
    return f'For a hint: te.exercises.hint("{exercise}")'


def answered(answer: Any, right: Any, because: str, wrong: Mapping[Any, str], hint: str, tolerance: float = 0) -> None:
    """Print what an answer in one word or number is worth: not attempted, right and why, or not yet and what it would mean.

    wrong: {another answer: what it would mean}; numbers may be off by `tolerance`, relative to the right one.
    """
    print(_answered(answer, right, because, wrong, hint, tolerance))


def assert_right(check: Callable[[Any], None], answer: Any) -> None:
    """Print what a check says of an answer, and raise AssertionError unless it is right: a test that nbgrader can grade.

    Warnings are kept back, because nbgrader takes anything on stderr for a failure.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(answer)
    print(said.getvalue(), end="")
    if not said.getvalue().startswith("right"):
        raise AssertionError(said.getvalue().strip())


def _answered(answer: Any, right: Any, because: str, wrong: Mapping[Any, str], hint: str, tolerance: float) -> str:
    if isinstance(answer, torch.Tensor) and answer.numel() == 1:
        answer = answer.item()
    if answer is ...:
        return NOT_YET
    if _same(answer, right, tolerance):
        return f"right: {because}"
    for other, meaning in wrong.items():
        if _same(answer, other, tolerance):
            return f"not yet: {meaning}. {hint}"
    options = [right, *wrong] if isinstance(right, str) else []
    expected = f"one of {', '.join(map(repr, sorted(options)))}" if options else "another number"
    return f"not yet: expected {expected}, found {_short(answer)[:60]}. {hint}"


def _same(answer: Any, other: Any, tolerance: float) -> bool:
    if isinstance(other, str):
        return isinstance(answer, str) and answer.strip().lower() == other.lower()
    return isinstance(answer, numbers.Real) and not isinstance(answer, bool) and math.isclose(answer, other, rel_tol=tolerance)


def verdict(
    attempt: Attempt,
    cases: Iterable[Case],
    hint: str = "",
    tolerance: float = 1e-4,
    mistakes: Mapping[str, Attempt] | None = None,
) -> None:
    """Print what became of `attempt` on `cases`: (what the case is, arguments, expected result), …

    Expected results are tensors, numbers, strings, or tuples of them; floating-point values may be off by `tolerance`, absolute.
    The first case that fails is the one reported; the hint is printed with it.
    mistakes: {what was done: a function that does it}; the one that finds the same as the attempt is told.
    """
    print(_verdict(attempt, cases, hint, tolerance, mistakes or {}))


def _verdict(attempt: Attempt, cases: Iterable[Case], hint: str, tolerance: float, mistakes: Mapping[str, Attempt]) -> str:
    if not callable(attempt):
        return f"not yet: expected a function, found {type(attempt).__name__}"
    ending = f". {hint}" if hint else ""
    for case, arguments, expected in cases:
        try:
            found = attempt(*_copies(arguments))
        except NotImplementedError:
            return NOT_YET
        except Exception as error:  # a reader's mistake of any kind is news for the reader, not a traceback
            return f"not yet: for {case}, it raised {type(error).__name__}: {error}{ending}"
        if found is ...:
            return NOT_YET
        if found is None:
            return f"not yet: for {case}, it returned None; is the return missing?"
        if wrong := difference(found, expected, tolerance):
            return f"not yet: for {case}, {wrong}{_diagnosis(found, arguments, tolerance, mistakes)}{ending}"
    return "right"


def _copies(arguments: Iterable[Any]) -> list[Any]:
    return [each.clone() if isinstance(each, torch.Tensor) else each for each in arguments]


def _diagnosis(found: Any, arguments: Iterable[Any], tolerance: float, mistakes: Mapping[str, Attempt]) -> str:
    """The mistake that finds the same, as a sentence, or nothing."""
    for told, mistake in mistakes.items():
        if not difference(found, mistake(*_copies(arguments)), tolerance):
            return f". {told}"
    return ""


def difference(found: Any, expected: Any, tolerance: float) -> str:
    """What tells `found` from `expected`, as half a sentence; an empty string if nothing does."""
    if isinstance(expected, (tuple, list)):
        return _difference_of_tuples(found, expected, tolerance)
    if isinstance(expected, torch.Tensor):
        return _difference_of_tensors(found, expected, tolerance)
    if isinstance(found, torch.Tensor) and found.numel() == 1:
        found = found.item()
    if isinstance(expected, (bool, str)) or not isinstance(expected, numbers.Real):
        same = type(found) is type(expected) and found == expected
    elif isinstance(expected, numbers.Integral):
        same = isinstance(found, numbers.Integral) and not isinstance(found, bool) and found == expected
    else:
        same = (
            isinstance(found, numbers.Real) and not isinstance(found, bool) and math.isclose(found, expected, rel_tol=0, abs_tol=tolerance)
        )
    return "" if same else f"expected {_short(expected)}, found {_short(found)}"


def _difference_of_tuples(found: Any, expected: tuple[Any, ...] | list[Any], tolerance: float) -> str:
    if not isinstance(found, (tuple, list)) or len(found) != len(expected):
        came = f"{len(found)} of them" if isinstance(found, (tuple, list)) else type(found).__name__
        return f"expected {len(expected)} results, found {came}"
    for place, (one, other) in enumerate(zip(found, expected), 1):
        if wrong := difference(one, other, tolerance):
            return f"in result {place} of {len(expected)} {wrong}"
    return ""


def _difference_of_tensors(found: Any, expected: torch.Tensor, tolerance: float) -> str:
    if not isinstance(found, torch.Tensor):
        return f"expected a tensor of shape {tuple(expected.shape)}, found {type(found).__name__}"
    if found.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, found {tuple(found.shape)}"
    of_one_kind = (found.dtype == torch.bool) == (expected.dtype == torch.bool) and found.is_complex() == expected.is_complex()
    if not of_one_kind:
        return f"expected dtype {expected.dtype}, found {found.dtype}"
    found, expected = (each.detach().cpu().to(torch.complex128 if each.is_complex() else torch.float64) for each in (found, expected))
    off = torch.where(found == expected, 0, (found - expected).abs()).nan_to_num(math.inf)
    if off.numel() == 0 or off.max() <= tolerance:
        return ""
    worst = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
    where = f"at index {worst} " if worst else ""
    return f"{where}expected {_short(expected[worst].item())}, found {_short(found[worst].item())}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (float, complex)) else repr(value)


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    """Numbers in [0, 1) that no reader has seen."""
    return _as_readers_own(torch.rand(shape, generator=_generator(8_000 + seed), dtype=torch.float32, device="cpu"))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal numbers that no reader has seen."""
    return _as_readers_own(torch.randn(shape, generator=_generator(9_000 + seed), dtype=torch.float32, device="cpu"))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def _as_readers_own(values: torch.Tensor) -> torch.Tensor:
    """The same numbers in the dtype and on the device of the tensors that the reader's function makes."""
    return values.to(torch.get_default_device(), torch.get_default_dtype())
