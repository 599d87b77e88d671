"""What is public says so: `__all__`, complete annotations, and a docstring, for `treg_edu` and every submodule that it names.

Every other module lists at least what others import from it.
"""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import types
from pathlib import Path

import pytest

import treg_edu

MODULES = [treg_edu, *(member for name in treg_edu.__all__ if isinstance(member := getattr(treg_edu, name), types.ModuleType))]


def public(module):
    """{qualified name: object} of the functions and classes in `__all__`, with the public methods and properties of the classes."""
    found = {}
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.isclass(member):
            found[name] = member
            for key, value in vars(member).items():
                value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                if inspect.isfunction(value) and (not key.startswith("_") or key == "__init__") and value.__module__ == member.__module__:
                    found[f"{name}.{key}"] = value
        elif inspect.isfunction(member):
            found[name] = member
    return found


FOUND = {f"{module.__name__}.{name}": member for module in MODULES for name, member in public(module).items()}


def missing_annotations(function):
    """The parameters without an annotation, and "return"."""
    signature = inspect.signature(function)
    parameters = [name for name, each in signature.parameters.items() if each.annotation is each.empty and name not in ("self", "cls")]
    return parameters + ["return"] * (signature.return_annotation is signature.empty)


def test_the_public_modules_are_those_of_the_house():
    assert {module.__name__ for module in MODULES} >= {
        f"treg_edu.{name}".rstrip(".")
        for name in ("", "operators", "phase_retrieval", "diffusion", "priors", "consistency", "negation", "solvers", "metrics", "judge")
    }
    assert len(FOUND) > 100


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_module_lists_what_is_public(module):
    defined = {name for name, member in vars(module).items() if getattr(member, "__module__", None) == module.__name__}
    functions = {name for name in defined if inspect.isroutine(vars(module)[name]) or inspect.isclass(vars(module)[name])}
    assert {name for name in functions if not name.startswith("_")} <= set(module.__all__)
    assert module.__doc__ and len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("name", FOUND)
def test_what_is_public_is_annotated_and_described(name):
    member = FOUND[name]
    if inspect.isfunction(member):
        assert missing_annotations(member) == []
    if not name.endswith("__init__"):  # which its class describes
        assert inspect.getdoc(member)


NAMES = [each.name for each in pkgutil.walk_packages(treg_edu.__path__, "treg_edu.")]
COMMANDS = [name for name in NAMES if name.startswith("treg_edu.cli.")]  # called by their options, not by name
EMPTY = ["treg_edu.experiments", "treg_edu.playground", "treg_edu.training"]  # packages without names of their own
LISTING = [name for name in NAMES if name not in COMMANDS + EMPTY]


def imported_names():
    """{module: {name}} of what the files of the package import from its modules, however relative."""
    found = {}
    for path in Path(treg_edu.__file__).parent.rglob("*.py"):
        package = ".".join(path.relative_to(Path(treg_edu.__file__).parents[1]).parts[:-1])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                found.setdefault(module, set()).update(each.name for each in node.names)
    return found


IMPORTED = imported_names()


@pytest.mark.parametrize("name", LISTING)
def test_every_module_lists_what_others_import_from_it(name):
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__) and all(hasattr(module, each) for each in module.__all__)
    submodules = {each.rpartition(".")[2] for each in NAMES if each.rpartition(".")[0] == name}
    assert IMPORTED.get(name, set()) - submodules <= set(module.__all__)


def test_imports_are_read_as_written():
    assert {"SIGMA", "Arm"} <= IMPORTED["treg_edu.experiments.common"]
    assert {"checks", "noise"} <= IMPORTED["treg_edu"] and len(LISTING) > 50


def test_type_checkers_are_told_that_there_are_types():
    assert (Path(treg_edu.__file__).parent / "py.typed").is_file()


def test_a_missing_annotation_would_be_seen():
    assert missing_annotations(lambda x, y=1: x) == ["x", "y", "return"]


@pytest.mark.parametrize("name", treg_edu.__all__)
def test_star_imports_find_every_name(name):
    assert getattr(importlib.import_module("treg_edu"), name) is not None
