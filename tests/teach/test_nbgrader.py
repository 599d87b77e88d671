"""nbgrader itself on the tree that `treg-edu course DIR --nbgrader` writes: it releases every assignment, and grades submissions.

`make test-nbgrader` installs nbgrader, the extra "teach", and runs this.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.validator import Validator
from traitlets.config import Config

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(path.stem for path in (NOTEBOOKS / "solutions").glob("*.ipynb"))
GRADED = ["01_forward_operators", "03_ddim"]
"""Whose submissions are graded here, each in a kernel of its own; tests/test_assignments.py grades all, without nbgrader."""


def nbgrader(course, *arguments):
    done = subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=course, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module", autouse=True)
def on_the_path():
    """nbgrader calls `alembic`, which an activated environment has on its path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    subprocess.run([sys.executable, "-m", "treg_edu.cli", "course", str(folder), "--nbgrader"], check=True)
    return folder


@pytest.fixture(scope="module")
def released(course):
    """The same, once every assignment has been released."""
    settings = Config()
    settings.CourseDirectory.root = str(course)
    for name in NAMES:
        done = NbGraderAPI(config=settings).generate_assignment(name)
        assert done["success"], done
    return course


def cells(path):
    """{grade_id: cell}"""
    return {cell.metadata.nbgrader.grade_id: cell for cell in nbformat.read(path, 4).cells}


@pytest.mark.parametrize("name", NAMES)
def test_an_assignment_is_released_without_its_solutions(released, name):
    source, release = (cells(released / folder / name / f"{name}.ipynb") for folder in ("source", "release"))
    assert source.keys() == release.keys()
    for grade_id, cell in release.items():
        told = cell.metadata.nbgrader
        assert "SOLUTION" not in cell.source and len(told.checksum) == 32
        if told.solution:
            assert ("raise NotImplementedError()" if cell.cell_type == "code" else "YOUR ANSWER HERE") in cell.source
        else:
            assert cell.source == source[grade_id].source


def submit(course, name, student, change):
    """What a student hands in: the release, changed.  change(cells of the release, cells of the source)"""
    folder = course / "submitted" / student / name
    shutil.copytree(course / "release" / name, folder)
    path = folder / f"{name}.ipynb"
    notebook, source = nbformat.read(path, 4), cells(course / "source" / name / path.name)
    change({cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells}, source)
    nbformat.write(notebook, path)


def answer_all(there, source):
    for grade_id, cell in there.items():
        if cell.metadata.nbgrader.solution:
            cell.source = source[grade_id].source


def answer_none(there, source):
    pass


def cheat(there, source):
    """The tests rewritten so that everything passes."""
    for cell in there.values():
        if cell.metadata.nbgrader.grade and not cell.metadata.nbgrader.solution:
            cell.source = "pass"


@pytest.mark.parametrize("name", GRADED)
def test_a_right_submission_gets_full_points_and_an_untouched_or_rewritten_one_none(released, name):
    for student, change in {"right": answer_all, "untouched": answer_none, "cheat": cheat}.items():
        submit(released, name, student, change)
    nbgrader(released, "autograde", name)
    with Gradebook(f"sqlite:///{released}/gradebook.db") as book:
        assignment = book.find_assignment(name)
        by_hand = sum(cell.max_score for notebook in assignment.notebooks for cell in notebook.grade_cells if cell.name[-5:] != "-test")
        scores = {student: book.find_submission(name, student).score for student in ("right", "untouched", "cheat")}
        waits = {student: book.find_submission(name, student).needs_manual_grade for student in scores}
    tests = sum(grade_id.endswith("-test") for grade_id in cells(released / "source" / name / f"{name}.ipynb"))
    assert assignment.max_score == tests + by_hand and tests >= 4
    assert scores == {"right": tests, "untouched": 0, "cheat": 0}
    assert waits["right"] == (by_hand > 0) and not waits["untouched"]


@pytest.mark.parametrize("name", GRADED)
def test_nbgrader_validates_the_source_and_not_the_release(released, name):
    validator = Validator()
    right = validator.validate(str(released / "source" / name / f"{name}.ipynb"))
    assert right.get("failed", []) == [] and "type_changed" not in right
    untouched = validator.validate(str(released / "release" / name / f"{name}.ipynb"))
    assert len(untouched["failed"]) >= 4
