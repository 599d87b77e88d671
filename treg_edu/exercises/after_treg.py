"""Checks of the exercises in notebook 10."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .base import Attempt, Hints, answered, more, normal, uniform, verdict

__all__ = [
    "HINTS",
    "check_backwards",
    "check_equivalent_omega",
    "check_evidence_gradient",
    "check_kept_run",
    "check_more_steps",
    "check_trust",
    "check_tuned",
]

Loss = Callable[[torch.Tensor], torch.Tensor]

HINTS: Hints = {
    "more_steps": (
        "Ask what one step of CFG++ adds to z along the text, and how many steps there are.",
        "The estimate moves by λ at every step, but the noise that is put back does not move. So nothing of the move is taken back later.",
        "The formula of the section has σ_t − σ_{t−1} in its denominator. What happens to it when the steps are halved?",
    ),
    "equivalent_omega": (
        "Both steps are linear in Δ = ε_c − ε_∅. The usual mistake is to compare the estimates ẑ₀; compare z_{t−1}.",
        "In z_{t−1} / √ᾱ_{t−1}, what is taken out counts −σ_t times, and what is put back counts kept · σ_{t−1} times.",
        "CFG takes out and puts back ωΔ; CFG++ takes out λΔ and puts back none: ω (kept · σ_{t−1} − σ_t) = −λ σ_t.",
    ),
    "backwards": (
        "Two noises: one was put back last, one was taken out first. Undo the last thing first.",
        "ẑ₀ = (z_{t−1} − √(1 − ᾱ_{t−1}) ε_∅) / √ᾱ_{t−1}: the null text's noise comes out again.",
        "Then √ᾱ_t ẑ₀ + √(1 − ᾱ_t) times the guided noise, ε_∅ + λ (ε_c − ε_∅).",
    ),
    "trust": (
        "Two independent estimates of one number are averaged with weights. Which of the two should count more?",
        "The best weight of the data is r² / (r² + s²), r² the variance of z₀ given z_t. The usual mistake is to exchange r² and s².",
        "For z₀ ~ N(0, v): r² = v (1 − ᾱ) / (ᾱ v + 1 − ᾱ). Does it rise or fall as the noise falls?",
    ),
    "tuned": (
        "Run the lines with any loss and print how far c has moved after each step. It moves once.",
        "The optimizer holds the tensor that it was given. After `c = c.detach()` there are two tensors. Which one does it move?",
        "Keep one leaf tensor for the whole loop, leave out the line that replaces it, and detach only what is returned.",
    ),
    "evidence_gradient": (
        "y = A z + n is Gaussian when z and n are. The usual mistake is to take σ² I for its covariance, as if z were known to be m.",
        "y ~ N(A m, A C Aᵀ + σ² I). Differentiate the logarithm with respect to m.",
        "Aᵀ (A C Aᵀ + σ² I)⁻¹ (y − A m). By Fisher's identity it is C⁻¹ (E[z | y] − m) as well.",
    ),
    "kept_run": (
        "The published evaluation keeps the run with the least error. A user does not know the error. What is known of each run?",
        "misfits.argmin(1) tells for each picture which of its runs explains the measurement best.",
        "x_hats[torch.arange(len(x_hats)), misfits.argmin(1)].",
    ),
}


def check_more_steps(answer: Any) -> None:
    """answer: "weaker", "the same" or "stronger": the text's pull in CFG++ when the steps are doubled and λ stays."""
    right = "twice as many steps pull nearly twice as much, since ω_t = λ σ_t / (σ_t − σ_{t−1}); the next cell draws it"
    wrong = {
        "weaker": "each step is half as long, but the pull of a step does not shrink with it",
        "the same": "so it is with CFG, where the guided noise is put back; CFG++ puts back the null text's",
    }
    answered(answer, "stronger", right, wrong, more("more_steps"))


