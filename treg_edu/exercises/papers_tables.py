"""Checks of the exercises in notebook 09."""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from scipy.special import stdtrit

from .base import Attempt, Hints, answered, more, normal, verdict

__all__ = [
    "HINTS",
    "check_chosen_beforehand",
    "check_discordant",
    "check_fair_lead",
    "check_no_difference",
    "check_not_worse",
    "check_pictures_needed",
    "check_trivial_winner",
]

HINTS: Hints = {
    "no_difference": (
        "A large p-value is what a study finds when there is no difference. It is also what a small study finds when there is one.",
        "Imagine the same study with 3 pictures in place of 24. Would its p-value be larger or smaller?",
        "The p-value alone cannot tell the two cases apart. An interval and a margin can.",
    ),
    "trivial_winner": (
        "The pseudo-inverse knows the measurement and nothing else. Which of the figures looks at nothing but the measurement?",
        "A A† y = y for every y that A can produce. Insert x̂ = A† y into each definition.",
        "The RMS of y − A(x̂) is 0 for this x̂.",
    ),
    "not_worse": (
        "The difference is taken picture by picture, and compared with the margin. The usual mistake is to compare it with 0.",
        "d = own − rival, one number a picture; (mean, low, high) = mean_interval(d). Distances: a large d is bad.",
        '"holds" if high < margin, "fails" if low > margin, otherwise "undecided".',
    ),
    "fair_lead": (
        "Our method was tried with all of its settings and shows the best. What do the rivals show?",
        "The default is one of a rival's settings. A fair comparison gives each rival its own best setting.",
        "Take min(each.values()) for each rival, in place of its value at the default.",
    ),
    "chosen_beforehand": (
        "The least value on the test pictures is too good: it is the setting that was lucky there.",
        "The tuning pictures choose a setting. The test pictures say what it is worth.",
        "test[min(tuning, key=tuning.get)]",
    ),
    "pictures_needed": (
        "Two things can go wrong: a difference that is not there is found, or one that is there is missed. Each has its own quantile.",
        "The mean of n differences has the deviation s/√n. It must lie z(1 − α/2) deviations beyond 0, with probability `power`.",
        "δ ≥ (z(0.975) + z(power)) s/√n. Solve for n and round up.",
    ),
    "discordant": (
        "Take every pair of solvers once. The two metrics disagree if one of them prefers the first solver and the other the second.",
        "The sign of a[i] − a[j] is the preference of the first metric. Multiply the two signs.",
        "Count the pairs i < j with (a[i] − a[j]) (b[i] − b[j]) < 0, and divide by N (N − 1) / 2.",
    ),
}


def check_no_difference(answer: Any) -> None:
    """answer: "equal", "cheaper wins" or "nothing": what follows from p = 0.3 for the difference of two solvers on 24 pictures."""
    right = "with enough noise, or few enough pictures, p is large for any two solvers; equality needs an interval within a margin"
    wrong = {
        "equal": "a difference may be there that 24 pictures cannot show; no evidence of a difference is no evidence of equality",
        "cheaper wins": "it would, if the quality were known to be no lower; p = 0.3 does not say so",
    }
    answered(answer, "nothing", right, wrong, more("no_difference"))


def check_trivial_winner(answer: Any) -> None:
    """answer: "psnr", "misfit", "top-1" or "distance": the one that the pseudo-inverse wins against every solver, however it looks."""
    right = "A A† y = y, so its misfit is 0 before the picture is clipped to [0, 1]; the misfit never looks at x"
    wrong = {
        "psnr": "A†y is smooth, which PSNR likes, but a good prior comes closer to x than that",
        "top-1": "the judge has to recognise the thing, and sixteen pixels show none",
        "distance": "it compares features of the pictures, and A†y is blurred",
    }
    answered(answer, "misfit", right, wrong, more("trivial_winner"))


def interval(values: torch.Tensor) -> tuple[float, float, float]:
    """As `experiments.intervals.mean_interval`, which stands on a higher floor."""
    numbers = values.double().cpu().numpy()
    wide = float(stdtrit(len(numbers) - 1, 0.975)) * float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    return float(numbers.mean()), float(numbers.mean()) - wide, float(numbers.mean()) + wide


def by(low: float, high: float, margin: float) -> str:
    return "holds" if high < margin else "fails" if low > margin else "undecided"


