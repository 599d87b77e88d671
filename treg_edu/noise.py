"""Gaussian noise, sample by sample: sample i depends on its own generator alone, not on its batch, dtype, device or torch's defaults."""

from collections.abc import Sequence
from typing import Any

import torch

from . import checks

__all__ = ["Generators", "Seed", "generators", "normal", "per_sample"]

Seed = int | torch.Generator | Sequence[int | torch.Generator]
Generators = torch.Generator | Sequence[torch.Generator] | None


def generators(seed: Seed, batch: int) -> list[torch.Generator]:
    """One generator per sample; of seeds, on the CPU.

    seed: one int s, meaning s, s + 1, …, s + batch − 1; or a list of `batch`, ints or torch.Generators; or one torch.Generator, from
    which the samples are drawn in order, so that they depend on their place in the batch.
    """
    batch = checks.integer("batch", batch)
    if isinstance(seed, torch.Generator):
        return [seed] * batch
    expected = f"one int or a list of {batch} ints"
    first = checks.as_integer(seed)
    many: Any = seed if first is None else range(first, first + batch)
    if hasattr(many, "tolist"):  # numpy's and torch's
        many = many.tolist()
    checks.expect(isinstance(many, (list, tuple, range)), "seed", repr(seed), expected, checks.ArgumentTypeError)
    checks.expect(len(many) == batch, "seed", f"{len(many)} seeds for a batch of {batch}", "one int or one seed per sample")
    return [each if isinstance(each, torch.Generator) else _seeded(each, repr(seed), expected) for each in many]


def _seeded(seed: Any, came: str, expected: str) -> torch.Generator:
    whole = checks.as_integer(seed)
    if whole is None:
        checks.fail("seed", came, expected, checks.ArgumentTypeError)
    # torch takes 64 bits, as signed or unsigned
    return torch.Generator("cpu").manual_seed(checks.integer("seed", whole, -(2**63), 2**64 - 1))


def per_sample(generator: Generators, batch: int) -> list[torch.Generator | None]:
    """A generator for each of `batch` samples.

    generator: a list of them, whose samples then do not depend on their batch; or one, from which the samples are drawn in order, so that
    the first is the same in any batch; or None, torch's global one.
    """
    batch = checks.integer("batch", batch)
    many: list[Any] = list(generator) if isinstance(generator, (list, tuple)) else [generator] * batch
    for each in many:
        expected = f"a torch.Generator, a list of {batch}, or None"
        checks.expect(isinstance(each, (torch.Generator, type(None))), "generator", type(each).__name__, expected, checks.ArgumentTypeError)
    checks.expect(len(many) == batch, "generator", f"a list of {len(many)}", f"one torch.Generator or a list of {batch}, one per sample")
    return many


def normal(
    generator: Generators,
    shape: Sequence[int],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """n ~ N(0, I) of `shape`, (B, …), drawn one sample after the other.

    generator: as in `per_sample`.  Drawn in float32 where the generator lives, then moved: a generator on the CPU gives one noise in every
    dtype, on every device.
    """
    draws = []
    for each in per_sample(generator, shape[0]):
        source = device if each is None else each.device
        draws.append(torch.randn(tuple(shape[1:]), generator=each, device=source, dtype=torch.float32).to(device))
    return torch.stack(draws).to(dtype)
