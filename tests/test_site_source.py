"""The book's pages, before Sphinx: every page has its place, links lead out where the book ends, exercises are folded.

What needs the built book is in tests/site and tests/browser/test_site.py.
"""

import re
import subprocess

import docstrings
import pytest
import site_links
import site_notebooks
import site_source
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell

from treg_edu.exercises.hints import HINTS

ROOT = site_source.ROOT


def tracked(*patterns):
    """The files of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


# Places


def listed(page):
    """The patterns of the tables of contents of a page."""
    return [line for block in re.findall(r"```\{toctree\}\n(.*?)```", page, re.S) for line in block.splitlines() if line and line[0] != ":"]


def test_every_document_and_notebook_has_its_place_in_the_book():
    patterns = listed((site_source.SITE / "index.md").read_text(encoding="utf-8"))
    regular = [pattern.replace("[0-9]*", r"\d[^/]*").replace("*", "[^/]*") for pattern in patterns]
    pages = [name.rsplit(".", 1)[0] for name in [*site_source.course(), *site_source.documents()] if name != "index.md"]
    assert len(pages) > 25
    assert [name for name in pages if sum(re.fullmatch(each, name) is not None for each in regular) != 1] == []
    assert [each for each in regular if each != "api/index" and not any(re.fullmatch(each, name) for name in pages)] == []


def test_every_markdown_file_of_the_documents_is_a_page():
    assert {name for name in tracked("docs") if name.endswith(".md") and "/site/" not in name} <= set(site_source.documents())


def test_every_public_module_has_a_page():
    import treg_edu

    pages = site_source.api_pages()
    modules = {name for name in treg_edu.__all__ if type(getattr(treg_edu, name)).__name__ == "module"}
    assert modules == set(site_source.public_modules()) == {name.removeprefix("api/").removesuffix(".md") for name in pages} - {"index"}
    assert set(listed(pages["api/index.md"])) == modules
    for name in ("treg", "solve", "load_prior", "load_judge", "cost", "Cost"):
        assert f"treg_edu.{name}\n" in pages["api/index.md"]


def test_the_address_of_the_repository_is_in_one_place(monkeypatch):
    monkeypatch.delenv("TREG_EDU_REPOSITORY", raising=False)
    address = site_links.repository().removeprefix("https://github.com/")
    places = [name for name in tracked() if address in (ROOT / name).read_bytes().decode("utf-8", "ignore")]
    assert places == ["tools/site_links.py"]
    for name in ("README.md", "CONTRIBUTING.md", "docs/site/index.md"):  # which say that it is none that one can visit
        assert "placeholder" in (ROOT / name).read_text(encoding="utf-8")
    monkeypatch.setenv("TREG_EDU_REPOSITORY", "https://github.com/somebody/course/")
    assert all("somebody/course" in each for each in site_notebooks.run_addresses("01_x").values() if each.startswith("http"))


def test_the_workflow_builds_tests_and_publishes():
    workflow = yaml.safe_load((ROOT / ".github/workflows/site.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    assert "make test-site" in commands and "make test-browser-site" in commands
    assert site_notebooks.PUBLISHED in commands and '"$VERSION"' in commands and "latest" in commands
    (torch,) = re.findall(r"^torch==.*$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert torch in commands
    assert job["env"]["TREG_EDU_REPOSITORY"] == "${{ github.server_url }}/${{ github.repository }}"


def test_the_container_installs_what_make_installs():
    container = yaml.safe_load((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert "make install" in container["postCreateCommand"] and "3.11" in container["image"]


# Links and citations


def test_a_link_that_leaves_the_book_leads_to_the_repository():
    pages = {"notebooks/01_forward_operators.ipynb", "notebooks/02_x.ipynb", "docs/glossary.md", "docs/bibliography.md"}

    def linked(text):
        return site_links.linked(text, "notebooks/01_forward_operators.ipynb", pages)

    files = f"{site_links.repository()}/blob/{site_links.revision()}"
    assert linked("[a](../docs/glossary.md#box)") == "[a](../docs/glossary.md#box)"
    assert linked("[a](../CONTRIBUTING.md)") == f"[a]({files}/CONTRIBUTING.md)"
    assert linked("[a](solutions)") == f"[a]({files.replace('blob', 'tree')}/notebooks/solutions)"
    assert linked("[a](../docs/references.bib)") == "[a](../docs/bibliography.md)"
    assert linked("[a](02_x.ipynb#E(x̂),-not-√(1))") == "[a](02_x.ipynb#ex-not-1)"
    assert linked('<a id="x"></a>X [a](#x) [b](#y)') == '<a id="x"></a>X <a href="#x">a</a> [b](#y)'
    assert linked("[a](https://arxiv.org) [b](#here) [c](lost.md)") == "[a](https://arxiv.org) [b](#here) [c](lost.md)"


def test_a_citation_becomes_a_reference_where_the_bibliography_has_it():
    keys = {"hansen2010", "youla1982"}
    text = "see Youla & Webb 1982, Hansen 2010 (not Hansen 2011), `Hansen 2010` and $Hansen 2010$"
    assert site_links.cited(text, keys) == (
        "see {cite:t}`youla1982`, {cite:t}`hansen2010` (not Hansen 2011), `Hansen 2010` and $Hansen 2010$"
    )


# Exercises


def sources(cells):
    return [cell.source for cell in cells]


def test_an_exercise_is_folded_with_its_open_cells_hints_and_solution():
    cells = [
        new_markdown_cell("Before.\n\n**Exercise 3 (write).** Split it.\n\nIn two."),
        new_code_cell("prepare()"),
        new_code_cell("x = ...  # your turn\nte.exercises.check_split(x)"),
        new_code_cell("y = ...  # your turn"),
        new_code_cell("plot()"),
        new_markdown_cell("**Exercise 4* (derive).** Show it.\n\n## Next\n\nText."),
    ]
    found = sources(site_notebooks.folded(cells, "solutions/01.html"))
    assert found[0] == "Before."
    assert found[1] == '<details class="exercise" id="exercise-3"><summary>Exercise 3 (write)</summary>\n\nSplit it.\n\nIn two.'
    assert [each.split("\n")[0] for each in found[2:5]] == ["prepare()", "x = ...  # your turn", "y = ...  # your turn"]
    assert found[5].count('<details class="hint">') == 3 and HINTS["split"][0].replace("'", "&#x27;") in found[5]
    assert found[5].endswith('<p><a href="solutions/01.html#solution-3">Solution</a></p>\n\n</details>')
    assert found[6] == "plot()"
    assert found[7].startswith('<details class="exercise" id="exercise-4"><summary>Exercise 4* (derive)</summary>\n\nShow it.')
    assert found[8].endswith("</details>") and "hint" not in found[8]
    assert found[9:] == ["## Next\n\nText."]


def test_a_numbered_paragraph_is_an_exercise_in_their_section_alone():
    cells = [
        new_markdown_cell("**1. A point.** Text."),
        new_markdown_cell("## Exercises\n\nThree."),
        new_markdown_cell("**1. The sum.** Add."),
    ]
    found = sources(site_notebooks.folded(cells, "s.html"))
    assert found[:2] == ["**1. A point.** Text.", "## Exercises\n\nThree."] and "<summary>Exercise 1. The sum</summary>" in found[2]
    assert sources(site_notebooks.folded(cells, None)) == sources(cells)


@pytest.mark.parametrize("path", [path for path in site_source.course() if "/solutions/" not in path])
def test_each_fold_of_a_notebook_closes_and_leads_to_a_solution_that_is_there(path):
    notebooks = site_source.course()
    solutions = path.replace("notebooks/", "notebooks/solutions/")
    page = site_notebooks.page_of(path, notebooks[path], set(notebooks))
    text = "\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")
    assert text.count("<details") == text.count("</details>")
    wanted = re.findall(r"#solution-(\d+)", text)
    if solutions in notebooks:
        solved = site_notebooks.page_of(solutions, notebooks[solutions], set(notebooks))
        anchors = re.findall(r'id="solution-(\d+)"', "\n".join(cell.source for cell in solved.cells))
        assert len(wanted) >= 3 and wanted == [str(number) for number in range(1, len(wanted) + 1)] and set(wanted) <= set(anchors)
    assert [cell.source for cell in page.cells if cell.cell_type == "code"] == [
        cell.source for cell in site_source.course()[path].cells if cell.cell_type == "code" and cell.source
    ]
    assert "From the paper:" in text and "to work through" in text
    opened = 0
    for cell in page.cells:  # every open cell lies in a fold
        if cell.cell_type == "markdown":
            opened += cell.source.count("<details") - cell.source.count("</details>")
        assert opened > 0 or site_notebooks.TURN not in cell.source


# Docstrings


def test_a_docstring_becomes_restructured_text():
    lines = [
        "Mean of `x`, |F x| * 2.",
        "",
        "    ẑ = x_t      (Eq. 5)",
        "",
        "z_t: (B,).  **kept** as it is",
        "x, y: (B,)",
        "- one",
        "  goes on",
        "- two",
        "end",
    ]
    docstrings.to_rst(lines)
    assert lines == [
        r"Mean of ``x``, \|F x\| \* 2.", "", "", "::", "", r"        ẑ = x_t      (Eq. 5)", "", "", r"z\_t: (B,).  \*\*kept\*\* as it is",
        "", "x, y: (B,)", "", "- one", "  goes on", "- two", "", "end", "",
    ]  # fmt: skip
