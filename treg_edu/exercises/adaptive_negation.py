"""Checks of the exercises in notebook 06."""

from collections.abc import Callable
from typing import Any

import torch

from .base import Attempt, Hints, answered, more, normal, uniform, verdict

__all__ = [
    "HINTS",
    "check_adam",
    "check_extra_guidance",
    "check_gentle_rate",
    "check_negation_loss",
    "check_negation_push",
    "check_pull_back",
    "check_shortest_move",
]

HINTS: Hints = {
    "negation_push": (
        "Two signs are at work: the null text moves away from what x̂ shows, and guidance moves away from the null text.",
        "Write Δ for the change of the network's answer to the null text. The formula above says with which sign it stands in ε̂.",
        "Minus times minus: c_∅ moves by −(what x̂ shows), and ε̂ moves by −(ω − 1) times that.",
    ),
    "negation_loss": (
        "The usual mistakes: to normalise c_∅ as well (this is no cosine), or to sum over the tokens instead of taking their mean.",
        "Write the mean as one sum over all L·d numbers of c_∅. What is each of them multiplied by?",
        "Every token has the same gradient, f / ‖f‖ divided by L. The loss is the sum of c_∅ times this gradient.",
    ),
    "adam": (
        "The first iteration is the one that goes wrong: m and v begin at 0 and are far too small until they are corrected.",
        "In iteration k, counted from 1, divide m by 1 − 0.9ᵏ and v by 1 − 0.999ᵏ. Do not overwrite m and v with the corrected ones.",
        "The step is rate · (corrected m) / (root of the corrected v, plus 1e-8), taken from c.",
    ),
    "pull_back": (
        "The function is right where P changes no lengths, such as a rotation. Elsewhere it matters where the length of f is taken.",
        "Move P to the other side of the inner product first: ⟨f / ‖f‖, P c⟩ = ⟨Pᵀ(f / ‖f‖), c⟩.",
        "Divide the feature by its own length, before the matrix. Nothing is divided afterwards.",
    ),
    "shortest_move": (
        "Adam's way along sign(f) is longer than it has to be. The other usual mistake is to move one token alone.",
        "A linear loss falls fastest against its gradient, which is the same for every token. So all tokens move by the same −a f / ‖f‖.",
        "Each token's inner product then falls by a, and their mean by a as well. So a is the drop.",
    ),
    "extra_guidance": (
        "The number is a projection: how often the guidance direction g = ε_c − ε_∅ is contained in the change of ε̂. It is no cosine.",
        "Minimise ‖change − a g‖² over a, for each sample of the batch on its own.",
        "a = ⟨change, g⟩ / ⟨g, g⟩, both sums over all numbers of one sample. Flatten from dimension 1 on.",
    ),
    "gentle_rate": (
        "The same pictures were measured at each rate. So the rise is a difference picture by picture, and the rate 0 is always allowed.",
        "Subtract the misfits without negation from those of each rate, then take the mean over the pictures: one number for each rate.",
        "Keep the rates whose mean rise is at most the tolerance and return the largest; return 0.0 if there is none.",
    ),
}

Tensors = tuple[torch.Tensor, torch.Tensor]


def check_negation_push(answer: Any) -> None:
    """answer: "more" or "less": how much of what x̂ shows will be in the next guided estimate, once negation has moved the null text."""
    right = "the null text goes away from what x̂ shows, and guidance goes away from the null text, so it comes back to what x̂ shows"
    wrong = {
        "less": "that would be so if the picture's own name were put into the null text; here the null text moves away from it",
        "the same": "only at ω = 1, where the null text drops out",
    }
    answered(answer, "more", right, wrong, more("negation_push"))


def check_negation_loss(attempt: Attempt) -> None:
    """attempt(feature, null) → (sim (B,), its gradient by null (B, L, d)).  feature: (B, d).  null: (B, L, d)."""

    def solve(feature: torch.Tensor, null: torch.Tensor, normal: bool = True, tokens: int | None = None) -> Tensors:
        unit = feature / feature.norm(dim=1, keepdim=True) if normal else feature
        gradient = (unit[:, None] / (tokens or null.shape[1])).repeat(1, null.shape[1], 1)
        return (null * gradient).sum((1, 2)), gradient

    cases = []
    for i, (B, L, d) in enumerate([(1, 4, 6), (3, 2, 5), (2, 1, 3)]):
        feature, null = 3 * normal(B, d, seed=600 + i), normal(B, L, d, seed=610 + i)
        cases.append((f"B, L, d = {B, L, d}", (feature, null), solve(feature, null)))
    mistakes: dict[str, Callable[..., Tensors]] = {
        "You did not divide the feature by its length": lambda f, c: solve(f, c, normal=False),
        "You summed over the tokens; sim is their mean": lambda f, c: solve(f, c, tokens=1),
        "In the gradient each of the L tokens has a share of 1/L": lambda f, c: (
            solve(f, c)[0],
            solve(f, c, tokens=1)[1],
        ),
        "This is the direction of descent, the negative of the gradient": lambda f, c: (solve(f, c)[0], -solve(f, c)[1]),
        "You divided the tokens by their lengths as well; sim is no cosine": lambda f, c: (
            solve(f, c / c.norm(dim=-1, keepdim=True))[0],
            solve(f, c)[1],
        ),
    }
    verdict(attempt, cases, more("negation_loss"), mistakes=mistakes)


