"""Does TReg's alternation settle, within a timestep and over timesteps, and how does the result depend on their number?

Over timesteps, x̂ and ẑ of each Γ step are compared with those of the one before.  Within one, x̂ and ẑ are alternated again and again, from
the ẑ₀ that the text asks for there:  x̂_k = pixel step from D(ẑ_k),  ẑ_{k+1} = latent step of E(x̂_k) and ẑ₀.
"""

from typing import Any

import torch

from ..consistency import latent_step, pixel_step
from ..diffusion import Step, guided_noises, tweedie
from ..operators import is_linear, misfit
from .arms import Arm, Batch
from .grading import Figure
from .measurements import Measurement
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study

__all__ = ["STUDY", "Watched", "run"]

STEPS = (10, 25, 50, 100, 200)
ALTERNATIONS = 10
SHARES = (0.25, 0.5, 0.9)
"""Of the timesteps, where the alternation is watched."""


def arms(setting: Setting) -> list[Arm]:
    """The best settings, with other numbers of steps."""
    found = []
    for instrument in ("sr", "blur"):
        y, best = Measurement(instrument), setting.best("treg", instrument).get("steps", 25)
        found += [Arm(BASELINE, measurement=y)]
        found += [Arm(f"{steps} steps", settings={"steps": steps}, measurement=y) for steps in STEPS if steps != best]
        found += [Arm(DDIM, "ddim", measurement=y)]
    return found


class Watched:
    """What a run of TReg shows besides its result.

    Columns path_misfit, path_x, path_z: lists with an entry a Γ step (the last x̂ among them): the misfit, and the RMS changes of x̂ and ẑ.
    again_…_SHARE: lists with an entry an alternation, at each of SHARES of the timesteps, for linear A.
    settled_SHARE: the last change of x̂ there over the first.
    """

    def __init__(self, arm: Arm, batch: Batch, settings: dict[str, Any]) -> None:
        self.watches, self.batch, self.settings = arm.solver == "treg", batch, settings
        self.places = {round(share * (settings["steps"] - 1)): share for share in SHARES}
        self.gamma: list[Step] = []
        self.kept: dict[float, tuple[Step, torch.Tensor]] = {}
        self.null: torch.Tensor | None = None

    def step(self, step: Step) -> None:
        """Kept are Γ steps, and where the alternation is tried, with the null text that the step began with."""
        if not self.watches:
            return
        if step.x_hat is not None:
            self.gamma.append(step)
        if step.index in self.places:
            null = self.batch.prior.embed_text([self.settings["null_prompt"]] * len(step.z_t)) if self.null is None else self.null
            self.kept[self.places[step.index]] = step, null
        self.null = step.null_embedding

    def columns(self, x_hat: torch.Tensor) -> dict[str, list[Any]]:
        """See the class."""
        if not self.watches:
            return {}
        pictures = [step.x_hat for step in self.gamma if step.x_hat is not None]
        path: dict[str, list[Any]] = {
            "misfit": [step.misfit for step in self.gamma],
            "x": [rms(after - before) for before, after in zip(pictures, pictures[1:])],
            "z": [rms(after.z0 - before.z0) for before, after in zip(self.gamma, self.gamma[1:])],
        }
        found: dict[str, list[Any]] = {f"path_{name}": by_sample(values, len(x_hat)) for name, values in path.items()}
        for share, (step, null) in self.kept.items() if is_linear(self.batch.operator) else ():
            again = self.alternated(step, null)
            found |= {f"again_{name}_{share}": by_sample(values, len(x_hat)) for name, values in again.items()}
            found[f"settled_{share}"] = (again["x"][-1] / again["x"][1].clamp(min=1e-12)).tolist()
        return found

    @torch.no_grad()
    def alternated(self, step: Step, null: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """{"misfit": of each x̂, "x": its RMS change from the one before, the first from D(ẑ₀), "z": that of ẑ}, each (B,)."""
        prior, operator, settings = self.batch.prior, self.batch.operator, self.settings
        y = self.batch.y.to(prior.device, torch.promote_types(prior.dtype, torch.float32))
        t_prev = dict(prior.timesteps(settings["steps"]))[step.t]
        c = prior.embed_text(list(self.batch.texts))
        noise, _ = guided_noises(prior, step.z_t, step.t, c, null.to(c.dtype), settings["guidance_scale"], settings.get("guidance", "cfg"))
        z0 = tweedie(step.z_t, noise, prior.alpha_bar(step.t))
        z, x = z0, prior.decode(z0).to(y.dtype)
        found: dict[str, list[torch.Tensor]] = {"misfit": [], "x": [], "z": []}
        for _ in range(ALTERNATIONS):
            x_new = pixel_step(operator, y, prior.decode(z).to(y.dtype), settings["lam"], settings["iterations"])
            z_new = latent_step(prior.encode(x_new), z0, prior.alpha_bar(t_prev))
            for name, value in {"misfit": misfit(operator, x_new, y), "x": rms(x_new - x), "z": rms(z_new - z)}.items():
                found[name].append(value)
            x, z = x_new, z_new
        return found


def rms(change: torch.Tensor) -> torch.Tensor:
    """Of each sample, (B,)."""
    return change.square().flatten(1).mean(1).sqrt()


def by_sample(values: list[Any], batch: int) -> list[list[float]]:
    """Values (B,), one after the other, as B lists."""
    return torch.stack(values, 1).tolist() if values else [[] for _ in range(batch)]


STUDY = Study(
    "convergence",
    arms,
    watcher=Watched,
    figures={f"settled_{share}": Figure(f"change {ALTERNATIONS} / 2 at {share:.0%}", "{:.3f}", better=-1) for share in SHARES},
)


def run(**options: Any) -> dict[str, Any] | None:
    """options: of `runner.Options`.  The paths are in the rows' columns, see `Watched`."""
    return run_study(STUDY, **options)
