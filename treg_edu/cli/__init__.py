"""The command line: `treg-edu solve`, `demo`, `experiment`, `bench`, `lab`, `train`.

Imports that cost seconds are made inside the commands.
"""

import typer

from .course import lab
from .solve import solve
from .studies import bench, demo, experiment_app
from .train import train_app

HELP = "Text-regularized latent diffusion inverse solvers: a course, and the tool to try them on a picture of yours."

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for command in (solve, demo, bench):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab)
app.add_typer(experiment_app, name="experiment")
app.add_typer(train_app, name="train")
