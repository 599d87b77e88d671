"""Intervals over pictures that cover, paired comparisons, and what is done where many of them are read at once.

Everything here takes one number a picture: the seeds of a picture are averaged first, since they share its measurement.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import ndtr, ndtri, stdtr, stdtrit
from torch.nn.functional import normalize

from .. import checks

__all__ = ["Interval", "Limits", "holm", "kid_parts", "limits_of_difference", "mean_interval", "p_value", "pictures_needed", "power"]

Interval = tuple[float, float, float]
"""(mean, low, high), 95 %."""
Limits = tuple[float, float] | None
"""The least and the largest value that a number can have, None where it has none."""


def mean_interval(values: Sequence[float] | np.ndarray, limits: Limits = None, level: float = 0.95) -> Interval:
    """(mean, low, high) of the mean over pictures: Student's t interval.

        v̄ ± t_{n−1} s / √n      (Student 1908)

    Of values with `limits`, such as shares, one picture at either limit is added to v̄, s and n, and the interval is cut at the limits: of
    eight pictures that are all named rightly, s is 0, and the plain interval would be a point (Agresti & Coull 1998 for shares; Bonett &
    Price 2012 for differences of paired shares).

    It covers the mean in 93 % of the cases or more, for 8 pictures and for 48, of normal values, moderately skewed ones and shares; of
    exponential values in 90 % for 8 pictures.  The percentile bootstrap and BCa cover less at such counts, 84 to 89 % for 8.
    tests/test_intervals.py has the simulation.  values: (N,), N ≥ 2, finite.
    """
    values, level = checked(values), share("level", level)
    centre, error, freedom = centre_and_error(values, limits)
    wide = float(stdtrit(freedom, (1 + level) / 2)) * error
    low, high = centre - wide, centre + wide
    if limits is not None:
        low, high = max(low, limits[0]), min(high, limits[1])
    return float(values.mean()), low, high


def p_value(differences: Sequence[float] | np.ndarray, limits: Limits = None) -> float:
    """Two-sided p of "the mean difference is 0", by the t test whose interval `mean_interval` is: below 0.05 where that leaves 0 out.

    differences: (N,), paired, one a picture.
    """
    centre, error, freedom = centre_and_error(checked(differences), limits)
    if error == 0:
        return 1.0 if centre == 0 else 0.0
    return 2 * float(stdtr(freedom, -abs(centre) / error))


def limits_of_difference(limits: Limits) -> Limits:
    """Of the difference of two values that have `limits`."""
    return None if limits is None else (limits[0] - limits[1], limits[1] - limits[0])


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, adjusted for being read together: each below α is significant, and all errors together stay below α  (Holm 1979).

    p̃_(i) = max_{j ≤ i} min(1, (m − j + 1) p_(j)),   p_(1) ≤ … ≤ p_(m)
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(order), 0.0
    for place, which in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[which]))
        adjusted[which] = largest
    return adjusted


def power(count: int, spread: float, difference: float, level: float = 0.95) -> float:
    """The probability that `count` pictures tell a mean difference from 0.

        Φ(√n |δ| / s − z_{(1 + level) / 2})      (normal; the chance to find the wrong sign is left out)

    spread: s, the standard deviation of the differences over pictures.  difference: δ.
    """
    count, spread = checks.integer("count", count), checks.number("spread", spread, above=0)
    away = math.sqrt(count) * abs(checks.number("difference", difference)) / spread
    return float(ndtr(away - ndtri((1 + share("level", level)) / 2)))


def pictures_needed(spread: float, difference: float, power: float = 0.9, level: float = 0.95) -> int:
    """The fewest pictures with which a mean difference is told from 0 with probability `power`, by the formula of `power`.

    n = ⌈((z_{(1 + level) / 2} + z_power) s / δ)²⌉      spread: s.  difference: δ, not 0.
    """
    spread, difference = checks.number("spread", spread, above=0), abs(checks.number("difference", difference))
    checks.expect(difference > 0, "difference", difference, "a number other than 0")
    quantiles = ndtri((1 + share("level", level)) / 2) + ndtri(share("power", power))
    return math.ceil((quantiles * spread / difference) ** 2)


def kid_parts(found: torch.Tensor, real: torch.Tensor) -> np.ndarray:
    """The kernel inception distance of reconstructions to the pictures that they are of, as N numbers whose mean it is.

        KID = mean_{i≠j} k(aᵢ, aⱼ) + k(bᵢ, bⱼ) − k(aᵢ, bⱼ) − k(aⱼ, bᵢ),   k(u, v) = (uᵀv / d + 1)³
        part i = N KID − (N − 1) KID without picture i

    It is unbiased at any N (Bińkowski et al. 2018; Gretton et al. 2012, eq. 4, for pairs), and may be slightly negative.  FID is not: its
    bias grows as N falls, and with a few dozen pictures in a thousand dimensions its covariances have no full rank.  The parts are the
    jackknife's pseudo-values (Tukey 1958), so that the interval of their mean is KID's.  Features are scaled to length √d, which makes
    uᵀv / d their cosine.  found: (S, N, d), of S seeds, which are averaged.  real: (N, d), N ≥ 3.
    """
    count = len(checks.finite("real", real))
    checks.expect(count >= 3, "real", f"{count} pictures", "at least 3: the jackknife leaves one out, and pairs must remain")
    checks.expect(found.shape[1:] == real.shape, "found", f"shape {tuple(found.shape)}", f"(S, {count}, {real.shape[1]})")
    total = torch.zeros(count, dtype=torch.float64, device="cpu")
    b = normalize(real.cpu().double(), dim=-1)
    for a in normalize(found.cpu().double(), dim=-1):
        cross = (a @ b.T + 1) ** 3
        each = (a @ a.T + 1) ** 3 + (b @ b.T + 1) ** 3 - cross - cross.T
        total += (each - torch.diag(each.diagonal())).sum(1) / len(found)
    whole = total.sum() / (count * (count - 1))
    without = (total.sum() - 2 * total) / ((count - 1) * (count - 2))
    return (count * whole - (count - 1) * without).numpy()


def share(name: str, value: float) -> float:
    """A probability that is neither 0 nor 1.  name: the argument, for the error."""
    value = checks.number(name, value, above=0)
    checks.expect(value < 1, name, value, "below 1, such as 0.95")
    return value


def checked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """(N,) finite numbers of at least two pictures, in float64."""
    values = np.asarray(values, dtype=np.float64)
    checks.expect(values.ndim == 1 and len(values) >= 2, "values", f"shape {values.shape}", "(N,), N ≥ 2 pictures")
    checks.expect(np.isfinite(values).all(), "values", "some that are not finite", "finite ones")
    return values


def centre_and_error(values: np.ndarray, limits: Limits) -> tuple[float, float, int]:
    """The centre of the interval, its standard error, its degrees of freedom."""
    values = values if limits is None else np.append(values, limits)
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), len(values) - 1
