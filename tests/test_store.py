"""Rows on a disk: whole files or none, each row once, whoever writes."""

import pandas as pd
import pytest

from treg_edu.experiments.store import Store

KEY = ["arm", "picture"]


def rows(*pairs, **more):
    return pd.DataFrame({"arm": [a for a, _ in pairs], "picture": [p for _, p in pairs], "value": [hash(p) % 7 for _, p in pairs]} | more)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out", "trial", KEY)


def test_what_is_added_is_read_before_and_after_the_merge(store):
    assert store.read().empty and list(store.read()) == KEY
    first, second = rows(("a", 1), ("a", 2)), rows(("b", 1))
    store.add(first)
    store.add(second)
    for reader in (store, Store(store.whole.parent, "trial", KEY)):
        pd.testing.assert_frame_equal(reader.read().sort_values(KEY, ignore_index=True), pd.concat([first, second], ignore_index=True))
    store.merge()
    assert [path.name for path in store.whole.parent.iterdir() if not path.name.startswith(".")] == ["trial.parquet"]
    assert len(Store(store.whole.parent, "trial", KEY).read()) == len(pd.read_parquet(store.whole)) == 3


def test_the_same_batch_twice_is_one_and_rows_in_two_batches_count_once(store):
    store.add(rows(("a", 1), ("a", 2)))
    store.add(rows(("a", 1), ("a", 2)))
    assert len(list(store.parts.iterdir())) == 1
    store.add(rows(("a", 2), ("a", 3)))
    assert len(store.read()) == len(store.merge()) == 3


def test_what_another_process_adds_and_merges_is_seen(store):
    other = Store(store.whole.parent, "trial", KEY)
    store.add(rows(("a", 1)))
    other.add(rows(("b", 1)))
    assert len(store.read()) == 2
    other.merge()
    store.add(rows(("a", 2)))
    assert len(store.read()) == len(other.read()) == 3
    store.merge()
    other.merge()  # with what it remembers of files that are gone
    assert len(pd.read_parquet(store.whole)) == 3


def test_rows_that_come_while_another_merges_stay(store, monkeypatch):
    other = Store(store.whole.parent, "trial", KEY)
    store.add(rows(("a", 1)))
    read = Store.read

    def slow(self):
        found = read(self)
        if self is store:
            other.add(rows(("b", 1)))
        return found

    monkeypatch.setattr(Store, "read", slow)
    store.merge()
    monkeypatch.undo()
    assert len(store.read()) == 2


def test_a_damaged_file_is_told_of_and_its_rows_are_computed_again(store):
    store.add(rows(("a", 1)))
    store.add(rows(("b", 1)))
    damaged = sorted(store.parts.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-20])
    fresh = Store(store.whole.parent, "trial", KEY)
    with pytest.warns(UserWarning, match="^out: .* is damaged .* its rows are computed again"):
        left = fresh.read()
    assert len(left) == 1
    lost = ({"a", "b"} - set(left["arm"])).pop()
    fresh.add(rows((lost, 1)))
    assert len(fresh.merge()) == 2 and fresh.whole.is_file() and not fresh.parts.exists()


def test_an_unfinished_file_is_no_row_and_goes_when_it_is_old(store, monkeypatch):
    store.add(rows(("a", 1)))
    half = store.parts / ".x-0123456789abcdef.part"
    half.write_bytes(b"PAR1")
    assert len(store.read()) == len(store.merge()) == 1 and half.exists()  # another process may be writing it
    monkeypatch.setattr("treg_edu.experiments.store.time.time", lambda: half.stat().st_mtime + 4000)
    store.add(rows(("a", 2)))
    store.merge()
    assert not half.exists() and not store.parts.exists()


def test_columns_may_differ_between_batches(store):
    store.add(rows(("a", 1), copy=["upright"]))
    store.add(rows(("b", 1)))
    assert store.merge()["copy"].isna().sum() == 1
