"""The benchmark's arithmetic and its pairs; the times themselves are looked at by a person."""

import time

import pytest
import torch
from deepinv_reference import deepinv

from treg_edu import bench

pytestmark = pytest.mark.once


def test_ratio_of_two_sleeps():
    assert bench.ratio(lambda: time.sleep(0.02), lambda: time.sleep(0.01), repetitions=3) == pytest.approx(2, rel=0.3)


def test_timings_take_turns_after_a_warm_up():
    calls = []
    bench.ratio(lambda: calls.append("a"), lambda: calls.append("b"), repetitions=2, calls=2)
    assert "".join(calls) == "ab" + "aabb" * 2


def test_a_row_is_ok_up_to_its_target():
    assert bench.Row("", 1.0, 1.0).ok and not bench.Row("", 1.1, 1.0).ok and bench.Row("", 3.0).ok is None
    assert bench.table([bench.Row("a", 1.0, 2.0), bench.Row("b", 3.0, unit=" s")]).row_count == 2


def test_deepinvs_operators_are_the_counterparts_of_ours():
    x = torch.rand(1, 3, 64, 64)
    for name, ours, theirs in bench.operator_pairs(deepinv):
        y, y_theirs = ours.A(x), theirs.A(x)
        assert y.shape == y_theirs.shape, name
        assert ours.A_adjoint(y).shape == theirs.A_adjoint(y_theirs).shape == x.shape, name


@pytest.mark.parametrize("passed", [True, False])
def test_operators_are_compared_with_deepinv_where_there_is_one(passed, monkeypatch, capsys):
    monkeypatch.setattr(bench, "import_deepinv", lambda: None)
    monkeypatch.setattr(bench, "load_prior", lambda: None)
    monkeypatch.setattr(bench, "ratio", lambda a, b, *repetitions, **calls: (a(), b(), 1.0)[-1])
    for name in ("import_rows", "sampling_rows", "solver_rows"):
        monkeypatch.setattr(bench, name, lambda *_: [])
    rows = bench.run(1, deepinv if passed else None)
    assert len(rows) == 2 + passed * 3 * len(bench.operator_pairs(deepinv)) and all(row.ok for row in rows)
    assert ("not compared with deepinv" in capsys.readouterr().out) is not passed


@pytest.mark.parametrize("error", [ImportError("no torchvision"), RuntimeError("operator torchvision::nms does not exist")])
def test_a_deepinv_that_cannot_be_imported_is_none(error, monkeypatch):
    def failing(name):
        raise error

    monkeypatch.setattr(bench.importlib, "import_module", failing)
    assert bench.import_deepinv() is None


def test_the_table_of_solvers_counts_passes(prior, monkeypatch):
    """Of two solvers at two steps; one that wants a prior of pixels is left out."""
    monkeypatch.setattr(bench, "SOLVERS", {name: bench.SOLVERS[name] for name in ("dps", "ldps", "treg")})
    monkeypatch.setattr(bench, "SHORT", 2)
    ldps, treg = bench.solver_rows(prior, 1)
    assert (ldps["solver"], ldps["unet"], ldps["unet_backward"], ldps["decoder"], ldps["decoder_backward"]) == ("ldps", 4, 4, 3, 2)
    assert (treg["solver"], treg["unet"], treg["unet_backward"], treg["decoder"], treg["encoder"], treg["clip"]) == ("treg", 4, 0, 2, 1, 1)
    assert ldps["MiB"] > 0 == treg["MiB"] and min(row[name] for row in (ldps, treg) for name in ("DDIM", "explained")) > 0
    table = bench.solver_table([ldps, treg])
    assert table.row_count == 2 and [cell.header for cell in table.columns][:3] == ["solver", "U-Net", "back"]
