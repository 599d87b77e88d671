"""From rows to tables: means over seeds first, intervals over pictures, paired differences, Holm over the table, KID, seconds."""

import json

import numpy as np
import pytest
import tiny_world
import torch
from test_runner import ARMS, BOXES, STUDY

from treg_edu.experiments import intervals, report, runner
from treg_edu.experiments.arms import Arm
from treg_edu.experiments.grading import FIGURES, Figure, cell
from treg_edu.experiments.runner import BASELINE, DDIM, Options, Study


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(report, rows, setting) of one run of the tiny world."""
    out, models = tmp_path_factory.mktemp("report"), tiny_world.models()
    found = report.run(STUDY, models, images=5, seeds=2, out=out)
    rows, setting, _ = runner.reconstruct(STUDY, Options(images=5, seeds=2, out=out), models)
    return found, rows, setting, out


def of_arm(rows, arm, column):
    """The mean over seeds of each picture."""
    return rows[rows["arm"] == arm].groupby("picture", sort=False)[column].mean().to_numpy()


def test_figures_are_means_over_pictures_with_their_intervals(done):
    found, rows, _, _ = done
    (name, table), *others = found["tables"].items()
    assert name == "boxes" and not others and list(table) == [arm.name for arm in ARMS]
    for arm, each in table.items():
        assert list(each["figures"]) == list(FIGURES)
        assert each["figures"]["psnr"] == pytest.approx(intervals.mean_interval(of_arm(rows, arm, "psnr")))
        assert each["figures"]["top5"] == pytest.approx(intervals.mean_interval(of_arm(rows, arm, "top5"), (0, 1)))
    assert table[BASELINE]["differences"] == {} and set(table["ldps"]["differences"]) == set(FIGURES) - {"cost", "passes"}


def test_differences_are_paired_and_corrected_for_all_of_the_table(done):
    found, rows, _, _ = done
    table = found["tables"]["boxes"]
    differences = of_arm(rows, "ldps", "psnr") - of_arm(rows, BASELINE, "psnr")
    *spread, p = table["ldps"]["differences"]["psnr"]
    assert spread == pytest.approx(intervals.mean_interval(differences))
    comparisons = [value for each in table.values() for value in each["differences"].values()]
    assert len(comparisons) == (len(ARMS) - 1) * (len(FIGURES) - 2)
    plain = intervals.p_value(differences)
    assert plain < p <= min(1.0, plain * len(comparisons)) + 1e-12
    shares = of_arm(rows, "null", "top1") - of_arm(rows, BASELINE, "top1")
    assert table["null"]["differences"]["top1"][:3] == pytest.approx(intervals.mean_interval(shares, (-1, 1)))


def test_kid_is_of_each_seed_apart_and_seconds_are_ddims(done):
    found, rows, setting, _ = done
    real, judge = setting.pictures.x, tiny_world.Judge()
    table, own = found["tables"]["boxes"], rows[rows["arm"] == "tikhonov"]
    from treg_edu.experiments.grading import picture_of

    of_seeds = [judge.embed_images(picture_of(own[own["seed"] % 1000 == s])) for s in (0, 1)]
    expected = intervals.kid_parts(torch.stack(of_seeds), judge.embed_images(real)).mean()
    assert table["tikhonov"]["figures"]["kid"][0] == pytest.approx(expected, rel=0.02, abs=1e-3)
    seconds = rows.groupby("arm")["seconds"].mean()
    assert table["ldps"]["figures"]["cost"][0] == pytest.approx(seconds["ldps"] / seconds[DDIM])
    assert table[DDIM]["figures"]["cost"][0] == pytest.approx(1)


def test_the_report_is_a_file_that_says_what_was_run(done):
    found, _, _, out = done
    read = json.loads((out / "trial.json").read_text(encoding="utf-8"))
    assert read["study"] == "trial" and read["pictures"] == 5 and read["options"]["seeds"] == 2 and read["unreadable files"] == []
    assert read["arms"]["ldps"]["step_size"] == 3 and read["diverged"] == 0
    assert read["tables"]["boxes"]["ldps"]["figures"]["psnr"] == pytest.approx(found["tables"]["boxes"]["ldps"]["figures"]["psnr"])


def test_the_printed_table_has_means_and_intervals(tmp_path, capsys):
    report.run(STUDY, tiny_world.models(), images=3, seeds=1, out=tmp_path)
    printed = capsys.readouterr().out
    assert "trial, boxes: 3 pictures × 1 seeds" in printed and "paired differences" in printed
    assert all(figure.title in printed for figure in FIGURES.values()) and "FID is not shown" in printed


def test_a_cell():
    figure = Figure("share", "{:.0f}", 100, (0, 1), better=1)
    interval = (0.5, 0.25, 0.75)
    assert cell(interval, figure, "\n") == "50\n[25, 75]" == cell((*interval, 0.06), figure, "\n")
    assert cell((*interval, 0.04), figure, "\n") == "50 *\n[25, 75]"
    assert cell(None, figure) == "—" and cell((2.0, 1.0, 3.0), Figure("passes", "{:.0f}")) == "2"


def test_two_pictures_give_a_table_without_kid(tmp_path, capsys):
    found = report.run(STUDY, tiny_world.models(), images=2, seeds=1, out=tmp_path)
    assert found["tables"]["boxes"][BASELINE]["figures"]["kid"] is None and "—" in capsys.readouterr().out


def test_a_figure_that_some_picture_lacks_is_no_mean(tmp_path):
    """As misfit / σ where there is no noise."""
    from treg_edu.experiments.measurements import Measurement

    study = Study("clean", lambda setting: [Arm(BASELINE, measurement=Measurement("boxes", sigma=0.0))])
    found = report.run(study, tiny_world.models(), images=2, seeds=1, out=tmp_path)
    assert found["tables"]["boxes"][BASELINE]["figures"]["misfit"] is None


def test_a_study_adds_figures_of_a_reconstruction_and_of_a_pictures_seeds(tmp_path, capsys):
    study = Study(
        "more",
        lambda setting: [Arm(BASELINE, measurement=BOXES), Arm("ldps", "ldps", measurement=BOXES)],
        columns=lambda arm, batch, x_hat: {"bright": x_hat.mean((1, 2, 3)).tolist()},
        of_pictures=lambda rows, setting: {"range": rows.groupby("picture", sort=False)["bright"].agg(np.ptp)},
        figures={"bright": Figure("brightness", "{:.2f}"), "range": Figure("range", "{:.3f}", better=-1)},
        shown=("psnr", "bright", "range"),
    )
    found = report.run(study, tiny_world.models(), images=3, seeds=2, out=tmp_path)
    table = found["tables"]["boxes"]
    assert list(table[BASELINE]["figures"]) == [*FIGURES, "bright", "range"]
    assert set(table["ldps"]["differences"]) == {name for name, figure in FIGURES.items() if figure.better} | {"range"}
    printed = capsys.readouterr().out
    assert "brightness" in printed and "PSNR dB" in printed and "SSIM" not in printed
    rows, *_ = runner.reconstruct(study, Options(images=3, seeds=2, out=tmp_path), tiny_world.models())
    own = rows[rows["arm"] == BASELINE]["bright"].to_numpy().reshape(3, 2)
    assert table[BASELINE]["figures"]["range"][0] == pytest.approx(np.ptp(own, axis=1).mean())
