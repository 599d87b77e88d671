"""A panel solves in the background, once at a time, can be cancelled, and says what went wrong."""

import threading
import time

import ipywidgets as w
import pytest
import torch

from treg_edu import figures, images, operators, widgets
from treg_edu.checks import ArgumentError
from treg_edu.experiments import stored
from treg_edu.solvers import SOLVERS
from treg_edu.widgets.after_treg import GUIDANCES, MEMORIES, WEIGHTS, slots
from treg_edu.widgets.base import thinned, walk
from treg_edu.widgets.other_solvers import SIDE_BY_SIDE, settings_of

PICTURE = torch.rand(3, 8, 8)


def figure():
    return figures.ladder([PICTURE], ["a"])


def finish(panel):
    panel.run().join(timeout=60)
    return panel


def pictures_after(panel, changes):
    """What a panel of a solver shows at first, and after each change: (control, value), …"""
    pictures = [finish(panel).picture.value]
    for control, value in changes:
        control.value = value
        pictures.append(finish(panel).picture.value)
        assert panel.status.value == "done" and bytes(pictures[-1]).startswith(b"\x89PNG")
    return pictures


def live_pictures_after(panel, changes):
    """What a live panel shows at first, and after each change: (name of a control, value), …"""
    pictures = [panel.picture.value]
    for name, value in changes:
        panel.controls[name].value = value
        pictures.append(panel.picture.value)
        assert panel.status.value == "" and bytes(pictures[-1]).startswith(b"\x89PNG")
    return pictures


def test_a_panel_shows_what_was_solved():
    def solve(cancelled, progress):
        progress(3, 4)
        return figure()

    panel = finish(widgets.Panel([], solve))
    assert panel.status.value == "done" and bytes(panel.picture.value).startswith(b"\x89PNG")
    assert (panel.bar.value, panel.bar.max) == (3, 4)
    assert panel.stop.disabled and not panel.start.disabled


def test_a_panel_never_solves_twice_at_once_and_can_be_cancelled():
    running, most, lock = [0], [0], threading.Lock()

    def solve(cancelled, progress):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        deadline = time.time() + 30
        while not cancelled() and time.time() < deadline:
            time.sleep(0.01)
        running[0] -= 1
        return figure()

    panel = widgets.Panel([], solve)
    thread = panel.run()
    assert panel.run() is thread and panel.start.disabled
    panel.stop.click()
    thread.join(timeout=60)
    assert panel.status.value == "cancelled" and most[0] == 1


@pytest.mark.parametrize(
    "error, line", [(ArgumentError("factor: got 7"), "factor: got 7"), (IndexError("out of range"), "IndexError: out of range")]
)
def test_a_panel_says_what_went_wrong(error, line):
    def solve(cancelled, progress):
        raise error

    panel = finish(widgets.Panel([], solve))
    assert panel.status.value == line
    assert not panel.start.disabled


def test_a_live_panel_draws_at_once_on_each_change_and_says_what_went_wrong():
    drawn = []

    def draw(level, name):
        if level == 3:
            raise ValueError("level: got 3, expected something else")
        drawn.append((level, name))
        return figures.ladder([PICTURE * level / 4], [name])

    panel = widgets.Live({"level": w.IntSlider(value=1, max=4), "name": w.Text(value="a")}, draw)
    first = panel.picture.value
    assert bytes(first).startswith(b"\x89PNG") and panel.status.value == ""
    panel.controls["level"].value = 4
    assert panel.picture.value != first
    panel.controls["level"].value = 3
    assert panel.status.value == "ValueError: level: got 3, expected something else"
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    panel.controls["level"].value = 1
    assert panel.picture.value == first and panel.status.value == ""
    panel.refresh()
    assert drawn == [(1, "a"), (4, "a"), (1, "a")]


def test_a_walk_ends_where_it_is_cancelled():
    reports = []
    assert walk("abcde", 5, lambda: len(reports) == 3, lambda *report: reports.append(report)) == ["a", "b", "c"]
    assert reports == [(1, 5), (2, 5), (3, 5)]


