"""What the studies measure: the paper's five instruments, with the noise, and what a solver is told of both."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from .. import checks, operators

__all__ = ["CHANGES", "INSTRUMENTS", "NOISE_SEED", "SIGMA", "Measurement", "instrument"]

SIGMA = 0.005  # the paper's σ = 0.01 is for images in [−1, 1]
NOISE_SEED = 10_000  # far from the seeds of the solver


def boxes(side: int = 64) -> operators.Inpainting:
    """The eyes and the mouth, as in notebook 07, where a picture has 64 pixels a side."""
    pixels = side / 64
    eyes, mouth = ([round(pixels * each) for each in box] for box in ((20, 10, 14, 44), (42, 18, 14, 28)))
    return operators.Inpainting(operators.Inpainting.box(side, *eyes).mask * operators.Inpainting.box(side, *mouth).mask)


INSTRUMENTS: dict[str, Callable[..., Any]] = {
    "sr": lambda side=64, factor=16: operators.SuperResolution(factor),
    "blur": lambda side=64, sigma=5.0, kernel_size=61: operators.GaussianBlur(sigma=sigma, kernel_size=kernel_size),
    "boxes": boxes,
    "gamma": lambda side=64, exponent=2.2: operators.GammaCorrection(exponent),
    "phase": lambda side=64, oversampling=2: operators.FourierMagnitude(oversampling),
}
"""{name: side of the images, and parameters → operator}; the defaults are the paper's."""


def instrument(name: str, side: int = 64, **parameters: Any) -> Any:
    """An operator of `INSTRUMENTS` for images of `side`."""
    return INSTRUMENTS[checks.one_of("instruments", name, INSTRUMENTS)](side, **parameters)


def quarter_turn(x: torch.Tensor) -> torch.Tensor:
    return x.rot90(dims=(-2, -1))


CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "turned by 90°": quarter_turn,
    "negative": lambda x: 1 - x,
    "red and blue swapped": lambda x: x.flip(-3),
}
"""What makes pictures that the prior has not been trained on, of those that it has."""


@dataclass(frozen=True)
class Measurement:
    """How y comes about, and what the solver is told.

    instrument: of `INSTRUMENTS`.  sigma: σ of the Gaussian noise; 0 for none.  label: in tables; the instrument's name if empty.
    jpeg: y is stored as a JPEG of this quality.  photons: y is counted, a white pixel by this many photons (Poisson), besides σ.
    assumed: parameters of the operator that the solver is given, where they are not those that measured.
    told: σ for a solver that asks for it, where it is not `sigma`.  change: of the picture beforehand, of `CHANGES`.
    """

    instrument: str = "sr"
    sigma: float = SIGMA
    label: str = ""
    jpeg: int | None = None
    photons: float | None = None
    assumed: Mapping[str, Any] = field(default_factory=dict)
    told: float | None = None
    change: str | None = None

    @property
    def name(self) -> str:
        """In tables."""
        return self.label or self.instrument

    def described(self) -> dict[str, Any]:
        """All of it but the label, for the hash of a row."""
        return {key: value for key, value in asdict(self).items() if key != "label"}

    def truth(self, x: torch.Tensor) -> torch.Tensor:
        """The pictures that are measured.  x: (B, 3, H, W)."""
        return x if self.change is None else CHANGES[self.change](x)

    def operator(self, side: int) -> Any:
        """What the solver is given."""
        return instrument(self.instrument, side, **self.assumed)

    def measure(self, x: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
        """y of changed pictures, (B, …); the noise of each has the seed NOISE_SEED + its number, whatever else is in the batch."""
        generators = [torch.Generator().manual_seed(NOISE_SEED + number) for number in numbers]
        y = instrument(self.instrument, x.shape[-1]).measure(x, self.sigma, generators)
        if self.photons is not None:
            rates = (self.photons * y).clamp(min=0)
            y = torch.stack([torch.poisson(each, generator=own) for each, own in zip(rates, generators)]) / self.photons
        return y if self.jpeg is None else torch.cat([as_jpeg(each[None], self.jpeg) for each in y])

    def noise_level(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What a misfit is compared with, (B,): σ, or where the noise is of another kind, its RMS in y; NaN without noise."""
        if self.jpeg is None and self.photons is None:
            return torch.full((len(x),), self.sigma if self.sigma > 0 else float("nan"))
        return operators.misfit(instrument(self.instrument, x.shape[-1]), x, y)


def as_jpeg(y: torch.Tensor, quality: int) -> torch.Tensor:
    """y, (1, 3, h, w), as it is read from a JPEG file."""
    pixels = (y[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=quality)
    with Image.open(stream) as image:
        read = torch.from_numpy(np.array(image.convert("RGB")))
    return read.permute(2, 0, 1)[None].to(y) / 255
