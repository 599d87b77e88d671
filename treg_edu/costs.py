"""What a reconstruction costs: passes through the networks, products with A, seconds, memory."""

import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from . import checks
from .priors import DiffusionPrior
from .solvers import SOLVERS, Solver, solve

__all__ = ["COUNTED", "PRODUCTS", "Cost", "cost", "counting", "passes"]

PRODUCTS = ("A", "A_adjoint", "A_vjp")
"""Methods of an operator that are one product with A, Aᵀ or J(x)ᵀ."""
COUNTED = ("unet", "unet_backward", "decoder", "decoder_backward", "encoder", "encoder_backward", "clip", "products")


@dataclass(frozen=True)
class Cost:
    """Of one reconstructed image, but for `seconds` and `memory`, which are those of the whole run.

    unet, decoder, encoder: forward passes; …_backward: passes back through them.  clip: forward passes of CLIP's image tower.
    A guided noise estimate is two forward passes.  products: with A, Aᵀ, or J(x)ᵀ; a closed form counts those it makes itself.
    kept: the most bytes that autograd kept at one time for the ways back, besides the weights; 0 for a solver without gradients.
    memory: the most bytes that the run held beyond what was held before: of the accelerator, or of the process on a CPU, where memory that
    an earlier run has left to the process is not seen.
    """

    unet: float
    unet_backward: float
    decoder: float
    decoder_backward: float
    encoder: float
    encoder_backward: float
    clip: float
    products: float
    seconds: float
    kept: int
    memory: int


def cost(
    solver: str | Solver, prior: DiffusionPrior | None, operator: Any, y: torch.Tensor, prompt: str | Sequence[str] = "", **settings: Any
) -> Cost:
    """Run a solver once and count, by hooks on the networks and on a copy of the operator.  Arguments as of `solve`.

    The prior is left as it was.  A network that a prior does not have, such as the autoencoder of a `PixelDiffusion`, counts 0.
    """
    if isinstance(solver, str):
        solver = SOLVERS[checks.one_of("solver", solver, SOLVERS)]
    with (
        counting(prior, operator) as (operator, counts),
        most_kept(networks(prior).values()) as kept,
        most_memory(y.device if prior is None else prior.device) as memory,
    ):
        started = time.perf_counter()
        solve(solver, prior, operator, y, prompt, progress=False, **settings)
        elapsed = time.perf_counter() - started
    per_image = {name: counts[name] / len(y) for name in COUNTED}
    return Cost(**per_image, seconds=elapsed, kept=kept(), memory=memory())


@contextmanager
def counting(prior: Any, operator: Any) -> Iterator[tuple[Any, Counter[str]]]:
    """As long as it is open, what passes through the networks of a prior is counted, over all images.

    Gives a copy of the operator, whose products are counted, and the counts: {name of COUNTED, or "clip_backward": number}.
    """
    counts: Counter[str] = Counter()
    with ExitStack() as hooks:
        for name, network in networks(prior).items():
            handle = network.register_forward_hook(counted(counts, name), with_kwargs=True)
            hooks.callback(handle.remove)
        yield with_counted_products(operator, counts), counts


def passes(counts: Mapping[str, int]) -> int:
    """Passes through networks, of all kinds alike: one for each forward, two for each back, which is about the time it takes."""
    return sum(count * (2 if name.endswith("_backward") else 1) for name, count in counts.items() if name != "products")


def networks(prior: Any) -> dict[str, torch.nn.Module]:
    """{name: network} of those that a prior has."""
    vae, clip = getattr(prior, "vae", None), getattr(prior, "clip", None)
    found = {"unet": getattr(prior, "unet", None), "clip": getattr(clip, "vision_model", None)}
    found |= {name: getattr(vae, name, None) for name in ("decoder", "encoder")}
    return {name: network for name, network in found.items() if network is not None}


def counted(counts: Counter[str], name: str) -> Callable[..., None]:
    """A forward hook that counts the samples of a pass, and those of the pass back when a gradient comes to its output."""

    def hook(_: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        first = arguments[0] if arguments else next(iter(named.values()))
        batch = len(first)
        counts[name] += batch
        made = output if isinstance(output, torch.Tensor) else output[0]
        if made.requires_grad:
            made.register_hook(lambda _: counts.update({f"{name}_backward": batch}))

    return hook


def with_counted_products(operator: Any, counts: Counter[str]) -> Any:
    """A shallow copy of the operator whose products are counted, also those that its own closed forms make."""
    twin = copy.copy(operator)

    def counting(method: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def product(x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
            counts["products"] += len(x) * (not nested)
            nested.append(method)  # an A_vjp that calls A_adjoint is one product
            try:
                return method(x, *arguments, **named)
            finally:
                nested.pop()

        return product

    nested: list[Any] = []
    for name in PRODUCTS:
        if callable(getattr(operator, name, None)):
            setattr(twin, name, counting(getattr(twin, name)))
    return twin


@contextmanager
def most_kept(networks: Iterable[torch.nn.Module]) -> Iterator[Callable[[], int]]:
    """Gives a function that tells, afterwards, the most bytes of distinct tensors that autograd kept at one time, without the weights."""
    weights = {each.untyped_storage().data_ptr() for network in networks for each in (*network.parameters(), *network.buffers())}
    users: Counter[int] = Counter()  # of each storage
    live = most = 0

    class Kept:
        """A tensor that autograd keeps; what it weighs is given back when autograd lets go of it."""

        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal live, most
            self.tensor, self.storage, self.bytes = tensor, tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
            if self.storage not in weights:
                live += self.bytes * (users[self.storage] == 0)
                users[self.storage] += 1
                most = max(most, live)

        def __del__(self) -> None:
            nonlocal live
            if self.storage not in weights:
                users[self.storage] -= 1
                live -= self.bytes * (users[self.storage] == 0)

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        yield lambda: most


@contextmanager
def most_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """Gives a function that tells, afterwards, the most bytes that were held beyond those at the start."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield lambda: torch.cuda.max_memory_allocated(device) - before
        return
    import psutil

    process, done = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: most - before
    finally:
        done.set()
        watcher.join()
        most = max(most, process.memory_info().rss)
