"""Each figure draws, shows itself in a notebook, and has what its docstring promises."""

import numpy as np
import pytest
import torch

from treg_edu import figures, operators
from treg_edu.checks import ArgumentError

X = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
SR = operators.SuperResolution(16)


def test_many_pictures_stand_in_rows_of_six_at_most():
    grid = figures.ladder([X[0]] * 8, list("abcdefgh")).axes
    assert [axes.get_title() for axes in grid] == list("abcdefgh") and grid[0].get_gridspec().get_geometry() == (2, 4)


def test_notes_stand_under_the_row_they_are_of():
    figure = figures.picture_rows({"a": X[:2], "b": X[:2]}, notes={"b": ["1 dB", "2 dB"]})
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "1 dB", "2 dB"]


def drawn(axes):
    return [a for a in axes if a.images]


@pytest.mark.parametrize(
    "figure, pictures",
    [
        (lambda: figures.sample_sheet(X, list("abcde"), columns=3), 5),
        (lambda: figures.nearest_sheet(X, X.flip(0), [True, False, True, False, False], columns=3), 5),
        (lambda: figures.story([(X[:1], SR.A(X[:1]), {"text": X[:3], "null": X[3:]})] * 2, SR), 2 * (3 + 2 * 5)),
        (lambda: figures.variance_maps({"text": X[:3], "null": X}), 4),
        (lambda: figures.ladder([X[0], X[1]], ["a", "b"]), 2),
        (lambda: figures.measurement(X[:1], SR.A(X[:1])), 2),
    ],
)
def test_a_figure_shows_itself(figure, pictures):
    figure = figure()
    assert len(drawn(figure.axes)) == pictures
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_lower_row_of_the_story_is_measured_from_the_upper():
    figure = figures.story([(X[:1], SR.A(X[:1]), {"text": X[1:3]})], SR)
    below = torch.from_numpy(drawn(figure.axes)[-1].images[0].get_array().copy()).permute(2, 0, 1)
    assert torch.allclose(below[:, ::16, ::16], SR.A(X[2:3])[0].clamp(0, 1), atol=1e-6)


def test_half_precision_is_drawn():
    half = X.bfloat16()
    assert figures.ladder([half[0]], ["a"])._repr_png_() and figures.variance_maps({"a": half})._repr_png_()


def test_a_picture_of_one_channel_is_grey():
    figure = figures.measurement(X[:1], X[:1].mean(1, keepdim=True))
    shown = figure.axes[1].images[0].get_array()
    assert shown.shape == (64, 64, 3) and (shown == shown[..., :1]).all()


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: figures.ladder(X, ["a", "b"]), "titles: got 2, expected 5, one for each picture"),
        (lambda: figures.ladder(X, list("abcde"), ["a"]), "notes: got 1, expected 5"),
        (lambda: figures.ladder([X], ["a"]), r"picture: got shape \(5, 3, 64, 64\), expected \(3, H, W\)"),
        (lambda: figures.ladder([X[0, :2]], ["a"]), r"picture: got shape \(2, 64, 64\), expected \(3, H, W\)"),
        (lambda: figures.ladder([X[0].numpy()], ["a"]), "picture: got ndarray, expected a floating-point torch.Tensor"),
        (lambda: figures.ladder([(255 * X[0]).byte()], ["a"]), "picture: got dtype torch.uint8"),
        (lambda: figures.picture_rows({"a": X, "b": X[:4]}), "b: got 4, expected 5"),
        (lambda: figures.picture_rows({"a": X}, notes={"a": ["1"]}), "notes of a: got 1, expected 5"),
        (lambda: figures.picture_rows({"a": X}, ["a"]), "columns: got 1, expected 5"),
        (lambda: figures.sample_sheet(X, ["a"]), "captions: got 1, expected 5"),
        (lambda: figures.sample_sheet(X, columns=0), "columns: got 0, expected an integer of at least 1"),
        (lambda: figures.nearest_sheet(X, X[:4], [True] * 5), "neighbours: got 4, expected 5"),
        (lambda: figures.nearest_sheet(X, X, [True] * 4), "copies: got 4, expected 5"),
        (lambda: figures.over_magnitudes(X, ["a"]), "titles: got 1, expected 5"),
        (lambda: figures.over_measurements(X, ["a"], SR), "titles: got 1, expected 5"),
        (lambda: figures.variance_maps({"a": X[:1]}), "x_hats: got 1 reconstruction, expected at least 2"),
        (lambda: figures.paired({"a": [1, 2], "b": [2, 1]}, ["a"], "b"), "names: got 1, expected 2"),
        (lambda: figures.retrieved(X, {"HIO": (X, ["upright"])}, list("abcde")), "copies of HIO: got 1, expected 5"),
        (lambda: figures.retrieved(X, {}, ["a"]), "labels: got 1, expected 5"),
        (lambda: figures.error_and_deviation(X, X[None, :2], list("abcde")), "x_hats: got 1, expected 5"),
    ],
)
def test_an_error_names_the_argument(draw, message):
    with pytest.raises(ArgumentError, match=message):
        draw()


