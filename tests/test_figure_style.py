"""A figure is the same picture whatever the user's matplotlib settings are, and leaves them as they were."""

import base64
import contextlib
import inspect
import io
import threading
from pathlib import Path

import matplotlib
import matplotlib.figure
import matplotlib.style
import matplotlib.text
import nbclient
import nbformat
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from treg_edu import figures, operators, widgets

pytestmark = pytest.mark.once

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(5, 3, 64, 64, generator=GENERATOR)
RISING = torch.linspace(0.1, 0.9, 5)
T = [900, 700, 500, 300, 100]
SR = operators.SuperResolution(16)
INTERVALS = {"a": (0.2, 0.1, 0.4), "b": (-0.1, -0.3, 0.2)}
CURVE = [("1", (3.0, 2.8, 3.2), (0.1, 0.0, 0.2)), ("4", (6.0, 5.0, 7.0), (0.3, 0.2, 0.4))]
ORIENTATIONS = {"ER": torch.zeros(4), "HIO": torch.tensor([-1.0, -1.0, 0.3, 1.0])}

EXAMPLES = {
    # any notebook
    "ladder": lambda: figures.ladder(X[:2], ["a", "b"], ["c", "d"]),
    "picture_rows": lambda: figures.picture_rows({"a": X[:2], "b": X[2:4]}, ["c", "d"]),
    "sample_sheet": lambda: figures.sample_sheet(X, list("abcde"), columns=3),
    "nearest_sheet": lambda: figures.nearest_sheet(X, X.flip(0), [True, False, True, False, False], columns=3),
    # 00
    "measurement": lambda: figures.measurement(X[:1], SR.A(X[:1])),
    "story": lambda: figures.story([(X[:1], SR.A(X[:1]), {"text": X[:2], "null": X[3:4]})] * 2, SR),
    "variance_maps": lambda: figures.variance_maps({"text": X[:3], "null": X}),
    # 01
    "matrices": lambda: figures.matrices({"A": X[0, 0, :8, :24], "A†": X[0, 0, :24, :8]}),
    "spectra": lambda: figures.spectra({"a": RISING.flip(0), "b": torch.tensor([1.0, 0.0])}, 0.005),
    "truncation": lambda: figures.truncation(2 ** torch.arange(5), RISING / 4, RISING**2, (RISING / 3, RISING / 6, RISING / 2)),
    "weights": lambda: figures.weights([1e-3, 1e-2], {"a": [20, 30], "b": [30, 20]}, {"a": [0.5, 2], "b": [0.9, 4]}),
    "ellipses": figures.ellipses,
    "two_pixels": figures.two_pixels,
    "picard": lambda: figures.picard(RISING.flip(0), RISING.flip(0) ** 2, 0.005),
    "tone_curves": lambda: figures.tone_curves(RISING, {"γ = 2": RISING**2}, {"γ = 2": (0.1 / RISING, 0.1 / RISING)}),
    # 02
    "over_magnitudes": lambda: figures.over_magnitudes([X[0], -X[1]], ["a", "b"], ["c", "d"], [0, 0]),
    "circle_and_box": figures.circle_and_box,
    "convergence": lambda: figures.convergence({"ER": X[0, 0, :9, :3] + 0.1, "HIO": X[0, 1, :9, :3] + 1}),
    "copies_found": lambda: figures.copies_found(ORIENTATIONS, {"ER": INTERVALS, "HIO": INTERVALS}, {"a": 0.3, "b": 0.7}, "a coin"),
    "found_shifts": lambda: figures.found_shifts(torch.arange(5), -torch.arange(5), torch.arange(5) > 2, (-3, 3), (-4, 4), X[:4]),
    # 03
    "noising": lambda: figures.noising(X[:3], [0, 40, 80], torch.linspace(1, 0, 100)),
    "score_field": lambda: figures.score_field(
        RISING, dict.fromkeys("abc", FIELD), dict.fromkeys("abc", X[2, :2, :6, :3].permute(1, 2, 0))
    ),
    "paths": lambda: figures.paths(
        T, RISING, X[0, 0, :5, :5] + 0.1, {"few": (T[::2], X[0, 0, :3, :2], LOST), "many": (T, X[0, 0, :5, :2], LOST)}
    ),
    "triangle": lambda: figures.triangle(0.15, 0.4),
    "machine": figures.machine,
    # 04
    "over_measurements": lambda: figures.over_measurements(X[:2], ["a", "b"], SR, ["c", "d"]),
    "cg_iterations": lambda: figures.cg_iterations([0, 1, 2, 5, 9], {"a": (RISING, RISING**2), "b": (RISING**2, RISING)}, 0.005),
    "pixel_step": lambda: figures.pixel_step(X[0], X, X[1], RISING.flip(0), 0.005),
    "way_back": figures.way_back,
    "best_weights": lambda: figures.best_weights(T, (RISING, RISING - 0.05, RISING + 0.05), T, RISING.flip(0)),
    "along_trajectory": lambda: figures.along_trajectory({"all": (T, RISING, RISING / 2, 2 * RISING)}, {"σ": 0.005}),
    # 05
    "seeds_and_deviation": lambda: figures.seeds_and_deviation({"text": X[:3] / 2, "null": X[:3]}, columns=2),
    "text_weight": lambda: figures.text_weight(torch.tensor(T), RISING, torch.arange(5) % 2 == 0),
    "texts": lambda: figures.texts(X[:1], SR.A(X[:1]), {"a": X[:2], "b": X[1:3]}, SR),
    "deviation_and_error": lambda: figures.deviation_and_error(X[:1], {"text": X[:3], "null": X[2:]}),
    "alternation": lambda: figures.alternation({"exact": RISING.flip(0), "here": RISING}),
    "guidance_and_text": lambda: figures.guidance_and_text({"weight 1": {"text": CURVE, "null": CURVE[:1]}, "ᾱ": {"text": CURVE}}),
    "paired": lambda: figures.paired({"null": RISING, "text": RISING / 2}, list("abcde"), "variance"),
    # 06
    "negation_losses": lambda: figures.negation_losses(T, {"off": (RISING, RISING), "on": (RISING, RISING / 2)}),
    "found_among": lambda: figures.found_among({"a": [0, 3, 7], "b": [1, 1, 1]}, 8),
    "null_directions": lambda: figures.null_directions(range(5), {"error": {"up": (RISING, RISING / 2, 2 * RISING)}}, {"a run": 1.5}),
    "push_of_null_text": figures.push_of_null_text,
    "effects": lambda: figures.effects({"similarity": INTERVALS, "PSNR": INTERVALS}),
    "negation_trajectory": lambda: figures.negation_trajectory({"off": X, "on": X}, T, {"off": RISING}, {"off": RISING, "on": RISING**2}),
    # 07
    "error_and_deviation": lambda: figures.error_and_deviation(X[:2], X[None, :3].repeat(2, 1, 1, 1, 1), ["a", "b"]),
    "problems": lambda: figures.problems(X[:2], {"SR": {"y": SR.A(X[:2]), "text": X[2:4]}, "blur": {"y": X[:2]}}),
    "retrieved": lambda: figures.retrieved(X[:3], {"HIO": (X[:3], ["upright", "rotated", "mixed"])}, list("abc")),
    "quality_and_time": lambda: figures.quality_and_time({"sr": POINTS, "phase": POINTS[:2]}),
    "solver": lambda: figures.solver({"x": X[0], "y": SR.A(X[:1])[0]}, X, T, {900: 0.1, 300: 0.01}, 0.005),
    # 08
    "by_method": lambda: figures.by_method({"a": RISING + 1, "b": RISING + 2}, "misfit, σ"),
    "posterior_clouds": lambda: figures.posterior_clouds({"a": X[:, 0, 0, :2], "b": X[:, 1, 0, :2]}, torch.zeros(2), torch.eye(2)),
    # 09
    "standing": lambda: figures.standing(STANDING, "treg", ["ldps", "resample"]),
    "compared": lambda: figures.compared(
        {"distance": dict.fromkeys(SOLVERS, (0.1, -0.2, 0.3)), "top-1": {"ldps": (1, 0, 2)}}, {"distance": 0.2}
    ),
    "shares": lambda: figures.shares({name: {"upright": 0.5, "rotated": 0.2, "mixed": 0.3} for name in SOLVERS[:6]}),
    "curves": lambda: figures.curves(
        {"a": {"b": (T, RISING), "c": (T, RISING**2)}, "d": {"e": (T, RISING)}}, "pictures", "power", level=0.9
    ),
    # 10
    "differences": lambda: figures.differences({name: {"misfit, σ": PAIRED, "PSNR, dB": PAIRED} for name in ("a − c", "b\n− c")}),
    "guidance_along": lambda: figures.guidance_along({"50 steps": (T, 3 + RISING), "25 steps": (T[::2], RISING[::2])}, {"7.5": 3.5}),
    "orientations_along": lambda: figures.orientations_along(T, {"all": X[0, 0, :5, :4] - 0.5, "nothing": X[0, 1, :5, :4] - 0.5}),
    "ranked_texts": lambda: figures.ranked_texts(
        {"evidence": X[0, 0, :4, :4], "least misfit": X[0, 1, :4, :4]}, ["fox", "ox", "owl", "ant"]
    ),
    "renewed_from": lambda: figures.renewed_from(T, X[0, 0, :5, :4] - 0.5),
    # 11
    "memory_of_stages": lambda: figures.memory_of_stages({"a": {"decoder": 0.4, "clip": 0.01}, "b": {"decoder": 3.0}}, "GiB"),
    "rounded_noise": lambda: figures.rounded_noise(T, {"float32": 0.01 + RISING, "bfloat16": RISING.round()}),
    "visited_levels": lambda: figures.visited_levels({"50 steps": (T, 0.1 + 0.8 * RISING), "25": (T[::2], 0.1 + 0.8 * RISING[::2])}),
    # 12
    "text_similarities": lambda: figures.text_similarities({"before": X[0, 0, :6, :6], "after": X[0, 1, :6, :6]}, ["red", "blue"]),
}

