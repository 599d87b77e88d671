"""Checks of the exercises in notebook 05."""

import math
from typing import Any

import torch

from .base import Attempt, Hints, answered, more, normal, uniform, verdict

__all__ = [
    "HINTS",
    "check_cancelling_factor",
    "check_choose_guidance",
    "check_decided_by_text",
    "check_guided",
    "check_larger_cost",
    "check_latent_step_of_two_texts",
    "check_precision_weight",
    "check_sign_test",
    "check_treg_step",
]

HINTS: Hints = {
    "cancelling_factor": (
        "The identity holds p(z|x,y) and p(z|x). What happens to their ratio if the measurement adds nothing about z once x is known?",
        "A Gaussian around E(x) with a fixed variance depends on x alone. So is p(z|x,y) different from p(z|x)?",
        "They are equal, so the ratio is 1. Which of the three factors of the table was in this ratio?",
    ),
    "guided": (
        "Put in ω = 1: which of the two estimates should be left? And which one for ω = 0?",
        "Guidance starts at the null text's estimate and goes ω times the way to the text's estimate.",
        "null_noise + omega * (text_noise − null_noise).",
    ),
    "latent_step_of_two_texts": (
        "The objective is a sum of three squares. The usual mistake is to forget that weights of a mean must sum to 1.",
        "The gradient is a weighted sum of three differences, ζ (z − z_y) + γ₁ (z − z_1) + γ₂ (z − z_2). Where is it zero?",
        "(ζ z_y + γ₁ z_1 + γ₂ z_2) / (ζ + γ₁ + γ₂).",
    ),
    "precision_weight": (
        "The better estimate gets more weight. The usual mistakes are deviations in place of variances, and the two swapped.",
        "Each term is a squared distance over a variance: ‖z − z_y‖² / τ_y² + ‖z − ẑ₀‖² / τ_0². So ζ = 1/τ_y² and γ = 1/τ_0².",
        "w = ζ / (ζ + γ) = τ_0² / (τ_0² + τ_y²).",
    ),
    "treg_step": (
        "Two noise levels occur: that of z_t, and that of the level below. The usual mistake is to take one for the other.",
        "In this order: Tweedie's estimate from z_t and noise; correct it; the weighted mean of both; noise of the level below.",
        "Tweedie uses ᾱ_t. Mean and noise use ᾱ_(t−1): √ᾱ ẑ + √(1 − ᾱ) (√(1 − ᾱ) noise + √ᾱ fresh).",
    ),
    "larger_cost": (
        "Think of the estimate ẑ₀. Which of the two changes moves it farther from what the network itself believes?",
        "At ω = 1 the estimate is the network's own, under one text or the other. At ω = 4 it goes four times as far as the difference.",
        "Look at the first columns of Figure 4: the misfit of D(ẑ₀) is large there. It was drawn with strong guidance.",
    ),
    "choose_guidance": (
        "Two numbers are known without the truth: the misfit, and the similarity to the text that was given. Which one is the limit?",
        "First keep the scales whose misfit is at most (1 + slack) times the least misfit. Then look at similarity among those.",
        "allowed = misfits <= (1 + slack) * misfits.min(); then the ω of the largest similarity with similarities[~allowed] left out.",
    ),
    "sign_test": (
        "If the text did nothing, each picture would be a fair coin. How often does a coin give a result at least as far from half?",
        "P(k heads of n) = C(n, k) / 2ⁿ, math.comb gives C. Sum over all k that are at least as far from n/2 as wins, on both sides.",
        "sum(math.comb(n, k) for k in range(n + 1) if abs(k − n / 2) >= abs(wins − n / 2)) / 2**n.",
    ),
    "decided_by_text": (
        "Two variances add up to the total: between the means of the texts, and within a text. Both divide by N, not by N − 1.",
        "Take the mean over the seeds of each text, and compute how far these K means are from the mean of all pictures.",
        "((x_hats.mean(1) − all)²).mean() / ((x_hats − all)²).mean(), where all is the mean over texts and seeds.",
    ),
}


def check_cancelling_factor(answer: Any) -> None:
    """answer: the factor that drops out of the exact posterior if p(z|x,y) depends on x alone."""
    wrong = {
        "p(y|x)": "without it the measurement would not matter at all",
        "p(x|z)": "it ties the picture to the latent, and nothing else does",
    }
    because = "p(z|x,y) = p(z|x), so that their ratio is 1: with the identity kept, the ζ term of TReg is gone"
    answered(answer, "p(z|x,y)", because, wrong, more("cancelling_factor"))


def check_guided(attempt: Attempt) -> None:
    """attempt(null_noise, text_noise, omega) → the guided noise estimate, ε_∅ + ω (ε_c − ε_∅)."""
    cases = []
    for i, omega in enumerate([1.0, 4.0, 0.0]):
        null, text = normal(2, 4, 3, 3, seed=700 + i), normal(2, 4, 3, 3, seed=710 + i)
        cases.append((f"ω = {omega:g}", (null, text, omega), null + omega * (text - null)))
    mistakes = {
        "This starts at the text's estimate, so that it goes one step too far: it is guidance with ω + 1": lambda null, text, omega: (
            text + omega * (text - null)
        ),
        "The two estimates are swapped": lambda null, text, omega: text + omega * (null - text),
        "This is the text's estimate, without guidance": lambda null, text, omega: text,
        "The null text's estimate is missing at the start": lambda null, text, omega: omega * (text - null),
    }
    verdict(attempt, cases, more("guided"), mistakes=mistakes)


