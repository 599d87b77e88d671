"""Checks of the exercises in notebook 03."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .base import Attempt, Hints, answered, more, normal, verdict

__all__ = [
    "HINTS",
    "check_ddim_step",
    "check_enough_steps",
    "check_from_v",
    "check_gaussian_noise",
    "check_guide",
    "check_renoise",
    "check_rescaled_score",
    "check_tweedie",
    "check_walk_down",
    "check_where_text_helps",
]

HINTS: Hints = {
    "gaussian_noise": (
        "The case that goes wrong is s > 0. Taking z₀ for its mean m gives an estimate that is right only for s = 0.",
        "z_t is a sum of two independent Gaussians. Write down its mean and its variance, then the score of that Gaussian.",
        "The score is −(z_t − √ᾱ m) / (ᾱ s² + 1 − ᾱ). The identity above says what to multiply it by to get E[ε | z_t].",
    ),
    "tweedie": (
        "Two mistakes are common: forgetting to undo the shrinking of the image, and taking 1 − ᾱ for its root.",
        "Start from z_t = √ᾱ z₀ + √(1 − ᾱ) ε and solve it for z₀. Then put the estimate of the noise in place of ε.",
        "Subtract √(1 − ᾱ) times the noise from z_t, and divide the result by √ᾱ.",
    ),
    "where_text_helps": (
        "A prediction is never wrong to make. A common first thought is that a text helps most where the picture is nearly clear.",
        "At t = 50 look at the first picture of Figure 4. What could a word still tell you about it?",
        "A word helps most where nothing else says what the picture shows, so where the noise is strongest.",
    ),
    "ddim_step": (
        "The usual mistake is to use one ᾱ for both terms of the wrong level. Both weights are those of the level that you go to.",
        "It is the forward equation again, with the two estimates in the places of z₀ and ε.",
        "√ᾱ_prev times z0, plus √(1 − ᾱ_prev) times the noise. Nothing random is added.",
    ),
    "guide": (
        "Test ω = 0 and ω = 1 by hand: 0 has to give the estimate without the text, 1 the one with it. For ω = 4 it goes beyond.",
        "Write the difference of the two estimates. It points from 'without the text' to 'with the text'.",
        "Start at the estimate without the text, and add ω times the difference.",
    ),
    "enough_steps": (
        "No reference is given. The usual mistake is to compare all with the last one, which is itself not converged.",
        "If doubling the steps changes the pictures by less than the tolerance, more steps are a waste. Compare neighbours in the list.",
        "For each i compute the RMS of pictures[i] − pictures[i + 1]; return steps[i] for the first that is at most the tolerance.",
    ),
    "walk_down": (
        "The pictures keep some of the noise. So look at the amount of noise that each line leaves in z.",
        "After the step z has to be distributed as if noised to the level of a_next. Check both weights in the last line.",
        "The weight of the noise in the last line belongs to the level that the step comes from. It has to be that of a_next.",
    ),
    "rescaled_score": (
        "Three things change with the scale: the point, the noise level σ, and the slope. The slope is the one that is forgotten.",
        "log p(z_t) = log p_x(z_t / √ᾱ) + a constant. Differentiate with respect to z_t, with σ = √((1 − ᾱ) / ᾱ).",
        "Evaluate score_of_x at z_t / √ᾱ and σ, and divide the result by √ᾱ, as the chain rule says.",
    ),
    "from_v": (
        "Two equations, two unknowns. A common mistake is to take v for the noise, which is nearly right at low noise and wrong elsewhere.",
        "(z_t, v) is (z₀, ε) turned by an angle with cosine √ᾱ. The inverse of a turn is the turn back.",
        "z₀ = √ᾱ z_t − √(1 − ᾱ) v. For the noise, combine the same two numbers with the two weights exchanged, both positive.",
    ),
    "renoise": (
        "Standard deviations do not add, variances do. With s > 0 there is too much noise if the old noise keeps its weight.",
        "The fresh noise has the variance s². How much is left of 1 − ᾱ for the old noise?",
        "√ᾱ z0 + √(1 − ᾱ − s²) noise + s fresh.",
    ),
}


def check_gaussian_noise(attempt: Attempt) -> None:
    """attempt(z_t, alpha_bar, mean, deviation) → E[ε | z_t] for z₀ ~ N(mean, deviation²), the shape of z_t."""

    def noise(z_t: torch.Tensor, alpha_bar: torch.Tensor, mean: float, deviation: float) -> torch.Tensor:
        return (1 - alpha_bar).sqrt() * (z_t - alpha_bar.sqrt() * mean) / (alpha_bar * deviation**2 + 1 - alpha_bar)

    cases = [
        (f"ᾱ = {a}, mean {mean}, deviation {deviation}", (normal(2, 4, 3, 3, seed=i), torch.tensor(a), mean, deviation))
        for i, (a, mean, deviation) in enumerate([(0.6, 0.0, 1.0), (0.6, 2.0, 1.0), (0.3, -1.0, 0.5)])
    ]
    mistakes = {
        "You put the mean in the place of z₀, as if its deviation were 0": lambda z, a, m, s: (z - a.sqrt() * m) / (1 - a).sqrt(),
        "You forgot that the mean of z_t is √ᾱ m": lambda z, a, m, s: (1 - a).sqrt() * (z - m) / (a * s**2 + 1 - a),
        "You left the mean out": lambda z, a, m, s: noise(z, a, 0, s),
        "You took the deviation for the variance": lambda z, a, m, s: noise(z, a, m, s**0.5),
        "This is the score; the noise is −√(1 − ᾱ) times it": lambda z, a, m, s: -noise(z, a, m, s) / (1 - a).sqrt(),
        "The sign is wrong": lambda z, a, m, s: -noise(z, a, m, s),
    }
    told = [(case, arguments, noise(*arguments)) for case, arguments in cases]
    verdict(attempt, told, more("gaussian_noise"), mistakes=mistakes)


def check_tweedie(attempt: Attempt) -> None:
    """attempt(z_t, noise, alpha_bar) → ẑ₀ = (z_t − √(1 − ᾱ) ε̂) / √ᾱ, the shape of z_t."""
    cases = []
    for i, a in enumerate([0.8, 0.3]):
        z_t, noise, alpha_bar = normal(2, 4, 3, 3, seed=50 + i), normal(2, 4, 3, 3, seed=60 + i), torch.tensor(a)
        cases.append((f"ᾱ = {a}", (z_t, noise, alpha_bar), (z_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()))
    mistakes = {
        "You did not undo the shrinking: divide by √ᾱ": lambda z, e, a: z - (1 - a).sqrt() * e,
        "You divided the image alone": lambda z, e, a: z / a.sqrt() - (1 - a).sqrt() * e,
        "You divided by ᾱ, the weight of the image is its root": lambda z, e, a: (z - (1 - a).sqrt() * e) / a,
        "You subtracted the variance times the noise; take the root of 1 − ᾱ": lambda z, e, a: (z - (1 - a) * e) / a.sqrt(),
        "You subtracted the noise with the weight of the image": lambda z, e, a: (z - a.sqrt() * e) / a.sqrt(),
        "You added the noise": lambda z, e, a: (z + (1 - a).sqrt() * e) / a.sqrt(),
    }
    verdict(attempt, cases, more("tweedie"), mistakes=mistakes)


def check_where_text_helps(answer: Any) -> None:
    """answer: 50, 400 or 999, the timestep at which the label lowers the error of Tweedie's estimate most."""
    right = "almost nothing is left of the picture at t = 999, so the word is nearly all that is known; see the table below"
    wrong = {
        50: "here the picture can still be seen, and a word adds nothing that is not visible",
        400: "here the outlines can still be seen, so a word adds only a little",
    }
    answered(answer, 999, right, wrong, more("where_text_helps"))