def check_adam(attempt: Attempt) -> None:
    """attempt(gradient, c, rate, iterations) → c after Adam with β = (0.9, 0.999) and ε = 1e-8, where gradient(c) has the shape of c."""
    direction = normal(2, 3, 4, seed=620) + 0.1
    centre = normal(2, 3, 4, seed=621)

    def adam(gradient: Attempt, c: torch.Tensor, rate: float, n: int, corrected: bool = True, root: bool = True) -> torch.Tensor:
        m = v = torch.zeros_like(c)
        for k in range(1, n + 1):
            m, v = 0.9 * m + 0.1 * gradient(c), 0.999 * v + 0.001 * gradient(c) ** 2
            m_hat, v_hat = (m / (1 - 0.9**k), v / (1 - 0.999**k)) if corrected else (m, v)
            c = c - rate * m_hat / ((v_hat.sqrt() if root else v_hat) + 1e-8)
        return c

    cases = []
    for case, gradient, rate, iterations in [
        ("a gradient that never changes, 1 iteration", lambda c: direction, 1e-2, 1),
        ("a gradient that never changes, 10 iterations", lambda c: direction, 1e-2, 10),
        ("a parabola, 20 iterations", lambda c: 2 * (c - centre), 0.1, 20),
    ]:
        start = normal(2, 3, 4, seed=622)
        c = start.clone()
        optimizer = torch.optim.Adam([c], rate)
        for _ in range(iterations):
            c.grad = gradient(c)
            optimizer.step()
        cases.append((case, (gradient, start, rate, iterations), c))
    mistakes = {
        "You did not correct m and v for beginning at 0": lambda g, c, rate, n: adam(g, c, rate, n, corrected=False),
        "The root of v is missing": lambda g, c, rate, n: adam(g, c, rate, n, root=False),
        "This is gradient descent; nothing is divided by the size of the gradient": lambda g, c, rate, n: c - n * rate * g(c),
        "You went up instead of down": lambda g, c, rate, n: adam(g, c, -rate, n),
        "The closed form holds for a constant gradient alone, and this one changes": lambda g, c, rate, n: c - n * rate * g(c).sign(),
    }
    verdict(attempt, cases, more("adam"), tolerance=1e-3, mistakes=mistakes)


def check_pull_back(attempt: Attempt) -> None:
    """attempt(feature, P) → g (B, d) with ⟨g, c⟩ = ⟨f/‖f‖, P c⟩ for every c in R^d.  feature: (B, p).  P: (p, d)."""

    def unit(v: torch.Tensor) -> torch.Tensor:
        return v / v.norm(dim=1, keepdim=True)

    cases = []
    for i, (B, p, d) in enumerate([(1, 3, 5), (3, 6, 4), (2, 4, 4)]):
        feature, P = 2 * normal(B, p, seed=630 + i), normal(p, d, seed=640 + i)
        cases.append((f"B, p, d = {B, p, d}", (feature, P), unit(feature) @ P))
    mistakes = {
        "You took the length after the matrix; it is the length of f": lambda f, P: unit(f @ P),
        "You did not divide by the length of f": lambda f, P: f @ P,
        "You divided by one length of the whole batch": lambda f, P: f @ P / f.norm(),
        "You took the inverse of P instead of its transpose": lambda f, P: unit(f) @ torch.linalg.pinv(P).T,
        "The matrix is transposed once too often": lambda f, P: unit(f) @ P.T if P.shape[0] == P.shape[1] else torch.zeros(0),
    }
    verdict(attempt, cases, more("pull_back"), mistakes=mistakes)


def check_shortest_move(attempt: Attempt) -> None:
    """attempt(null, feature, drop) → the c_∅ nearest to null, in ‖·‖ over all numbers, whose sim is lower by drop.  null: (B, L, d)."""

    def unit(feature: torch.Tensor) -> torch.Tensor:
        return (feature / feature.norm(dim=1, keepdim=True))[:, None]

    cases = []
    for i, (B, L, d, drop) in enumerate([(1, 4, 6, 0.5), (3, 2, 5, 0.1), (2, 3, 4, 1.0)]):
        feature, null = 2 * normal(B, d, seed=650 + i), normal(B, L, d, seed=660 + i)
        cases.append((f"L = {L} and a drop of {drop}", (null, feature, drop), null - drop * unit(feature)))
    mistakes = {
        "The drop is right, but this is Adam's way along sign(f), which is longer": lambda c, f, drop: (
            c - (drop * f.sign() * f.norm(dim=1, keepdim=True) / f.abs().sum(1, keepdim=True))[:, None]
        ),
        "You divided the drop by the number of tokens; their mean falls as each of them does": lambda c, f, drop: (
            c - drop / c.shape[1] * unit(f)
        ),
        "You did not divide the feature by its length": lambda c, f, drop: c - drop * f[:, None],
        "You moved one token alone; this needs L times as much of it": lambda c, f, drop: torch.cat(
            [c[:, :1] - c.shape[1] * drop * unit(f), c[:, 1:]], 1
        ),
        "You went up instead of down": lambda c, f, drop: c + drop * unit(f),
    }
    verdict(attempt, cases, more("shortest_move"), mistakes=mistakes)


