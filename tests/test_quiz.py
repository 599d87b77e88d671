"""docs/quiz.md: every question has one right answer and a word on each wrong one, and the answers are folded."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "quiz.md").read_text(encoding="utf-8")
QUESTIONS = re.split(r"(?m)^### ", PAGE)[1:]


def test_questions_are_numbered_and_the_page_says_how_many():
    numbers = [int(question.partition(".")[0]) for question in QUESTIONS]
    assert numbers == list(range(1, len(numbers) + 1)) and 20 <= len(numbers) <= 32
    assert PAGE.split("\n\n")[1].startswith("Thirty-one questions") == (len(numbers) == 31)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.partition("\n")[0])
def test_a_question_has_one_right_answer_and_each_wrong_option_its_diagnosis(question):
    asked, folded, answer = question.partition("<details><summary>Answer</summary>\n\n")
    assert folded and answer.count("</details>") == 1
    options = re.findall(r"(?m)^- \((\w)\) (.+)$", asked)
    letters = [letter for letter, _ in options]
    assert letters == list("abcd") and len({text for _, text in options}) == 4
    right = re.findall(r"(?m)^\*\*\((\w)\)\*\* .{15,}", answer)
    wrong = [letter for line in re.findall(r"(?m)^- (\(\w\)(?:, \(\w\))*) .{15,}", answer) for letter in re.findall(r"\((\w)\)", line)]
    assert len(right) == 1 and sorted(right + wrong) == letters
    assert not re.search(r"\*\*\(\w\)\*\*", asked)  # the right one shows only when it is unfolded


def test_the_right_answer_has_no_favourite_place():
    right = re.findall(r"(?m)^\*\*\((\w)\)\*\* ", PAGE)
    assert max(right.count(letter) for letter in "abcd") <= len(right) * 0.4


def test_every_part_of_the_course_is_asked():
    parts = " ".join(re.findall(r"(?m)^## (.*)$", PAGE))
    assert set(re.findall(r"\d\d", parts)) == {f"{number:02d}" for number in (*range(10), 11, 12)}
