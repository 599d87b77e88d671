"""The pictures that solvers hand to an encoder: each way of corruption is its formula."""

import pytest
import torch

from treg_edu.operators import SuperResolution
from treg_edu.training import corruption

WAYS = pytest.mark.parametrize("way", corruption.WAYS, ids=lambda way: way.__name__)


WITH_CORRECTIONS = pytest.mark.parametrize("way", [*corruption.WAYS, corruption.correct], ids=lambda way: way.__name__)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x():
    """Four pictures of large squares in random colours, values 0 and 1 among them."""
    x = torch.rand(4, 3, 8, 8, generator=seeded(9)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    x[..., :8, :8], x[..., -8:, -8:] = 0, 1
    return x


@WAYS
def test_a_corrupted_picture_is_a_picture(way, x):
    for seed in range(20):
        out = way(x, seeded(seed))
        assert out.shape == x.shape and out.dtype == x.dtype
        assert out.min() >= 0 and out.max() <= 1


@WITH_CORRECTIONS
def test_a_corruption_depends_on_its_generator_alone(way, x):
    torch.manual_seed(0)
    first = way(x, seeded())
    torch.manual_seed(1)
    assert torch.equal(way(x, seeded()), first)
    assert not torch.equal(way(x, seeded(1)), first)


@WITH_CORRECTIONS
def test_each_picture_has_a_draw_of_its_own(way, x):
    alike = torch.stack([x[0], x[1], x[0], x[1]])
    out = way(alike, seeded())
    assert not torch.equal(out[0], out[2]) and not torch.equal(out[1], out[3])


def test_fields_are_smooth_and_reach_far():
    fields = corruption.smooth_fields(200, 3, 64, seeded())
    assert fields.shape == (200, 3, 64, 64) and fields.abs().max() <= 1
    steps = fields.diff(dim=-1).abs().amax((1, 2, 3))
    # the steepest cubic through points 2 apart climbs 1.5 · 2 a cell, and overshoots of its neighbours add less than that again
    assert steps.max() < 0.75 and fields.flatten(1).std(1).min() > 0.1
    assert steps.min() < 0.1 < 0.3 < steps.max()  # cells of 32 pixels and of 8


def test_a_field_of_colour_adds_a_quarter_at_most(x):
    grey = torch.full((100, 3, 64, 64), 0.5)
    added = (corruption.colour_fields(grey, seeded()) - grey).abs().amax((1, 2, 3))
    assert added.max() <= 0.25 + 1e-6
    assert 0.2 < added.max() and added.min() < 0.05


def test_a_tint_mixes_with_one_colour(x):
    out = corruption.tint(x, seeded())
    black, white = out[:, :, 0, 0], out[:, :, -1, -1]  # a c, and 1 − a + a c
    share = 1 - (white - black)
    assert torch.allclose(share, share[:, :1].expand_as(share), atol=1e-6)
    assert (share > 0).all() and (share < 0.3 + 1e-6).all()
    torch.testing.assert_close(out, (1 - share[:, :1, None, None]) * x + black[:, :, None, None])


def test_a_blur_is_a_gaussian_of_half_a_pixel_to_three():
    flat = torch.full((4, 3, 64, 64), 0.7)
    torch.testing.assert_close(corruption.blur(flat, seeded()), flat)
    point = torch.zeros(100, 3, 64, 64)
    point[:, :, 32, 32] = 1
    spread = corruption.blur(point, seeded())
    torch.testing.assert_close(spread.sum((2, 3)), torch.ones(100, 3))
    away = torch.arange(64.0) - 32
    deviations = {dim: ((spread.sum(dim) * away.square()).sum(-1)).sqrt()[:, 0] for dim in (2, 3)}
    torch.testing.assert_close(deviations[2], deviations[3])
    assert 0.4 < deviations[2].min() < 0.7 and 2.7 < deviations[2].max() < 3.01


def test_a_collage_shows_two_pictures_under_one_mask(x):
    alike = x[:1].expand(4, -1, -1, -1)
    torch.testing.assert_close(corruption.collage(alike, seeded()), alike)
    black_and_white = torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)]).repeat(50, 1, 1, 1)
    mask = corruption.collage(black_and_white, seeded())
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    assert mask.flatten(1).std(1).median() > 0.25 and mask.mean() == pytest.approx(0.5, abs=0.05)
    for i in range(4):
        between = corruption.collage(x, seeded())[i]
        low, high = torch.minimum(x[i], x[i - 1]), torch.maximum(x[i], x[i - 1])
        assert (between >= low - 1e-6).all() and (between <= high + 1e-6).all()


def test_one_way_is_drawn_for_each_picture(monkeypatch):
    constants = [lambda x, generator, value=value: torch.full_like(x, value) for value in (0.0, 0.25, 0.5, 0.75)]
    monkeypatch.setattr(corruption, "WAYS", constants)
    out = corruption.corrupt(torch.rand(2000, 3, 2, 2), seeded()).flatten(1)
    assert torch.equal(out, out[:, :1].expand_as(out))
    for value in (0.0, 0.25, 0.5, 0.75):
        assert (out[:, 0] == value).double().mean() == pytest.approx(1 / 4, abs=0.04)


def test_a_way_is_applied_to_the_picture_in_its_place(monkeypatch):
    monkeypatch.setattr(corruption, "WAYS", [lambda x, generator: 1 - x, lambda x, generator: 1 - x])
    x = torch.rand(5, 3, 4, 4)
    assert torch.equal(corruption.corrupt(x, seeded()), 1 - x)


def test_a_correction_is_a_pixel_step(x):
    x = x.repeat(10, 1, 1, 1).double()
    added, wanted = corruption.correct(x, seeded()) - x, x.roll(1, 0) - x
    strength, errors = [], []
    for operator in map(SuperResolution, corruption.FACTORS):
        came, asked = operator.A(added), operator.A(wanted)
        share = (came * asked).sum((1, 2, 3)) / asked.square().sum((1, 2, 3))
        strength.append(share)
        errors.append((added - share[:, None, None, None] * operator.A_dagger(asked)).abs().amax((1, 2, 3)))
    error, which = torch.stack(errors, 1).min(1)
    assert (error < 1e-6).all()  # of one factor, and nothing besides
    shares = torch.stack(strength, 1)[torch.arange(40), which]
    assert set(which.tolist()) == {0, 1, 2}
    assert 0 <= shares.min() < 0.15 and 0.85 < shares.max() <= 1


def test_a_correction_leaves_the_range_of_pictures(x):
    out = corruption.correct(x.repeat(10, 1, 1, 1), seeded())
    assert out.min() < -0.05 and out.max() > 1.05
