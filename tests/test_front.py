"""Where TReg stands: the arms of the study, and what is drawn of its rows."""

import pandas as pd
import pytest
import tiny_world

from treg_edu.experiments import arms, coordinates, front, pictures, report, runner
from treg_edu.experiments.arms import Arm
from treg_edu.experiments.measurements import Measurement
from treg_edu.solvers import SOLVERS


@pytest.fixture
def setting():
    models = tiny_world.models()
    return runner.Setting(models.prior, pictures.load(count=3, side=16), models)


def test_every_solver_has_every_number_of_steps_once(setting):
    found = front.arms(setting)
    of_solver = {solver: [arm for arm in found if arm.solver == solver] for solver in SOLVERS}
    assert [arm.name for arm in of_solver["tikhonov"]] == ["tikhonov"]
    for solver, its in of_solver.items():
        if solver in coordinates.WITHOUT_TEXT:
            continue
        assert its[0].name == solver and not its[0].settings
        own = arms.settings_of(its[0], setting.prior, 16)["steps"]
        steps = [arms.settings_of(arm, setting.prior, 16)["steps"] for arm in its]
        assert sorted(steps) == sorted({own, *(front.OF_FEW.get(solver, front.STEPS))})
        assert [arm.name for arm in its[1:]] == [f"{solver}, {each} steps" for each in steps[1:]]


def test_what_is_as_much_for_each_step_changes_with_the_steps():
    """Twice the steps, half the step size; a size that the arm itself says is kept."""
    prior = tiny_world.models().prior
    ldps = {name: arms.settings_of(Arm(name, "ldps", settings=own), prior, 16) for name, own in (("", {}), ("more", {"steps": 6}))}
    assert ldps["more"]["steps"] == 2 * ldps[""]["steps"] == 6
    assert ldps["more"]["step_size"] == pytest.approx(ldps[""]["step_size"] / 2, rel=1e-2)
    said = arms.settings_of(Arm("both", "ldps", settings={"steps": 6, "step_size": 7.0}), prior, 16)
    assert (said["steps"], said["step_size"]) == (6, 7.0)
    trial = arms.settings_of(Arm("trial", "ldps", settings={"steps": 6}), prior, 16, steps=1)
    assert trial["steps"] == 1 and trial["step_size"] == pytest.approx(3 * ldps[""]["step_size"], rel=1e-2)
    iterations = arms.settings_of(Arm("tv", "total_variation", settings={"steps": 7}), prior, 16, steps=2)
    assert iterations["steps"] == 7  # they are no timesteps


def rows_of(arms, pictures=4, seeds=2):
    """{arm: (solver, seconds, distance, top1, misfit)} → rows; each picture is off its arm's mean by a little."""
    rows = []
    for arm, (solver, seconds, distance, top1, misfit) in arms.items():
        for i in range(pictures):
            for seed in range(seeds):
                off = 0.01 * (i - (pictures - 1) / 2)
                rows.append([arm, solver, f"p{i}", seed, seconds, distance + off, top1, misfit + off, float(solver == "ldps"), 0.0, 0.0])
    names = ["arm", "solver", "picture", "seed", "seconds", "distance", "top1", "misfit", "unet_backward", "decoder_backward"]
    return pd.DataFrame(rows, columns=[*names, "encoder_backward"])


ROWS = rows_of(
    {
        "DDIM": ("ddim", 2.0, 9.0, 0.0, 99.0),
        "treg": ("treg", 3.0, 2.0, 1.0, 3.0),
        "treg, 10 steps": ("treg", 1.0, 3.0, 0.5, 4.0),
        "ldps": ("ldps", 9.0, 2.5, 1.0, 2.0),
    }
)


def test_points_are_means_over_pictures_at_their_time():
    found = front.points(ROWS)
    assert list(found) == ["distance", "top1", "misfit"] and list(found["distance"]) == ["treg", "ldps"]
    (quick, (mean, low, high), _), (slow, *_) = found["distance"]["treg"]
    assert (quick, slow) == (0.5, 1.5) and mean == pytest.approx(3) and low < mean < high < 3.1
    _, (mean, low, high), _ = found["top1"]["treg"][0]
    assert mean == pytest.approx(50) and 0 <= low < high <= 100


def test_the_front_is_of_what_is_better_in_each_quality():
    on = {quality: [point[2] for point in (*curves["treg"], *curves["ldps"])] for quality, curves in front.points(ROWS).items()}
    assert on == {"distance": [True, True, False], "top1": [True, True, False], "misfit": [True, True, True]}


def test_a_quality_that_is_not_there_is_left_out():
    assert list(front.points(ROWS.assign(top1=float("nan")))) == ["distance", "misfit"]


def test_the_picture_has_a_line_for_each_solver_and_treg_s_is_thick():
    figure = front.picture(ROWS)
    assert [axes.get_ylabel() for axes in figure.axes] == list(front.TITLES.values())
    handles, labels = figure.axes[0].get_legend_handles_labels()
    widths = {label: handle[0].get_linewidth() for handle, label in zip(handles, labels) if label in SOLVERS}
    markers = {label: handle[0].get_marker() for handle, label in zip(handles, labels) if label in SOLVERS}
    assert widths["treg"] > 2 * widths["ldps"] and markers == {"treg": "o", "ldps": "s"}


def test_the_study_draws_it(tmp_path, capsys):
    y = Measurement("boxes", sigma=0.02)
    study = runner.Study(
        "front", lambda setting: [Arm("treg", measurement=y), Arm("DDIM", "ddim", measurement=y)], picture=front.STUDY.picture
    )
    report.run(study, tiny_world.models(), images=3, seeds=1, out=tmp_path)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
