"""Which statements of a notebook define the names that a cell uses."""

import ast
import builtins
import functools
import symtable
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Statement", "needed", "statements", "used"]

GIVEN = {*dir(builtins), "display", "get_ipython"}
"""What a notebook has without defining it."""


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a cell: its source, with the comments in it, and its place among all of the notebook."""

    place: int
    source: str


def statements(cells: Iterable[str]) -> list[Statement]:
    """Those of all code cells, in order; a line that only IPython reads (`%config …`) is left out."""
    found: list[Statement] = []
    for cell in cells:
        source = without_magics(cell)
        lines = source.splitlines()
        for node in ast.parse(source).body:
            first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
            found.append(Statement(len(found), "\n".join(lines[first - 1 : node.end_lineno])))
    return found


def without_magics(cell: str) -> str:
    return "\n".join(line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!")))


def used(source: str) -> set[str]:
    """The names that a cell takes from cells before it."""
    names: set[str] = set()
    defined: set[str] = set()
    for statement in statements([source]):
        names |= read(statement.source) - defined
        defined |= defines(statement.source)
    return names - GIVEN


@functools.cache
def read(source: str) -> frozenset[str]:
    """The global names that a statement reads, in functions and comprehensions too, but for what a loop gives values to."""
    table = symtable.symtable(source, "", "exec")
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    inside = list(table.get_children())
    while inside:
        each = inside.pop()
        names |= {symbol.get_name() for symbol in each.get_symbols() if symbol.is_global() and symbol.is_referenced()}
        inside += each.get_children()
    loops = [node.target for node in ast.walk(ast.parse(source)) if isinstance(node, ast.For)]
    return frozenset(names) - {name.id for target in loops for name in ast.walk(target) if isinstance(name, ast.Name)}


@functools.cache
def defines(source: str) -> frozenset[str]:
    """The names that a statement gives a value to."""
    symbols = symtable.symtable(source, "", "exec").get_symbols()
    return frozenset(symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace())


def needed(names: set[str], before: Sequence[Statement], given: set[str]) -> tuple[list[Statement], set[str]]:
    """The statements that define `names` and what those need in turn, in order; and the names that nothing before defines.

    given: names that are there already.

    Of several statements that define a name it is the last; the one before it as well, if the last reads the name itself.
    What changes an object without naming it on the left, `found.update(…)`, is not seen.
    """
    chosen: dict[int, Statement] = {}
    missing: set[str] = set()
    asked = [(name, len(before)) for name in sorted(names - given)]
    while asked:
        name, limit = asked.pop()
        defining = [statement for statement in before[:limit] if name in defines(statement.source)]
        if not defining:
            missing.add(name)
            continue
        last = defining[-1]
        place = before.index(last)
        if last.place not in chosen:
            chosen[last.place] = last
            asked += [(each, place) for each in sorted(read(last.source) - GIVEN - given - (defines(last.source) - {name}))]
    return [chosen[place] for place in sorted(chosen)], missing
