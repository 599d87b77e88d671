"""treg_edu.tables: what a cell prints of measured values."""

import pytest
import torch

import treg_edu as te


def test_an_interval_is_the_mean_and_the_bootstrap_of_metrics():
    values = torch.tensor([1.0, 2.0, 4.0, 5.0])
    mean, low, high = te.metrics.confidence_interval(values)
    assert te.tables.interval(values, 3) == f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def test_zero_has_no_sign():
    assert te.tables.interval([-0.001, -0.002], 1) == "0.0 [0.0, 0.0]"


def test_a_table_keeps_the_order_of_rows_and_columns():
    table = te.tables.intervals({"b": {"y": [1.0, 1.0], "x": [2.0, 2.0]}, "a": {"y": [3.0, 3.0], "x": [4.0, 4.0]}}, 1)
    assert list(table.index) == ["b", "a"] and list(table.columns) == ["y", "x"]
    assert table.loc["a", "x"] == "4.0 [4.0, 4.0]"


def test_digits_are_checked():
    with pytest.raises(te.checks.ArgumentError, match="digits: got -1"):
        te.tables.interval([1.0, 2.0], -1)


def test_a_column_may_have_digits_of_its_own():
    table = te.tables.intervals({"a": {"x": [1.234, 1.234], "y": [1.234, 1.234]}}, {"x": 1})
    assert table.loc["a", "x"] == "1.2 [1.2, 1.2]" and table.loc["a", "y"] == "1.23 [1.23, 1.23]"