def check_latent_step_of_two_texts(attempt: Attempt) -> None:
    """attempt(z_y, z_1, z_2, zeta, gamma_1, gamma_2) → argmin_z ζ‖z − z_y‖² + γ₁‖z − z_1‖² + γ₂‖z − z_2‖²."""
    cases = []
    for i, weights in enumerate([(0.5, 2.0, 1.5), (1.0, 1.0, 1.0), (3.0, 1.0, 0.0)]):
        latents = [normal(2, 4, 3, 3, seed=80 + 3 * i + k) for k in range(3)]
        expected = sum(w * z for w, z in zip(weights, latents)) / sum(weights)
        cases.append((f"ζ, γ₁, γ₂ = {weights}", (*latents, *weights), expected))
    mistakes = {
        "The weights do not sum to 1": lambda y, a, b, p, q, r: p * y + q * a + r * b,
        "This is the plain mean, without the weights": lambda y, a, b, p, q, r: (y + a + b) / 3,
        "The weights are squared": lambda y, a, b, p, q, r: (p**2 * y + q**2 * a + r**2 * b) / (p**2 + q**2 + r**2),
    }
    verdict(attempt, cases, more("latent_step_of_two_texts"), mistakes=mistakes)


def check_precision_weight(attempt: Attempt) -> None:
    """attempt(tau_y, tau_0) → the weight of z_y in the most probable z, given two independent estimates with these deviations."""
    cases = [(f"τ_y = {a}, τ_0 = {b}", (a, b), b**2 / (a**2 + b**2)) for a, b in [(0.1, 0.4), (0.3, 0.1), (0.2, 0.2)]]
    mistakes = {
        "This is the weight of ẑ₀; the worse estimate gets more": lambda a, b: a**2 / (a**2 + b**2),
        "Variances count, not deviations: the squares are missing": lambda a, b: b / (a + b),
        "This is ζ = 1/τ_y², not yet divided by ζ + γ": lambda a, b: 1 / a**2,
    }
    verdict(attempt, cases, more("precision_weight"), mistakes=mistakes)


def check_treg_step(attempt: Attempt) -> None:
    """attempt(z_t, noise, fresh, alpha_bar, alpha_bar_prev, correct) → z_{t−1} of a consistency step, where correct(ẑ₀) is E(x̂)."""

    def correct(z0: torch.Tensor) -> torch.Tensor:
        return 0.5 * z0 + 1

    def step(z_t: Any, e: Any, n: Any, a: Any, b: Any, f: Attempt, level: Any = None, share: Any = None, renewed: bool = True) -> Any:
        level, share = b if level is None else level, b if share is None else share
        z0 = (z_t - (1 - a).sqrt() * e) / a.sqrt()
        mixed = (1 - level).sqrt() * e + level.sqrt() * n if renewed else e
        return level.sqrt() * (share * f(z0) + (1 - share) * z0) + (1 - level).sqrt() * mixed

    cases = []
    for i, levels in enumerate([(0.05, 0.2), (0.5, 0.9), (0.9, 1.0)]):
        z_t, noise, fresh = (normal(2, 4, 3, 3, seed=100 + 3 * i + k) for k in range(3))
        a, b = map(torch.tensor, levels)
        cases.append((f"ᾱ_t = {a:.2f}, ᾱ_(t−1) = {b:.2f}", (z_t, noise, fresh, a, b, correct), step(z_t, noise, fresh, a, b, correct)))
    mistakes = {
        "The weight of the mean is ᾱ_t; it has to be that of the level below": lambda z, e, n, a, b, f: step(z, e, n, a, b, f, share=a),
        "The two weights of the mean are swapped": lambda z, e, n, a, b, f: step(z, e, n, a, b, f, share=1 - b),
        "The noise is that of level t; it has to be that of the level below": lambda z, e, n, a, b, f: step(z, e, n, a, b, f, level=a),
        "No noise is renewed: this is DDIM's step from the corrected latent": lambda z, e, n, a, b, f: step(
            z, e, n, a, b, f, renewed=False
        ),
        "Old and fresh noise are swapped": lambda z, e, n, a, b, f: (
            step(z, e, n, a, b, f) + (1 - b).sqrt() * (((1 - b).sqrt() - b.sqrt()) * (n - e))
        ),
        "Nothing was corrected": lambda z, e, n, a, b, f: step(z, e, n, a, b, lambda z0: z0),
    }
    verdict(attempt, cases, more("treg_step"), 1e-3, mistakes)


def check_larger_cost(answer: Any) -> None:
    """answer: what raises the misfit more, the text at ω = 1 or guidance from ω = 1 to 4."""
    wrong = {"text": "at ω = 1 the network's estimate is used as it is, with a text or without, and the pixel steps hold both"}
    because = "going beyond the network's own estimate costs more than telling it what to expect; the table below has both numbers"
    answered(answer, "guidance", because, wrong, more("larger_cost"))


