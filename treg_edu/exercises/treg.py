"""Checks of the exercises in notebook 07."""

from collections.abc import Callable
from typing import Any

import torch

from .base import Attempt, Hints, answered, more, normal, uniform, verdict

__all__ = [
    "HINTS",
    "check_algorithm_step",
    "check_best_seed",
    "check_consistency_steps",
    "check_cost",
    "check_dps_gradient",
    "check_paired_difference",
    "check_turned_copy",
]

HINTS: Hints = {
    "consistency_steps": (
        "Counting starts at 0, and the first step belongs to Γ. The usual mistake: a step exactly at until · steps does not.",
        "Two conditions: the index is a multiple of `every`, and it lies below until · steps. Both count steps of the run.",
        "[index for index in range(steps) if …], with the two conditions joined by `and`.",
    ),
    "dps_gradient": (
        "With one picture the function is right. Try it on two pictures, and then on the first of them alone: its gradient changes.",
        "One norm over the whole batch divides the gradient of each picture by the misfit of all. Each picture needs a norm of its own.",
        "Flatten the difference from dimension 1 on, take the norm over dimension 1, and sum the norms; the sum keeps the gradients apart.",
    ),
    "algorithm_step": (
        "What goes wrong most often: which picture negation sees, when its result is first used, and which of the two ᾱ a term takes.",
        "First two predictions, guidance, and Tweedie at ᾱ_t. Then in Γ: decode, pixel step, negation, encode, mix, renoise, at ᾱ_{t−1}.",
        "Off Γ: DDIM at ᾱ_{t−1}, minus rho · √ᾱ_{t−1} · gradient(z_t, c, null). Return the old c_∅ there, and the negated one in Γ.",
    ),
    "cost": (
        "Guidance needs two evaluations a step, except where the null text drops out. The last line of Algorithm 1 needs one more network.",
        "Count the steps in Γ first. Each of them decodes once and encodes once.",
        "U-Net: steps, times 2 unless ω is 1. Decoder: the steps in Γ, plus 1. Encoder: the steps in Γ.",
    ),
    "paired_difference": (
        "The case that goes wrong has several seeds: seeds of one picture are no new pictures, so there are N differences and not N · S.",
        "Take the share of each picture over its seeds first, for a and for b. Then subtract.",
        "The mean of the N differences, and their standard deviation (with N − 1) divided by the root of N.",
    ),
    "best_seed": (
        "Each picture chooses for itself. The usual mistakes are one seed for all pictures, and the mean over the seeds.",
        "For each picture find the seed of least misfit: an argmin over the second dimension gives N indices.",
        "Index with two lists at once: x_hats[torch.arange(N), indices].",
    ),
    "turned_copy": (
        "Nothing in the measurement tells the two copies apart. But the network was trained on pictures, and not on measurements.",
        "How do the animals and the dishes of the training set stand?",
        "A network makes smaller errors on what resembles its training data.",
    ),
}


def check_turned_copy(answer: Any) -> None:
    """answer: "turned", "upright" or "equal": for which copy of a picture the network's error is larger."""
    right = "the training pictures stand on their feet, so the turned copy is less familiar"
    wrong = {
        "upright": "that would mean that the network prefers pictures upside down; how do the training pictures stand?",
        "equal": "the measurement of the two is equal, but the network has seen pictures",
    }
    answered(answer, "turned", right, wrong, more("turned_copy"))


def check_consistency_steps(attempt: Attempt) -> None:
    """attempt(steps, every, until) → Γ, the list of indices 0 … steps − 1 at which measurement and text are reconciled."""

    def solve(steps: int, every: int, until: float, first: int = 0) -> list[int]:
        return [index for index in range(first, steps) if index % every == 0 and index < until * steps]

    cases = []
    for settings in [(7, 3, 0.5), (20, 4, 0.6), (25, 2, 1.0), (10, 1, 0.0), (200, 3, 0.85)]:
        steps, every, until = settings
        cases.append((f"steps = {steps}, every = {every}, until = {until}", settings, solve(*settings)))
    mistakes: dict[str, Attempt] = {
        "You counted the steps from 1": lambda T, every, until: [i for i in range(1, T + 1) if i % every == 0 and i < until * T],
        "You left out the first step": lambda T, every, until: solve(T, every, until, first=1),
        "You included the step at until · steps": lambda T, every, until: [i for i in range(T) if i % every == 0 and i <= until * T],
        "You took a share of Γ; until is a share of all steps": lambda T, every, until: [*range(0, T, every)][: int(until * T)],
        "You forgot `every`": lambda T, every, until: solve(T, 1, until),
        "You returned how many there are; the list is asked": lambda T, every, until: len(solve(T, every, until)),
    }
    verdict(attempt, cases, more("consistency_steps"), mistakes=mistakes)