DOLLARS = r"$\nonsense$"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.ladder(X[:1], [DOLLARS], [DOLLARS]),
        lambda: figures.picture_rows({DOLLARS: X[:1]}, [DOLLARS]),
        lambda: figures.sample_sheet(X[:1], [DOLLARS]),
        lambda: figures.story([(X[:1], SR.A(X[:1]), {DOLLARS: X[1:3]})], SR),
        lambda: figures.variance_maps({DOLLARS: X}),
        lambda: figures.over_magnitudes(X[:1], [DOLLARS], [DOLLARS]),
        lambda: figures.over_measurements(X[:1], [DOLLARS], SR, [DOLLARS]),
        lambda: figures.seeds_and_deviation({DOLLARS: X}),
        lambda: figures.texts(X[:1], SR.A(X[:1]), {DOLLARS: X[:1]}, SR),
        lambda: figures.paired({"a": [1, 2], "b": [2, 1]}, [DOLLARS] * 2, "b"),
        lambda: figures.negation_trajectory({DOLLARS: X}, range(5), {"on": range(5)}, {"on": range(5)}),
        lambda: figures.problems(X[:1], {DOLLARS: {DOLLARS: X[:1]}}),
        lambda: figures.retrieved(X[:1], {DOLLARS: (X[:1], ["upright"])}, [DOLLARS]),
        lambda: figures.solver({DOLLARS: X[0]}, X[:1], [0], {0: 1.0}, 0.1),
        lambda: figures.error_and_deviation(X[:1], X[None], [DOLLARS]),
    ],
)
def test_a_text_is_drawn_as_typed(draw):
    """It may be a reader's prompt, and two dollar signs mean a formula to matplotlib."""
    assert draw()._repr_png_()


# 01_forward_operators


@pytest.mark.parametrize("count", [1, 3])
def test_matrices_of_any_shape_stand_side_by_side(count):
    figure = figures.matrices({f"M{i}": torch.randn(i + 1, 8) for i in range(count)})
    assert [axes.images[0].get_array().shape for axes in drawn(figure.axes)] == [(i + 1, 8) for i in range(count)]
    assert figure._repr_png_()


def test_spectra_draw_values_that_are_zero():
    figure = figures.spectra({"a": torch.tensor([1.0, 0.5, 0.0]), "b": torch.ones(9)}, 0.005)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2, 1, 9, 2]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 zeros", " σ = 0.005"]
    assert figure._repr_png_()


@pytest.mark.parametrize("count", [1, 6])
def test_truncation_shows_its_errors(count):
    kept, error = torch.arange(1, count + 1), torch.rand(count) + 0.1
    figure = figures.truncation(kept, error, error, (error, error - 0.01, error + 0.01))
    assert len(figure.axes[0].get_legend().texts) == 4 and figure._repr_png_()