def check_extra_guidance(attempt: Attempt) -> None:
    """attempt(change, null_noise, text_noise) → (B,): the a for which a (ε_c − ε_∅) is nearest to the change of ε̂.  All (B, 4, h, w)."""

    def dot(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return (u * v).flatten(1).sum(1)

    def solve(change: torch.Tensor, null: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return dot(change, text - null) / dot(text - null, text - null)

    cases = []
    for i, (case, B, share) in enumerate(
        [("a change along guidance", 1, 0.0), ("a batch of 3", 3, 0.5), ("a change without guidance", 2, 1.0)]
    ):
        null, text, other = (normal(B, 4, 2, 3, seed=670 + 3 * i + k) for k in range(3))
        change = (1 - share) * 0.3 * (text - null) + share * other
        cases.append((case, (change, null, text), solve(change, null, text)))
    mistakes = {
        "You computed the cosine, which knows no length": lambda d, n, t: torch.cosine_similarity(d.flatten(1), (t - n).flatten(1)),
        "You summed over the whole batch": lambda d, n, t: ((d * (t - n)).sum() / (t - n).square().sum()).expand(len(d)),
        "You divided by the length of g once; a needs its square": lambda d, n, t: dot(d, t - n) / dot(t - n, t - n).sqrt(),
        "You divided by the length of the change": lambda d, n, t: dot(d, t - n) / dot(d, d),
        "The guidance direction points from the null text to the text": lambda d, n, t: -solve(d, n, t),
        "You compared lengths; a change across g has a length as well": lambda d, n, t: (dot(d, d) / dot(t - n, t - n)).sqrt(),
    }
    verdict(attempt, cases, more("extra_guidance"), mistakes=mistakes)


def check_gentle_rate(attempt: Attempt) -> None:
    """attempt(rates, misfits, without, tolerance) → the largest rate whose misfit rises by at most tolerance in the mean, or 0.0.

    rates: (R,), rising, above 0.  misfits: (R, N), of N pictures at each rate.  without: (N,), of the same pictures without negation.
    """

    def solve(rates: torch.Tensor, misfits: torch.Tensor, without: torch.Tensor, tolerance: float) -> float:
        allowed = rates[(misfits - without).mean(1) <= tolerance]
        return float(allowed.max()) if len(allowed) else 0.0

    cases = []
    rates = torch.tensor([1e-3, 3e-3, 1e-2])
    for i, (case, rise) in enumerate([("rises of 0.05, 0.2 and 1", (0.05, 0.2, 1.0)), ("rises of 0, 0.05 and 0.08", (0, 0.05, 0.08)),
                                      ("rises that are all too large", (0.5, 1, 2))]):  # fmt: skip
        without = 1 + 3 * uniform(6, seed=680 + i)
        noise = 0.04 * uniform(3, 6, seed=690 + i) - 0.02
        misfits = without + torch.tensor(rise)[:, None] + noise
        cases.append((case, (rates, misfits, without, 0.1), solve(rates, misfits, without, 0.1)))

    def of_all(keep: Callable[..., torch.Tensor]) -> Attempt:
        def wrong(rates: torch.Tensor, misfits: torch.Tensor, without: torch.Tensor, tolerance: float) -> float:
            allowed = rates[keep(misfits, without, tolerance)]
            return float(allowed.max()) if len(allowed) else 0.0

        return wrong

    mistakes: dict[str, Attempt] = {
        "You compared the misfit itself with the tolerance; it is the rise that counts": of_all(lambda m, w, tol: m.mean(1) <= tol),
        "You took the smallest of the allowed rates": lambda r, m, w, tol: min(r[(m - w).mean(1) <= tol].tolist(), default=0.0),
        "You returned a place and not a rate": lambda r, m, w, tol: int(((m - w).mean(1) <= tol).sum()) - 1,
        "You let every rate pass that is nearest to the tolerance, above or below": lambda r, m, w, tol: float(
            r[((m - w).mean(1) - tol).abs().argmin()]
        ),
    }
    verdict(attempt, cases, more("gentle_rate"), tolerance=1e-6, mistakes=mistakes)
