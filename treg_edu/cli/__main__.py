"""`python -m treg_edu.cli`: the same as `treg-edu`."""

from . import app

app()