def test_the_largest_weight_whose_misfit_is_not_above_the_noise_is_circled():
    lam = [1e-4, 1e-3, 1e-2]
    left, right = figures.weights(lam, {"a": [20, 30, 25], "b": [30, 20, 10]}, {"a": [0.5, 0.9, 2], "b": [0.9, 4, 8]}).axes
    circled = [line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 1]
    assert circled == [1e-3, 1e-4] and len(right.lines) == 3


def test_picard_draws_running_medians():
    s, clean = torch.linspace(1, 0.01, 600), torch.ones(600)
    clean[300] = 100  # one that sticks out
    curve, arrives = figures.picard(s, clean, 0.005).axes[0].lines
    assert (arrives.get_ydata() == 1).all() and len(curve.get_xdata()) == 600


def test_in_the_world_of_two_pixels_every_answer_explains_the_measurement():
    axes = figures.two_pixels().axes[0]
    points = [line.get_xydata()[0] for line in axes.lines if len(line.get_xdata()) == 1 and line.get_marker() in "o*s"]
    on_the_line = [abs(point @ (0.3, 0.7) - 0.62) < 0.02 for point in points]
    assert sum(on_the_line) == 5 and len(points) == 7  # all but black and white


def test_the_way_back_enlarges_what_was_shrunk():
    _, middle, right = figures.ellipses().axes
    there, back = middle.patches[0], right.patches[1]
    assert there.width == pytest.approx(2) and there.height == pytest.approx(0.4)
    assert back.height / back.width == pytest.approx(there.width / there.height)


def test_tone_curves_and_their_errors():
    grey = torch.linspace(0.1, 1, 5)
    figure = figures.tone_curves(grey, {"γ = 2": grey**2, "γ = 1": grey}, {"γ = 2": (0.1 / grey, 0.1 / grey)})
    assert [len(axes.lines) for axes in figure.axes] == [2, 2] and figure._repr_png_()


# 02_phase_retrieval_symmetries


@pytest.mark.parametrize("count", [1, 6])
def test_pictures_stand_over_their_magnitudes(count):
    figure = figures.over_magnitudes([*X[:1].expand(count - 1, -1, -1, -1), torch.zeros(3, 8, 6)], ["a"] * count, ["note"] * count)
    assert len(drawn(figure.axes)) == 2 * count and figure._repr_png_()


def test_a_negative_picture_is_drawn_with_1_added_and_says_so():
    zero, negative, *_ = figures.over_magnitudes([torch.zeros(3, 8, 8), -X[0]], ["0", "x"]).axes
    assert (zero.images[0].get_array() == 0).all() and (zero.get_title(), negative.get_title()) == ("0", "x (+ 1)")
    assert np.allclose(negative.images[0].get_array(), 1 - X[0].permute(1, 2, 0).numpy())


def test_a_third_row_shows_the_change_of_the_magnitude():
    figure = figures.over_magnitudes([X[0], X[0].flip((-2, -1)), X[1]], ["x", "turned", "another"], against=[0, 0, 0])
    rows = [axes.images[0].get_array() for axes in figure.axes[6:9]]
    assert (rows[0] == -2).all() and (rows[1] == -2).all() and rows[2].mean() > -1


def test_error_reduction_is_caught_at_a_corner_that_hio_leaves():
    left, right = figures.circle_and_box().axes
    corner, found = left.lines[-1].get_xydata()[0], right.lines[-1].get_xydata()[0]
    assert np.allclose(corner, (-0.7, 0.5)) and np.linalg.norm(corner) < 0.9
    assert np.linalg.norm(found) == pytest.approx(1) and (found == found.clip((-0.7, -0.6), (0.95, 0.5))).all()


@pytest.mark.parametrize("starts", [1, 8])
def test_convergence_has_a_line_for_each_start_and_one_for_the_noise(starts):
    figure = figures.convergence({"ER": torch.rand(9, starts) + 1, "HIO": torch.rand(9, starts) + 1})
    assert len(figure.axes[0].lines) == 2 * starts + 1
    assert len(figure.axes[0].get_legend().texts) == 2 and figure._repr_png_()


