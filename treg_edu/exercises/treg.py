"""Checks of the exercises in notebook 07."""

from collections.abc import Callable

import torch

from .base import Attempt, normal, uniform, verdict

__all__ = ["check_algorithm_step", "check_consistency_steps", "check_cost", "check_paired_difference"]


def check_consistency_steps(attempt: Attempt) -> None:
    """attempt(steps, every, until) → Γ, the list of indices 0 … steps − 1 at which measurement and text are reconciled."""
    cases = []
    for steps, every, until in [(200, 3, 0.85), (25, 2, 1.0), (7, 3, 0.5), (10, 1, 0.0), (20, 4, 0.6)]:
        expected = [index for index in range(steps) if index % every == 0 and index < until * steps]
        cases.append((f"steps = {steps}, every = {every}, until = {until}", (steps, every, until), expected))
    verdict(attempt, cases, "counting starts at 0, the first step is in Γ, and a step that lies exactly at until · steps is not")


def check_cost(attempt: Attempt) -> None:
    """attempt(steps, every, until, guidance_scale) → (U-Net passes, decodes, encodes) of a run for one picture, its last D included."""
    cases = []
    for steps, every, until, omega in [(200, 3, 0.85, 5.0), (25, 2, 1.0, 4.0), (25, 2, 1.0, 1.0), (10, 3, 0.0, 7.5), (7, 3, 0.5, 0.5)]:
        corrected = sum(index % every == 0 and index < until * steps for index in range(steps))
        expected = (steps * (1 if omega == 1 else 2), corrected + 1, corrected)
        cases.append((f"steps = {steps}, every = {every}, until = {until}, ω = {omega:g}", (steps, every, until, omega), expected))
    hint = "guidance asks the network twice in every step, except at ω = 1; D and E work in Γ only, and D once more at the very end"
    verdict(attempt, cases, hint)


def check_algorithm_step(attempt: Attempt) -> None:
    """attempt(z_t, c, null, a, a_prev, omega, reconcile, parts, fresh) → (z_{t−1}, c_∅), one turn of Algorithm 1.

    parts: predict(z_t, c), decode(z), encode(x), pixel_step(x), negate(c_∅, x).
    """

    def predict(z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) * (1 + c.mean((1, 2), keepdim=True)[..., None])

    parts: dict[str, Callable[..., torch.Tensor]] = {
        "predict": predict,
        "decode": lambda z: 0.5 * z + 0.3,
        "encode": lambda x: 2 * x**2 - 0.5,
        "pixel_step": lambda x: x.clamp(-0.2, 0.9) + 0.1,
        "negate": lambda null, x: null - 0.1 * x.mean((1, 2, 3))[:, None, None].sign() * (1 + x.amax((1, 2, 3))[:, None, None]),
    }
    cases = []
    for i, (reconcile, now, then, omega) in enumerate([(True, 0.3, 0.6, 4.0), (False, 0.3, 0.6, 4.0), (True, 0.8, 1.0, 2.0)]):
        z_t, fresh = normal(2, 4, 3, 3, seed=700 + i), normal(2, 4, 3, 3, seed=710 + i)
        c, null = normal(2, 5, 6, seed=720 + i), normal(2, 5, 6, seed=730 + i)
        a, a_prev = torch.tensor(now), torch.tensor(then)
        noise = predict(z_t, null) + omega * (predict(z_t, c) - predict(z_t, null))
        z0, after, mixed = (z_t - (1 - a).sqrt() * noise) / a.sqrt(), null, noise
        if reconcile:
            x_hat = parts["pixel_step"](parts["decode"](z0))
            after = parts["negate"](null, x_hat)
            z0 = a_prev * parts["encode"](x_hat) + (1 - a_prev) * z0
            mixed = (1 - a_prev).sqrt() * noise + a_prev.sqrt() * fresh
        expected = (a_prev.sqrt() * z0 + (1 - a_prev).sqrt() * mixed, after)
        case = f"a step {'in' if reconcile else 'outside of'} Γ, ᾱ_t = {a:.1f}, ᾱ_(t−1) = {a_prev:.1f}"
        cases.append((case, (z_t, c, null, a, a_prev, omega, reconcile, parts, fresh), expected))
    hint = "line by line as in Algorithm 1: negation looks at x̂ after the pixel step, and the c_∅ it returns is for the next turn"
    verdict(attempt, cases, hint, tolerance=1e-3)


def check_paired_difference(attempt: Attempt) -> None:
    """attempt(a, b) → (mean difference, its standard error over pictures).  a, b: (N, S), bool, N pictures and S seeds."""
    cases = []
    for i, (case, N, S) in enumerate([("one seed", 6, 1), ("seeds that agree", 5, 4), ("seeds that do not", 8, 3)]):
        of_picture = uniform(N, 1, seed=740 + i)
        a, b = ((of_picture + share * uniform(N, S, seed=750 + 2 * i + k)) > 0.6 for k, share in enumerate((0.4, 0.2)))
        if case == "seeds that agree":
            a, b = a[:, :1].expand(N, S), b[:, :1].expand(N, S)
        difference = a.double().mean(1) - b.double().mean(1)
        cases.append((f"{case}, N = {N} and S = {S}", (a, b), (difference.mean().item(), (difference.std() / N**0.5).item())))
    hint = "first the share of each picture over its seeds, then a − b, then mean and std / √N: seeds of one picture are no new pictures"
    verdict(attempt, cases, hint)
