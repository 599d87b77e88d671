"""The panel of notebook 09."""

import ipywidgets as w

from .. import figures
from ..experiments import stored
from ..experiments.grading import FIGURES
from .base import Live

__all__ = ["differences_to_treg", "differences_to_treg_figure"]


def differences_to_treg_figure(name: str = "accuracy", measurement: str | None = None, figure: str = "distance") -> figures.Figure:
    """The differences of a stored study to its baseline, an arm a row.

    name: of `stored.STUDIES`.  measurement: the first if None.  figure: of its tables.
    """
    tables, there = stored.report(name)["tables"], {**FIGURES, **stored.study_named(name).figures}
    arms = tables[measurement or next(iter(tables))]
    scale, title = there[figure].scale, there[figure].title
    told = {arm: each["differences"][figure] for arm, each in arms.items() if figure in each["differences"]}
    return figures.compared({f"{title}, minus TReg's": {arm: tuple(scale * v for v in values[:3]) for arm, values in told.items()}})


def differences_to_treg(name: str = "accuracy") -> Live:
    """The panel of notebook 09: a measurement and a figure → each arm's difference to TReg, with its interval."""
    tables = stored.report(name)["tables"]
    of_arms = [each["differences"] for arms in tables.values() for each in arms.values()]
    compared = [figure for figure in {**FIGURES, **stored.study_named(name).figures} if any(figure in each for each in of_arms)]
    controls = {
        "measurement": w.Dropdown(options=list(tables), description="measured"),
        "figure": w.Dropdown(options=compared, value="distance", description="figure"),
    }
    return Live(controls, lambda measurement, figure: differences_to_treg_figure(name, measurement, figure))
