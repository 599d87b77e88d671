"""Intervals cover, p-values agree with them, KID is unbiased: against tables, simulations, and sums written out."""

import itertools

import numpy as np
import pytest
import torch

from treg_edu import metrics
from treg_edu.checks import ArgumentError
from treg_edu.experiments import intervals

TRIALS = 3000
SKEWED = {
    "normal": (lambda rng, shape: rng.normal(3, 2, shape), 3.0),
    "gamma": (lambda rng, shape: rng.gamma(4, 1, shape), 4.0),  # a skewness of 1
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
}


def coverage(samples, mean, limits=None):
    found = [intervals.mean_interval(row, limits) for row in samples]
    return np.mean([low <= mean <= high for _, low, high in found])


@pytest.mark.parametrize(("count", "level", "expected"), [(2, 0.95, 12.706), (8, 0.95, 2.365), (16, 0.99, 2.947), (48, 0.95, 2.012)])
def test_an_interval_is_as_wide_as_the_printed_tables_say(count, level, expected):
    values = np.random.default_rng(0).normal(size=count)
    mean, low, high = intervals.mean_interval(values, level=level)
    assert (high - low) / 2 == pytest.approx(expected * values.std(ddof=1) / count**0.5, rel=3e-4) and mean == pytest.approx(values.mean())


@pytest.mark.parametrize("count", [8, 16, 48])
@pytest.mark.parametrize("kind", SKEWED)
def test_95_percent_intervals_cover(kind, count):
    """0.95 less three deviations of the simulation, and a point for the skewness."""
    draw, mean = SKEWED[kind]
    assert coverage(draw(np.random.default_rng(count), (TRIALS, count)), mean) > 0.95 - 3 * (0.05 / TRIALS) ** 0.5 - 0.01


@pytest.mark.parametrize("count", [8, 16, 48])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("seeds", [1, 2])
def test_intervals_of_shares_cover(share, count, seeds):
    """Pictures that are easy or hard, and a mean over their seeds."""
    rng = np.random.default_rng(count)
    own = rng.beta(2 * share, 2 * (1 - share), (TRIALS, count, 1))
    samples = (rng.random((TRIALS, count, seeds)) < own).mean(2)
    assert coverage(samples, share, (0, 1)) > 0.93
    if share > 0.9 and count == 8:
        assert coverage(samples, share) < 0.7  # the plain interval fails where nearly all are right


@pytest.mark.parametrize("count", [8, 16, 48])
@pytest.mark.parametrize(("first", "second"), [(0.5, 0.5), (0.95, 0.8), (1.0, 0.9)])
def test_intervals_of_paired_differences_of_shares_cover(first, second, count):
    rng = np.random.default_rng(count)
    samples = (rng.random((TRIALS, count)) < first) * 1.0 - (rng.random((TRIALS, count)) < second)
    assert coverage(samples, first - second, (-1, 1)) > 0.93


@pytest.mark.parametrize("count", [8, 16])
def test_the_percentile_bootstrap_covers_less(count):
    samples = np.random.default_rng(count).gamma(4, 1, (400, count))
    found = [metrics.confidence_interval(row, n=500) for row in samples]
    assert np.mean([low <= 4 <= high for _, low, high in found]) < coverage(samples, 4.0) - 0.01


@pytest.mark.parametrize("limits", [None, (-1, 1)])
def test_p_is_below_a_level_where_the_interval_leaves_0_out(limits):
    rng = np.random.default_rng(0)
    for shift in np.linspace(0, 0.6, 30):
        values = np.clip(rng.normal(shift, 0.4, 12), -1, 1)
        p = intervals.p_value(values, limits)
        for level in (0.9, 0.95, 0.99):
            _, low, high = intervals.mean_interval(values, limits, level)
            assert (p < 1 - level) == (not low <= 0 <= high)


def test_p_is_uniform_where_nothing_differs():
    samples = np.random.default_rng(1).normal(size=(2000, 10))
    found = np.sort([intervals.p_value(row) for row in samples])
    assert np.abs(found - np.linspace(0, 1, 2000)).max() < 0.04  # Kolmogorov–Smirnov: 0.03 at 5 %, 0.044 at 0.1 %


def test_differences_that_are_all_alike():
    assert intervals.p_value([0.0] * 4) == 1 and intervals.p_value([0.5] * 4) == 0
    assert intervals.mean_interval([0.5] * 4) == (0.5, 0.5, 0.5)
    mean, low, high = intervals.mean_interval([1.0] * 8, (0, 1))
    assert mean == high == 1 and 0.6 < low < 0.7  # "all of eight" does not prove more