def check_ddim_step(attempt: Attempt) -> None:
    """attempt(z0, noise, alpha_bar_prev) → √ᾱ_prev ẑ₀ + √(1 − ᾱ_prev) ε̂, the shape of z0."""
    cases = []
    for i, a in enumerate([0.9, 0.4, 1.0]):
        z0, noise, alpha_bar = normal(2, 4, 3, 3, seed=70 + i), normal(2, 4, 3, 3, seed=80 + i), torch.tensor(a)
        cases.append((f"ᾱ = {a}", (z0, noise, alpha_bar), alpha_bar.sqrt() * z0 + (1 - alpha_bar).sqrt() * noise))
    mistakes = {
        "You exchanged the two weights": lambda z0, e, a: (1 - a).sqrt() * z0 + a.sqrt() * e,
        "The weights are the roots of ᾱ and 1 − ᾱ": lambda z0, e, a: a * z0 + (1 - a) * e,
        "You took the noise away; at a lower level there is still some of it": lambda z0, e, a: a.sqrt() * z0,
        "You subtracted the noise": lambda z0, e, a: a.sqrt() * z0 - (1 - a).sqrt() * e,
        "You did not shrink the image": lambda z0, e, a: z0 + (1 - a).sqrt() * e,
        "You drew new noise; DDIM keeps the noise that the network found": lambda z0, e, a: (
            a.sqrt() * z0 + (1 - a).sqrt() * torch.randn_like(e)
        ),
    }
    verdict(attempt, cases, more("ddim_step"), mistakes=mistakes)


