"""Tables of measured values, so that a cell is about what was measured and not about its print.  One row a method, one column a problem."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import checks
from .metrics import confidence_interval

if TYPE_CHECKING:  # pandas costs half a second
    import pandas as pd

__all__ = ["interval", "intervals"]


def interval(values: Any, digits: int = 2) -> str:
    """The mean over samples and its 95 % interval, "25.9 [25.3, 26.5]".  values: (N,), as in `metrics.confidence_interval`."""
    digits = checks.integer("digits", digits, least=0, most=12)
    mean, low, high = (f"{each:z.{digits}f}" for each in confidence_interval(values))
    return f"{mean} [{low}, {high}]"


def intervals(rows: Mapping[str, Mapping[str, Any]], digits: int | Mapping[str, int] = 2) -> "pd.DataFrame":
    """A table of `interval`: {row: {column: (N,) values}}.  digits: of all numbers, or {column: digits}, 2 of the other columns."""
    import pandas as pd

    def cell(column: str, values: Any) -> str:
        return interval(values, digits.get(column, 2) if isinstance(digits, Mapping) else digits)

    cells = {row: {column: cell(column, values) for column, values in columns.items()} for row, columns in rows.items()}
    return pd.DataFrame.from_dict(cells, orient="index")