@pytest.mark.parametrize(
    "count, most, kept",
    [
        (5, 8, [0, 1, 2, 3, 4]),
        (8, 8, list(range(8))),
        (9, 8, [0, 2, 4, 6, 8]),
        (10, 8, [1, 3, 5, 7, 9]),
        (1, 8, [0]),
        (100, 9, [*range(3, 100, 12)]),
    ],
)
def test_thinned_steps_are_even_and_end_with_the_last(count, most, kept):
    assert thinned(list(range(count)), most) == kept


# The panels that solve, by the notebook: each follows its controls, can be cancelled, and says what went wrong.

SHORT = {"steps": 3, "null_prompt": "", "every": 1, "until": 1.0}


@pytest.fixture
def short(prior, monkeypatch):
    """The bundled prior, whose recommended run takes three steps."""
    monkeypatch.setattr(prior, "recommended", {"treg": SHORT})
    return prior


@pytest.mark.parametrize("entry", list(widgets.LINEAR))
def test_the_quickstart_panel_solves_with_every_operator(short, entry):
    panel = widgets.quickstart(short, "fox")
    (picture, prompt), (operator, strength, seed) = (box.children for box in panel.widget.children[:2])
    changes = ((operator, entry), (strength, widgets.LINEAR[entry][1][0]), (seed, 3), (prompt, "pizza"), (picture, "bear"))
    if operator.value == entry:  # chosen at first
        changes = changes[1:]
    pictures = pictures_after(panel, changes)
    assert len(set(pictures)) == len(pictures) == 1 + len(changes) and prompt.value == "bear"


def test_the_ddim_panel_follows_its_controls(prior):
    panel = widgets.ddim(prior, "fox")
    (text, omega), (steps, seed) = (box.children for box in panel.widget.children[:2])
    steps.value = 2
    pictures = pictures_after(panel, ((text, "pizza"), (omega, 0.5), (steps, 3), (seed, 1)))
    assert len(set(pictures)) == 5 and (panel.bar.value, panel.bar.max) == (3, 3)


def test_the_text_panel_follows_its_controls(short):
    panel = widgets.text_regularization(short, "fox")
    picture, text, seeds = panel.widget.children[0].children
    seeds.value = 2
    pictures = pictures_after(panel, ((text, "pizza"), (seeds, 3), (picture, "bear")))
    assert len(set(pictures)) == 4 and text.value == "bear" and (panel.bar.value, panel.bar.max) == (3, 3)


def test_the_negation_panel_follows_its_controls(short):
    panel = widgets.negation(short, "fox")
    (picture, space), (rate, omega) = (box.children for box in panel.widget.children[:2])
    pictures = pictures_after(panel, ((rate, 0.1), (omega, 8.0), (space, "projected"), (picture, "bear")))
    assert len(set(pictures)) == 5 and (panel.bar.value, panel.bar.max) == (3, 3)


def test_the_solver_panel_follows_its_controls(short):
    panel = widgets.solver(short, "fox")
    (picture, text), (operator, strength), (omega, negation, seed) = (box.children for box in panel.widget.children[:3])
    changes = ((strength, 4), (omega, 8.0), (negation, None), (seed, 3), (text, "pizza"), (picture, "bear"))
    pictures = pictures_after(panel, (*changes, *((operator, entry) for entry in operator.options[1:])))
    assert len(set(pictures)) == len(pictures) == 11 and text.value == "bear" and (panel.bar.value, panel.bar.max) == (3, 3)


def test_the_panel_of_two_solvers_follows_its_controls(prior):
    panel = widgets.two_solvers(prior, "fox", steps=2)
    (picture, text), (operator, strength), (above, below, seed) = (box.children for box in panel.widget.children[:3])
    changes = (
        (below, "mpgd"),
        (above, "mpgd"),
        (seed, 3),
        (text, "pizza"),
        (strength, 4),
        (operator, operator.options[2]),
        (picture, "bear"),
    )
    pictures = pictures_after(panel, changes)
    assert len(set(pictures)) == len(pictures) == 8 and (panel.bar.value, panel.bar.max) == (2, 2)


