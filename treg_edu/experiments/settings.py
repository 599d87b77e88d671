"""Which settings of TReg suit a prior: a search on the tuning pictures, for each instrument.

One setting is varied at a time, the others as found so far, beginning with the recommended ones. The candidates are compared on few
pictures first, and the better half of them on twice as many (successive halving, Jamieson & Talwalkar 2016). All are solved from the same
measurements and seeds, so that comparisons are paired. RULE says what is chosen; no measured time takes part in it.
"""

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .. import checks, files, metrics, operators
from .. import images as pictures
from ..consistency import is_consistency_step
from ..judge import Judge, load_judge
from ..operators import is_linear
from ..priors import LatentDiffusion, load_prior
from ..solvers import solve, treg
from . import common
from .common import SIGMA, Column

__all__ = ["COORDINATES", "INSTRUMENTS", "RULE", "Study", "choose", "cost", "front", "run", "search"]

Settings = dict[str, Any]

RULE = """Of the settings in the last comparison: those whose perceptual distance cannot be told from the least (paired 95 % interval over
pictures); of these, those whose judge's top-1 cannot be told from the best; of these, those whose misfit is within a tenth of the least; of
these the cheapest, counted in calls of networks; of these the least perceptual distance."""

COORDINATES: dict[str, tuple[Settings, ...]] = {
    "guidance_scale": tuple({"guidance_scale": scale} for scale in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)),
    "consistency": tuple(
        {"every": every, "since": since, "until": until} for every in (1, 2, 3) for since, until in ((0.0, 1.0), (0.0, 0.85), (0.15, 1.0))
    ),
    "null_prompt": tuple({"null_prompt": text} for text in ("", "out of focus, depth of field", "blurry")),
    "negation": (
        {"negation": None, "negation_learning_rate": 1e-3},
        *({"negation": space, "negation_learning_rate": rate} for space in ("hidden", "projected") for rate in (1e-3, 3e-3)),
    ),
    "lam": tuple({"lam": lam} for lam in (1e-5, 1e-4, 1e-3, 1e-2)),
    "iterations": tuple({"iterations": iterations} for iterations in (2, 5, 10, 20)),
    "steps": tuple({"steps": steps} for steps in (15, 25, 50)),
}
"""What is varied, in this order."""
NONLINEAR = {"iterations": tuple({"iterations": iterations} for iterations in (10, 25, 50, 100))}
"""What is varied otherwise where the operator is nonlinear."""
VARIED = {name for candidates in COORDINATES.values() for changes in candidates for name in changes}
PASSES = 2  # over all coordinates; the second is left out where the first has changed nothing
FEWEST = 8  # pictures of a first comparison
FIGURES = ("distance", "top1", "misfit", "psnr", "seconds")


def two_boxes() -> operators.Inpainting:
    """The eyes and the mouth, as in notebook 07."""
    eyes, mouth = operators.Inpainting.box(64, 20, 10, 14, 44), operators.Inpainting.box(64, 42, 18, 14, 28)
    return operators.Inpainting(eyes.mask * mouth.mask)


INSTRUMENTS: dict[str, Callable[[], Any]] = {
    "sr": lambda: operators.SuperResolution(16),
    "blur": lambda: operators.GaussianBlur(sigma=5.0, kernel_size=61),
    "boxes": two_boxes,
    "gamma": operators.GammaCorrection,
    "phase": operators.FourierMagnitude,
}

# One reconstruction a row


def name_of(settings: Mapping[str, Any]) -> str:
    """Settings as a text, the same for equal ones."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)


def start_of(recommended: Mapping[str, Any], linear: bool) -> Settings:
    """Where a search begins: what the prior recommends, and the defaults of `treg` for what is varied besides."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(treg).parameters.items() if name in VARIED}
    return defaults | {"iterations": 5 if linear else 50} | dict(recommended)


def cost(settings: Mapping[str, Any]) -> int:
    """Calls of networks for one picture: the U-Net's, one a step without guidance, two with; and one for each consistency step."""
    steps, window = settings["steps"], (settings["every"], settings["until"], settings["since"])
    return steps * (1 if settings["guidance_scale"] == 1 else 2) + sum(is_consistency_step(i, steps, *window) for i in range(steps))


def fingerprint(prior: LatentDiffusion) -> str:
    """A prior's weights, in twelve digits: rows of another prior are not compared with this one's."""
    seen = hashlib.sha256()
    for network in (prior.vae, prior.unet, prior.text_encoder, prior.clip):
        for value in network.state_dict().values():
            seen.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return seen.hexdigest()[:12]


