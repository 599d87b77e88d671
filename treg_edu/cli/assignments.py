"""`treg-edu course DIR --nbgrader`: the exercises of each notebook as an assignment that nbgrader releases, collects and grades.

An assignment is made from a notebook and its solutions: statements, stubs with the solution in nbgrader's regions, and their tests.
Of the other cells it has the statements that the exercises use, so that it is graded in seconds.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files
from .slices import Statement, needed, statements, used

__all__ = ["assignment", "assignment_files", "parts_of"]

TURN = "# your turn"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
SCHEMA = 3
"""The version of nbgrader's cell metadata, that of nbgrader 0.6 and later."""
POINTS = 1
POINTS_BY_HAND = 3
"""What a teacher grades by the rubrics of notebooks/README.md."""
MOST_GIVEN = 20
"""Lines that an exercise may take from its notebook; one without a check that needs more, and so may run for minutes, is done there."""
IN_THE_NOTEBOOK = "Make it in the notebook, and put the picture here."
TO_THE_PROJECT = {"open"}
"""Kinds of exercise that are no assignment."""

NUMBERED = re.compile(r"(?m)^\*\*(?:Exercise (?P<number>\d+)\*? \((?P<kind>[^)]*)\)\.|(?P<older>\d+)\. )")
CHECK = re.compile(r"(?m)^te\.exercises\.(check_\w+)\((.*)\)$")
CONFIG = """\
# nbgrader's settings for this tree; `nbgrader generate_config` writes a file with all of them.
c = get_config()
c.CourseDirectory.course_id = "treg_edu"
c.ExecutePreprocessor.timeout = 300
"""
FIRST = """\
# Assignment: {title}

Work through {name}.ipynb of the course first; the exercises are the same, and refer to its figures. Replace each line
`raise NotImplementedError()` by your answer. The cell below each answer tests it and says what is wrong; `te.exercises.hint`
gives hints where there are some. Written answers are read by your teacher. Before you submit: *Kernel → Restart and run all*.
"""


@dataclass
class Exercise:
    """One of a notebook: its statement, and the stub that comes after it, if there is one.

    before: how many code cells come before the stub.
    """

    number: int
    kind: str
    section: str
    text: str
    stub: str = ""
    before: int = 0
    checks: list[tuple[str, str]] = field(default_factory=list)


