"""RED: The Little Engine That Could, Regularization by Denoising (Romano, Elad, Milanfar, SIAM J. Imaging Sciences 2017)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step
from ..noise import Seed
from ..operators import prox, square_norm
from ..priors import PixelDiffusion
from .common import image_step, linear_alone, on_pixels, pose_images

__all__ = ["METHODS", "red"]

METHODS = ("fixed-point", "gradient")


def red(
    prior: PixelDiffusion,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    sigma: float,
    steps: int = 200,
    lam: float = 0.01 * 255**2,  # λ
    denoiser_sigma: float = 4.1 / 255,  # σ_f
    method: str = "fixed-point",
    seed: Seed = 0,
) -> Iterator[Step]:
    """The picture that explains y and that a denoiser leaves as it is.

    x̂ where  ∇E = Aᵀ(A x − y) / σ² + λ (x − f(x)) = 0,   E(x) = ‖y − A x‖² / 2σ² + ½ λ xᵀ(x − f(x)),   f(x) = E[x₀ | x₀ + σ_f n = x]

    "fixed-point":  x ← argmin ‖y − A x‖² / σ² + λ ‖x − f(x_before)‖²,  the operator's `prox_l2` with γ = 1 / λσ²
    "gradient":     x ← clip(x − μ ∇E),  μ = 2 / (‖A‖² / σ² + λ),  their steepest descent

    prior: a `PixelDiffusion`, whose `denoise` is f; the prompt is its text.  operator: linear.
    sigma: σ > 0, the deviation of the noise in y, [0, 1] units.
    lam: λ > 0.  The authors' pictures are in [0, 255]: their λ, 0.01, is 255² times as large here; only λσ² matters, 0.02 there.
    Their settings, λ and 255 σ_f: Gaussian blur 0.01 and 4.1, uniform blur 0.02 and 3.25 (both σ = √2 / 255), super-resolution by 3 0.008
    and 3 (σ = 5 / 255).  steps: the authors' 200 of the fixed point; they take 1500 of the gradient.
    denoiser_sigma: σ_f > 0, not the noise of y.  method: both have the same x̂; the fixed point's proximal step is the authors' inner solve.
    x − f(x) is the gradient of ½ xᵀ(x − f(x)) only if f is homogeneous and its Jacobian symmetric (Reehorst & Schniter 2019).
    seed: not used.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per iteration: one f, and a proximal step, or one A and one Aᵀ.
    """
    on_pixels("red", prior, instead="treg")
    problem = pose_images(prior, operator, y, prompt, steps, seed)
    linear_alone("red", operator)
    y, text = problem.y, prior.embed_text(checks.strings("prompt", prompt, len(problem.y)))
    prior.latent_shape(problem.shape[2:])  # a size that the network does not take is found here
    sigma, lam = checks.number("sigma", sigma, above=0), checks.number("lam", lam, above=0)
    denoiser_sigma = checks.number("denoiser_sigma", denoiser_sigma, above=0)
    checks.one_of("method", method, METHODS)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        square = square_norm(operator, y.new_zeros(problem.shape))
        x = (operator.A_adjoint(y) / square).clamp(0, 1)
        for index in range(steps):
            denoised = prior.denoise(x, denoiser_sigma, text)
            if method == "fixed-point":
                x_next = prox(operator, denoised, y, 1 / (lam * sigma**2))
            else:
                slope = operator.A_adjoint(operator.A(x) - y) / sigma**2 + lam * (x - denoised)
                x_next = (x - 2 / (square / sigma**2 + lam) * slope).clamp(0, 1)
            yield image_step(operator, y, index, steps, x, x_next)
            x = x_next

    return walk()