def check_not_worse(attempt: Attempt) -> None:
    """attempt(own, rival, margin) → "holds", "fails" or "undecided": is `own` farther from the truth by no more than `margin`?

    own, rival: (N,), perceptual distances of the same pictures.
    """
    pictures = 3 * normal(24, seed=110)
    small, large = 0.02 * normal(24, seed=111), 0.4 * normal(24, seed=112)
    cases = [
        ("the same quality", (pictures + small, pictures, 0.1), "holds"),
        ("a difference that is told from 0 but is within the margin", (pictures + 0.05 + small, pictures, 0.1), "holds"),
        ("a difference beyond the margin", (pictures + 0.2 + small, pictures, 0.1), "fails"),
        ("a method that is much better", (pictures - 0.5 + small, pictures, 0.1), "holds"),
        ("a large spread", (pictures + large - large.mean(), pictures, 0.1), "undecided"),
        ("a mean within the margin, and an interval that is not", (pictures + 0.05 + large - large.mean(), pictures, 0.1), "undecided"),
    ]

    def unpaired(own: torch.Tensor, rival: torch.Tensor, margin: float) -> str:
        return by(interval(own)[1] - interval(rival)[2], interval(own)[2] - interval(rival)[1], margin)

    def equivalent(own: torch.Tensor, rival: torch.Tensor, margin: float) -> str:
        _, low, high = interval(own - rival)
        return "holds" if -margin < low and high < margin else "fails" if low > margin or high < -margin else "undecided"

    mistakes = {
        "You compared the two means' own intervals; the pictures come in pairs, so take the difference first": unpaired,
        "You tested whether there is any difference; the margin says how much is allowed": lambda own, rival, margin: (
            "holds" if interval(own - rival)[1] <= 0 <= interval(own - rival)[2] else "fails"
        ),
        "You looked at the mean alone, and not at its interval": lambda own, rival, margin: (
            "holds" if float((own - rival).mean()) < margin else "fails"
        ),
        "You took rival − own; a large distance is bad": lambda own, rival, margin: by(*interval(rival - own)[1:], margin),
        "You asked for equality on both sides; a method that is better is not worse": equivalent,
        'You took 0 for the margin where the answer is "fails"': lambda own, rival, margin: (
            "fails" if interval(own - rival)[1] > 0 else by(*interval(own - rival)[1:], margin)
        ),
    }
    verdict(attempt, cases, more("not_worse"), mistakes=mistakes)


Settings = Mapping[str, float]
"""{setting: perceptual distance}."""


def check_fair_lead(attempt: Attempt) -> None:
    """attempt(own, rivals, default) → by how much `own` at its best is nearer to the truth than the best rival at its best.

    own: {setting: distance}.  rivals: {name: {setting: distance}}.  default: the setting that the rivals' authors have.
    """
    own = {"10 steps": 2.4, "25 steps": 2.1, "50 steps": 2.2}
    tuned = {"a": {"10 steps": 3.0, "25 steps": 1.9, "50 steps": 2.5}, "b": {"10 steps": 2.6, "25 steps": 2.9, "50 steps": 2.3}}
    at_default = {name: {**each, "50 steps": min(each.values()) - 0.3} for name, each in tuned.items()}

    def with_(ours: Any, theirs: Any) -> Attempt:
        def lead(own: Settings, rivals: Mapping[str, Settings], default: str) -> float:
            return theirs(list(rivals.values()), default) - ours(own, default)

        return lead

    def best(own: Settings, _: str) -> float:
        return min(own.values())

    def best_of_best(rivals: list[Settings], _: str) -> float:
        return min(min(each.values()) for each in rivals)

    right = with_(best, best_of_best)
    cases = []
    for case, rivals in (("rivals whose default is their best", at_default), ("rivals whose default is not their best", tuned)):
        cases.append((case, (own, rivals, "50 steps"), right(own, rivals, "50 steps")))
    mistakes = {
        "The rivals still run at their default": with_(best, lambda rivals, default: min(each[default] for each in rivals)),
        "Now all of them run at the default, ours too; that is a choice of settings as well": with_(
            lambda own, default: own[default], lambda rivals, default: min(each[default] for each in rivals)
        ),
        "You compared with the worst rival": with_(best, lambda rivals, _: max(min(each.values()) for each in rivals)),
        "You compared with the rivals' mean": with_(best, lambda rivals, _: sum(min(each.values()) for each in rivals) / len(rivals)),
        "The sign is that of a loss: positive where ours is farther from the truth": lambda own, rivals, default: (
            -right(own, rivals, default)
        ),
    }
    verdict(attempt, cases, more("fair_lead"), mistakes=mistakes)