def check_guide(attempt: Attempt) -> None:
    """attempt(without, with_text, omega) → without + ω (with_text − without), the shape of both."""
    cases = []
    for i, omega in enumerate([0.0, 1.0, 4.0]):
        without, with_text = normal(2, 4, 3, 3, seed=100 + i), normal(2, 4, 3, 3, seed=110 + i)
        cases.append((f"ω = {omega:g}", (without, with_text, omega), without + omega * (with_text - without)))
    mistakes = {
        "You started at the estimate with the text, so that your ω is one too large": lambda u, c, w: c + w * (c - u),
        "You exchanged the two: this goes away from the text": lambda u, c, w: c + w * (u - c),
        "You added the text's noise itself and not the difference": lambda u, c, w: u + w * c,
        "Only the difference is left; start at the estimate without the text": lambda u, c, w: w * (c - u),
    }
    verdict(attempt, cases, more("guide"), mistakes=mistakes)


def check_enough_steps(attempt: Attempt) -> None:
    """attempt(steps, pictures, tolerance) → the first number of steps whose pictures the next one changes by at most `tolerance`, RMS.

    steps: list of L ints, rising.  pictures: (L, B, C, H, W).  If no change is small enough: the last number.
    """

    def changes(pictures: torch.Tensor) -> list[float]:
        return [float((after - before).square().mean().sqrt()) for before, after in zip(pictures, pictures[1:])]

    def enough(steps: Sequence[int], pictures: torch.Tensor, tolerance: float) -> int:
        return next((n for n, change in zip(steps, changes(pictures)) if change <= tolerance), steps[-1])

    def against_the_last(steps: Sequence[int], pictures: torch.Tensor, tolerance: float) -> int:
        off = (pictures - pictures[-1]).square().flatten(1).mean(1).sqrt()
        return next(n for n, each in zip(steps, off) if each <= tolerance)

    def the_later(steps: Sequence[int], pictures: torch.Tensor, tolerance: float) -> int:
        return next((n for n, change in zip(steps[1:], changes(pictures)) if change <= tolerance), steps[-1])

    def squared(steps: Sequence[int], pictures: torch.Tensor, tolerance: float) -> int:
        return next((n for n, change in zip(steps, changes(pictures)) if change**2 <= tolerance), steps[-1])

    base, other = normal(2, 3, 4, 4, seed=120), normal(2, 3, 4, 4, seed=121)
    cases: list[tuple[str, tuple[Any, ...], int]] = []
    for case, sizes, tolerance in (
        ("changes that fall by half each time", (1.0, 0.5, 0.25, 0.125, 0.0625), 0.2),
        ("changes that stay large", (1.0, -1.0, 1.0, -1.0, 1.0), 0.1),
        ("pictures that hardly change at all", (0.02, 0.01, 0.0, 0.0, 0.0), 0.1),
    ):
        pictures = torch.stack([base + size * other for size in sizes])
        steps = [5, 10, 20, 40, 80]
        cases.append((case, (steps, pictures, tolerance), enough(steps, pictures, tolerance)))
    mistakes = {
        "You compared with the last pictures, which are no reference: they have an error of their own": against_the_last,
        "You returned the later of the two; the earlier is good enough already": the_later,
        "You compared the mean square with the tolerance; take the root": squared,
    }
    verdict(attempt, cases, more("enough_steps"), mistakes=mistakes)


