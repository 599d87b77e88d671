"""docs/notation.md: its table of conversions holds, agrees with the signatures, and misses no setting that has a unit.

The other defaults are the authors' as they stand; they are written here once more, so that none changes unseen.
"""

import inspect
import re
from pathlib import Path

import pytest

import treg_edu as te

PAGE = Path(__file__).parent.parent / "docs" / "notation.md"
WITH_A_UNIT = re.compile(r"step_size|learning_rate|gluing|lam$|^gamma$|tau|deviation")

CLASSICAL = {"tikhonov", "h1", "total_variation", "wavelet"}  # their weights are nobody's: they depend on the measurement

RHO = 12288**0.5 * 0.02  # LATINO's ρ is a norm over 12 288 numbers, whose noise is 0.02: in units of misfit / σ
AUTHORS = {
    "daps": dict(steps=200, ode_steps=5, chain_steps=100, final_ratio=0.01, sigma_max=100, sigma_min=0.1, guidance_scale=1),
    "ddrm": dict(steps=20, eta=0.85, eta_b=1, guidance_scale=1),
    "dps": dict(steps=1000, eta=1, guidance_scale=1),
    "flowdps": dict(steps=28, iterations=3, guidance_scale=2),
    "latent_daps": dict(
        steps=50, ode_steps=2, chain_steps=30, final_ratio=1, sigma_max=10, sigma_min=0.1, momentum=0.45, guidance_scale=7.5
    ),
    "latino": dict(steps=8, delta=0.3 * RHO, late_delta=0.2 * RHO, guidance_scale=1, inner_steps=4),  # inner_steps is ours
    "ldps": dict(steps=1000, guidance_scale=1),
    "mpgd": dict(steps=100, eta=0.5, guidance_scale=1),
    "null_text": dict(steps=50, guidance_scale=7.5, iterations=10, tolerance=1e-5),
    "p2l": dict(steps=1000, tuning_iterations=1, every=8, guidance_scale=1),
    "pigdm": dict(steps=100, eta=1, weight=1, guidance_scale=1),
    "psld": dict(steps=1000, guidance_scale=1),  # 7.5 between two empty texts is 1
    "red": dict(steps=200, denoiser_sigma=4.1 / 255),
    "resample": dict(steps=500, every=10, look_ahead=5, pixel_iterations=2000, latent_iterations=500, guidance_scale=1),
}
"""{solver: {setting without a unit: its authors' value}}; TReg's are in test_treg."""


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


@pytest.mark.parametrize("name", [name for name in te.SOLVERS if name not in CLASSICAL | {"hio", "treg"}])
def test_every_other_default_is_the_authors_as_it_stands(name):
    converted = {argument for solver, argument, *_ in rows() if solver == name}
    found = {
        parameter.name: parameter.default
        for parameter in inspect.signature(te.SOLVERS[name]).parameters.values()
        if isinstance(parameter.default, (int, float))
        and not isinstance(parameter.default, bool)
        and parameter.name not in converted | {"seed"}
    }
    assert found == pytest.approx(AUTHORS[name], rel=1e-3)
