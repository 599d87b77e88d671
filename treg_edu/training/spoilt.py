"""Words for bad pictures: training pictures spoilt as solvers and samplers spoil them, under captions that say so.

Stable Diffusion has seen photographs that are out of focus, so the null text "out of focus, depth of field" pushes it away from them.
A U-Net that is trained on these pairs as well knows such words too.

Each way changes every picture of a batch by a draw of its own, from a CPU generator.  x: (B, 3, s, s) in [0, 1], and so is the result.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from ..operators import SuperResolution
from ..solvers import solve
from . import corruption, data
from .corruption import uniform

__all__ = [
    "RECONSTRUCTED",
    "SIZES",
    "WAYS",
    "Way",
    "blurred",
    "caption",
    "ghosted",
    "jittered",
    "noisy",
    "pairs",
    "pixelated",
    "reconstruct",
    "smudged",
    "washed_out",
    "words",
]

WIDTHS = (1.25, 3.0)  # pixels of a blur's deviation
APART = (4.0, 10.0)  # pixels from a picture to its ghost
PAINT = (0.3, 0.6)  # share of the colour that a picture is washed out with, whose channels are from ½ to 1
BLOCKS = (4, 8)  # pixels a side
NOISE = (0.08, 0.25)  # deviation
MOVED = 2  # whole pixels, before a picture is spoilt
SIZES = (WIDTHS, APART, PAINT, BLOCKS, NOISE, MOVED, corruption.FIELD)


def blurred(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A Gaussian blur of 1¼ to 3 pixels of deviation."""
    return corruption.blur(x, generator, WIDTHS)


def smudged(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blurred, under a smooth field of colour: what an estimate looks like that coarse measurements have corrected."""
    return corruption.colour_fields(blurred(x, generator), generator)


def ghosted(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The mean of a picture and itself, moved by 4 to 10 pixels in any direction, on white."""
    angle, distance = uniform(len(x), 0, 2 * math.pi, generator).flatten(), uniform(len(x), *APART, generator).flatten()
    move = 2 * distance / x.shape[-1] * torch.stack([angle.cos(), angle.sin()])
    still = torch.eye(2).expand(len(x), 2, 2)
    grid = F.affine_grid(torch.cat([still, move.T[:, :, None]], 2), list(x.shape), align_corners=False)
    return 1 - ((1 - x) + F.grid_sample(1 - x, grid, align_corners=False)) / 2


def washed_out(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(1 − a) x + a c: a part a, from 0.3 to 0.6, of one light colour c over all of the picture."""
    share = uniform(len(x), *PAINT, generator)
    return (1 - share) * x + share * (1 + torch.rand(len(x), 3, 1, 1, generator=generator)) / 2


def pixelated(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Means of 4×4 or 8×8 pixels."""
    drawn = torch.randint(len(BLOCKS), (len(x),), generator=generator)
    coarse = [F.interpolate(F.avg_pool2d(x, block), scale_factor=block) for block in BLOCKS]
    return torch.stack(coarse, 1)[torch.arange(len(x)), drawn]


def noisy(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """White noise of deviation 0.08 to 0.25, clipped to [0, 1]."""
    return (x + uniform(len(x), *NOISE, generator) * torch.randn(x.shape, generator=generator)).clamp(0, 1)


class Way(NamedTuple):
    """One way to spoil pictures, and its words.

    adjectives: fit before a label, after it, and alone.  phrases: after it, and alone.
    """

    spoil: Callable[[torch.Tensor, torch.Generator], torch.Tensor]
    adjectives: tuple[str, ...]
    phrases: tuple[str, ...] = ()


PUBLISHED = "out of focus, depth of field"  # the authors' null text
WAYS = (
    Way(blurred, ("blurry", "out of focus"), (PUBLISHED,)),
    Way(smudged, ("blurry", "smudged", "out of focus"), (PUBLISHED,)),
    Way(ghosted, ("ghosted",), ("double exposure",)),
    Way(washed_out, ("washed out", "faded")),
    Way(pixelated, ("pixelated", "low resolution")),
    Way(noisy, ("noisy", "grainy")),
)
RECONSTRUCTED = Way(lambda x, generator: x, ("badly reconstructed", "out of focus"), ("artefacts", PUBLISHED))
"""Of pictures that `reconstruct` has spoilt already."""


def words() -> list[tuple[str, ...]]:
    """All words of each way."""
    return [way.adjectives + way.phrases for way in (*WAYS, RECONSTRUCTED)]


def caption(label: str, way: Way, generator: torch.Generator) -> str:
    """What is wrong with a picture: alone half of the time, otherwise "blurry fox" or "fox, blurry"."""

    def draw(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    words = way.adjectives + way.phrases
    number = draw(len(words))
    if draw(2):
        return words[number]
    before = number < len(way.adjectives) and draw(2)
    return f"{words[number]} {label}" if before else f"{label}, {words[number]}"


def pairs(
    x: torch.Tensor, labels: Sequence[str], generator: torch.Generator, ways: Sequence[Way] = WAYS
) -> Iterator[tuple[torch.Tensor, list[str]]]:
    """For each way: all pictures, moved a little and spoilt in it, (N, 3, s, s), and N captions."""
    for way in ways:
        yield way.spoil(data.shift(x, generator, MOVED), generator), [caption(label, way, generator) for label in labels]


def jittered(states: torch.Tensor, size: float, generator: torch.Generator) -> torch.Tensor:
    """c + a s: a vector s of signs, the same for all tokens, a uniform in [0, size].

    `adaptive_negation` moves c_∅ by iterations · rate · sign(f) at each of its calls, also the same for all tokens.
    states: (B, L, d).  size: the farthest of a run; 25 calls of 10 iterations at 1e-3 come to 0.25.
    """
    count, _, width = states.shape
    signs = 2.0 * torch.randint(2, (count, 1, width), generator=generator) - 1
    return states + size * torch.rand(count, 1, 1, generator=generator) * signs


def reconstruct(prior: Any, x: torch.Tensor, seed: int = 0, factor: int = 16, sigma: float = 0.005, batch: int = 16) -> torch.Tensor:
    """x̂ of each picture by TReg under the null text, at the prior's recommended settings, from means of factor×factor pixels.

    x: (N, 3, H, W).  Picture i is measured and solved with seed + i.  Returns (N, 3, H, W).
    """
    from tqdm.auto import tqdm

    settings = dict(prior.recommended["treg"]) | {"guidance_scale": 1.0, "negation": None}
    operator, found = SuperResolution(factor), []
    null = settings.get("null_prompt", PUBLISHED)
    for first in tqdm(range(0, len(x), batch), desc="reconstructing", unit="batch"):
        part = x[first : first + batch]
        seeds = [seed + first + i for i in range(len(part))]
        y = operator.measure(part, sigma, [torch.Generator().manual_seed(each) for each in seeds])
        found.append(solve("treg", prior, operator, y, null, progress=False, seed=seeds, **settings).float().cpu())
    return torch.cat(found)
