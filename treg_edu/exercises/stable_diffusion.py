"""Checks of the exercises in notebook 11."""

from collections.abc import Sequence
from typing import Any

import torch

from .base import Attempt, Hints, answered, more, uniform, verdict

__all__ = [
    "HINTS",
    "check_in_our_units",
    "check_largest_consistent",
    "check_noise_share",
    "check_passes",
    "check_twice_the_side",
]

HINTS: Hints = {
    "twice_the_side": (
        "Ask what the decoder holds at one time: feature maps. How many numbers has one of them?",
        "A feature map has channels × height × width numbers, and a convolution's weights do not depend on the picture's size.",
        "Height and width both double. The decoder's attention sees the latents alone, in blocks, and is not the largest part.",
    ),
    "in_our_units": (
        "x' = 2x − 1 maps [0, 1] to [−1, 1]. The usual mistake is to convert the noise and to forget the step.",
        "Differences are doubled by the map: y' − A(x') = 2 (y − A(x)). So their deviations are doubled, and so are their norms.",
        "σ = σ' / 2. And ρ' ‖y' − A(x')‖ = 2ρ' ‖y − A(x)‖, so the same step is ρ = 2ρ'.",
    ),
    "noise_share": (
        "Print 1 − ᾱ for ᾱ = 0.99915 in bfloat16. What does ᾱ itself become when it is rounded?",
        "bfloat16 keeps eight bits: between ½ and 1 its numbers are 1/256 apart. Round what is small, not what is near 1.",
        "Subtract and take the root first, then convert: (1 - alpha_bar).sqrt().to(dtype).",
    ),
    "passes": (
        "Count with a pencil for 4 steps and Γ every second one. The usual mistake is the decoder: the last picture is decoded too.",
        "Guidance takes two passes through the U-Net at every step. Γ begins with the first step, so it has ⌈steps / every⌉ members.",
        "U-Net 2 · steps; decoder and encoder once at each step of Γ, and the decoder once more at the end.",
    ),
    "largest_consistent": (
        "You do not know the picture, but you know σ. Which misfit, in σ, would the truth itself have?",
        "Take the mean over pictures for each scale, and keep the scales whose mean is at most the limit.",
        "Of those, the largest scale; if there is none, the scale with the smallest mean misfit.",
    ),
}


def check_twice_the_side(answer: Any) -> None:
    """answer: how many times as much memory the decoder's feature maps need when both sides of the picture are doubled."""
    right = "a feature map has channels × height × width numbers, and both sides double"
    wrong = {
        2: "this would hold if one side were doubled",
        8: "feature maps have two sides, not three",
        16: "attention over all pixels would grow like this; the decoder is convolutions, and its one attention sees the latents",
        1: "the weights stay as they are, but the feature maps do not",
    }
    answered(answer, 4, right, wrong, more("twice_the_side"))


def check_in_our_units(attempt: Attempt) -> None:
    """attempt(sigma, step) → (σ, ρ) for pictures in [0, 1] of a noise σ' and a step ρ' along ∇‖y' − A(x')‖ for pictures in [−1, 1]."""
    cases = []
    for sigma, step in [(0.01, 1.0), (0.2, 0.3), (0.0, 8.0)]:
        cases.append((f"σ' = {sigma}, ρ' = {step}", (sigma, step), (sigma / 2, 2 * step)))
    mistakes = {
        "The noise is right; the norm of the residual is halved as well, so the step has to be doubled": lambda s, r: (s / 2, r),
        "The norm of the residual is smaller in [0, 1], so the same step needs a larger ρ": lambda s, r: (s / 2, r / 2),
        "You went the other way: [−1, 1] is twice as wide as [0, 1]": lambda s, r: (2 * s, r / 2),
        "A factor of 4 belongs to the squared norm": lambda s, r: (s / 2, 4 * r),
    }
    verdict(attempt, cases, more("in_our_units"), mistakes=mistakes)