def test_copies_found_are_counted_by_name_beside_chance():
    shares = {"ER": {"upright": (0.25, 0.0, 0.5), "mixed": (0.75, 0.5, 1.0)}, "HIO": {"upright": (0.0, 0.0, 0.0), "mixed": (1.0, 1.0, 1.0)}}
    figure = figures.copies_found(
        {"ER": torch.zeros(4), "HIO": torch.tensor([-1.0, 1.0])}, shares, {"upright": 0.25, "mixed": 0.75}, "a coin"
    )
    left, right = figure.axes
    assert sum(bar.get_height() for bar in left.patches) == pytest.approx(2)
    assert [bar.get_height() for bar in right.patches] == [0.25, 0.75, 0.0, 1.0] and figure._repr_png_()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_found_shifts_are_marked_by_orientation(count):
    rotated = torch.arange(count) % 2 == 1
    for pictures in ((), X[:4]):
        figure = figures.found_shifts(torch.arange(count), -torch.arange(count), rotated, (-3, 3), (-4, 4), pictures)
        assert [len(marks.get_offsets()) for marks in figure.axes[0].collections] == [count - rotated.sum(), rotated.sum()]
        assert len(drawn(figure.axes)) == len(pictures)
    assert figure._repr_png_()


# 03_ddim


@pytest.mark.parametrize("count", [1, 4])
def test_rows_of_pictures(count):
    figure = figures.picture_rows({"a": X[:count], "b": X[-count:]}, [f"t = {i}" for i in range(count)])
    assert len(drawn(figure.axes)) == len(figure.axes) == 2 * count
    assert [axes.get_ylabel() for axes in figure.axes[::count]] == ["a", "b"] and figure.axes[0].get_title() == "t = 0"
    assert figures.picture_rows({"a": X[:count]})._repr_png_()


@pytest.mark.parametrize("count", [1, 5])
def test_noising_has_a_picture_for_each_level_and_two_curves(count):
    figure = figures.noising(X[:count], range(0, 10 * count, 10), torch.linspace(1, 0, 100))
    assert len(drawn(figure.axes)) == count and len(figure.axes) == count + 1
    assert len([line for line in figure.axes[-1].lines if line.get_label()[0] == "√"]) == 2
    assert figure._repr_png_()


@pytest.mark.parametrize("count", [1, 3])
def test_a_field_has_arrows_and_the_paths_walked_so_far(count):
    grid, walked = torch.linspace(-2, 2, 9), torch.rand(6, 4, 2)
    panels = {f"t = {i}": (torch.rand(9, 9), torch.rand(9, 9, 2)) for i in range(count)}
    figure = figures.score_field(grid, panels, {f"t = {i}": walked[: i + 1] for i in range(count)})
    for i, axes in enumerate(figure.axes):
        arrows = axes.collections[1]
        assert len(arrows.U) == 81 and np.allclose(arrows.U, 0.25 * panels[f"t = {i}"][1][..., 0].flatten())
        assert [len(line.get_xdata()) for line in axes.lines] == 4 * [i + 1] + [4, 4]
    assert len(figure.axes) == count and figure._repr_png_()
    assert not any(axes.lines for axes in figures.score_field(grid, panels).axes)


@pytest.mark.parametrize("count", [1, 7])
def test_paths_lie_over_the_densities_and_those_that_are_lost_are_red(count):
    t, z = [30, 20, 10, -1], torch.linspace(-2, 2, 9)
    lost = torch.arange(count) == 0
    walks = {"few": (t[::3], torch.rand(2, count), lost), "many": (t, torch.rand(4, count), ~lost)}
    figure = figures.paths(t, z, torch.rand(9, 4) + 0.1, walks)
    red = [[line.get_color() == "tab:red" for line in axes.lines] for axes in figure.axes]
    assert red == [lost.tolist(), (~lost).tolist()]
    assert figure._repr_png_()


