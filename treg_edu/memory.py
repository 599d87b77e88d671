"""How much memory the stages of a solver need at any size, counted without computing: on torch's "meta" device tensors are shapes."""

import copy
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from . import checks
from .diffusion import guided_noise
from .likelihood import estimate_in_graph
from .priors import LatentDiffusion
from .priors.model_files import without_reports

__all__ = ["STAGES", "as_shapes", "peak", "stages", "weights"]

STAGES = ("guided noise", "decoder", "encoder", "clip", "gradient")
"""The U-Net with both texts; D; E; CLIP's image tower; and what LDPS keeps for the way back through decoder and U-Net."""


class _Live(TorchFunctionMode):
    """Counts the bytes of the storages that torch's functions return, as long as anything holds them; `most` is the most at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most, self.known = 0, 0, weakref.WeakValueDictionary[int, Any]()

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        returned = function(*arguments, **(named or {}))
        for each in _tensors_of(returned):
            self.count(each.untyped_storage())
        return returned

    def count(self, storage: Any) -> None:
        """Once for each storage, whatever views there are of it."""
        if self.known.get(id(storage)) is storage:
            return
        self.known[id(storage)] = storage
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self.free, size)

    def free(self, size: int) -> None:
        self.now -= size


def _tensors_of(value: Any) -> Iterable[torch.Tensor]:
    """The tensors that a function returned, one or a sequence of them."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors_of(each)


def peak(run: Callable[[], Any]) -> int:
    """The most bytes of tensors that were made by `run()` and alive at one time, on any device, besides those that were there before.

    The results of torch's functions are counted, not a kernel's own workspace, the allocator's fragments, or a gradient on its way back.
    """
    with _Live() as live:
        run()
    return live.most


def weights(prior: LatentDiffusion, bytes_each: int = 2) -> dict[str, int]:
    """{network: bytes of its weights}, each of `bytes_each`, 2 for float16 and bfloat16, 4 for float32."""
    bytes_each = checks.integer("bytes_each", bytes_each)
    parts = {name: getattr(prior, name) for name in ("unet", "vae", "text_encoder", "clip")}
    return {name: bytes_each * sum(each.numel() for each in part.parameters()) for name, part in parts.items() if part is not None}


def as_shapes(prior: LatentDiffusion, dtype: torch.dtype = torch.float16) -> LatentDiffusion:
    """The prior with networks of the same configurations on the "meta" device: they take no memory and compute nothing but shapes."""
    other = copy.copy(prior)
    with torch.device("meta"), without_reports():
        for name in ("unet", "vae"):
            part = getattr(prior, name)
            setattr(other, name, type(part).from_config(part.config).to(dtype))
        for name in ("text_encoder", "clip"):
            part = getattr(prior, name)
            setattr(other, name, None if part is None else type(part)(part.config).to(dtype))
    for part in (other.unet, other.vae, other.text_encoder, other.clip):
        if part is not None:
            part.requires_grad_(False).eval()
    return other


def stages(prior: LatentDiffusion, size: int | tuple[int, int] | None = None, batch: int = 1) -> Mapping[str, int]:
    """{stage of STAGES: bytes} that each stage needs at most besides the weights.  prior: of `as_shapes`.  size: a side or (H, W); the
    training size if None.  A network's `enable_slicing` and `enable_tiling` count.
    """
    batch, latent = checks.integer("batch", batch), prior.latent_shape(size)
    z = torch.empty(batch, *latent, device=prior.device, dtype=prior.dtype)
    x = torch.empty(batch, 3, *(prior.factor * side for side in latent[1:]), device=prior.device, dtype=prior.dtype)
    c = torch.empty(batch, prior.tokenizer.model_max_length, prior.unet.config.cross_attention_dim, device=prior.device, dtype=prior.dtype)

    def gradient() -> Any:
        with torch.enable_grad():
            return estimate_in_graph(prior, z, 500, c, c, 5.0)

    with torch.no_grad():
        found = {
            "guided noise": peak(lambda: guided_noise(prior, z, 500, c, c, 5.0)),
            "decoder": peak(lambda: prior.decode(z)),
            "encoder": peak(lambda: prior.encode(x)),
            "clip": 0 if prior.clip is None else peak(lambda: prior.embed_images(x)),
        }
    return found | {"gradient": peak(gradient)}
