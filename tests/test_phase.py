"""The study of symmetric copies names each copy rightly; HIO begins where it says."""

import pandas as pd
import pytest
import tiny_world
import torch

import treg_edu as te
from treg_edu.experiments import arms, common, phase, report
from treg_edu.experiments.arms import Arm, Batch
from treg_edu.operators import FourierMagnitude

HAND = common.Arm("by hand", None)


def images(batch, side=16):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_every_copy_is_named_and_its_errors_are_those_before_and_after_alignment():
    x = images(2)
    operator = FourierMagnitude()
    mixed = torch.cat([x[:, :1], x[:, 1:].flip((2, 3))], dim=1)
    rows = phase.grade(operator, operator.A(x), x, ["a", "b"], {HAND: torch.stack([x, x.flip((2, 3)), mixed], dim=1)})
    assert rows["copy"].tolist() == ["upright", "rotated", "mixed"] * 2
    assert rows["seed"].tolist() == [0, 1, 2] * 2 and rows["image"].tolist() == ["a"] * 3 + ["b"] * 3
    assert (rows["aligned"][[0, 1, 3, 4]] < 1e-3).all() and (rows["error"][[1, 2, 4, 5]] > 0.1).all()
    assert (rows["misfit"] < 6e-3).all()
    shares = common.summary(phase.with_shares(rows), phase.COPIES)["by hand"]
    assert shares["upright"][0] == shares["mixed"][0] == pytest.approx(1 / 3)


def test_a_rows_copy_is_the_one_that_its_columns_say():
    x = images(2)
    batch = Batch(None, [0, 1], [0, 1], x, FourierMagnitude().A(x), FourierMagnitude(), ["", ""], None)
    told = phase.columns(Arm("a", measurement=phase.PHASE), batch, torch.stack([x[0], x[1].flip((1, 2))]))
    assert told["copy"] == ["upright", "rotated"] and told["upright"] == [True, False] and told["rotated"] == [False, True]
    assert phase.columns(Arm("a", measurement=phase.GAMMA), batch, x) == {}


def test_hio_as_it_is_is_the_solver_without_its_matching():
    operator = FourierMagnitude()
    y = operator.A(images(2))
    settings = {"steps": 20, "starts": 2, "seed": [3, 4]}
    (step,) = phase.hio_as_it_is(None, operator, y, **settings)
    matched = te.solve("hio", None, operator, y, progress=False, **settings)
    torch.testing.assert_close(te.phase_retrieval.match_channels(step.x_hat), matched)
    (alone,) = phase.hio_as_it_is(None, operator, y[1:], steps=20, starts=2, seed=4)
    torch.testing.assert_close(alone.x_hat, step.x_hat[1:])


def test_pixel_steps_begin_at_hios_result_of_the_same_seed():
    operator = FourierMagnitude()
    x = images(2)
    batch = Batch(None, [0, 1], [7, 8], x, operator.A(x), operator, ["", ""], None)
    start = phase.from_hio(batch)["start"]
    alone = phase.from_hio(Batch(None, [1], [8], x[1:], operator.A(x[1:]), operator, [""], None))["start"]
    assert start.shape == x.shape and te.operators.misfit(operator, start, batch.y).max() < 0.5
    torch.testing.assert_close(alone, start[1:])


def test_the_run_reports_every_arm(tmp_path, capsys):
    told = report.run(phase.STUDY, tiny_world.models(), images=3, seeds=2, steps=2, solvers=["treg", "ldps", "hio"], out=tmp_path)
    table = told["tables"]["phase"]
    assert list(table) == ["treg", "treg, null text", "DDIM", "ldps", "treg, from HIO", "hio"]
    assert list(told["tables"]["gamma"]) == ["treg", "treg, null text", "DDIM", "ldps"]
    for each in table.values():
        figures = each["figures"]
        assert sum(figures[copy][0] for copy in phase.COPIES) == pytest.approx(1)
        assert figures["aligned"][0] <= figures["error"][0] * (1 + 1e-6)
    assert {"upright", "rotated", "error"} <= set(table["treg, null text"]["differences"])
    assert told["tables"]["gamma"]["treg"]["figures"]["upright"] is None  # gamma has no copies
    rows = pd.read_parquet(tmp_path / "phase.parquet")
    assert len(rows) == 10 * 3 * 2 and "upright %" in capsys.readouterr().out
    assert arms.base_of("hio as it is") == "hio" and set(rows[rows["arm"] == "hio"]["text"]) == {""}
