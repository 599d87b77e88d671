"""Panels of ipywidgets: the same functions as the cells, with knobs.

A panel solves in a thread, so that the kernel stays free and its interrupt works; one solve at a time; errors appear in the panel.
"""

import threading

import torch

from . import figures, images, operators
from .treg import treg

#               menu entry          operator of the strength's value      strengths
STRENGTHS = {
    "super-resolution": (operators.SuperResolution, [2, 4, 8, 16]),
    "Gaussian blur": (lambda sigma: operators.GaussianBlur(sigma=sigma), [1.0, 2.0, 3.0, 5.0]),
    "box inpainting": (lambda side: _centred_box(side), [16, 24, 32, 48]),
}
SIGMA, NOISE_SEED = 0.005, 10_000  # the noise apart from every solver's seed


def _centred_box(side, size=64):
    corner = (size - side) // 2
    return operators.Inpainting.box((size, size), corner, corner, side, side)


class Panel:
    """A running solve and the widgets around it: a button to start, one to cancel, a bar, a picture, a line of text.

    solve(cancelled, progress) → Figure; it should stop early when cancelled() is true, and report progress(done, total).
    """

    def __init__(self, controls, solve):
        import ipywidgets as w

        self._solve, self._thread, self._cancel = solve, None, threading.Event()
        self.start, self.stop = w.Button(description="Solve", button_style="primary"), w.Button(description="Cancel", disabled=True)
        self.bar, self.status, self.picture = w.IntProgress(layout={"width": "200px"}), w.Label(), w.Image(format="png")
        self.start.on_click(lambda _: self.run())
        self.stop.on_click(lambda _: self._cancel.set())
        self.widget = w.VBox([*controls, w.HBox([self.start, self.stop, self.bar, self.status]), self.picture])

    def run(self):
        """Start a solve in the background; does nothing while one is running.  Returns its thread."""
        if self._thread and self._thread.is_alive():
            return self._thread
        self._cancel.clear()
        self.start.disabled, self.stop.disabled, self.status.value = True, False, "solving …"
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self._thread

    def _work(self):
        try:
            self.picture.value = self._solve(self._cancel.is_set, self._progress)._repr_png_()
            self.status.value = "cancelled" if self._cancel.is_set() else "done"
        except Exception as error:  # a panel has nowhere else to say it
            self.status.value = f"{type(error).__name__}: {error}"
        finally:
            self.start.disabled, self.stop.disabled = False, True

    def _progress(self, done, total):
        self.bar.max, self.bar.value = total, done


def quickstart(prior, name="fox"):
    """The panel of notebook 00: picture, prompt, operator, strength and seed → truth, measurement, x̂ and A(x̂)."""
    import ipywidgets as w

    held_out = sorted(images.captions().query("split == 'heldout'")["label"])
    picture = w.Dropdown(options=held_out, value=name, description="picture")
    prompt = w.Text(value=name, description="prompt", placeholder="empty: the null text")
    operator = w.Dropdown(options=list(STRENGTHS), description="operator")
    strength = w.SelectionSlider(options=STRENGTHS[operator.value][1], value=16, description="strength")
    seed = w.IntText(value=0, description="seed")

    def refresh(_):
        strength.options = STRENGTHS[operator.value][1]
        strength.value = strength.options[-1]

    operator.observe(refresh, "value")
    picture.observe(lambda change: setattr(prompt, "value", change["new"]), "value")

    def solve(cancelled, progress):
        (build, _), value, name, text, s = STRENGTHS[operator.value], strength.value, picture.value, prompt.value, seed.value
        A, x = build(value), images.example(name)
        y = A.measure(x, SIGMA, torch.Generator().manual_seed(NOISE_SEED))
        total = prior.recommended.get("steps", 200)
        for step in treg(prior, A, y, text, seed=s, **prior.recommended):
            progress(step.index + 1, total)
            if cancelled():
                break
        x_hat = step.x_hat if step.x_hat is not None else prior.decode(step.z0).clamp(0, 1)
        return figures.story([(x, y, {f'text "{text}"': x_hat})], A)

    return Panel([w.HBox([picture, prompt]), w.HBox([operator, strength, seed])], solve)
