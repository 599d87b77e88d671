"""Every operator, dtype and negation that `treg-edu solve` offers works end to end on the CPU.

All 45 combinations are tried, at 16×16 pixels, the smallest side that the default factor of "sr" divides: float16 is the slow one on a CPU,
half a second there against six at 64×64.  The judge, which is float32 whatever the dtype, is left out here.
"""

import itertools
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import treg_edu as te
from treg_edu import cli, images
from treg_edu.cli.measured import OPTIONS_OF

pytestmark = pytest.mark.once

SOLVING = sys.modules["treg_edu.cli.solve"]
NEGATIONS = ("hidden", "projected", "none")
OPTIONS = {"sr": [], "blur": [], "inpaint": ["--box", "4,4,8,8"], "phase": [], "gamma": []}
FAR = {"float32": 0.0, "bfloat16": 10.0, "float16": 3.0}
"""How far from the picture in float32 a picture may be, in the mean, in 8-bit steps."""


@pytest.fixture(scope="module")
def priors(prior):
    """The bundled prior in every dtype, loaded once."""
    return {name: prior if name == "float32" else te.load_prior(dtype=getattr(torch, name)) for name in SOLVING.DTYPES}


@pytest.fixture
def solve(priors, tmp_path, monkeypatch):
    """The picture and the report of one run."""
    names = {getattr(torch, name): name for name in SOLVING.DTYPES}
    monkeypatch.setattr(te, "load_prior", lambda name=None, device="cpu", dtype=None, clip=None: priors[names[dtype]])
    monkeypatch.setattr(SOLVING, "load_grader", lambda: (None, []))
    picture = images.save(images.from_pil(images.to_pil(images.example("fox")), 16), tmp_path / "fox.png")

    def run(operator, dtype, negation, seed=0):
        out = tmp_path / f"{operator} {dtype} {negation} {seed}"
        options = [*OPTIONS[operator], "--operator", operator, "--dtype", dtype, "--negation", negation, "--out", str(out)]
        brief = ["--size", "16", "--steps", "2", "--seeds", "1", "--seed", str(seed), "--prompt", "fox"]
        result = CliRunner().invoke(cli.app, ["solve", str(picture), *options, *brief], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        report = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        return np.asarray(Image.open(out / f"reconstruction-{seed}.png")).astype(float), report

    return run


def test_these_are_all_that_is_offered():
    text = CliRunner().invoke(cli.app, ["solve", "--help"], env={"COLUMNS": "400"}).stdout
    assert set(OPTIONS) == set(OPTIONS_OF) == set(te.operators.OPERATORS) and set(FAR) == set(SOLVING.DTYPES)
    assert f"What is measured: {', '.join(OPTIONS)}." in text and f"Of the networks: {', '.join(FAR)}." in text
    assert "Adaptive negation: hidden, projected or none." in text


@pytest.mark.parametrize("operator, negation", list(itertools.product(OPTIONS, NEGATIONS)))
def test_every_operator_negation_and_dtype(solve, operator, negation):
    found = {dtype: solve(operator, dtype, negation) for dtype in SOLVING.DTYPES}
    for dtype, (picture, report) in found.items():
        settings, (row,) = report["settings"], report["per_seed"]
        assert (settings["operator"], settings["negation"]) == (operator, None if negation == "none" else negation)
        assert picture.shape == (16, 16, 3)
        assert all(row[name] is not None and np.isfinite(row[name]) for name in ("misfit", "psnr", "ssim"))
        assert np.abs(picture - found["float32"][0]).mean() <= FAR[dtype]


def test_another_seed_is_farther_than_another_dtype(solve):
    one, other = (solve("sr", "float32", "none", seed)[0] for seed in (0, 1))
    assert np.abs(one - other).mean() > 1.5 * max(FAR.values())
