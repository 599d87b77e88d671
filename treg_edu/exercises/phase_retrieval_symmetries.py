"""Checks of the exercises in notebook 02."""

import torch

from .base import Attempt, uniform, verdict

__all__ = ["check_conjugate_flip", "check_distinct_magnitudes", "check_hio_step", "check_turned_error"]


def check_conjugate_flip(attempt: Attempt) -> None:
    """attempt(x) → x(−r) on the canvas, (B, C, H, W): pixel (i, j) goes to (−i, −j), modulo the sides."""
    shapes = [(1, 1, 4, 4), (2, 3, 5, 6)]
    cases = [(f"a canvas of shape {shape}", uniform(*shape, seed=50 + i)) for i, shape in enumerate(shapes)]
    hint = "row 0 stays where it is, row 1 goes to the last one; columns likewise"
    verdict(attempt, [(case, (x,), x[..., -torch.arange(x.shape[2]), :][..., -torch.arange(x.shape[3])]) for case, x in cases], hint)


def check_distinct_magnitudes(attempt: Attempt) -> None:
    """attempt(H, W) → how many different numbers |F x| has at most for real x on a canvas of H×W pixels."""
    cases = []
    for H, W in [(8, 8), (128, 128), (5, 7), (4, 9), (9, 4)]:
        pairs = {min((i, j), (-i % H, -j % W)) for i in range(H) for j in range(W)}
        cases.append((f"{H}×{W} pixels", (H, W), len(pairs)))
    verdict(attempt, cases, "|F x| is the same at k and at −k: count the pairs, and the frequencies for which these are one and the same")


def check_turned_error(attempt: Attempt) -> None:
    """attempt(x_hat, x) → (B,): RMS of x̂ − x over an image, each channel turned by 180° where that brings it closer."""
    x = uniform(2, 3, 4, 5, seed=60)
    turned = x.flip((-2, -1))
    mixed = torch.stack([x[:, 0], turned[:, 1], 0.9 * turned[:, 2]], dim=1)
    other = uniform(2, 3, 4, 5, seed=61)
    cases = []
    for case, x_hat in (("x̂ = x turned", turned), ("channels turned apart", mixed), ("an x̂ that is neither", other)):
        squares = torch.stack([(each - x).square().mean((2, 3)) for each in (x_hat, x_hat.flip((-2, -1)))])
        cases.append((case, (x_hat, x), squares.amin(0).mean(1).sqrt()))
    hint = "decide for each channel by its own mean square, then take the mean over channels, and the root last"
    verdict(attempt, cases, hint)


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
    hint = "a pixel obeys where it is in the support and not negative; elsewhere the old input is moved against the output"
    verdict(attempt, cases, hint)