def test_the_triangle_is_drawn_to_scale():
    figure = figures.triangle(0.36, 0.64)
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert np.allclose(dots, [(0.6, 0.8), (0.8, 0.6)])
    start, middle, end = [
        np.array([line.get_xdata()[0], line.get_ydata()[0]]) for line in figure.axes[1].lines if line.get_marker() in "os"
    ]
    assert np.allclose(middle - end, (0.75 / (4 / 3)) * (start - end))  # σ = √(1/ᾱ − 1): 4/3 before, 3/4 after
    with pytest.raises(ArgumentError, match="alpha_bar: got 0.5"):
        figures.triangle(0.5, 0.4)


def test_the_machine_names_its_parts():
    texts = " ".join(text.get_text() for text in figures.machine().axes[0].texts)
    assert all(part in texts for part in ("U-Net", "CLIP", "encoder E", "decoder D", "Tweedie", "DDIM", "measurement y"))


# 04_latent_data_consistency


@pytest.mark.parametrize("count", [1, 5])
def test_pictures_stand_over_their_measurements(count):
    figure = figures.over_measurements(X[:count], list("abcde")[:count], SR, list("fghij")[:count])
    assert len(drawn(figure.axes)) == 2 * count and figure.axes[count].images[0].get_array().shape == (4, 4, 3)
    assert figures.over_measurements(X[:count], list("abcde")[:count], SR)._repr_png_()


@pytest.mark.parametrize("count", [1, 3])
def test_cg_iterations_have_a_line_for_each_operator(count):
    figure = figures.cg_iterations([0, 1, 5, 9], {str(i): (torch.rand(4) + 0.1, torch.rand(4) + 0.1) for i in range(count)}, sigma=0.005)
    assert [len(axes.lines) for axes in figure.axes] == [count, count + 1] and figure._repr_png_()


@pytest.mark.parametrize("count", [1, 5])
def test_the_pixel_step_shows_where_its_walk_ends(count):
    figure = figures.pixel_step(X[0], X[:count], X[1], torch.rand(count) + 0.1, sigma=0.005)
    assert len(drawn(figure.axes)) == 3 and figure.axes[1].get_title() == f"x̂, iteration {count - 1}"
    assert len(figure.axes[3].lines[0].get_xdata()) == count and figure._repr_png_()


def test_curves_along_a_trajectory_stand_at_their_timesteps():
    mean = torch.tensor([0.3, 0.2, 0.1])
    curves = {"all": ([900, 500, 100], mean, mean / 2, 2 * mean), "some": ([900, 100], *[mean[::2]] * 3)}
    figure = figures.along_trajectory(curves, {"σ": 0.005})
    assert list(figure.axes[0].lines[1].get_xdata()) == [900, 100] and len(figure.axes[0].lines) == 3
    assert figure._repr_png_()


# 05_text_regularization


@pytest.mark.parametrize("count, columns", [(2, 8), (5, 2)])
def test_deviations_stand_beside_their_seeds_on_one_scale(count, columns):
    figure = figures.seeds_and_deviation({"text": X[:count] / 2, "null": X[:count]}, columns=columns)
    maps = [axes.images[0] for axes in figure.axes if axes.images and axes.images[0].get_cmap().name == "magma"]
    assert len(drawn(figure.axes)) >= 2 * (count + 2) and len(maps) == 2
    assert maps[0].get_clim() == maps[1].get_clim() and maps[0].get_array().max() < maps[1].get_array().max()
    assert figure._repr_png_()


def test_the_weight_is_marked_where_the_step_is_taken():
    t = torch.linspace(999, 0, 10)
    figure = figures.text_weight(t, 1 - t / 1000, torch.arange(10) % 2 == 0)
    curve, dots, _ = figure.axes[0].lines
    assert len(curve.get_xdata()) == 10 and len(dots.get_xdata()) == 5
    heights = {text.get_text()[0]: text.get_position()[1] for text in figure.axes[0].texts}
    assert heights["1"] > 0.5 > heights["ᾱ"]  # the text's share lies over the curve, the measurement's under it
    assert figure._repr_png_()


