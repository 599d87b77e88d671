"""Which of its symmetric copies an image is retrieved as from |F P x|: with its text, with the null text, and by HIO.

|F P x| is the same for x and for x turned by 180°, channel by channel, so nothing in the measurement chooses.  What chooses is the prior,
and the text that it is given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .. import checks, files, metrics, phase_retrieval
from ..operators import FourierMagnitude
from ..priors import LatentDiffusion, load_prior
from . import common
from .common import SIGMA, Arm, Column, Interval

__all__ = ["ARMS", "COPIES", "claim", "grade", "retrieve", "run"]

COPIES = ("upright", "rotated", "mixed", "neither", "symmetric")

TRUE = Arm("true text", "true")
NULL = Arm("null text", "null")
FROM_HIO = Arm("true text, from HIO", "true")
HIO = Arm("HIO", None)
HIO_MATCHED = Arm("HIO, channels matched", None)
ARMS = (TRUE, NULL, FROM_HIO, HIO, HIO_MATCHED)

COLUMNS = {copy: Column(copy, "{:.0%}") for copy in COPIES} | {
    "error": Column("error", "{:.3f}"),
    "aligned": Column("after alignment", "{:.3f}"),
}


def retrieve(
    prior: LatentDiffusion, operator: FourierMagnitude, y: torch.Tensor, labels: Sequence[str], seeds: int, settings: Mapping[str, Any]
) -> dict[Arm, torch.Tensor]:
    """{arm: (N, seeds, 3, H, W)}: each measurement retrieved from `seeds` starts of its own, by text also with pixel steps begun at HIO's.

    Each image has its own start, since a start that turns one picture tends to turn the next, and the intervals need independent ones.
    Negation is off: 06_adaptive_negation shows what it adds.
    """
    own = [range(i * seeds, (i + 1) * seeds) for i in range(len(y))]
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(y) * seeds)]
    by_hio = phase_retrieval.retrieve(operator, y.repeat_interleave(seeds, 0), generator=generators).x_hat
    of_hio = {HIO: by_hio, HIO_MATCHED: phase_retrieval.match_channels(by_hio)}
    of_hio = {arm: x_hats.unflatten(0, (len(y), seeds)) for arm, x_hats in of_hio.items()}
    each, starts = dict.fromkeys((TRUE, NULL, FROM_HIO), own), {FROM_HIO: of_hio[HIO_MATCHED]}
    texts: dict[str | None, Sequence[str]] = {"true": labels, "null": [settings["null_prompt"]] * len(y)}
    return dict(common.solve_arms(prior, operator, y, texts, each, settings, starts)) | of_hio


def grade(
    operator: FourierMagnitude, y: torch.Tensor, x: torch.Tensor, labels: Sequence[str], found: Mapping[Arm, torch.Tensor]
) -> pd.DataFrame:
    """One retrieval a row: the copy it is, its RMS errors as it stands and after the best alignment, its misfit / σ."""
    rows = []
    for arm, pictures in found.items():
        for i, x_hats in enumerate(pictures):
            truth = x[i : i + 1].expand_as(x_hats)
            columns = {
                "copy": phase_retrieval.copies(x_hats, truth),
                "error": (x_hats - truth).square().mean((1, 2, 3)).sqrt().tolist(),
                "aligned": phase_retrieval.align(x_hats, truth).error.tolist(),
                "misfit": (metrics.misfit(operator, x_hats, y[i : i + 1]) / SIGMA).tolist(),
            }
            rows.append(pd.DataFrame({"arm": arm.name, "image": labels[i], "seed": range(len(x_hats))} | columns))
    return pd.concat(rows, ignore_index=True)


def with_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, with a column for each copy: whether it is the one."""
    return rows.assign(**{copy: rows["copy"] == copy for copy in COPIES})


def claim(rows: pd.DataFrame, copy: str = "upright", a: Arm = TRUE, b: Arm = NULL) -> Interval:
    """(mean, low, high) over images of the share of `copy` in arm a minus that in arm b."""
    return common.difference(with_shares(rows).sort_values("image", kind="stable"), a, b, copy)


def run(images: int = 32, seeds: int = 8, out: str | Path = "out", device: str = "cpu") -> dict[str, Any]:
    """Write `phase.parquet` and `phase.json` to the folder `out`, and print the table and the paired claims."""
    seeds = checks.integer("seeds", seeds, 1)
    x, labels = common.held_out(images)
    folder = files.results_folder("out", out)
    prior, operator = load_prior(device=device), FourierMagnitude()
    settings = prior.recommended["treg"]
    y = common.measured(operator, x)
    rows = grade(operator, y, x, labels, retrieve(prior, operator, y, labels, seeds, settings))
    common.write_rows(folder, "phase", rows)
    report: dict[str, Any] = {
        "images": images,
        "seeds": seeds,
        "settings": settings | {"negation": None},
        "null text": common.UNGUIDED,
        "arms": common.summary(with_shares(rows), [*COLUMNS, "misfit"]),
        "claims": {f"{copy}, true text − null text": claim(rows, copy) for copy in ("upright", "rotated")},
    }
    common.write_report(folder, "phase", report)
    title = f"Phase retrieval of {images} held-out images × {seeds} seeds, σ = {SIGMA}; 95 % intervals over images"
    common.print_table(title, report["arms"], COLUMNS)
    for name, interval in report["claims"].items():
        print(f"{name}: " + "{:.1%} [{:.1%}, {:.1%}]".format(*interval))
    return report
