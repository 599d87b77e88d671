"""treg_edu.exercises: every check takes the right answer, refuses plausible wrong ones in a sentence, and never raises."""

import inspect

import pytest
import torch

from treg_edu import exercises

RIGHT, WRONG = {}, {}
"""By check: the solution; and at least two plausible mistakes.  Filled below, one block a notebook."""


def said(capsys, check, attempt):
    check(attempt)
    return capsys.readouterr().out.strip()


CHECKS = {name: check for name, check in inspect.getmembers(exercises, inspect.isfunction) if name.startswith("check_")}


def test_every_check_has_its_solution_and_two_mistakes():
    assert set(CHECKS) == set(RIGHT) == set(WRONG)
    assert all(len(mistakes) >= 2 for mistakes in WRONG.values())


@pytest.mark.parametrize("name", CHECKS)
def test_the_solution_is_right(capsys, name):
    assert said(capsys, CHECKS[name], RIGHT[name]) == "right"


@pytest.mark.parametrize("name, mistake", [(name, i) for name in WRONG for i in range(len(WRONG[name]))])
def test_a_mistake_is_named_in_a_sentence(capsys, name, mistake):
    verdict = said(capsys, CHECKS[name], WRONG[name][mistake])
    assert verdict.startswith("not yet: ") and len(verdict) > 30 and "\n" not in verdict


@pytest.mark.parametrize("name", CHECKS)
def test_an_unfilled_stub_is_not_attempted(capsys, name):
    def unwritten(*_):
        raise NotImplementedError

    for stub in (lambda *_: ..., lambda *_: None, unwritten):
        assert said(capsys, CHECKS[name], stub) == "not attempted yet"


@pytest.mark.parametrize("name", CHECKS)
def test_nonsense_gets_a_sentence(capsys, name):
    for nonsense in (lambda: 0, lambda *_: "zero", lambda *_: 1 / 0, lambda *_: torch.zeros(1, 2, 3), lambda *_: float("nan"), 3):
        verdict = said(capsys, CHECKS[name], nonsense)
        assert verdict.startswith("not yet: ") and "Traceback" not in verdict


@pytest.mark.parametrize(
    "found, expected, sentence",
    [
        (torch.zeros(2), torch.zeros(2, 1), "expected shape (2, 1), found (2,)"),
        (torch.tensor([0.0, 2.0]), torch.zeros(2), "at index (1,) expected 0, found 2"),
        (torch.tensor([0.0, torch.nan]), torch.zeros(2), "at index (1,) expected 0, found nan"),
        (torch.tensor(1.0), torch.tensor(2.0), "expected 2, found 1"),
        (torch.ones(2, dtype=torch.bool), torch.ones(2), "expected dtype torch.float32, found torch.bool"),
        ([1.0], torch.ones(1), "expected a tensor of shape (1,), found list"),
        (1.0, 2.0, "expected 2, found 1"),
        (True, 1, "expected 1, found True"),
        (float("nan"), 1.0, "expected 1, found nan"),
        ("a", "b", "expected 'b', found 'a'"),
        ((1.0, 2.0), (1.0, 3.0), "in result 2 of 2 expected 3, found 2"),
        (1.0, (1.0, 3.0), "expected 2 results, found float"),
    ],
)
def test_a_difference_is_half_a_sentence(found, expected, sentence):
    assert exercises.difference(found, expected, tolerance=1e-4) == sentence


@pytest.mark.parametrize(
    "found, expected",
    [(torch.ones(2).double(), torch.ones(2)), (torch.tensor(2.0), 2.0), (torch.tensor(torch.inf), torch.tensor(torch.inf)), ((1, "a"), (1, "a"))],
)
def test_equal_is_equal(found, expected):
    assert exercises.difference(found, expected, tolerance=1e-4) == ""


def test_a_check_hands_out_copies(capsys):
    x = torch.ones(3)
    exercises.verdict(lambda a: a.mul_(2), [("ones", (x,), 2 * x), ("ones again", (x,), 2 * x)])
    assert capsys.readouterr().out == "right\n" and torch.equal(x, torch.ones(3))
