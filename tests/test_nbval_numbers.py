"""The comparison of notebooks with their committed outputs: what may differ, and that everything else fails."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nbval_numbers import NUMBER, pictures_of, text_fault

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]

TABLE = "          PSNR, dB   misfit\nblur         21.05     0.99\nbox           9.99     1.00\n"
HTML = "<table>\n<tr><th>blur</th><td>{}</td></tr>\n</table>"

# name: (committed, new, n of the tag or None)
EQUAL = {
    "the same": (TABLE, TABLE, None),
    "one unit up": ("0.13", "0.14", None),
    "one unit down": ("0.13\n", "0.12\n", None),
    "zero of either sign": ("[-0.00, 0.01]", "[0.00, 0.01]", None),
    "the interval of notebook 07": ("0.00 [-0.01, 0.00]", "0.00 [0.00, 0.00]", None),
    "the minus sign of typography": ("−0.52", "-0.51", None),
    "one unit across zero": ("0.0", "-0.1", None),
    "scientific": ("1.2e-05", "1.3e-05", None),
    "scientific, next power": ("9.9e-05", "1.0e-04", None),
    "percent": ("88%", "89%", None),
    "percent with a space": ("88 %", "87 %", None),
    "percent with a decimal": ("12.5%", "12.6%", None),
    "a unit of measure joined": ("1.3s", "1.4s", None),
    "html": (HTML.format("0.13"), HTML.format("0.14"), None),
    "a wider number in a column": (TABLE, TABLE.replace(" 9.99", "10.00"), None),
    "a wider number moves the header": ("   dB\n 9.99\n", "    dB\n 10.00\n", None),
    "a wider number after a bracket": ("( 9.9 to 12.0)", "(10.0 to 12.0)", None),
    "a wider number in an array": ("[[ 0.00 -0.01]]", "[[0.00 0.00]]", None),
    "a trailing zero that pandas drops": ("0.3", "0.29", None),
    "a count of pictures": ("27 pictures", "28 pictures", 32),
    "a count out of n": ("7 of 8", "8 of 8", 8),
    "a count over n": ("7/8", "6/8", 8),
    "a wider count": (" 9 of 16", "10 of 16", 16),
    "a difference of counts": ("-1 pictures", "0 pictures", 8),
    "a share of pictures": ("0.88", "0.75", 8),
    "a share in percent": ("88%", "100%", 8),
    "a difference of shares": ("-0.12", "0.00", 8),
}
DIFFERENT = {
    "two units": ("0.13", "0.15", None, "one unit of its last digit, 0.01"),
    "two units in html": (HTML.format("0.13"), HTML.format("0.15"), None, "one unit of its last digit, 0.01"),
    "two units, scientific": ("1.2e-05", "1.4e-05", None, "one unit of its last digit, 1e-06"),
    "another power": ("1.2e-05", "1.2e-04", None, "one unit of its last digit"),
    "two units across zero": ("-0.01", "0.01", None, "one unit of its last digit"),
    "two percent": ("88%", "90%", None, "one unit of its last digit, 1"),
    "a coarser print is no excuse": ("0.1", "0.13", None, "one unit of its last digit, 0.01"),
    "another sign of a large value": ("21.05", "-21.05", None, "one unit of its last digit"),
    "another sign by typography": ("−0.52", "0.52", None, "one unit of its last digit"),
    "a whole number": ("12288 numbers", "12289 numbers", None, "a whole number must match"),
    "the sign of a whole number": ("(-7, 30)", "(7, 30)", None, "a whole number must match"),
    "a whole number becomes a decimal": ("8", "8.0", None, "stay what they are"),
    "a percentage becomes a number": ("88%", "88", None, "stay what they are"),
    "a number becomes none": ("0.13", "nan", None, "words must match"),
    "another number of numbers": ("[0.13, 0.14]", "[0.13]", None, "words must match"),
    "two numbers become one": ("12 9", "129", None, "words must match"),
    "another word": ("blur 0.13", "box 0.13", None, "words must match"),
    "another word after a wider number": ("9.99 dB", "10.00 db", None, "words must match"),
    "another letter of a unit": ("1.3s", "1.3m", None, "words must match"),
    "digits within a word": ("x2 is 0.13", "x3 is 0.13", None, "words must match"),
    "a version": ("torch 2.13.0", "torch 2.14.0", None, "words must match"),
    "another order of words": ("blur, then box", "box, then blur", None, "words must match"),
    "a swapped row": (TABLE, "\n".join(TABLE.split("\n")[i] for i in (0, 2, 1, 3)), None, "words must match"),
    "a swapped row without names": ("0.13\n0.25\n", "0.25\n0.13\n", None, "one unit of its last digit"),
    "a missing line": (TABLE, "\n".join(TABLE.split("\n")[:2]) + "\n", None, "got 3 lines, expected 4"),
    "an extra line": (TABLE, TABLE + "0.13\n", None, "got 5 lines, expected 4"),
    "a line broken in two": ("0.13 0.14", "0.13\n0.14", None, "got 2 lines, expected 1"),
    "spaces without a wider number": ("a  0.13", "a 0.14", None, "spaces must match"),
    "indentation": ("if x:\n    y\n", "if x:\n  y\n", None, "spaces must match"),
    "a count off by two": ("27 pictures", "29 pictures", 32, "a count may differ by one of 32 pictures"),
    "the n of a count": ("7 of 8", "7 of 7", 8, "a whole number must match"),
    "the n after a stroke": ("7/8", "7/7", 8, "a whole number must match"),
    "more than n pictures": ("12288 numbers", "12289 numbers", 32, "a whole number must match"),
    "a share off by two": ("0.88", "0.62", 8, "a share may differ by one of 8 pictures"),
    "a share in percent off by two": ("88%", "62%", 8, "a share may differ by one of 8 pictures"),
    "no share of n": ("0.24", "0.28", 8, "one unit of its last digit, 0.01"),
    "a share of n and none": ("0.88", "0.80", 8, "one unit of its last digit, 0.01"),
    "more than all pictures": ("1.25", "1.12", 8, "one unit of its last digit, 0.01"),
    "another word in a tagged cell": ("7 of 8 foxes", "7 of 8 wolves", 8, "words must match"),
}


@pytest.mark.parametrize("name", EQUAL)
def test_agrees_in_either_direction(name):
    committed, new, pictures = EQUAL[name]
    assert text_fault(committed, new, pictures) is None
    assert text_fault(new, committed, pictures) is None


@pytest.mark.parametrize("name", DIFFERENT)
def test_differs_in_either_direction(name):
    committed, new, pictures, rule = DIFFERENT[name]
    assert rule in text_fault(committed, new, pictures)
    assert text_fault(new, committed, pictures) is not None


@pytest.mark.parametrize("name", [name for name in EQUAL if EQUAL[name][2]])
def test_without_the_tag_a_count_or_share_must_match(name):
    committed, new, _ = EQUAL[name]
    assert text_fault(committed, new) is not None


def test_the_fault_shows_the_line_and_both_values():
    fault = text_fault(TABLE, TABLE.replace("1.00", "1.02"))
    assert fault == "line 3: got 1.02, expected 1.00: a number may differ by one unit of its last digit, 0.01"
    assert text_fault("blur\n", "box\n") == "line 1: got 'box', expected 'blur': words must match"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("26 of 32, 0.70 [0.66, -0.74], 1.37 %", ["26", "32", "0.70", "0.66", "-0.74", "1.37 %"]),
        ("×16 and x^2.2, σ=0.005, λ = 1e-06.", ["16", "2.2", "0.005", "1e-06"]),
        ("3-4, 0.2-0.3, 0.2–0.3, 2024-01-05", ["3", "4", "0.2", "0.3", "0.2", "0.3", "2024", "01", "05"]),
        ("+0.1 −0.2 a - 0.3", ["+0.1", "−0.2", "0.3"]),
        ("conv2, v1.5, 2.13.0, 1..3, ADDRESS", ["1"]),
        ("640x480 1.5e3 84ab12 1e5a", ["640", "1.5e3", "84", "1"]),
    ],
)
def test_what_is_a_number(text, numbers):
    assert NUMBER.split(text)[1::2] == numbers


def printed(units, digits):
    """`units` units of the last of `digits` decimals, as Python prints them: printed(-12, 1) is "-1.2"."""
    return f"{units / 10**digits:.{digits}f}"


@given(units=st.integers(-(10**6), 10**6), digits=st.integers(1, 6), step=st.integers(-9, 9))
def test_a_decimal_may_move_by_one_unit_and_no_further(units, digits, step):
    agrees = text_fault(f"error: {printed(units, digits)} dB", f"error: {printed(units + step, digits)} dB") is None
    assert agrees == (abs(step) <= 1)


@given(number=st.integers(-(10**40), 10**40), step=st.integers(-3, 3))
def test_a_whole_number_may_not_move(number, step):
    assert (text_fault(f"seed {number}", f"seed {number + step}") is None) == (step == 0)


@given(mantissa=st.integers(10, 99), exponent=st.integers(-30, 30), step=st.integers(-9, 9))
def test_a_mantissa_may_move_by_one_unit_and_no_further(mantissa, exponent, step):
    assume(10 <= mantissa + step <= 99)
    committed, new = (f"{m / 10:.1f}e{exponent:+03d}" for m in (mantissa, mantissa + step))
    assert (text_fault(committed, new) is None) == (abs(step) <= 1)


@given(pictures=st.integers(1, 200), share=st.floats(0, 1), step=st.integers(-3, 3), percent=st.booleans(), data=st.data())
def test_a_share_may_move_by_one_picture_and_no_further(pictures, share, step, percent, data):
    count = round(share * pictures)
    assume(0 <= count + step <= pictures)
    digits = data.draw(st.integers(0 if percent else 1, 4))
    unit = 10.0**-digits / (100 if percent else 1)
    committed, new = (f"{(count + s) / pictures:.{digits}%}" if percent else f"{(count + s) / pictures:.{digits}f}" for s in (0, step))
    if abs(step) <= 1:
        assert text_fault(committed, new, pictures) is None
    elif 1 / pictures > 2 * unit:
        assert text_fault(committed, new, pictures) is not None


texts = st.text() | st.text(alphabet="0123456789.-−+eE% \n[]xof/", max_size=30)


@given(texts, texts, st.none() | st.integers(1, 40))
def test_any_two_texts_can_be_compared_and_the_order_does_not_matter(one, other, pictures):
    assert text_fault(one, one, pictures) is None
    agree = text_fault(one, other, pictures) is None
    assert agree == (text_fault(other, one, pictures) is None)
    if agree:
        words, others = (re.sub(r"\s", "", NUMBER.sub("#", text)) for text in (one, other))
        assert words == others
        assert one.count("\n") == other.count("\n")


@given(st.lists(st.tuples(st.sampled_from(["blur", "box", "null text"]), st.floats(-99, 99)), min_size=1, max_size=8), st.data())
def test_a_table_without_one_of_its_lines_or_words_differs(rows, data):
    lines = [f"{name:<10}{value:>8.2f}" for name, value in rows]
    at = data.draw(st.integers(0, len(lines) - 1))
    assert text_fault("\n".join(lines), "\n".join(lines[:at] + lines[at + 1 :])) is not None or len(lines) == 1
    other = [*lines[:at], lines[at].replace(rows[at][0], "blot"), *lines[at + 1 :]]
    assert text_fault("\n".join(lines), "\n".join(other)) is not None


@given(st.lists(st.tuples(st.integers(-(10**5), 10**5), st.integers(-1, 1)), min_size=1, max_size=6), st.integers(0, 20))
def test_a_right_aligned_table_agrees_whatever_its_width(rows, more):
    def table(values, width):
        return "\n".join([f"{'PSNR':>{width}}", *(f"{value:>{width}}" for value in values)])

    committed, new = [printed(units, 2) for units, _ in rows], [printed(units + step, 2) for units, step in rows]
    widths = [max(map(len, [*values, "PSNR"])) for values in (committed, new)]
    assert text_fault(table(committed, widths[0]), table(new, widths[1])) is None
    if [len(value) for value in committed] == [len(value) for value in new]:
        assert (text_fault(table(committed, widths[0]), table(new, widths[1] + more)) is None) == (more == 0)


def test_the_tag_of_a_cell():
    assert pictures_of([]) is pictures_of(["nbval-ignore-output"]) is None
    assert pictures_of(["hide", "nbval-pictures-32"]) == 32


@pytest.mark.parametrize("tags", [["nbval-pictures"], ["nbval-pictures-0"], ["nbval-picture-8"], ["nbval-pictures-8", "nbval-pictures-9"]])
def test_a_tag_that_says_no_n_is_refused(tags):
    with pytest.raises(ValueError, match="tags: got nbval-picture.*, expected one nbval-pictures-n"):
        pictures_of(tags)


# Notebooks that nbval runs


def printing(committed, new, pictures=None):
    """A cell that prints `new` and was committed with the output `committed`."""
    cell = nbformat.v4.new_code_cell(f"print({new!r}, end='')", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=committed)]
    cell.metadata.tags = [f"nbval-pictures-{pictures}"] if pictures else []
    return cell


def showing(source, *data):
    """A cell that runs `source` and was committed with these displayed outputs, each {kind: text}."""
    cell = nbformat.v4.new_code_cell(source, execution_count=1)
    cell.outputs = [nbformat.v4.new_output("display_data", data=kinds) for kinds in data]
    return cell


def frame(value):
    """A cell that shows a pandas table with `value`, committed with 9.99: one unit wider where it becomes 10.00."""
    table = pd.DataFrame({"PSNR": [21.05, 9.99]}, index=["blur", "box"])
    source = f"import pandas\ndisplay(pandas.DataFrame({{'PSNR': [21.05, {value}]}}, index=['blur', 'box']))"
    return showing(source, {"text/plain": repr(table), "text/html": table.to_html(notebook=True)})


def display(*data):
    """The source of a cell that shows these outputs, each {kind: text}."""
    return "\n".join(f"display({kinds!r}, raw=True)" for kinds in data)


PAIR = {"text/plain": "0.13"}, {"text/plain": "0.24"}
CELLS = {
    **{name: printing(*case) for name, case in EQUAL.items()},
    **{name: printing(*case[:3]) for name, case in DIFFERENT.items()},
    "a pandas table": frame(9.99),
    "a pandas table, one unit": frame(10.00),
    "a pandas table, two units": frame(10.01),
    "several outputs": showing(display(*PAIR), {"text/plain": "0.14"}, {"text/plain": "0.25"}),
    "several outputs, the last too far": showing(display(*PAIR), {"text/plain": "0.14"}, {"text/plain": "0.26"}),
    "an output is missing": showing("pass", {"text/plain": "0.14"}),
    "an output too many": showing(display({"text/plain": "0.13"})),
    "an output of another kind": showing(display({"text/plain": "0.13"}), {"text/html": "0.13"}),
    "another number in what is no text": showing(display({"application/json": {"psnr": 0.13}}), {"application/json": {"psnr": 0.14}}),
    "another number in a drawing": showing(
        display({"image/svg+xml": "<svg><path d='M 0.13'/></svg>"}), {"image/svg+xml": "<svg><path d='M 0.14'/></svg>"}
    ),
    "another picture": showing(display({"image/png": "aaaa"}), {"image/png": "bbbb"}),
    "an address": printing("<object at 0x7f1234567890> 0.13", "<object at 0x7f0987654321> 0.14"),
    "an error": showing("raise ValueError('sigma: got -1')", {"text/plain": "0.13"}),
    "a tag without n": printing("0.13", "0.13", pictures="many"),
}
PASS = {*EQUAL, "a pandas table", "a pandas table, one unit", "several outputs", "another picture", "an address"}


def run_notebook(path, cells, *, environment=()):
    """{cell: its failure's text, or ""} of `pytest --nbval` on a notebook of these cells, with this project's settings."""
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells.values())), path)
    report = path.with_suffix(".xml")
    project = ["-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "nbval_numbers"]
    sanitizers = f"--nbval-sanitize-with={ROOT / 'tools' / 'nbval_sanitize.cfg'}"
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", *project, "--nbval", sanitizers, f"--junitxml={report}", path]
    run = subprocess.run(command, cwd=path.parent, env=os.environ | dict(environment), capture_output=True, text=True, timeout=300)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    outcomes = [case.find("failure") for case in ElementTree.parse(report).iter("testcase")]
    assert len(outcomes) == len(cells), run.stdout
    return {name: "" if failure is None else failure.text for name, failure in zip(cells, outcomes)}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return run_notebook(tmp_path_factory.mktemp("notebook") / "cells.ipynb", CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_nbval_passes_and_fails_as_it_should(outcomes, name):
    assert (outcomes[name] == "") == (name in PASS), outcomes[name]
    if name in DIFFERENT:
        assert DIFFERENT[name][3] in outcomes[name]


def test_nbval_shows_the_place_both_values_and_the_rule(outcomes):
    assert "stdout, line 1: got 0.15, expected 0.13: a number may differ by one unit of its last digit, 0.01" in outcomes["two units"]
    assert "text/html, line" in outcomes["a pandas table, two units"]
    assert "got 10.01, expected 9.99" in outcomes["a pandas table, two units"]


def test_nbval_still_tells_what_is_not_ours(outcomes):
    assert "Missing output fields" in outcomes["an output is missing"]
    assert "Unexpected output fields" in outcomes["an output too many"]
    assert "Cell execution caused an exception" in outcomes["an error"]
    assert "expected one nbval-pictures-n" in outcomes["a tag without n"]


def test_the_projects_own_runs_load_it(request):
    assert request.config.pluginmanager.has_plugin("nbval_numbers")


@pytest.mark.parametrize("name", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").rglob("[0-9]*.ipynb")))
def test_the_tags_of_the_course_are_spelled_right(name):
    for cell in nbformat.read(ROOT / name, as_version=4).cells:
        pictures_of(cell.metadata.get("tags", []))


def test_the_kernel_runs_on_the_processor_setting_of_pytest(tmp_path):
    """Otherwise `make test-processors` would run the same notebooks four times."""
    source = "import os, torch\nprint(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), os.environ['MKL_CBWR'])"
    cell = nbformat.v4.new_code_cell(source, execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="DEFAULT 2 COMPATIBLE\n")]
    environment = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "2"}
    assert run_notebook(tmp_path / "setting.ipynb", {"setting": cell}, environment=environment) == {"setting": ""}
