"""The study of symmetric copies names each copy rightly and pairs the arms by image."""

import json

import pandas as pd
import pytest
import torch

from treg_edu.experiments import common, phase
from treg_edu.operators import FourierMagnitude


def test_every_copy_is_named_and_its_errors_are_those_before_and_after_alignment():
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    operator = FourierMagnitude()
    mixed = torch.cat([x[:, :1], x[:, 1:].flip((2, 3))], dim=1)
    rows = phase.grade(operator, operator.A(x), x, ["a", "b"], {phase.TRUE: torch.stack([x, x.flip((2, 3)), mixed], dim=1)})
    assert rows["copy"].tolist() == ["upright", "rotated", "mixed"] * 2
    assert rows["seed"].tolist() == [0, 1, 2] * 2 and rows["image"].tolist() == ["a"] * 3 + ["b"] * 3
    assert (rows["aligned"][[0, 1, 3, 4]] < 1e-3).all() and (rows["error"][[1, 2, 4, 5]] > 0.1).all()
    assert (rows["misfit"] < 6e-3).all()
    shares = common.summary(phase.with_shares(rows), phase.COPIES)["true text"]
    assert shares["upright"] == shares["mixed"] == pytest.approx((1 / 3,) * 3)


def test_the_claim_is_a_difference_of_the_same_images():
    copies = {phase.TRUE: ["upright", "upright", "upright", "rotated"], phase.NULL: ["upright", "rotated", "rotated", "rotated"]}
    rows = pd.DataFrame(
        {"arm": arm.name, "image": f"{n // 2}", "copy": copy} for arm, names in copies.items() for n, copy in enumerate(names)
    )
    assert phase.claim(rows)[0] == pytest.approx(0.5) and phase.claim(rows, "rotated")[0] == pytest.approx(-0.5)
    assert phase.claim(rows)[1:] == pytest.approx((0.5, 0.5))


def test_the_run_reports_every_arm(prior, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(prior, "recommended", {"treg": {"steps": 2, "null_prompt": "", "every": 1, "until": 1.0, "iterations": 5}})
    monkeypatch.setattr(phase, "load_prior", lambda device: prior)
    report = phase.run(images=2, seeds=2, out=tmp_path)
    assert json.loads((tmp_path / "phase.json").read_text(encoding="utf-8"))["seeds"] == 2
    assert list(report["arms"]) == ["true text", "null text", "true text, from HIO", "HIO", "HIO, channels matched"]
    for figures in report["arms"].values():
        assert sum(figures[copy][0] for copy in phase.COPIES) == pytest.approx(1)
        assert figures["aligned"][0] <= figures["error"][0] * (1 + 1e-6)  # where nothing is turned, one number summed twice in float32
    assert len(pd.read_parquet(tmp_path / "phase.parquet")) == 5 * 4
    assert "after alignment" in capsys.readouterr().out
