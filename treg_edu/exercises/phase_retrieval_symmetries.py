"""Checks of the exercises in notebook 02."""

from typing import Any

import torch

from .base import Attempt, Hints, answered, more, normal, uniform, verdict

__all__ = [
    "HINTS",
    "check_best_estimates",
    "check_best_shift",
    "check_conjugate_flip",
    "check_distinct_magnitudes",
    "check_hio_step",
    "check_mixture",
    "check_turned_error",
]

HINTS: Hints = {
    "mixture": (
        "A prediction is never wrong to make. Most people expect the magnitudes to win, since they are what an instrument records.",
        "Which of the two, |F x| or the phase, says where the crests of each wave lie?",
        "Crests that meet in one place make an edge. Edges are what we recognise.",
    ),
    "conjugate_flip": (
        "The case that goes wrong is pixel (0, 0): −0 is 0, so it must stay. A plain flip sends it to the opposite corner.",
        "Write down where rows 0, 1, 2 of a canvas of 4 rows go: −0, −1, −2 modulo 4 are 0, 3, 2.",
        "Flip both sides, then move everything by one pixel down and to the right, around the edge, with roll.",
    ),
    "turned_error": (
        "Each channel chooses for itself. The usual mistake is to choose once for the picture, or pixel by pixel.",
        "For x̂ and for x̂ turned, take the mean square over the last two dimensions: two tensors of shape (B, C).",
        "Take the smaller of the two for each channel, then the mean over channels, and the square root last.",
    ),
    "best_shift": (
        "The function finds the right size of the shift but the wrong sign. It looks right wherever the shift is 0.",
        "Test it on one bright pixel at row 0, and the same pixel at row 3. Which shift moves the first onto the second?",
        "In the formula the conjugate belongs to x̂, the picture that is moved. In the code it is on the other factor.",
    ),
    "hio_step": (
        "Two cases: the output obeys, or it does not. Where it does not, the step begins at the old input x and not at the output.",
        "A pixel obeys where it lies in the support and is not negative: support & (output >= 0).",
        "torch.where(obeys, output, the old input minus beta times the output).",
    ),
    "best_estimates": (
        "The truth is not given, so no error can be computed. The usual mistake is to look at the last iteration alone.",
        "For each start and channel, find the iteration of least misfit, then the start of least misfit: one argmin does both.",
        "Flatten the first two dimensions (iteration and start) of both tensors, take argmin over them, and pick with it.",
    ),
    "distinct_magnitudes": (
        "Frequencies come in pairs k and −k, but some are their own partner. The usual mistake is to forget all of these but 0.",
        "Along a side of even length two frequencies are their own partner, 0 and half the side; along an odd one only 0.",
        "With s such frequencies among H·W, there are (H·W − s) / 2 pairs and s singles.",
    ),
}


def check_mixture(answer: Any) -> None:
    """answer: "phases" or "magnitudes", whichever decides what a mixture looks like."""
    right = "the outlines come from the phases, as the figure below shows; the magnitudes say how strong each wave is, not where it is"
    wrong = {"magnitudes": "they say how strong each wave is, not where its crests lie; run the next cell and look"}
    answered(answer, "phases", right, wrong, more("mixture"))


def check_conjugate_flip(attempt: Attempt) -> None:
    """attempt(x) → x(−r) on the canvas, (B, C, H, W): pixel (i, j) goes to (−i, −j), modulo the sides."""
    shapes = [(1, 1, 4, 4), (2, 3, 5, 6)]
    cases = [(f"a canvas of shape {shape}", uniform(*shape, seed=50 + i)) for i, shape in enumerate(shapes)]
    mistakes = {
        "You turned the picture within its frame, so that row 0 became the last row": lambda x: x.flip((-2, -1)),
        "You moved the turned picture the wrong way round": lambda x: x.flip((-2, -1)).roll((-1, -1), (-2, -1)),
        "You mirrored the picture; both sides have to be flipped": lambda x: x.flip(-1).roll(1, -1),
    }
    turned = [(case, (x,), x[..., -torch.arange(x.shape[2]), :][..., -torch.arange(x.shape[3])]) for case, x in cases]
    verdict(attempt, turned, more("conjugate_flip"), mistakes=mistakes)