def test_the_panel_of_swapped_slots_follows_its_controls(prior):
    panel = widgets.swapped_slots(prior, "fox", steps=3)
    (picture, text), (operator, strength), (guidance, omega), (weight, memory), (seed,) = (
        box.children for box in panel.widget.children[:5]
    )
    changes = (
        (omega, 1.0),
        (guidance, "cfg++"),
        *((weight, each) for each in list(WEIGHTS.values())[1:]),
        *((memory, each) for each in list(MEMORIES.values())[1:]),
        (seed, 3),
        (text, "pizza"),
        (strength, 4),
        *((operator, entry) for entry in operator.options[1:]),
        (picture, "bear"),
    )
    pictures = pictures_after(panel, changes)
    assert len(set(pictures)) == len(pictures) == 1 + len(changes) and (panel.bar.value, panel.bar.max) == (3, 3)


def test_the_slots_as_they_stand_at_first_are_treg(prior):
    x, operator = images.example("fox"), operators.SuperResolution(16)
    y, (weight, memory) = (
        operator.measure(x, 0.005, torch.Generator().manual_seed(0)),
        (next(iter(each.values())) for each in (WEIGHTS, MEMORIES)),
    )
    for guidance in GUIDANCES.values():
        ours = list(slots(prior, operator, y, "fox", weight, memory, guidance, 0.7, 4, 3))
        treg = SOLVERS["treg"](
            prior,
            operator,
            y,
            "fox",
            steps=4,
            guidance_scale=0.7,
            guidance=guidance,
            every=1,
            until=1.0,
            negation=None,
            null_prompt="",
            seed=3,
        )
        for step, other in zip(ours, treg, strict=True):
            torch.testing.assert_close(step.z_next, other.z_next, rtol=0, atol=1e-4)
            torch.testing.assert_close(step.x_hat, other.x_hat, rtol=0, atol=1e-4)


SOLVING = [widgets.quickstart, widgets.ddim, widgets.text_regularization, widgets.negation, widgets.solver]
SOLVING += [widgets.two_solvers, widgets.swapped_slots]


@pytest.mark.parametrize("build", SOLVING)
def test_a_solve_can_be_cancelled(build, short, monkeypatch):
    panel, predict = build(short, "fox"), short.predict_noise

    def predict_noise(*arguments):
        panel.stop.click()
        return predict(*arguments)

    monkeypatch.setattr(short, "predict_noise", predict_noise)
    assert finish(panel).status.value == "cancelled" and panel.bar.value == 1
    assert bytes(panel.picture.value).startswith(b"\x89PNG")


@pytest.mark.parametrize("build", SOLVING)
def test_a_solve_says_what_went_wrong(build, short, monkeypatch):
    monkeypatch.setattr(short, "timesteps", lambda steps: short.no_such_thing)
    panel = finish(build(short, "fox"))
    assert panel.status.value.startswith("AttributeError: ") and not panel.start.disabled and not panel.picture.value


@pytest.mark.parametrize("build", [build for build in SOLVING if build not in (widgets.ddim, widgets.two_solvers, widgets.swapped_slots)])
def test_a_solve_says_which_setting_is_wrong(build, prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"treg": {"steps": 0}})
    assert finish(build(prior, "fox")).status.value.startswith("steps: got 0, expected ")


# The panels that draw at once


@pytest.mark.parametrize("entry", list(widgets.LINEAR))
def test_the_null_space_panel_follows_its_controls(entry):
    panel = widgets.null_space("fox", "gorilla")
    panel.controls["operator"].value = entry
    strengths = panel.controls["strength"].options
    assert panel.controls["strength"].value == strengths[-1]
    assert len(set(live_pictures_after(panel, (("strength", strengths[0]), ("name", "panda"), ("other", "pizza"))))) == 4


