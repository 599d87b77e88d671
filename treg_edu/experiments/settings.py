"""Which settings of a solver suit a prior: what a search on the tuning pictures found for each instrument, as a report, a table, a plot."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import checks, files
from .. import images as pictures
from ..judge import load_judge
from ..operators import is_linear
from ..priors import load_prior
from ..solvers import SOLVERS
from . import common
from .common import SIGMA, Column
from .coordinates import ON_PIXELS, Settings, at_the_edge, start_of
from .intervals import mean_interval
from .search import RULE, few, search
from .study import FIGURES, INSTRUMENTS, Study, taken_by

__all__ = ["front", "run", "table", "told"]


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points no other is at least as good as in both, and better in one (Pareto); small is good."""
    return [not any(other != point and all(a <= b for a, b in zip(other, point)) for other in points) for point in points]


def table(study: Study, instrument: str, count: int) -> list[dict[str, Any]]:
    """A row a setting that the first `count` pictures were solved with: means with 95 % intervals, and whether it is on the front."""
    found = []
    for name in study.tried(instrument, count):
        means = study.per_picture(instrument, json.loads(name), count)
        found.append({"settings": json.loads(name)} | {column: mean_interval(means[column].to_numpy()) for column in FIGURES})
    on_front = front([(row["seconds"][0], row["distance"][0]) for row in found])
    return [row | {"front": on} for row, on in zip(found, on_front)]


COLUMNS = {
    "distance": Column("perceptual distance", "{:.2f}"),
    "top1": Column("judge top-1", "{:.0%}"),
    "misfit": Column("misfit / σ", "{:.1f}"),
    "psnr": Column("PSNR, dB", "{:.1f}"),
    "passes": Column("passes", "{:.0f}"),
    "seconds": Column("seconds", "{:.2f}"),
}


def told(settings: Mapping[str, Any], start: Mapping[str, Any]) -> str:
    """What differs from the settings that the search began with."""
    return ", ".join(f"{name} {value!r}" for name, value in settings.items() if value != start.get(name)) or "as at first"


def run(
    solver: str = "treg",
    images: int = 48,
    seeds: int = 1,
    trials: int = 32,
    instruments: Collection[str] | None = None,
    out: str | Path = "out",
    device: str = "cpu",
) -> dict[str, Any]:
    """Search for each instrument, and print the settings on the front of quality and seconds.

    trials: how many settings are tried for each instrument, the same number for every solver, see `search`.  The search of a second linear
    instrument begins where that of the first ended.  instruments: None for all that the solver takes.
    Writes to the folder `out` a row a reconstruction as it goes, in the end all in `settings_SOLVER.parquet`; `settings_SOLVER.json`, what
    was chosen and the tables of means, of all trials and of the last comparison; `settings_SOLVER.png`, quality against time.
    The searches of several solvers may share a folder, also at one time.
    """
    from .. import figures

    checks.one_of("solver", solver, SOLVERS)
    seeds = checks.integer("seeds", seeds, 1, 1000)
    trials = checks.integer("trials", trials, 2)
    images = checks.integer("images", images, 2, len(pictures.of_split(pictures.captions(), "tuning")))
    taken = taken_by(solver)
    chosen = taken if instruments is None else [checks.one_of("instruments", name, INSTRUMENTS) for name in instruments]
    expected = f"some of {', '.join(taken)}, which {solver} takes"
    checks.expect(chosen, "instruments", "none", expected)
    for name in chosen:
        checks.expect(name in taken, "instruments", repr(name), expected)
    folder = files.results_folder("out", out)
    prior = load_prior("pixel", device=device) if solver in ON_PIXELS else load_prior(device=device)
    study = Study(folder, solver, prior, load_judge(device=device), images, seeds)
    report: dict[str, Any] = {
        "solver": solver,
        "images": images,
        "seeds": seeds,
        "trials": trials,
        "prior": study.of_prior,
        "rule": " ".join(RULE.split()),
    }
    found = report["found"] = {}
    began: dict[bool, Settings] = {}
    for instrument in chosen:
        linear = is_linear(INSTRUMENTS[instrument]())
        start = began.get(linear) or start_of(solver, prior.recommended.get(solver, {}), linear)
        best = began[linear] = search(study, instrument, start, trials)
        found[instrument] = {
            "start": start,
            "chosen": best,
            "at_the_edge": at_the_edge(solver, best, linear),
            "trials": table(study, instrument, few(images)),
            "settings": table(study, instrument, images),
        }
        common.write_report(folder, study.file, report)
    study.store.merge()
    points = {
        name: [(row["seconds"][0], row["distance"], row["front"], row["settings"] == each["chosen"]) for row in each["trials"]]
        for name, each in found.items()
    }
    files.write_figure(folder / f"{study.file}.png", figures.quality_and_time(points))
    for instrument, each in found.items():
        print_front(study, instrument, each)
    return report


def print_front(study: Study, instrument: str, found: Mapping[str, Any]) -> None:
    """The settings that no other beats in both, the quick ones first, and those chosen.  found: of the report."""
    chosen = found["chosen"]
    rows = [row for row in sorted(found["settings"], key=lambda row: row["seconds"]) if row["front"] or row["settings"] == chosen]
    named = {told(row["settings"], found["start"]) + (" ← chosen" if row["settings"] == chosen else ""): row for row in rows}
    title = (
        f"{study.solver}, {instrument}: the front of perceptual distance and seconds, "
        f"{len(study.x)} tuning pictures × {study.seeds} seeds, σ = {SIGMA}, the best of {len(found['trials'])} trials"
    )
    common.print_table(title, {name: {column: row[column] for column in COLUMNS} for name, row in named.items()}, COLUMNS)
    for name in found["at_the_edge"]:
        print(f"{name}: {chosen[name]} is at the edge of what was tried")
