"""The experiment pairs what it compares, and its short form runs from end to end."""

import json

import numpy as np
import pandas as pd
import pytest

from treg_edu import images
from treg_edu.experiments import phase, quick


@pytest.fixture
def fast(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"treg": {"steps": 2, "null_prompt": "", "every": 1, "until": 1.0}})
    monkeypatch.setattr(quick, "load_prior", lambda device: prior)


def test_the_other_text_is_another_thing():
    x, labels, others = quick.held_out(16)
    assert len(x) == len(labels) == len(others) == 16
    assert all(not set(a.split()) & set(b.split()) for a, b in zip(labels, others))
    assert set(others) <= set(images.captions()["label"])


def test_the_demo_writes_its_picture(fast, tmp_path, capsys):
    rows = quick.demo(images=2, seeds=2, out=tmp_path)
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(rows["arm"].unique()) == sorted(quick.ARMS)
    assert "y-MSE" in capsys.readouterr().out


def test_the_run_reports_every_arm_and_claim(fast, tmp_path):
    report = quick.run(images=4, seeds=2, out=tmp_path)
    assert json.loads((tmp_path / "quick.json").read_text())["images"] == 4
    assert set(report["arms"]) == set(report["arms no sibling"]) == set(quick.ARMS)
    assert all(low <= mean <= high for claims in ("claims", "claims no sibling") for mean, low, high in report[claims].values())
    rows = pd.read_parquet(tmp_path / "quick.parquet")
    assert len(rows) == 4 * 2 * len(quick.ARMS)
    apart = rows[~rows["style"].isin(["fluent", "fluent flat"])]
    assert 2 <= apart["image"].nunique() < 4  # or the second table would be the first
    of_null = apart[apart["arm"] == "null text"].groupby("image")["top5"].mean().mean()
    assert report["arms no sibling"]["null text"]["top5"][0] == pytest.approx(of_null)
    null = rows[rows["arm"] == "null text"]
    assert set(null["text"]) == {""} and set(null["graded against"]) == set(rows[rows["arm"] == "true text"]["text"])


def test_more_images_than_there_are(tmp_path):
    for study in (quick.run, quick.demo, phase.run):
        with pytest.raises(ValueError, match="^images: got 500, expected an integer from 1 to 288"):
            study(images=500, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_claims_are_differences_of_the_same_images():
    arms = {"true text": 0.9, "null text": 0.4, "another text": 0.5, "true text, no negation": 0.7, "another text, no negation": 0.5}
    rows = pd.DataFrame(
        [
            {
                "arm": arm,
                "image": f"{i}",
                "top1": base + 0.01 * i,
                "similarity": base - 0.1 * i,
                "y_mse": 1 + base + i,
                "seed": s,
                "variance": (i + 1) * (2 if arm == "null text" else 1),
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
