"""A panel solves in the background, once at a time, can be cancelled, and says what went wrong."""

import threading
import time

import ipywidgets as w
import pytest
import torch

from treg_edu import figures, widgets

PICTURE = torch.rand(3, 8, 8)


def figure():
    return figures.ladder([PICTURE], ["a"])


def finish(panel):
    panel.run().join(timeout=60)
    return panel


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


def test_a_panel_says_what_went_wrong():
    def solve(cancelled, progress):
        raise ValueError("factor: got 7, expected one that divides 64")

    panel = finish(widgets.Panel([], solve))
    assert panel.status.value == "ValueError: factor: got 7, expected one that divides 64"
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


@pytest.mark.parametrize("entry", list(widgets.STRENGTHS))
def test_the_quickstart_panel_solves_with_every_operator(prior, entry, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"steps": 2, "null_prompt": ""})
    panel = widgets.quickstart(prior, "fox")
    operator = panel.widget.children[1].children[0]
    operator.value = entry
    finish(panel)
    assert panel.status.value == "done" and bytes(panel.picture.value).startswith(b"\x89PNG")


# 01_forward_operators


@pytest.mark.parametrize("entry", list(widgets.STRENGTHS))
def test_the_null_space_panel_follows_its_controls(entry):
    panel = widgets.null_space("fox", "gorilla")
    controls, pictures = panel.controls, []
    controls["operator"].value = entry
    strengths = controls["strength"].options
    assert controls["strength"].value == strengths[-1]
    for name, value in (("strength", strengths[-1]), ("strength", strengths[0]), ("name", "panda"), ("other", "pizza")):
        controls[name].value = value
        pictures.append(panel.picture.value)
        assert panel.status.value == ""
    assert len(set(pictures)) == 4


def test_the_null_space_panel_says_what_went_wrong(monkeypatch):
    panel = widgets.null_space()
    before = panel.picture.value
    monkeypatch.setattr(widgets.images, "example", lambda name: torch.zeros(1, 3, 60, 60))
    panel.controls["strength"].value = 8
    assert panel.status.value == "ValueError: factor: got 8, expected a divisor of the height and of the width of x, one of which is 60"
    assert panel.picture.value == before


# 02_phase_retrieval_symmetries


def test_the_panel_of_phases_and_copies_follows_its_controls(monkeypatch):
    notes, draw = [], widgets.figures.over_magnitudes
    monkeypatch.setattr(widgets.figures, "over_magnitudes", lambda *arguments: notes.append(arguments[2][-1]) or draw(*arguments))
    panel = widgets.phases_and_copies("fox", "strawberry")
    pictures = [panel.picture.value]
    for name, value in (("turned", "red"), ("down", 25), ("right", 40), ("negative", True), ("name", "mammoth"), ("other", "panda")):
        panel.controls[name].value = value
        pictures.append(panel.picture.value)
        assert panel.status.value == ""
    assert len(set(pictures)) == 7 and set(notes) == {"magnitudes are the same"}
    panel.controls["mirrored"].value = True
    assert notes[-1].startswith("magnitudes differ by ")


def test_the_panel_of_phases_and_copies_says_what_went_wrong(monkeypatch):
    panel = widgets.phases_and_copies()
    before = panel.picture.value
    monkeypatch.setattr(widgets.images, "example", lambda name: torch.zeros(1, 3, 60, 60) if name == "fox" else torch.zeros(1, 3, 64, 64))
    panel.controls["right"].value = 8
    assert panel.status.value.startswith("RuntimeError: ") and panel.picture.value == before


# 03_ddim


def test_the_ddim_panel_follows_its_controls_and_can_be_cancelled(prior, monkeypatch):
    panel = widgets.ddim(prior, "fox")
    (text, omega), (steps, seed) = (box.children for box in panel.widget.children[:2])
    steps.value = 2
    pictures = [finish(panel).picture.value]
    for control, value in ((text, "pizza"), (omega, 0.5), (steps, 3), (seed, 1)):
        control.value = value
        pictures.append(finish(panel).picture.value)
        assert panel.status.value == "done"
    assert len(set(pictures)) == 5 and (panel.bar.value, panel.bar.max) == (3, 3)

    started, predict = threading.Event(), prior.predict_noise

    def predict_noise(*arguments):
        started.set()
        panel.stop.click()
        return predict(*arguments)

    monkeypatch.setattr(prior, "predict_noise", predict_noise)
    assert finish(panel).status.value == "cancelled" and panel.bar.value == 1


