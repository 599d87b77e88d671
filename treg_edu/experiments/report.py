"""From rows to tables: means over pictures with intervals, and each arm's paired differences to one of them, corrected for their number."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch

from .. import files
from .arms import Models
from .grading import FIGURES, Figure, cell, features_of
from .intervals import Interval, holm, kid_parts, limits_of_difference, mean_interval, p_value
from .measurements import CHANGES
from .runner import DDIM, Options, Setting, Study, reconstruct

__all__ = ["compared", "per_picture", "run", "tables", "truths"]

NOTES = {
    "": "[low, high]: 95 % over pictures.  * differs from 0, p < 0.05 after Holm's correction over all of the measurement.",
    "kid": "KID, on the judge's features, is unbiased and may be negative.  FID is not shown: it is biased, the more the fewer pictures.",
}
"""{figure: what is said where it is shown}."""


def run(study: Study, models: Models | None = None, **given: Any) -> dict[str, Any] | None:
    """Reconstruct, write STUDY.parquet, STUDY.json and, if it has one, STUDY.png to the folder `out`, and print the tables.

    given: of `Options`.  Returns the report; None in a process that is not the last to finish.
    """
    options = Options(**given)
    rows, setting, planned = reconstruct(study, options, models)
    if len(rows) < planned:
        print(f"{len(rows)} of {planned} reconstructions are there; the process that finishes last prints the tables")
        return None
    report = reported(study, options, rows, setting)
    files.write_text(f"{options.out}/{study.name}.json", files.json_text(report))
    if study.picture is not None:
        files.write_figure(f"{options.out}/{study.name}.png", study.picture(rows))
    show(study, report)
    return report


def reported(study: Study, options: Options, rows: pd.DataFrame, setting: Setting) -> dict[str, Any]:
    """What STUDY.json holds."""
    figures = {**FIGURES, **study.figures}
    return {
        "study": study.name,
        "options": asdict(options),
        "prior": setting.models.fingerprint("treg"),
        "pictures": len(setting.pictures),
        "source": setting.pictures.source,
        "unreadable files": setting.pictures.skipped,
        "diverged": int(rows["diverged"].sum()),
        "arms": {arm: json.loads(part["settings"].iloc[0]) for (_, arm), part in rows.groupby(["measurement", "arm"], sort=False)},
        "baseline": study.baseline,
        "tables": tables(per_picture(study, rows, setting), figures, study.baseline),
    }


def shown(study: Study) -> dict[str, Figure]:
    """What is printed of its tables."""
    there = {**FIGURES, **study.figures}
    return {name: there[name] for name in study.shown} if study.shown else there


def per_picture(study: Study, rows: pd.DataFrame, setting: Setting) -> dict[str, dict[str, pd.DataFrame]]:
    """{measurement: {arm: a row a picture}}: means over the seeds, what `study.of_pictures` adds, KID's parts, seconds over DDIM's.

    DDIM's are those of the same measurement, or else of another of the study, since it does not look at it.
    """
    ddim = rows[rows["arm"] == DDIM].groupby("measurement")["seconds"].mean()
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for (measurement, arm), part in rows.groupby(["measurement", "arm"], sort=False):
        part = part.assign(cost=part["seconds"] / ddim.get(measurement, ddim.mean()))
        means = part.groupby("picture", sort=False).mean(numeric_only=True)
        more = {} if study.of_pictures is None else study.of_pictures(part, setting)
        found.setdefault(measurement, {})[arm] = means.assign(kid=kid_of(part, setting), **more)
    return found


def kid_of(part: pd.DataFrame, setting: Setting) -> Any:
    """KID's parts of one arm's rows, NaN with fewer than 3 pictures."""
    if len(setting.pictures) < 3:
        return float("nan")
    real = setting.models.judge.embed_images(truths(part, setting)).cpu()
    of_seeds = [features_of(own) for _, own in part.groupby(part["seed"] % 1000)]
    return kid_parts(torch.stack(of_seeds), real)


def truths(rows: pd.DataFrame, setting: Setting) -> torch.Tensor:
    """What was measured for the rows of one arm: the pictures, changed as it says, (N, 3, H, W)."""
    change = rows["change"].iloc[0]
    return CHANGES[change](setting.pictures.x) if change else setting.pictures.x


def tables(of_pictures: Mapping[str, Mapping[str, pd.DataFrame]], figures: Mapping[str, Figure], baseline: str) -> dict[str, Any]:
    """{measurement: {arm: {"figures": {name: (mean, low, high)}, "differences": {name: (mean, low, high, p after Holm)}}}}."""
    found = {}
    for measurement, arms in of_pictures.items():
        minus = compared(arms, figures, baseline)
        found[measurement] = {
            arm: {"figures": {name: interval(frame, name, figure) for name, figure in figures.items()}, "differences": minus.get(arm, {})}
            for arm, frame in arms.items()
        }
    return found


def interval(frame: pd.DataFrame, name: str, figure: Figure) -> Interval | None:
    """Of a figure, None where some picture has none."""
    if name not in frame or not np.isfinite(frame[name]).all():
        return None
    return mean_interval(frame[name], figure.limits)


def compared(arms: Mapping[str, pd.DataFrame], figures: Mapping[str, Figure], baseline: str) -> dict[str, dict[str, Any]]:
    """{arm: {figure: (mean, low, high, p)}} of the differences to the baseline, picture by picture; p after Holm's correction over all.

    Figures for which neither more nor less is better, such as seconds, are not compared.
    """
    if baseline not in arms:
        return {}
    base, told = arms[baseline], []
    for arm, frame in arms.items():
        for name, figure in figures.items():
            if arm == baseline or not figure.better or interval(frame, name, figure) is None or interval(base, name, figure) is None:
                continue
            limits = limits_of_difference(figure.limits)
            differences = (frame[name] - base[name]).to_numpy()
            told.append((arm, name, mean_interval(differences, limits), p_value(differences, limits)))
    found: dict[str, dict[str, Any]] = {}
    for (arm, name, spread, _), p in zip(told, holm([p for *_, p in told])):
        found.setdefault(arm, {})[name] = (*spread, p)
    return found


def show(study: Study, report: Mapping[str, Any]) -> None:
    """The tables of a report, on the console."""
    from rich.console import Console
    from rich.table import Table

    figures, console = shown(study), Console(width=170)
    told = f"{report['pictures']} pictures × {report['options']['seeds']} seeds"
    for measurement, arms in report["tables"].items():
        table = Table("", *(figure.title for figure in figures.values()), title=f"{study.name}, {measurement}: {told}")
        for arm, each in arms.items():
            table.add_row(arm, *(cell(each["figures"][name], figure, "\n") for name, figure in figures.items()))
        console.print(table)
        told_apart = {name: figure for name, figure in figures.items() if any(name in each["differences"] for each in arms.values())}
        minus = Table(
            f"minus {study.baseline}",
            *(figure.title for figure in told_apart.values()),
            title=f"{study.name}, {measurement}: paired differences",
        )
        for arm, each in arms.items():
            if each["differences"]:
                minus.add_row(arm, *(cell(each["differences"].get(name), figure, "\n") for name, figure in told_apart.items()))
        if minus.row_count:
            console.print(minus)
    for name, note in NOTES.items():
        if not name or name in figures:
            print(note)
    if report["diverged"]:
        print(f"{report['diverged']} reconstructions diverged, and are graded as black pictures")
