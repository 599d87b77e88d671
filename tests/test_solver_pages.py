"""docs/solvers.md: each solver has a row, what it says of prior, operator and text holds, and the page that it links has its section."""

import inspect
import re
from pathlib import Path

import pytest

import treg_edu as te
from treg_edu.experiments.coordinates import ON_PIXELS, WITHOUT_TEXT
from treg_edu.solvers.common import NONLINEAR

FOLDER = Path(__file__).parent.parent / "docs"
PAGE = (FOLDER / "solvers.md").read_text(encoding="utf-8")


def rows():
    """{solver: (method, prior, operator, text, where its rule is)} of the first table."""
    lines = re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE, re.M)
    return {name: tuple(cell.strip() for cell in rest.split("|")) for name, rest in lines}


def test_the_table_has_every_solver_once():
    names = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    assert sorted(names) == sorted(te.SOLVERS)


@pytest.mark.parametrize("name", te.SOLVERS)
def test_a_row_says_what_the_solver_takes(name):
    _, prior, operator, text, _ = rows()[name]
    assert prior == ("pixels" if name in ON_PIXELS else "none" if name in WITHOUT_TEXT else "any")
    assert text.startswith("yes") == (name not in WITHOUT_TEXT)
    takes_any = name in NONLINEAR and name != "null_text"  # which asks for an A†
    assert operator.startswith({"hio": "Fourier magnitude", "null_text": "with A†"}.get(name, "any" if takes_any else "linear"))


@pytest.mark.parametrize("name", te.SOLVERS)
def test_the_linked_page_has_a_section_on_the_solver_with_rule_cost_and_source(name):
    where = rows()[name][-1]
    if where == "below":
        section = PAGE.partition("## TReg")[2]
    else:
        page = (FOLDER / re.search(r"\((.*)\)", where)[1]).read_text(encoding="utf-8")
        (section,) = (part for part in re.split(r"^## ", page, flags=re.M)[1:] if f"(`{name}`" in part.splitlines()[0])
    for what in ("Cost", "Source", "    "):  # and the rule, which is indented
        assert what in section


def test_one_loop_has_a_row_for_every_method_of_diffusion():
    """By the names that the first table has for them."""
    loop = PAGE.partition("## One loop")[2].partition("## TReg")[0]
    first = {cell.strip() for row in re.findall(r"^\| ([^|]+) \|", loop, re.M) for cell in row.split(",")}
    for name, (method, *_) in rows().items():
        if "steps" in inspect.signature(te.SOLVERS[name]).parameters and name not in (*WITHOUT_TEXT, "red", "null_text"):
            told = {"latent DPS": "LDPS", "LatentDAPS": "DAPS"}.get(method, method)
            assert any(told.startswith(each) for each in first), name