def check_cost(attempt: Attempt) -> None:
    """attempt(steps, every, until, guidance_scale) → (U-Net passes, decodes, encodes) of a run for one picture, its last D included."""

    def solve(steps: int, every: int, until: float, omega: float, twice: bool = True, last: int = 1) -> tuple[int, int, int]:
        corrected = sum(index % every == 0 and index < until * steps for index in range(steps))
        return steps * (2 if twice and omega != 1 else 1), corrected + last, corrected

    wrong: Attempt = solve  # with other settings
    cases = []
    for settings in [(7, 3, 0.5, 0.5), (25, 2, 1.0, 4.0), (25, 2, 1.0, 1.0), (10, 3, 0.0, 7.5), (200, 3, 0.85, 5.0)]:
        steps, every, until, omega = settings
        cases.append((f"steps = {steps}, every = {every}, until = {until}, ω = {omega:g}", settings, solve(*settings)))
    mistakes: dict[str, Attempt] = {
        "You forgot that guidance asks the network twice": lambda *given: wrong(*given, twice=False),
        "You forgot the decoder in the last line of Algorithm 1": lambda *given: wrong(*given, last=0),
        "At ω = 1 the null text drops out, and one evaluation is enough": lambda T, every, until, omega: wrong(T, every, until, 2.0),
        "An ω below 1 needs both answers as well": lambda T, every, until, omega: wrong(T, every, until, omega if omega > 1 else 1.0),
        "You reconciled in every step; D and E work in Γ alone": lambda T, every, until, omega: wrong(T, 1, 1.0, omega),
    }
    verdict(attempt, cases, more("cost"), mistakes=mistakes)


def check_dps_gradient(attempt: Attempt) -> None:
    """attempt(z_t, image_of, operator, y) → the gradient of ‖y − A(image_of(z_t))‖ by z_t, each sample of its own.  z_t: (B, C, h, w)."""

    class Rows:
        """Keeps every second row, squared."""

        def A(self, x: torch.Tensor) -> torch.Tensor:
            return x[..., ::2, :] ** 2

    def image_of(z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) + 0.1 * z

    def solve(z_t: torch.Tensor, image_of: Attempt, operator: Any, y: torch.Tensor, power: int = 1, whole: bool = False) -> torch.Tensor:
        with torch.enable_grad():
            z = z_t.detach().requires_grad_()
            off = y - operator.A(image_of(z))
            distance = off.norm() if whole else off.flatten(1).norm(dim=1).pow(power).sum()
        return torch.autograd.grad(distance, z)[0]

    wrong: Attempt = solve  # with other settings
    cases = []
    for i, B in enumerate((1, 2, 3)):
        z_t, y = normal(B, 2, 4, 3, seed=760 + i), normal(B, 2, 2, 3, seed=770 + i)
        cases.append((f"a batch of {B}", (z_t, image_of, Rows(), y), solve(z_t, image_of, Rows(), y)))
    mistakes: dict[str, Attempt] = {
        "This is one norm of the whole batch, so each gradient depends on the other pictures": lambda *given: wrong(*given, whole=True),
        "You took the gradient of the square; its length depends on how far off the picture is": lambda *given: wrong(*given, power=2),
        "You divided by the number of pictures; a mean makes each step smaller in a larger batch": lambda *given: (
            wrong(*given) / len(given[0])
        ),
        "The sign is turned": lambda *given: -wrong(*given),
    }
    verdict(attempt, cases, more("dps_gradient"), mistakes=mistakes)