def check_distinct_magnitudes(attempt: Attempt) -> None:
    """attempt(H, W) → how many different numbers |F x| has at most for real x on a canvas of H×W pixels, an int."""
    cases = []
    for H, W in [(8, 8), (128, 128), (5, 7), (4, 9), (9, 4)]:
        pairs = {min((i, j), (-i % H, -j % W)) for i in range(H) for j in range(W)}
        cases.append((f"{H}×{W} pixels", (H, W), len(pairs)))
    mistakes = {
        "You counted every frequency; k and −k share a value": lambda H, W: H * W,
        "You counted the pairs, and lost the frequencies that are their own partner": lambda H, W: H * W // 2,
        "You counted 0 as its own partner; are there others?": lambda H, W: H * W // 2 + 1,
        "You counted what rfft2 stores; on two of its columns k and −k are both stored": lambda H, W: H * (W // 2 + 1),
    }
    verdict(attempt, cases, more("distinct_magnitudes"), mistakes=mistakes)


def check_turned_error(attempt: Attempt) -> None:
    """attempt(x_hat, x) → (B,): RMS of x̂ − x over an image, each channel turned by 180° where that brings it closer."""
    x = uniform(2, 3, 4, 5, seed=60)
    turned = x.flip((-2, -1))
    mixed = torch.stack([x[:, 0], turned[:, 1], 0.9 * turned[:, 2]], dim=1)
    other = uniform(2, 3, 4, 5, seed=61)

    def squares(x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([(each - x).square() for each in (x_hat, x_hat.flip((-2, -1)))])  # (2, B, C, H, W)

    cases = []
    for case, x_hat in (("x̂ = x turned", turned), ("channels turned apart", mixed), ("an x̂ that is neither", other)):
        cases.append((case, (x_hat, x), squares(x_hat, x).mean((3, 4)).amin(0).mean(1).sqrt()))
    mistakes = {
        "You chose one turn for the whole picture": lambda x_hat, x: squares(x_hat, x).mean((2, 3, 4)).amin(0).sqrt(),
        "You chose for each pixel": lambda x_hat, x: squares(x_hat, x).amin(0).mean((1, 2, 3)).sqrt(),
        "You took the root of each channel before the mean": lambda x_hat, x: squares(x_hat, x).mean((3, 4)).sqrt().amin(0).mean(1),
        "You forgot the root": lambda x_hat, x: squares(x_hat, x).mean((3, 4)).amin(0).mean(1),
        "You did not turn anything": lambda x_hat, x: squares(x_hat, x)[0].mean((1, 2, 3)).sqrt(),
    }
    verdict(attempt, cases, more("turned_error"), mistakes=mistakes)


def check_best_shift(attempt: Attempt) -> None:
    """attempt(x_hat, x) → (down, right), each from 0: the shift that moves x̂ onto x, around the edges.  x_hat, x: (1, C, H, W)."""
    cases = []
    for i, (H, W, s) in enumerate([(8, 8, (0, 0)), (8, 8, (3, 0)), (6, 9, (5, 2))]):
        x_hat = normal(1, 3, H, W, seed=65 + i)
        cases.append((f"a picture to be moved by {s}", (x_hat, x_hat.roll(s, (-2, -1))), s))

    def swapped(x_hat: torch.Tensor, x: torch.Tensor) -> tuple[int, ...]:
        c = torch.fft.ifft2(torch.fft.fft2(x_hat) * torch.fft.fft2(x).conj()).real.sum((0, 1))
        return tuple(int(i) for i in torch.unravel_index(c.argmax(), c.shape))

    verdict(attempt, cases, more("best_shift"), mistakes={"This is the shift from x to x̂, its opposite": swapped})


def check_hio_step(attempt: Attempt) -> None:
    """attempt(x, output, support, beta) → Fienup's next input, for bounds (0, ∞).  support: bool, all of the shape of x."""
    cases = []
    for i, (case, low, beta) in enumerate(
        [("an output that is nowhere negative", 0.0, 0.9), ("an output with negative pixels", 0.5, 0.9), ("beta = 0.5", 0.5, 0.5)]
    ):
        x, output = uniform(1, 1, 6, 6, seed=70 + i), uniform(1, 1, 6, 6, seed=80 + i) - low
        support = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
        support[..., :3, :3] = True
        cases.append((case, (x, output, support, beta), torch.where(support & (output >= 0), output, x - beta * output)))

    def step(obeys: torch.Tensor, output: torch.Tensor, otherwise: torch.Tensor | float) -> torch.Tensor:
        return torch.where(obeys, output, torch.as_tensor(otherwise, dtype=output.dtype))

    mistakes = {
        "This is error reduction: what breaks a constraint is set to 0": lambda x, o, s, b: step(s & (o >= 0), o, 0.0),
        "You moved the output; it is the old input that is moved": lambda x, o, s, b: step(s & (o >= 0), o, o - b * o),
        "You forgot that a pixel inside the support breaks a constraint where it is negative": lambda x, o, s, b: step(s, o, x - b * o),
        "You asked whether the old input is negative; it is the output that obeys or not": lambda x, o, s, b: step(
            s & (x >= 0), o, x - b * o
        ),
    }
    verdict(attempt, cases, more("hio_step"), mistakes=mistakes)


def check_best_estimates(attempt: Attempt) -> None:
    """attempt(estimates, misfits) → (C, H, W): of each channel the estimate of least misfit, over iterations and starts.

    estimates: (iterations, starts, C, H, W).  misfits: (iterations, starts, C).
    """
    cases = []
    for i, (K, S, C) in enumerate([(4, 1, 1), (3, 5, 3)]):
        estimates, misfits = normal(K, S, C, 2, 3, seed=90 + i), uniform(K, S, C, seed=95 + i)
        best = misfits.flatten(0, 1).argmin(0)
        cases.append((f"{K} iterations, {S} starts, {C} channels", (estimates, misfits), estimates.flatten(0, 1)[best, torch.arange(C)]))

    def last(estimates: torch.Tensor, misfits: torch.Tensor) -> torch.Tensor:
        return estimates[-1][misfits[-1].argmin(0), torch.arange(misfits.shape[2])]

    def together(estimates: torch.Tensor, misfits: torch.Tensor) -> torch.Tensor:
        return estimates.flatten(0, 1)[misfits.mean(2).flatten().argmin()]

    def worst(estimates: torch.Tensor, misfits: torch.Tensor) -> torch.Tensor:
        return estimates.flatten(0, 1)[misfits.flatten(0, 1).argmax(0), torch.arange(misfits.shape[2])]

    mistakes = {
        "You looked at the last iteration alone": last,
        "You chose one start for all channels; each channel may choose its own": together,
        "You took the largest misfit": worst,
    }
    verdict(attempt, cases, more("best_estimates"), mistakes=mistakes)
