"""The benchmark's arithmetic and its pairs; the times themselves are looked at by a person."""

import time

import pytest
import torch

from treg_edu import bench


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
    deepinv = bench.load_deepinv()
    if deepinv is None:
        pytest.skip("deepinv is not installed")
    x = torch.rand(1, 3, 64, 64)
    for name, ours, theirs in bench.operator_pairs(deepinv):
        y, y_theirs = ours.A(x), theirs.A(x)
        assert y.shape == y_theirs.shape, name
        assert ours.A_adjoint(y).shape == theirs.A_adjoint(y_theirs).shape == x.shape, name


def test_without_the_tests_folder_there_is_no_deepinv(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "REFERENCE", tmp_path / "absent.py")
    assert bench.load_deepinv() is None
