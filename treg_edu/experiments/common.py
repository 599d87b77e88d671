"""What the studies share: held-out pictures and their measurements, arms, solving in batches, intervals, storage, tables."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch

from .. import checks, files, images, metrics
from ..priors import LatentDiffusion
from ..solvers import solve, treg
from .intervals import Interval
from .measurements import NOISE_SEED, SIGMA

__all__ = [
    "SIGMA",
    "UNGUIDED",
    "Arm",
    "Column",
    "Interval",
    "difference",
    "held_out",
    "measured",
    "print_table",
    "ratio",
    "settings_of",
    "solve_arms",
    "summary",
    "write_report",
    "write_rows",
]

BATCH = 16
UNGUIDED = {"guidance_scale": 1.0}  # where c = c_∅, no ω changes anything


class Arm(NamedTuple):
    """One way to reconstruct every picture.

    name: in tables and rows.  text: whose text it is given, None for a method that reads none.  negation: whether it is adaptive.
    """

    name: str
    text: Literal["true", "null", "other"] | None
    negation: bool = False


# Pictures and measurements


def held_out(count: int) -> tuple[torch.Tensor, list[str]]:
    """`count` held-out images of distinct concepts, at least 2 as intervals need, (N, 3, 64, 64) in [0, 1], and their labels."""
    most = images.captions().query("split == 'heldout'")["concept"].nunique()
    return images.examples(checks.integer("images", count, 2, most))


def measured(operator: Any, x: torch.Tensor) -> torch.Tensor:
    """y = A(x) + n, n of deviation SIGMA, the noise of image i drawn with seed NOISE_SEED + i."""
    return operator.measure(x, SIGMA, [torch.Generator().manual_seed(NOISE_SEED + i) for i in range(len(x))])


# Solving


def settings_of(arm: Arm, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The solver's settings for one arm: without guidance where its text is the null text, without negation where it has none."""
    return dict(settings) | (UNGUIDED if arm.text == "null" else {}) | ({} if arm.negation else {"negation": None})


def solve_arms(
    prior: LatentDiffusion,
    operator: Any,
    y: torch.Tensor,
    texts: Mapping[str | None, Sequence[str]],
    seeds: Mapping[Arm, Sequence[Sequence[int]]],
    settings: Mapping[str, Any],
    starts: Mapping[Arm, torch.Tensor] | None = None,
) -> Iterator[tuple[Arm, torch.Tensor]]:
    """Each arm with its reconstructions by TReg, (N, S, 3, H, W), as soon as they are there.

    y: (N, …).  texts: {whose: N strings}.  seeds: {arm: for each of the N measurements S ints}.
    starts: {arm: (N, S, 3, H, W)}, the pictures that the pixel steps of an arm begin at.
    """
    from tqdm.auto import tqdm

    total = sum(len(each) for own in seeds.values() for each in own)
    with tqdm(total=total, unit="image", desc="reconstructing") as bar:
        for arm, own in seeds.items():
            done = []
            start = (starts or {}).get(arm)
            for part in batches([(i, s) for i, each in enumerate(own) for s in range(len(each))]):
                rows = [i for i, _ in part]
                chosen = settings_of(arm, settings)
                if start is not None:
                    chosen["start"] = torch.stack([start[i, s] for i, s in part])
                prompts = [texts[arm.text][i] for i in rows]
                seeds_of_part = [own[i][s] for i, s in part]
                x_hat = solve(treg, prior, operator, y[rows], prompts, progress=False, seed=seeds_of_part, **chosen)
                done.append(x_hat.float().cpu())
                bar.update(len(part))
            yield arm, torch.cat(done).unflatten(0, (len(y), -1))


def batches(jobs: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The jobs in order, BATCH at a time."""
    return (jobs[first : first + BATCH] for first in range(0, len(jobs), BATCH))


# Intervals


def per_image(rows: pd.DataFrame, arm: Arm, column: str) -> np.ndarray:
    """A column's mean over the seeds of each image, (N,), in the order in which the images stand in the rows."""
    return rows[rows["arm"] == arm.name].groupby("image", sort=False)[column].mean().to_numpy()


def summary(rows: pd.DataFrame, columns: Sequence[str]) -> dict[str, dict[str, Interval]]:
    """{arm: {column: (mean, low, high)}}, 95 % intervals over images; an image's seeds are averaged first."""
    table = {}
    for arm, part in rows.groupby("arm", sort=False):
        means = part.groupby("image", sort=False)[list(columns)].mean()
        table[arm] = {name: metrics.confidence_interval(means[name].to_numpy()) for name in columns}
    return table


def difference(rows: pd.DataFrame, a: Arm, b: Arm, column: str) -> Interval:
    """(mean, low, high) of a column in arm a minus that in arm b, paired: over the differences of the same images."""
    return metrics.confidence_interval(per_image(rows, a, column) - per_image(rows, b, column))


def ratio(rows: pd.DataFrame, a: Arm, b: Arm, column: str) -> Interval:
    """(ratio, low, high) of a column's mean in arm a to that in arm b, the images resampled in pairs."""
    of_a, of_b = per_image(rows, a, column), per_image(rows, b, column)
    picks = np.random.default_rng(0).integers(len(of_a), size=(2000, len(of_a)))
    low, high = np.quantile(of_a[picks].mean(1) / of_b[picks].mean(1), [0.025, 0.975])
    return of_a.mean() / of_b.mean(), low, high


# Storage


def write_rows(out: str | Path, name: str, rows: pd.DataFrame) -> None:
    """`name`.parquet in the folder `out`, a row a reconstruction."""
    with files.written_beside(Path(out) / f"{name}.parquet") as beside:
        rows.to_parquet(beside)


def write_report(out: str | Path, name: str, report: Mapping[str, Any]) -> None:
    """`name`.json in the folder `out`."""
    files.write_text(Path(out) / f"{name}.json", files.json_text(dict(report)))


# Printing


class Column(NamedTuple):
    """How a table shows a figure.  title: with its unit.  form: of a number times `scale`."""

    title: str
    form: str
    scale: float = 1.0

    def cell(self, interval: Interval, whole: bool) -> str:
        """ "mean [low, high]", or the mean alone unless `whole`."""
        mean, low, high = (self.form.format(self.scale * value) for value in interval)
        return f"{mean} [{low}, {high}]" if whole else mean


def print_table(
    title: str,
    table: Mapping[str, Mapping[str, Interval]],
    columns: Mapping[str, Column],
    intervals: bool = True,
    meaningless: Collection[tuple[str, str]] = (),
) -> None:
    """A row an arm.

    intervals: whether to print them; over three images they would promise too much.  meaningless: (arm's name, column), shown as a dash.
    """
    from rich.console import Console
    from rich.table import Table

    printed = Table("", *(column.title for column in columns.values()), title=title)
    for arm, figures in table.items():
        cells = ["—" if (arm, name) in meaningless else column.cell(figures[name], intervals) for name, column in columns.items()]
        printed.add_row(arm, *cells)
    Console(width=150).print(printed)
