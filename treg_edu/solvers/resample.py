"""ReSample: Solving Inverse Problems with Latent Diffusion Models via Hard Data Consistency (Song, Kwon, Zhang, Hu, Qu, Shen,
ICLR 2024)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .. import checks
from ..diffusion import Step, ddim_step, guided_noise, tweedie
from ..likelihood import estimate_in_graph, norm_gradient, pull_back
from ..noise import Seed, normal
from ..operators import inner, is_linear, misfit, vjp
from ..priors import DiffusionPrior
from .common import last_image, pose
from .discrepancy import noise_in_misfit

__all__ = ["descend", "nearest_explanation", "resample", "resample_variance", "stage", "stochastic_resample"]


def resample(
    prior: DiffusionPrior,
    operator: Any,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    sigma: float,
    null_prompt: str | Sequence[str] = "",
    steps: int = 500,  # S
    guidance_scale: float = 1.0,  # ω
    step_size: float = 1.0,  # of DPS, times ᾱ
    every: int = 10,
    look_ahead: int = 5,
    pixel_iterations: int = 2000,
    pixel_learning_rate: float = 5e-3,  # of a nonlinear operator
    latent_iterations: int = 500,
    latent_learning_rate: float = 5e-3,
    gamma: float = 40.0,  # γ, at 500 steps
    variance: str = "paper",
    seed: Seed = 0,
) -> Iterator[Step]:
    """Latent DPS; every tenth step of the last two thirds solves y = A(x) outright and returns to the noise level by a random draw.

    every step     z′ = DDIM(ẑ₀, ε̂) − ρ ᾱ_t ∇_{z_t} ‖y − A D(ẑ₀)‖                                      ρ: step_size
    then, every tenth of the last two thirds, from z̃₀, the clean latent some DDIM steps ahead of z′:
    middle third   ẑ₀(y) = E(x*),   x* = the picture that explains y, reached from D(z̃₀)              pixel optimisation
    last third     ẑ₀(y) = argmin_z ‖y − A D(z)‖², reached from z̃₀                                    latent optimisation
    both           z_{t−1} ~ N( (σ_t² √ᾱ′ ẑ₀(y) + (1 − ᾱ′) z′) / (σ_t² + 1 − ᾱ′),  σ_t² (1 − ᾱ′) / (σ_t² + 1 − ᾱ′) I )   (Proposition 1)
    at the end     one more latent optimisation

    prior: any.  operator: any.  sigma: the deviation σ of the noise in y; both optimisations stop at ‖y − A(x)‖² ≤ m σ², where m numbers of
    y are measured (hidden pixels are not), or after as many iterations as given.  The pixel optimisation is by conjugate gradient where A
    is linear, by Adam otherwise.
    gamma: γ > 0; σ_t² uses γ S / 500, as the sum of what S steps add does not depend on S then.  variance: see `resample_variance`.
    look_ahead: DDIM steps to z̃₀, 0 for ẑ₀ itself.  The authors' numbers for images in [−1, 1], ρ 0.5 and a pixel learning rate of 1e-2, are
    converted; `guidance_scale` and the texts are ours, as their prior has no text.
    Their code forms ẑ₀ with (1 − ᾱ) ε̂ where Tweedie has √(1 − ᾱ) ε̂, stops at a misfit of 1e-3 whatever the noise, and decays its variables'
    weights; none of this is done here.  Page: docs/solvers.md.

    Checks everything at the call.  Yields one `Step` per timestep, with x_hat = D(ẑ₀), or D(ẑ₀(y)) where there is one.
    """
    problem = pose(prior, operator, y, prompt, null_prompt, steps, seed)
    y, c, null, generators, timesteps = problem.y, problem.text, problem.null, problem.generators, problem.timesteps
    guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
    step_size = checks.number("step_size", step_size, least=0)
    every, look_ahead = checks.integer("every", every), checks.integer("look_ahead", look_ahead, 0)
    pixel_iterations = checks.integer("pixel_iterations", pixel_iterations, 0)
    latent_iterations = checks.integer("latent_iterations", latent_iterations, 0)
    pixel_rate = checks.number("pixel_learning_rate", pixel_learning_rate, above=0)
    latent_rate = checks.number("latent_learning_rate", latent_learning_rate, above=0)
    gamma = checks.number("gamma", gamma, above=0) * len(timesteps) / 500
    checks.one_of("variance", variance, ("paper", "code"))
    sigma = checks.number("sigma", sigma, least=0)
    linear, latent_shape = is_linear(operator), (len(y), *prior.latent_shape(problem.size))

    def explain_in_pixels(x: torch.Tensor) -> torch.Tensor:
        if linear:
            return nearest_explanation(operator, y, x, enough, pixel_iterations)
        return descend(operator, y, x, lambda v: v, enough, pixel_iterations, pixel_rate)

    def explain_in_latents(z: torch.Tensor) -> torch.Tensor:
        return descend(operator, y, z, prior.decode, enough, latent_iterations, latent_rate)

    with torch.no_grad():
        shares = noise_in_misfit(operator, y.new_zeros(len(y), 3, *problem.size)).square()
    enough = sigma**2 * y[0].numel() * shares

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        z_t = normal(generators, latent_shape, prior.device, prior.dtype)
        for index, (t, t_prev) in enumerate(timesteps):
            alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
            # A step of latent DPS
            z, noise, z0, x_hat = estimate_in_graph(prior, z_t, t, c, null, guidance_scale)
            gradient = pull_back(norm_gradient(operator, x_hat, y), x_hat, z)
            z0, noise, x_hat = z0.detach(), noise.detach(), x_hat.detach().to(y.dtype)
            z_next = ddim_step(z0, noise, alpha_bar_prev) - step_size * alpha_bar * gradient
            kind = stage(index, len(timesteps), every)
            if kind:
                # Look-ahead: the clean latent that some further DDIM steps lead to
                ahead = z_next
                for s, s_prev in timesteps[index + 1 :][:look_ahead]:
                    noise = guided_noise(prior, ahead, s, c, null, guidance_scale)
                    z0 = tweedie(ahead, noise, prior.alpha_bar(s))
                    ahead = ddim_step(z0, noise, prior.alpha_bar(s_prev))
                # Hard data consistency: the clean latent near it that explains the measurement
                z0 = prior.encode(explain_in_pixels(prior.decode(z0).to(y.dtype))) if kind == "pixel" else explain_in_latents(z0)
                x_hat = prior.decode(z0).to(y.dtype)
                # Stochastic resampling: back to the noise level
                spread = resample_variance(alpha_bar, alpha_bar_prev, gamma, variance)
                fresh = normal(generators, latent_shape, prior.device, prior.dtype)
                z_next = stochastic_resample(z0, z_next, fresh, alpha_bar_prev, spread)
            if t_prev < 0:
                z_next = explain_in_latents(z_next)
                x_hat = last_image(prior, z_next, y)
            x_hat = x_hat.clamp(0, 1)
            yield Step(index, t, z_t, z0, z_next, null, x_hat, misfit(operator, x_hat, y))
            z_t = z_next

    return walk()


def stage(index: int, steps: int, every: int = 10) -> str | None:
    """What step `index` of `steps` does besides DPS: "pixel", "latent" or None.

    With i = steps − 1 − index, the steps left, it is every tenth i: pixels for S/3 ≤ i ≤ 2S/3, latents for 0 < i < S/3.
    """
    left = steps - 1 - index
    if left % every or not 0 < left <= 2 * steps / 3:
        return None
    return "pixel" if left >= steps / 3 else "latent"


def resample_variance(alpha_bar: torch.Tensor, alpha_bar_prev: torch.Tensor, gamma: float, form: str = "paper") -> torch.Tensor:
    """σ_t² = γ (1 − ᾱ_{t−1}) / ᾱ_t · (1 − ᾱ_t / ᾱ_{t−1})

    form: "paper", or "code", which divides by 1 − ᾱ_t where the paper divides by ᾱ_t, and so believes less in ẑ₀(y) at high noise, more at
    low noise.  alpha_bar, alpha_bar_prev: scalar tensors, 0 < ᾱ_t < ᾱ_{t−1} ≤ 1.  Returns a scalar tensor.
    """
    divisor = alpha_bar if form == "paper" else 1 - alpha_bar
    return gamma * (1 - alpha_bar_prev) / divisor * (1 - alpha_bar / alpha_bar_prev)


def stochastic_resample(
    z0: torch.Tensor, z: torch.Tensor, fresh_noise: torch.Tensor, alpha_bar: torch.Tensor, variance: torch.Tensor
) -> torch.Tensor:
    """A draw from the product of N(√ᾱ ẑ₀, 1 − ᾱ), what a clean latent is at this noise level, and N(z, σ²), where the path was.

    (σ² √ᾱ ẑ₀ + (1 − ᾱ) z) / (σ² + 1 − ᾱ) + √(σ² (1 − ᾱ) / (σ² + 1 − ᾱ)) ξ      (Proposition 1)

    z0, z, fresh_noise: (B, k, h, w).  alpha_bar, variance: scalar tensors.
    """
    total = variance + 1 - alpha_bar
    mean = (variance * alpha_bar.sqrt() / total) * z0 + ((1 - alpha_bar) / total) * z
    return mean + (variance * (1 - alpha_bar) / total).sqrt() * fresh_noise


def nearest_explanation(operator: Any, y: torch.Tensor, x: torch.Tensor, enough: float | torch.Tensor, iterations: int) -> torch.Tensor:
    """The picture that explains y well enough, ‖y − A x*‖² = `enough`, reached from x by conjugate gradient, for linear A.

    The iterates are those of least squares started at x (CGLS; Hestenes & Stiefel 1952), so that x* → x + A†(y − A x) as `enough` → 0; the
    last step is shortened to end on the bound.  A† itself would fit the noise, and a blur's A† would amplify it.
    A picture that explains y already stays.  x: (B, 3, H, W).  y: (B, …).  enough: a number, or (B,).  Returns (B, 3, H, W).
    """
    enough = enough.view(-1, 1, 1, 1) if isinstance(enough, torch.Tensor) else enough
    off = y - operator.A(x)
    slope = direction = operator.A_adjoint(off)
    steepness, squares = inner(slope, slope), inner(off, off).view(-1, 1, 1, 1)
    flat = 1e-12 * steepness  # the least misfit is reached: y has a part that no picture explains
    for _ in range(iterations):
        active = (squares > enough) & (steepness > flat)
        if not active.any():
            break
        moved = operator.A(direction)
        # ‖off − a A p‖² is least at a = ⟨s, s⟩ / ‖A p‖², where it has fallen by `gain`
        length = steepness / inner(moved, moved).view(-1, 1, 1, 1)
        gain = length * steepness
        length = length * (1 - (1 - (squares - enough) / gain).clamp(min=0).sqrt())
        length = torch.where(active, length, 0).to(x.dtype)
        x = x + length * direction
        off = off - length.view(-1, *[1] * (y.ndim - 1)) * moved
        slope, before = operator.A_adjoint(off), steepness
        steepness, squares = inner(slope, slope), inner(off, off).view(-1, 1, 1, 1)
        direction = slope + torch.where(active, steepness / before, 0).to(x.dtype) * direction
    return x


def descend(
    operator: Any,
    y: torch.Tensor,
    start: torch.Tensor,
    picture: Callable[[torch.Tensor], torch.Tensor],
    enough: float | torch.Tensor,
    iterations: int,
    learning_rate: float,
) -> torch.Tensor:
    """Adam on ½ ‖y − A(picture(v))‖² from v = `start`, of each sample until that is at most `enough` / 2.

    picture: v ↦ (B, 3, H, W), D for latents, the identity for pixels.  enough: a number, or (B,).  Returns the shape of `start`.
    """
    v = start.detach().to(torch.promote_types(start.dtype, torch.float32), copy=True).requires_grad_()
    optimizer = torch.optim.Adam([v], learning_rate)
    active = torch.ones(len(y), dtype=torch.bool, device=y.device)
    for _ in range(iterations):
        with torch.enable_grad():
            made = picture(v)
        x = made.detach().to(y.dtype)
        off = operator.A(x) - y
        active = active & (inner(off, off).flatten() > enough)
        if not active.any():
            break
        v.grad = pull_back(vjp(operator, x, off), made, v)
        before = v.detach().clone()
        optimizer.step()
        v.data = torch.where(active.view(-1, *[1] * (v.ndim - 1)), v, before)
    return v.detach().to(start.dtype)
