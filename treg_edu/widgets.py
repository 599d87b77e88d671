"""Panels of ipywidgets: the same functions as the cells, with knobs.

A `Panel` solves in a thread, so that the kernel stays free and its interrupt works, one solve at a time. A `Live` panel draws at once, on
every change: for what takes a fraction of a second. Either shows errors as text.
"""

import math
import threading

import torch

from . import consistency, figures, images, operators, phase_retrieval
from .diffusion import sample
from .negation import negation_loss
from .solvers import treg

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

    _running = None  # the panel that solved last: of all panels one solves at a time

    def __init__(self, controls, solve):
        import ipywidgets as w

        self._solve, self._thread, self._cancel = solve, None, threading.Event()
        self.start, self.stop = w.Button(description="Solve", button_style="primary"), w.Button(description="Cancel", disabled=True)
        self.bar, self.status, self.picture = w.IntProgress(layout={"width": "200px"}), w.Label(), w.Image(format="png")
        self.start.on_click(lambda _: self.run())
        self.stop.on_click(lambda _: self._cancel.set())
        self.widget = w.VBox([*controls, w.HBox([self.start, self.stop, self.bar, self.status]), self.picture])

    def run(self):
        """Start a solve in the background; does nothing while one of its own is running, and cancels another panel's.  Returns its thread."""
        if self._thread and self._thread.is_alive():
            return self._thread
        if Panel._running and Panel._running._thread.is_alive():
            Panel._running._cancel.set()
            Panel._running._thread.join()
        Panel._running = self
        self._cancel.clear()
        self.bar.value = 0
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


class Live:
    """A picture that follows its controls: drawn anew on every change, in the kernel's own thread.

    controls: {argument: widget with a value}.  draw(**{argument: value}) → Figure, within a fraction of a second.
    An error shows as text under the picture, which stays as it was.
    """

    def __init__(self, controls, draw):
        import ipywidgets as w

        self.controls, self._draw, self._drawn = controls, draw, None
        self.picture, self.status = w.Image(format="png"), w.Label()
        for control in controls.values():
            control.observe(lambda _: self.refresh(), "value")
        self.widget = w.VBox([w.HBox([*controls.values()], layout={"flex_flow": "row wrap"}), self.picture, self.status])
        self.refresh()

    def refresh(self):
        """Draw what the controls say, unless it is drawn already: one change may reach here several times."""
        values = {name: control.value for name, control in self.controls.items()}
        if values == self._drawn:
            return
        self._drawn = values
        try:
            self.picture.value = self._draw(**values)._repr_png_()
            self.status.value = ""
        except Exception as error:  # a panel has nowhere else to say it
            self.status.value = f"{type(error).__name__}: {error}"


def _held_out():
    return sorted(images.captions().query("split == 'heldout'")["label"])


def _operator_and_strength(instruments):
    """Two controls, the second offering the strengths that the first one's operator has.  instruments: as `STRENGTHS`."""
    import ipywidgets as w

    operator = w.Dropdown(options=list(instruments), description="operator")
    strength = w.SelectionSlider(options=instruments[operator.value][1], value=16, description="strength")

    def refresh(_):
        strength.options = instruments[operator.value][1]
        strength.value = strength.options[-1]

    operator.observe(refresh, "value")
    return operator, strength


def quickstart(prior, name="fox"):
    """The panel of notebook 00: picture, prompt, operator, strength and seed → truth, measurement, x̂ and A(x̂)."""
    import ipywidgets as w

    held_out = _held_out()
    picture = w.Dropdown(options=held_out, value=name, description="picture")
    prompt = w.Text(value=name, description="prompt", placeholder="empty: the null text")
    operator, strength = _operator_and_strength(STRENGTHS)
    seed = w.IntText(value=0, description="seed")

    picture.observe(lambda change: setattr(prompt, "value", change["new"]), "value")

    def solve(cancelled, progress):
        (build, _), value, name, text, s = STRENGTHS[operator.value], strength.value, picture.value, prompt.value, seed.value
        A, x = build(value), images.example(name)
        y = A.measure(x, SIGMA, torch.Generator().manual_seed(NOISE_SEED))
        total = prior.recommended["treg"].get("steps", 200)
        for step in treg(prior, A, y, text, seed=s, **prior.recommended["treg"]):
            progress(step.index + 1, total)
            if cancelled():
                break
        x_hat = step.x_hat if step.x_hat is not None else prior.decode(step.z0).clamp(0, 1)
        return figures.story([(x, y, {f'text "{text}"': x_hat})], A)

    return Panel([w.HBox([picture, prompt]), w.HBox([operator, strength, seed])], solve)


