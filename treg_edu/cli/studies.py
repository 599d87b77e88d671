"""`treg-edu demo`, `experiment` and `bench`."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .errors import one_line_errors
from .options import Device, check_device

experiment_app = typer.Typer(help="The studies of the course.", no_args_is_help=True, rich_markup_mode=None)


def study(module: str, function: str, told: str, images: int = 32) -> Callable[..., None]:
    """The command of `experiments.MODULE.FUNCTION`.  told: its help.  images: how many if not given."""

    @one_line_errors
    def command(
        images: Annotated[int, typer.Option(min=2, help="How many held-out pictures.")] = images,
        seeds: Annotated[int, typer.Option(min=2, max=1000, help="Reconstructions of each.")] = 8,
        out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out"),
        device: Device = "cpu",
    ) -> None:
        check_device(device)
        run = getattr(importlib.import_module(f"treg_edu.experiments.{module}"), function)
        run(images=images, seeds=seeds, out=out, device=device)

    command.__name__, command.__doc__ = function, told
    return command


def names(text: str | None) -> list[str] | None:
    """ "a, b" → ["a", "b"]."""
    return None if text is None else [each.strip() for each in text.split(",")]


def study_of_arms(module: str, told: str, images: int = 48, seeds: int = 2, least: int = 1) -> Callable[..., None]:
    """The command of `experiments.MODULE.run`, a study on the shared parts.

    told: its help.  images, seeds: how many if not given.  least: the fewest seeds that it takes.
    """

    @one_line_errors
    def command(
        prior: Annotated[str | None, typer.Option(help="A folder or hub name; the bundled prior if not given.")] = None,
        data: Annotated[str, typer.Option(help="emoji, the held-out drawings; or a folder of photographs.")] = "emoji",
        classes: Annotated[str | None, typer.Option(help="Labels, or class folders, separated by commas; all if not given.")] = None,
        texts: Annotated[
            str | None, typer.Option(help="For a folder: a CSV file with columns file,text or class,text; or one text for all.")
        ] = None,
        solvers: Annotated[str | None, typer.Option(help="Which, separated by commas; TReg stays. All if not given.")] = None,
        instruments: Annotated[str | None, typer.Option(help="Of sr, blur, boxes, gamma, phase, separated by commas.")] = None,
        settings: Annotated[Path | None, typer.Option(help="The --out of `experiment settings`, for what it chose.")] = None,
        images: Annotated[int, typer.Option(min=2, help="How many pictures.")] = images,
        seeds: Annotated[int, typer.Option(min=least, max=1000, help="Reconstructions of each.")] = seeds,
        steps: Annotated[int | None, typer.Option(min=1, help="Timesteps, for a trial; those that suit the prior if not given.")] = None,
        out: Annotated[Path, typer.Option(help="Folder for the results; a study that was killed goes on in it.")] = Path("out"),
        device: Device = "cpu",
    ) -> None:
        check_device(device)
        given = {"prior": prior, "data": data, "texts": texts, "settings": settings, "steps": steps, "out": out, "device": device}
        lists = {"classes": names(classes), "solvers": names(solvers), "instruments": names(instruments)}
        importlib.import_module(f"treg_edu.experiments.{module}").run(**given, **lists, images=images, seeds=seeds)

    command.__name__, command.__doc__ = module, told
    return command


demo = study("quick", "demo", "Reconstruct held-out pictures with their text and without.", images=3)


@experiment_app.callback()
def experiment() -> None:
    """The studies of the course."""


experiment_app.command("quick")(study("quick", "run", "The paper's main comparison, in minutes."))

STUDIES = {
    "accuracy": study_of_arms("accuracy", "How near every solver comes to the truth, told the true class, and what it costs; hours."),
    "other-class": study_of_arms("other_class", "What a wrong text makes of a measurement: one that could be true, one that contradicts."),
    "ambiguity": study_of_arms("ambiguity", "How far reconstructions of one measurement spread, with text and without.", 48, 10, 2),
    "phase": study_of_arms("phase", "Which symmetric copy phase retrieval finds, by text, without, and by HIO; and gamma.", 32, 8),
    "parts": study_of_arms("parts", "TReg taken apart: each part exchanged alone, at two guidance scales."),
    "negation": study_of_arms("negation", "Which direction of adaptive negation does what, how far, when, beside which null text.", 24),
    "wording": study_of_arms("wording", "The right text in other words, misspelt, too general, too long; and a wrong one.", 46),
    "convergence": study_of_arms("convergence", "Whether the alternation settles, and what the number of steps does.", 16),
    "front": study_of_arms("front", "Quality against time, for every solver and 4 to 100 steps; many hours.", 24, 1),
    "robustness": study_of_arms("robustness", "More noise, wrong noise, a wrong kernel, JPEG, photons, other pictures.", 24),
}
for name, command in STUDIES.items():
    experiment_app.command(name)(command)


@experiment_app.command("keep")
@one_line_errors
def keep(
    name: Annotated[str, typer.Argument(help=f"Of {', '.join(STUDIES)}.")],
    out: Annotated[Path, typer.Option(help="Folder in which the study has run.")] = Path("out"),
) -> None:
    """Put the results of a study into data/results, for the notebooks: rows without pictures, and the report."""
    from treg_edu.experiments import stored

    print(stored.keep(name, out))


@experiment_app.command("settings")
@one_line_errors
def settings(
    solver: Annotated[str, typer.Option(help="Whose settings; see `treg-edu solve --help`.")] = "treg",
    images: Annotated[int, typer.Option(min=2, help="How many tuning pictures; a trial sees a quarter of them.")] = 48,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Reconstructions of each.")] = 1,
    trials: Annotated[int, typer.Option(min=2, help="How many settings are tried for each instrument.")] = 32,
    instruments: Annotated[
        str | None, typer.Option(help="Of sr, blur, boxes, gamma, phase, separated by commas; all that the solver takes if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; a search that was killed goes on in it.")] = Path("out"),
    device: Device = "cpu",
) -> None:
    """Search for the settings of a solver that suit the prior, on the tuning pictures; hours."""
    from treg_edu.experiments import settings

    check_device(device)
    settings.run(solver=solver, images=images, seeds=seeds, trials=trials, instruments=names(instruments), out=out, device=device)


@one_line_errors
def bench(repetitions: Annotated[int, typer.Option(min=1, max=1000, help="Timings of each side; medians are compared.")] = 5) -> None:
    """Measure speed on this machine, as ratios: solvers, operators, imports.

    Operators are compared with deepinv's where `import deepinv` works, which needs a torchvision that fits torch. In a checkout
    `make bench` compares them without torchvision.
    """
    from treg_edu import bench

    bench.run(repetitions=repetitions)
