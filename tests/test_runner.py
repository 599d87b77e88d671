"""A study on shared parts: its rows, killed and shared among processes, paired, counted; in a world that takes milliseconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_world
import torch

import treg_edu as te
from treg_edu import metrics
from treg_edu.experiments import arms, grading, pictures, report, runner
from treg_edu.experiments.arms import OF_STUDIES, Arm
from treg_edu.experiments.measurements import Measurement
from treg_edu.experiments.runner import BASELINE, DDIM, Options, Setting, Study

pytestmark = pytest.mark.once

HERE = Path(__file__).parent
BOXES = Measurement("boxes", sigma=0.02)
ARMS = [
    Arm(BASELINE, measurement=BOXES),
    Arm("null", text="null", measurement=BOXES),
    Arm(DDIM, "ddim", measurement=BOXES),
    Arm("ldps", "ldps", settings={"step_size": 3.0}, measurement=BOXES),
    Arm("tikhonov", "tikhonov", measurement=BOXES),
    Arm("backwards", text="backwards", measurement=BOXES),
]
STUDY = Study("trial", lambda setting: ARMS, texts={"backwards": lambda pictures, arm: [label[::-1] for label in pictures.labels]})


@pytest.fixture
def models():
    return tiny_world.models()


def reconstruct(tmp_path, models, study=STUDY, **options):
    return runner.reconstruct(study, Options(out=tmp_path, **{"images": 4, "seeds": 2, **options}), models)


def test_every_arm_picture_and_seed_has_a_row(tmp_path, models):
    rows, setting, count = reconstruct(tmp_path, models)
    assert len(rows) == count == len(ARMS) * 4 * 2 and not rows.duplicated(list(runner.KEY)).any()
    stored = pd.read_parquet(tmp_path / "trial.parquet")
    assert set(stored) == set(rows) and len(stored) == count
    assert rows.groupby("arm", sort=False).size().to_dict() == {arm.name: 8 for arm in ARMS}
    assert rows["text"][rows["arm"] == "backwards"].tolist() == [label[::-1] for label in setting.pictures.labels for _ in range(2)]
    assert set(rows["text"][rows["arm"] == "null"]) == {"out of focus, depth of field"} and set(
        rows["text"][rows["arm"] == "tikhonov"]
    ) == {""}
    of_arms = [set(part["seed"]) for _, part in rows.groupby("arm")]
    assert all(seeds == of_arms[0] and len(seeds) == 8 for seeds in of_arms)  # paired
    assert json.loads(rows[rows["arm"] == "ldps"]["settings"].iloc[0])["step_size"] == 3
    assert (rows["study"] == "trial").all() and rows["hash"].nunique() == len(ARMS)


def test_a_row_can_be_made_again_by_hand(tmp_path, models):
    rows, setting, _ = reconstruct(tmp_path, models)
    row = rows[rows["arm"] == BASELINE].iloc[3]
    i = setting.pictures.names.index(row["picture"])
    x, operator = setting.pictures.x[i : i + 1], arms.Measurement("boxes").operator(16)
    y = BOXES.measure(x, [setting.pictures.numbers[i]])
    settings = json.loads(row["settings"])
    x_hat = te.solve("treg", tiny_world.PRIOR, operator, y, row["text"], seed=int(row["seed"]), progress=False, **settings).float()
    assert row["psnr"] == pytest.approx(metrics.psnr(x_hat, x).item(), abs=1e-4)
    assert row["misfit"] == pytest.approx(metrics.misfit(operator, x_hat, y).item() / 0.02, rel=1e-4)
    assert row["y_mse"] == pytest.approx(metrics.y_mse(operator, x_hat, y).item(), rel=1e-4)
    assert row["ssim"] == pytest.approx(metrics.ssim(x_hat, x).item(), abs=1e-4)
    judge = models.judge
    assert row["distance"] == pytest.approx(metrics.perceptual_distance(judge, x, x_hat).item(), rel=1e-4)
    assert row["similarity"] == pytest.approx(metrics.similarity(judge, x_hat, row["label"]).item(), abs=1e-4)
    names, _ = metrics.top_k(judge, x_hat, setting.pictures.choices)
    assert (row["top1"], row["top5"]) == (names[0][0] == row["label"], row["label"] in names[0])
    stored = grading.picture_of(rows.loc[[row.name]])
    torch.testing.assert_close(stored, x_hat, atol=0.5 / 255 + 1e-6, rtol=0)
    torch.testing.assert_close(grading.features_of(rows.loc[[row.name]]), judge.embed_images(x_hat), atol=1e-3, rtol=1e-3)


def test_what_is_there_is_not_solved_again(tmp_path, models, monkeypatch):
    reconstruct(tmp_path, models, images=2)
    jobs = []
    solved = runner.solved
    monkeypatch.setattr(runner, "solved", lambda study, job, *rest: jobs.append(len(job)) or solved(study, job, *rest))
    reconstruct(tmp_path, models, images=2)
    assert jobs == []
    rows, *_ = reconstruct(tmp_path, models, images=4, seeds=3)
    assert sum(jobs) == len(ARMS) * (4 * 3 - 2 * 2) and len(rows) == len(ARMS) * 12
    jobs.clear()
    reconstruct(tmp_path, models, images=2, steps=2)  # other settings of all but the solver without steps
    assert sum(jobs) == (len(ARMS) - 1) * 4


def test_a_row_does_not_depend_on_the_batch(tmp_path, models, monkeypatch):
    whole, *_ = reconstruct(tmp_path / "a", models)
    monkeypatch.setattr(runner, "BATCH", 3)
    parts, *_ = reconstruct(tmp_path / "b", models)
    columns = ["psnr", "misfit", "similarity", "passes", "unet", "products"]
    pd.testing.assert_frame_equal(whole[[*runner.KEY, *columns]], parts[[*runner.KEY, *columns]], rtol=1e-6)


def test_jobs_take_turns():
    plan = [runner.Row(arm, i, str(i), "", i, {}, "") for arm in ARMS[:2] for i in range(20)]
    assert [(job[0].arm.name, len(job)) for job in runner.jobs_of(plan, 16)] == [(BASELINE, 16), ("null", 16), (BASELINE, 4), ("null", 4)]


def test_larger_images_are_fewer_at_a_time():
    assert [runner.batch_of(side) for side in (16, 64, 128, 256, 512, 1024)] == [16, 16, 4, 1, 1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system; test_store kills nothing, and holds there")
def test_a_study_that_is_killed_fifty_times_has_the_rows_of_an_uninterrupted_one(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, HERE / "killed_study.py", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    same, stored, twice, killed, sizes, jobs, solves, left = done.stdout.split(maxsplit=7)
    assert same == "True" and stored == "200" and twice == "0" and jobs == "100"
    assert int(killed) == 50 and int(sizes) >= 15  # at many places
    assert int(jobs) < int(solves) <= int(jobs) + 40  # a kill costs the batch that it hits, and no other
    assert "'killed.parquet'" in left


def test_two_processes_give_the_rows_of_one(tmp_path, models, monkeypatch):
    """As `accelerate launch` starts them: it tells each its rank in the environment."""
    alone, *_ = reconstruct(tmp_path / "alone", models)
    lengths = []
    for rank in (0, 1):
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2}.items():
            monkeypatch.setenv(name, str(value))
        rows, _, count = reconstruct(tmp_path / "shared", tiny_world.models())
        lengths.append(len(rows))
    assert 0 < lengths[0] < count == lengths[1] == len(alone)
    seconds = ["seconds"]
    pd.testing.assert_frame_equal(rows.drop(columns=seconds), alone.drop(columns=seconds))


def test_the_process_that_is_not_the_last_prints_no_table(tmp_path, models, monkeypatch, capsys):
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    assert report.run(STUDY, models, images=3, seeds=1, out=tmp_path) is None
    assert "of 18 reconstructions are there" in capsys.readouterr().out and not (tmp_path / "trial.json").exists()
    monkeypatch.setenv("RANK", "1")
    assert report.run(STUDY, models, images=3, seeds=1, out=tmp_path)["pictures"] == 3


def test_every_process_takes_its_own_card(monkeypatch):
    assert runner.share() == (0, 1, 0)
    for name, value in {"RANK": 3, "LOCAL_RANK": 1, "WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))
    assert runner.share() == (3, 4, 1)


def test_a_solver_that_diverges_is_graded_as_black(tmp_path, models, monkeypatch):
    def burst(prior, operator, y, prompt, *, steps, seed):
        x_hat = torch.full((len(y), 3, 16, 16), float("nan"))
        yield te.diffusion.Step(0, 0, x_hat, x_hat, x_hat, None, x_hat)

    monkeypatch.setitem(OF_STUDIES, "burst", (burst, "treg"))
    study = Study("trial", lambda setting: [Arm("burst", "burst", measurement=BOXES)])
    rows, setting, _ = reconstruct(tmp_path, models, study)
    assert rows["diverged"].all()
    assert rows["psnr"].iloc[0] == pytest.approx(-10 * np.log10((setting.pictures.x[0] ** 2).mean().item()), abs=1e-3)


def test_passes_are_those_of_the_solver(tmp_path, prior):
    """TReg on the bundled prior, 2 guided steps with one in Γ, as in test_settings; the world without a network counts products alone."""
    made = tiny_world.models()
    made.prior = prior
    of_ddim = Study("trial", lambda setting: [Arm(DDIM, "ddim", settings={"guidance_scale": 2.0}, measurement=Measurement("sr"))])
    rows, *_ = reconstruct(tmp_path, made, of_ddim, images=2, seeds=1, steps=2)
    assert set(rows["unet"]) == {4.0} and set(rows["decoder"]) == {1.0} and set(rows["passes"]) == {5.0}
    rows, *_ = reconstruct(tmp_path / "b", tiny_world.models(), images=2, seeds=1)
    assert (rows[rows["arm"] == BASELINE]["products"] > 10).all() and (rows["passes"] == 0).all()


# What is asked for


def test_settings_are_those_that_a_search_chose_for_the_instrument(tmp_path, models):
    prior = models.fingerprint("ldps")
    chosen = {"boxes": {"chosen": {"step_size": 7.0, "steps": 2}}, "sr": {"chosen": {"step_size": 9.0}}}
    told = tmp_path / "settings_ldps.json"
    told.write_text(json.dumps({"prior": prior, "found": chosen}), encoding="utf-8")
    study = Study("trial", lambda setting: [Arm(name, name, measurement=BOXES) for name in ("treg", "ldps")])
    rows, *_ = reconstruct(tmp_path, models, study, settings=tmp_path)
    found = {arm: json.loads(part["settings"].iloc[0]) for arm, part in rows.groupby("arm")}
    assert (found["ldps"]["step_size"], found["ldps"]["steps"]) == (7, 2)
    assert found["treg"]["steps"] == 4  # for which nothing was searched: what the prior recommends
    told.write_text(json.dumps({"prior": "another", "found": chosen}), encoding="utf-8")
    with pytest.raises(ValueError, match="^settings: got .*, of prior another, expected those of this prior"):
        reconstruct(tmp_path, models, study, settings=tmp_path)
    with pytest.raises(ValueError, match="^settings: got .*nowhere.*, expected a folder with settings_SOLVER.json"):
        reconstruct(tmp_path, models, study, settings=tmp_path / "nowhere")


def test_settings_of_an_instrument_that_was_not_searched_are_those_of_its_kind(tmp_path, models):
    prior = models.fingerprint("ldps")
    chosen = {"gamma": {"chosen": {"step_size": 3.0}}, "sr": {"chosen": {"step_size": 9.0}}, "blur": {"chosen": {"step_size": 7.0}}}
    (tmp_path / "settings_ldps.json").write_text(json.dumps({"prior": prior, "found": chosen}), encoding="utf-8")
    setting = Setting(models.prior, None, models, tmp_path)
    found = {name: setting.best("ldps", name) for name in ("sr", "blur", "boxes", "gamma", "phase")}
    assert {name: each["step_size"] for name, each in found.items()} == {"sr": 9, "blur": 7, "boxes": 9, "gamma": 3, "phase": 3}
    only = {"prior": prior, "found": {"sr": chosen["sr"]}}
    (tmp_path / "settings_ldps.json").write_text(json.dumps(only), encoding="utf-8")
    assert setting.searched("ldps", "phase") is None and setting.best("treg") == dict(models.prior.recommended["treg"])


def test_solvers_and_instruments_are_chosen_and_the_baselines_stay(tmp_path, models):
    rows, *_ = reconstruct(tmp_path, models, solvers=["tikhonov"])
    assert set(rows["arm"]) == {BASELINE, DDIM, "tikhonov"}
    with pytest.raises(ValueError, match="^instruments: got sr, expected some of boxes"):
        reconstruct(tmp_path, models, instruments=["sr"])


def test_a_solver_is_left_out_where_it_takes_no_such_instrument(tmp_path, models):
    y = Measurement("gamma")
    study = Study("trial", lambda setting: [Arm(name, name, measurement=y) for name in ("treg", "psld", "ldps")])
    assert set(reconstruct(tmp_path, models, study)[0]["arm"]) == {"treg", "ldps"}


def test_solvers_of_pixels_are_told_of_where_there_is_no_such_prior(tmp_path, prior):
    made = tiny_world.models()
    made.prior, made.pixels = prior, None
    study = Study("trial", lambda setting: [Arm(name, name) for name in ("tikhonov", "dps", "ddrm")])
    with pytest.warns(UserWarning, match="^prior: ddrm, dps work on pixels, and there is no such prior here; left out"):
        rows, *_ = reconstruct(tmp_path, made, study, images=2, seeds=1)
    assert set(rows["arm"]) == {"tikhonov"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seeds": 0}, "seeds: got 0"),
        ({"images": 1}, "images: got 1"),
        ({"images": 500}, "images: got 500, expected an integer from 2 to 192"),
        ({"solvers": ["lens"]}, "solvers: got 'lens'"),
        ({"instruments": ["lens"]}, "instruments: got 'lens'"),
        ({"classes": ["fox terrier"]}, "classes: got 'fox terrier', expected some of those there are, such as"),
        ({"steps": 0}, "steps: got 0"),
        ({"data": "nowhere"}, "data: got 'nowhere'"),
        ({"texts": "a cat"}, "texts: got 'a cat', expected none with --data emoji"),
    ],
)
def test_nonsense_is_refused_before_anything_is_solved(tmp_path, models, options, told, monkeypatch):
    monkeypatch.setattr(runner, "solve", None)
    with pytest.raises(ValueError, match=f"^{told}"):
        reconstruct(tmp_path, models, **options)


def test_two_arms_of_one_name_are_a_mistake(tmp_path, models):
    with pytest.raises(AssertionError, match="share a name"):
        reconstruct(tmp_path, models, Study("trial", lambda setting: [Arm("a"), Arm("a", "ldps")]))


# Pictures


def test_fewer_pictures_are_the_first_of_more_and_none_was_tuned_on():
    few, many = pictures.load(count=5), pictures.load(count=12)
    assert many.names[:5] == few.names and torch.equal(many.x[:5], few.x) and many.numbers[:5] == few.numbers
    rows = te.images.of_split(te.images.captions(), "tuning")
    assert not set(few.labels) & set(rows["label"])
    assert len(set(pictures.load(count=192).numbers)) == 192 and len(few.choices) == 291


def test_classes_are_labels_in_whatever_spelling():
    label = next(each for each in pictures.load(count=192).labels if " " in each)
    found = pictures.load(classes=[label.upper().replace(" ", "_"), "fox"] if label != "fox" else ["fox"], count=2)
    assert label in found.labels