PAIRED = (RISING - 0.5, (0.0, -0.4, 0.4))
LOST = torch.tensor([True, False])
FIELD = (X[0, 0, :5, :5], X[1, :2, :5, :5].permute(1, 2, 0) - 0.5)
POINTS = [(1.0, (3.0, 2.8, 3.2), True, False), (2.0, (2.5, 2.4, 2.6), True, True), (2.5, (2.9, 2.7, 3.0), False, False)]
SOLVERS = ["treg", "ldps", "resample", "latino", "tikhonov", *(f"solver {i}" for i in range(14))]
STANDING = {
    quality: {
        name: [
            (steps / 4 / (1 + i), (level * (1 + i) / steps, level / steps / 2, 2 * level * (1 + i) / steps), i == 0) for steps in (10, 50)
        ]
        for i, name in enumerate(SOLVERS)
    }
    for quality, level in (("perceptual distance ↓", 3.0), ("judge's top-1, % ↑", 60.0), ("misfit / σ ↓", 2.0))
}

HOSTILE = {
    "no LaTeX": {"text.usetex": True, "text.latex.preamble": r"\nonsense"},
    "letters": {
        "font.family": ["monospace"],
        "font.size": 23,
        "font.weight": "bold",
        "text.color": "magenta",
        "text.hinting": "none",
        "text.antialiased": False,
        "text.parse_math": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 30,
        "axes.labelcolor": "magenta",
        "axes.unicode_minus": False,
        "axes.formatter.limits": [0, 0],
        "axes.formatter.use_mathtext": True,
        "figure.labelsize": 30,
        "legend.fontsize": 3,
        "xtick.labelsize": 20,
    },
    "paper": {
        "figure.dpi": 31,
        "figure.facecolor": "black",
        "figure.edgecolor": "red",
        "figure.constrained_layout.h_pad": 0.5,
        "figure.constrained_layout.wspace": 0.5,
        "figure.autolayout": True,
        "savefig.dpi": 43,
        "savefig.bbox": "tight",
        "savefig.pad_inches": 1,
        "savefig.facecolor": "green",
        "savefig.transparent": True,
        "savefig.format": "svg",
        "savefig.orientation": "landscape",
    },
    "pictures": {
        "image.interpolation": "bilinear",
        "image.interpolation_stage": "rgba",
        "image.origin": "lower",
        "image.cmap": "jet",
        "image.aspect": "auto",
        "image.lut": 5,
        "image.resample": False,
        "pcolor.shading": "gouraud",
        "pcolormesh.snap": False,
    },
    "lines": {
        "axes.grid": True,
        "axes.axisbelow": False,
        "axes.facecolor": "black",
        "axes.spines.top": False,
        "axes.xmargin": 0.4,
        "axes.prop_cycle": matplotlib.cycler(color=["yellow"], linestyle=[":"]),
        "lines.linewidth": 7,
        "lines.marker": "x",
        "lines.antialiased": False,
        "lines.dash_capstyle": "round",
        "patch.linewidth": 5,
        "patch.force_edgecolor": True,
        "hatch.linewidth": 5,
        "scatter.edgecolors": "green",
        "errorbar.capsize": 9,
        "legend.frameon": False,
        "legend.loc": "center",
        "xtick.top": True,
        "ytick.right": True,
        "xtick.direction": "in",
        "ytick.minor.visible": True,
        "path.sketch": (5, 100, 2),
        "path.simplify_threshold": 1.0,
        "agg.path.chunksize": 1,
    },
}
"""Settings under which figures fail, or look different, if they follow them."""

