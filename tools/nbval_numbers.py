"""Lets `pytest --nbval` pass where another processor rounds another way. `conftest.py` loads it.

A text that a cell prints or shows is compared with the committed one line by line:

- Words must match, in order, and so must the number of lines.
- A rounded number (with a decimal point, an exponent or a percent sign) may differ by one unit of its last printed digit:
  0.13 may become 0.14, 1.2e-05 may become 1.1e-05, 88% may become 87%, -0.00 may become 0.00.
- A whole number (a size, an index, a seed) must match.
- Spaces must match, unless a number changed its width: then the columns moved, and runs of spaces may have other lengths.

The tag `nbval-pictures-32` says that a cell counts pictures, and that n = 32 of them could have been counted. Then

- a count, which is a whole number from -n to n, may differ by one; the n in `7 of n` and `7/n` must match;
- a share, which is k/n rounded for a whole k, as a decimal or in percent, may differ by 1/n and one unit of its last digit.

Images, widgets, errors and missing outputs are compared by nbval itself, after the sanitizers as ever.
"""

import re
from collections import defaultdict, deque
from decimal import Decimal
from fractions import Fraction

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

# A sign belongs to a number unless it joins two words (3-4). Digits within words (x2) and versions (2.13.0) are text.
NUMBER = re.compile(r"((?:(?<![\w.)\]])[-+−])?(?<![\w.])[0-9]+(?:\.[0-9]+)?(?:[eE][-+−]?[0-9]{1,3}(?!\w))?(?!\.?[0-9])(?: ?%)?)")
OUT_OF = re.compile(r"(\bof|/)\s*$")
PICTURES_TAG = re.compile(r"nbval-pictures-([1-9][0-9]*)")


def parse(number):
    """The exact value of a printed number, and the unit of its last digit: "-1.2e-05" is -12/10⁶ to the unit 1/10⁶."""
    decimal = Decimal(number.rstrip(" %").replace("−", "-"))
    return Fraction(decimal), Fraction(10) ** decimal.as_tuple().exponent


def is_whole(number):
    return not any(character in number for character in ".eE%")


def is_share(number, pictures):
    """Whether k/n, for a whole number k from -n to n, would be printed as this number."""
    value, unit = parse(number)
    whole = 100 if "%" in number else 1
    return abs(value) <= whole and abs(round(value / whole * pictures) * Fraction(whole, pictures) - value) <= unit / 2


def number_fault(expected, got, pictures=None, out_of=False):
    """The rule that two printed numbers break, or None. `out_of`: the number is the n of `7 of n`."""
    if is_whole(expected) != is_whole(got) or ("%" in expected) != ("%" in got):
        return "whole numbers, decimals and percentages stay what they are"
    (value, unit), (other, other_unit) = parse(expected), parse(got)
    difference = abs(value - other)
    if is_whole(expected):
        if pictures and not out_of and max(abs(value), abs(other)) <= pictures:
            return None if difference <= 1 else f"a count may differ by one of {pictures} pictures"
        return None if difference == 0 else "a whole number must match"
    unit = min(unit, other_unit)
    if pictures and is_share(expected, pictures) and is_share(got, pictures):
        picture = Fraction(100 if "%" in expected else 1, pictures)
        return None if difference <= picture + unit else f"a share may differ by one of {pictures} pictures and {float(unit):g}"
    return None if difference <= unit else f"a number may differ by one unit of its last digit, {float(unit):g}"


def text_fault(expected, got, pictures=None):
    """The first place where two printed texts differ by more than the rules allow, both values and the rule; or None."""
    expected_lines, got_lines = expected.split("\n"), got.split("\n")
    if len(expected_lines) != len(got_lines):
        return f"got {len(got_lines)} lines, expected {len(expected_lines)}: every line must match"

    # NUMBER.split: words at the even places, numbers at the odd ones.
    lines = [(NUMBER.split(a), NUMBER.split(b)) for a, b in zip(expected_lines, got_lines)]
    moved = [len(a) for line, _ in lines for a in line[1::2]] != [len(b) for _, line in lines for b in line[1::2]]
    for index, (line, other) in enumerate(lines):
        place = f"line {index + 1}: got {got_lines[index]!r}, expected {expected_lines[index]!r}"
        if [words.split() for words in line[::2]] != [words.split() for words in other[::2]]:
            return f"{place}: words must match"
        for words, a, b in zip(line[::2], line[1::2], other[1::2]):
            fault = number_fault(a, b, pictures, out_of=OUT_OF.search(words) is not None)
            if fault:
                return f"line {index + 1}: got {b}, expected {a}: {fault}"
        if not moved and line[::2] != other[::2]:
            return f"{place}: spaces must match where no number changed its width"
    return None


def pictures_of(tags):
    """The n of the tag `nbval-pictures-n`, or None without such a tag."""
    tags = [tag for tag in tags if tag.startswith("nbval-picture")]
    if not tags:
        return None
    match = PICTURES_TAG.fullmatch(tags[0])
    if len(tags) > 1 or not match:
        raise ValueError(f"tags: got {', '.join(tags)}, expected one nbval-pictures-n with n at least 1")
    return int(match[1])


def texts(outputs):
    """(kind, where it is, key) of every text among a cell's outputs. The kinds are nbval's: "stdout", "text/plain", …"""
    for output in outputs:
        if output.output_type == "stream":
            yield output.name, output, "text"
        for kind in output.get("data", {}):
            if kind.startswith("text/"):
                yield kind, output.data, kind


class Cell(IPyNbCell):
    """nbval's cell. Before nbval compares, a new text that agrees with the committed one is replaced by it."""

    def compare_outputs(self, test, ref, skip_compare=None):
        pictures = pictures_of(self.cell.metadata.get("tags", []))
        committed = defaultdict(deque)
        for kind, holder, key in texts(ref):
            committed[kind].append(holder[key])

        faults = []
        for kind, holder, key in texts(test):
            if committed[kind]:
                expected = committed[kind].popleft()
                fault = text_fault(self.sanitize(expected), self.sanitize(holder[key]), pictures)
                if fault:
                    faults.append(f"{kind}, {fault}")
                else:
                    holder[key] = expected

        equal = super().compare_outputs(test, ref, skip_compare)
        if not equal:
            self.comparison_traceback += faults
        return equal


class Notebook(IPyNbFile):
    """nbval's notebook, of such cells."""

    def collect(self):
        for cell in super().collect():
            yield Cell.from_parent(self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Put our notebook where nbval put its own."""
    collectors = yield
    return [Notebook.from_parent(c.parent, path=c.path) if type(c) is IPyNbFile else c for c in collectors]
