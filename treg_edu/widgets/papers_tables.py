"""The panel of notebook 09."""

import ipywidgets as w

from .. import figures
from ..experiments import stored
from ..experiments.grading import FIGURES
from .base import Live

__all__ = ["differences_to_treg", "differences_to_treg_figure"]


def differences_to_treg_figure(name: str = "accuracy", measurement: str = "sr", figure: str = "distance") -> figures.Figure:
    """The differences of a stored study to its baseline, an arm a row.  Arguments as of `stored.differences`."""
    return figures.compared(stored.differences(name, measurement, [figure]))


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
