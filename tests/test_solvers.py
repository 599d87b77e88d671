"""treg_edu.solvers: the table of solvers, and `solve`, which runs one to its end."""

import copy
import time

import pytest
import torch

import treg_edu as te

OPERATOR = te.operators.SuperResolution(16)


@pytest.fixture
def y():
    return OPERATOR.measure(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), 0.005, torch.Generator().manual_seed(1))


def test_treg_is_there():
    assert te.SOLVERS["treg"] is te.treg


def test_solve_is_the_last_step(prior, y):
    *_, last = te.treg(prior, OPERATOR, y, "fox", steps=2, seed=3, guidance_scale=2.0)
    by_function = te.solve(te.treg, prior, OPERATOR, y, "fox", progress=False, steps=2, seed=3, guidance_scale=2.0)
    by_name = te.solve("treg", prior, OPERATOR, y, prompt="fox", progress=False, steps=2, seed=3, guidance_scale=2.0)
    assert torch.equal(by_function, last.x_hat) and torch.equal(by_name, last.x_hat)
    assert by_name.shape == (2, 3, 64, 64) and by_name.min() >= 0 and by_name.max() <= 1


def slow(prior, operator, y, prompt, **settings):
    """TReg that no machine runs in less than the tenth of a second before which no bar is shown."""
    for step in te.treg(prior, operator, y, prompt, **settings):
        time.sleep(0.3)
        yield step


def test_solve_shows_its_progress_and_can_be_silent(prior, y, capsys):
    te.solve(slow, prior, OPERATOR, y, "fox", steps=1)
    shown = capsys.readouterr().err
    assert "slow" in shown and "1/1" in shown
    te.solve(slow, prior, OPERATOR, y, "fox", steps=1, progress=False)
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out == ""


def test_a_solver_of_ones_own_needs_no_default_of_steps(prior, y, capsys):
    few = {"steps": 1, "seed": 3}
    expected = te.solve(te.treg, prior, OPERATOR, y, "fox", progress=False, **few)
    assert torch.equal(te.solve(lambda p, A, y, text: te.treg(p, A, y, text, **few), prior, OPERATOR, y, "fox"), expected)
    assert torch.equal(te.solve(slow, prior, OPERATOR, y, "fox", **few), expected)
    assert "1/1" in capsys.readouterr().err


def test_without_negation_no_clip_is_needed(prior, y):
    bare = copy.copy(prior)
    bare.clip = None
    assert te.solve(te.treg, bare, OPERATOR, y, "fox", progress=False, steps=1, negation=None).shape == (2, 3, 64, 64)


def test_an_unknown_solver(prior, y):
    with pytest.raises(ValueError, match="^solver: got 'treq', expected one of .*'treg'"):
        te.solve("treq", prior, OPERATOR, y, "fox")


def test_an_unknown_setting(prior, y):
    with pytest.raises(TypeError, match="stepz"):
        te.solve(te.treg, prior, OPERATOR, y, "fox", stepz=2, progress=False)


def test_errors_come_through(prior, y):
    with pytest.raises(ValueError, match="^steps: got 0"):
        te.solve(te.treg, prior, OPERATOR, y, "fox", steps=0, progress=False)
