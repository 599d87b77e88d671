"""Checks of the exercises in notebook 08."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .base import NOT_YET, Attempt, Hints, more, normal, verdict

__all__ = [
    "HINTS",
    "check_chosen_step",
    "check_clean_estimate",
    "check_gluing",
    "check_ldps_step",
    "check_norm_gradient",
    "check_passes_back",
    "check_renoised",
    "check_through_the_network",
    "check_without_a_gradient",
]

HINTS: Hints = {
    "norm_gradient": (
        "‖r‖ = √(rᵀr) with r = A x − y. What goes wrong most often: the norm of the whole batch instead of each sample's own.",
        "The chain rule: the gradient of ‖r‖ by r is r / ‖r‖, and r depends on x through A. So Aᵀ comes before it.",
        "For a batch: off = x @ A.T − y, and then off @ A divided by the norm of each row of off.",
    ),
    "gluing": (
        "With D = E = I the formula has only A, A†, x and y in it. The usual mistake is Aᵀ for A†.",
        "The glued picture is what was measured, A†y, where the instrument looks, and x where it does not: A†y + (I − A†A) x.",
        "Subtract x from it: A†(y − A x) is left. A† is torch.linalg.pinv(A), and the term is its norm.",
    ),
    "through_the_network": (
        "ẑ₀ depends on z_t. The usual mistake is to take the gradient by ẑ₀, which is MPGD's.",
        "z₀ and z_t are Gaussian together, so ẑ₀ = E[z₀ | z_t] is s · z_t. The number s is the Jacobian.",
        "s = √ᾱ v / (ᾱ v + 1 − ᾱ), and the gradient is s · (ẑ₀ − y) / ‖ẑ₀ − y‖.",
    ),
    "renoised": (
        "Two independent noises of variance 1 are added. The usual mistake: shares that add up to 1, so that the sum is too quiet.",
        "Variances add up: the squares of the two shares have to give 1. Which share does `fresh` get?",
        "√ᾱ_{t−1} z + √(1 − ᾱ_{t−1}) (kept · eps + √(1 − kept²) · fresh).",
    ),
    "passes_back": (
        "Follow each cell above from the misfit back to the variable of the gradient. Which networks lie on this way?",
        "LDPS and PSLD ask for the gradient by z_t, MPGD by ẑ₀. And what does PSLD's second term call that the first does not?",
        "In TReg's data step no gradient is taken: decoder and encoder are called, and nothing passes back through them.",
    ),
    "ldps_step": (
        "The function runs, and its misfit falls. But how does the gradient reach z_t, and which way did it not take?",
        "ẑ₀ = (z_t − √(1 − ᾱ) ε̂) / √ᾱ depends on z_t twice: directly, and through ε̂ = predict(z_t).",
        "detach() cuts the second way off. The noise estimate has to stay part of autograd's graph until the gradient is taken.",
    ),
    "chosen_step": (
        "Samples of the posterior explain y up to its noise. The usual mistake is the smallest misfit, which may be far below 1 σ.",
        "For each size: the RMS of its N misfits. Then how far it is from 1 as a ratio: the absolute value of the logarithm.",
        "rms = misfits.square().mean(1).sqrt(), and the size at rms.log().abs().argmin().",
    ),
    "without_a_gradient": (
        "You may write it as it stands. What goes wrong most often is the r² before Aᵀ, and σ² against σ.",
        "Aᵀ(A Aᵀ + λI)⁻¹ = (AᵀA + λI)⁻¹Aᵀ. Divide numerator and denominator by r².",
        "It is x̂ − x for the pixel step x̂ = argmin ‖y − A x̂‖² + λ ‖x̂ − x‖² with λ = σ² / r².",
    ),
    "clean_estimate": (
        "With the true noise the estimate has to be z₀. Try it at ᾱ near 0 and near 1: where is the line nearly right?",
        "Solve z_t = √ᾱ z₀ + √(1 − ᾱ) ε for z₀.",
        "Look at the power of (1 − ᾱ): the deviation of the noise stands there, and not its variance.",
    ),
}


def check_norm_gradient(attempt: Attempt) -> None:
    """attempt(A, y, x) → ∇ₓ ‖y − A x‖ of each sample.  A: (m, n).  y: (B, m).  x: (B, n).  Returns (B, n)."""

    def off(A: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x @ A.T - y

    def solve(A: torch.Tensor, y: torch.Tensor, x: torch.Tensor, power: int = 1) -> torch.Tensor:
        return off(A, y, x) @ A / off(A, y, x).norm(dim=1, keepdim=True) ** power

    cases = []
    for i, (case, batch, m, n) in enumerate([("one sample", 1, 3, 5), ("three samples", 3, 4, 4), ("more measured than unknown", 2, 6, 3)]):
        A, y, x = normal(m, n, seed=200 + i), normal(batch, m, seed=210 + i), normal(batch, n, seed=220 + i)
        x[0] *= 10  # so that a norm over the batch is not that of each sample
        cases.append((case, (A, y, x), solve(A, y, x)))
    mistakes = {
        "This is the gradient of half the square, and its length shrinks with the misfit": lambda A, y, x: solve(A, y, x, power=0),
        "This is one norm of the whole batch, so each gradient depends on the other samples": lambda A, y, x: (
            off(A, y, x) @ A / off(A, y, x).norm()
        ),
        "The sign is turned: this way the misfit falls": lambda A, y, x: -solve(A, y, x),
        "You divided by the square of the norm": lambda A, y, x: solve(A, y, x, power=2),
    }
    verdict(attempt, cases, more("norm_gradient"), mistakes=mistakes)


def check_gluing(attempt: Attempt) -> None:
    """attempt(A, y, x) → ‖A†y + (I − A†A) x − x‖, PSLD's gluing term with D = E = I.  A: (m, n).  y: (m,).  x: (n,).  A number."""

    def solve(A: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (torch.linalg.pinv(A) @ (y - A @ x)).norm()

    cases = []
    for i, (case, m, n) in enumerate([("a wide A", 3, 6), ("a square A", 4, 4), ("a tall A", 6, 3)]):
        A, x, y = normal(m, n, seed=250 + i), normal(n, seed=260 + i), normal(m, seed=270 + i)
        cases.append((case, (A, y, x), solve(A, y, x)))
    A, x = normal(3, 6, seed=280), normal(6, seed=281)
    cases.append(("x that explains y", (A, A @ x, x), torch.tensor(0.0)))
    mistakes = {
        "You took Aᵀ for A†; the two agree only where A Aᵀ = I": lambda A, y, x: (A.T @ (y - A @ x)).norm(),
        "This is the misfit, the first term of PSLD": lambda A, y, x: (y - A @ x).norm(),
        "This is the square of the norm": lambda A, y, x: solve(A, y, x) ** 2,
        "This is the norm of the glued picture; its distance from x is asked": lambda A, y, x: (
            x + torch.linalg.pinv(A) @ (y - A @ x)
        ).norm(),
    }
    verdict(attempt, cases, more("gluing"), tolerance=1e-3, mistakes=mistakes)


def check_through_the_network(attempt: Attempt) -> None:
    """attempt(z_t, y, alpha_bar, variance) → ∇_{z_t} ‖y − ẑ₀(z_t)‖ for the prior N(0, variance · I) and A = I.  z_t, y: (n,)."""

    def slope(a: torch.Tensor, v: float) -> torch.Tensor:
        return a.sqrt() * v / (a * v + 1 - a)

    def solve(z_t: torch.Tensor, y: torch.Tensor, a: torch.Tensor, v: float, jacobian: Any = None, power: int = 1) -> torch.Tensor:
        off = slope(a, v) * z_t - y
        return (slope(a, v) if jacobian is None else jacobian) * off / off.norm() ** power

    wrong: Attempt = solve  # with other settings
    cases = []
    for i, (alpha_bar, variance) in enumerate([(0.9, 0.25), (0.5, 1.0), (0.1, 4.0)]):
        arguments = normal(6, seed=230 + i), normal(6, seed=240 + i), torch.tensor(alpha_bar), variance
        cases.append((f"ᾱ = {alpha_bar}, variance {variance}", arguments, solve(*arguments)))
    mistakes = {
        "This is MPGD's gradient, by ẑ₀; the one by z_t has the network's Jacobian before it": lambda *given: wrong(*given, jacobian=1),
        "You took the noise estimate for a constant, so that 1/√ᾱ is all of the Jacobian": lambda z, y, a, v: wrong(
            z, y, a, v, jacobian=1 / a.sqrt()
        ),
        "This is the gradient of half the square": lambda *given: wrong(*given, power=0),
        "The sign is turned: this way the misfit falls": lambda *given: -wrong(*given),
    }
    verdict(attempt, cases, more("through_the_network"), mistakes=mistakes)


def check_renoised(attempt: Attempt) -> None:
    """attempt(z, eps, fresh, a_prev, kept) → z_{t−1} with the share `kept` of the old noise, 0 to 1.

    z, eps, fresh: (B, 4, h, w).  a_prev: ᾱ_{t−1}, a scalar tensor.
    """

    def solve(z: torch.Tensor, eps: torch.Tensor, fresh: torch.Tensor, a: torch.Tensor, kept: float) -> torch.Tensor:
        return a.sqrt() * z + (1 - a).sqrt() * (kept * eps + (1 - kept**2) ** 0.5 * fresh)

    cases = []
    for i, kept in enumerate([0.6, 1.0, 0.0]):
        z, eps, fresh = (normal(2, 4, 3, 3, seed=seed + i) for seed in (530, 540, 550))
        a = torch.tensor(0.2 + 0.3 * i)
        cases.append((f"kept = {kept}", (z, eps, fresh, a, kept), solve(z, eps, fresh, a, kept)))
    mistakes = {
        "The shares add up to 1, but their squares have to: the noise is too quiet": lambda z, e, f, a, kept: (
            a.sqrt() * z + (1 - a).sqrt() * (kept * e + (1 - kept) * f)
        ),
        "You exchanged the old noise and the fresh": lambda z, e, f, a, kept: solve(z, f, e, a, kept),
        "Both noises have the size 1; the level t − 1 has √(1 − ᾱ_{t−1}) of noise": lambda z, e, f, a, kept: (
            a.sqrt() * z + kept * e + (1 - kept**2) ** 0.5 * f
        ),
        "You took ᾱ and 1 − ᾱ without their roots": lambda z, e, f, a, kept: a * z + (1 - a) * (kept * e + (1 - kept**2) ** 0.5 * f),
        "The fresh noise is missing": lambda z, e, f, a, kept: solve(z, e, 0 * f, a, kept),
    }
    verdict(attempt, cases, more("renoised"), tolerance=1e-3, mistakes=mistakes)


NETWORKS = ("U-Net", "decoder", "encoder")
PASSED_BACK = {"LDPS": ("U-Net", "decoder"), "PSLD": ("U-Net", "decoder", "encoder"), "MPGD": ("decoder",), "TReg": ()}
FORGOTTEN = {
    "U-Net": "the gradient is one by z_t, and ẑ₀ depends on z_t through the U-Net",
    "decoder": "the misfit is measured on the decoded picture, so the gradient passes back through the decoder",
    "encoder": "the gluing term encodes the glued picture, so its gradient passes back through the encoder",
}
NOT_PASSED = {
    "LDPS": "nothing is encoded in its step",
    "MPGD": "its gradient is taken at ẑ₀, behind the U-Net, and nothing is encoded",
    "TReg": "its data step solves for the pixels without a gradient, and decoder and encoder are used forwards alone",
}


def check_passes_back(answer: Any) -> None:
    """answer: {"LDPS": …, "PSLD": …, "MPGD": …, "TReg": …}: what a gradient passes back through, a set of "U-Net", "decoder", "encoder"."""
    print(_passed_back(answer))


def _passed_back(answer: Any) -> str:
    if answer is ... or (isinstance(answer, Mapping) and any(each is ... for each in answer.values())):
        return NOT_YET
    ending = f". {more('passes_back')}"
    if not isinstance(answer, Mapping) or set(answer) != set(PASSED_BACK):
        return f"not yet: expected a dictionary with the keys {', '.join(PASSED_BACK)}, found {type(answer).__name__}{ending}"
    for method, right in PASSED_BACK.items():
        said = answer[method]
        names = [] if isinstance(said, str) else [str(each).strip().lower() for each in said] if hasattr(said, "__iter__") else None
        if names is None or isinstance(said, str) or not set(names) <= {network.lower() for network in NETWORKS}:
            return f"not yet: for {method}, expected a set of {', '.join(map(repr, NETWORKS))}, found {said!r:.60}{ending}"
        for network in NETWORKS:
            if network in right and network.lower() not in names:
                return f"not yet: for {method}, the {network} is missing. In full: {FORGOTTEN[network]}{ending}"
            if network not in right and network.lower() in names:
                return f"not yet: for {method}, the {network} is too much. In full: {NOT_PASSED[method]}{ending}"
    return "right: LDPS and PSLD pass back through the U-Net, MPGD through the decoder alone, TReg through nothing; the table counts it"


def check_ldps_step(attempt: Attempt) -> None:
    """attempt(z_t, y, predict, decode, A, a, a_prev, rho) → LDPS's z_{t−1}, each sample with its own norm.

    z_{t−1} = DDIM(ẑ₀, ε̂) − ρ ∇_{z_t} ‖y − A(D(ẑ₀))‖

    z_t: (B, C, h, w).  predict: z_t → ε̂.  decode: z → picture.  A: picture → measurement.  a, a_prev: ᾱ_t, ᾱ_{t−1}, scalar tensors.
    """

    def predict(z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z) - 0.4 * z.roll(1, -1)

    def decode(z: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(z)

    def A(x: torch.Tensor) -> torch.Tensor:
        return x[..., ::2]

    def solve(
        z_t: torch.Tensor,
        y: torch.Tensor,
        predict: Attempt,
        decode: Attempt,
        A: Attempt,
        a: torch.Tensor,
        a_prev: torch.Tensor,
        rho: float,
        cut: bool = False,
        start: str = "DDIM",
    ) -> torch.Tensor:
        with torch.enable_grad():
            z = z_t.detach().requires_grad_()
            eps = predict(z).detach() if cut else predict(z)
            z0 = (z - (1 - a).sqrt() * eps) / a.sqrt()
            off = (y - A(decode(z0))).flatten(1).norm(dim=1)
        step = rho * torch.autograd.grad(off.sum(), z)[0]
        return ((a_prev.sqrt() * z0 + (1 - a_prev).sqrt() * eps if start == "DDIM" else z) - step).detach()

    wrong: Attempt = solve  # with other settings
    cases = []
    for i, B in enumerate((1, 2)):
        z_t, y = normal(B, 2, 3, 4, seed=560 + i), normal(B, 2, 3, 2, seed=570 + i)
        arguments = z_t, y, predict, decode, A, torch.tensor(0.3 + 0.4 * i), torch.tensor(0.5 + 0.4 * i), 2.0
        cases.append((f"a batch of {B}", arguments, solve(*arguments)))
    mistakes = {
        "The gradient does not pass through the network, because ε̂ was detached: up to its length this is MPGD's": lambda *given: wrong(
            *given, cut=True
        ),
        "This is DDIM alone: the gradient is not subtracted": lambda *given: wrong(*given[:-1], 0.0),
        "This goes uphill: the sign of the gradient is turned": lambda *given: wrong(*given[:-1], -given[-1]),
        "This is a step of z_t; the gradient is subtracted from DDIM's z_{t−1}": lambda *given: wrong(*given, start="z_t"),
    }
    verdict(attempt, cases, more("ldps_step"), mistakes=mistakes)


def check_chosen_step(attempt: Attempt) -> None:
    """attempt(sizes, misfits) → the step size whose RMS misfit is nearest to 1 σ as a ratio.  sizes: K numbers.  misfits: (K, N), in σ."""

    def rms(misfits: torch.Tensor) -> torch.Tensor:
        return misfits.square().mean(1).sqrt()

    def solve(sizes: Sequence[float], misfits: torch.Tensor) -> float:
        return sizes[int(rms(misfits).log().abs().argmin())]

    cases = []
    for case, sizes, misfits in [
        ("a size that fits the noise", (0.1, 0.2, 0.4, 0.8), [[5.0, 4.0], [1.0, 1.2], [0.2, 0.3], [2.0, 2.5]]),
        ("misfits on both sides of 1 σ", (1.0, 2.0, 4.0), [[4.0, 4.0], [1.7, 1.7], [0.5, 0.5]]),
        ("samples that differ much", (3.0, 6.0), [[0.2, 0.2, 0.2, 2.0], [0.8, 0.8, 0.8, 0.8]]),
    ]:
        values = torch.tensor(misfits)
        cases.append((case, (sizes, values), solve(sizes, values)))
    mistakes: dict[str, Attempt] = {
        "This is the smallest misfit; one that is far below 1 σ fits the noise": lambda sizes, m: sizes[int(rms(m).argmin())],
        "This is nearest by the difference; as a ratio, a half is as far from 1 as a double": lambda sizes, m: sizes[
            int((rms(m) - 1).abs().argmin())
        ],
        "You took the mean of the misfits; variances are averaged, so take their RMS": lambda sizes, m: sizes[
            int(m.mean(1).log().abs().argmin())
        ],
        "You returned the place of the size, and not the size": lambda sizes, m: int(rms(m).log().abs().argmin()),
    }
    verdict(attempt, cases, more("chosen_step"), mistakes=mistakes)


def check_without_a_gradient(attempt: Attempt) -> None:
    """attempt(A, y, x, r2, sigma) → ΠGDM's r² Aᵀ (r² A Aᵀ + σ² I)⁻¹ (y − A x).  A: (m, n).  y: (m,).  x: (n,).  Returns (n,)."""

    def solve(A: torch.Tensor, y: torch.Tensor, x: torch.Tensor, r2: float, sigma: float) -> torch.Tensor:
        return A.T @ torch.linalg.solve(A @ A.T + sigma**2 / r2 * torch.eye(len(A)), y - A @ x)

    cases = []
    for i, (m, n, r2, sigma) in enumerate([(3, 6, 0.5, 0.1), (4, 4, 0.1, 0.5), (6, 3, 1.0, 0.2)]):
        A, x, y = normal(m, n, seed=310 + i), normal(n, seed=320 + i), normal(m, seed=330 + i)
        near = torch.linalg.solve(A.T @ A / sigma**2 + torch.eye(n) / r2, A.T @ y / sigma**2 + x / r2)
        cases.append((f"{m} measurements of {n} numbers, r² = {r2}, σ = {sigma}", (A, y, x, r2, sigma), near - x))
    mistakes = {
        "You forgot the r² before Aᵀ": lambda A, y, x, r2, s: solve(A, y, x, r2, s) / r2,
        "This is the picture after the step; the step is asked": lambda A, y, x, r2, s: x + solve(A, y, x, r2, s),
        "You left the noise out": lambda A, y, x, r2, s: torch.linalg.pinv(A) @ (y - A @ x),
        "You took σ for σ²": lambda A, y, x, r2, s: solve(A, y, x, r2, s**0.5),
        "The sign is turned": lambda A, y, x, r2, s: -solve(A, y, x, r2, s),
    }
    verdict(attempt, cases, more("without_a_gradient"), tolerance=1e-3, mistakes=mistakes)


def check_clean_estimate(attempt: Attempt) -> None:
    """attempt(z_t, noise, alpha_bar) → ẑ₀, the published line mended.  z_t, noise: (B, 4, h, w).  alpha_bar: a scalar tensor."""
    cases = []
    for i, level in enumerate([0.05, 0.5, 0.95]):
        z0, noise, a = normal(2, 4, 3, 3, seed=290 + i), normal(2, 4, 3, 3, seed=300 + i), torch.tensor(level)
        cases.append((f"ᾱ = {level}", (a.sqrt() * z0 + (1 - a).sqrt() * noise, noise, a), z0))
    mistakes = {
        "This takes off the noise times its variance 1 − ᾱ; z_t has it times its deviation": lambda z, e, a: (z - (1 - a) * e) / a.sqrt(),
        "You divided by ᾱ; z_t has √ᾱ z₀": lambda z, e, a: (z - (1 - a).sqrt() * e) / a,
        "Divide all of it by √ᾱ, z_t as well": lambda z, e, a: z - (1 - a).sqrt() * e / a.sqrt(),
        "√(1 − ᾱ) is not 1 − √ᾱ": lambda z, e, a: (z - (1 - a.sqrt()) * e) / a.sqrt(),
    }
    verdict(attempt, cases, more("clean_estimate"), tolerance=1e-3, mistakes=mistakes)