def test_the_ddim_panel_says_what_went_wrong(prior, monkeypatch):
    panel = widgets.ddim(prior, "fox")
    monkeypatch.setattr(prior, "timesteps", lambda steps: prior.no_such_thing)
    assert finish(panel).status.value.startswith("AttributeError: ")


# 04_latent_data_consistency


def test_the_pixel_step_panel_follows_its_controls_and_says_what_went_wrong(monkeypatch):
    panel = widgets.pixel_step(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
    pictures = [panel.picture.value]
    for control, value in (("iterations", 0), ("exponent", -1), ("name", "box inpainting"), ("iterations", 2)):
        panel.controls[control].value = value
        pictures.append(panel.picture.value)
        assert panel.status.value == ""
    assert len(set(pictures)) >= 4 and bytes(pictures[0]).startswith(b"\x89PNG")
    monkeypatch.setattr(widgets.figures, "pixel_step", None)
    panel.controls["iterations"].value = 7
    assert panel.status.value.startswith("TypeError: ")


# 05_text_regularization


def test_the_text_panel_follows_its_controls_and_can_be_cancelled(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"steps": 2, "null_prompt": ""})
    panel = widgets.text_regularization(prior, "fox")
    picture, text, seeds = panel.widget.children[0].children
    seeds.value = 2
    pictures = [finish(panel).picture.value]
    for control, value in ((text, "pizza"), (seeds, 3), (picture, "bear")):
        control.value = value
        pictures.append(finish(panel).picture.value)
        assert panel.status.value == "done"
    assert len(set(pictures)) == 4 and text.value == "bear" and (panel.bar.value, panel.bar.max) == (2, 2)

    predict = prior.predict_noise

    def predict_noise(*arguments):
        panel.stop.click()
        return predict(*arguments)

    monkeypatch.setattr(prior, "predict_noise", predict_noise)
    assert finish(panel).status.value == "cancelled" and panel.bar.value == 1


def test_the_text_panel_says_what_went_wrong(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"steps": 0})
    assert finish(widgets.text_regularization(prior, "fox")).status.value.startswith("ValueError: steps: got 0")


# 06_adaptive_negation


def test_the_negation_panel_follows_its_controls_and_can_be_cancelled(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"steps": 3, "null_prompt": "", "every": 1, "until": 1.0})
    panel = widgets.negation(prior, "fox")
    (picture, space), (rate, omega) = (box.children for box in panel.widget.children[:2])
    pictures = [finish(panel).picture.value]
    for control, value in ((rate, 0.1), (omega, 8.0), (space, "projected"), (picture, "bear")):
        control.value = value
        pictures.append(finish(panel).picture.value)
        assert panel.status.value == "done"
    assert len(set(pictures)) == 5 and (panel.bar.value, panel.bar.max) == (3, 3)

    predict = prior.predict_noise

    def predict_noise(*arguments):
        panel.stop.click()
        return predict(*arguments)

    monkeypatch.setattr(prior, "predict_noise", predict_noise)
    assert finish(panel).status.value == "cancelled" and panel.bar.value == 1


def test_the_negation_panel_says_what_went_wrong(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"steps": 0})
    assert finish(widgets.negation(prior, "fox")).status.value.startswith("ValueError: steps: got 0")


# 07_treg


def test_the_solver_panel_follows_its_controls_and_can_be_cancelled(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"steps": 3, "null_prompt": "", "every": 1, "until": 1.0})
    panel = widgets.solver(prior, "fox")
    (picture, text), (operator, strength), (omega, negation, seed) = (box.children for box in panel.widget.children[:3])
    pictures = [finish(panel).picture.value]
    changes = ((strength, 4), (omega, 8.0), (negation, None), (seed, 3), (text, "pizza"), (picture, "bear"))
    for control, value in (*changes, *((operator, entry) for entry in operator.options[1:])):
        control.value = value
        pictures.append(finish(panel).picture.value)
        assert panel.status.value == "done"
    assert len(set(pictures)) == len(pictures) == 11 and text.value == "bear" and (panel.bar.value, panel.bar.max) == (3, 3)

    predict = prior.predict_noise

    def predict_noise(*arguments):
        panel.stop.click()
        return predict(*arguments)

    monkeypatch.setattr(prior, "predict_noise", predict_noise)
    assert finish(panel).status.value == "cancelled" and panel.bar.value == 1


def test_the_solver_panel_says_what_went_wrong(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"steps": 0})
    assert finish(widgets.solver(prior, "fox")).status.value.startswith("ValueError: steps: got 0")
