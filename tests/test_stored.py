"""The results that ship: kept without their pictures, read, and made again."""

import json
import shutil

import pandas as pd
import pytest
import tiny_world

from treg_edu.checks import ArgumentError, MissingFileError
from treg_edu.experiments import accuracy, pictures, report, stored
from treg_edu.experiments.arms import Arm
from treg_edu.experiments.grading import FIGURES, cell
from treg_edu.experiments.measurements import Measurement
from treg_edu.experiments.runner import BASELINE, DDIM, Study

BOXES = Measurement("boxes", sigma=0.02)
ARMS = [Arm(BASELINE, measurement=BOXES), Arm(DDIM, "ddim", measurement=BOXES), Arm("ldps", "ldps", measurement=BOXES)]


@pytest.fixture
def models():
    return tiny_world.models()


@pytest.fixture
def made(tmp_path, monkeypatch, models, capsys):
    """A study in tmp_path/out, and an empty folder of data."""
    monkeypatch.setattr(accuracy, "STUDY", Study("accuracy", lambda setting: ARMS))
    monkeypatch.setattr(stored, "folder", lambda: tmp_path / "data" / "results")
    report.run(accuracy.STUDY, models, images=4, seeds=2, out=tmp_path / "out")
    capsys.readouterr()
    return tmp_path / "out"


