"""Checks of the exercises in notebook 12."""

from typing import Any

import torch

from .base import Attempt, Hints, answered, more, normal, uniform, verdict

__all__ = [
    "HINTS",
    "check_chosen_checkpoint",
    "check_dropped_texts",
    "check_nearest_training_picture",
    "check_scaled_latents",
    "check_standardised",
    "check_v_to_clean",
]

HINTS: Hints = {
    "scaled_latents": (
        "z_t = √ᾱ z₀ + √(1 − ᾱ) ε. The deviation of ε is 1 whatever the latents are. The usual mistake is to compare deviations.",
        "The signal-to-noise ratio is a ratio of variances: ᾱ Var[z₀] / (1 − ᾱ).",
        "A deviation of 3 is a variance of 9.",
    ),
    "standardised": (
        "Each channel has a mean and a deviation of its own. The usual mistake is to take one mean over all channels.",
        "z has the shape (N, C, h, w). Take the mean over the pictures and places: z.mean((0, 2, 3), keepdim=True).",
        "(z − m) / s, with m as above and s = z.std((0, 2, 3), keepdim=True).",
    ),
    "v_to_clean": (
        "Both errors belong to the same z_t. So write ẑ₀ with the help of z_t and v̂, and subtract z₀. z_t drops out.",
        "ẑ₀ = √ᾱ z_t − √(1 − ᾱ) v̂, and z₀ is the same with v.",
        "ẑ₀ − z₀ = −√(1 − ᾱ) (v̂ − v). Square it, and solve for the mean square of v̂ − v.",
    ),
    "dropped_texts": (
        "Call the lines with share = 0. No text should be dropped. What comes out?",
        "coins < share is true for those that are to be dropped. What does a product with it keep?",
        "torch.where(coins < share, 0, texts).",
    ),
    "chosen_checkpoint": (
        "A checkpoint that has learnt its training pictures by heart has the lowest training loss. Which of the losses would notice?",
        "The tuning pictures are not trained on, and they are not the pictures that you report.",
        "The number of the least tuning loss: int(tuning.argmin()).",
    ),
    "nearest_training_picture": (
        "Compare each sample with all training pictures: (N, 1, C, H, W) and (1, M, C, H, W). The usual mistake is to exchange the two.",
        "The RMS difference is the root of the mean square over (C, H, W), a matrix (N, M).",
        "rms.min(1) gives both: values, the distances, and indices, which pictures they are.",
    ),
}


def check_scaled_latents(answer: Any) -> None:
    """answer: how many times as large the signal-to-noise ratio at each t is when the latents' deviation is 3 and not 1."""
    right = "the ratio is ᾱ Var[z₀] / (1 − ᾱ), and the variance is 9 times as large"
    wrong = {
        3: "this is the ratio of the deviations; the signal-to-noise ratio compares variances",
        1: "the schedule is the same, but what is hidden by the noise is not",
        1 / 9: "larger latents stand out more from the noise, not less",
        1 / 3: "larger latents stand out more from the noise, not less",
    }
    answered(answer, 9, right, wrong, more("scaled_latents"), tolerance=1e-3)


def check_standardised(attempt: Attempt) -> None:
    """attempt(z) → the latents with mean 0 and deviation 1 in each channel.  z: (N, C, h, w)."""
    cases = []
    for i, (count, channels, side) in enumerate([(6, 4, 5), (12, 2, 3)]):
        size, place = 1 + 3 * uniform(1, channels, 1, 1, seed=600 + i), 4 * normal(1, channels, 1, 1, seed=610 + i)
        z = place + size * normal(count, channels, side, side, seed=620 + i)
        cases.append((f"{count} latents of {channels} channels", (z,), standardised(z, (0, 2, 3))))
    mistakes = {
        "You took one mean and one deviation for all channels": lambda z: standardised(z, (0, 1, 2, 3)),
        "You standardised each latent by itself, so that all latents have the same mean": lambda z: standardised(z, (2, 3)),
        "You left the places apart: the mean is over h and w as well": lambda z: standardised(z, (0,)),
        "You divided by the variance": lambda z: standardised(z, (0, 2, 3)) / z.std((0, 2, 3), keepdim=True),
        "The deviations are 1, but the means stay": lambda z: z / z.std((0, 2, 3), keepdim=True),
        "The means are 0, but the deviations stay": lambda z: z - z.mean((0, 2, 3), keepdim=True),
    }
    verdict(attempt, cases, more("standardised"), tolerance=0.02, mistakes=mistakes)  # whichever of the two deviations is taken


def standardised(z: torch.Tensor, over: tuple[int, ...]) -> torch.Tensor:
    """(z − mean) / deviation, both over some of the dimensions."""
    return (z - z.mean(over, keepdim=True)) / z.std(over, keepdim=True)


