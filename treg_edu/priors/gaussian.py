"""A prior whose posteriors are known: Gaussian images, whose noise estimate has a closed form."""

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import torch

from .. import checks
from .base import Recommended, as_list
from .pixel_diffusion import PixelDiffusion

__all__ = ["GaussianPrior", "dense_matrix", "smooth_covariance"]


class GaussianPrior(PixelDiffusion):
    """Images with z₀ = 2x − 1 ~ N(m(c), C), as a pixel-space prior without a network.

        E[ε | z_t] = √(1 − ᾱ) (ᾱ C + (1 − ᾱ) I)⁻¹ (z_t − √ᾱ m(c))

    So a solver's samples can be compared with the exact posterior, which `posterior` gives for a linear operator and Gaussian noise.
    A text means a mean: its embedding is m(c), (1, 3HW), and a gradient with respect to c is one with respect to the mean.

    covariance: C of z₀ flattened, (3HW, 3HW), positive definite.  means: {text: m, (3, H, W)}; every other text has mean 0.
    size: (H, W).  It computes in float64, on the CPU, and has no CLIP: TReg runs on it with negation=None.
    """

    def __init__(self, covariance: torch.Tensor, means: Mapping[str, torch.Tensor] | None = None, size: int | tuple[int, int] = 4) -> None:
        self.sides, self.patch_size, self.means = checks.sides("size", size), 1, dict(means or {})
        numbers = 3 * self.sides[0] * self.sides[1]
        checks.tensor("covariance", covariance, "(3HW, 3HW)")
        expected = (numbers, numbers)
        checks.expect(tuple(covariance.shape) == expected, "covariance", f"shape {tuple(covariance.shape)}", f"{expected} for this size")
        self.covariance = covariance.double()
        self.eigenvalues, self.basis = torch.linalg.eigh(self.covariance)
        least = self.eigenvalues.min().item()
        checks.expect(least > 0, "covariance", f"an eigenvalue of {least:.2g}", "a positive definite matrix")
        alphas = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)  # the schedule of Ho et al. 2020
        self.scheduler: Any = SimpleNamespace(alphas_cumprod=alphas, final_alpha_cumprod=torch.ones((), dtype=torch.float64))
        self.recommended, self.clip, self.unet = Recommended(), None, None

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """float64."""
        return torch.float64

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.sides

    def timesteps(self, steps: int) -> list[tuple[int, int]]:
        """[(t, t_prev), …], noise falling, evenly spaced from the last timestep; the last t_prev is −1, the clean image."""
        steps = checks.integer("steps", steps, 1, len(self.scheduler.alphas_cumprod))
        last = len(self.scheduler.alphas_cumprod) - 1
        ts = torch.linspace(last, 0, steps + 1, dtype=torch.float64, device="cpu").round().int().tolist()[:-1]
        return list(zip(ts, [*ts[1:], -1], strict=True))

    def mean(self, text: str) -> torch.Tensor:
        """m of a text, (3, H, W)."""
        return self.means.get(text, torch.zeros(3, *self.sides, device="cpu")).double()

    def embed_text(self, texts: str | Iterable[str]) -> torch.Tensor:
        """m(c) of each text, (B, 1, 3HW)."""
        return torch.stack([self.mean(text).flatten()[None] for text in as_list(texts)])

    def _predict_noise(
        self, z_t: torch.Tensor, t: int | torch.Tensor, alpha_bar: torch.Tensor, text_embedding: torch.Tensor
    ) -> torch.Tensor:
        """E[ε | z_t], in closed form, in the basis where C is diagonal."""
        alpha_bar = alpha_bar.double().reshape(-1, 1)
        away = z_t.flatten(1) - alpha_bar.sqrt() * text_embedding.flatten(1)
        weight = (1 - alpha_bar).sqrt() / (alpha_bar * self.eigenvalues + 1 - alpha_bar)
        return ((away @ self.basis * weight) @ self.basis.T).view_as(z_t)

    def posterior(self, operator: Any, y: torch.Tensor, sigma: float, text: str = "") -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, covariance) of z₀, flattened, (3HW,) and (3HW, 3HW), given y = A x + n of one image, n of deviation sigma, for linear A.

        With M of A ∘ D, M z₀ + A(½) = A x:  K = C Mᵀ (M C Mᵀ + σ² I)⁻¹,  mean m + K (y − A(½) − M m),  covariance (I − K M) C
        """
        sigma = checks.number("sigma", sigma, least=0)
        checks.expect(len(y) == 1, "y", f"a batch of {len(y)}", "the measurement of one image")
        M = dense_matrix(operator, self.sides) / 2  # the linear part of D halves
        offset = operator.A(torch.full((1, 3, *self.sides), 0.5, dtype=torch.float64)).flatten()
        m, noise = self.embed_text(text).flatten(), sigma**2 * torch.eye(len(M), dtype=torch.float64)
        gain = self.covariance @ M.T @ torch.linalg.inv(M @ self.covariance @ M.T + noise)
        mean = m + gain @ (y.flatten().double() - offset - M @ m)
        return mean, self.covariance - gain @ M @ self.covariance


def dense_matrix(operator: Any, size: int | tuple[int, int]) -> torch.Tensor:
    """The matrix of a linear operator on images of `size`, (numbers of y, 3HW), float64: column j is A of the j-th unit image."""
    sides = checks.sides("size", size)
    numbers = 3 * sides[0] * sides[1]
    return operator.A(torch.eye(numbers, dtype=torch.float64).view(numbers, 3, *sides)).flatten(1).T


def smooth_covariance(size: int | tuple[int, int] = 4, scale: float = 1.5, deviation: float = 0.4, channels: float = 0.7) -> torch.Tensor:
    """C of images whose neighbouring pixels are alike, and whose channels are alike: deviation² · colour ⊗ exp(−d² / 2 scale²) + 0.001 I.

    scale: in pixels.  deviation: of each number of z₀.  channels: the correlation of two channels.  Returns (3HW, 3HW).
    """
    height, width = checks.sides("size", size)
    scale, deviation = checks.number("scale", scale, above=0), checks.number("deviation", deviation, above=0)
    channels = checks.number("channels", channels, least=0, most=1)
    place = torch.cartesian_prod(torch.arange(height), torch.arange(width)).double()
    near = torch.exp(-(torch.cdist(place, place) ** 2) / (2 * scale**2))
    colour = channels * torch.ones(3, 3, dtype=torch.float64) + (1 - channels) * torch.eye(3, dtype=torch.float64)
    covariance = deviation**2 * torch.kron(colour, near)
    return covariance + 1e-3 * torch.eye(len(covariance), dtype=torch.float64)
