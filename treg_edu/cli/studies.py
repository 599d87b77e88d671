"""`treg-edu demo`, `experiment` and `bench`."""

from pathlib import Path
from typing import Annotated

import typer

from .errors import one_line_errors
from .options import Device, check_device

experiment_app = typer.Typer(help="The studies of the course.", no_args_is_help=True, rich_markup_mode=None)


@one_line_errors
def demo(
    images: Annotated[int, typer.Option(min=2, help="How many held-out pictures.")] = 3,
    seeds: Annotated[int, typer.Option(min=2, help="Reconstructions of each.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("out"),
    device: Device = "cpu",
) -> None:
    """Reconstruct held-out pictures with their text and without."""
    from treg_edu.experiments import quick

    check_device(device)
    quick.demo(images=images, seeds=seeds, out=out, device=device)


@experiment_app.callback()
def experiment() -> None:
    """The studies of the course."""


@experiment_app.command("quick")
@one_line_errors
def experiment_quick(
    images: Annotated[int, typer.Option(min=2, help="How many held-out pictures.")] = 32,
    seeds: Annotated[int, typer.Option(min=2, help="Reconstructions of each.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("out"),
    device: Device = "cpu",
) -> None:
    """The paper's main comparison, in minutes."""
    from treg_edu.experiments import quick

    check_device(device)
    quick.run(images=images, seeds=seeds, out=out, device=device)


@experiment_app.command("phase")
@one_line_errors
def experiment_phase(
    images: Annotated[int, typer.Option(min=2, help="How many held-out pictures.")] = 32,
    seeds: Annotated[int, typer.Option(min=1, help="Retrievals of each.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("out"),
    device: Device = "cpu",
) -> None:
    """Which symmetric copy phase retrieval finds: with text, without, and by HIO."""
    from treg_edu.experiments import phase

    check_device(device)
    phase.run(images=images, seeds=seeds, out=out, device=device)


@one_line_errors
def bench(repetitions: Annotated[int, typer.Option(min=1, help="Timings of each side; medians are compared.")] = 5) -> None:
    """Measure speed on this machine, as ratios: solvers, operators, imports.

    Operators are compared with deepinv's where `import deepinv` works, which needs a torchvision that fits torch. In a checkout
    `make bench` compares them without torchvision.
    """
    from treg_edu import bench

    bench.run(repetitions=repetitions)