def check_v_to_clean(attempt: Attempt) -> None:
    """attempt(alpha_bar) → ‖v̂ − v‖² / ‖ẑ₀ − z₀‖², the two errors of one estimate.  alpha_bar: a scalar tensor in (0, 1)."""
    cases = [(f"ᾱ = {value}", (torch.tensor(value),), torch.tensor(1 / (1 - value))) for value in (0.1, 0.5, 0.9)]
    mistakes = {
        "This is the ratio of the two lengths; their squares were asked for": lambda a: 1 / (1 - a).sqrt(),
        "This is the other ratio, the error of ẑ₀ over that of v̂": lambda a: 1 - a,
        "This is the signal-to-noise ratio, which is the ratio for the loss of the noise ε": lambda a: a / (1 - a),
        "You solved for the noise: its error is √ᾱ (v̂ − v)": lambda a: 1 / a,
    }
    verdict(attempt, cases, more("v_to_clean"), tolerance=1e-3, mistakes=mistakes)


def check_dropped_texts(attempt: Attempt) -> None:
    """attempt(texts, coins, share) → the numbers of the texts, 0 (the null text) where the coin is below the share.

    texts: (B,) whole numbers above 0.  coins: (B,) in [0, 1).  share: from 0 to 1.
    """
    cases = []
    for i, (count, share) in enumerate([(5, 0.0), (8, 0.4), (4, 1.0), (6, 0.1)]):
        texts, coins = 1 + (40 * uniform(count, seed=630 + i)).long(), uniform(count, seed=640 + i)
        cases.append((f"{count} texts, a share of {share}", (texts, coins, share), torch.where(coins < share, 0, texts)))
    mistakes = {
        "You kept the texts that were to be dropped, and dropped the others": lambda texts, coins, share: texts * (coins < share),
        "One coin decides for the whole batch": lambda texts, coins, share: texts * (coins[0] >= share),
        "You dropped the first of the batch, whatever the coins say": lambda texts, coins, share: torch.where(
            torch.arange(len(texts)) < share * len(texts), 0, texts
        ),
        "Nothing was dropped": lambda texts, coins, share: texts,
    }
    verdict(attempt, cases, more("dropped_texts"), mistakes=mistakes)


def check_chosen_checkpoint(attempt: Attempt) -> None:
    """attempt(training, tuning) → the number of the checkpoint to keep.  training, tuning: (K,), the losses of K checkpoints."""
    falling = torch.linspace(1.0, 0.1, 6)
    rising = torch.tensor([1.1, 0.8, 0.5, 0.45, 0.5, 0.9])
    cases: list[tuple[str, tuple[Any, ...], Any]] = [("six checkpoints, the last learnt by heart", (falling, rising), 3)]
    for i, count in enumerate([3, 5]):
        training, tuning = uniform(count, seed=650 + i), uniform(count, seed=660 + i)
        cases.append((f"{count} checkpoints", (training, tuning), int(tuning.argmin())))
    mistakes = {
        "You kept the checkpoint of the lowest training loss, which may have learnt its pictures by heart": lambda a, b: int(a.argmin()),
        "You kept the last checkpoint": lambda a, b: len(a) - 1,
        "You kept the checkpoint where the two losses are closest": lambda a, b: int((a - b).abs().argmin()),
        "You added the two losses, so the training pictures still count": lambda a, b: int((a + b).argmin()),
    }
    verdict(attempt, cases, more("chosen_checkpoint"), mistakes=mistakes)


def check_nearest_training_picture(attempt: Attempt) -> None:
    """attempt(samples, training) → (numbers, distances), both (N,): of each sample the nearest training picture and its RMS difference.

    samples: (N, C, H, W).  training: (M, C, H, W).
    """
    cases = []
    for i, (count, of) in enumerate([(3, 5), (4, 2), (1, 7)]):
        samples, training = uniform(count, 3, 4, 4, seed=670 + i), uniform(of, 3, 4, 4, seed=680 + i)
        distances = apart(samples, training).min(1)
        cases.append((f"{count} samples, {of} training pictures", (samples, training), (distances.indices, distances.values)))
    mistakes = {
        "You took the farthest training picture": lambda s, t: (apart(s, t).argmax(1), apart(s, t).amax(1)),
        "This is the nearest sample of each training picture": lambda s, t: (apart(s, t).argmin(0), apart(s, t).amin(0)),
        "The second result is the mean square; its root is missing": lambda s, t: (apart(s, t).argmin(1), apart(s, t).amin(1) ** 2),
        "The second result is the norm, which grows with the number of pixels": lambda s, t: (
            apart(s, t).argmin(1),
            apart(s, t).amin(1) * s[0].numel() ** 0.5,
        ),
    }
    verdict(attempt, cases, more("nearest_training_picture"), tolerance=1e-4, mistakes=mistakes)


def apart(samples: torch.Tensor, training: torch.Tensor) -> torch.Tensor:
    """RMS differences, (N, M)."""
    return (samples[:, None] - training[None]).square().mean((2, 3, 4)).sqrt()
