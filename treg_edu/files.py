"""The folder of what ships, and the one way in which files are written: whole, or not at all."""

import errno
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import checks

__all__ = [
    "PACKAGE",
    "PART",
    "check_writable",
    "data_folder",
    "is_leftover",
    "json_text",
    "read_json",
    "remove_empty",
    "results_folder",
    "shipped",
    "write_figure",
    "write_text",
    "written_beside",
    "written_folder",
]

PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """`data`, `notebooks` or `docs`: inside the package where a wheel put it, else beside the package in a checkout."""
    return PACKAGE / name if (PACKAGE / name).is_dir() else PACKAGE.parent / name


def data_folder() -> Path:
    """Where the shipped data lies: the folder named by TREG_EDU_DATA, else `data/`."""
    named = os.environ.get("TREG_EDU_DATA")
    return Path(named) if named else shipped("data")


# One file


@contextmanager
def written_beside(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside `path` to write to, in a folder made if need be; it takes its place at the end, and is removed if writing fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name[:40]}-{secrets.token_hex(8)}.part")  # mkstemp would make it private
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write UTF-8.  A character that UTF-8 cannot hold, such as a byte of a file's name that is no text, is written as an escape."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return Path(path)


def write_figure(path: str | os.PathLike, figure: Any) -> Path:
    """Write a matplotlib figure as PNG."""
    with written_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=110)
    return Path(path)


def json_text(value: Any) -> str:
    """JSON as the standard has it: a number that is not finite (the PSNR of equal images) becomes null, a path its name."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(name): plain(entry) for name, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(entry) for entry in value]
        if isinstance(value, os.PathLike):
            return str(value)
        if hasattr(value, "tolist"):  # numpy's and torch's
            return plain(value.tolist())
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: str | os.PathLike, name: str = "path") -> Any:
    """What a JSON file holds.  name: the argument that led to it, for the error."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        checks.fail(name, f"{str(path)!r}, which is no JSON ({error})", "a complete JSON file")


# A folder of results


def check_writable(name: str, out: Path, most_bytes: int = 0) -> None:
    """A folder, there or not, that files can be written to: its path is made on trial, and nothing of that is left.

    name: the argument, for the error.  most_bytes: how much will be written.
    """
    most_bytes = checks.integer("most_bytes", most_bytes, 0)
    try:
        home = next((parent for parent in (out, *out.parents) if parent.exists()), None)
        if home is None:
            checks.fail(name, f"{str(out)!r}, on a drive that does not exist", "a folder, new or empty")
        free = shutil.disk_usage(home).free
        checks.expect(free >= most_bytes, name, f"{str(out)!r} on a disk with {free} bytes left", f"{most_bytes} free bytes")
        with tempfile.TemporaryDirectory(prefix=PART, dir=home) as trial:
            (Path(trial) / out.relative_to(home)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        checks.fail(name, f"{str(out)!r}, which cannot be made or written to ({error.strerror})", "a folder, new or empty")


def results_folder(name: str, out: str | os.PathLike) -> Path:
    """The folder of results to come: made and written to on trial before anything is computed.  name: the argument, for the error."""
    folder = Path(out)
    checks.expect(folder.is_dir() or not os.path.lexists(folder), name, f"{str(out)!r}, which is a file", "a folder, new or not")
    check_writable(name, folder)
    return folder


@contextmanager
def written_folder(out: Path, results: tuple[str, ...] = ()) -> Iterator[Path]:
    """A folder to write into, whose files are moved to `out` at the end; `out` is as it was if anything fails before.

    It is hidden and lies in the folder that will hold `out`, or in `out` if that exists: on its file system either way.
    results: patterns of the files that a run writes; earlier ones in `out` are replaced, other files there left alone.
    If the files are written but cannot be moved, they stay in the hidden folder, and the error names it.
    """
    new_parents = [parent for parent in out.parents if not parent.exists()]
    home = out if out.is_dir() else out.parent
    home.mkdir(parents=True, exist_ok=True)
    part = home / f"{PART}{secrets.token_hex(8)}"
    part.mkdir()
    try:
        yield part
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        remove_empty(new_parents)
        raise
    names = [file.name for file in part.iterdir()]
    try:
        _move(part, out, results)
    except OSError as error:
        places = str(part) if all((part / name).exists() for name in names) else f"{part} and {out}" if part.exists() else str(out)
        came = f"{str(out)!r}, which cannot be written to ({error.strerror})"
        checks.fail("out", came, f"a folder, new or not; the results are in {places}")


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove the folders, innermost first, but for those that someone else has written to since."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


PART = ".treg-edu-part-"


def is_leftover(path: Path) -> bool:
    """Whether a killed run left it behind: `written_folder`'s hidden folder, or `written_beside`'s hidden file."""
    return path.name.startswith(PART) or (path.name.startswith(".") and path.name.endswith(".part"))


def _move(part: Path, out: Path, results: tuple[str, ...]) -> None:
    """Make `part` the folder `out`.  If that is there by now, move the files over its earlier results, then drop those of another run."""
    if not out.is_dir():
        os.replace(part, out)
        return
    files = list(part.iterdir())
    for target in (out / file.name for file in files):  # before the first is moved
        if target.is_dir() and not target.is_symlink():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    for file in files:
        os.replace(file, out / file.name)
    part.rmdir()
    new = {file.name for file in files}
    for stale in (path for pattern in results for path in out.glob(pattern)):
        if stale.name not in new:
            stale.unlink()
