"""What text does to an inverse problem, in one experiment: ×16 super-resolution of held-out images, under three texts.

Each measurement of 4×4 pixels is solved with the true text, with the null text, and with another text, negation on and off.
`demo` is the short form with a picture; `run` the one whose intervals are quoted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .. import checks, files, metrics, operators
from .. import images as pictures
from ..judge import Judge, load_judge
from ..priors import LatentDiffusion, load_prior
from . import common
from .common import SIGMA, Arm, Column, Interval
from .texts import by_measurement

__all__ = ["ARMS", "claims", "demo", "other_texts", "run"]

FACTOR = 16

TRUE = Arm("true text", "true", negation=True)
NULL = Arm("null text", "null")
OTHER = Arm("another text", "other", negation=True)
TRUE_PLAIN = Arm("true text, no negation", "true")
OTHER_PLAIN = Arm("another text, no negation", "other")
ARMS = (TRUE, NULL, OTHER, TRUE_PLAIN, OTHER_PLAIN)

COLUMNS = {
    "misfit": Column("misfit / σ", "{:.1f}"),
    "y_mse": Column("y-MSE ×10⁻⁵", "{:.2f}", 1e5),  # the paper's, the square of the misfit
    "similarity": Column("judge similarity", "{:.3f}"),
    "top1": Column("judge top-1", "{:.0%}"),
    "top5": Column("judge top-5", "{:.0%}"),
    "psnr": Column("PSNR, dB", "{:.1f}"),
    "variance": Column("pixel variance ×10⁻³", "{:.2f}", 1e3),
}
NO_TRUTH = {(arm.name, "psnr") for arm in ARMS if arm.text == "other"}  # no truth bears this text


def other_texts(operator: operators.SuperResolution, x: torch.Tensor, labels: Sequence[str]) -> list[str]:
    """For each image the label of another concept, whose training images look most alike when measured.

    A wrong text that could be true, as macarons for ice cream in the paper.
    """
    trained, rows = pictures.load("train")
    references = {name: trained[own.to_list()] for name, own in rows.groupby("label").groups.items()}
    return by_measurement(operator, x, labels, references)


def grade(judge: Judge, operator: Any, y: torch.Tensor, x: torch.Tensor, x_hats: torch.Tensor, text: str) -> dict[str, Any]:
    """The columns of one image's reconstructions: what the judge sees in them, and how well they explain the measurement and the truth.

    y: (1, …).  x: (1, 3, H, W).  x_hats: (S, 3, H, W).  Returns {column: S values, or one for all}.
    """
    labels = list(dict.fromkeys(pictures.captions()["label"]))
    names, _ = metrics.top_k(judge, x_hats, labels)
    return {
        "variance": metrics.pixel_variance(x_hats).item(),
        "top1": [found[0] == text for found in names],
        "top5": [text in found for found in names],
        "similarity": metrics.similarity(judge, x_hats, text).tolist(),
        "misfit": (metrics.misfit(operator, x_hats, y) / SIGMA).tolist(),
        "y_mse": metrics.y_mse(operator, x_hats, y).tolist(),
        "psnr": metrics.psnr(x_hats, x).tolist(),
    }


def reconstruct(
    prior: LatentDiffusion,
    judge: Judge,
    x: torch.Tensor,
    labels: Sequence[str],
    seeds: Mapping[Arm, Sequence[int]],
) -> tuple[pd.DataFrame, dict[Arm, torch.Tensor], list[str], torch.Tensor]:
    """Solve and grade every arm.  seeds: {arm: those of every image}.

    Returns (a row a reconstruction, {arm: (N, S, 3, H, W)}, the other texts, y).
    """
    operator = operators.SuperResolution(FACTOR)
    y, others = common.measured(operator, x), other_texts(operator, x, labels)
    style = pictures.captions().query("split == 'heldout'").set_index("label")["style"].to_dict()
    settings = prior.recommended["treg"]
    texts: dict[str | None, Sequence[str]] = {"true": labels, "null": [settings["null_prompt"]] * len(x), "other": others}
    each = {arm: [own] * len(x) for arm, own in seeds.items()}
    rows, found = [], {}
    for arm, x_hats in common.solve_arms(prior, operator, y, texts, each, settings):
        found[arm] = x_hats
        for i, label in enumerate(labels):
            asked = others[i] if arm.text == "other" else label
            told = {"arm": arm.name, "image": label, "style": style[label], "text": texts[arm.text][i], "graded against": asked}
            graded = grade(judge, operator, y[i : i + 1], x[i : i + 1], x_hats[i], asked)
            rows.append(pd.DataFrame(told | {"seed": list(seeds[arm])} | graded))
    return pd.concat(rows, ignore_index=True), found, others, y


def claims(rows: pd.DataFrame) -> dict[str, Interval]:
    """The paired comparisons, each (mean, low, high) over images."""
    return {
        "variance, text − null text": common.difference(rows, TRUE, NULL, "variance"),
        "judge's top-1, text − null text": common.difference(rows, TRUE, NULL, "top1"),
        "judge's similarity, negation on − off, true text": common.difference(rows, TRUE, TRUE_PLAIN, "similarity"),
        "judge's similarity, negation on − off, another text": common.difference(rows, OTHER, OTHER_PLAIN, "similarity"),
        "y-MSE, another text / true text": common.ratio(rows, OTHER, TRUE, "y_mse"),
        "variance, text / null text": common.ratio(rows, TRUE, NULL, "variance"),
    }


def demo(images: int = 3, seeds: int = 8, out: str | Path = "out", device: str = "cpu") -> pd.DataFrame:
    """A table, and in the folder `out` its rows, `demo.parquet`, and `demo.png`: a few measurements under three texts."""
    from .. import figures

    seeds = checks.integer("seeds", seeds, 2)
    x, labels = common.held_out(images)
    folder = files.results_folder("out", out)
    prior, judge = load_prior(device=device), load_judge(device=device)
    few = range(min(2, seeds))
    rows, found, others, y = reconstruct(prior, judge, x, labels, {arm: range(seeds) if arm in (TRUE, NULL) else few for arm in ARMS})
    common.write_rows(folder, "demo", rows)
    shown = []
    for i, label in enumerate(labels):
        groups = {
            f'text "{label}"': found[TRUE][i][:3],
            "null text": found[NULL][i][:3],
            f'text "{others[i]}"': found[OTHER][i][:2],
        }
        shown.append((x[i : i + 1], y[i : i + 1], groups))
    path = files.write_figure(folder / "demo.png", figures.story(shown, operators.SuperResolution(FACTOR)))
    title = f"×{FACTOR} super-resolution of {images} held-out images, σ = {SIGMA}; means"
    columns = {name: column for name, column in COLUMNS.items() if name != "y_mse"}
    common.print_table(title, common.summary(rows, list(columns)), columns, intervals=False, meaningless=NO_TRUTH)
    print(f"wrote {path}")
    return rows


def run(images: int = 32, seeds: int = 8, out: str | Path = "out", device: str = "cpu") -> dict[str, Any]:
    """All arms with all seeds: writes `quick.parquet` and `quick.json`, and prints the paper's table and the paired claims.

    Of the held-out pictures in a fluent style the prior has mostly seen the sibling, so what the others alone give is printed as well.
    """
    seeds = checks.integer("seeds", seeds, 2)
    x, labels = common.held_out(images)
    folder = files.results_folder("out", out)
    prior, judge = load_prior(device=device), load_judge(device=device)
    rows, *_ = reconstruct(prior, judge, x, labels, dict.fromkeys(ARMS, range(seeds)))
    common.write_rows(folder, "quick", rows)
    report: dict[str, Any] = {"images": images, "seeds": seeds, "settings": prior.recommended["treg"]}
    parts = {"": rows, " no sibling": rows[~rows["style"].isin(pictures.SIBLINGS)]}
    parts = {name: part for name, part in parts.items() if part["image"].nunique() > 1}
    for name, part in parts.items():
        report |= {f"arms{name}": common.summary(part, list(COLUMNS)), f"claims{name}": claims(part)}
    common.write_report(folder, "quick", report)
    columns = {name: column for name, column in COLUMNS.items() if name != "misfit"}
    for name, part in parts.items():
        told = f"{part['image'].nunique()} held-out images × {seeds} seeds" + (", none of them fluent" if name else "")
        title = f"×{FACTOR} super-resolution of {told}, σ = {SIGMA}; 95 % intervals over images"
        common.print_table(title, report[f"arms{name}"], columns, meaningless=NO_TRUTH)
        for claim, interval in report[f"claims{name}"].items():
            print(f"{claim}: " + "{:.4f} [{:.4f}, {:.4f}]".format(*interval))
    return report
