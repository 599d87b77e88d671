"""The classical solvers: a quadratic or an edge-preserving penalty in place of a prior.  Each minimises ½ ‖y − A x‖² + λ R(x).

    tikhonov          R(x) = ½ ‖x − c‖²      (Phillips 1962; Tikhonov 1963)
    h1                R(x) = ½ ‖∇x‖²         (the same with the gradient)
    total_variation   R(x) = Σ ‖∇x(r)‖       (Rudin, Osher, Fatemi 1992)
    wavelet           R(x) = ‖W x‖₁, the details of wavelets at every place      (Donoho & Johnstone 1994; Coifman & Donoho 1995)

They know nothing of pictures but this, and nothing of texts: the prior, the prompt and the seed are checked and not used, and the prior may
be None.  λ suits the noise and the instrument: `discrepancy` finds it, sample by sample.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step
from ..noise import Seed
from ..operators import prox, square_norm
from ..operators.base import conjugate_gradient_steps
from ..priors import DiffusionPrior
from .analysis import (
    FAMILIES,
    band_weights,
    gradient,
    gradient_adjoint,
    levels_for,
    wavelet_details,
    wavelet_details_adjoint,
)
from .common import ImageProblem, image_step, linear_alone, pose_images, weight
from .primal_dual import primal_dual

__all__ = ["h1", "tikhonov", "total_variation", "wavelet"]


def tikhonov(
    prior: DiffusionPrior | None,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    steps: int = 1,
    lam: float | torch.Tensor = 1e-4,  # λ
    centre: torch.Tensor | None = None,  # c
    seed: Seed = 0,
) -> Iterator[Step]:
    """The picture that explains y and stays near a given one, in closed form.

    x̂ = argmin ‖y − A x‖² + λ ‖x − c‖² = c + Aᵀ (A Aᵀ + λ I)⁻¹ (y − A c),  the operator's `prox_l2` of c with γ = 1 / λ

    It is the posterior mean if pixels are N(c, τ²) and noise N(0, σ²), with λ = σ² / τ²; and TReg's pixel step with c for D(ẑ₀).
    operator: linear.  lam: λ > 0, a number or (B,) of them.  centre: c, (1 or B, 3, H, W), such as a mean of pictures; None is black.
    steps: 1, the closed form.  prior, prompt, seed: not used.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step`; its x_hat is x̂ clipped to [0, 1], and z0 is x̂.
    """
    problem = pose_images(prior, operator, y, prompt, steps, seed)
    linear_alone("tikhonov", operator)
    checks.expect(steps == 1, "steps", steps, "1: tikhonov is a closed form")
    lam, y = weight("lam", lam, problem.y), problem.y
    c = y.new_zeros(problem.shape) if centre is None else picture("centre", centre, problem)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        yield image_step(operator, y, 0, 1, c, prox(operator, c, y, 1 / lam))

    return walk()


def h1(
    prior: DiffusionPrior | None,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    steps: int = 200,
    lam: float | torch.Tensor = 1e-3,  # λ
    seed: Seed = 0,
) -> Iterator[Step]:
    """The smoothest picture that explains y: differences of neighbouring pixels are squared, so that edges cost most.

    x̂ = argmin ‖y − A x‖² + λ ‖∇x‖²:  (AᵀA + λ ∇ᵀ∇) x̂ = Aᵀy, by conjugate gradient from 0      (Hestenes & Stiefel 1952)

    operator: linear.  lam: λ > 0, a number or (B,) of them.  steps: iterations at most; a sample that is solved is left alone.
    prior, prompt, seed: not used.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per iteration, with x_hat clipped to [0, 1]; the last x_hat is the reconstruction.
    """
    problem = pose_images(prior, operator, y, prompt, steps, seed)
    linear_alone("h1", operator)
    lam, y = weight("lam", lam, problem.y), problem.y

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        def normal_matrix(v: torch.Tensor) -> torch.Tensor:
            return operator.A_adjoint(operator.A(v)) + lam * gradient_adjoint(gradient(v))

        x = y.new_zeros(problem.shape)
        iterates = conjugate_gradient_steps(normal_matrix, operator.A_adjoint(y), x, steps)
        for index in range(steps):
            x_next = next(iterates, x)  # x, once it solves
            yield image_step(operator, y, index, steps, x, x_next)
            x = x_next

    return walk()


def total_variation(
    prior: DiffusionPrior | None,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    steps: int = 500,
    lam: float | torch.Tensor = 1e-3,  # λ
    seed: Seed = 0,
) -> Iterator[Step]:
    """The picture of least total variation that explains y: an edge costs its height, however steep it is.

    x̂ = argmin ½ ‖y − A x‖² + λ Σ_r ‖∇x(r)‖  over x in [0, 1],  by `primal_dual` with K = ∇

    ‖∇x(r)‖ is over the two directions, isotropic, and each channel has its own: the Σ is deepinv's `TVPrior`.
    operator: linear.  lam: λ > 0, a number or (B,) of them.  steps: iterations.  prior, prompt, seed: not used.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per iteration; the last x_hat is the reconstruction.
    """
    problem = pose_images(prior, operator, y, prompt, steps, seed)
    linear_alone("total_variation", operator)
    lam, y = weight("lam", lam, problem.y), problem.y

    def project(p: torch.Tensor) -> torch.Tensor:
        return p / (p.norm(dim=0) / lam).clamp(min=1)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        square = square_norm(operator, y.new_zeros(problem.shape))
        x = (operator.A_adjoint(y) / square).clamp(0, 1)  # one step of gradient descent from black
        iterates = primal_dual(operator, y, x, lam, square, gradient, gradient_adjoint, project, 8.0, steps)
        for index, (x_next, _, _) in enumerate(iterates):
            yield image_step(operator, y, index, steps, x, x_next)
            x = x_next

    return walk()


def wavelet(
    prior: DiffusionPrior | None,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    steps: int = 500,
    lam: float | torch.Tensor = 1e-3,  # λ
    family: str = "haar",
    levels: int = 4,  # J
    seed: Seed = 0,
) -> Iterator[Step]:
    """The picture of fewest wavelets that explains y.

    x̂ = argmin ½ ‖y − A x‖² + λ R(x)  over x in [0, 1],  by `primal_dual` with K the details of `wavelet_details`
    R(x) = Σ_bands 2^{−j} ‖K_band x‖₁ = the mean, over all positions of the grid, of the L1 norm of an orthogonal transform's details

    The mean over positions is cycle spinning (Coifman & Donoho 1995), of the penalty: an orthogonal transform on one grid leaves blocks.
    The coarsest approximation costs nothing.  deepinv's `WaveletPrior` is on one grid, with "db8" and 3 levels.
    operator: linear.  lam: λ > 0, a number or (B,) of them.  family: of `FAMILIES`.  levels: J at most, as the side can be halved.
    steps: iterations.  prior, prompt, seed: not used.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per iteration; the last x_hat is the reconstruction.
    """
    problem = pose_images(prior, operator, y, prompt, steps, seed)
    linear_alone("wavelet", operator)
    lam, y = weight("lam", lam, problem.y), problem.y
    checks.one_of("family", family, FAMILIES)
    levels = levels_for(problem.shape[2:], checks.integer("levels", levels))
    bound = lam * band_weights(levels, y)

    def project(p: torch.Tensor) -> torch.Tensor:
        return p.clamp(-bound, bound)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        square = square_norm(operator, y.new_zeros(problem.shape))
        x = (operator.A_adjoint(y) / square).clamp(0, 1)  # one step of gradient descent from black
        K, K_adjoint = (functools.partial(each, family=family, levels=levels) for each in (wavelet_details, wavelet_details_adjoint))
        for index, (x_next, _, _) in enumerate(primal_dual(operator, y, x, lam, square, K, K_adjoint, project, 1.0, steps)):
            yield image_step(operator, y, index, steps, x, x_next)
            x = x_next

    return walk()


def picture(name: str, value: Any, problem: ImageProblem) -> torch.Tensor:
    """A picture for each sample, (B, 3, H, W), of a picture for each or one for all."""
    checks.finite(name, checks.tensor(name, value, "(1 or B, 3, H, W)", dimensions=(4,)))
    fits = tuple(value.shape) in (problem.shape, (1, *problem.shape[1:]))
    checks.expect(fits, name, f"shape {tuple(value.shape)}", f"{problem.shape}, or a batch of 1")
    return value.to(problem.y).expand(problem.shape)
