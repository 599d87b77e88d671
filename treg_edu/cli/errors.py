"""What a command says when something goes wrong, all of it.

What a user can mend is one line on stderr, `error: name: got …, expected …`, and exit code 2; `--debug` shows its traceback as well.
A bug is a traceback and exit code 1.  SIGTERM and SIGHUP end a command as Ctrl-C does, with its cleaning up.
A command never ends because printing failed: characters that a stream lacks are replaced, and what cannot be printed is dropped.
"""

import errno
import functools
import io
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from ..checks import ArgumentError, expect

__all__ = ["Program", "naming", "one_line_errors", "without_native_messages"]

LONGEST_TEXT = 10_000

OF_EXTRAS = {"accelerate": "train", "resvg_py": "train", "sphinx_revealjs": "teach", "sphinx_mathjax_offline": "teach"}
"""{module: the extra that brings it}"""


class Program(TyperGroup):
    """The group of all commands: `main` runs one of them under the rules of this module."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        args = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in args and args[0] != "lab"  # JupyterLab has a --debug of its own
        if debug:
            args.remove("--debug")
        with steady_streams() as streams, ended_by_signals():
            try:
                code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
            except Exception as error:
                line = line_of(error)
                if line is None:
                    raise
                if debug:
                    traceback.print_exception(error)
                print(line, file=sys.stderr)
                code = 2
            code = code if isinstance(code, int) else 0
            for name, stream in zip(("stdout", "stderr"), streams):
                stream.flush()
                if stream.failure is not None and stream.failure.errno != errno.EPIPE:  # a reader may have enough, such as head
                    print(f"error: {name}: cannot be written to ({stream.failure.strerror}); files are not affected", file=sys.stderr)
                    code = code or 2
        sys.exit(code)


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with its texts looked at before it starts, and its warnings in one line each."""

    @functools.wraps(command)
    def wrapped(*args: Any, **given: Any) -> None:
        check_texts({name: value for name, value in given.items() if isinstance(value, (str, Path))})
        check_texts({"TREG_EDU_DATA": os.environ.get("TREG_EDU_DATA", "")})
        with one_line_warnings():
            command(*args, **given)

    return wrapped


def check_texts(given: dict[str, str | Path]) -> None:
    """Texts that every library takes; a path may also hold bytes that are no text, as file systems do."""
    for name, value in given.items():
        text = str(value)
        expect(len(text) <= LONGEST_TEXT, name, f"{len(text)} characters", f"at most {LONGEST_TEXT}")
        expect("\0" not in text, name, ascii(text), "a text without NUL characters")
        is_text = isinstance(value, Path) or not re.search("[\ud800-\udfff]", text)
        expect(is_text, name, f"{text!a}, which holds bytes that are no text in this locale", "a text")


def line_of(error: Any) -> str | None:
    """The line about an error that the user can mend; None for a bug."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.format_message()
    if isinstance(error, typer.TyperException):  # an option that does not exist, a value that is no number
        text = usage_error(error)
    elif isinstance(error, OSError) and not isinstance(error, ArgumentError) and error.strerror:
        text = f"path: got {os.fsdecode(error.filename or 'a file')!a} ({error.strerror}), expected one that can be used"
    elif isinstance(error, (ArgumentError, OSError, FloatingPointError)):
        text = str(error)
    elif isinstance(error, ModuleNotFoundError) and error.name in OF_EXTRAS:
        text = f"{error.name} is not installed; the extra brings it: pip install 'treg_edu[{OF_EXTRAS[error.name]}]'"
    elif isinstance(error, UnicodeEncodeError) and re.search("[\ud800-\udfff]", error.object):
        text = f"path: got {error.object!a}, which holds bytes that are no text in this locale, expected a text"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
        text = "device: it ran out of memory, expected fewer --seeds, a smaller --size, or --dtype float16"
    else:
        return None
    return f"error: {' '.join(text.split())}"


def usage_error(error: Any) -> str:
    """What typer says about the options, under the option's own name."""
    parameter, option = getattr(error, "param", None), getattr(error, "option_name", "")
    if parameter is not None:
        name = parameter.opts[0].lstrip("-") if parameter.opts[0].startswith("-") else parameter.opts[0].upper()
        return f"{name}: {error.message or 'got nothing, expected a value'}"
    if hasattr(error, "possibilities"):
        near = f", such as {', '.join(sorted(error.possibilities))}" if error.possibilities else ""
        return f"option: got {option!a}, expected one that --help lists{near}"
    if option:
        return f"{option.lstrip('-')}: {error.message}"
    return f"{'command' if error.message.startswith('No such command') else 'arguments'}: {error.message}"


@contextmanager
def naming(argument: str, *others: str) -> Iterator[None]:
    """Errors about a `path` or a `name`, told under the argument that the user gave it by.  others: arguments that keep their names."""
    try:
        yield
    except (ArgumentError, OSError) as error:
        if str(error).startswith(tuple(f"{name}: " for name in others)):
            raise
        raise ArgumentError(f"{argument}: {re.sub(f'^(path|name|folder|{argument}): ', '', str(error))}") from error


@contextmanager
def without_native_messages() -> Iterator[None]:
    """Without what a decoder itself writes to stderr, as libtiff does: Pillow raises as well.  Warnings come afterwards."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    with warnings.catch_warnings(record=True) as given:
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nothing)
    for warning in given:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Each UserWarning, once, as one line on stderr without the place in the code that gave it, and clear of a progress bar."""
    from tqdm import tqdm

    told = set()

    def show(message: Any, category: Any, *place: Any, **more: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            tqdm.write(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = show
        yield


class SteadyStream:
    """A text stream that never fails: a character it lacks is replaced; after a failure to write the rest is dropped."""

    def __init__(self, stream: Any) -> None:
        self.stream = io.StringIO() if stream is None else stream  # None: it was closed before the start
        self.failure: OSError | None = None
        if hasattr(self.stream, "reconfigure"):
            self.stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self.stream.flush)

    def _try(self, action: Callable[[], Any]) -> None:
        if self.failure is None:
            try:
                action()
            except OSError as error:
                self.failure = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def steady_streams() -> Iterator[tuple[SteadyStream, SteadyStream]]:
    """stdout and stderr as steady streams; where one has failed it stays one, so that nothing is written at exit."""
    before = sys.stdout, sys.stderr
    steady = SteadyStream(sys.stdout), SteadyStream(sys.stderr)
    sys.stdout, sys.stderr = steady
    try:
        yield steady
    finally:
        sys.stdout, sys.stderr = (old if new.failure is None else new for old, new in zip(before, steady))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit(128 + n), so that a command cleans up; a signal that was ignored (nohup) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
