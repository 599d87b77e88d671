"""The pages of the book, laid out for Sphinx from the notebooks, the documents and the package: `python tools/site_source.py FOLDER`.

Nothing is executed and nothing is kept: the folder is made anew.  Pages keep their places in the repository, so that links among them
hold; a link to any other file leads to the repository.  A notebook gets a box with its times, what it covers and the buttons that run
it; exercises are folded, and a copy that installs the package first is put into run/, for Colab and Kaggle.
"""

import html
import os
import posixpath
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "site"
TURN = "# your turn"
EXERCISE = re.compile(r"^\*\*(?:Exercise )?(\d+)(\*?)(?: \(([^)]+)\)|\. ([^*]+?))\.?\*\*", re.M)
NOTEBOOK = re.compile(r"\[(\d\d_\w+)\]\(\1\.ipynb\)")
LINK = re.compile(r"(?<=\]\()([^()\s]+)(?=\))")
PUBLISHED = "gh-pages"  # the branch of the site


def repository() -> str:
    """The address of the repository, here alone; a workflow names its own."""
    return os.environ.get("TREG_EDU_REPOSITORY", "https://github.com/treg-edu/treg_edu").rstrip("/")


def revision() -> str:
    """The branch or tag that links to files, and what the buttons install."""
    return os.environ.get("TREG_EDU_REVISION", "main")


# Where things are


def course() -> dict[str, NotebookNode]:
    """{path in the repository: notebook}, solutions after the course."""
    paths = [*sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), *sorted((ROOT / "notebooks/solutions").glob("[0-9]*.ipynb"))]
    return {path.relative_to(ROOT).as_posix(): nbformat.read(path, 4) for path in paths}


def documents() -> dict[str, Path]:
    """{path in the book: the file}"""
    found = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "docs").rglob("*.md")) if SITE not in path.parents}
    found |= {name: ROOT / name for name in ("notebooks/README.md", "CHANGELOG.md", "data/LICENSES.md", "data/prior/README.md")}
    return found | {"index.md": SITE / "index.md", "docs/bibliography.md": SITE / "bibliography.md"}


def public_modules() -> list[str]:
    """What `treg_edu.__all__` names in small letters and is a module, read without an import."""
    source = (ROOT / "treg_edu" / "__init__.py").read_text(encoding="utf-8")
    lazy = re.findall(r'"(\w+)"', re.search(r"^LAZY = \((.*)\)", source, re.M)[1])  # type: ignore[index]
    listed = re.findall(r'^    "(\w+)",', source[source.index("__all__") :], re.M)
    package = ROOT / "treg_edu"
    return sorted(name for name in {*listed, *lazy} if (package / f"{name}.py").exists() or (package / name / "__init__.py").exists())


def api_pages() -> dict[str, str]:
    """{path in the book: page}, one a public module."""
    names = public_modules()
    top = []  # classes of a public module are on its page
    for module, line in re.findall(r"^from \.(\w+) import (.+)$", (ROOT / "treg_edu" / "__init__.py").read_text(encoding="utf-8"), re.M):
        top += [name for name in line.split(", ") if module not in names or name.islower()]
    listing = "\n".join(names)
    entries = "\n".join(f".. autoclass:: treg_edu.{name}" if name[0].isupper() else f".. autofunction:: treg_edu.{name}" for name in top)
    index = (
        "# The library\n\n`import treg_edu as te` brings these functions and modules. `te.SOLVERS` is the dictionary of the solvers by "
        "name, and [solvers](../docs/solvers.md) tells the rule and the source of each.\n\n"
        f"```{{eval-rst}}\n{entries}\n```\n\n```{{toctree}}\n:maxdepth: 1\n\n{listing}\n```\n"
    )
    pages = {"api/index.md": index}
    for name in names:
        pages[f"api/{name}.md"] = f"# {name}\n\n```{{eval-rst}}\n.. automodule:: treg_edu.{name}\n   :members:\n```\n"
    return pages


# Links and citations


def linked(text: str, page: str, pages: set[str]) -> str:
    """The text of a page whose links to files that the book lacks lead to the repository instead."""

    def replace(match: re.Match) -> str:
        address, _, anchor = match[1].partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), address))
        if not address or ":" in address or path in pages:
            return match[1]
        if path == "docs/references.bib" and "docs/bibliography.md" in pages:
            return posixpath.relpath("docs/bibliography.md", posixpath.dirname(page))
        file = ROOT / path
        if not file.exists() or (file.suffix in (".png", ".jpg") and pages):
            return match[1]
        return f"{repository()}/{'tree' if file.is_dir() else 'blob'}/{revision()}/{path}" + (f"#{anchor}" if anchor else "")

    return LINK.sub(replace, text)


