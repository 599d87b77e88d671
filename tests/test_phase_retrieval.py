"""The symmetries leave the measurement alone, alignment undoes them, and the iterations do what their equations say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from treg_edu import images
from treg_edu import phase_retrieval as pr
from treg_edu.operators import FourierMagnitude, SuperResolution

brief = settings(max_examples=40, deadline=None, derandomize=True)
A = FourierMagnitude(oversampling=2)
sizes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 999)


def image(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def generators(*seeds):
    return [torch.Generator().manual_seed(s) for s in seeds]


def boxes(side=16):
    """A simple object that is not its own turned copy: three bright boxes, of different size, in the dark."""
    x = torch.zeros(1, 1, side, side)
    x[..., 3:9, 2:6], x[..., 10:13, 4:13], x[..., 4:6, 10:12] = 1.0, 0.6, 0.8
    return x


def last(iterates):
    for x in iterates:
        pass
    return x


# Magnitudes and phases


@brief
@given(sizes, seeds)
def test_magnitudes_of_one_and_phases_of_the_other(size, seed):
    x, other = image(*size, seed=seed), image(*size, seed=seed + 1)
    mixed = pr.with_phases(x, other)
    torch.testing.assert_close(torch.fft.fft2(mixed).abs(), torch.fft.fft2(x).abs(), rtol=0, atol=1e-10)
    torch.testing.assert_close(pr.with_phases(other, mixed), other)
    torch.testing.assert_close(pr.with_phases(x, x), x)
    torch.testing.assert_close(pr.with_phases(x, other[:1])[:1], mixed[:1])


# The symmetries


@brief
@given(sizes, seeds, st.integers(-20, 20), st.integers(-20, 20), st.booleans(), st.sampled_from([1, -1]), st.integers(1, 3))
def test_no_symmetry_changes_the_magnitudes(size, seed, dy, dx, rotated, sign, oversampling):
    canvas = pr.pad(image(*size, seed=seed), oversampling)
    copy = sign * pr.shift(pr.rotate(canvas) if rotated else canvas, dy, dx)
    once = FourierMagnitude(oversampling=1)
    torch.testing.assert_close(once.A(copy), once.A(canvas), rtol=0, atol=1e-13)


def test_the_operator_sees_a_turned_image_as_the_image():
    x = image(2, 3, 8, 6)
    torch.testing.assert_close(A.A(pr.rotate(x)), A.A(x), rtol=0, atol=1e-13)
    torch.testing.assert_close(FourierMagnitude(1).A(pr.pad(x)), A.A(x), rtol=0, atol=1e-13)
    assert (A.A(x.flip(-1)) - A.A(x)).abs().max() > 0.1  # a mirror is not a turn


def test_pad_puts_zeros_below_and_to_the_right():
    x = image(2, 3, 4, 5)
    canvas = pr.pad(x, 3)
    assert canvas.shape == (2, 3, 12, 15) and torch.equal(canvas[..., :4, :5], x)
    assert canvas.count_nonzero() == x.count_nonzero()


@brief
@given(sizes, st.integers(-20, 20), st.integers(-20, 20))
def test_shift_is_roll(size, dy, dx):
    x = image(*size)
    assert torch.equal(pr.shift(x, dy, dx), x.roll((dy, dx), (-2, -1)))


def test_each_sample_has_its_own_shift():
    x = image(3, 2, 5, 7)
    moved = pr.shift(x, torch.tensor([0, 2, -1]), torch.tensor([1, 0, 9]))
    assert torch.equal(moved, torch.cat([pr.shift(x[i : i + 1], *s) for i, s in enumerate([(0, 1), (2, 0), (-1, 9)])]))


# Alignment


@brief
@given(sizes, seeds)
def test_alignment_undoes_any_member_of_the_group_exactly(size, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, generator=generator, dtype=torch.float64)
    (B, _, H, W), draw = size, lambda high, n: torch.randint(high, (n,), generator=generator)
    rotated, dy, dx, sign = draw(2, B).bool(), draw(H, B), draw(W, B), 2 * draw(2, B) - 1
    turned = torch.where(rotated.view(B, 1, 1, 1), pr.rotate(x), x)
    found = pr.align(sign.view(B, 1, 1, 1) * pr.shift(turned, dy, dx), x, oversampling=1)
    assert torch.equal(found.image, x) and found.error.eq(0).all()
    if min(H, W) > 2:  # tiny images have symmetries of their own
        assert torch.equal(found.sign, sign) and torch.equal(found.rotated, rotated)


def test_alignment_says_what_it_did():
    x = torch.zeros(1, 3, 16, 16)
    x[..., 4:10, 5:11] = image(1, 3, 6, 6, dtype=torch.float32)
    found = pr.align(-x.roll((3, -2), (-2, -1)), x)
    assert torch.equal(found.image, x)
    assert [field.item() for field in found[1:]] == [False, -3, 2, -1, 0.0]
    found = pr.align(pr.rotate(x), x)
    assert [field.item() for field in found[1:]] == [True, 0, 0, 1, 0.0]


def test_alignment_is_the_best_of_all_members():
    x, x_hat = image(1, 2, 3, 4) - 0.5, image(1, 2, 3, 4, seed=1) - 0.5
    canvas, target = pr.pad(x_hat), pr.pad(x)
    errors = [
        (sign * pr.shift(copy, dy, dx) - target).norm()
        for copy in (canvas, pr.pad(pr.rotate(x_hat)))
        for dy in range(6)
        for dx in range(8)
        for sign in (1, -1)
    ]
    torch.testing.assert_close(pr.align(x_hat, x).error[0], min(errors) / x.numel() ** 0.5)


def test_channels_are_aligned_apart_or_together():
    x = image(2, 3, 8, 8)
    mixed = torch.stack([x[:, 0], pr.rotate(x)[:, 1], -x[:, 2]], dim=1)
    found = pr.align_channels(mixed, x)
    assert torch.equal(found.image, x) and found.error.eq(0).all()
    assert found.rotated.tolist() == [[False, True, False]] * 2 and found.sign.tolist() == [[1, 1, -1]] * 2
    together = pr.align(mixed, x)
    assert together.error.shape == (2,) and (together.error > 0.1).all()


def test_the_error_is_an_rms_over_the_pixels():
    x = image(1, 3, 8, 8) + 1
    assert pr.align(x + 0.01, x).error.item() == pytest.approx(0.01)
    assert pr.align(torch.zeros_like(x), x).error.item() == pytest.approx(x.square().mean().sqrt().item())


def test_ties_go_to_the_identity():
    for x in (torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)):
        found = pr.align(x, x, oversampling=1)
        assert [field.item() for field in found[1:]] == [False, 0, 0, 1, 0.0]


def test_one_truth_for_many_estimates_and_no_sample_minds_its_batch():
    x, x_hat = image(1, 3, 8, 8), image(4, 3, 8, 8, seed=1)
    for function in (pr.align, pr.align_channels):
        together, alone = function(x_hat, x), [function(x_hat[i : i + 1], x) for i in range(4)]
        for name in together._fields:
            assert torch.equal(getattr(together, name), torch.cat([getattr(each, name) for each in alone]))


def test_pairs_are_checked():
    x = image(1, 3, 8, 8)
    for function in (pr.align, pr.align_channels, pr.orientation, pr.copies):
        with pytest.raises(ValueError, match=r"x: got shape \(1, 3, 8, 7\), expected that of x_hat, \(1, 3, 8, 8\), or a batch of 1"):
            function(x, x[..., :7])
        with pytest.raises(ValueError, match=r"^x_hat: got shape \(3, 8, 8\), expected \(B, C, H, W\)$"):
            function(x[0], x)
        with pytest.raises(TypeError, match="x: got list, expected a floating-point torch.Tensor"):
            function(x, [x])


# Which copy


def test_orientation_of_the_copies_and_of_what_is_between():
    x = image(1, 3, 8, 8)
    one = torch.ones(1, 3, dtype=torch.float64)
    torch.testing.assert_close(pr.orientation(x, x), one)
    torch.testing.assert_close(pr.orientation(-pr.rotate(x), x), -one)
    torch.testing.assert_close(pr.orientation((x + pr.rotate(x)) / 2, x), 0 * one)


@brief
@given(sizes, seeds)
def test_orientation_is_at_most_one(size, seed):
    found = pr.orientation(image(*size, seed=seed) - 0.3, image(*size, seed=seed + 1))
    assert (found.isnan() | (found.abs() <= 1 + 1e-9)).all()


def test_a_channel_that_is_its_own_copy_has_no_say():
    x = image(1, 3, 8, 8)
    x[:, 1] = (x[:, 1] + pr.rotate(x[:, 1])) / 2
    assert pr.orientation(x, x).isnan().tolist() == [[False, True, False]]
    assert pr.copies(pr.rotate(x), x) == ["rotated"]
    assert pr.copies(x, (x + pr.rotate(x)) / 2) == ["symmetric"]


def test_copies_have_names():
    x = image(1, 3, 8, 8)
    turned = pr.rotate(x)
    batch = torch.cat([x, turned, torch.cat([x[:, :1], turned[:, 1:]], 1), x / 2 + turned / 2, 0.9 * x + 0.1 * turned])
    assert pr.copies(batch, x) == ["upright", "rotated", "mixed", "neither", "upright"]
    assert pr.copies(batch[4:], x, least=0.95) == ["neither"]


# What couples the channels


@brief
@given(sizes, seeds)
def test_no_turn_changes_the_vectorial_total_variation(size, seed):
    x = image(*size, seed=seed)
    torch.testing.assert_close(pr.vectorial_total_variation(pr.rotate(x)), pr.vectorial_total_variation(x))


def test_vectorial_total_variation_is_its_definition():
    x = torch.zeros(1, 2, 2, 2)
    x[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    assert pr.vectorial_total_variation(x).item() == pytest.approx((5 + 5) / 4)


def test_matched_channels_agree():
    x, _ = images.examples(8)
    wrong = torch.tensor([[False, True, True], [True, False, True]]).repeat(4, 1)[..., None, None]
    mixed = torch.where(wrong, pr.rotate(x), x)
    assert set(pr.copies(mixed, x)) == {"mixed"}
    assert pr.copies(pr.match_channels(mixed), x) == ["upright", "rotated"] * 4
    assert torch.equal(pr.match_channels(mixed[:, :1]), mixed[:, :1])


# Retrieval


def test_error_reduction_is_projected_gradient_descent():
    x = image(2, 3, 8, 6)
    y = A.A(image(2, 3, 8, 6, seed=1))
    step = next(pr.error_reduction(A, y, x))
    torch.testing.assert_close(step, (x - A.gradient(x, y)).clamp(0, 1))


@brief
@given(sizes, seeds, st.floats(0, 0.1), st.sampled_from([(0, 1), (0, math.inf), (-math.inf, math.inf)]))
def test_the_misfit_of_error_reduction_never_rises(size, seed, sigma, bounds):
    x = image(*size, seed=seed)
    y = A.measure(x, sigma, torch.Generator().manual_seed(seed)).clamp(min=0)
    walk = pr.error_reduction(A, y, pr.random_start(A, y, torch.Generator().manual_seed(seed)).clamp(*bounds), 30, bounds)
    misfits = torch.stack([pr.misfit(A, x_hat, y) for x_hat in walk])
    assert (misfits.diff(dim=0) <= 1e-10).all()


def test_hybrid_input_output_is_fienups():
    y, x = A.A(image(2, 3, 8, 6)), image(2, 3, 8, 6, seed=1)
    canvas = pr.pad(x)
    support = pr.pad(torch.ones_like(x)).bool()
    walk = pr.hybrid_input_output(A, y, x, beta=0.7, bounds=(0, math.inf))
    for _ in range(4):
        spectrum = torch.fft.fft2(canvas)
        output = torch.fft.ifft2((16 * 12) ** 0.5 * y * spectrum / spectrum.abs()).real
        obeys = support & (output >= 0)
        canvas = torch.where(obeys, output, canvas - 0.7 * output)
        torch.testing.assert_close(next(walk), torch.where(obeys, output, 0)[..., :8, :6])


def test_the_truth_stays():
    x = image(2, 3, 8, 6)
    for walk in (pr.error_reduction, pr.hybrid_input_output):
        torch.testing.assert_close(last(walk(A, A.A(x), x, 5)), x)


@pytest.mark.parametrize("bounds", [(0, 1), (0, math.inf)])
def test_hio_finds_a_simple_object_where_error_reduction_does_not(bounds):
    x = boxes()
    y = A.A(x).expand(8, -1, -1, -1)
    start = pr.random_start(A, y, generators(*range(8)))
    by_hio = last(pr.error_reduction(A, y, last(pr.hybrid_input_output(A, y, start, 400, bounds=bounds)), 100, bounds))
    by_er = last(pr.error_reduction(A, y, start, 500, bounds))
    hio, er = (pr.align(x_hat, x).error for x_hat in (by_hio, by_er))
    assert (hio < 0.02).sum() >= 4 and (er < 0.02).sum() < (hio < 0.02).sum()
    assert hio.median() < er.median()


def test_starts_have_the_measured_energy_and_differ():
    y = A.A(boxes()).expand(2, -1, -1, -1)
    start = pr.random_start(A, y, generators(0, 1))
    assert start.shape == (2, 1, 16, 16) and not torch.equal(start[0], start[1])
    assert start.norm() < y.norm()


@pytest.mark.parametrize("side", [7, 20, 64])
def test_a_sample_is_the_same_in_any_batch(side):
    """To the last bit: HIO is chaotic, and would make much of the smallest difference."""
    y = A.A(image(3, 3, side, side, dtype=torch.float32))
    together = pr.retrieve(A, y, starts=2, hio=40, er=5, generator=generators(5, 6, 7))
    alone = [pr.retrieve(A, y[i : i + 1], starts=2, hio=40, er=5, generator=generators(5 + i)) for i in range(3)]
    assert torch.equal(together.x_hat, torch.cat([each.x_hat for each in alone]))
    assert torch.equal(together.misfit, torch.cat([each.misfit for each in alone]))


def test_retrieve_keeps_the_best_start_of_each_channel():
    y = A.measure(image(2, 3, 8, 8, dtype=torch.float32), 0.01, torch.Generator().manual_seed(0))
    best = pr.retrieve(A, y, starts=4, hio=20, er=5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pr.misfit(A, best.x_hat, y), best.misfit)
    each = pr.retrieve(A, y.repeat_interleave(4, 0), hio=20, er=5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(best.misfit, each.misfit.view(2, 4, 3).amin(1))


def test_retrieve_is_hio_of_its_beta_and_then_error_reduction():
    y = A.measure(image(2, 3, 8, 8, dtype=torch.float32), 0.01, torch.Generator().manual_seed(0))
    for beta in (0.9, 0.5):
        *_, x_hat = pr.hybrid_input_output(A, y, pr.random_start(A, y, torch.Generator().manual_seed(1)), 20, beta)
        *_, x_hat = pr.error_reduction(A, y, x_hat, 5)
        found = pr.retrieve(A, y, hio=20, er=5, beta=beta, generator=torch.Generator().manual_seed(1))
        assert torch.equal(found.x_hat, x_hat)


def test_noise_is_met_at_its_level():
    x, _ = images.examples(2)
    y = A.measure(x, 0.005, torch.Generator().manual_seed(0))
    found = pr.retrieve(A, y, hio=200, er=50, generator=generators(0, 1))
    assert (found.misfit < 0.006).float().mean() >= 0.5
    assert pr.misfit(A, x, y).mean().item() == pytest.approx(0.005, rel=0.05)


def test_what_is_no_phase_retrieval_is_refused():
    y = A.A(boxes())
    calls = [
        lambda operator, y: pr.random_start(operator, y),
        lambda operator, y: next(pr.error_reduction(operator, y, boxes())),
        lambda operator, y: next(pr.hybrid_input_output(operator, y, boxes())),
        lambda operator, y: pr.retrieve(operator, y),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="operator: got SuperResolution, expected a FourierMagnitude"):
            call(SuperResolution(2), y)
        with pytest.raises(ValueError, match="^y: got shape .*, expected sides that oversampling 2 divides"):
            call(A, y[..., :-1])
        with pytest.raises(ValueError, match=r"^y: got \d+ of \d+ values NaN or infinite, expected finite values"):
            call(A, y * torch.nan)
        with pytest.raises(TypeError, match="y: got dtype torch.float16, expected torch.float32 or torch.float64"):
            call(A, y.half())
