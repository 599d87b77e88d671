"""`treg-edu course` and `treg-edu lab`: a working copy of the notebooks, and JupyterLab on it.  What ships is never edited."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import checks, files
from .assignments import assignment_files
from .errors import naming, one_line_errors
from .slides import deck_files

COPY = Path("treg-course")
WRITTEN = ".treg-edu-course.json"
"""In a copy: {name: SHA-256 of what was written}, which tells a changed file from one of an earlier version."""
ASKING = {"--version", "--help", "--help-all", "-h"}
"""Arguments with which JupyterLab prints something and opens nothing."""
PAGES = ("LICENSES.md", "licenses/*", "prior/*.md", "prior/*.png")
"""Of `data/`: what the notebooks refer to, and the licences of the pictures in them."""
DOCS = ("glossary.md", "paper.md", "quiz.md", "references.bib")
"""Of `docs/`: what a reader looks up; these pages link to notebooks, and to no page that is not among them."""


@one_line_errors
def course(
    folder: Annotated[Path, typer.Argument(help="Folder to write to, new or not.")],
    solutions: Annotated[bool, typer.Option("--solutions", help="The solutions of the exercises, too.")] = False,
    nbgrader: Annotated[bool, typer.Option("--nbgrader", help="The exercises instead, as assignments for nbgrader.")] = False,
    slides: Annotated[bool, typer.Option("--slides", help="A deck of slides for each notebook instead, for a browser.")] = False,
) -> None:
    """Write a working copy of the notebooks; a file that was changed there is kept."""
    expected = "one of the two: assignments have the solutions in them"
    checks.expect(not (solutions and nbgrader), "--solutions", "--nbgrader as well", expected)
    checks.expect(not (slides and (solutions or nbgrader)), "--slides", "another option as well", "a folder of their own")
    if nbgrader:
        say(folder, "the assignments are in", write_files(folder, assignment_files()))
        return
    if slides:
        say(folder, "the slides are in", write_files(folder, deck_files()))
        return
    copy(folder, solutions)
    if not (folder / "solutions").is_dir():
        typer.echo("without solutions/, which --solutions adds")


@one_line_errors
def lab(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(help="Folder of the working copy, new or not.")] = COPY,
) -> None:
    """Open a working copy of the course in JupyterLab; further arguments are passed on to it."""
    opened = []
    if ASKING.isdisjoint(context.args):
        copy(folder, solutions=False)
        opened = [str(folder)]
    raise typer.Exit(subprocess.call([sys.executable, "-m", "jupyterlab", *opened, *context.args]))


def copy(folder: Path, solutions: bool) -> None:
    """`write_course`, and say what came of it."""
    say(folder, "the course is in", write_course(folder, solutions))


def say(folder: Path, what: str, kept: list[str]) -> None:
    """Where the files are, and which were kept."""
    typer.echo(f"{what} {folder}")
    if kept:
        typer.echo(f"kept, as they were changed there: {', '.join(kept)} (to get one as it ships, move it away and run this again)")


def write_course(folder: Path, solutions: bool) -> list[str]:
    """Bring the files of the course in `folder` up to what ships.  Returns the names of those that were changed there, and kept.

    solutions: also where False if the folder has them already.
    """
    check_folder(folder)
    return write_files(folder, shipped_files(solutions or (folder / "solutions").is_dir()))


def write_files(folder: Path, shipped: dict[str, bytes]) -> list[str]:
    """{name: content}, each written whole or not at all.

    A missing file is written, one that is as it was written is brought up to date, a changed one is kept.  Returns the kept ones' names.
    """
    check_folder(folder)
    kept = []
    with naming("folder"):
        before = read_written(folder / WRITTEN)
        written = dict(before)
        for name, content in shipped.items():
            path = folder / name
            there = digest(path.read_bytes()) if path.exists() else None
            if there not in (None, digest(content), written.get(name)):
                kept.append(name)
                continue
            if there != digest(content):
                with files.written_beside(path) as beside:
                    beside.write_bytes(content)
            written[name] = digest(content)
        if written != before:
            files.write_text(folder / WRITTEN, files.json_text(written))
    return kept


def shipped_files(solutions: bool) -> dict[str, bytes]:
    """{name in a copy: content}: the notebooks, their map, and the pages of `data/` and `docs/` that they refer to.

    A copy's root is what `notebooks/` is where it ships, so a link to ../data/ becomes one to data/.
    From docs/, a link to ../notebooks/ becomes one to ../.
    """
    notebooks, data, docs = files.shipped("notebooks"), files.shipped("data"), files.shipped("docs")
    found = {}
    answers = notebooks.glob("solutions/*.ipynb") if solutions else []
    for path in sorted([*notebooks.glob("*.md"), *notebooks.glob("[0-9]*.ipynb"), *answers]):
        name = path.relative_to(notebooks)
        up = b"../" * (len(name.parts) - 1)
        content = path.read_bytes()
        for folder in (b"data/", b"docs/"):
            content = content.replace(b"](" + up + b"../" + folder, b"](" + up + folder)
        found[name.as_posix()] = content
    for path in sorted(path for pattern in PAGES for path in data.glob(pattern)):
        found[f"data/{path.relative_to(data).as_posix()}"] = path.read_bytes()
    for page in DOCS:
        if (docs / page).exists():
            found[f"docs/{page}"] = (docs / page).read_bytes().replace(b"](../notebooks/", b"](../")
    return found


def check_folder(folder: Path) -> None:
    """A folder, there or not, that is not where the course ships."""
    checks.expect(not folder.exists() or folder.is_dir(), "folder", f"{str(folder)!r}, which is a file", "a folder, new or not")
    ships = files.shipped("notebooks").resolve()
    checks.expect(ships.is_dir(), "notebooks", f"no folder {str(ships)!r}", "a whole installation", checks.MissingFileError)
    own = folder.resolve() == ships.parent or ships in (folder.resolve(), *folder.resolve().parents)
    checks.expect(not own, "folder", f"{str(folder)!r}, where the course ships", f"another, such as {str(COPY)!r}")


def read_written(path: Path) -> dict[str, str]:
    """What `WRITTEN` holds.  Nothing if it is missing or damaged: then every file that differs from what ships counts as changed."""
    try:
        written = files.read_json(path)
    except (FileNotFoundError, checks.ArgumentError):
        return {}
    return written if isinstance(written, dict) else {}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
