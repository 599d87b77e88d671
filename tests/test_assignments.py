"""`treg-edu course DIR --nbgrader`, without nbgrader: its metadata by the documented schema, and each answer graded by running it."""

import ast
import json
import re
import shutil
from pathlib import Path

import jsonschema
import nbformat
import pytest
from typer.testing import CliRunner

from treg_edu import cli, exercises
from treg_edu.cli import assignments, slices

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = sorted(path.stem for path in (NOTEBOOKS / "solutions").glob("*.ipynb"))
FILES = assignments.assignment_files()

# nbgrader's cell metadata, version 3, as its documentation has it (nbgrader.readthedocs.io, "nbgrader cell metadata").
BOOLEAN = {"type": "boolean"}
METADATA = {
    "type": "object",
    "properties": {
        "schema_version": {"const": 3},
        "grade": BOOLEAN,
        "locked": BOOLEAN,
        "solution": BOOLEAN,
        "task": BOOLEAN,
        "grade_id": {"type": "string", "pattern": r"^[a-zA-Z0-9_\-]+$"},
        "points": {"type": "number", "minimum": 0},
    },
    "required": ["schema_version", "grade", "locked", "solution", "grade_id"],
    "additionalProperties": False,
}


def made(name):
    return nbformat.reads(FILES[f"source/{name}/{name}.ipynb"].decode(), 4)


def released(source):
    """What nbgrader makes of a cell of the instructor's version, by its documentation."""
    stub = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"
    return re.sub(r"(?ms)^( *)### BEGIN SOLUTION$.*?^ *### END SOLUTION$", stub, source)


def run(name, change):
    """{grade_id: whether it passed} of the tests of an assignment, with each answer changed; cells that fail do not stop the others."""
    about, passed = {"display": lambda *_: None}, {}
    for cell in made(name).cells:
        told = cell.metadata.nbgrader
        if cell.cell_type == "code" and not (told.solution and told.grade):  # answers that a person grades
            try:
                exec(change(cell.source) if told.solution else cell.source, about)
                passed[told.grade_id] = True
            except Exception:
                passed[told.grade_id] = False
    return {grade_id: each for grade_id, each in passed.items() if grade_id.endswith("-test")}


def test_each_notebook_with_exercises_has_an_assignment():
    assert sorted(FILES) == ["nbgrader_config.py", *(f"source/{name}/{name}.ipynb" for name in NAMES)]
    ast.parse(FILES["nbgrader_config.py"])


@pytest.mark.parametrize("name", NAMES)
def test_the_metadata_follows_the_schema_of_nbgrader(name):
    notebook = made(name)
    nbformat.validate(notebook)
    told = [cell.metadata.nbgrader for cell in notebook.cells]
    for cell, each in zip(notebook.cells, told):
        jsonschema.validate(dict(each), METADATA)
        assert ("points" in each) == each.grade  # only a graded cell has points, and each has
        assert not (each.solution and each.locked)
        assert cell.cell_type == "code" or each.grade == each.solution  # prose is graded as an answer, or not at all
    names = [each.grade_id for each in told]
    assert len(set(names)) == len(names) and {cell.id for cell in notebook.cells} == set(names)


@pytest.mark.parametrize("name", NAMES)
def test_every_check_of_the_notebook_is_graded_and_every_statement_is_in_it(name):
    course, there = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4), made(name)
    asked = [check for cell in course.cells for check in re.findall(r"te\.exercises\.(check_\w+)\(", cell.source)]
    tested = [check for cell in there.cells for check in re.findall(r"assert_right\(te\.exercises\.(check_\w+),", cell.source)]
    assert tested == asked != [] and all(hasattr(exercises, check) for check in asked)
    numbers = [
        (int(new or old), kind)
        for cell in course.cells
        for new, kind, old in re.findall(r"(?m)^\*\*(?:Exercise (\d+)\*? \((.*?)\)\.|(\d+)\. )", cell.source)
    ]
    ids = {cell.metadata.nbgrader.grade_id for cell in there.cells}
    left_out = {number for number, _ in numbers if f"ex{number:02d}-statement" not in ids}
    assert left_out == {number for number, kind in numbers if kind == "open"}


@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_passes_and_an_untouched_one_does_not(name, capsys):
    right, untouched = run(name, lambda source: source), run(name, released)
    assert right.keys() == untouched.keys() and len(right) >= 3
    assert all(right.values()), [each for each in right if not right[each]]
    assert not any(untouched.values()), [each for each in untouched if untouched[each]]
    capsys.readouterr()