def assignment_files() -> dict[str, bytes]:
    """{name in a tree of nbgrader: content}: `source/NAME/NAME.ipynb` of each notebook that has exercises, and nbgrader_config.py."""
    found = {"nbgrader_config.py": CONFIG.encode()}
    folder = files.shipped("notebooks")
    for path in sorted(folder.glob("[0-9]*.ipynb")):
        solved = folder / "solutions" / path.name
        if solved.exists():
            made = assignment(path.stem, read_notebook(path), read_notebook(solved))
            found[f"source/{path.stem}/{path.name}"] = (json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode()
    return found


def read_notebook(path: Path) -> list[tuple[str, str]]:
    """The (type, source) of each cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def assignment(name: str, notebook: list[tuple[str, str]], solutions: list[tuple[str, str]]) -> dict[str, Any]:
    """The assignment of a notebook, as instructors keep it: with the solutions."""
    title = notebook[0][1].splitlines()[0].lstrip("# ")
    first = FIRST.format(title=title, name=name)
    cells = [cell("markdown", first, "title", locked=True), cell("code", "import torch\n\nimport treg_edu as te", "imports", locked=True)]
    answers = {number: text for number, _, text in parts_of(solutions)}
    there = {"torch", "te"}
    code = [source for kind, source in notebook if kind == "code" and TURN not in source]
    solved = [source for kind, source in solutions if kind == "code"]
    given: set[int] = set()
    for each in exercises(notebook):
        prefix = f"ex{each.number:02d}"
        solution = with_solution(each.stub, solved)
        if each.kind in TO_THE_PROJECT or (each.stub and not solution):
            continue  # a stub without a solution is open
        cells.append(cell("markdown", f"*From: {each.section}*\n\n{each.text}", f"{prefix}-statement", locked=True))
        if solution is None:
            cells.append(cell("markdown", answers.get(each.number, "See the rubric."), prefix, by_hand=True))
            continue
        body, start = solution
        before, missing = needed(used(each.stub) | used(body), statements(code[: each.before]), there)
        more, _ = needed(missing, statements(solved[:start]), there)
        if not each.checks and sum(len(statement.source.splitlines()) for statement in before + more) > MOST_GIVEN:
            cells[-1]["source"] += ["\n", "\n", IN_THE_NOTEBOOK]
            cells.append(cell("markdown", answers.get(each.number, "See the rubric."), prefix, by_hand=True))
            continue
        new = [statement for statement in before if statement.place not in given]
        given |= {statement.place for statement in new}
        if new or more:
            source = "\n".join(statement.source for statement in new + more)
            cells.append(cell("code", source, f"{prefix}-given", locked=True))
        cells.append(cell("code", body, f"{prefix}-answer", solution=True, by_hand=not each.checks))
        if each.checks:
            tests = "\n".join(f"te.exercises.assert_right(te.exercises.{check}, {answer})" for check, answer in each.checks)
            cells.append(cell("code", tests, f"{prefix}-test", test=True))
        there |= {name for statement in statements([body]) for name in defined_by(statement)}
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def defined_by(statement: Statement) -> set[str]:
    """The functions and classes of a statement: what a later exercise may use of an earlier one."""
    return set(re.findall(r"^(?:def|class) (\w+)", statement.source))


def cell(
    kind: str, source: str, name: str, *, locked: bool = False, solution: bool = False, test: bool = False, by_hand: bool = False
) -> dict[str, Any]:
    """A cell with nbgrader's metadata.  name: its grade_id.

    locked: text and code that are put back before grading.  solution: an answer that the next cell tests.  test: such a cell.
    by_hand: an answer that a teacher grades.
    """
    about: dict[str, Any] = {
        "grade": test or by_hand,
        "grade_id": name,
        "locked": locked or test,
        "schema_version": SCHEMA,
        "solution": solution or by_hand,
        "task": False,
    }
    if about["grade"]:
        about["points"] = POINTS_BY_HAND if by_hand else POINTS
    made: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {"nbgrader": about}, "source": source.splitlines(keepends=True)}
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def parts_of(notebook: list[tuple[str, str]]) -> Iterator[tuple[int, str, str]]:
    """(number, kind, text) of each exercise or solution that the prose of a notebook numbers."""
    for kind, source in notebook:
        if kind == "markdown":
            marks = list(NUMBERED.finditer(source))
            for mark, end in zip(marks, [mark.start() for mark in marks[1:]] + [len(source)]):
                text = re.split(r"(?m)^#", source[mark.start() : end])[0].strip()
                yield int(mark["number"] or mark["older"]), mark["kind"] or "", text


def exercises(notebook: list[tuple[str, str]]) -> list[Exercise]:
    """Those of a notebook, in order; a stub belongs to the last statement before it."""
    found: list[Exercise] = []
    section, before, open_ones = "", 0, False
    for kind, source in notebook:
        if kind == "markdown":
            for piece in re.split(r"(?m)(?=^## )", source):
                section = piece.splitlines()[0].lstrip("# ") if piece.startswith("## ") else section
                new = [Exercise(number, what, section, text) for number, what, text in parts_of([(kind, piece)])]
                found += new
                open_ones = open_ones or bool(new)
        elif TURN in source:
            if open_ones:
                found[-1].stub, found[-1].before, found[-1].checks = source, before, CHECK.findall(source)
            open_ones = False
        else:
            before += 1
    return found


def with_solution(stub: str, solved: list[str]) -> tuple[str, int] | None:
    """The stub with the solution's lines between nbgrader's marks, and the place of the solution's cell.  None if there is no solution.

    A solution is its stub with each open line answered; what it shows after the check is left out.
    """
    given = re.split(rf"(?m)^.*{TURN}.*$", stub)
    opened = [line for line in stub.splitlines() if TURN in line]
    pattern = re.compile("(?s)" + "(.+?)".join(map(re.escape, given)) + r"(?:\n.*)?")
    for place, source in enumerate(solved):
        if match := pattern.fullmatch(source):
            regions = [region(line, answer) for line, answer in zip(opened, match.groups())]
            return "".join(part + answer for part, answer in zip(given, [*regions, ""])), place
    return None


def region(line: str, answer: str) -> str:
    """What replaces the open line of a stub: a note of what stood there, and the answer between nbgrader's marks.

    An open name stays `name = ...` until it is answered, so that it does not keep the answer of an exercise before.
    """
    code, _, note = line.partition(TURN)
    indent = code[: len(code) - len(code.lstrip())]
    code, note = code.strip(), note.strip(":; ")
    lines = []
    if re.fullmatch(r"\w+ = \.\.\.", code):
        lines.append(f"{indent}{code}")
    elif not re.fullmatch(r"return \.\.\.", code):
        lines.append(f"{indent}# as it was: {code}")
    if note:
        lines.append(f"{indent}# {note}")
    return "\n".join([*lines, f"{indent}{BEGIN}", answer, f"{indent}{END}"])
