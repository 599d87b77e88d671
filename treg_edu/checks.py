"""The one form of an argument's error: `name: got …, expected …`, raised at the call.

Each `check` takes the argument's name and its value, and returns the value, as a plain Python number where it is one.
"""

import math
import numbers
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import torch

__all__ = [
    "ROUNDING",
    "ArgumentError",
    "ArgumentTypeError",
    "MissingFileError",
    "as_integer",
    "expect",
    "fail",
    "finite",
    "images",
    "integer",
    "like",
    "number",
    "one_of",
    "sides",
    "strings",
    "tensor",
]

ROUNDING = 1e-4
"""How far outside [0, 1] float arithmetic may leave a value that is meant to lie in it."""


class ArgumentError(ValueError):
    """A value that a function cannot use: what its user can mend, unlike a bug."""


class ArgumentTypeError(ArgumentError, TypeError):
    """A value of a type that a function cannot use."""


class MissingFileError(ArgumentError, FileNotFoundError):
    """A file or folder that is not where an argument says."""


def fail(name: str, came: object, expected: str, error: type[ArgumentError] = ArgumentError) -> NoReturn:
    """Raise `name: got …, expected …`."""
    raise error(f"{name}: got {came}, expected {expected}")


def expect(holds: object, name: str, came: object, expected: str, error: type[ArgumentError] = ArgumentError) -> None:
    """`fail` unless `holds`."""
    if not holds:
        fail(name, came, expected, error)


# Numbers and words


def integer(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """An integer from `least` to `most`, of Python, numpy or torch; True and 2.0 are none."""
    expected = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    whole = as_integer(value)
    if whole is None:
        fail(name, repr(value), expected, ArgumentTypeError)
    expect(whole >= least and (most is None or whole <= most), name, whole, expected)
    return whole


def as_integer(value: Any) -> int | None:
    """The int that a value is, None if it is no integer."""
    if isinstance(value, torch.Tensor):
        value = value.item() if value.ndim == 0 and not value.is_floating_point() and not value.is_complex() else None
    return int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else None


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf, above: float = -math.inf) -> float:
    """A finite number from `least` to `most`, larger than `above`, of Python, numpy or torch."""
    if least > -math.inf and most < math.inf:
        bounds = [f"from {least:g} to {most:g}"]
    else:
        bounds = [f"above {above:g}"] * (above > -math.inf) + [f"of at least {least:g}"] * (least > -math.inf)
        bounds += [f"of at most {most:g}"] * (most < math.inf)
    expected = " ".join(["a finite number", " and ".join(bounds)]).strip()
    if isinstance(value, torch.Tensor) and value.ndim == 0 and not value.is_complex():
        value = value.item()
    expect(isinstance(value, numbers.Real) and not isinstance(value, bool), name, repr(value), expected, ArgumentTypeError)
    expect(math.isfinite(value) and least <= value <= most and value > above, name, repr(value), expected)
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def one_of(name: str, value: Any, options: Collection[Any]) -> Any:
    """A member of `options`."""
    expect(any(value is option or value == option for option in options), name, repr(value), "one of " + ", ".join(map(repr, options)))
    return value


def strings(name: str, value: Any, batch: int) -> list[str]:
    """One string for all samples, or a list with one for each.  Returns a list of `batch` strings."""
    expected = f"one string or a list of {batch} strings"
    many = [value] * batch if isinstance(value, str) else value
    expect(isinstance(many, (list, tuple)), name, repr(value), expected, ArgumentTypeError)
    expect(all(isinstance(each, str) for each in many), name, repr(value), expected, ArgumentTypeError)
    expect(len(many) == batch, name, f"{value!r} for a batch of {batch}", expected)
    return list(many)


# Tensors


def tensor(name: str, value: Any, shape: str, dimensions: Sequence[int] | None = None) -> torch.Tensor:
    """A floating-point tensor with at least one value.  shape: in words, such as "(B, C, H, W)".  dimensions: how many it may have."""
    expected = f"a floating-point torch.Tensor of shape {shape}"
    expect(isinstance(value, torch.Tensor), name, type(value).__name__, expected, ArgumentTypeError)
    hint = f"; for a uint8 image pass {name} / 255" if value.dtype == torch.uint8 else ""
    expect(value.is_floating_point(), name, f"dtype {value.dtype}", expected + hint, ArgumentTypeError)
    came = f"shape {tuple(value.shape)}"
    expect(dimensions is None or value.ndim in dimensions, name, came, shape)
    expect(0 not in value.shape, name, came, f"{shape}, none of them 0")
    return value


def finite(name: str, value: torch.Tensor) -> torch.Tensor:
    """A tensor without NaN and infinity."""
    total = value.sum(dtype=torch.promote_types(value.dtype, torch.float32))  # one cheap pass; only a bad sum is looked at closer
    if not total.isfinite() and not value.isfinite().all():
        fail(name, f"{int((~value.isfinite()).sum())} of {value.numel()} values NaN or infinite", "finite values")
    return value


def like(name: str, value: torch.Tensor, expected: torch.Tensor, of: str, batch: bool = True) -> torch.Tensor:
    """A tensor of the shape, dtype and device of `expected`.  of: what that is, in words.  batch: whether a batch of 1 is wrong."""
    shapes = {tuple(expected.shape)} if batch else {tuple(expected.shape), (1, *expected.shape[1:])}
    single = "" if batch else ", or a batch of 1"
    expect(tuple(value.shape) in shapes, name, f"shape {tuple(value.shape)}", f"that of {of}, {tuple(expected.shape)}{single}")
    for what in ("dtype", "device"):
        came, wanted = getattr(value, what), getattr(expected, what)
        expect(came == wanted, name, f"{what} {came}", f"that of {of}, {wanted}")
    return value


def images(name: str, value: Any, size: int | None = None) -> torch.Tensor:
    """A batch of images: (B, 3, H, W), floating point, finite, values in [0, 1].  size: H = W where given."""
    side = f"{size}, {size}" if size else "H, W"
    tensor(name, value, f"(B, 3, {side})")
    fits = value.ndim == 4 and value.shape[1] == 3 and (not size or value.shape[2:] == (size, size))
    expect(fits, name, f"shape {tuple(value.shape)}", f"(B, 3, {side})")
    low, high = value.min().item(), value.max().item()
    inside = low >= -ROUNDING and high <= 1 + ROUNDING  # a NaN compares false
    expect(inside, name, f"values from {low:.4g} to {high:.4g}", "finite values in [0, 1]")
    return value


def sides(name: str, value: Any) -> tuple[int, int]:
    """(H, W) of a side or a pair of sides."""
    if as_integer(value) is not None:
        value = value, value
    pair = isinstance(value, (tuple, list, torch.Size)) and len(value) == 2 and None not in map(as_integer, value)
    expect(pair, name, repr(value), "a side, or (height, width), whole pixels", ArgumentTypeError)
    height, width = map(int, value)
    expect(height >= 1 and width >= 1, name, f"{height}×{width}", "sides of at least 1 pixel")
    return height, width
