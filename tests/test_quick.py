"""The experiment pairs what it compares, and its short form runs from end to end."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from treg_edu import images, operators
from treg_edu.experiments import arms, common, phase, quick

pytestmark = pytest.mark.once


@pytest.fixture
def fast(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"treg": {"steps": 2, "null_prompt": "", "every": 1, "until": 1.0}})
    monkeypatch.setattr(quick, "load_prior", lambda device: prior)


def names(arms):
    return {arm.name for arm in arms}


def test_the_other_text_is_another_thing():
    x, labels = common.held_out(16)
    others = quick.other_texts(operators.SuperResolution(quick.FACTOR), x, labels)
    assert len(x) == len(labels) == len(others) == 16
    assert all(not set(a.split()) & set(b.split()) for a, b in zip(labels, others))
    assert set(others) <= set(images.captions()["label"])


def test_the_demo_writes_its_picture_and_its_rows_before_it_prints(fast, tmp_path, capsys, monkeypatch):
    rows = quick.demo(images=2, seeds=2, out=tmp_path)
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert set(rows["arm"]) == names(quick.ARMS)
    printed = capsys.readouterr().out
    assert "misfit / σ" in printed and "y-MSE" not in printed and printed.count("—") >= 2
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "demo.parquet"), rows)
    assert rows["y_mse"].tolist() == pytest.approx(((common.SIGMA * rows["misfit"]) ** 2).tolist(), rel=1e-5)


def test_the_run_reports_every_arm_and_claim(fast, tmp_path):
    report = quick.run(images=4, seeds=2, out=tmp_path)
    assert json.loads((tmp_path / "quick.json").read_text(encoding="utf-8"))["images"] == 4
    assert set(report["arms"]) == set(report["arms no sibling"]) == names(quick.ARMS)
    assert all(low <= mean <= high for claims in ("claims", "claims no sibling") for mean, low, high in report[claims].values())
    rows = pd.read_parquet(tmp_path / "quick.parquet")
    assert len(rows) == 4 * 2 * len(quick.ARMS)
    apart = rows[~rows["style"].isin(["fluent", "fluent flat"])]
    assert 2 <= apart["image"].nunique() < 4  # or the second table would be the first
    of_null = apart[apart["arm"] == "null text"].groupby("image")["top5"].mean().mean()
    assert report["arms no sibling"]["null text"]["top5"][0] == pytest.approx(of_null)
    null = rows[rows["arm"] == "null text"]
    assert set(null["text"]) == {""} and set(null["graded against"]) == set(rows[rows["arm"] == "true text"]["text"])


@pytest.mark.parametrize(("study", "most"), [(quick.run, 288), (quick.demo, 288), (phase.run, 192)])
def test_nothing_is_computed_for_images_or_a_folder_that_cannot_be(study, most, tmp_path, monkeypatch):
    for module in (quick, arms):
        monkeypatch.setattr(module, "load_prior", lambda *name, device: pytest.fail("loaded"))
    for count in (500, 1):
        with pytest.raises(ValueError, match=f"^images: got {count}, expected an integer from 2 to {most}"):
            study(images=count, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="^out: got .*file.*, expected a folder"):
            study(images=2, out=out)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("arm", quick.ARMS)
def test_an_arms_fields_decide_its_settings_and_not_its_name(arm):
    settings = common.settings_of(arm._replace(name="x"), {"steps": 2, "guidance_scale": 4.0, "negation": "hidden"})
    assert settings["negation"] == ("hidden" if arm.negation else None)
    assert settings["guidance_scale"] == (1.0 if arm.text == "null" else 4.0) and settings["steps"] == 2


def test_every_measurement_is_solved_with_its_own_text_seed_and_start(monkeypatch):
    """A solver that returns its arguments as pixels: three pictures of two seeds each, in batches that split a picture's seeds."""

    def told(solver, prior, operator, y, texts, *, progress, seed, start, negation):
        return torch.stack([torch.tensor([float(a), float(b), c]) for a, b, c in zip(texts, seed, start)])[:, :, None, None]

    monkeypatch.setattr(common, "solve", told)
    monkeypatch.setattr(common, "BATCH", 3)
    arm, other = common.Arm("a", "true"), common.Arm("b", "other")
    texts, seeds = {"true": ["1", "2", "3"], "other": ["4", "5", "6"]}, [[0, 1], [2, 3], [4, 5]]
    starts = {arm: torch.arange(6.0).view(3, 2), other: -torch.arange(6.0).view(3, 2)}
    found = dict(common.solve_arms(None, None, torch.zeros(3, 1), texts, {arm: seeds, other: seeds}, {}, starts))
    assert found[arm].squeeze().tolist() == [[[1, 0, 0], [1, 1, 1]], [[2, 2, 2], [2, 3, 3]], [[3, 4, 4], [3, 5, 5]]]
    assert found[other][2, 1].flatten().tolist() == [6, 5, -5]


def test_claims_are_differences_of_the_same_images():
    arms = dict(zip(quick.ARMS, [0.9, 0.4, 0.5, 0.7, 0.5]))
    rows = pd.DataFrame(
        [
            {
                "arm": arm.name,
                "image": f"{i}",
                "top1": base + 0.01 * i,
                "similarity": base - 0.1 * i,
                "y_mse": 1 + base + i,
                "seed": s,
                "variance": (i + 1) * (2 if arm is quick.NULL else 1),
            }
            for arm, base in arms.items()
            for i in range(5)
            for s in range(2)
        ]
    )
    told = quick.claims(rows)
    assert told["judge's top-1, text − null text"] == pytest.approx((0.5, 0.5, 0.5))
    assert told["judge's similarity, negation on − off, true text"] == pytest.approx((0.2, 0.2, 0.2))
    assert told["variance, text / null text"] == pytest.approx((0.5, 0.5, 0.5))
    assert told["y-MSE, another text / true text"][0] == pytest.approx(
        np.mean([1.5 + i for i in range(5)]) / np.mean([1.9 + i for i in range(5)])
    )


def test_the_interval_of_a_ratio_is_that_of_95_percent():
    """Half of 100 images have 1, half 0, against 1: the resampled mean is Binomial(100, ½) / 100, of quantiles 0.40 and 0.60."""
    arms = common.Arm("a", "true"), common.Arm("b", "other")
    rows = pd.DataFrame([{"arm": arm.name, "image": str(i), "value": i % 2 if arm is arms[0] else 1} for arm in arms for i in range(100)])
    assert common.ratio(rows, *arms, "value") == pytest.approx((0.5, 0.4, 0.6), abs=0.011)


@pytest.mark.parametrize("broken", ["print_table", "write_report"])
def test_what_fails_after_the_rows_leaves_them(fast, tmp_path, monkeypatch, broken):
    def solved(prior, judge, x, labels, seeds):
        rows = pd.DataFrame({"arm": arm.name, "image": label, "style": "noto"} | dict.fromkeys(quick.COLUMNS, 1.0)
                            for arm in quick.ARMS for label in labels)  # fmt: skip
        return rows, {}, labels, x

    def failing(*arguments, **more):
        raise UnicodeEncodeError("charmap", "σ", 0, 1, "undefined")

    monkeypatch.setattr(quick, "reconstruct", solved)
    monkeypatch.setattr(common, broken, failing)
    with pytest.raises(UnicodeEncodeError):
        quick.run(images=2, seeds=2, out=tmp_path)
    assert len(pd.read_parquet(tmp_path / "quick.parquet")) == 10
    assert (tmp_path / "quick.json").exists() == (broken == "print_table")