def check_chosen_beforehand(attempt: Attempt) -> None:
    """attempt(tuning, test) → the distance that a method may report.  tuning, test: {setting: distance}, on different pictures."""
    cases = [
        ("a setting that is best on both", ({"a": 2.0, "b": 3.0}, {"a": 2.2, "b": 3.1}), 2.2),
        ("a setting that is lucky on the test pictures", ({"a": 2.0, "b": 2.1, "c": 2.5}, {"a": 2.6, "b": 2.2, "c": 1.9}), 2.6),
    ]
    mistakes = {
        "You chose the setting on the test pictures": lambda tuning, test: min(test.values()),
        "You reported the distance on the tuning pictures, on which the setting was chosen": lambda tuning, test: min(tuning.values()),
        "You chose by both sets of pictures together": lambda tuning, test: test[min(tuning, key=lambda name: tuning[name] + test[name])],
        "You took the worst setting of the tuning pictures": lambda tuning, test: test[max(tuning, key=tuning.get)],
    }
    verdict(attempt, cases, more("chosen_beforehand"), mistakes=mistakes)


def check_pictures_needed(attempt: Attempt) -> None:
    """attempt(s, delta, power) → the fewest pictures with which a paired difference of `delta` is told from 0 at level 5 %, two-sided.

    s: the standard deviation of the differences over pictures.  power: the probability of finding it.  By the normal distribution.
    """

    def z(p: float) -> float:
        return NormalDist().inv_cdf(p)

    def least(quantiles: float, s: float, delta: float) -> int:
        return math.ceil((quantiles * s / delta) ** 2)

    cases = []
    for s, delta, power in ((1.0, 0.5, 0.8), (0.5, 0.1, 0.9), (2.0, 0.5, 0.5)):
        told = f"s = {s}, δ = {delta}, a power of {power}"
        cases.append((told, (s, delta, power), least(z(0.975) + z(power), s, delta)))
    mistakes = {
        "With so few pictures the difference is found in half of the cases; where is the power?": lambda s, d, power: least(z(0.975), s, d),
        "This is for a one-sided test": lambda s, d, power: least(z(0.95) + z(power), s, d),
        "You rounded down or to the nearest; the fewest that suffice are rounded up": lambda s, d, power: math.floor(
            ((z(0.975) + z(power)) * s / d) ** 2
        ),
        "You forgot the square": lambda s, d, power: math.ceil((z(0.975) + z(power)) * s / d),
        "This is for two groups of different pictures; here they come in pairs": lambda s, d, power: math.ceil(
            2 * ((z(0.975) + z(power)) * s / d) ** 2
        ),
        "You took s for the variance": lambda s, d, power: math.ceil((z(0.975) + z(power)) ** 2 * s / d**2),
    }
    verdict(attempt, cases, more("pictures_needed"), mistakes=mistakes)


def check_discordant(attempt: Attempt) -> None:
    """attempt(a, b) → the share of pairs of solvers that two metrics order differently.  a, b: (N,), large is good, no two alike."""
    cases = []
    orders = {"the same order": [0, 1, 2, 3], "the reverse": [3, 2, 1, 0], "one exchange": [0, 2, 1, 3], "another order": [2, 0, 3, 1]}
    for case, order in orders.items():
        a, b = torch.tensor([0.1, 0.4, 0.5, 2.0]), torch.tensor(order) * 10.0
        cases.append((case, (a, b), share(a, b)))
    a, b = normal(9, seed=120), normal(9, seed=121)
    cases.append(("nine solvers", (a, b), share(a, b)))
    mistakes = {
        "You counted the pairs; their share is asked for": lambda a, b: share(a, b) * len(a) * (len(a) - 1) / 2,
        "You divided by N²; there are N (N − 1) / 2 pairs": lambda a, b: share(a, b) * (len(a) - 1) / len(a),
        "You counted each pair twice": lambda a, b: 2 * share(a, b),
        "These are the pairs that both order alike": lambda a, b: 1 - share(a, b),
        "This is Kendall's τ, the difference of both shares": lambda a, b: 1 - 2 * share(a, b),
        "You compared the places one by one; a pair is two solvers": lambda a, b: (
            (a.argsort().argsort() != b.argsort().argsort()).double().mean().item()
        ),
    }
    verdict(attempt, cases, more("discordant"), mistakes=mistakes)


def share(a: torch.Tensor, b: torch.Tensor) -> float:
    """Kendall's distance (1938), over the number of pairs."""
    rows, columns = np.triu_indices(len(a), 1)
    return ((a[rows] - a[columns]) * (b[rows] - b[columns]) < 0).double().mean().item()