class Study:
    """The reconstructions of a search, in `settings.parquet` of a folder as soon as a batch is there.

    Picture i is solved with the seeds 1000 i, 1000 i + 1, …; a study that was killed goes on where its file ends.
    """

    def __init__(self, folder: Path, prior: LatentDiffusion, judge: Judge, images: int, seeds: int) -> None:
        self.folder, self.prior, self.judge, self.seeds = folder, prior, judge, seeds
        self.x, self.labels = pictures.tuning(images)
        self.names = list(dict.fromkeys(pictures.captions()["label"]))
        self.of_prior = fingerprint(prior)
        path = folder / "settings.parquet"
        self.parts = [pd.read_parquet(path)] if path.is_file() else []

    def rows(self, instrument: str, settings: Settings, count: int) -> pd.DataFrame:
        """Those of the first `count` pictures; what is lacking is solved first, whole pictures of all seeds at a time."""
        operator, name, at_once = INSTRUMENTS[instrument](), name_of(settings), max(common.BATCH // self.seeds, 1)
        for first in range(0, count, at_once):
            there = set(self.found(instrument, name)["picture"])
            lacking = [i for i in range(first, min(first + at_once, count)) if i not in there]
            if lacking:
                self.parts.append(
                    self.solved(operator, lacking, settings).assign(prior=self.of_prior, instrument=instrument, settings=name)
                )
                common.write_rows(self.folder, "settings", pd.concat(self.parts, ignore_index=True))
        found = self.found(instrument, name)
        return found[found["picture"] < count].sort_values(["picture", "seed"], ignore_index=True)

    def found(self, instrument: str, name: str) -> pd.DataFrame:
        """The rows there are, of pictures that have one for each seed."""
        self.parts = [pd.concat(self.parts, ignore_index=True)] if self.parts else [pd.DataFrame({"picture": [], "seed": []})]
        rows = self.parts[0]
        if rows.empty:
            return rows
        own = (rows["prior"] == self.of_prior) & (rows["instrument"] == instrument) & (rows["settings"] == name)
        rows = rows[own & (rows["seed"] < 1000 * rows["picture"] + self.seeds)]
        return rows[rows.groupby("picture")["seed"].transform("count") == self.seeds]

    def solved(self, operator: Any, chosen: Sequence[int], settings: Settings) -> pd.DataFrame:
        """Pictures solved and graded: a row a reconstruction.  seconds: of the batch, shared equally."""
        y = common.measured(operator, self.x)  # of all: the noise of a picture is by its place
        each = [i for i in chosen for _ in range(self.seeds)]
        seeds = [1000 * i + s for i in chosen for s in range(self.seeds)]
        began = time.perf_counter()
        x_hat = solve(treg, self.prior, operator, y[each], [self.labels[i] for i in each], progress=False, seed=seeds, **settings)
        seconds = time.perf_counter() - began
        x_hat = x_hat.float().cpu()
        names, _ = metrics.top_k(self.judge, x_hat, self.names, k=1)
        return pd.DataFrame(
            {
                "picture": each,
                "label": [self.labels[i] for i in each],
                "seed": seeds,
                "distance": metrics.perceptual_distance(self.judge, self.x[each], x_hat).tolist(),
                "top1": [found == self.labels[i] for (found,), i in zip(names, each)],
                "misfit": (metrics.misfit(operator, x_hat, y[each]) / SIGMA).tolist(),
                "psnr": metrics.psnr(x_hat, self.x[each]).tolist(),
                "seconds": seconds / len(each),
            }
        )

    def per_picture(self, instrument: str, settings: Settings, count: int) -> pd.DataFrame:
        """FIGURES of the first `count` pictures, means over their seeds: a row a picture."""
        return self.rows(instrument, settings, count).groupby("picture")[list(FIGURES)].mean()


# The search


def rungs(images: int) -> list[int]:
    """How many pictures the comparisons of one coordinate see: a quarter, a half, all; FEWEST at least."""
    return sorted({count for count in (images // 4, images // 2) if count >= FEWEST} | {images})


def choose(seen: Mapping[str, pd.DataFrame]) -> str:
    """RULE.  seen: {settings as a text: a row a picture, the same pictures for all}."""
    left = list(seen)
    for column, sign in (("distance", 1), ("top1", -1)):
        best = min(left, key=lambda name: sign * seen[name][column].mean())
        left = [name for name in left if not worse(sign * seen[name][column], sign * seen[best][column])]
    least = min(seen[name]["misfit"].mean() for name in left)
    left = [name for name in left if seen[name]["misfit"].mean() <= 1.1 * least]
    return min(left, key=lambda name: (cost(json.loads(name)), seen[name]["distance"].mean()))


def worse(values: pd.Series, others: pd.Series) -> bool:
    """Whether a mean is above another: the 95 % interval of the paired differences lies above 0."""
    return metrics.confidence_interval((values - others).to_numpy())[1] > 0


def halved(seen: Mapping[str, pd.DataFrame], keep: str) -> list[str]:
    """The better half by perceptual distance, and `keep`, which stays."""
    ranked = sorted(seen, key=lambda name: seen[name]["distance"].mean())
    better = ranked[: (len(ranked) + 1) // 2]
    return [name for name in seen if name in better or name == keep]


def search(study: Study, instrument: str, coordinates: Mapping[str, Sequence[Settings]] | None = None) -> Settings:
    """The settings that RULE leads to, coordinate by coordinate."""
    linear = is_linear(INSTRUMENTS[instrument]())
    varied = dict(coordinates or COORDINATES | ({} if linear else NONLINEAR))
    best = start_of(study.prior.recommended["treg"], linear)
    for _ in range(PASSES):
        before = best
        for candidates in varied.values():
            names = list(dict.fromkeys([name_of(best), *(name_of(best | changes) for changes in candidates)]))
            for count in rungs(len(study.x)):
                seen = {name: study.per_picture(instrument, json.loads(name), count) for name in names}
                names = halved(seen, name_of(best))
            best = json.loads(choose({name: seen[name] for name in seen}))
        if best == before:
            break
    return best


# Results


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points no other is at least as good as in both, and better in one (Pareto); small is good."""
    return [not any(other != point and all(a <= b for a, b in zip(other, point)) for other in points) for point in points]


def table(study: Study, instrument: str) -> list[dict[str, Any]]:
    """A row a setting that all pictures were solved with: means with 95 % intervals over pictures, its cost, whether it is on the front."""
    rows = pd.concat(study.parts, ignore_index=True)
    rows = rows[(rows["prior"] == study.of_prior) & (rows["instrument"] == instrument) & (rows["picture"] < len(study.x))]
    found = []
    for name in rows["settings"].unique():
        if study.found(instrument, name)["picture"].nunique() >= len(study.x):
            means = study.per_picture(instrument, json.loads(name), len(study.x))
            intervals = {column: metrics.confidence_interval(means[column].to_numpy()) for column in FIGURES}
            found.append({"settings": json.loads(name), "cost": cost(json.loads(name))} | intervals)
    on_front = front([(row["seconds"][0], row["distance"][0]) for row in found])
    return [row | {"front": on} for row, on in zip(found, on_front)]


COLUMNS = {
    "distance": Column("perceptual distance", "{:.2f}"),
    "top1": Column("judge top-1", "{:.0%}"),
    "misfit": Column("misfit / σ", "{:.1f}"),
    "psnr": Column("PSNR, dB", "{:.1f}"),
    "seconds": Column("seconds", "{:.2f}"),
}


def told(settings: Mapping[str, Any], start: Mapping[str, Any]) -> str:
    """What differs from the settings that the search began with."""
    return ", ".join(f"{name} {value!r}" for name, value in settings.items() if value != start.get(name)) or "recommended"


def run(
    images: int = 96, seeds: int = 2, instruments: Collection[str] = tuple(INSTRUMENTS), out: str | Path = "out", device: str = "cpu"
) -> dict[str, Any]:
    """Search for each instrument, and print the settings on the front of quality and seconds.

    Writes to the folder `out` `settings.parquet`, a row a reconstruction, as it goes; `settings.json`, what was chosen and the table of
    means; `settings.png`, quality against time.
    """
    from .. import figures

    seeds = checks.integer("seeds", seeds, 1, 1000)
    images = checks.integer("images", images, 2, len(pictures.of_split(pictures.captions(), "tuning")))
    chosen = [checks.one_of("instruments", name, INSTRUMENTS) for name in instruments]
    checks.expect(chosen, "instruments", "none", f"some of {', '.join(INSTRUMENTS)}")
    folder = files.results_folder("out", out)
    study = Study(folder, load_prior(device=device), load_judge(device=device), images, seeds)
    report: dict[str, Any] = {"images": images, "seeds": seeds, "prior": study.of_prior, "rule": " ".join(RULE.split()), "found": {}}
    for instrument in chosen:
        best = search(study, instrument)
        report["found"][instrument] = {"chosen": best, "settings": table(study, instrument)}
        common.write_report(folder, "settings", report)
    points = {
        instrument: [(*row["seconds"][:1], row["distance"], row["front"], row["settings"] == found["chosen"]) for row in found["settings"]]
        for instrument, found in report["found"].items()
    }
    files.write_figure(folder / "settings.png", figures.quality_and_time(points))
    for instrument, found in report["found"].items():
        start = start_of(study.prior.recommended["treg"], is_linear(INSTRUMENTS[instrument]()))
        shown = [
            row for row in sorted(found["settings"], key=lambda row: row["seconds"]) if row["front"] or row["settings"] == found["chosen"]
        ]
        named = {told(row["settings"], start) + (" ← chosen" if row["settings"] == found["chosen"] else ""): row for row in shown}
        title = f"{instrument}: the front of perceptual distance and seconds, {images} tuning pictures × {seeds} seeds, σ = {SIGMA}"
        common.print_table(title, {name: {column: row[column] for column in COLUMNS} for name, row in named.items()}, COLUMNS)
    return report
