"""`treg-edu lab`."""

import subprocess
import sys
from pathlib import Path

import typer

from ..checks import expect
from .errors import one_line_errors


@one_line_errors
def lab(context: typer.Context):
    """Open the course in JupyterLab; further arguments are passed on to it."""
    notebooks = Path(__file__).resolve().parents[2] / "notebooks"
    expect(notebooks.is_dir(), "notebooks", f"no folder {str(notebooks)!r}", "a checkout of the repository")
    raise typer.Exit(subprocess.call([sys.executable, "-m", "jupyterlab", str(notebooks), *context.args]))
