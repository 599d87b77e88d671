"""notebooks/README.md: the plans add up, and what they name is there."""

import re
from pathlib import Path

import nbformat
import pytest

from treg_edu import exercises

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
QUIZ = (ROOT / "docs" / "quiz.md").read_text(encoding="utf-8")
PLANS = {"Six": 6, "Twelve": 12}
IN_CLASS = 70  # of 90 minutes; ten at each end are for homework
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


def section(title):
    return re.search(rf"(?ms)^## {title}.*?(?=^## |\Z)", MAP)[0]


def plan(name):
    """The rows of a plan, as lists of cells."""
    rows = re.findall(r"(?m)^\| \d+\. (.*) \|$", section(f"{name} classes of 90 minutes"))
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_has_its_classes_and_each_fills_its_minutes(name):
    rows = plan(name)
    assert len(rows) == PLANS[name]
    for title, *_, in_class, homework in rows:
        assert sum(map(int, re.findall(r"\((\d+)\)", in_class))) == IN_CLASS, title
        assert re.search(r"\(\d+ min\)", homework), title


@pytest.mark.parametrize("name, hours", [("Six", 11.5), ("Twelve", 16)])
def test_the_hours_at_home_are_those_of_the_rows(name, hours):
    minutes = sum(int(each) for row in plan(name) for cell in row for each in re.findall(r"\((\d+) min\)", cell))
    words = {11.5: "eleven and a half at home", 16: "sixteen at home"}
    assert abs(minutes / 60 - hours) <= 0.5 and words[hours] in section(f"{name} classes")


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_asks_each_question_of_the_quiz_once(name):
    last = max(map(int, re.findall(r"(?m)^### (\d+)\.", QUIZ)))
    asked = []
    for _, *_, in_class, _ in plan(name):
        for numbers in re.findall(r"quiz ([\d, to]+)", in_class):
            ends = [list(map(int, part.split(" to "))) for part in numbers.strip(", ").split(", ")]
            asked += [number for part in ends for number in range(part[0], part[-1] + 1)]
    assert len(asked) == len(set(asked)) and set(asked) <= set(range(1, last + 1))
    assert len(asked) == last if name == "Twelve" else len(asked) >= 20


def test_every_notebook_is_in_the_map_with_minutes_and_objectives_and_the_plans_cover_them():
    rows = dict(re.findall(r"(?m)^\| \[(\w+)\]\(\w+\.ipynb\) \|.*\| (\d+) \|$", MAP))
    assert sorted(rows) == NAMES and all(15 <= int(minutes) <= 120 for minutes in rows.values())
    assert set(re.findall(r"(?m)^\| (\d\d) \| ", section("What you can do afterwards"))) == {name[:2] for name in NAMES}
    assert {name[:2] for name in NAMES} <= set(re.findall(r"(?<!\d)(\d\d): ", section("Twelve classes")))


def test_the_weights_of_the_assessment_add_up():
    assert sum(map(int, re.findall(r"\| (\d+) % \|", section("Assessment")))) == 100


def test_each_rubric_has_four_levels():
    rows = [row for row in section("Rubrics").splitlines() if row.startswith("| ") and "---" not in row]
    assert len(rows) == 4 + 6 and all(row.count("|") == 6 and "|  |" not in row for row in rows)


def test_the_checks_that_are_named_are_there_and_in_the_notebook_that_is_named():
    named = re.findall(r"in (0\d) ?\n?\(`(check_\w+)`\)", section("Assessment"))
    assert len(named) == len(re.findall(r"`check_\w+`", section("Assessment"))) == 4
    for number, check in named:
        (name,) = (name for name in NAMES if name.startswith(number))
        sources = "\n".join(cell.source for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells)
        assert hasattr(exercises, check) and f"te.exercises.{check}(" in sources
