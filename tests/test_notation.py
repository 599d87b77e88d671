"""docs/notation.md: its table of conversions holds, agrees with the signatures, and misses no setting that has a unit."""

import inspect
import re
from pathlib import Path

import pytest

import treg_edu as te

PAGE = Path(__file__).parent.parent / "docs" / "notation.md"
WITH_A_UNIT = re.compile(r"step_size|learning_rate|gluing|lam$|^gamma$|tau|deviation")

CLASSICAL = {"tikhonov", "h1", "total_variation", "wavelet"}  # their weights are nobody's: they depend on the measurement


def rows():
    """[(solver, argument, authors' value, factor, here), …] of the table of defaults."""
    table = PAGE.read_text(encoding="utf-8").partition("| solver | argument |")[2]
    lines = [line.strip("| ").split("|") for line in table.splitlines()[2:] if line.startswith("|")]
    return [(solver.strip(" `"), argument.strip(" `"), *map(float, numbers)) for solver, argument, *numbers in lines]


@pytest.mark.parametrize(("solver", "argument", "authors", "factor", "here"), rows())
def test_a_default_is_the_authors_value_converted(solver, argument, authors, factor, here):
    assert authors * factor == pytest.approx(here)
    assert inspect.signature(te.SOLVERS[solver]).parameters[argument].default == pytest.approx(here)


def test_every_setting_with_a_unit_is_in_the_table():
    found = {
        (name, parameter.name)
        for name, solver in te.SOLVERS.items()
        if name not in CLASSICAL
        for parameter in inspect.signature(solver).parameters.values()
        if WITH_A_UNIT.search(parameter.name) and isinstance(parameter.default, float)
    }
    assert found == {(solver, argument) for solver, argument, *_ in rows()}