def test_the_null_space_panel_says_what_went_wrong(monkeypatch):
    panel = widgets.null_space()
    before = panel.picture.value
    monkeypatch.setattr(images, "example", lambda name: torch.zeros(1, 3, 60, 60))
    panel.controls["strength"].value = 8
    assert panel.status.value == "factor: got 8, expected a divisor of the height and of the width of x, one of which is 60"
    assert panel.picture.value == before


def test_the_panel_of_phases_and_copies_follows_its_controls(monkeypatch):
    notes, draw = [], figures.over_magnitudes
    monkeypatch.setattr(figures, "over_magnitudes", lambda *arguments: notes.append(arguments[2][-1]) or draw(*arguments))
    panel = widgets.phases_and_copies("fox", "strawberry")
    changes = (("turned", "red"), ("down", 25), ("right", 40), ("negative", True), ("name", "mammoth"), ("other", "panda"))
    pictures = live_pictures_after(panel, changes)
    assert len(set(pictures)) == 7 and set(notes) == {"magnitudes are the same"}
    panel.controls["mirrored"].value = True
    assert notes[-1].startswith("magnitudes differ by ")


def test_the_panel_of_phases_and_copies_says_what_went_wrong(monkeypatch):
    panel = widgets.phases_and_copies()
    before = panel.picture.value
    monkeypatch.setattr(images, "example", lambda name: torch.zeros(1, 3, 60, 60) if name == "fox" else torch.zeros(1, 3, 64, 64))
    panel.controls["right"].value = 8
    assert panel.status.value.startswith("RuntimeError: ") and panel.picture.value == before


def test_the_pixel_step_panel_follows_its_controls_and_says_what_went_wrong(monkeypatch):
    panel = widgets.pixel_step(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
    changes = (("iterations", 0), ("log_lam", -1), ("name", "box inpainting"), ("iterations", 2))
    assert len(set(live_pictures_after(panel, changes))) >= 4
    monkeypatch.setattr(figures, "pixel_step", None)
    panel.controls["iterations"].value = 7
    assert panel.status.value.startswith("TypeError: ")


def test_every_solver_of_the_panel_runs_on_a_latent_prior(prior):
    """Built at the call, as each checks there that it takes this prior and this operator."""
    y = widgets.LINEAR["super-resolution"][0](16).A(images.example("fox"))
    for name in SIDE_BY_SIDE:
        SOLVERS[name](prior, widgets.LINEAR["super-resolution"][0](16), y, "fox", **settings_of(name, {}, 2))


def told(mean):
    return {
        "figures": {},
        "differences": {"distance": (mean, mean - 0.1, mean + 0.1, 0.01), "top1": (mean / 10, mean / 10 - 0.1, mean / 10 + 0.1, 0.2)},
    }


def test_the_panel_of_differences_follows_its_controls(monkeypatch):
    tables = {
        y: {"treg": {"figures": {}, "differences": {}}, "ldps": told(mean), "psld": told(-mean)} for y, mean in (("sr", 1), ("blur", 2))
    }
    monkeypatch.setattr(stored, "report", lambda name: {"tables": tables})
    panel = widgets.differences_to_treg()
    assert panel.controls["figure"].options == ("distance", "top1")
    assert len(set(live_pictures_after(panel, (("measurement", "blur"), ("figure", "top1"))))) == 3
    (axes,) = widgets.differences_to_treg_figure("accuracy", "blur", "top1").axes
    assert axes.get_xlabel() == "top-1 %, minus treg" and axes.lines[1].get_xdata().tolist() == pytest.approx([20, -20])


def test_the_panel_of_differences_says_what_went_wrong(monkeypatch):
    monkeypatch.setattr(stored, "report", lambda name: {"tables": {"sr": {"treg": {"figures": {}, "differences": {}}, "ldps": told(1)}}})
    panel = widgets.differences_to_treg()
    monkeypatch.setattr(stored, "report", lambda name: {"tables": {"sr": {"treg": {"figures": {}, "differences": {}}}}})
    panel.controls["figure"].value = "top1"
    assert panel.status.value.startswith("panels: got none")