def check_walk_down(attempt: Attempt) -> None:
    """attempt(z, noise_at, levels) → the latent after DDIM through `levels`, a list of ᾱ from noise to data; noise_at(z, ᾱ) → ε̂."""

    def walk(final: Callable[..., torch.Tensor]) -> Attempt:
        def down(z: torch.Tensor, noise_at: Callable[..., torch.Tensor], levels: Sequence[torch.Tensor]) -> torch.Tensor:
            for a, a_next in zip(levels, levels[1:]):
                noise = noise_at(z, a)
                z = final((z - (1 - a).sqrt() * noise) / a.sqrt(), noise, a, a_next)
            return z

        return down

    def gaussian(mean: float, deviation: float) -> Callable[..., torch.Tensor]:
        return lambda z, a: (1 - a).sqrt() * (z - a.sqrt() * mean) / (a * deviation**2 + 1 - a)

    right = walk(lambda z0, noise, a, b: b.sqrt() * z0 + (1 - b).sqrt() * noise)
    cases = []
    for i, (mean, deviation, levels) in enumerate([(0.5, 0.3, [0.1, 0.6]), (-1.0, 0.5, [0.01, 0.3, 0.7, 1.0])]):
        arguments = (normal(2, 4, 3, 3, seed=130 + i), gaussian(mean, deviation), [torch.tensor(level) for level in levels])
        cases.append((f"{len(levels) - 1} step{'s' * (len(levels) > 2)}", arguments, right(*arguments)))
    mistakes = {
        "This is the loop as it was given": walk(lambda z0, noise, a, b: b.sqrt() * z0 + (1 - a).sqrt() * noise),
        "Now both weights are of the old level, so that nothing moves": walk(
            lambda z0, noise, a, b: a.sqrt() * z0 + (1 - a).sqrt() * noise
        ),
        "Now no noise is left after the first step": walk(lambda z0, noise, a, b: b.sqrt() * z0),
    }
    verdict(attempt, cases, more("walk_down"), mistakes=mistakes)


