"""A working copy of the course: complete, never over a changed file, and never half a file."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import treg_edu
from treg_edu import cli, files
from treg_edu.cli import course

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)


def tree(folder):
    """{name: content} of every file in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def links(path):
    """The files that a page, or the prose of a notebook, links to."""
    if path.suffix == ".ipynb":
        prose = ["".join(cell["source"]) for cell in json.loads(path.read_bytes())["cells"] if cell["cell_type"] == "markdown"]
    else:
        prose = [path.read_text(encoding="utf-8")] if path.suffix == ".md" else []
    return [link for text in prose for link in re.findall(r"\]\(([^)#\s]+)", text) if not link.startswith("http")]


@pytest.fixture
def ships(tmp_path, monkeypatch):
    """An installation with a small course, whose files a test may change."""
    home = tmp_path / "installation"
    for name, text in {
        "notebooks/README.md": "the map",
        "notebooks/00.ipynb": "first, see [the card](../data/prior/README.md)",
        "notebooks/01.ipynb": "second, see [the answer](solutions/01.ipynb)",
        "notebooks/solutions/01.ipynb": "answer, see [the card](../../data/prior/README.md) and [the question](../01.ipynb)",
        "data/LICENSES.md": "see [text](licenses/MIT.txt)",
        "data/licenses/MIT.txt": "MIT",
        "data/prior/README.md": "the card, see ![samples](samples.png)",
        "data/prior/samples.png": "a picture",
        "data/prior/unet/model.safetensors": "weights",
    }.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(files, "shipped", lambda name: home / name)
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def started(monkeypatch):
    """The command lines that start JupyterLab, which does not start."""
    calls = []
    monkeypatch.setattr(course.subprocess, "call", lambda command: calls.append(command) or 3)
    return calls


# What a copy holds


@pytest.mark.parametrize("solutions", [False, True])
def test_every_link_of_a_copy_leads_somewhere(tmp_path, solutions):
    result = run("course", tmp_path / "copy", *["--solutions"] * solutions)
    assert result.exit_code == 0
    found = [(path, link) for path in tmp_path.rglob("*") for link in links(path)]
    lost = [link for path, link in found if not (path.parent / link).exists()]
    assert len(found) > 20
    assert lost == [] if solutions else lost and all(link.startswith("solutions") for link in lost)
    assert solutions or "--solutions adds" in result.stdout


def test_a_copy_is_what_ships_but_for_the_way_to_the_data(tmp_path):
    course.write_course(tmp_path / "copy", solutions=True)
    copied = tree(tmp_path / "copy")
    for path in NOTEBOOKS.rglob("[0-9]*.ipynb"):
        if path.parent.name != ".ipynb_checkpoints":
            there = json.loads(copied[path.relative_to(NOTEBOOKS).as_posix()])
            shipped = path.read_text(encoding="utf-8")
            for folder in ("data", "docs"):
                shipped = shipped.replace(f"](../{folder}/", f"]({folder}/").replace(f"](../../{folder}/", f"](../{folder}/")
            assert there == json.loads(shipped)
    for name in course.DOCS:
        assert copied[f"docs/{name}"] == (NOTEBOOKS.parent / "docs" / name).read_bytes().replace(b"](../notebooks/", b"](../")


def test_a_copy_leaves_weights_out_and_has_the_licences(ships):
    assert run("course", "copy").exit_code == 0
    assert set(tree(Path("copy"))) == {
        course.WRITTEN, "README.md", "00.ipynb", "01.ipynb",
        "data/LICENSES.md", "data/licenses/MIT.txt", "data/prior/README.md", "data/prior/samples.png",
    }  # fmt: skip
    assert Path("copy/00.ipynb").read_text() == "first, see [the card](data/prior/README.md)"


def test_solutions_are_added_later_and_stay(ships):
    run("course", "copy")
    assert "without solutions" not in run("course", "copy", "--solutions").stdout
    expected = "answer, see [the card](../data/prior/README.md) and [the question](../01.ipynb)"
    assert Path("copy/solutions/01.ipynb").read_text() == expected
    (ships / "notebooks/solutions/01.ipynb").write_text("another answer")
    run("course", "copy")
    assert Path("copy/solutions/01.ipynb").read_text() == "another answer"


# What is kept


def test_a_changed_file_is_kept_and_named_and_the_others_are_refreshed(ships):
    run("course", "copy")
    Path("copy/00.ipynb").write_text("my own work")
    Path("copy/mine.ipynb").write_text("mine alone")
    for name in ("00", "01"):
        (ships / f"notebooks/{name}.ipynb").write_text("a new edition")
    result = run("course", "copy")
    assert result.exit_code == 0 and "kept, as they were changed there: 00.ipynb (" in result.stdout
    assert Path("copy/00.ipynb").read_text() == "my own work" and Path("copy/mine.ipynb").read_text() == "mine alone"
    assert Path("copy/01.ipynb").read_text() == "a new edition"
    assert "00.ipynb" in run("course", "copy").stdout  # and again