# 01_forward_operators


def null_space(name="fox", other="gorilla"):
    """The panel of notebook 01: pictures, operator and strength → what is seen of x, what is not, and a twin of the same measurement."""
    import ipywidgets as w

    held_out = _held_out()
    operator, strength = _operator_and_strength(STRENGTHS)
    controls = {
        "operator": operator,
        "strength": strength,
        "name": w.Dropdown(options=held_out, value=name, description="x"),
        "other": w.Dropdown(options=held_out, value=other, description="twin's model"),
    }

    def draw(operator, strength, name, other):
        A, x = STRENGTHS[operator][0](strength), images.example(name)
        seen, twin = A.A_dagger(A.A(x)), operators.twin(A, x, images.example(other))
        pictures = {"x": x, "A(x)": A.A(x), "seen, A†A x": seen, "unseen, + ½": x - seen + 0.5, "twin": twin, "A(twin)": A.A(twin)}
        return figures.ladder([picture[0] for picture in pictures.values()], list(pictures))

    return Live(controls, draw)


# 02_phase_retrieval_symmetries


def phases_and_copies(name="fox", other="strawberry"):
    """The panel of notebook 02: two pictures → magnitudes of one with phases of the other, and the first on its canvas, changed."""
    import ipywidgets as w

    held_out = _held_out()
    colours = ["red", "green", "blue"]
    controls = {
        "name": w.Dropdown(options=held_out, value=name, description="a"),
        "other": w.Dropdown(options=held_out, value=other, description="b"),
        "turned": w.Dropdown(options=["no channel", "every channel", *colours], value="every channel", description="turned"),
        "down": w.IntSlider(value=0, min=0, max=127, description="down"),
        "right": w.IntSlider(value=0, min=0, max=127, description="right"),
        "negative": w.Checkbox(description="negative"),
        "mirrored": w.Checkbox(description="mirrored"),
    }

    def draw(name, other, turned, down, right, negative, mirrored):
        a, b = images.example(name), images.example(other)
        chosen = torch.tensor([turned in ("every channel", colour) for colour in colours]).view(3, 1, 1)
        copy = phase_retrieval.shift(phase_retrieval.pad(torch.where(chosen, phase_retrieval.rotate(a), a)), down, right)
        copy = (-copy if negative else copy).flip([-1] if mirrored else [])
        canvas = phase_retrieval.pad(a)
        off = (torch.fft.fft2(copy, norm="ortho").abs() - torch.fft.fft2(canvas, norm="ortho").abs()).abs().max()
        note = "magnitudes are the same" if off < 1e-4 else f"magnitudes differ by {off:.1g}"
        pictures = {"a": a, "b": b, "|F a|, phases of b": phase_retrieval.with_phases(a, b), "a on its canvas": canvas, "changed": copy}
        return figures.over_magnitudes([each[0] for each in pictures.values()], list(pictures), ["", "", "", "", note])

    return Live(controls, draw)


# 03_ddim


def ddim(prior, prompt="tomato"):
    """The panel of notebook 03: prompt, ω, steps and seed → z_t and ẑ₀ along the way, decoded."""
    import ipywidgets as w

    text = w.Text(value=prompt, description="prompt", placeholder="empty: the null text")
    omega = w.FloatSlider(value=4, min=0, max=16, step=0.5, description="ω")
    steps = w.IntSlider(value=25, min=1, max=100, description="steps")
    seed = w.IntText(value=0, description="seed")

    def solve(cancelled, progress):
        walk = []
        for step in sample(prior, text.value, total := steps.value, omega.value, seed.value):
            walk.append(step)
            progress(step.index + 1, total)
            if cancelled():
                break
        shown = walk[:: -math.ceil(len(walk) / 8)][::-1]
        rows = {"z_t": torch.cat([step.z_t for step in shown]), "ẑ₀": torch.cat([step.z0 for step in shown])}
        return figures.picture_rows({name: prior.decode(z) for name, z in rows.items()}, [f"t = {step.t}" for step in shown])

    return Panel([w.HBox([text, omega]), w.HBox([steps, seed])], solve)


