"""The paper's claims: each can be read off a study, and the verdict on it is the difference's."""

import re
from pathlib import Path

import pytest
import tiny_world

from treg_edu.experiments import claims, pictures, runner
from treg_edu.experiments.claims import CLAIMS, Claim, examined, verdict
from treg_edu.experiments.grading import FIGURES
from treg_edu.experiments.stored import study_named

PAPER = (Path(__file__).parents[1] / "docs" / "paper.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def setting():
    models = tiny_world.models()
    return runner.Setting(models.prior, pictures.load(count=4, side=16), models)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.said)
def test_a_claim_is_of_an_item_and_of_something_that_a_study_compares(claim, setting):
    assert claim.item in re.findall(r'id="([\w-]+)"', PAPER)
    study = study_named(claim.study)
    arms = [arm.name for arm in study.arms(setting) if arm.measurement.name == claim.measurement]
    assert claim.arm in arms and study.baseline in arms and claim.arm != study.baseline
    assert {**FIGURES, **study.figures}[claim.figure].better and abs(claim.sign) == 1


CLAIM = Claim("phase", "fewer are upright", "phase", "phase", "ldps", "upright", -1)


@pytest.mark.parametrize(
    "difference, expected",
    [
        ((-0.2, -0.3, -0.1, 0.001), "reproduced"),
        ((0.2, 0.1, 0.3, 0.001), "reversed"),
        ((-0.2, -0.3, -0.1, 0.06), "not told apart"),  # alone it would be, after Holm's correction it is not
        ((0.1, -0.1, 0.3, 0.5), "not told apart"),
        (None, "not measured"),
    ],
)
def test_the_verdict_is_of_the_sign_and_of_p_after_correction(difference, expected):
    assert verdict(CLAIM, difference) == expected
    if difference:
        swapped = {"reproduced": "reversed", "reversed": "reproduced"}.get(expected, expected)
        assert verdict(CLAIM._replace(sign=1), difference) == swapped


def test_all_claims_are_examined(monkeypatch):
    reports = {}
    for i, claim in enumerate(CLAIMS):
        own = reports.setdefault(claim.study, {"tables": {}})["tables"].setdefault(claim.measurement, {})
        own.setdefault(claim.arm, {"differences": {}})["differences"][claim.figure] = (0.01 * (i + 1), 0.0, 1.0, 0.01)
    table = examined(reports)
    assert list(table.index) == [claim.item for claim in CLAIMS]
    assert list(table["verdict"]) == ["reproduced" if claim.sign > 0 else "reversed" for claim in CLAIMS]
    assert table["difference"].iloc[1] == "0.02 * [0.00, 1.00]" and len(set(table["the paper"])) == len(CLAIMS) == len(claims.CLAIMS)
