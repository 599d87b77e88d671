"""`treg-edu course DIR --slides`, without a browser: which cells become slides, what is on one, and that no deck needs a network."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from typer.testing import CliRunner

from treg_edu import cli
from treg_edu.cli import course, slides

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
PICTURE = v4.new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "a figure"})
TABLE = v4.new_output("display_data", {"text/html": "<table></table>", "text/plain": "a table"})


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)


def code(source, *outputs, tags=()):
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def text(source, *tags):
    return v4.new_markdown_cell(source, metadata={"tags": list(tags)})


def shown(*cells):
    """The sources on each slide, and the number of outputs."""
    found = slides.slides_of(v4.new_notebook(cells=list(cells)))
    return [[cell["source"] if cell["cell_type"] == "markdown" else len(cell["outputs"]) for cell in slide.cells] for slide in found]


UNTAGGED = (
    text("# T\n\n**Why?**"),
    text("Before.\n\n## A\n\nFirst. Second.\n\n## B\n\nOther."),
    code("figure()", PICTURE, TABLE),
    code("assert True"),
    text("**Figure 1.** A caption.\n\nMore."),
    code("table()", TABLE),
    text("## Play\n\nWith a panel."),
    code("panel()", PICTURE),
    text("## Exercises\n\n**1. Do it.**"),
    text("## In short\n\nAll."),
)


def test_an_untagged_notebook_has_a_slide_for_each_heading_and_each_figure():
    assert shown(*UNTAGGED) == [
        ["# T\n\n**Why?**"],
        ["## A\n\nFirst. Second."],
        ["## B\n\nOther."],
        ["### B", 1, '<div class="caption">\n\n**Figure 1.** A caption.\n\n</div>'],
        ["## In short\n\nAll."],
    ]


def test_figures_in_a_row_have_the_captions_that_follow_in_a_row():
    after = text("**Figure 1.** One.\n\n**Figure 2.** Two.\n\nMore.")
    one, two = shown(text("# T"), code("f()", PICTURE), code("g()", PICTURE), after)[1:]
    assert "**Figure 1.** One." in one[-1] and "**Figure 2.** Two." in two[-1] and "Figure 1" not in two[-1]


def test_with_one_tag_only_tagged_cells_are_shown():
    found = shown(
        text("# T\n\nNot this."),
        text("## A\n\nThis.", "slide"),
        code("f(x)", tags=["slide-more", "slide-code"]),
        code("figure()", PICTURE),
        code("table()", TABLE, tags=["slide"]),
        text("Prose without a heading.", "slide"),
    )
    assert found == [["## A\n\nThis.", 0], ["### A", 1], ["### A\n\nProse without a heading."]]


def test_source_is_shown_where_the_tag_says_so():
    with_code, without = slides.slides_of(v4.new_notebook(cells=[code("f(x)", tags=["slide-code"]), code("g(x)", tags=["slide"])]))
    assert with_code.cells[1]["source"] == "f(x)" and with_code.cells[1]["metadata"]["tags"] == []
    page = slides.html("T", [with_code, without])
    written = re.sub("<[^>]*>", "", page)
    assert "f(x)" in written and "g(x)" not in written


def test_an_exercise_that_is_on_a_slide_says_what_to_do():
    stub = "def f(x):\n    return ...  # your turn"
    asked = text("## A\n\nOne.\n\n**Exercise 1 (write).** Do this.\n\n**Exercise 2 (write).** Do that. " + "And more of it. " * 40)
    found = shown(asked, code(stub, tags=["slide-code"]), code("f(1)", tags=["slide-code"]))
    assert (
        found[0][0] == "### A"
        and found[0][1].startswith("**Exercise 2 (write).** Do that. And")
        and len(found[0][1]) < 0.6 * slides.LONGEST
    )
    assert found[1] == ["### A", 0]


def test_a_figure_says_what_it_shows():
    told = v4.new_output("display_data", {"image/png": "iVBORw0KGgo="}, metadata={"image/png": {"alt": "Two <arrows>"}})
    page = slides.html("T", slides.slides_of(v4.new_notebook(cells=[text("# T"), code("f()", told), code("g()", PICTURE)])))
    assert 'alt="Two &lt;arrows&gt;"' in page and "A figure of the section" in page and "No description" not in page


def test_all_prose_of_a_slide_is_in_its_notes():
    long = "## A\n\nOne.\n\nTwo.\n\nThree, which is not on the slide."
    (slide,) = slides.slides_of(v4.new_notebook(cells=[text(long, "slide")]))
    assert slide.cells[0]["source"] == "## A\n\nOne.\n\nTwo." and slide.notes == [long]
    assert re.search(r'(?s)<aside class="notes">.*Three, which is not on the slide.*</aside>', slides.html("T", [slide]))


@pytest.mark.parametrize(
    "prose, on_the_slide",
    [
        ("## A\n\nFormula:\n\n$$ x = 1. $$\n\nWith x.", "## A\n\nFormula:\n\n$$ x = 1. $$\n\nWith x."),
        ("## A\n\nOne.\n\n**Exercise 1 (write).** Do.", "## A\n\nOne."),
        ("## A\n\nOne.\n\n- a\n- b", "## A\n\nOne.\n\n- a\n- b"),
        ("## A\n\nOne.\n\n| a | b |\n| - | - |", "## A\n\nOne."),
        ("**Figure 3.** Caption.\n\nThen.", "Then."),
    ],
)
def test_what_of_a_text_is_on_a_slide(prose, on_the_slide):
    assert slides.lead(prose) == on_the_slide


def test_prose_is_cut_between_sentences():
    sentence = "This sentence is as long as others are. "
    assert slides.sentences(sentence * 20, 100) == (sentence * 2).strip()
    assert slides.lead("## A\n\n" + sentence * 40).count("This") == slides.LONGEST // len(sentence)


def test_a_caption_does_not_end_with_the_word_before_a_colon():
    right = "Right: " + "what is too long " * 20
    assert slides.caption(f"**Figure 1.** Two. Left: one thing. {right}.") == "**Figure 1.** Two. Left: one thing."


def test_links_to_other_files_become_their_words():
    assert (
        slides.prose("[here](../docs/x.md#y), [there](https://a.b) and ![i](data:x)")["source"]
        == "here, [there](https://a.b) and ![i](data:x)"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_has_a_deck_of_a_class(name):
    notebook = read(name)
    found = slides.slides_of(notebook)
    assert 8 <= len(found) <= 40
    assert found[0].cells[0]["source"].startswith(notebook.cells[0].source.splitlines()[0])
    pictures = sum(slides.is_picture(cell["outputs"]) for slide in found for cell in slide.cells if cell["cell_type"] == "code")
    there = sum(slides.is_picture(cell.outputs) for cell in notebook.cells if cell.cell_type == "code")
    assert pictures >= 0.6 * there
    for slide in found:
        prose = "".join(cell["source"] for cell in slide.cells if cell["cell_type"] == "markdown")
        assert len(prose) < 3 * slides.LONGEST and prose.count("$$") % 2 == 0, prose


@pytest.mark.parametrize("name", NAMES)
def test_tags_of_slides_are_known_and_none_asks_for_a_long_source(name):
    for cell in read(name).cells:
        tags = {tag for tag in cell.metadata.get("tags", []) if tag.startswith("slide")}
        assert tags <= {slides.STARTS, slides.CONTINUES, slides.WITH_CODE}
        assert slides.WITH_CODE not in tags or len(cell.source.splitlines()) <= 16


def test_a_deck_asks_for_nothing_from_a_network():
    page = slides.html("T", slides.slides_of(v4.new_notebook(cells=list(UNTAGGED))))
    asked = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="([^"]*)"', page)
    assert len(asked) >= 4 and all(address.startswith(("reveal.js/", "mathjax/", "data:")) for address in asked)
    assert "import mermaid" not in page and "require(" not in page


# The command


@pytest.fixture
def with_reveal(monkeypatch):
    monkeypatch.setattr(slides, "shown_by", lambda: {"reveal.js/LICENSE": b"MIT", "mathjax/tex-svg.js": b""})


def run(*arguments):
    return CliRunner().invoke(cli.app, ["course", *map(str, arguments)], catch_exceptions=False)


def test_the_command_writes_a_page_for_each_notebook_and_an_index(tmp_path, with_reveal, monkeypatch):
    monkeypatch.setattr(slides, "slides_of", lambda notebook: [slides.Slide([slides.prose("# T")])])
    assert run(tmp_path / "decks", "--slides").exit_code == 0
    there = {path.relative_to(tmp_path / "decks").as_posix() for path in (tmp_path / "decks").rglob("*") if path.is_file()}
    assert there == {"index.html", "reveal.js/LICENSE", "mathjax/tex-svg.js", course.WRITTEN, *(f"{name}.html" for name in NAMES)}
    index = (tmp_path / "decks" / "index.html").read_text(encoding="utf-8")
    assert all(f'<a href="{name}.html">{name[:2]}' in index for name in NAMES)


@pytest.mark.parametrize("more", ["--solutions", "--nbgrader"])
def test_slides_have_a_folder_of_their_own(tmp_path, more):
    result = run(tmp_path / "decks", "--slides", more)
    assert (
        result.exit_code == 2
        and result.stderr.startswith("error: --slides: got another option as well")
        and not (tmp_path / "decks").exists()
    )


def test_without_reveal_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(slides.importlib.util, "find_spec", lambda name: None)
    result = run(tmp_path / "decks", "--slides")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: sphinx_revealjs is not installed") and "treg_edu[teach]" in result.stderr
