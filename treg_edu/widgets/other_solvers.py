"""The panel of notebook 08."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as w
import torch

from .. import checks, figures, images
from ..diffusion import Step
from ..priors import LatentDiffusion
from ..solvers import SOLVERS
from .base import LINEAR, SIGMA, Cancelled, Panel, Progress, estimate, measured, operator_and_strength, picture_and_text, thinned, walk

__all__ = ["SIDE_BY_SIDE", "two_solvers", "two_solvers_figure"]

SIDE_BY_SIDE = ("treg", "ldps", "mpgd", "psld", "resample", "p2l", "latent_daps", "latino", "flowdps", "null_text")
"""The solvers that run on a latent prior and take a text."""
COLUMNS = 7


def two_solvers(prior: LatentDiffusion, name: str = "fox", steps: int = 20) -> Panel:
    """The panel of notebook 08: picture, text, operator and two solvers → the estimates of both along their runs, in two rows.

    steps: of each run; every other setting is the one that the prior recommends.
    """
    steps = checks.integer("steps", steps)
    picture, text = picture_and_text(name)
    operator, strength = operator_and_strength(LINEAR)
    first = w.Dropdown(options=SIDE_BY_SIDE, value="treg", description="above")
    second = w.Dropdown(options=SIDE_BY_SIDE, value="ldps", description="below")
    seed = w.IntText(value=0, description="seed")

    def solve(cancelled: Cancelled, progress: Progress) -> figures.Figure:
        A, x = LINEAR[operator.value][0](strength.value), images.example(picture.value)
        y = measured(A, x)
        rows: dict[str, Sequence[Step]] = {}
        for place, choice in (("above", first.value), ("below", second.value)):
            settings = settings_of(choice, prior.recommended.get(choice, {}), steps)
            found = SOLVERS[choice](prior, A, y, text.value, seed=seed.value, **settings)
            rows[f"{choice}, {place}" if first.value == second.value else choice] = walk(found, settings["steps"], cancelled, progress)
        return two_solvers_figure(prior, rows)

    return Panel([w.HBox([picture, text]), w.HBox([operator, strength]), w.HBox([first, second, seed])], solve)


def settings_of(solver: str, recommended: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """What a solver is run with: what is recommended, over `steps` steps, and told how large the noise is where it asks."""
    asks = "sigma" in inspect.signature(SOLVERS[solver]).parameters
    return dict(recommended) | {"steps": steps} | ({"sigma": SIGMA} if asks else {})


def two_solvers_figure(prior: LatentDiffusion, runs: Mapping[str, Sequence[Step]]) -> figures.Figure:
    """What the panel of notebook 08 draws: a row a run, whole or cancelled, noise on the left.  runs: {name: steps}."""
    count = min(COLUMNS, *(len(steps) for steps in runs.values()))
    shown = {name: thinned(steps, count)[-count:] for name, steps in runs.items()}
    fewest = min(len(steps) for steps in shown.values())
    rows = {name: torch.cat([estimate(prior, step)[:1] for step in steps[-fewest:]]) for name, steps in shown.items()}
    return figures.picture_rows(rows)
