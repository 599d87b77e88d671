"""The command line: `treg-edu demo`, `solve`, `course`, `lab`, `experiment`, `bench`, `train`.

Imports that cost seconds are made inside the commands.
"""

from typing import Annotated

import typer

from .. import __version__
from . import course
from .errors import Program
from .playground import playground
from .solve import solve
from .studies import bench, demo, experiment_app
from .train import train_app

__all__ = ["app"]

HELP = """Text-regularized latent diffusion inverse solvers: a course, and the tool to try them on a picture of yours.

--debug, anywhere, shows the traceback of an error."""

app = typer.Typer(cls=Program, help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"treg_edu {__version__}")
        raise typer.Exit


@app.callback(help=HELP)
def program(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """The options of `treg-edu` itself."""


for command in (demo, solve, course.course, playground, bench):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(course.lab)
app.add_typer(experiment_app, name="experiment")
app.add_typer(train_app, name="train")
