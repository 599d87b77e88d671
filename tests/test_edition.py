"""The second edition of the notebooks: what is asked of each of them, read off the notebooks themselves."""

import re
from pathlib import Path

import nbformat
import pytest

from treg_edu import exercises
from treg_edu.checks import ArgumentError
from treg_edu.exercises.hints import HINTS

ROOT = Path(__file__).parents[1]
NAMES = ["01_forward_operators", "02_phase_retrieval_symmetries", "03_ddim", "04_latent_data_consistency", "05_text_regularization"]
NAMES += ["06_adaptive_negation", "07_treg", "08_the_other_solvers", "09_the_papers_tables", "10_after_treg", "11_stable_diffusion"]
NAMES += ["12_train_the_prior"]
READ = ["00_quickstart", *NAMES]
"""Those with exercises that check themselves; and the quickstart, which is to be read."""
TURN = "# your turn"


def cells(name, kind):
    return [cell for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells if cell.cell_type == kind]


def prose(name):
    return "\n\n".join(cell.source for cell in cells(name, "markdown"))


def pictures(name):
    """(cell, output) of each picture."""
    return [(cell, output) for cell in cells(name, "code") for output in cell.outputs if "image/png" in output.get("data", {})]


def is_answer_of(solution, stub):
    """Whether a cell of the solutions is a stub with each open line replaced by an answer, and nothing else."""
    given = re.split(rf"(?m)^.*{TURN}.*$", stub)
    return TURN not in solution and re.fullmatch("(?s:.+?)".join(map(re.escape, given)), solution) is not None


@pytest.mark.parametrize("name", NAMES)
def test_each_stub_is_its_solution_without_the_answer(name):
    stubs = [cell.source for cell in cells(name, "code") if TURN in cell.source]
    solved = [cell.source for cell in cells(f"solutions/{name}", "code")]
    assert len(stubs) >= 5
    for stub in stubs:
        assert sum(is_answer_of(solution, stub) for solution in solved) == 1, stub


def test_a_solution_that_changes_more_than_the_open_line_is_found():
    stub = "def f(x):\n    return ...  # your turn\n\ncheck(f)"
    assert is_answer_of("def f(x):\n    y = x\n    return y\n\ncheck(f)", stub)
    for other in ("def f(y):\n    return y\n\ncheck(f)", "def f(x):\n    return x\n\ncheck(g)", stub, "def f(x):\n\n\ncheck(f)"):
        assert not is_answer_of(other, stub)


@pytest.mark.parametrize("name", NAMES)
def test_all_solutions_are_right(name):
    said = [
        "".join(output.text) for cell in cells(f"solutions/{name}", "code") for output in cell.outputs if output.output_type == "stream"
    ]
    checked = sum("te.exercises.check_" in cell.source for cell in cells(f"solutions/{name}", "code"))
    assert checked >= 5 and sum(each.startswith("right") for each in said) == checked


@pytest.mark.parametrize("name", NAMES)
def test_each_exercise_has_three_hints(name, capsys):
    asked = {check for cell in cells(name, "code") for check in re.findall(r"te\.exercises\.check_(\w+)\(", cell.source)}
    assert asked and asked <= set(HINTS)
    for exercise in asked:
        assert len(set(HINTS[exercise])) == 3 and all(len(each) > 30 for each in HINTS[exercise])
        for number in (1, 2, 3):
            exercises.hint(exercise, number)
            assert HINTS[exercise][number - 1] in capsys.readouterr().out


@pytest.mark.parametrize("number", [0, 4, "1"])
def test_a_hint_has_a_number_from_1_to_3(number):
    with pytest.raises(ArgumentError, match="number: got"):
        exercises.hint("mixture", number)


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_exercise_is_there(name):
    kinds = set(re.findall(r"\*\*Exercise \d+\*? \((.*?)\)", prose(name)))
    assert kinds >= {"predict", "write", "find the fault", "choose without the truth", "a picture", "derive", "interpret", "open"}
    numbers = [int(number) for number in re.findall(r"\*\*Exercise (\d+)", prose(name))]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", READ)
def test_each_picture_has_a_caption_a_width_and_a_description(name):
    shown = pictures(name)
    assert len(shown) >= (8 if name in NAMES else 7)
    for cell, output in shown:
        beside = output.metadata["image/png"]
        assert len(beside["alt"]) > 60 and 0 < beside["width"] <= 960, cell.source
    captions = [
        int(number) for figures in re.findall(r"\*\*Figures? ([\d and]+)\.\*\*", prose(name)) for number in re.findall(r"\d+", figures)
    ]
    assert captions == list(range(1, len(captions) + 1)) and len(captions) >= len(shown) - 2  # the panel's, and one said by the text


@pytest.mark.parametrize("name", READ)
def test_values_and_pictures_are_shown_and_not_verdicts(name):
    texts = [
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for cell in cells(name, "code") for output in cell.outputs
    ]
    assert sum(len(re.findall(r"\b(True|False)\b", text)) for text in texts) <= 1


def terms():
    """The words that the glossary explains."""
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    return {term.strip().lower() for line in re.findall(r"^\*\*(.+?)\*\* —", page, re.M) for term in line.split(",")}


def italics(text):
    return re.findall(r"(?<![*\w])\*(?!\*)([^*\n]+?)\*(?![*\w])", re.sub(r"\$\$.*?\$\$|\$.*?\$|`.*?`", "", text, flags=re.S))


@pytest.mark.parametrize("name", READ)
def test_words_in_italics_are_in_the_glossary(name):
    found = {word.lower() for word in italics(prose(name))} - {"italics"}
    assert len(found) >= 8 and found <= terms()


def test_the_glossary_explains_a_word_once():
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [term.strip().lower() for line in re.findall(r"^\*\*(.+?)\*\* —", page, re.M) for term in line.split(",")]
    assert len(words) == len(set(words)) > 40
    assert not re.findall(r"\]\((?!http)", page)  # it travels with a copy of the course, alone


def references():
    """{key: the year in its entry}"""
    bib = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    return dict(re.findall(r"@\w+\{(\w+),.*?year = \{(\d{4})\}", bib, re.S))


def keys(text):
    """The keys of what a text cites: "Fienup 1982", "Bruck & Sodin 1979", "Shechtman et al. 2015"."""
    cited = re.findall(r"([A-Z][\w’]+)(?:(?:,? (?:&|and) [A-Z]\w+)|(?:, [A-Z]\w+ & [A-Z]\w+)| et al\.)? \(?((?:18|19|20)\d\d)\)?", text)
    return {f"{author.lower()}{year}" for author, year in cited}


@pytest.mark.parametrize("name", READ)
def test_what_is_cited_is_listed_and_in_the_bibliography(name):
    text = prose(name)
    body, _, listed = text.partition("**References**")
    assert keys(body) == keys(listed) and keys(listed) <= set(references())


def test_notebooks_measure_on_pictures_of_their_own():
    """From 03 on each takes its own slice of the test pictures, so that two of them do not rest on the same luck."""
    slices = {}
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        sources = "\n".join(cell.source for cell in cells(path.stem, "code"))
        slices[path.stem] = {range(int(first), int(first) + int(n)) for n, first in re.findall(r"examples\((\d+), first=(\d+)\)", sources)}
    taken = [(name, i) for name, own in slices.items() for each in own for i in each]
    assert len(slices["11_stable_diffusion"]) == 1 and len(taken) == len({i for _, i in taken}) > 100


def test_the_bibliography_says_the_year_of_its_keys():
    assert len(references()) > 15 and all(key.endswith(year) for key, year in references().items())
