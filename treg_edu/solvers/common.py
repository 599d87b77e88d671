"""What all solvers share: the checks that run at the call, and what each of them starts from."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .. import checks, noise
from ..diffusion import Step, check_prior
from ..operators.protocol import check_operator, image_shape, is_linear, misfit
from ..priors import DiffusionPrior, PixelDiffusion

__all__ = [
    "NONLINEAR",
    "WITHOUT_NOISE",
    "ImageProblem",
    "Problem",
    "image_step",
    "last_image",
    "linear_alone",
    "on_pixels",
    "pose",
    "pose_images",
    "warn_of_size",
    "weight",
]

NONLINEAR = ("daps", "dps", "latent_daps", "ldps", "mpgd", "null_text", "resample", "treg")
"""The solvers that take a nonlinear operator as well."""

WITHOUT_NOISE = ("h1", "null_text", "red", "tikhonov", "total_variation", "wavelet")
"""The solvers that draw no noise: every seed gives the same picture."""


@dataclass(frozen=True)
class Problem:
    """A measurement, ready to be solved.

    y: (B, …), on the prior's device, in float32 at least, as least squares needs.  size: (H, W) of the images.
    text, null: c and c_∅, (B, L, d).  generators: one for each sample.  timesteps: [(t, t_prev), …], noise falling.
    """

    y: torch.Tensor
    size: tuple[int, int]
    text: torch.Tensor
    null: torch.Tensor
    generators: list[torch.Generator]
    timesteps: list[tuple[int, int]]


def pose(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str],
    null_prompt: str | Sequence[str],
    steps: int,
    seed: noise.Seed,
) -> Problem:
    """The arguments that every solver takes, checked, and embedded, moved and seeded."""
    check_prior(prior)
    y = measurements(operator, y, prior.device, prior.dtype)
    batch = len(y)
    generators, timesteps = noise.generators(seed, batch), prior.timesteps(steps)
    size = image_shape(operator, y, prior.size)
    prior.latent_shape(size)  # a size that the networks do not take is found here
    warn_of_size(prior, y, size)
    text = prior.embed_text(checks.strings("prompt", prompt, batch))
    null = prior.embed_text(checks.strings("null_prompt", null_prompt, batch)).to(y.dtype)
    return Problem(y, size, text, null, generators, timesteps)


@dataclass(frozen=True)
class ImageProblem:
    """A measurement, ready for a solver that needs no prior.

    y: (B, …), in float32 at least.  shape: (B, 3, H, W), of the images.  generators: one for each sample.
    """

    y: torch.Tensor
    shape: tuple[int, int, int, int]
    generators: list[torch.Generator]


def pose_images(
    prior: DiffusionPrior | None, operator: Any, y: torch.Tensor, prompt: str | Sequence[str], steps: int, seed: noise.Seed
) -> ImageProblem:
    """`pose` for a solver without a prior: None is taken; one that is there says on what device and how precisely, and no more."""
    if prior is not None:
        check_prior(prior)
    source = y if prior is None else prior
    y = measurements(operator, y, getattr(source, "device", torch.device("cpu")), getattr(source, "dtype", torch.float32))
    checks.strings("prompt", prompt, len(y))
    checks.integer("steps", steps)
    height, width = image_shape(operator, y, (y.shape[-2], y.shape[-1]) if prior is None else prior.size)
    return ImageProblem(y, (len(y), 3, height, width), noise.generators(seed, len(y)))


def measurements(operator: Any, y: Any, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """y, checked as far as it can be without knowing the images, and moved; in float32 at least."""
    check_operator(operator, device)
    one = isinstance(y, torch.Tensor) or not hasattr(y, "x")  # deepinv's TensorList has one, of the operators that are stacked
    checks.expect(one, "operator", "one that measures a list of tensors", "one that measures one tensor: wrap it, see docs/deepinv.md")
    checks.finite("y", checks.tensor("y", y, "(B, C, …)"))
    checks.expect(y.ndim >= 2, "y", f"shape {tuple(y.shape)}", "(B, C, …), a batch of measurements")
    return y.to(device, torch.promote_types(dtype, torch.float32))


def weight(name: str, value: Any, y: torch.Tensor) -> float | torch.Tensor:
    """A number above 0, or a tensor of one for each sample, (B,), which becomes (B, 1, 1, 1)."""
    if not isinstance(value, torch.Tensor) or value.ndim == 0:
        return checks.number(name, value, above=0)
    fits = value.shape == (len(y),) and value.is_floating_point()
    checks.expect(fits, name, f"shape {tuple(value.shape)}, {value.dtype}", f"a number, or ({len(y)},) of them, floating point")
    for each in value.aminmax():
        checks.number(name, each, above=0)
    return value.to(y.device, y.dtype).view(-1, 1, 1, 1)


def image_step(operator: Any, y: torch.Tensor, index: int, steps: int, x: torch.Tensor, x_next: torch.Tensor) -> Step:
    """The `Step` of an iteration on images, from x to x_next, both (B, 3, H, W); t counts the iterations that are left."""
    x_hat = x_next.clamp(0, 1)
    return Step(index, steps - 1 - index, x, x_next, x_next, None, x_hat, misfit(operator, x_hat, y))


def warn_of_size(prior: DiffusionPrior, y: torch.Tensor, size: tuple[int, int]) -> None:
    """A picture passed for its measurement is a common slip; it asks for an image many times the size the prior knows."""
    height, width = prior.size
    if min(size) > 4 * max(height, width) or max(size) < min(height, width) / 2:
        doubt = "Is y the measurement?" if min(size) > max(height, width) else "It was not trained on images this small."
        warnings.warn(
            f"y: shape {tuple(y.shape)} means images of {size[0]}×{size[1]}; this prior was trained on {height}×{width}. {doubt}",
            stacklevel=4,
        )


def on_pixels(solver: str, prior: Any, instead: str) -> None:
    """A method whose derivation needs the pixels themselves takes no autoencoder.  instead: the solver that does."""
    came = type(prior).__name__
    expected = f'a PixelDiffusion, such as load_prior("pixel"): {solver} works on pixels; on latents, {instead}'
    checks.expect(isinstance(prior, PixelDiffusion), "prior", came, expected, checks.ArgumentTypeError)


def linear_alone(solver: str, operator: Any) -> None:
    """A method that needs Aᵀ, A† or a proximal map in closed form takes no nonlinear operator; the error names what does."""
    came = f"a nonlinear one, {type(operator).__name__}"
    expected = f"a linear one, with A_adjoint and prox_l2, as te.operators.LinearOperator has: {solver} takes no other; {takers()}"
    checks.expect(is_linear(operator), "operator", came, expected)


def takers() -> str:
    """What takes any operator, for an error to tell: first what runs on any prior."""
    of_pixels = ("daps", "dps")
    return f"{', '.join(name for name in NONLINEAR if name not in of_pixels)} do, and on a prior of pixels {' and '.join(of_pixels)}"


def last_image(prior: DiffusionPrior, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """D(z), in [0, 1] and in y's precision: the reconstruction."""
    return prior.decode(z).to(y.dtype).clamp(0, 1)
