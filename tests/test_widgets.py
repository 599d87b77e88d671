"""A panel solves in the background, once at a time, can be cancelled, and says what went wrong."""

import threading
import time

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


@pytest.mark.parametrize("entry", list(widgets.STRENGTHS))
def test_the_quickstart_panel_solves_with_every_operator(prior, entry, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"steps": 2, "null_prompt": ""})
    panel = widgets.quickstart(prior, "fox")
    operator = panel.widget.children[1].children[0]
    operator.value = entry
    finish(panel)
    assert panel.status.value == "done" and bytes(panel.picture.value).startswith(b"\x89PNG")