# 04_latent_data_consistency


def pixel_step(x, start):
    """The panel of notebook 04: operator, λ and iterations → the pixel step of a measurement of x, from `start`.  Both (1, 3, H, W)."""
    import ipywidgets as w

    controls = {
        "name": w.Dropdown(options=list(STRENGTHS), value="Gaussian blur", description="operator"),
        "exponent": w.FloatSlider(value=-4, min=-8, max=0, step=0.5, description="log₁₀ λ"),
        "iterations": w.IntSlider(value=5, min=0, max=30, description="iterations"),
    }

    def draw(name, exponent, iterations):
        build, strengths = STRENGTHS[name]
        operator, lam = build(strengths[-1]), 10**exponent
        y = operator.measure(x.double(), SIGMA, torch.Generator().manual_seed(NOISE_SEED))
        walk = torch.cat([consistency.pixel_step(operator, y, start.double(), lam, k) for k in range(iterations + 1)])
        residuals = (operator.A(walk) - y).square().mean((1, 2, 3)).sqrt()
        closed = operator.prox_l2(start.double(), y, gamma=1 / lam)
        return figures.pixel_step(start[0], walk, closed[0], residuals, SIGMA)

    return Live(controls, draw)


# 05_text_regularization


def text_regularization(prior, name="fox"):
    """The panel of notebook 05: picture, text and seeds → reconstructions with the text and the null text, and where they disagree."""
    import ipywidgets as w

    held_out = _held_out()
    picture = w.Dropdown(options=held_out, value=name, description="picture")
    text = w.Text(value=name, description="text", placeholder="empty: the null text")
    seeds = w.IntSlider(value=4, min=2, max=8, description="seeds")
    picture.observe(lambda change: setattr(text, "value", change["new"]), "value")

    def solve(cancelled, progress):
        count, words, settings = seeds.value, text.value, {"null_prompt": ""} | prior.recommended["treg"] | {"negation": None}
        null = settings["null_prompt"]
        A = operators.SuperResolution(16)
        y = A.measure(images.example(picture.value), SIGMA, torch.Generator().manual_seed(NOISE_SEED))
        total = settings.get("steps", 200)
        for step in treg(prior, A, y.expand(2 * count, -1, -1, -1), [words] * count + [null] * count, seed=[*range(count)] * 2, **settings):
            progress(step.index + 1, total)
            if cancelled():
                break
        x_hat = step.x_hat if step.x_hat is not None else prior.decode(step.z0).clamp(0, 1)
        return figures.seeds_and_deviation({f'text "{words}"': x_hat[:count], "null text": x_hat[count:]})

    return Panel([w.HBox([picture, text, seeds])], solve)


# 06_adaptive_negation


def negation(prior, name="fox"):
    """The panel of notebook 06: picture, η, ω and space → x̂ along the run with and without negation, the loss, and the move of c_∅."""
    import ipywidgets as w

    held_out = _held_out()
    picture = w.Dropdown(options=held_out, value=name, description="picture")
    rate = w.FloatLogSlider(value=1e-3, min=-4, max=-1, step=0.5, description="η")
    omega = w.FloatSlider(value=4, min=0, max=10, step=0.5, description="ω")
    space = w.Dropdown(options=["hidden", "projected"], description="space")

    def solve(cancelled, progress):
        A, text, chosen = operators.SuperResolution(16), picture.value, space.value
        y = A.measure(images.example(text), SIGMA, torch.Generator().manual_seed(NOISE_SEED))
        settings = {"null_prompt": ""} | prior.recommended["treg"] | {"guidance_scale": omega.value, "negation_learning_rate": rate.value}
        total, walk = settings.get("steps", 200), []
        for pair in zip(*(treg(prior, A, y, text, **settings | {"negation": each}) for each in (None, chosen))):
            walk.append(pair)
            progress(pair[0].index + 1, total)
            if cancelled():
                break
        return negation_figure(prior, *zip(*walk), null_prompt=settings["null_prompt"], space=chosen)

    return Panel([w.HBox([picture, space]), w.HBox([rate, omega])], solve)