def numbers(value):
    """Those of a report's tables, in their order."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if parts is None else [each for part in parts for each in numbers(part)]


def test_what_is_kept_has_all_rows_and_no_picture(made):
    path = stored.keep("accuracy", made)
    whole, kept = pd.read_parquet(made / "accuracy.parquet"), stored.rows("accuracy")
    assert len(kept) == len(whole) == len(ARMS) * 8 and set(whole) - set(kept) == {"png", "features"}
    pd.testing.assert_frame_equal(whole[list(kept)], kept, check_dtype=False, rtol=1e-6)
    assert path.stat().st_size < (made / "accuracy.parquet").stat().st_size
    wrote, kept = json.loads((made / "accuracy.json").read_text(encoding="utf-8")), stored.report("accuracy")
    assert {**kept, "tables": None} == {**wrote, "tables": None} and numbers(kept["tables"]) == pytest.approx(
        numbers(wrote["tables"]), 1e-5
    )
    assert path.with_suffix(".json").stat().st_size < (made / "accuracy.json").stat().st_size / 2


def test_rows_are_made_again(made, models):
    stored.keep("accuracy", made)
    picture = stored.rows("accuracy")["picture"].iloc[-1]
    both = stored.again("accuracy", "boxes", "ldps", picture, models=models)
    assert len(both.index.unique("seed")) == 2 and {"psnr", "misfit", "distance"} <= set(both.index.unique("figure"))
    pd.testing.assert_series_equal(both["stored"], both["again"], check_names=False, rtol=1e-4, check_dtype=False)
    assert both["stored"].unstack()["psnr"].nunique() == 2
    one = stored.again("accuracy", "boxes", "ldps", picture, seeds=[1], models=models)
    pd.testing.assert_frame_equal(one, both.loc[one.index.unique("seed")], rtol=1e-4)


def test_rows_of_a_study_of_some_classes_are_made_again(tmp_path, monkeypatch, models, capsys):
    """As `wording`, whose pictures are not the first of the shuffle; its report has what was asked for, which is all classes."""
    first = set(pictures.load(count=4, side=16).names)
    classes = pictures.load(count=12, side=16).labels[8:]
    monkeypatch.setattr(accuracy, "STUDY", Study("accuracy", lambda setting: ARMS, classes=lambda data: classes))
    monkeypatch.setattr(stored, "folder", lambda: tmp_path / "data" / "results")
    report.run(accuracy.STUDY, models, images=3, seeds=1, out=tmp_path / "out")
    stored.keep("accuracy", tmp_path / "out")
    names = [name for name in stored.rows("accuracy")["picture"].unique() if name not in first]
    assert names and stored.report("accuracy")["options"]["classes"] is None
    both = stored.again("accuracy", "boxes", "ldps", names[0], models=models)
    pd.testing.assert_series_equal(both["stored"], both["again"], check_names=False, rtol=1e-4, check_dtype=False)


def test_rows_of_other_settings_are_not_passed_off_as_the_same(made, models, monkeypatch):
    stored.keep("accuracy", made)
    picture = stored.rows("accuracy")["picture"].iloc[0]
    monkeypatch.setattr(models.prior, "recommended", models.prior.recommended | {"ldps": {"steps": 5}})
    with pytest.raises(ArgumentError, match="^models: got settings, a prior or pictures that differ"):
        stored.again("accuracy", "boxes", "ldps", picture, models=models)


def test_settings_that_a_search_chose_are_kept_and_used_again(made, models, tmp_path, capsys):
    out, chosen = tmp_path / "searched", {"boxes": {"chosen": {"step_size": 7.0, "steps": 2}}}
    out.mkdir()
    told = json.dumps({"prior": models.fingerprint("ldps"), "found": chosen})
    (out / "settings_ldps.json").write_text(told, encoding="utf-8")
    report.run(accuracy.STUDY, models, images=2, seeds=1, settings=out, out=out)
    stored.keep("accuracy", out)
    assert (stored.folder() / "settings_ldps.json").read_text(encoding="utf-8") == told
    assert stored.search("ldps", "boxes")["chosen"] == chosen["boxes"]["chosen"]
    with pytest.raises(MissingFileError, match="^solver: got 'psld', of which no search is stored"):
        stored.search("psld")
    shutil.rmtree(out)  # what is kept needs nothing else
    kept = stored.rows("accuracy")
    assert json.loads(kept[kept["arm"] == "ldps"]["settings"].iloc[0])["step_size"] == 7
    both = stored.again("accuracy", "boxes", "ldps", kept["picture"].iloc[0], models=models)
    pd.testing.assert_series_equal(both["stored"], both["again"], check_names=False, rtol=1e-4, check_dtype=False)


def test_what_is_not_stored_is_named(made, models):
    with pytest.raises(MissingFileError, match="^name: got 'accuracy', of which no results are stored"):
        stored.rows("accuracy")
    stored.keep("accuracy", made)
    with pytest.raises(ArgumentError, match="^measurement, arm, picture: got 'boxes', 'dps', 'fox', expected some"):
        stored.again("accuracy", "boxes", "dps", "fox", models=models)
    picture = stored.rows("accuracy")["picture"].iloc[0]
    with pytest.raises(ArgumentError, match=r"^seeds: got \[7\], expected some of \[0, 1\]"):
        stored.again("accuracy", "boxes", "ldps", picture, seeds=[7], models=models)
    with pytest.raises(ArgumentError, match="^name: got 'lens', expected"):
        stored.rows("lens")


def test_a_table_has_the_report_s_numbers(made):
    stored.keep("accuracy", made)
    whole = stored.table("accuracy", "boxes", ["psnr", "misfit", "passes"])
    assert list(whole.index) == [BASELINE, DDIM, "ldps"] and list(whole.columns) == ["PSNR dB", "misfit / σ", "passes"]
    told = stored.report("accuracy")["tables"]["boxes"]["ldps"]
    mean, low, high = told["figures"]["psnr"]
    assert whole.loc["ldps", "PSNR dB"] == f"{mean:.2f} [{low:.2f}, {high:.2f}]"
    assert whole.loc["ldps", "passes"] == f"{told['figures']['passes'][0]:.0f}"
    minus = stored.table("accuracy", "boxes", ["psnr"], minus=True)
    mean, low, high, p = told["differences"]["psnr"]
    assert list(minus.index) == [DDIM, "ldps"]
    assert minus.loc["ldps", "PSNR dB"] == f"{mean:.2f}{' *' * (p < 0.05)} [{low:.2f}, {high:.2f}]"
    assert list(stored.table("accuracy", "boxes", arms=["ldps"]).index) == ["ldps"]


def test_differences_are_the_report_s_in_the_tables_unit(made):
    stored.keep("accuracy", made)
    found = stored.differences("accuracy", "boxes", ["psnr", "top5"])
    assert list(found) == ["PSNR dB, minus treg", "top-5 %, minus treg"] and list(found["PSNR dB, minus treg"]) == [DDIM, "ldps"]
    told = stored.report("accuracy")["tables"]["boxes"]["ldps"]["differences"]
    assert found["PSNR dB, minus treg"]["ldps"] == tuple(told["psnr"][:3])
    assert found["top-5 %, minus treg"]["ldps"] == pytest.approx([100 * value for value in told["top5"][:3]])
    assert list(stored.differences("accuracy", "boxes", ["psnr"], ["ldps"])["PSNR dB, minus treg"]) == ["ldps"]


def test_what_a_table_does_not_have_is_named(made):
    stored.keep("accuracy", made)
    for given, name in (({"measurement": "sr"}, "measurement"), ({"figures": ["fid"]}, "figures"), ({"arms": ["dps"]}, "arms")):
        with pytest.raises(ArgumentError, match=f"^{name}: got "):
            stored.table(**({"name": "accuracy", "measurement": "boxes"} | given))


def test_a_star_marks_what_is_told_from_0():
    psnr, passes = FIGURES["psnr"], FIGURES["passes"]
    assert [cell((1.0, 0.5, 1.5, p), psnr) for p in (0.04, 0.05)] == ["1.00 * [0.50, 1.50]", "1.00 [0.50, 1.50]"]
    assert cell(None, psnr) == "—" and cell((50.0, 50.0, 50.0), passes) == "50"


@pytest.mark.parametrize(
    ("option", "value"), [("settings", "nowhere"), ("steps", 3), ("prior", "sd"), ("texts", "a"), ("data", "photographs")]
)
def test_a_study_that_nobody_could_repeat_is_not_kept(made, option, value):
    told = json.loads((made / "accuracy.json").read_text(encoding="utf-8"))
    told["options"][option] = value
    (made / "accuracy.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ArgumentError, match="^out: got a study "):
        stored.keep("accuracy", made)
    assert not stored.folder().exists()


def test_rows_beyond_those_of_the_report_are_not_kept(made, models, capsys):
    report.run(accuracy.STUDY, models, images=3, seeds=1, out=made)  # the folder has four pictures with two seeds
    stored.keep("accuracy", made)
    assert len(stored.rows("accuracy")) == len(ARMS) * 3 and stored.report("accuracy")["pictures"] == 3


def test_rows_of_two_settings_are_not_mixed(made, models, capsys):
    report.run(accuracy.STUDY, models, images=4, seeds=2, steps=2, out=made)
    report.run(accuracy.STUDY, models, images=4, seeds=2, out=made)  # all there: the report is that of the recommended settings again
    with pytest.raises(ArgumentError, match="^out: got rows of one arm with several settings"):
        stored.keep("accuracy", made)


def test_every_study_of_the_command_line_can_be_kept():
    from treg_edu.cli import studies

    assert set(stored.STUDIES) == set(studies.STUDIES) and all(stored.study_named(name).name for name in stored.STUDIES)