def levels(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """ᾱ_t and ᾱ_{t−1}, two scalar tensors, the second the larger."""
    low, high = (0.02 + 0.95 * uniform(2, seed=seed)).sort().values
    return low, high + 0.02


def check_equivalent_omega(attempt: Attempt) -> None:
    """attempt(lam, s, s_prev, kept) → the ω of the CFG step that ends at the same z_{t−1} as a CFG++ step with λ.

    s, s_prev: σ_t > σ_{t−1} ≥ 0, σ = √((1 − ᾱ) / ᾱ).  kept: the share of the old noise that is put back, 1 in DDIM.
    """
    cases = []
    for lam, s, s_prev, kept in [(0.6, 2.0, 1.5, 1.0), (0.6, 2.0, 1.5, 0.5), (1.0, 0.4, 0.0, 1.0), (0.3, 1.0, 0.9, 0.0)]:
        case = f"λ = {lam}, σ_t = {s}, σ_{{t−1}} = {s_prev}, {kept} of the noise kept"
        cases.append((case, (lam, s, s_prev, kept), lam * s / (s - kept * s_prev)))
    mistakes = {
        "You compared the estimates ẑ₀, which are equal for ω = λ; what is put back differs": lambda lam, s, s_prev, kept: lam,
        "This holds where all of the noise is kept; a share of it carries that share of the text": lambda lam, s, s_prev, kept: (
            lam * s / (s - s_prev)
        ),
        "You exchanged σ_t and σ_{t−1} above the line": lambda lam, s, s_prev, kept: lam * s_prev / (s - kept * s_prev),
        "The two contributions of Δ have opposite signs": lambda lam, s, s_prev, kept: lam * s / (s + kept * s_prev),
    }
    verdict(attempt, cases, more("equivalent_omega"), tolerance=1e-3, mistakes=mistakes)


def check_backwards(attempt: Attempt) -> None:
    """attempt(z_prev, null_noise, text_noise, lam, alpha_bar, alpha_bar_prev) → z_t, a step of CFG++ undone.

    The noises are those of the step.  Latents: (B, 4, h, w).  alpha_bar, alpha_bar_prev: scalar tensors.
    """
    cases = []
    for i, lam in enumerate([0.6, 0.0, 1.0]):
        a, a_prev = levels(410 + i)
        z, null, text = (normal(2, 4, 3, 3, seed=seed + i) for seed in (420, 430, 440))
        cases.append((f"λ = {lam}", (z, null, text, lam, a, a_prev), undone(z, null, null + lam * (text - null), a, a_prev)))
    mistakes = {
        "This undoes a step of CFG, which put the guided noise back": lambda z, n, c, lam, a, b: undone(
            z, n + lam * (c - n), n + lam * (c - n), a, b
        ),
        "You exchanged the two noises: the step put the null text's back and took the guided one out": lambda z, n, c, lam, a, b: undone(
            z, n + lam * (c - n), n, a, b
        ),
        "This is the step forwards": lambda z, n, c, lam, a, b: undone(z, n + lam * (c - n), n, b, a),
        "You exchanged the text and the null text": lambda z, n, c, lam, a, b: undone(z, c, c + lam * (n - c), a, b),
    }
    verdict(attempt, cases, more("backwards"), tolerance=1e-3, mistakes=mistakes)


def undone(z_prev: torch.Tensor, put: torch.Tensor, taken: torch.Tensor, a: torch.Tensor, a_prev: torch.Tensor) -> torch.Tensor:
    """z_t of z_{t−1}: the noise that was put back comes out, and the noise that was taken out goes in."""
    return a.sqrt() * (z_prev - (1 - a_prev).sqrt() * put) / a_prev.sqrt() + (1 - a).sqrt() * taken


def check_trust(attempt: Attempt) -> None:
    """attempt(alpha_bar, variance, data_variance) → the weight of the data beside ẑ₀ that makes the average's error least.

    z₀ ~ N(0, variance), so that ẑ₀ = E[z₀ | z_t] has the error variance Var[z₀ | z_t]; the data's estimate has data_variance, and the two
    errors are taken for independent.
    """
    cases = []
    for alpha_bar, variance, of_data in [(0.1, 1.0, 0.2), (0.9, 1.0, 0.2), (0.5, 4.0, 1.0)]:
        a = torch.tensor(alpha_bar)
        cases.append((f"ᾱ = {alpha_bar}, v = {variance}, s² = {of_data}", (a, variance, of_data), weight_of(a, variance, of_data)))
    mistakes = {
        "This is the weight of ẑ₀, not that of the data": lambda a, v, s: 1 - weight_of(a, v, s),
        "You took the prior's variance v for that of z₀ given z_t": lambda a, v, s: torch.full_like(a, v / (v + s)),
        "You took the noise's variance 1 − ᾱ for that of z₀ given z_t": lambda a, v, s: (1 - a) / (1 - a + s),
        "This is TReg's weight": lambda a, v, s: a,
        "You weighted by deviations; weights go with variances": lambda a, v, s: 1 / (1 + (1 / weight_of(a, v, s) - 1).sqrt()),
    }
    verdict(attempt, cases, more("trust"), tolerance=1e-3, mistakes=mistakes)


def weight_of(alpha_bar: torch.Tensor, variance: float, of_data: float) -> torch.Tensor:
    """r² / (r² + s²), r² = v (1 − ᾱ) / (ᾱ v + 1 − ᾱ)."""
    left = variance * (1 - alpha_bar) / (alpha_bar * variance + 1 - alpha_bar)
    return left / (left + of_data)


def check_tuned(attempt: Attempt) -> None:
    """attempt(c, losses, rate) → c after each step of Adam, (steps, *c.shape).  c: (B, L, d).  losses: one a step, c → a scalar tensor."""
    cases = []
    for i, steps in enumerate([2, 5, 12]):
        c, losses = normal(1, 2, 3, seed=450 + i), [distance_to(goal) for goal in normal(steps, 1, 2, 3, seed=460 + i)]
        cases.append((f"{steps} steps", (c, losses, 0.05), tuned(c, losses, 0.05)))
    mistakes = {
        "The text moved at the first step only: Adam holds another tensor than the one that has the gradients": lambda c, losses, rate: (
            tuned(c, losses[:1], rate).expand(len(losses), *c.shape)
        ),
        "You made a new Adam at every step, so that it forgot its averages": anew,
        "The text did not move": lambda c, losses, rate: c.expand(len(losses), *c.shape),
        "All that you returned is the last text: what you kept is the tensor itself, and it moved on": lambda c, losses, rate: tuned(
            c, losses, rate
        )[-1:].expand(len(losses), *c.shape),
    }
    verdict(attempt, cases, more("tuned"), tolerance=1e-3, mistakes=mistakes)


def distance_to(goal: torch.Tensor) -> Loss:
    """A loss whose gradient depends on where c is."""
    return lambda c: (c - goal).square().sum()


def tuned(c: torch.Tensor, losses: Sequence[Loss], rate: float) -> torch.Tensor:
    """Adam on one leaf."""
    c, used = c.detach().clone().requires_grad_(), []
    adam = torch.optim.Adam([c], rate)
    for loss in losses:
        adam.zero_grad()
        loss(c).backward()
        adam.step()
        used.append(c.detach().clone())
    return torch.stack(used)


def anew(c: torch.Tensor, losses: Sequence[Loss], rate: float) -> torch.Tensor:
    """An Adam a step."""
    used = []
    for loss in losses:
        c = tuned(c, [loss], rate)[0]
        used.append(c)
    return torch.stack(used)


def check_evidence_gradient(attempt: Attempt) -> None:
    """attempt(A, C, m, y, sigma) → ∇_m log p(y | m) for z ~ N(m, C), y = A z + n, n ~ N(0, σ² I).

    A: (k, d).  C: (d, d).  m: (d,).  y: (k,).  sigma: σ.  Returns (d,).
    """
    cases = []
    for i, (k, d, sigma) in enumerate([(2, 4, 0.5), (1, 3, 0.2), (5, 3, 1.0)]):
        A, root, m, y = normal(k, d, seed=470 + i), normal(d, d, seed=480 + i), normal(d, seed=490 + i), normal(k, seed=500 + i)
        C = root @ root.T / d + 0.5 * torch.eye(d)
        right = A.T @ torch.linalg.solve(around(A, C, sigma), y - A @ m)
        cases.append((f"{k} measured of {d} numbers, σ = {sigma}", (A, C, m, y, sigma), right))
    mistakes = {
        "This is the gradient of the misfit at m: it forgets that z varies around m": lambda A, C, m, y, s: A.T @ (y - A @ m) / s**2,
        "The sign is the other way round": lambda A, C, m, y, s: -A.T @ torch.linalg.solve(around(A, C, s), y - A @ m),
        "This is E[z | y] − m; by Fisher's identity C⁻¹ stands before it": lambda A, C, m, y, s: (
            C @ A.T @ torch.linalg.solve(around(A, C, s), y - A @ m)
        ),
        "You left the noise out": lambda A, C, m, y, s: A.T @ torch.linalg.pinv(A @ C @ A.T) @ (y - A @ m),
    }
    verdict(attempt, cases, more("evidence_gradient"), tolerance=1e-3, mistakes=mistakes)


def around(A: torch.Tensor, C: torch.Tensor, sigma: float) -> torch.Tensor:
    """The covariance of y: A C Aᵀ + σ² I."""
    return A @ C @ A.T + sigma**2 * torch.eye(len(A))


def check_kept_run(attempt: Attempt) -> None:
    """attempt(x_hats, misfits) → (N, C, H, W), of each picture the run that a user would keep.

    x_hats: (N, S, C, H, W), S runs of each picture.  misfits: (N, S).
    """
    cases = []
    for i, (N, S) in enumerate([(3, 4), (1, 2), (4, 1)]):
        x_hats, misfits = uniform(N, S, 1, 2, 2, seed=510 + i), uniform(N, S, seed=520 + i)
        cases.append((f"{N} pictures, {S} runs", (x_hats, misfits), x_hats[torch.arange(N), misfits.argmin(1)]))
    mistakes = {
        "You kept the run of the largest misfit": lambda x_hats, misfits: x_hats[torch.arange(len(misfits)), misfits.argmax(1)],
        "You chose one run for all pictures": lambda x_hats, misfits: x_hats[:, misfits.mean(0).argmin()],
        "This is the mean of all runs, which is none of them": lambda x_hats, misfits: x_hats.mean(1),
        "You kept the first run": lambda x_hats, misfits: x_hats[:, 0],
    }
    verdict(attempt, cases, more("kept_run"), mistakes=mistakes)