def negation_figure(prior, without, with_negation, null_prompt, space="hidden", sample=0):
    """What the panel of notebook 06 draws of two runs, lists of `Step`, at every second of their consistency steps."""
    start, names = prior.embed_text([null_prompt]), ("off", "on")
    shown = [pair for pair in zip(without, with_negation) if pair[0].x_hat is not None][::2]
    x_hats = [torch.stack([step.x_hat[sample] for step in steps]) for steps in zip(*shown)]
    nulls = [torch.stack([step.null_embedding[sample] for step in steps]) for steps in zip(*shown)]
    features = [prior.embed_images(each) for each in x_hats]
    if space == "projected":
        features = [prior.to_hidden_space(each) for each in features]
    losses = {name: negation_loss(feature, null) for name, feature, null in zip(names, features, nulls)}
    moves = {name: (null - start).square().mean((1, 2)).sqrt() for name, null in zip(names, nulls)}
    rows = dict(zip(("negation off", "negation on"), x_hats)) | {"difference, × 3": 3 * (x_hats[1] - x_hats[0]).abs()}
    return figures.negation_trajectory(rows, [pair[0].t for pair in shown], losses, moves)


# 07_treg

NONLINEAR = {
    "gamma correction": (operators.GammaCorrection, [0.45, 2.2, 4.0]),
    "phase retrieval": (operators.FourierMagnitude, [2]),
}


def solver(prior, name="fox"):
    """The panel of notebook 07: picture, text, instrument, ω, negation and seed → the whole run, from measurement to reconstruction."""
    import ipywidgets as w

    held_out, instruments = _held_out(), STRENGTHS | NONLINEAR
    picture = w.Dropdown(options=held_out, value=name, description="picture")
    text = w.Text(value=name, description="text", placeholder="empty: the null text")
    operator, strength = _operator_and_strength(instruments)
    omega = w.FloatSlider(value=prior.recommended["treg"].get("guidance_scale", 5.0), min=0, max=10, step=0.5, description="ω")
    negation = w.Dropdown(options={"off": None, "hidden": "hidden", "projected": "projected"}, value="hidden", description="negation")
    seed = w.IntText(value=0, description="seed")

    picture.observe(lambda change: setattr(text, "value", change["new"]), "value")

    def solve(cancelled, progress):
        A, x = instruments[operator.value][0](strength.value), images.example(picture.value)
        y = A.measure(x, SIGMA, torch.Generator().manual_seed(NOISE_SEED))
        settings = prior.recommended["treg"] | {"guidance_scale": omega.value, "negation": negation.value}
        total, walk = settings.get("steps", 200), []
        for step in treg(prior, A, y, text.value, seed=seed.value, **settings):
            walk.append(step)
            progress(step.index + 1, total)
            if cancelled():
                break
        return solver_figure(prior, A, x, y, walk)

    return Panel([w.HBox([picture, text]), w.HBox([operator, strength]), w.HBox([omega, negation, seed])], solve)


def solver_figure(prior, operator, x, y, walk, sigma=SIGMA, sample=0):
    """What the panel of notebook 07 draws of one sample of a run, a list of `Step`, whole or cancelled."""
    shown = walk[:: -math.ceil(len(walk) / 9)][::-1]
    estimates = prior.decode(torch.stack([step.z0[sample] for step in shown])).clamp(0, 1)
    x, y = x[sample : sample + 1], y[sample : sample + 1]
    x_hat = estimates[-1:]
    pictures = {"truth x": x, "measured: y": y, "reconstructed: x̂": x_hat, "A(x̂), to compare with y": operator.A(x_hat)}
    if isinstance(operator, operators.FourierMagnitude):
        of_x, of_x_hat = _log_magnitude(y), _log_magnitude(operator.A(x_hat))
        pictures = {"truth x": x, "measured: y, log₁₀": of_x, "reconstructed: x̂": x_hat, "A(x̂), to compare with y, log₁₀": of_x_hat}
    misfit = {step.t: step.misfit[sample].item() for step in walk if step.misfit is not None}
    return figures.solver({title: each[0] for title, each in pictures.items()}, estimates, [step.t for step in shown], misfit, sigma)


def _log_magnitude(y):
    """Magnitudes from 1e-3 to 10 as greys from 0 to 1, the zero frequency in the middle: what can be seen of |F P x|."""
    return (torch.fft.fftshift(y, (-2, -1)).clamp(min=1e-3).log10() + 3) / 4