def check_noise_share(attempt: Attempt) -> None:
    """attempt(alpha_bar, dtype) → √(1 − ᾱ) in a half-precision `dtype`, right to its last bit.  alpha_bar: a float32 scalar tensor."""
    cases = []
    for alpha_bar in (0.99915, 0.9999, 0.5, 0.0047):
        for dtype in (torch.bfloat16, torch.float16):
            a = torch.tensor(alpha_bar)
            cases.append((f"ᾱ = {alpha_bar}, {dtype}", (a, dtype), (1 - a).sqrt().to(dtype)))
    mistakes = {
        "ᾱ was rounded before it was subtracted from 1, and near 1 nothing is left": lambda a, dtype: (1 - a.to(dtype)).sqrt(),
        "1 − ᾱ was rounded before the root; a relative error stays": lambda a, dtype: (1 - a).to(dtype).sqrt(),
        "This is the share of the picture, √ᾱ": lambda a, dtype: a.sqrt().to(dtype),
        "The root is missing": lambda a, dtype: (1 - a).to(dtype),
        "The numbers are right, but in float32; convert them": lambda a, dtype: (1 - a).sqrt(),
    }
    verdict(attempt, cases, more("noise_share"), tolerance=1e-6, mistakes=mistakes)


def check_passes(attempt: Attempt) -> None:
    """attempt(steps, every) → (U-Net, decoder, encoder): the passes of TReg for one picture, without negation, Γ every `every`-th step."""
    cases = []
    for steps, every in [(4, 1), (10, 2), (25, 3), (200, 1)]:
        cases.append((f"{steps} steps, Γ every {every}", (steps, every), _passes(steps, every)))
    mistakes = {
        "Guidance takes two passes through the U-Net at every step": lambda n, k: (n, -(-n // k) + 1, -(-n // k)),
        "The picture that you return is decoded too": lambda n, k: (2 * n, -(-n // k), -(-n // k)),
        "Γ begins with the first step, so its size is rounded up": lambda n, k: (2 * n, n // k + 1, n // k),
        "Decoder and encoder run at the steps of Γ alone": lambda n, k: (2 * n, n + 1, n),
    }
    verdict(attempt, cases, more("passes"), mistakes=mistakes)


def _passes(steps: int, every: int) -> tuple[int, int, int]:
    members = -(-steps // every)
    return 2 * steps, members + 1, members


def check_largest_consistent(attempt: Attempt) -> None:
    """attempt(scales, misfits, limit) → the largest guidance scale whose mean misfit over pictures is at most `limit`.

    scales: list of S numbers, rising.  misfits: (S, B), in σ.  If no scale is consistent: the one with the smallest mean.
    """
    cases = []
    for i, limit in enumerate([1.5, 1.2, 0.1]):
        scales = [1.0, 1.5, 2.5, 4.0, 7.5]
        misfits = torch.tensor([1.3, 1.05, 1.15, 1.4, 2.0])[:, None] + 0.1 * (uniform(5, 6, seed=610 + i) - 0.5)
        cases.append((f"limit {limit} σ", (scales, misfits, limit), _largest(scales, misfits, limit)))
    mistakes = {
        "This is the scale of the smallest misfit; below the limit a smaller misfit is no better": (
            lambda s, m, limit: s[int(m.mean(1).argmin())]
        ),
        "This is the smallest consistent scale": (
            lambda s, m, limit: next((w for w, each in zip(s, m) if each.mean() <= limit), s[int(m.mean(1).argmin())])
        ),
        "One picture below the limit does not make a scale consistent; take the mean": (
            lambda s, m, limit: max([w for w, each in zip(s, m) if each.min() <= limit], default=s[int(m.mean(1).argmin())])
        ),
        "If no scale is consistent, return the one with the smallest misfit": (
            lambda s, m, limit: max([w for w, each in zip(s, m) if each.mean() <= limit], default=s[-1])
        ),
    }
    verdict(attempt, cases, more("largest_consistent"), mistakes=mistakes)


def _largest(scales: Sequence[float], misfits: torch.Tensor, limit: float) -> float:
    means = misfits.mean(1)
    consistent = [scale for scale, mean in zip(scales, means) if mean <= limit]
    return max(consistent) if consistent else scales[int(means.argmin())]
