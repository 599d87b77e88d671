"""A notebook as a page of the book, and as a copy that runs on a machine without the package."""

import html
import posixpath
import re
from itertools import takewhile
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from site_links import bibliography, cited, linked, repository, revision

ROOT = Path(__file__).resolve().parents[1]
TURN = "# your turn"
EXERCISE = re.compile(r"^\*\*(?:Exercise )?(\d+)(\*?)(?: \(([^)]+)\)|\. ([^*]+?))\.?\*\*", re.M)
ROW = re.compile(r"\[(\d\d_\w+)\]\(\1\.ipynb\)")
PUBLISHED = "gh-pages"  # the branch of the site


def course_map() -> dict[str, dict[str, str]]:
    """{notebook: what it needs, minutes to run and to work through, by the map of the course; what it covers, by the page on the paper}"""
    rows: dict[str, dict[str, str]] = {}
    for line in (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and (match := ROW.fullmatch(cells[0])):
            rows[match[1]] = dict(zip(("needs", "run", "work"), cells[2:]))
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    for name, items in re.findall(r"^\| \[(\w+)\]\(\.\./notebooks/\w+\.ipynb\) \| (.*) \|$", page, re.M):
        rows[name]["paper"] = re.sub(r"\[([^\]]+)\]\(#([\w-]+)\)", r'<a href="../docs/paper.html#\2">\1</a>', items)
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
    lines = [
        f"<p><strong>Time:</strong> {row['run']} minutes to run on two CPU cores, about {hours} to work through.</p>",
        f"<p><strong>Needs:</strong> {html.escape(row['needs'])}.</p>",
        f"<p><strong>From the paper:</strong> {row['paper']}.</p>" if "paper" in row else "",
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
    for index, cell in enumerate(cells):
        if cell.cell_type == "code":
            following = takewhile(lambda each: each.cell_type == "code", cells[index:])
            if any(TURN in each.source for each in following):  # this cell, or one that it prepares
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


def numbered(notebook: NotebookNode) -> NotebookNode:
    """The notebook with its cells' ids counted, so that it is the same each time; new cells have random ones."""
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


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
    return numbered(notebook)


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
    return numbered(notebook)