def bibliography() -> set[str]:
    return set(re.findall(r"@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")))


CITATION = re.compile(r"([A-Z][\w’]+)(?:(?:,? (?:&|and) [A-Z]\w+)|(?:, [A-Z]\w+ & [A-Z]\w+)| et al\.)? ((?:18|19|20)\d\d)")


def cited(text: str, keys: set[str]) -> str:
    """The text with "Hansen 2010" as a reference where the bibliography has it; formulas and code stay."""

    def replace(match: re.Match) -> str:
        key = f"{match[1].lower()}{match[2]}"
        return f"{{cite:t}}`{key}`" if key in keys else match[0]

    parts = re.split(r"(```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$)", text, flags=re.S)
    return "".join(part if part[:1] in "`$" else CITATION.sub(replace, part) for part in parts)


# A notebook


def course_map() -> dict[str, dict[str, str]]:
    """{notebook: its rows in the two tables of the map of the course}"""
    rows: dict[str, dict[str, str]] = {}
    for line in (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and NOTEBOOK.fullmatch(cells[0]):
            rows.setdefault(NOTEBOOK.fullmatch(cells[0])[1], {}).update(zip(("needs", "run", "work"), cells[2:]))  # type: ignore[index]
        elif len(cells) == 2 and re.fullmatch(r"\d\d_\w+", cells[0]):
            rows.setdefault(cells[0], {})["paper"] = cells[1]
    return rows


def run_addresses(name: str) -> dict[str, str]:
    """{what a button says: where it leads}, from the one address of the repository."""
    owner_and_name = "/".join(repository().split("/")[-2:])
    published = f"{owner_and_name}/blob/{PUBLISHED}/latest/run/{name}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github/{published}",
        "Kaggle": f"https://www.kaggle.com/kernels/welcome?src=https://github.com/{published}",
        "Development container": f"https://codespaces.new/{owner_and_name}?ref={revision()}",
        "Download": f"../run/{name}.ipynb",
    }


def card(name: str, row: dict[str, str]) -> str:
    """The box under the title: times, what is needed, what of the paper is covered, and the buttons."""
    work = int(row["work"])
    hours = f"{work} minutes" if work < 90 else f"{work / 60:g} hours".replace(".5", "½").replace("0½", "½")
    buttons = "".join(
        f'<a href="{html.escape(address)}"{" download" if label == "Download" else ""}>{label}</a>'
        for label, address in run_addresses(name).items()
    )
    paper = f"<p><strong>From the paper:</strong> {html.escape(row['paper'])}.</p>" if "paper" in row else ""  # or the notebook says it
    lines = [
        f"<p><strong>Time:</strong> {row['run']} minutes to run on two CPU cores, about {hours} to work through.</p>",
        f"<p><strong>Needs:</strong> {html.escape(row['needs'])}.</p>",
        paper,
        f'<p class="run"><strong>Run it:</strong> {buttons}</p>',
    ]
    return '<div class="notebook-card">\n' + "\n".join(filter(None, lines)) + "\n</div>"


def hints_of(source: str) -> list[str]:
    """The hints of the exercise that a cell checks, if it has any."""
    check = re.search(r"te\.exercises\.check_(\w+)\(", source)
    return list(all_hints().get(check[1], ())) if check else []


def all_hints() -> dict[str, tuple[str, ...]]:
    from treg_edu.exercises.hints import HINTS  # it needs torch, which the other functions do without

    return HINTS


