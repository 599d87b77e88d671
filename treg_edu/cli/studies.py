"""`treg-edu demo`, `experiment` and `bench`."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .errors import one_line_errors
from .options import Device, check_device

experiment_app = typer.Typer(help="The studies of the course.", no_args_is_help=True, rich_markup_mode=None)


def study(module: str, function: str, told: str, images: int = 32, least: int = 2) -> Callable[..., None]:
    """The command of `experiments.MODULE.FUNCTION`.  told: its help.  images: how many if not given.  least: the fewest seeds it takes."""

    @one_line_errors
    def command(
        images: Annotated[int, typer.Option(min=2, help="How many held-out pictures.")] = images,
        seeds: Annotated[int, typer.Option(min=least, max=1000, help="Reconstructions of each.")] = 8,
        out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out"),
        device: Device = "cpu",
    ) -> None:
        check_device(device)
        run = getattr(importlib.import_module(f"treg_edu.experiments.{module}"), function)
        run(images=images, seeds=seeds, out=out, device=device)

    command.__name__, command.__doc__ = function, told
    return command


demo = study("quick", "demo", "Reconstruct held-out pictures with their text and without.", images=3)


@experiment_app.callback()
def experiment() -> None:
    """The studies of the course."""


of_phase = "Which symmetric copy phase retrieval finds: with text, without, and by HIO."
experiment_app.command("quick")(study("quick", "run", "The paper's main comparison, in minutes."))
experiment_app.command("phase")(study("phase", "run", of_phase, least=1))


@experiment_app.command("settings")
@one_line_errors
def settings(
    solver: Annotated[str, typer.Option(help="Whose settings; see `treg-edu solve --help`.")] = "treg",
    images: Annotated[int, typer.Option(min=2, help="How many tuning pictures.")] = 96,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Reconstructions of each.")] = 2,
    instruments: Annotated[
        str | None, typer.Option(help="Of sr, blur, boxes, gamma, phase, separated by commas; all that the solver takes if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; a search that was killed goes on in it.")] = Path("out"),
    device: Device = "cpu",
) -> None:
    """Search for the settings of a solver that suit the prior, on the tuning pictures; hours."""
    from treg_edu.experiments import settings

    check_device(device)
    names = None if instruments is None else instruments.split(",")
    settings.run(solver=solver, images=images, seeds=seeds, instruments=names, out=out, device=device)


@one_line_errors
def bench(repetitions: Annotated[int, typer.Option(min=1, max=1000, help="Timings of each side; medians are compared.")] = 5) -> None:
    """Measure speed on this machine, as ratios: solvers, operators, imports.

    Operators are compared with deepinv's where `import deepinv` works, which needs a torchvision that fits torch. In a checkout
    `make bench` compares them without torchvision.
    """
    from treg_edu import bench

    bench.run(repetitions=repetitions)
