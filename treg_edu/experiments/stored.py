"""The results that ship, to be read, and to be made again one by one.

data/results/accuracy.parquet    a row a reconstruction, without the pictures
data/results/accuracy.json       the report: options, settings, tables, in six digits
data/results/settings_treg.json  what a search chose, where the study was told to take it
"""

import importlib
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import checks, files
from ..solvers import SOLVERS
from .arms import Models
from .grading import FIGURES, Grader, cell
from .pictures import load as load_pictures
from .runner import Options, Setting, Study, checked, planned, solved, square

__all__ = ["STUDIES", "again", "differences", "keep", "options_of", "report", "rows", "search", "study_named", "table"]

STUDIES = ("accuracy", "other-class", "ambiguity", "phase", "parts", "negation", "wording", "convergence", "robustness", "front")
HEAVY = ["png", "features"]  # made again in a second, and 99 % of the bytes


def study_named(name: str) -> Study:
    """The study of `treg-edu experiment NAME`."""
    return importlib.import_module(f".{checks.one_of('name', name, STUDIES).replace('-', '_')}", __package__).STUDY


def folder() -> Path:
    return files.data_folder() / "results"


def report(name: str) -> dict[str, Any]:
    """What a study found, as it wrote it to NAME.json.  name: of `STUDIES`."""
    return files.read_json(folder() / f"{study_named(name).name}.json", "name")


def rows(name: str) -> pd.DataFrame:
    """The rows that a study's tables were made from, one a reconstruction.  name: of `STUDIES`."""
    path = folder() / f"{study_named(name).name}.parquet"
    checks.expect(path.is_file(), "name", f"{name!r}, of which no results are stored", f"{path}", checks.MissingFileError)
    return pd.read_parquet(path)


def search(solver: str, instrument: str = "sr") -> dict[str, Any]:
    """What the search for a solver's settings found: {"start", "chosen", "at_the_edge", "trials", "settings"}, see `settings.run`."""
    path = folder() / f"settings_{checks.one_of('solver', solver, SOLVERS)}.json"
    checks.expect(path.is_file(), "solver", f"{solver!r}, of which no search is stored", f"{path}", checks.MissingFileError)
    found = files.read_json(path, "solver")["found"]
    return found[checks.one_of("instrument", instrument, found)]


def table(
    name: str, measurement: str, figures: Sequence[str] | None = None, arms: Sequence[str] | None = None, minus: bool = False
) -> pd.DataFrame:
    """A table of a stored study, a row an arm: means and 95 % intervals over pictures.

    name: of `STUDIES`.  figures, arms: which, in this order; what the study shows and all arms if None.
    minus: the differences to the study's baseline instead; a star marks p < 0.05 after Holm's correction over all of the measurement.
    """
    study, tables = study_named(name), report(name)["tables"]
    of_arms = tables[checks.one_of("measurement", measurement, tables)]
    there = {**FIGURES, **study.figures}
    chosen = {each: there[checks.one_of("figures", each, there)] for each in figures or study.shown or there}
    kept = [checks.one_of("arms", arm, of_arms) for arm in arms or of_arms]
    kept = [arm for arm in kept if of_arms[arm]["differences"]] if minus else kept
    which = "differences" if minus else "figures"
    return pd.DataFrame(
        {figure.title: [cell(of_arms[arm][which].get(each), figure) for arm in kept] for each, figure in chosen.items()}, kept
    )