def folded(cells: list[NotebookNode], solutions: str | None) -> list[NotebookNode]:
    """The cells, each exercise folded with its open cell, its hints and the way to its solution."""
    found: list[NotebookNode] = []
    waiting: str | None = None  # the end of an exercise whose open cells may go on
    checks = ""

    def close() -> None:
        nonlocal waiting, checks
        if waiting is not None:
            hints = [
                f'<details class="hint"><summary>Hint {number}</summary>\n<p>{html.escape(hint)}</p>\n</details>'
                for number, hint in enumerate(hints_of(checks), 1)
            ]
            found.append(new_markdown_cell("\n\n".join([*hints, waiting, "</details>"])))
        waiting, checks = None, ""

    in_exercises = False
    for cell in cells:
        if cell.cell_type == "code":
            if TURN in cell.source:
                checks += cell.source
            else:
                close()
            found.append(cell)
            continue
        close()
        in_exercises = in_exercises or re.search(r"^## (More e|E)xercises", cell.source, re.M) is not None
        starts = [match for match in EXERCISE.finditer(cell.source) if in_exercises or match[0].startswith("**Exercise")]
        if solutions is None or not starts:
            found.append(cell)
            continue
        before = cell.source[: starts[0].start()].strip()
        if before:
            found.append(new_markdown_cell(before))
        for match, end in zip(starts, [*(match.start() for match in starts[1:]), len(cell.source)]):
            close()
            text = cell.source[match.end() : end]
            heading = re.search(r"^#+ ", text, re.M)
            after = text[heading.start() :] if heading else ""
            title = f"Exercise {match[1]}{match[2]}" + (f" ({match[3]})" if match[3] else f". {match[4]}")
            summary = f'<details class="exercise" id="exercise-{match[1]}"><summary>{html.escape(title)}</summary>'
            body = f"{summary}\n\n{text[: heading.start() if heading else None].strip()}"
            found.append(new_markdown_cell(body))
            waiting = f'<p><a href="{solutions}#solution-{match[1]}">Solution</a></p>'
            if after:
                close()
                found.append(new_markdown_cell(after))
    close()
    return found


def shown(cell: NotebookNode) -> NotebookNode:
    """A code cell as the book shows it: tests of claims folded, pictures with their width and description, panels left out."""
    if "claim" in cell.metadata.get("tags", []):
        cell.metadata["tags"] = ["hide-input"]
        cell.metadata["mystnb"] = {"code_prompt_show": "Show what tests the text", "code_prompt_hide": "Hide what tests the text"}
    for output in cell.get("outputs", []):
        beside = output.get("metadata", {}).get("image/png")
        if beside:
            cell.metadata["mystnb"] = {"image": {"alt": beside["alt"], "width": f"{beside['width']}px"}}
    if ".widget" in cell.source and "te.widgets." in cell.source:
        cell.outputs = []
    return cell


def page_of(path: str, notebook: NotebookNode, pages: set[str]) -> NotebookNode:
    """The notebook as a page of the book."""
    name = posixpath.splitext(posixpath.basename(path))[0]
    is_solution = "/solutions/" in path
    solutions = f"notebooks/solutions/{name}.ipynb"
    has_solutions = not is_solution and solutions in pages
    cells = folded(notebook.cells, f"solutions/{name}.html" if has_solutions else None)
    if is_solution:
        for cell in cells:
            if cell.cell_type == "markdown":
                cell.source = re.sub(r"^(?=\*\*(\d+)\*?\. )", r'<span id="solution-\1"></span>\n\n', cell.source, flags=re.M)
    else:
        title, _, rest = cells[0].source.partition("\n")
        cells[0].source = f"{title}\n\n{card(name, course_map()[name])}\n\n{rest}"
    keys = bibliography()
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = cited(linked(cell.source, path, pages), keys)
        else:
            shown(cell)
    notebook.cells = [cell for cell in cells if cell.source]
    return notebook


def run_copy(path: str, notebook: NotebookNode) -> NotebookNode:
    """The notebook for a machine without the package: it installs it first.  Links lead to the repository; outputs are left out."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, path, set())
        else:
            cell.outputs, cell.execution_count = [], None
    install = f'%pip install --quiet "treg_edu @ {repository()}/archive/{revision()}.zip"'
    source = f"try:\n    import treg_edu\nexcept ImportError:\n    {install}"
    notebook.cells.insert(1, new_code_cell(source))
    return notebook


def lay_out(folder: Path) -> None:
    """Write everything that Sphinx needs into the folder, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    notebooks, texts = course(), documents()
    pages = {*notebooks, *texts}

    def put(name: str, text: str) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    for name, file in texts.items():
        text = file.read_text(encoding="utf-8")
        put(name, linked(text, name, pages | {"api/index.md"}))
        for link in re.findall(r"\]\(([^)\s:]+\.(?:png|jpg))\)", text):
            picture = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
            (folder / picture).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / picture, folder / picture)
    for name, text in api_pages().items():
        put(name, text)
    for name, notebook in notebooks.items():
        put(name, nbformat.writes(page_of(name, notebook, pages)))
    for name, notebook in course().items():
        if "/solutions/" not in name:
            put(f"extra/run/{posixpath.basename(name)}", nbformat.writes(run_copy(name, notebook)))
    shutil.copy(ROOT / "docs" / "references.bib", folder / "docs")
    shutil.copy(SITE / "conf.py", folder)
    shutil.copytree(SITE / "static", folder / "static")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    lay_out(Path(sys.argv[1]))