def test_a_file_that_was_moved_away_is_written_again(ships):
    run("course", "copy")
    Path("copy/00.ipynb").write_text("my own work")
    Path("copy/00.ipynb").rename("copy/00-mine.ipynb")
    assert "kept" not in run("course", "copy").stdout
    assert Path("copy/00.ipynb").read_text().startswith("first")
    assert Path("copy/00-mine.ipynb").read_text() == "my own work"


def test_a_foreign_file_of_the_same_name_is_kept(ships):
    Path("copy").mkdir()
    Path("copy/README.md").write_text("another project")
    assert "kept, as they were changed there: README.md (" in run("course", "copy").stdout
    assert Path("copy/README.md").read_text() == "another project"


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"00.ipynb": ', "\x00\x01"])
def test_without_a_record_nothing_that_differs_is_overwritten(ships, content):
    run("course", "copy")
    Path("copy", course.WRITTEN).write_text(content)
    (ships / "notebooks/00.ipynb").write_text("a new edition")
    assert "00.ipynb" in run("course", "copy").stdout
    assert Path("copy/00.ipynb").read_text().startswith("first")


def test_an_interrupted_copy_has_no_half_file_and_is_completed(ships, monkeypatch):
    replace, calls = os.replace, []

    def stop_at_the_third(source, target):
        calls.append(target)
        if len(calls) == 3:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        course.write_course(Path("copy"), solutions=True)
    shipped = course.shipped_files(solutions=True)
    written = tree(Path("copy"))
    assert 0 < len(written) < len(shipped) and written.items() <= shipped.items()
    assert course.write_course(Path("copy"), solutions=True) == []
    assert shipped.items() <= tree(Path("copy")).items()


@pytest.mark.parametrize("arguments", [("course", "treg-course"), ("lab",)])
def test_a_file_that_is_as_it_ships_is_not_touched(ships, started, arguments):
    run("course", "treg-course")
    paths = [path for path in Path("treg-course").rglob("*") if path.is_file()]
    for path in paths:
        os.utime(path, (1, 1))
    (ships / "notebooks/00.ipynb").write_text("a new edition")
    run(*arguments)
    touched = {path.name for path in paths if path.stat().st_mtime != 1}
    assert touched == {"00.ipynb", course.WRITTEN}


# What a user gets wrong


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda: Path("copy").write_text("a file"), ["copy"], "error: folder: got 'copy', which is a file, expected a folder"),
        (lambda: Path("copy/00.ipynb").mkdir(parents=True), ["copy"], "error: folder: "),
        (lambda: Path("copy").write_text("a file"), ["copy/deeper"], "error: folder: "),
        (lambda: None, ["installation/notebooks"], "error: folder: got 'installation/notebooks', where the course ships"),
        (lambda: None, ["installation/notebooks/solutions"], "error: folder: got 'installation/notebooks/solutions', where"),
        (lambda: None, ["installation"], "error: folder: got 'installation', where the course ships"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named_in_one_line(ships, make, arguments, message):
    make()
    before = tree(ships)
    result = run("course", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith(message) and result.stderr.count("\n") == 1
    assert tree(ships) == before


def test_an_installation_without_notebooks_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "shipped", lambda name: tmp_path / "nowhere" / name)
    result = run("course", tmp_path / "copy")
    assert result.exit_code == 2 and result.stderr.startswith("error: notebooks: got no folder")
    assert not (tmp_path / "copy").exists()


# JupyterLab


def test_lab_opens_a_copy_and_passes_its_arguments_on(ships, started):
    before = tree(ships)
    result = run("lab", "--no-browser", "--port", "9999")
    assert result.exit_code == 3 and "treg-course" in result.stdout
    assert started == [[sys.executable, "-m", "jupyterlab", "treg-course", "--no-browser", "--port", "9999"]]
    assert Path("treg-course/00.ipynb").is_file() and tree(ships) == before


def test_lab_opens_another_folder_and_keeps_what_was_changed_there(ships, started):
    run("lab", "--folder", "mine")
    Path("mine/00.ipynb").write_text("my own work")
    assert "00.ipynb" in run("lab", "--folder", "mine").stdout
    assert Path("mine/00.ipynb").read_text() == "my own work"
    assert [command[3] for command in started] == ["mine", "mine"] and not Path("treg-course").exists()


@pytest.mark.parametrize("arguments", [["--version"], ["--", "--help"], ["--help-all"], ["--help"]])
def test_lab_that_only_prints_writes_no_course(ships, started, arguments):
    run("lab", *arguments)
    assert not Path("treg-course").exists()
    expected = [] if arguments == ["--help"] else [[sys.executable, "-m", "jupyterlab", arguments[-1]]]  # that help is our own
    assert started == expected


def test_the_version_is_printed():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"treg_edu {treg_edu.__version__}\n")


def test_git_ignores_the_copy_that_make_lab_opens():
    root = NOTEBOOKS.parent
    assert re.search(r"^lab:.*\n\t@\$\(BIN\)/treg-edu lab \$\(LAB_ARGS\)$", (root / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    ignored = subprocess.run(["git", "check-ignore", "-q", f"{course.COPY}/00_quickstart.ipynb"], cwd=root)
    assert ignored.returncode == 0
