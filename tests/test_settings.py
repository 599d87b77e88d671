"""The search for settings: its rule, its halving, and that a killed search goes on to the same end."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from treg_edu import images
from treg_edu.consistency import is_consistency_step
from treg_edu.experiments import settings

FAST = {"steps": 2, "guidance_scale": 4.0, "null_prompt": "", "every": 1, "until": 1.0, "negation": None}
VARIED = {
    "guidance_scale": ({"guidance_scale": 1.0}, {"guidance_scale": 2.0}),
    "steps": ({"steps": 1},),
}


@pytest.fixture
def fast(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"treg": FAST})
    monkeypatch.setattr(settings, "load_prior", lambda device: prior)
    monkeypatch.setattr(settings, "COORDINATES", VARIED)
    monkeypatch.setattr(settings, "NONLINEAR", {})


def seen(**figures):
    """{settings: a row a picture}: each figure four numbers, one a picture."""
    return pd.DataFrame({"distance": [3.0] * 4, "top1": [0.5] * 4, "misfit": [2.0] * 4} | figures)


def named(**changes):
    return settings.name_of(settings.start_of(FAST, linear=True) | changes)


SLOW, QUICK, OTHER = named(), named(guidance_scale=1.0), named(lam=1e-3)


@pytest.mark.parametrize(
    "figures, chosen",
    [
        ({SLOW: seen(), QUICK: seen()}, QUICK),  # equal: the cheaper
        ({SLOW: seen(), QUICK: seen(distance=[3.1, 3.2, 3.1, 3.2])}, SLOW),  # farther in every picture
        ({SLOW: seen(), QUICK: seen(distance=[2.0, 4.5, 3.5, 2.4])}, QUICK),  # not told apart: the cheaper
        ({SLOW: seen(top1=[1.0, 1.0, 1.0, 0.9]), QUICK: seen(top1=[0.5, 0.5, 0.6, 0.5])}, SLOW),
        ({SLOW: seen(top1=[1.0, 0.0, 1.0, 0.5]), QUICK: seen(top1=[0.0, 1.0, 0.5, 0.5])}, QUICK),
        ({SLOW: seen(), QUICK: seen(misfit=[2.3] * 4)}, SLOW),  # more than a tenth above
        ({SLOW: seen(), QUICK: seen(misfit=[2.1] * 4)}, QUICK),
        ({SLOW: seen(distance=[2.0, 4.0, 3.0, 3.0]), OTHER: seen(distance=[2.0, 4.0, 2.9, 3.1])}, SLOW),  # one cost, the first of equals
        ({SLOW: seen(distance=[2.0, 4.0, 3.0, 3.0]), OTHER: seen(distance=[2.1, 3.8, 3.0, 3.0])}, OTHER),  # one cost: the nearer
    ],
)
def test_the_rule(figures, chosen):
    assert settings.choose(figures) == chosen


def test_seconds_choose_nothing():
    figures = {SLOW: seen(seconds=[0.1] * 4), QUICK: seen(seconds=[9.0] * 4)}
    assert settings.choose(figures) == QUICK


def test_halving_keeps_the_better_half_and_the_settings_so_far():
    figures = {name: seen(distance=[float(place)] * 4) for place, name in enumerate("abcde")}
    assert settings.halved(figures, "e") == ["a", "b", "c", "e"] and settings.halved(figures, "a") == ["a", "b", "c"]


@pytest.mark.parametrize(("count", "expected"), [(96, [24, 48, 96]), (32, [8, 16, 32]), (20, [10, 20]), (2, [2])])
def test_rungs(count, expected):
    assert settings.rungs(count) == expected


@pytest.mark.parametrize("settings_", [{}, {"guidance_scale": 1.0}, {"steps": 20, "every": 3, "since": 0.15}, {"until": 0.5, "steps": 9}])
def test_the_cost_is_the_number_of_calls(settings_):
    full = settings.start_of(FAST, linear=True) | settings_
    chosen = sum(is_consistency_step(i, full["steps"], full["every"], full["until"], full["since"]) for i in range(full["steps"]))
    assert settings.cost(full) == full["steps"] * (1 if full["guidance_scale"] == 1.0 else 2) + chosen


def test_the_front_has_what_nothing_beats():
    points = [(1.0, 3.0), (2.0, 2.0), (2.0, 2.5), (3.0, 2.0), (0.5, 4.0), (1.0, 3.0)]
    assert settings.front(points) == [True, True, False, False, True, True]


@pytest.mark.parametrize("name", settings.INSTRUMENTS)
def test_every_coordinate_is_a_setting_of_treg(prior, name):
    from treg_edu.solvers import treg

    operator = settings.INSTRUMENTS[name]()
    linear = settings.is_linear(operator)
    y = operator.measure(images.tuning(1)[0], 0.005)
    start = settings.start_of(prior.recommended["treg"], linear)
    for candidates in (settings.COORDINATES | ({} if linear else settings.NONLINEAR)).values():
        for changes in candidates:
            treg(prior, operator, y, "fox", **(start | changes))  # checks at the call, solves nothing


def test_a_killed_search_goes_on_to_the_rows_of_an_uninterrupted_one(fast, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(settings.common, "BATCH", 2)  # one picture a batch
    whole = settings.run(images=2, seeds=2, instruments=["sr"], out=tmp_path / "whole")
    assert "← chosen" in capsys.readouterr().out
    solve, calls = settings.solve, []

    def killed(*arguments, **more):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return solve(*arguments, **more)

    monkeypatch.setattr(settings, "solve", killed)
    with pytest.raises(KeyboardInterrupt):
        settings.run(images=2, seeds=2, instruments=["sr"], out=tmp_path / "killed")
    assert len(pd.read_parquet(tmp_path / "killed" / "settings.parquet")) == 3 * 2
    again = settings.run(images=2, seeds=2, instruments=["sr"], out=tmp_path / "killed")
    rows = {name: pd.read_parquet(tmp_path / name / "settings.parquet") for name in ("whole", "killed")}
    pd.testing.assert_frame_equal(*(each.drop(columns="seconds") for each in rows.values()))
    assert len(calls) == 1 + len(rows["whole"]) // 2  # nothing was solved twice
    assert again["found"]["sr"]["chosen"] == whole["found"]["sr"]["chosen"]
    assert set(rows["whole"]["seed"]) == {0, 1, 1000, 1001}
    report = json.loads((tmp_path / "killed" / "settings.json").read_text(encoding="utf-8"))
    table = report["found"]["sr"]["settings"]
    assert len(table) == rows["whole"]["settings"].nunique() >= 4 and any(row["front"] for row in table)
    first = rows["whole"].query("settings == @name", local_dict={"name": settings.name_of(table[0]["settings"])})
    assert table[0]["distance"][0] == pytest.approx(first["distance"].mean())
    with Image.open(tmp_path / "killed" / "settings.png") as picture:
        assert np.asarray(picture).std() > 10


def test_rows_of_another_prior_are_left_alone(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "COORDINATES", {"steps": ({"steps": 1},)})
    settings.run(images=2, seeds=1, instruments=["sr"], out=tmp_path)
    before = pd.read_parquet(tmp_path / "settings.parquet")
    monkeypatch.setattr(settings, "fingerprint", lambda prior: "another")
    settings.run(images=2, seeds=1, instruments=["sr"], out=tmp_path)
    after = pd.read_parquet(tmp_path / "settings.parquet")
    assert len(after) == 2 * len(before) and set(after["prior"]) == {"another", before["prior"][0]}


def test_an_instrument_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="^instruments: got 'lens', expected"):
        settings.run(images=2, instruments=["lens"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