def differences(
    name: str, measurement: str, figures: Sequence[str], arms: Sequence[str] | None = None
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """{figure's title: {arm: (mean, low, high)}}, the differences to the study's baseline as tables show them, for `figures.compared`.

    name, measurement, figures, arms: as in `table`; an arm without such a difference is left out.
    """
    study, tables = study_named(name), report(name)["tables"]
    of_arms, there = tables[checks.one_of("measurement", measurement, tables)], {**FIGURES, **study.figures}
    kept = [checks.one_of("arms", arm, of_arms) for arm in arms or of_arms]
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for each in figures:
        figure = there[checks.one_of("figures", each, there)]
        own = found.setdefault(f"{figure.title}, minus {study.baseline}", {})
        for arm in kept:
            if each in of_arms[arm]["differences"]:
                mean, low, high, _ = of_arms[arm]["differences"][each]
                own[arm] = figure.scale * mean, figure.scale * low, figure.scale * high
    return found


def keep(name: str, out: str | Path = "out") -> Path:
    """Put what `treg-edu experiment NAME --out OUT` found where the results that ship are: its rows without their pictures, and its report.

    The settings that a search chose for it are kept beside it.  A study with a trial's steps or of another prior is not kept: nobody
    could make its rows again.
    """
    study = study_named(name)
    found = files.read_json(Path(out) / f"{study.name}.json", "out")
    for option in ("steps", "prior", "texts"):
        given = found["options"][option]
        checks.expect(given is None, "out", f"a study with --{option} {given}", f"one of the bundled prior, without --{option}")
    searched = found["options"]["settings"]
    chosen = sorted(Path(searched).glob("settings_*.json")) if searched else []
    expected = "the folder of settings that the study was told"
    checks.expect(chosen or not searched, "out", f"a study with --settings {searched}, which is not there", expected)
    checks.expect(found["options"]["data"] == "emoji", "out", f"a study of {found['options']['data']!r}", "one of the bundled pictures")
    every = pd.read_parquet(Path(out) / f"{study.name}.parquet").drop(columns=HEAVY)
    options = checked(study, replace(options_of(found), settings=None))
    names = load_pictures(options.data, options.classes, options.images).names
    every = every[every["picture"].isin(names) & (every["seed"] % 1000 < options.seeds)]  # more may be there, of a longer run
    twice = every.duplicated(["measurement", "arm", "picture", "seed"]).any()
    checks.expect(not twice, "out", "rows of one arm with several settings or priors", "a folder in which the study ran once")
    small = dict.fromkeys(every.select_dtypes("float64"), np.float32)
    files.results_folder("name", folder())
    for file in chosen:
        files.write_text(folder() / file.name, file.read_text(encoding="utf-8"))
    files.write_text(folder() / f"{study.name}.json", json.dumps(rounded(found), ensure_ascii=False) + "\n")
    with files.written_beside(folder() / f"{study.name}.parquet") as beside:
        every.astype(small).to_parquet(beside, index=False, compression="zstd")
    return folder() / f"{study.name}.parquet"


def rounded(value: Any) -> Any:
    """A report with its numbers in six digits, a third of the bytes."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def options_of(found: dict[str, Any]) -> Options:
    """What a report says that the study was told."""
    return Options(**{field.name: found["options"][field.name] for field in fields(Options)})


def again(
    name: str, measurement: str, arm: str, picture: str, seeds: Sequence[int] | None = None, models: Models | None = None
) -> pd.DataFrame:
    """Stored reconstructions of one picture, made again: a row a seed and figure, with the columns "stored" and "again".

    name: of `STUDIES`.  measurement, arm, picture: as in its rows.  seeds: of the picture's own, 0, 1, …; all that are stored if None.
    """
    study, told, stored = study_named(name), report(name), rows(name)
    options = options_of(told)
    options = checked(study, replace(options, settings=folder() if options.settings else None))
    models = models or Models(options.prior, options.device)
    pictures = load_pictures(options.data, options.classes, options.images, square(models.prior), options.texts)
    setting = Setting(models.prior, pictures, models, options.settings)
    stored = stored[(stored["measurement"] == measurement) & (stored["arm"] == arm) & (stored["picture"] == picture)]
    wanted = f"some that {name} has stored"
    checks.expect(len(stored), "measurement, arm, picture", f"{measurement!r}, {arm!r}, {picture!r}", wanted)
    arms = [each for each in study.arms(setting) if (each.measurement.name, each.name) == (measurement, arm)]
    plan = [row for row in planned(study, arms, setting, options) if row.picture == picture]
    plan = plan if seeds is None else [row for row in plan if row.seed % 1000 in seeds]
    checks.expect(plan, "seeds", seeds, f"some of {sorted(set(stored['seed'] % 1000))}")
    came = f"settings, a prior or pictures that differ from those of the stored rows of {name}"
    checks.expect({row.hash for row in plan} <= set(stored["hash"]), "models", came, "the bundled prior, as recommended")
    now = solved(study, plan, setting, Grader(models.judge, pictures.choices))
    figures = [figure for figure in {**FIGURES, **study.figures} if figure in now and figure in stored]
    both = {"stored": stored.set_index("seed").loc[[row.seed for row in plan], figures], "again": now.set_index("seed")[figures]}
    return pd.DataFrame({which: each.stack() for which, each in both.items()}).rename_axis(["seed", "figure"])