AT_ONCE = {name: value for title, style in HOSTILE.items() if title != "no LaTeX" for name, value in style.items()}


def png(figure):
    return figure._repr_png_()


@contextlib.contextmanager
def users(style):
    """A session whose user has chosen a style, and finds it unchanged at the end."""
    with matplotlib.style.context(style):
        before = dict(matplotlib.rcParams)
        yield
        assert dict(matplotlib.rcParams) == before


@pytest.fixture(scope="module")
def plain():
    """{name: the PNG under matplotlib's defaults}."""
    with matplotlib.style.context("default"):
        return {name: png(draw()) for name, draw in EXAMPLES.items()}


def test_every_figure_has_an_example():
    assert set(EXAMPLES) == set(figures.__all__) - {"Figure"}
    assert all(inspect.isfunction(getattr(figures, name)) for name in EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_figure_is_the_same_under_any_settings(name, plain):
    for style in (HOSTILE["no LaTeX"], AT_ONCE):
        with users(style):
            assert png(EXAMPLES[name]()) == plain[name]


@pytest.mark.parametrize("style", [*HOSTILE.values(), *matplotlib.style.available], ids=[*HOSTILE, *matplotlib.style.available])
def test_a_figure_is_the_same_under_any_style_sheet(style, plain):
    with users(style):
        assert png(EXAMPLES["copies_found"]()) == plain["copies_found"]


@pytest.mark.parametrize("title", HOSTILE)
def test_a_figure_of_matplotlib_follows_these_settings(title):
    """What the tests above stand on: the settings would change, or break, figures that follow them."""

    def draw():
        figure = matplotlib.figure.Figure()
        axes = figure.subplots()
        axes.imshow(np.arange(12).reshape(3, 4))
        axes.plot([0, 1], [1, 2], label="−1")
        axes.legend()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        return buffer.getvalue()

    ordinary = draw()
    with users(HOSTILE[title]):
        try:
            assert draw() != ordinary
        except RuntimeError as error:  # latex is not there, or has failed
            assert title == "no LaTeX" and "latex" in str(error)


@pytest.mark.parametrize("title", HOSTILE)
def test_settings_changed_between_building_and_showing_change_nothing(title, plain):
    figure = EXAMPLES["copies_found"]()
    with users(HOSTILE[title]):
        assert png(figure) == plain["copies_found"]


@pytest.mark.parametrize("title", HOSTILE)
@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_a_saved_figure_is_the_same_under_any_settings(form, title, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # a PDF and an SVG hold the date

    def saved(name):
        figures.ladder(X[:2], ["a", "−1"]).savefig(tmp_path / name, dpi=110)
        return (tmp_path / name).read_bytes()

    # An SVG names its parts at random, unless it is told a salt.
    with monkeypatch.context() as patch:
        patch.setitem(figures.base.STYLE, "svg.hashsalt", "1")
        ordinary = saved(f"ordinary.{form}")
        with users(HOSTILE[title]):
            assert saved(f"hostile.{form}") == ordinary


def test_an_error_leaves_the_settings_alone():
    with users({"lines.linewidth": 7}):
        with pytest.raises(ValueError, match="titles: got 1"):
            figures.ladder(X[:2], ["a"])
        with pytest.raises(ValueError, match="nonsense"):
            figures.ladder(X[:2], ["a", "b"]).savefig(io.BytesIO(), format="nonsense")


def test_figures_drawn_in_threads_leave_the_settings_alone(plain):
    pictures = []
    with users({"lines.linewidth": 7, "figure.facecolor": "black"}):
        threads = [threading.Thread(target=lambda: pictures.append(png(EXAMPLES["convergence"]()))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert pictures == 6 * [plain["convergence"]]


def test_a_notebook_shows_the_same_figure_beside_pyplot(plain):
    """Once a figure of pyplot was shown, IPython has an inline backend that would show ours too: cropped, and as an SVG."""
    cells = [
        "from test_figure_style import EXAMPLES",
        "%config InlineBackend.figure_formats = ['svg', 'png']\nimport matplotlib.pyplot as plt; plt.plot([1, 2])",
        "EXAMPLES['ladder']()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(Path(__file__).parent)}}).execute()
    (theirs,) = (output for output in notebook.cells[1].outputs if output.output_type == "display_data")
    (ours,) = notebook.cells[2].outputs
    assert set(theirs.data) == {"text/plain", "image/png", "image/svg+xml"} and set(ours.data) == {"text/plain", "image/png"}
    assert base64.b64decode(ours.data["image/png"]) == plain["ladder"]


@pytest.mark.parametrize("title", HOSTILE)
def test_panels_show_the_same_under_any_settings(title, plain):
    with users(HOSTILE[title]):
        live = widgets.Live({}, EXAMPLES["ladder"])
        panel = widgets.Panel([], lambda cancelled, progress: EXAMPLES["ladder"]())
        panel.run().join()
        assert (live.status.value, panel.status.value) == ("", "done")
        assert bytes(live.picture.value) == bytes(panel.picture.value) == plain["ladder"]


@pytest.mark.parametrize("name, pixels", [("story", 90), ("ladder", 192)])
def test_the_picture_is_as_large_as_its_figure_says(plain, name, pixels):
    width, height = EXAMPLES[name]().get_size_inches()
    assert Image.open(io.BytesIO(plain[name])).size == (int(width * pixels + 1e-6), int(height * pixels + 1e-6))


# What can be projected, and read by who cannot see it

PROJECTED = ["ladder", "picture_rows", "over_magnitudes", "circle_and_box", "convergence", "copies_found", "found_shifts"]
PROJECTED += ["matrices", "spectra", "ellipses", "two_pixels", "picard", "truncation", "weights", "tone_curves", "standing"]
PROJECTED += ["seeds_and_deviation", "deviation_and_error", "text_weight", "alternation", "texts", "paired", "guidance_and_text"]
PROJECTED += ["over_measurements", "cg_iterations", "pixel_step", "way_back", "best_weights", "along_trajectory"]
PROJECTED += ["differences", "guidance_along", "orientations_along", "ranked_texts", "renewed_from"]
PROJECTED += ["compared", "shares", "curves"]
PROJECTED += ["measurement", "variance_maps", "noising", "score_field", "paths", "triangle", "machine"]
PROJECTED += ["effects", "found_among", "negation_losses", "negation_trajectory", "null_directions", "push_of_null_text"]
PROJECTED += ["error_and_deviation", "problems", "retrieved", "solver"]
SLIDE = 12.5, 6.5
"""Inches: what a figure may fill of a slide of 13.3 by 7.5."""


def texts(figure):
    """The texts of a figure as it is drawn, those of its ticks and legends included; ticks outside the view are not drawn."""
    FigureCanvasAgg(figure).draw()
    unseen = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    unseen |= {tick.label1, tick.label2}
    found = figure.findobj(lambda artist: isinstance(artist, matplotlib.text.Text))
    return [text for text in found if text not in unseen and text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("name", PROJECTED)
def test_a_figure_can_be_projected(name):
    figure = EXAMPLES[name]()
    width, height = figure.get_size_inches()
    larger = min(SLIDE[0] / width, SLIDE[1] / height)
    assert width <= figures.base.WIDEST and figures.base.STYLE["savefig.dpi"] >= 150
    small = {text.get_text(): text.get_fontsize() for text in texts(figure) if text.get_fontsize() * max(larger, 1) < 12}
    assert not small


@pytest.mark.parametrize("name", PROJECTED)
def test_no_text_of_a_figure_lies_over_another_or_outside(name):
    figure = EXAMPLES[name]()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    boxes = [each for i, each in enumerate(boxes) if not any(each[0] == name and np.allclose(each[1], box) for name, box in boxes[:i])]
    for i, (one, box) in enumerate(boxes):
        assert box.x0 > -2 and box.y0 > -2 and box.x1 < figure.bbox.x1 + 2 and box.y1 < figure.bbox.y1 + 2, one
        assert not [other for other, its in boxes[i + 1 :] if box.shrunk(0.9, 0.8).overlaps(its.shrunk(0.9, 0.8))], one


@pytest.mark.parametrize("name", PROJECTED)
def test_a_figure_is_described(name):
    picture, beside = EXAMPLES[name]()._shown()
    assert len(beside["alt"]) > 5 and 0 < beside["width"] <= 960 and picture.startswith(b"\x89PNG")


def test_a_notebook_keeps_width_and_description_beside_the_picture():
    cell = nbformat.v4.new_code_cell("from test_figure_style import EXAMPLES\nEXAMPLES['ladder']()")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(Path(__file__).parent)}}).execute()
    assert notebook.cells[0].outputs[0].metadata["image/png"] == {"width": 307, "alt": "a: c. b: d"}