def check_rescaled_score(attempt: Attempt) -> None:
    """attempt(score_of_x, z_t, alpha_bar) → the score of z_t = √ᾱ x, where score_of_x(x, sigma) is that of x = z₀ + σ ε."""

    def gaussian(mean: float, deviation: float) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        return lambda x, sigma: (mean - x) / (deviation**2 + sigma**2)

    z_t, cases = normal(2, 4, 3, 3, seed=10), []
    for a, mean, deviation in [(0.7, 0.0, 1.0), (0.2, 3.0, 0.5)]:
        alpha_bar = torch.tensor(a)
        expected = (alpha_bar.sqrt() * mean - z_t) / (alpha_bar * deviation**2 + 1 - alpha_bar)
        arguments = (gaussian(mean, deviation), z_t, alpha_bar)
        cases.append((f"ᾱ = {a} and z₀ ~ N({mean:g}, {deviation:g}²)", arguments, expected))
    mistakes = {
        "You forgot the chain rule: z_t / √ᾱ has the slope 1 / √ᾱ": lambda score, z, a: score(z / a.sqrt(), ((1 - a) / a).sqrt()),
        "The chain rule divides by √ᾱ, you multiplied": lambda score, z, a: score(z / a.sqrt(), ((1 - a) / a).sqrt()) * a.sqrt(),
        "You took √(1 − ᾱ) for σ; in the scale of x the noise is larger": lambda score, z, a: (
            score(z / a.sqrt(), (1 - a).sqrt()) / a.sqrt()
        ),
        "You evaluated the score at z_t; x is z_t / √ᾱ": lambda score, z, a: score(z, ((1 - a) / a).sqrt()) / a.sqrt(),
    }
    verdict(attempt, cases, more("rescaled_score"), mistakes=mistakes)


def check_from_v(attempt: Attempt) -> None:
    """attempt(z_t, v, alpha_bar) → (ẑ₀, ε̂) where v = √ᾱ ε̂ − √(1 − ᾱ) ẑ₀."""
    cases = []
    for i, a in enumerate([0.9, 0.2]):
        alpha_bar, z0, noise = torch.tensor(a), normal(2, 4, 3, 3, seed=20 + i), normal(2, 4, 3, 3, seed=30 + i)
        z_t = alpha_bar.sqrt() * z0 + (1 - alpha_bar).sqrt() * noise
        v = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * z0
        cases.append((f"ᾱ = {a}", (z_t, v, alpha_bar), (z0, noise)))

    def turned(z: torch.Tensor, v: torch.Tensor, a: torch.Tensor, sign: float) -> tuple[torch.Tensor, torch.Tensor]:
        return a.sqrt() * z - sign * (1 - a).sqrt() * v, sign * (1 - a).sqrt() * z + a.sqrt() * v

    mistakes = {
        "You returned them in the other order": lambda z, v, a: turned(z, v, a, 1)[::-1],
        "You took v for the noise": lambda z, v, a: ((z - (1 - a).sqrt() * v) / a.sqrt(), v),
        "You turned the wrong way round": lambda z, v, a: turned(z, v, a, -1),
    }
    verdict(attempt, cases, more("from_v"), mistakes=mistakes)


def check_renoise(attempt: Attempt) -> None:
    """attempt(z0, noise, fresh, alpha_bar, s) → √ᾱ ẑ₀ + √(1 − ᾱ − s²) ε̂ + s n, with n = fresh."""
    z0, noise, fresh = (normal(2, 4, 3, 3, seed=40 + i) for i in range(3))
    cases = []
    for level, deviation in [(0.8, 0.0), (0.8, 0.3), (0.3, 0.8)]:
        alpha_bar, s = torch.tensor(level), torch.tensor(deviation)
        expected = alpha_bar.sqrt() * z0 + (1 - alpha_bar - s**2).sqrt() * noise + s * fresh
        cases.append((f"ᾱ = {level} and s = {deviation:.1f}", (z0, noise, fresh, alpha_bar, s), expected))
    mistakes = {
        "The old noise kept its full weight, so there is too much noise": lambda z0, e, n, a, s: a.sqrt() * z0 + (1 - a).sqrt() * e + s * n,
        "You subtracted deviations; it is variances that add": lambda z0, e, n, a, s: a.sqrt() * z0 + ((1 - a).sqrt() - s) * e + s * n,
        "You subtracted s and not s²": lambda z0, e, n, a, s: a.sqrt() * z0 + (1 - a - s).sqrt() * e + s * n,
        "The weight of the fresh noise is s; s² is its variance": lambda z0, e, n, a, s: (
            a.sqrt() * z0 + (1 - a - s**2).sqrt() * e + s**2 * n
        ),
    }
    verdict(attempt, cases, more("renoise"), mistakes=mistakes)