@pytest.mark.parametrize("seeds", [1, 3])
def test_texts_stand_over_what_is_measured_of_their_last_seed(seeds):
    figure = figures.texts(X[:1], SR.A(X[:1]), {"a": X[:seeds], "b": X[1 : 1 + seeds]}, SR)
    pictures = drawn(figure.axes)
    assert len(pictures) == 2 + 2 * (seeds + 1)
    below = torch.from_numpy(pictures[-1].images[0].get_array().copy()).permute(2, 0, 1)
    assert torch.allclose(below[:, ::16, ::16], SR.A(X[seeds : seeds + 1])[0].clamp(0, 1), atol=1e-6)
    assert figure._repr_png_()


@pytest.mark.parametrize("count", [2, 5])
def test_pairs_are_named_in_the_order_of_the_first(count):
    values = torch.arange(count).flip(0).float()
    axes = figures.paired({"null": values, "text": values / 2}, list("abcde")[:count], "variance").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list("abcde")[:count][::-1]
    assert len(axes.collections) == 3 and axes.get_xlabel() == "variance"


# 06_adaptive_negation


@pytest.mark.parametrize("count", [1, 12])
def test_losses_fall_within_a_call_and_jump_between(count):
    loss = torch.rand(count)
    figure = figures.negation_losses(range(count), {"off": (loss, loss), "on": (loss, loss - 0.1)})
    axes = figure.axes[0]
    assert len(axes.lines) == 2 * (count + 1) + count and len(axes.get_legend().texts) == 2
    assert list(axes.lines[0].get_xdata()) == [0, 10] and figure._repr_png_()


@pytest.mark.parametrize("count", [1, 9])
def test_found_among_rises_to_all(count):
    figure = figures.found_among({"a": torch.zeros(4), "b": torch.full((4,), count - 1)}, count)
    a, b, chance = (line.get_ydata() for line in figure.axes[0].lines)
    assert a[0] == a[-1] == b[-1] == chance[-1] == 1 and figure._repr_png_()


def test_null_directions_are_marked():
    mean = torch.tensor([1.5, 1.0, 1.2])
    curves = {str(i): (mean, mean - 0.1, mean + 0.1) for i in range(5)}
    figure = figures.null_directions([-1, 0, 1], {"error": curves, "guidance": curves}, {"a whole run": -0.5})
    for axes, name in zip(figure.axes, ("error", "guidance"), strict=True):
        assert len(axes.lines) == 6 and axes.get_ylabel() == name and axes.texts[0].get_text() == "a whole run"
    assert figure._repr_png_()


def test_the_end_of_guidance_moves_against_the_null_text():
    """By −(ω − 1) times its move, in all three drawings: away from x̂ brings it closer to what x̂ shows."""
    ends = []
    for axes in figures.push_of_null_text().axes:
        empty, end, moved, moved_end = (torch.tensor(line.get_xydata()[0]) for line in axes.lines[:4])
        torch.testing.assert_close(moved_end - end, -(figures.adaptive_negation.OMEGA - 1) * (moved - empty))
        ends.append(moved_end)
    seen = torch.tensor(figures.adaptive_negation.SEEN)
    by_hand, negation, reverse = (float(each @ seen) for each in ends)
    assert by_hand < reverse < negation