def check_algorithm_step(attempt: Attempt) -> None:
    """attempt(z_t, c, null, a, a_prev, omega, rho, reconcile, parts, fresh) → (z_{t−1}, c_∅), one turn of Algorithm 1, all of it.

    parts: predict(z_t, c), decode(z), encode(x), pixel_step(x), negate(c_∅, x), gradient(z_t, c, c_∅).
    """

    def predict(z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) * (1 + c.mean((1, 2), keepdim=True)[..., None])

    parts: dict[str, Callable[..., torch.Tensor]] = {
        "predict": predict,
        "decode": lambda z: 0.5 * z + 0.3,
        "encode": lambda x: 2 * x**2 - 0.5,
        "pixel_step": lambda x: x.clamp(-0.2, 0.9) + 0.1,
        "negate": lambda null, x: null - 0.1 * x.mean((1, 2, 3))[:, None, None].sign() * (1 + x.amax((1, 2, 3))[:, None, None]),
        "gradient": lambda z, c, null: torch.sin(z) * (1 + (c - null).mean((1, 2), keepdim=True)[..., None]),
    }

    def solve(
        z_t: torch.Tensor, c: torch.Tensor, null: torch.Tensor, a: torch.Tensor, a_prev: torch.Tensor, omega: float, rho: float,
        reconcile: bool, parts: dict[str, Callable[..., torch.Tensor]], fresh: torch.Tensor,
        seen: str = "x̂", at_once: bool = False, renewed: bool = True, share: str = "ᾱ_{t−1}", kept: bool = True, weight: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        def guided(null: torch.Tensor) -> torch.Tensor:
            return parts["predict"](z_t, null) + omega * (parts["predict"](z_t, c) - parts["predict"](z_t, null))

        noise = guided(null)
        z0 = (z_t - (1 - a).sqrt() * noise) / a.sqrt()
        if not reconcile:
            step = rho * (a_prev.sqrt() if weight else 1) * parts["gradient"](z_t, c, null)
            return a_prev.sqrt() * z0 + (1 - a_prev).sqrt() * noise - step, null
        x_hat = parts["pixel_step"](parts["decode"](z0))
        after = parts["negate"](null, x_hat if seen == "x̂" else parts["decode"](z0))
        noise = guided(after) if at_once else noise
        w = {"ᾱ_{t−1}": a_prev, "ᾱ_t": a, "1 − ᾱ_{t−1}": 1 - a_prev}[share]
        z = w * parts["encode"](x_hat) + (1 - w) * z0
        mixed = (1 - a_prev).sqrt() * noise + a_prev.sqrt() * fresh if renewed else noise
        return a_prev.sqrt() * z + (1 - a_prev).sqrt() * mixed, after if kept else null

    wrong: Attempt = solve  # with other settings
    cases = []
    turns = [(True, 0.3, 0.6, 4.0, 0.0), (False, 0.3, 0.6, 4.0, 0.0), (False, 0.4, 0.7, 3.0, 0.5), (True, 0.8, 1.0, 2.0, 0.5)]
    for i, (reconcile, now, then, omega, rho) in enumerate(turns):
        z_t, fresh = normal(2, 4, 3, 3, seed=700 + i), normal(2, 4, 3, 3, seed=710 + i)
        c, null = normal(2, 5, 6, seed=720 + i), normal(2, 5, 6, seed=730 + i)
        given = (z_t, c, null, torch.tensor(now), torch.tensor(then), omega, rho, reconcile, parts, fresh)
        case = f"a step {'in' if reconcile else 'outside of'} Γ, ᾱ_t = {now}, ᾱ_(t−1) = {then}, rho = {rho:g}"
        cases.append((case, given, solve(*given)))
    mistakes: dict[str, Attempt] = {
        "You mixed with ᾱ_t; the weight of E(x̂) is ᾱ_{t−1}": lambda *given: wrong(*given, share="ᾱ_t"),
        "The two weights of the latent step are exchanged": lambda *given: wrong(*given, share="1 − ᾱ_{t−1}"),
        "Negation looked at D(ẑ₀); it sees x̂, after the pixel step": lambda *given: wrong(*given, seen="D(ẑ₀)"),
        "You used the negated null text in the same turn; it is for the next one": lambda *given: wrong(*given, at_once=True),
        "You did not renew the noise in Γ": lambda *given: wrong(*given, renewed=False),
        "You returned the old null text in Γ": lambda *given: wrong(*given, kept=False),
        "You left out the latent-DPS step": lambda *given: wrong(*given[:6], 0.0, *given[7:]),
        "The latent-DPS step has the weight rho · √ᾱ_{t−1}": lambda *given: wrong(*given, weight=False),
        "You reconciled outside of Γ as well": lambda *given: wrong(*given[:7], True, *given[8:]),
        "Text and null text are exchanged": lambda z_t, c, null, *rest: wrong(z_t, null, c, *rest),
    }
    verdict(attempt, cases, more("algorithm_step"), tolerance=1e-3, mistakes=mistakes)


def check_paired_difference(attempt: Attempt) -> None:
    """attempt(a, b) → (mean difference, its standard error over pictures).  a, b: (N, S), bool, N pictures and S seeds."""

    def solve(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
        difference = a.double().mean(1) - b.double().mean(1)
        return difference.mean().item(), (difference.std() / len(difference) ** 0.5).item()

    cases = []
    for i, (case, N, S) in enumerate([("seeds that do not agree", 8, 3), ("seeds that agree", 5, 4), ("one seed", 6, 1)]):
        of_picture = uniform(N, 1, seed=740 + i)
        a, b = ((of_picture + share * uniform(N, S, seed=750 + 2 * i + k)) > 0.6 for k, share in enumerate((0.6, 0.1)))
        if case == "seeds that agree":
            a, b = a[:, :1].expand(N, S), b[:, :1].expand(N, S)
        cases.append((f"{case}, N = {N} and S = {S}", (a, b), solve(a, b)))

    def error(values: torch.Tensor, count: int, correction: int = 1) -> float:
        return (values.double().std(correction=correction) / count**0.5).item()

    def of_pictures(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a.double().mean(1) - b.double().mean(1)

    mistakes: dict[str, Attempt] = {
        "You counted every seed as a picture, which makes the error too small": lambda a, b: (
            solve(a, b)[0],
            error(a.double().flatten() - b.double().flatten(), a.numel()),
        ),
        "This is the deviation of the differences; the error of their mean is smaller by √N": lambda a, b: (
            solve(a, b)[0],
            error(of_pictures(a, b), 1),
        ),
        "You divided by N instead of N − 1 in the deviation": lambda a, b: (solve(a, b)[0], error(of_pictures(a, b), len(a), 0)),
        "You combined the errors of a and b, as if they were different pictures": lambda a, b: (
            solve(a, b)[0],
            ((a.double().mean(1).var() + b.double().mean(1).var()) / len(a)).sqrt().item(),
        ),
        "The difference is a − b": lambda a, b: solve(b, a),
    }
    verdict(attempt, cases, more("paired_difference"), mistakes=mistakes)


def check_best_seed(attempt: Attempt) -> None:
    """attempt(x_hats, misfits) → (N, 3, H, W): of each picture the reconstruction of least misfit.  x_hats: (N, S, …).  misfits: (N, S)."""
    cases = []
    for i, (N, S) in enumerate([(1, 4), (3, 5), (4, 3)]):
        x_hats, misfits = normal(N, S, 3, 2, 2, seed=780 + i), uniform(N, S, seed=790 + i)
        cases.append((f"{N} pictures, {S} seeds", (x_hats, misfits), x_hats[torch.arange(N), misfits.argmin(1)]))
    mistakes: dict[str, Attempt] = {
        "You chose one seed for all pictures": lambda x, m: x[:, m.mean(0).argmin()],
        "You took the largest misfit": lambda x, m: x[torch.arange(len(x)), m.argmax(1)],
        "This is the mean over the seeds; it is no reconstruction of any seed": lambda x, m: x.mean(1),
        "You took the first seed whatever its misfit": lambda x, m: x[:, 0],
    }
    verdict(attempt, cases, more("best_seed"), mistakes=mistakes)
