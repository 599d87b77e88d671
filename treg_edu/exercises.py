"""Checks that tell a reader whether their own function is right, and if it is not, why, in one sentence.

    def tweedie(z_t, noise, alpha_bar):
        return ...                          # yours to fill

    te.exercises.check_tweedie(tweedie)     # "not attempted yet"

One function an exercise, grouped by notebook. Each calls the reader's function on cases that the notebook does not show and prints a
verdict: "not attempted yet", "right", or "not yet: …" with the case, what was expected and what was found. None of them raises.
"""

import math
import numbers

import torch


def verdict(attempt, cases, hint="", tolerance=1e-4):
    """Print what became of `attempt` on `cases`: (what the case is, arguments, expected result), …

    Expected results are tensors, numbers, strings, or tuples of them; floating-point values may be off by `tolerance`, absolute.
    The first case that fails is the one reported; the hint is printed with it.
    """
    print(_verdict(attempt, cases, hint, tolerance))


def _verdict(attempt, cases, hint, tolerance):
    if not callable(attempt):
        return f"not yet: expected a function, found {type(attempt).__name__}"
    ending = f". {hint}" if hint else ""
    for case, arguments, expected in cases:
        try:
            found = attempt(*(each.clone() if isinstance(each, torch.Tensor) else each for each in arguments))
        except NotImplementedError:
            return "not attempted yet"
        except Exception as error:  # a reader's mistake of any kind is news for the reader, not a traceback
            return f"not yet: for {case}, it raised {type(error).__name__}: {error}{ending}"
        if found is None or found is ...:
            return "not attempted yet"
        if wrong := difference(found, expected, tolerance):
            return f"not yet: for {case}, {wrong}{ending}"
    return "right"


def difference(found, expected, tolerance):
    """What tells `found` from `expected`, as half a sentence; an empty string if nothing does."""
    if isinstance(expected, (tuple, list)):
        return _difference_of_tuples(found, expected, tolerance)
    if isinstance(expected, torch.Tensor):
        return _difference_of_tensors(found, expected, tolerance)
    if isinstance(found, torch.Tensor) and found.numel() == 1:
        found = found.item()
    if isinstance(expected, (bool, str)) or not isinstance(expected, numbers.Real):
        same = type(found) is type(expected) and found == expected
    else:
        same = isinstance(found, numbers.Real) and not isinstance(found, bool) and math.isclose(found, expected, rel_tol=0, abs_tol=tolerance)
    return "" if same else f"expected {_short(expected)}, found {_short(found)}"


def _difference_of_tuples(found, expected, tolerance):
    if not isinstance(found, (tuple, list)) or len(found) != len(expected):
        came = f"{len(found)} of them" if isinstance(found, (tuple, list)) else type(found).__name__
        return f"expected {len(expected)} results, found {came}"
    for place, (one, other) in enumerate(zip(found, expected), 1):
        if wrong := difference(one, other, tolerance):
            return f"in result {place} of {len(expected)} {wrong}"
    return ""


def _difference_of_tensors(found, expected, tolerance):
    if not isinstance(found, torch.Tensor):
        return f"expected a tensor of shape {tuple(expected.shape)}, found {type(found).__name__}"
    if found.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, found {tuple(found.shape)}"
    if expected.dtype == torch.bool or found.dtype == torch.bool or found.is_complex() != expected.is_complex():
        if found.dtype != expected.dtype:
            return f"expected dtype {expected.dtype}, found {found.dtype}"
    found, expected = (each.detach().cpu().to(torch.complex128 if each.is_complex() else torch.float64) for each in (found, expected))
    off = torch.where(found == expected, 0, (found - expected).abs()).nan_to_num(math.inf)
    if off.numel() == 0 or off.max() <= tolerance:
        return ""
    worst = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
    where = f"at index {worst} " if worst else ""
    return f"{where}expected {_short(expected[worst].item())}, found {_short(found[worst].item())}"


def _short(value):
    return f"{value:.4g}" if isinstance(value, (float, complex)) else repr(value)


def _random(*shape, seed=0):
    """Numbers in [0, 1) that no reader has seen."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(8_000 + seed))


def _normal(*shape, seed=0):
    """Standard normal numbers that no reader has seen."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(9_000 + seed))