@pytest.mark.parametrize("count", [1, 5])
def test_effects_share_their_rows(count):
    settings = {f"ω = {i}": (0.1 * i, 0.1 * i - 1, 0.1 * i + 1) for i in range(count)}
    figure = figures.effects({"similarity": settings, "PSNR": settings})
    assert len(figure.axes) == 2 and [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(settings)
    assert figure._repr_png_()


@pytest.mark.parametrize("count", [1, 4])
def test_a_trajectory_stands_over_its_loss_and_move(count):
    curves = {"off": torch.zeros(count), "on": torch.rand(count)}
    figure = figures.negation_trajectory({"off": X[:count], "on": X[:count]}, range(count), curves, curves)
    assert len(drawn(figure.axes)) == 2 * count and [len(axes.lines) for axes in figure.axes[-2:]] == [2, 2]
    assert figure._repr_png_()


# 07_treg


@pytest.mark.parametrize("count", [1, 5])
def test_problems_have_a_row_for_each_picture(count):
    x, columns = X[:count], {"y": SR.A(X[:count]), "text": X[:count]}
    figure = figures.problems(x, {"SR": columns, "blur": columns | {"null": X[:count]}})
    assert len(drawn(figure.axes)) == 6 * count and figure._repr_png_()


@pytest.mark.parametrize("count", [1, 4])
def test_retrieved_pictures_are_marked_with_their_copies(count):
    names = ["upright", "rotated", "mixed", "neither"][:count]
    figure = figures.retrieved(X[:count], {"text": (X[:count], names), "HIO": (X[:count], names)}, list("abcd")[:count])
    assert len(drawn(figure.axes)) == 3 * count and figure._repr_png_()
    assert [axes.get_xlabel()[-len(name) :] for axes, name in zip(figure.axes[count:], names)] == names


@pytest.mark.parametrize("count", [1, 3])
def test_the_deviation_and_the_error_of_the_mean_have_one_scale(count):
    """Seeds that differ by ±d around x + e: the maps are d·√(S/(S−1)) and e."""
    x = torch.full((count, 3, 8, 8), 0.5)
    x_hats = torch.stack([x + 0.1 - 0.2, x + 0.1 + 0.2], 1)
    figure = figures.error_and_deviation(x, x_hats, list("abc")[:count])
    maps = [axes.images[0] for axes in figure.axes[: 5 * count]]
    for row in range(count):
        deviation, error = maps[5 * row + 3], maps[5 * row + 4]
        assert deviation.get_array().mean() == pytest.approx(0.2 * 2**0.5) and error.get_array().mean() == pytest.approx(0.1)
        assert deviation.get_clim() == error.get_clim() == pytest.approx((0, 0.2 * 2**0.5))
    assert figure._repr_png_()


@pytest.mark.parametrize("count", [1, 5])
def test_a_run_stands_over_its_misfit(count):
    pictures = {"x": X[0], "y": SR.A(X[:1])[0], "x̂": X[1]}
    figure = figures.solver(pictures, X[:count], range(count), {7: 0.1, 3: 0.01}, 0.005)
    assert len(drawn(figure.axes)) == 3 + count and figure._repr_png_()
    assert list(figure.axes[-1].lines[0].get_xdata()) == [7, 3]


# 08


@pytest.mark.parametrize("count", [1, 4, 6])
def test_clouds_stand_over_the_ellipses_of_the_posterior(count):
    """The ellipse of one deviation passes through the mean plus a deviation along each axis of the covariance."""
    mean, covariance = torch.tensor([1.0, -1.0]), torch.tensor([[2.0, 1.2], [1.2, 1.0]])
    samples = {f"solver {i}": torch.randn(50, 2, generator=torch.Generator().manual_seed(i)) for i in range(count)}
    figure = figures.posterior_clouds(samples, mean, covariance)
    assert len(figure.axes) == count
    values, vectors = torch.linalg.eigh(covariance.double())
    for axes in figure.axes:
        for patch, deviations in zip(axes.patches, (1, 2)):
            unit = patch.get_patch_transform().inverted()
            for value, vector in zip(values, vectors.T):
                point = unit.transform((mean + deviations * value.sqrt() * vector).tolist())
                assert abs(float(torch.tensor(point).norm()) - 1) < 1e-5


def test_clouds_of_other_numbers_are_refused():
    with pytest.raises(ArgumentError, match=r"^treg: got shape \(5, 3\), expected \(N, 2\)"):
        figures.posterior_clouds({"treg": torch.zeros(5, 3)}, torch.zeros(2), torch.eye(2))


def test_methods_have_a_row_of_dots_and_a_mean_each():
    values = {"a": torch.tensor([1.0, 4.0]), "b": torch.tensor([10.0, 30.0])}
    (axes,) = figures.by_method(values, "misfit, σ").axes
    dots, means = axes.lines[::2], axes.lines[1::2]
    assert [line.get_xdata().tolist() for line in dots] == [[1.0, 4.0], [10.0, 30.0]]
    assert [float(line.get_xdata()[0]) for line in means] == [2.5, 20.0] and [label.get_text() for label in axes.get_yticklabels()] == [
        "a",
        "b",
    ]


# 09


def lines_of(axes):
    """{label: line} of what a legend names."""
    return {label: handle[0] if isinstance(handle, tuple) else handle for handle, label in zip(*axes.get_legend_handles_labels())}


def test_standing_rings_the_front_and_sets_its_own_line_apart():
    curves = {
        "treg": [(0.5, (3.0, 2.8, 3.2), True), (2.0, (2.0, 1.8, 2.2), True)],
        "ldps": [(8.0, (2.5, 2.2, 2.8), False)],
        "psld": [(9.0, (2.6, 2.2, 2.8), False)],
        "latino": [(3.0, (50.0, 49.0, 51.0), False)],
    }
    left, right = figures.standing({"distance": curves, "misfit": {"treg": curves["treg"]}}, "treg", ["ldps", "psld"]).axes
    lines = lines_of(left)
    assert len({lines[name].get_marker() for name in curves}) == 4
    assert lines["treg"].get_linewidth() > 2 * lines["ldps"].get_linewidth() and lines["ldps"].get_color() != lines["latino"].get_color()
    assert lines["none is faster and better"].get_xydata().tolist() == [[0.5, 3.0], [2.0, 2.0]]
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear") and left.get_xscale() == "log"
    with pytest.raises(ValueError, match="panels: got none"):
        figures.standing({}, "treg", [])


def test_compared_arms_have_a_row_each_and_shade_what_is_beyond_the_margin():
    distance = {"ldps": (0.1, -0.2, 0.4), "psld": (-0.3, -0.5, -0.1)}
    left, right = figures.compared({"distance": distance, "top-1": {"psld": (5.0, 1.0, 9.0)}}, {"distance": 0.5}).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["ldps", "psld"] and left.yaxis_inverted()
    assert left.lines[1].get_xydata().tolist() == [[0.1, 0], [-0.3, 1]] and right.lines[1].get_xydata().tolist() == [[5.0, 1]]
    (shaded,) = left.patches
    assert shaded.get_x() == 0.5 and shaded.get_x() + shaded.get_width() == pytest.approx(left.get_xlim()[1]) and not right.patches
    with pytest.raises(ValueError, match="panels: got none"):
        figures.compared({"distance": {}})


def test_shares_fill_a_bar():
    (axes,) = figures.shares({"text": {"upright": 0.7, "rotated": 0.3}, "null": {"upright": 0.5, "rotated": 0.5}}).axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.containers[1]]
    assert ends == pytest.approx([1, 1]) and [bar.get_width() for bar in axes.containers[0]] == pytest.approx([0.7, 0.5])


def test_curves_differ_in_line_and_marker():
    (axes,) = figures.curves({"a": {"b": ([1, 2], [3, 4]), "c": ([1, 2], [4, 3])}}, "n", "power", level=0.9, logarithmic=True).axes
    b, c, level = axes.lines
    assert (b.get_linestyle(), b.get_marker()) != (c.get_linestyle(), c.get_marker()) and level.get_ydata() == [0.9, 0.9]
    assert axes.get_yscale() == "log" and axes.get_ylabel() == "power"