def test_holm_by_hand():
    assert intervals.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert intervals.holm([0.9, 0.6]) == [1, 1] and intervals.holm([]) == []


def test_holm_keeps_the_share_of_false_alarms():
    """Of twenty true hypotheses read together, one or more is rejected in 5 % of the cases; without the correction in 64 %."""
    p = np.random.default_rng(2).random((1500, 20))
    assert np.mean([min(intervals.holm(row)) < 0.05 for row in p]) < 0.07 < 0.5 < np.mean(p.min(1) < 0.05)


@pytest.mark.parametrize("wrong", [[1.0], [[1.0, 2.0]], [1.0, float("nan")]])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match="^values: got "):
        intervals.mean_interval(wrong)


# KID


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kid_written_out(a, b):
    """The mean over ordered pairs of different pictures."""
    a, b = (each / each.norm(dim=1, keepdim=True) * each.shape[1] ** 0.5 for each in (a, b))
    k = lambda u, v: ((u @ v) / len(u) + 1) ** 3  # noqa: E731
    pairs = itertools.permutations(range(len(a)), 2)
    return np.mean([(k(a[i], a[j]) + k(b[i], b[j]) - k(a[i], b[j]) - k(a[j], b[i])).item() for i, j in pairs])


def test_the_parts_are_the_jackknifes():
    a, b = normal(0, 2, 6, 5), normal(1, 6, 5)
    parts = intervals.kid_parts(a, b)
    whole = np.mean([kid_written_out(each, b) for each in a])
    assert parts.mean() == pytest.approx(whole)
    rest = np.mean([kid_written_out(each[1:], b[1:]) for each in a])
    assert parts[0] == pytest.approx(6 * whole - 5 * rest)


def test_kid_of_pictures_drawn_alike_is_0_in_the_mean_at_any_count():
    """Also where each reconstruction is near its own picture, which a plain mean over all pairs would be biased by."""
    for count in (4, 12):
        found = []
        for seed in range(300):
            real = normal(seed, count, 8)
            near = 0.9 * real + (1 - 0.9**2) ** 0.5 * normal(1000 + seed, count, 8)
            found.append(intervals.kid_parts(near[None], real).mean())
        _, low, high = intervals.mean_interval(found, level=0.999)
        assert low < 0 < high
    assert intervals.kid_parts(normal(5, 1, 30, 8) + 1, normal(6, 30, 8)).mean() > 10 * high


def test_the_interval_of_kid_covers():
    """A shift of one coordinate, the true value by many draws."""
    draws = [(normal(seed, 1, 16, 6) + torch.eye(6)[0], normal(5000 + seed, 16, 6)) for seed in range(400)]
    parts = [intervals.kid_parts(a, b) for a, b in draws]
    assert coverage(parts, np.mean([each.mean() for each in parts])) > 0.9


def test_two_pictures_have_no_jackknife():
    with pytest.raises(ValueError, match="^real: got 2 pictures"):
        intervals.kid_parts(normal(0, 1, 2, 5), normal(1, 2, 5))


# How many pictures a difference needs


@pytest.mark.parametrize(("spread", "difference", "power", "expected"), [(1.0, 0.5, 0.8, 32), (0.5, 0.1, 0.9, 263), (0.5, -0.1, 0.9, 263)])
def test_pictures_needed_are_those_of_the_textbooks(spread, difference, power, expected):
    """((1.960 + 0.842) 2)² = 31.4, ((1.960 + 1.282) 5)² = 262.7."""
    assert intervals.pictures_needed(spread, difference, power) == expected
    assert intervals.power(expected, spread, difference) >= power > intervals.power(expected - 1, spread, difference)


@pytest.mark.parametrize("count", [24, 60])
def test_the_power_is_that_of_the_t_test(count):
    """Within three deviations of the simulation, and what Student's t costs at 24 pictures."""
    draws = np.random.default_rng(count).normal(0.3, 0.6, (TRIALS, count))
    found = np.mean([intervals.p_value(row) < 0.05 for row in draws])
    assert found == pytest.approx(intervals.power(count, 0.6, 0.3), abs=3 * (0.25 / TRIALS) ** 0.5 + 0.02)


def test_a_power_that_makes_no_sense_is_named():
    for given, name in (((1.0, 0.0), "difference"), ((0.0, 1.0), "spread"), ((1.0, 1.0, 1.0), "power"), ((1.0, 1.0, 0.9, 1.0), "level")):
        with pytest.raises(ArgumentError, match=f"^{name}: got"):
            intervals.pictures_needed(*given)
    with pytest.raises(ArgumentError, match="^count: got 0"):
        intervals.power(0, 1.0, 1.0)
