"""docs/paper.md: each heading, function, source and command that it names is there, and what it says in both directions agrees."""

import inspect
import re
from pathlib import Path

import nbformat
import pytest
import typer

import treg_edu as te
from treg_edu.cli import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
NOTEBOOKS = {path.name: path for path in (ROOT / "notebooks").glob("*.ipynb")}
ROWS = dict(re.findall(r'^\| <a id="([\w-]+)"></a>(.*)\|$', PAGE, re.M))
COMMANDS = sorted(set(re.findall(r"`(treg-edu [^`]+)`", PAGE)))


def cells(row):
    """Of a row: its name, what it says, where it is taught, functions, command."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)][:5]


def headings(name):
    """The anchors of a notebook, as JupyterLab makes them: the heading with hyphens for spaces."""
    prose = "\n".join(cell.source for cell in nbformat.read(NOTEBOOKS[name], 4).cells if cell.cell_type == "markdown")
    return {heading.strip().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", prose, re.M)}


def targets(text):
    """(notebook, anchor) of each link to a cell; anchors may hold one level of parentheses."""
    return re.findall(r"\]\(\.\./notebooks/(\w+\.ipynb)#((?:[^()]|\([^()]*\))*)\)", text)


def resolved(name):
    """The object that `te.a.b` names."""
    found = te
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


def test_the_page_has_the_equations_the_algorithm_the_figures_and_the_tables():
    assert len(ROWS) == len(set(re.findall(r'<a id="([\w-]+)">', PAGE))) == PAGE.count("<a id=") >= 30
    named = {cells(row)[0] for row in ROWS.values()}
    assert named >= {"measurement, Eq. 1", "Algorithm 1", "Figure 1", "table: true class", "table: another class"}


@pytest.mark.parametrize("item", ROWS)
def test_an_item_is_taught_somewhere_and_the_heading_is_there(item):
    _, says, where, _, _ = cells(ROWS[item])
    assert says and targets(where) and len(targets(where)) == where.count("](")
    for notebook, anchor in targets(where):
        assert anchor in headings(notebook), f"{notebook} has no heading {anchor}"


def test_every_other_link_to_a_cell_leads_somewhere_and_every_notebook_is_there():
    for notebook, anchor in targets(PAGE):
        assert anchor in headings(notebook), f"{notebook} has no heading {anchor}"
    files = re.findall(r"\]\((?!http|#)([^)#]+)", PAGE)
    assert len(files) > 40 and all((ROOT / "docs" / file).exists() for file in files)


@pytest.mark.parametrize("item", ROWS)
def test_a_function_is_there_and_its_docstring_cites_the_source(item):
    functions = cells(ROWS[item])[3]
    for name, _, source in re.findall(r"`(te\.[\w.]+)`( \(([^)]*)\))?", functions):
        docstring = inspect.getdoc(resolved(name))
        assert docstring, name
        for each in source.split("; "):
            assert each in docstring, f"{name} does not cite {each}"


def test_what_the_paper_made_is_cited_as_its_own():
    """The steps that are TReg's: each function of its modules that an item names."""
    of_treg = set(re.findall(r"`(te\.(?:consistency|negation)\.\w+|te\.treg)`", PAGE)) - {"te.consistency.latent_correction"}
    assert len(of_treg) >= 8
    for name in of_treg:
        assert "Kim et al. 2025" in inspect.getdoc(resolved(name)), name


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_there_with_its_options(command):
    found, words = typer.main.get_command(app), command.split()[1:]
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    assert not getattr(found, "commands", None), f"{command} names no command"
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_each_notebook_lists_the_items_that_it_teaches_and_no_other():
    there = {}
    for item, row in ROWS.items():
        for notebook, _ in targets(cells(row)[2]):
            there.setdefault(notebook, set()).add(item)
    back = {}
    for notebook, listed in re.findall(r"^\| \[\w+\]\(\.\./notebooks/(\w+\.ipynb)\) \| (.*) \|$", PAGE, re.M):
        back[notebook] = set(re.findall(r"\]\(#([\w-]+)\)", listed))
    assert back == there
    assert set(back) >= {name for name in NOTEBOOKS if name[:2] < "09"}


def test_the_differences_are_in_one_table_of_three_columns():
    table = PAGE.partition("## Where the paper, the published code and ours differ")[2]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert rows[0] == "| | paper | published code | ours |" and len(rows) > 12
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert "| | paper |" not in (ROOT / "docs" / "solvers.md").read_text(encoding="utf-8")
    assert "paper.md#" in (ROOT / "docs" / "solvers.md").read_text(encoding="utf-8")
