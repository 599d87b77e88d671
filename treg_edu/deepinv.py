"""Both ways between this library and deepinv: a solver as a reconstructor there, a prior of pixels as a denoiser there.

deepinv asks of its models what they are called with, not what they inherit from, so nothing of it is imported here.  Page: docs/deepinv.md.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from . import checks
from .priors import DiffusionPrior, PixelDiffusion
from .solvers import SOLVERS, Solver, solve

__all__ = ["Denoiser", "Reconstructor"]


class Reconstructor(torch.nn.Module):
    """A solver with the interface of `deepinv.models.Reconstructor`: x̂ = model(y, physics).

    solver: of `SOLVERS`, the function or its name.  prior: the prior that carries the device, None for a solver that uses none.
    prompt: one string, or a list of B.  settings: the solver's keyword arguments.
    A solver that asks for sigma, the deviation of the noise, is told that of the physics' noise model.
    """

    def __init__(self, solver: str | Solver, prior: DiffusionPrior | None, prompt: str | Sequence[str] = "", **settings: Any) -> None:
        super().__init__()
        self.solver = SOLVERS[checks.one_of("solver", solver, SOLVERS)] if isinstance(solver, str) else solver
        self.prior, self.prompt, self.settings = prior, prompt, {"progress": False} | settings

    def forward(self, y: torch.Tensor, physics: Any, **settings: Any) -> torch.Tensor:
        """x̂, (B, 3, H, W) in [0, 1].  y: (B, …).  settings: instead of those of the model, such as prompt or seed."""
        settings = self.settings | settings
        prompt = settings.pop("prompt", self.prompt)
        if "sigma" in inspect.signature(self.solver).parameters and "sigma" not in settings:
            deviation = getattr(getattr(physics, "noise_model", None), "sigma", None)
            if deviation is not None:
                settings["sigma"] = deviation.item() if isinstance(deviation, torch.Tensor) and deviation.numel() == 1 else deviation
        return solve(self.solver, self.prior, physics, y, prompt, **settings)


class Denoiser(torch.nn.Module):
    """A prior of pixels with the interface of `deepinv.models.Denoiser`: x̂ = model(x, sigma), with the text's guidance.

        x̂ = D(x, σ; c_∅) + ω (D(x, σ; c) − D(x, σ; c_∅)),   D = `PixelDiffusion.denoise`

    prior: a `PixelDiffusion`.  prompt, null_prompt: one string, or a list of B.  guidance_scale: ω ≥ 0; 1 ignores the null text.
    """

    def __init__(
        self, prior: PixelDiffusion, prompt: str | Sequence[str] = "", guidance_scale: float = 1.0, null_prompt: str | Sequence[str] = ""
    ) -> None:
        super().__init__()
        came, expected = type(prior).__name__, 'a PixelDiffusion, such as load_prior("pixel"): an autoencoder is no denoiser'
        checks.expect(isinstance(prior, PixelDiffusion), "prior", came, expected, checks.ArgumentTypeError)
        self.prior, self.prompt, self.null_prompt = prior, prompt, null_prompt
        self.guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)

    def forward(self, x: torch.Tensor, sigma: Any, **_: Any) -> torch.Tensor:
        """E[x₀ | x] of x = x₀ + σ n, in the dtype of x, on its device; autograd goes through it.

        x: (B, 3, H, W), noisy images of [0, 1].  sigma: one number, or B of them, in a list, an array or a tensor of any shape.
        Above the prior's highest level images are lost in the noise; there x is scaled down to that level:
        D(x, σ) ≈ D(½ + (x − ½) σ_max / σ, σ_max).
        """
        checks.tensor("x", x, "(B, 3, H, W)", dimensions=(4,))
        given = sigma.detach().cpu() if isinstance(sigma, torch.Tensor) else sigma  # MPS has no float64
        levels = torch.as_tensor(given, dtype=torch.float64).flatten()
        expected = f"one number, or {len(x)}"
        checks.expect(levels.numel() in (1, len(x)), "sigma", f"{levels.numel()} numbers", expected)
        inside = levels.clamp(max=self.prior.highest_sigma)
        shrunk = (inside / levels).nan_to_num(1.0).to(x).view(-1, 1, 1, 1)  # 0 / 0 is no noise at all
        at = inside if len(inside) > 1 else inside.item()

        def denoised(text: str | Sequence[str]) -> torch.Tensor:
            return self.prior.denoise(0.5 + (x - 0.5) * shrunk, at, text).to(x)

        x_hat = denoised(self.prompt)
        if self.guidance_scale == 1:
            return x_hat
        null = denoised(self.null_prompt)
        return null + self.guidance_scale * (x_hat - null)
