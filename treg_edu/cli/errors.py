"""What a user got wrong, told in one line on stderr that names the argument, with exit code 2.  `--debug` shows the traceback."""

import functools
import re
import sys
import warnings
from contextlib import contextmanager

import typer

from ..checks import ArgumentError

OF_TRAINING = ("accelerate", "resvg_py")
"""The modules of the extra "train"."""


def one_line_errors(command):
    """The command, with what a user got wrong told in one line on stderr, and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            with one_line_warnings():
                return command(*args, **kwargs)
        except (ArgumentError, OSError, FloatingPointError) as error:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from None
        except ModuleNotFoundError as error:
            if error.name not in ("accelerate", "resvg_py"):  # of the extra "train"
                raise
            typer.echo(f"error: {error.name} is not installed; the extra brings it: pip install 'treg_edu[train]'", err=True)
            raise typer.Exit(2) from None
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":  # torch's, by its name: this module starts without torch
                raise
            typer.echo("error: device: it ran out of memory, expected fewer --seeds, a smaller --size, or --dtype float16", err=True)
            raise typer.Exit(2) from None

    return wrapped


@contextmanager
def one_line_warnings():
    """Each UserWarning, once, as one line on stderr without the place in the code that gave it, and clear of a progress bar."""
    from tqdm import tqdm

    told = set()

    def show(message, category, *place, **more):
        if str(message) not in told:
            told.add(str(message))
            tqdm.write(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = show
        yield


@contextmanager
def naming(argument):
    """Errors about a `path` or a `name`, told under the argument that the user gave it by."""
    try:
        yield
    except (ArgumentError, OSError) as error:
        raise ArgumentError(f"{argument}: {re.sub('^(path|name): ', '', str(error))}") from error