def check_choose_guidance(attempt: Attempt) -> None:
    """attempt(omegas, misfits, similarities, slack) → the ω of the largest similarity where misfit ≤ (1 + slack) · least misfit."""
    omegas = torch.tensor([1.0, 2.0, 4.0, 8.0])
    cases = []
    for case, misfits, similarities, slack, best in (
        ("a misfit that rises with ω", [3.0, 3.2, 5.0, 9.0], [0.18, 0.21, 0.24, 0.25], 0.2, 2.0),
        ("a generous slack", [3.0, 3.2, 5.0, 9.0], [0.18, 0.24, 0.23, 0.25], 1.0, 2.0),
        ("no slack", [3.0, 3.2, 5.0, 9.0], [0.18, 0.21, 0.24, 0.25], 0.0, 1.0),
        ("a misfit that falls first", [4.0, 3.0, 3.1, 9.0], [0.30, 0.21, 0.22, 0.25], 0.1, 4.0),
    ):
        cases.append((case, (omegas, torch.tensor(misfits), torch.tensor(similarities), slack), best))

    def within(omegas: Any, allowed: Any, similarities: Any) -> Any:
        return omegas[torch.where(allowed, similarities, -torch.inf).argmax()]

    mistakes = {
        "You ignored the misfit": lambda o, m, s, slack: o[s.argmax()],
        "You took the least misfit and ignored the similarity": lambda o, m, s, slack: o[m.argmin()],
        "You took the largest allowed ω, not the one of the largest similarity": lambda o, m, s, slack: o[m <= (1 + slack) * m.min()].max(),
        "You measured the slack against the misfit of the first ω, not against the least": lambda o, m, s, slack: within(
            o, m <= (1 + slack) * m[0], s
        ),
        "You returned a place, not the ω": lambda o, m, s, slack: torch.where(m <= (1 + slack) * m.min(), s, -torch.inf).argmax(),
    }
    verdict(attempt, cases, more("choose_guidance"), mistakes=mistakes)


def check_sign_test(attempt: Attempt) -> None:
    """attempt(wins, n) → the two-sided p-value: how often a fair coin, thrown n times, is at least as far from n/2 as wins."""

    def tail(wins: int, n: int) -> float:
        return sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n

    cases = []
    for wins, n in ((8, 12), (12, 12), (2, 12), (6, 12), (18, 24)):
        p = sum(math.comb(n, k) for k in range(n + 1) if abs(k - n / 2) >= abs(wins - n / 2)) / 2**n
        cases.append((f"{wins} of {n}", (wins, n), p))
    mistakes = {
        "This is one-sided: a coin can be as far from half on the other side": tail,
        "This is the probability of this count alone; further ones count as well": lambda wins, n: math.comb(n, wins) / 2**n,
        "This is the share of wins": lambda wins, n: wins / n,
        "Counts that are equally far from half have to be included": lambda wins, n: (
            sum(math.comb(n, k) for k in range(n + 1) if abs(k - n / 2) > abs(wins - n / 2)) / 2**n
        ),
    }
    verdict(attempt, cases, more("sign_test"), 1e-6, mistakes)


def check_decided_by_text(attempt: Attempt) -> None:
    """attempt(x_hats) → the share of the pixel variance that lies between texts.  x_hats: (K, S, 3, H, W), K texts, S seeds."""

    def share(x_hats: torch.Tensor) -> float:
        everything, own = x_hats.mean((0, 1)), x_hats.mean(1)
        return float((own - everything).square().mean() / (x_hats - everything).square().mean())

    cases = [
        ("2 texts, 3 seeds", uniform(2, 3, 3, 4, 4, seed=92)),
        ("4 texts, 2 seeds", uniform(4, 2, 3, 4, 4, seed=93) + uniform(4, 1, 3, 4, 4, seed=94)),
        ("texts that decide all", uniform(3, 1, 3, 4, 4, seed=90).expand(3, 5, 3, 4, 4)),
        ("texts that decide nothing", uniform(1, 5, 3, 4, 4, seed=91).expand(3, 5, 3, 4, 4)),
    ]
    mistakes = {
        "You divided by N − 1; here all averages divide by N": lambda x: x.mean(1).var(0).mean() / x.flatten(0, 1).var(0).mean(),
        "This is the share of the seeds; the texts have the rest": lambda x: (
            x.var(1, correction=0).mean() / x.flatten(0, 1).var(0, correction=0).mean()
        ),
        "You averaged over texts; average over the seeds of each text": lambda x: (
            x.mean(0).var(0, correction=0).mean() / x.flatten(0, 1).var(0, correction=0).mean()
        ),
        "You compared deviations; compare variances": lambda x: (
            x.mean(1).std(0, correction=0).mean() / x.flatten(0, 1).std(0, correction=0).mean()
        ),
    }
    verdict(attempt, [(case, (x_hats,), share(x_hats)) for case, x_hats in cases], more("decided_by_text"), mistakes=mistakes)
