"""treg_edu.checks: each returns what it was given, or says `name: got …, expected …`."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from treg_edu import checks


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), torch.tensor(3), torch.tensor(3, dtype=torch.uint8)])
def test_any_integer_is_one(value):
    found = checks.integer("n", value)
    assert found == 3 and type(found) is int


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), torch.tensor(True), 2.0, np.float64(2), torch.tensor(2.0), torch.tensor([2]), "2", None]
)
def test_what_is_no_integer(value):
    with pytest.raises(TypeError, match="^n: got .*, expected an integer of at least 1$") as caught:
        checks.integer("n", value)
    assert isinstance(caught.value, checks.ArgumentError) and isinstance(caught.value, ValueError)


def test_integers_have_bounds():
    assert checks.integer("n", 0, 0) == 0 and checks.integer("n", 5, 1, 5) == 5
    with pytest.raises(ValueError, match="^n: got 0, expected an integer of at least 1$"):
        checks.integer("n", 0)
    with pytest.raises(ValueError, match="^n: got 6, expected an integer from 1 to 5$"):
        checks.integer("n", np.int64(6), 1, 5)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), torch.tensor(0.5, dtype=torch.float64), Fraction(1, 2)])
def test_any_number_is_one(value):
    found = checks.number("lam", value)
    assert found == 0.5 and type(found) is float


@pytest.mark.parametrize(
    "value, bounds, expected",
    [
        (math.nan, {}, "a finite number"),
        (math.inf, {"least": 0}, "a finite number of at least 0"),
        (0, {"above": 0}, "a finite number above 0"),
        (11, {"above": 0, "most": 10}, "a finite number above 0 and of at most 10"),
        (2, {"least": 0, "most": 1}, "a finite number from 0 to 1"),
        (True, {}, "a finite number"),
        ("1", {}, "a finite number"),
        (1j, {}, "a finite number"),
        (torch.tensor([1.0]), {}, "a finite number"),
    ],
)
def test_what_is_no_number(value, bounds, expected):
    with pytest.raises(ValueError, match=f"^lam: got .*, expected {expected}$"):
        checks.number("lam", value, **bounds)


def test_strings():
    assert checks.strings("prompt", "fox", 2) == ["fox", "fox"] and checks.strings("prompt", ("a", "b"), 2) == ["a", "b"]
    for value in (None, 3, ["a", 3], ["a"], {"a", "b"}):
        with pytest.raises(ValueError, match="^prompt: got .*, expected one string or a list of 2 strings$"):
            checks.strings("prompt", value, 2)


def test_one_of_compares_nothing_that_has_no_truth():
    assert checks.one_of("negation", None, ("hidden", None)) is None
    with pytest.raises(ValueError, match="^negation: got 'both', expected one of 'hidden', None$"):
        checks.one_of("negation", "both", ("hidden", None))


@pytest.mark.parametrize("value", [64, np.int64(64), torch.tensor(64), (64, 64), [np.int64(64), torch.tensor(64)], torch.Size([64, 64])])
def test_sides(value):
    assert checks.sides("size", value) == (64, 64)
    assert all(type(side) is int for side in checks.sides("size", value))


@pytest.mark.parametrize("value", [True, 64.0, (64, 64.0), (64,), (1, 2, 3), "64", None, (True, 2)])
def test_what_are_no_sides(value):
    with pytest.raises(TypeError, match="^size: got .*, expected a side, or \\(height, width\\), whole pixels$"):
        checks.sides("size", value)


def test_finite_counts():
    x = torch.zeros(2, 3)
    assert checks.finite("y", x) is x
    x[0, 0], x[1, 2] = math.inf, -math.inf  # whose sum is NaN
    with pytest.raises(ValueError, match="^y: got 2 of 6 values NaN or infinite, expected finite values$"):
        checks.finite("y", x)
    assert checks.finite("y", torch.full((9,), 60000.0, dtype=torch.float16)).isfinite().all()  # whose sum float16 cannot hold
    assert checks.finite("y", torch.full((9,), 3e38)).isfinite().all()  # nor float32


def test_images():
    x = torch.rand(2, 3, 8, 6, dtype=torch.float64, device="cpu")
    assert checks.images("x", x) is x
    for wrong, came in (
        (x[0], r"shape \(3, 8, 6\)"),
        (x[:, :1], r"shape \(2, 1, 8, 6\)"),
        (x[:0], r"shape \(0, 3, 8, 6\)"),
        (2 * x - 1, "values from -.* to .*"),
        (x.where(x > x.min(), math.nan), "values from nan to nan"),
        (x.to(torch.uint8), "dtype torch.uint8"),
        (x.numpy(), "ndarray"),
    ):
        with pytest.raises(ValueError, match=f"^x: got {came}, expected "):
            checks.images("x", wrong)
