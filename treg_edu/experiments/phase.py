"""Which of its symmetric copies an image is retrieved as from |F P x|: by every solver that takes a nonlinear instrument, and by HIO.

|F P x| is the same for x and for x turned by 180°, channel by channel, so nothing in the measurement chooses.  What chooses is the prior,
and the text that it is given.  The other nonlinear instrument, gamma, has no copies; it is here for what the solvers do with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from .. import checks, metrics, noise, phase_retrieval
from ..diffusion import Step
from ..operators import FourierMagnitude, misfit
from ..priors import DiffusionPrior
from . import common
from .arms import OF_STUDIES, Arm, Batch
from .grading import Figure
from .measurements import SIGMA, Measurement
from .report import run as run_study
from .runner import BASELINE, DDIM, Setting, Study

__all__ = ["COPIES", "STUDY", "grade", "run", "with_shares"]

COPIES = ("upright", "rotated", "mixed", "neither", "symmetric")
PHASE, GAMMA = Measurement("phase"), Measurement("gamma")
PLAIN = {"negation": None}
"""06_adaptive_negation shows what it adds."""
RIVALS = ("ldps", "dps", "latent_daps", "daps", "resample", "mpgd")


def from_hio(batch: Batch) -> dict[str, Any]:
    """The pixel steps begin at what HIO finds, its channels turned to agree."""
    found = phase_retrieval.retrieve(batch.operator, batch.y, generator=noise.generators(list(batch.seeds), len(batch.y)))
    return {"start": phase_retrieval.match_channels(found.x_hat)}


def hio_as_it_is(
    prior: DiffusionPrior | None,
    operator: FourierMagnitude,
    y: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    steps: int = 250,
    starts: int = 8,
    beta: float = 0.9,
    er_share: float = 0.2,
    seed: noise.Seed = 0,
) -> Iterator[Step]:
    """The solver `hio` without its last stage: the channels stay turned as they come.  Arguments as there; one `Step`."""
    er = round(checks.integer("steps", steps) * er_share)
    x_hat = phase_retrieval.retrieve(operator, y, starts, steps - er, er, beta, noise.generators(seed, len(y))).x_hat
    yield Step(0, 0, x_hat, x_hat, x_hat, None, x_hat.clamp(0, 1), misfit(operator, x_hat, y))


OF_STUDIES["hio as it is"] = (hio_as_it_is, "hio")


def arms(setting: Setting) -> list[Arm]:
    """Phase retrieval with text, without, and from HIO's result; the rivals with text; HIO.  Gamma with the same solvers."""
    found = []
    for y in (PHASE, GAMMA):
        found += [Arm(BASELINE, settings=PLAIN, measurement=y), Arm("treg, null text", text="null", settings=PLAIN, measurement=y)]
        found += [Arm(DDIM, "ddim", measurement=y), *(Arm(solver, solver, measurement=y) for solver in RIVALS)]
    found += [Arm("treg, from HIO", settings=PLAIN, measurement=PHASE, given=from_hio)]
    return [*found, Arm("hio", "hio", measurement=PHASE), Arm("hio as it is", "hio as it is", measurement=PHASE)]


def of_copies(x_hats: torch.Tensor, truth: torch.Tensor) -> dict[str, Any]:
    """{"copy", "error", "aligned": B values}: the copy that it is, its RMS errors as it stands and after the best alignment."""
    return {
        "copy": phase_retrieval.copies(x_hats, truth),
        "error": (x_hats - truth).square().mean((1, 2, 3)).sqrt().tolist(),
        "aligned": phase_retrieval.align(x_hats, truth).error.tolist(),
    }


def columns(arm: Arm, batch: Batch, x_hat: torch.Tensor) -> dict[str, Any]:
    """Of retrieved phases, `of_copies`, and a column for each copy: whether it is the one."""
    if arm.measurement.instrument != "phase":
        return {}
    found = of_copies(x_hat, batch.x)
    return found | {copy: [float(each == copy) for each in found["copy"]] for copy in COPIES}


def grade(
    operator: FourierMagnitude, y: torch.Tensor, x: torch.Tensor, labels: Sequence[str], found: Mapping[common.Arm, torch.Tensor]
) -> pd.DataFrame:
    """One retrieval a row, for what was retrieved by hand: `of_copies`, and its misfit / σ.  found: {arm: (N, S, 3, H, W)}."""
    rows = []
    for arm, pictures in found.items():
        for i, x_hats in enumerate(pictures):
            told = of_copies(x_hats, x[i : i + 1].expand_as(x_hats))
            told["misfit"] = (metrics.misfit(operator, x_hats, y[i : i + 1]) / SIGMA).tolist()
            rows.append(pd.DataFrame({"arm": arm.name, "image": labels[i], "seed": range(len(x_hats))} | told))
    return pd.concat(rows, ignore_index=True)


def with_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, with a column for each copy: whether it is the one."""
    return rows.assign(**{copy: rows["copy"] == copy for copy in COPIES})


STUDY = Study(
    "phase",
    arms,
    columns=columns,
    figures={copy: Figure(f"{copy} %", "{:.0f}", 100, (0, 1), better=(copy == "upright") - (copy == "rotated")) for copy in COPIES}
    | {"error": Figure("error", "{:.3f}", better=-1), "aligned": Figure("aligned", "{:.3f}", better=-1)},
    shown=(*COPIES, "error", "aligned", "misfit", "psnr", "distance", "top1", "cost", "passes"),
)


def run(**options: Any) -> dict[str, Any] | None:
    """options: of `runner.Options`."""
    return run_study(STUDY, **options)