@pytest.mark.parametrize("name", NAMES)
def test_the_released_stub_is_that_of_the_course_but_for_its_open_lines(name):
    stubs = ["".join(re.split(r"(?m)^.*# your turn.*\n?", cell.source)) for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells]
    for cell in made(name).cells:
        if cell.metadata.nbgrader.solution and cell.cell_type == "code":
            rest = re.sub(r"(?m)^ *### BEGIN SOLUTION\n(.*\n)*? *### END SOLUTION\n?", "", cell.source)
            rest = re.sub(r"(?m)^( *# .*|\w+ = \.\.\.)\n", "", rest)
            assert rest in stubs, cell.source


@pytest.mark.parametrize("name", NAMES)
def test_an_assignment_takes_little_from_its_notebook_so_that_it_is_graded_in_seconds(name):
    given = [cell.source for cell in made(name).cells if cell.metadata.nbgrader.grade_id.endswith("-given")]
    assert all(len(source.splitlines()) <= assignments.MOST_GIVEN for source in given)


def test_a_solution_is_in_no_other_cell():
    for name in NAMES:
        shown = "\n".join(released(cell.source) for cell in made(name).cells if cell.cell_type == "code")
        assert "SOLUTION" not in shown
        for cell in made(name).cells:
            if cell.metadata.nbgrader.solution and cell.cell_type == "code":
                for region in re.findall(r"(?ms)^ *### BEGIN SOLUTION\n(.*?)\n *### END SOLUTION", cell.source):
                    assert region not in shown


# Which statements an exercise needs


def test_a_slice_has_what_is_used_and_what_that_needs_in_turn_in_order():
    cells = ["%config X", "import math\na = 1\nunused = 2", "def f(v):\n    return a * v\n", "x = f(3)\nx = x + math.pi", "y = 5"]
    found, missing = slices.needed({"x", "nowhere"}, slices.statements(cells), set())
    assert [each.source for each in found] == ["import math", "a = 1", "def f(v):\n    return a * v", "x = f(3)", "x = x + math.pi"]
    assert missing == {"nowhere"}
    found, missing = slices.needed({"x"}, slices.statements(cells), {"f", "math"})
    assert [each.source for each in found] == ["x = f(3)", "x = x + math.pi"] and not missing


@pytest.mark.parametrize(
    "source, names",
    [
        ("y = x\nz = y", {"x"}),
        ("def f(x):\n    return x + y", {"y"}),
        ("[i * k for i in range(n)]", {"k", "n"}),
        ("print(len(a))", {"a"}),
        ("class B(A):\n    def m(self):\n        return c", {"A", "c"}),
        ("for i in items:\n    total = total + i", {"items", "total"}),
    ],
)
def test_the_names_that_a_cell_takes_from_others(source, names):
    assert slices.used(source) == names


# The tests that an assignment has


@pytest.mark.parametrize(
    "attempt, right", [(lambda x: x, True), (lambda x: 2 * x, False), (lambda x: ..., False), (lambda x: 1 / 0, False)]
)
def test_assert_right_says_what_a_check_says_and_raises_unless_it_is_right(attempt, right, capsys):
    def check(answer):
        exercises.verdict(answer, [("one", (1.0,), 1.0)])

    if right:
        exercises.assert_right(check, attempt)
    else:
        with pytest.raises(AssertionError) as raised:
            exercises.assert_right(check, attempt)
    said = capsys.readouterr().out
    assert said.startswith("right") == right and (right or str(raised.value) == said.strip())


# The command


def test_the_command_writes_the_tree_and_keeps_what_was_changed_there(tmp_path):
    def write(*more):
        return CliRunner().invoke(cli.app, ["course", str(tmp_path / "teach"), "--nbgrader", *more], catch_exceptions=False)

    assert write().exit_code == 0
    there = {path.relative_to(tmp_path / "teach").as_posix() for path in (tmp_path / "teach").rglob("*") if path.is_file()}
    assert there == {*FILES, ".treg-edu-course.json"}
    config = tmp_path / "teach" / "nbgrader_config.py"
    config.write_text("mine")
    shutil.rmtree(tmp_path / "teach" / "source" / NAMES[0])
    result = write()
    assert "kept, as they were changed there: nbgrader_config.py (" in result.stdout and config.read_text() == "mine"
    assert (tmp_path / "teach" / "source" / NAMES[0] / f"{NAMES[0]}.ipynb").read_bytes() == FILES[f"source/{NAMES[0]}/{NAMES[0]}.ipynb"]
    refused = write("--solutions")
    assert refused.exit_code == 2 and refused.stderr.startswith("error: --solutions: got --nbgrader as well, expected one of the two")


def test_an_assignment_is_the_same_every_time():
    assert json.dumps({name: content.decode() for name, content in assignments.assignment_files().items()}) == json.dumps(
        {name: content.decode() for name, content in FILES.items()}
    )
