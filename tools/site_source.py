"""The pages of the book, laid out for Sphinx from the notebooks, the documents and the package: `python tools/site_source.py FOLDER`.

Nothing is executed and nothing is kept: the folder is made anew.  Pages keep their places in the repository, so that links among them
hold; a link to any other file leads to the repository.  A notebook gets a box with its times, what it covers and the buttons that run
it; exercises are folded, and a copy that installs the package first is put into run/, for Colab and Kaggle.
"""

import posixpath
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from site_links import linked
from site_notebooks import page_of, run_copy

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "site"


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


def sources() -> dict[str, bytes]:
    """{path in the folder: content} of everything that Sphinx needs"""
    notebooks, texts = course(), documents()
    pages = {*notebooks, *texts, "api/index.md"}
    found: dict[str, bytes] = {}
    for name, file in texts.items():
        text = file.read_text(encoding="utf-8")
        found[name] = linked(text, name, pages).encode()
        for link in re.findall(r"\]\(([^)\s:]+\.(?:png|jpg))\)", text):
            picture = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
            found[picture] = (ROOT / picture).read_bytes()
    found |= {name: text.encode() for name, text in api_pages().items()}
    for name, notebook in notebooks.items():
        if "/solutions/" not in name:
            copy = run_copy(name, nbformat.from_dict(notebook))
            found[f"extra/run/{posixpath.basename(name)}"] = nbformat.writes(copy).encode()
        found[name] = nbformat.writes(page_of(name, notebook, pages)).encode()
    found["docs/references.bib"] = (ROOT / "docs" / "references.bib").read_bytes()
    found["conf.py"] = (SITE / "conf.py").read_bytes()
    return found | {f"static/{path.name}": path.read_bytes() for path in (SITE / "static").iterdir()}


def lay_out(folder: Path) -> None:
    """Make the folder hold the sources and nothing else; a file that is the same already stays, so that Sphinx need not read it again."""
    wanted = {folder / name: content for name, content in sources().items()}
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    lay_out(Path(sys.argv[1]))
