"""Imports point one way: a room imports from rooms of a lower level, or from itself; read off the source, wherever in a file they stand."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "treg_edu"
LEVELS = [
    {"checks"},
    {"files", "noise", "bare_pictures"},
    {"operators"},
    {"phase_retrieval", "metrics", "images"},
    {"priors", "photographs"},
    {"judge", "diffusion"},
    {"consistency", "likelihood", "negation"},
    {"solvers"},
    {"costs", "memory", "figures", "exercises", "tables"},
    {"experiments", "training", "pipeline", "deepinv"},
    {"bench", "widgets"},
    {"playground"},
    {""},  # the package itself
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def imported(path):
    """(room, …) of what a file of the package imports: the rooms of treg_edu, and other packages by their whole name."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = parts[:-1]  # of a module, or of a package's __init__, which stands in it
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from ([f"{module}.{name.name}" for name in node.names] if module == "treg_edu" else [module])


def rooms(path):
    """Of what is imported, the rooms of the package; "" where the package itself is asked for a name of its own."""
    for name in imported(path):
        if name.split(".")[0] == "treg_edu":
            room = [*name.split("."), ""][1]
            yield room if room in LEVEL else ""


def room_of(path):
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if name.startswith("__") else name


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_imports_a_higher_one(path):
    here = room_of(path)
    assert here in LEVEL, f"{here} has no place among LEVELS"
    if here:
        wrong = {room for room in rooms(path) if room != here and LEVEL[room] >= LEVEL[here]}
        assert not wrong


def test_no_solver_imports_metrics():
    solvers = [path for path in FILES if room_of(path) in ("solvers", "consistency", "negation", "diffusion", "priors")]
    assert len(solvers) > 5 and all("metrics" not in rooms(path) for path in solvers)


def test_the_package_never_imports_the_tests():
    names = {path.stem for path in Path(__file__).parent.glob("*.py")} | {"tests", "conftest", "pytest"}
    assert not [(path, name) for path in FILES for name in imported(path) if name.split(".")[0] in names]


def test_what_is_imported_is_read_as_written(tmp_path, monkeypatch):
    """A relative import, one within a function, one by the package's name."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "treg_edu")
    file = tmp_path / "treg_edu" / "operators" / "new.py"
    file.parent.mkdir(parents=True)
    file.write_text("from .. import checks\nfrom ..noise import normal\nfrom .base import A\ndef f():\n    import treg_edu.solvers.treg\n")
    assert list(rooms(file)) == ["checks", "noise", "operators", "solvers"]
