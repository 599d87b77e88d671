"""Links and citations in the pages of the book, and the address of the repository, which the links that leave the book begin with."""

import os
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()((?:[^()\s]|\([^()\s]*\))+)(?=\))")  # an anchor may hold parentheses
CITATION = re.compile(r"([A-Z][\w’]+)(?:(?:,? (?:&|and) [A-Z]\w+)|(?:, [A-Z]\w+ & [A-Z]\w+)| et al\.)? ((?:18|19|20)\d\d)")


def repository() -> str:
    """The address of the repository, here alone: a placeholder, until the repository is published.  A workflow names its own."""
    return os.environ.get("TREG_EDU_REPOSITORY", "https://github.com/treg-edu/treg_edu").rstrip("/")


def revision() -> str:
    """The branch or tag that links to files, and what the buttons install."""
    return os.environ.get("TREG_EDU_REVISION", "main")


def linked(text: str, page: str, pages: set[str]) -> str:
    """The text of a page whose links to files that the book lacks lead to the repository instead."""

    def replace(match: re.Match) -> str:
        address, _, anchor = match[1].partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), address))
        if address and path in pages and path.endswith(".ipynb") and anchor:
            return f"{address}#{slug(anchor)}"
        if not address or ":" in address or path in pages:
            return match[1]
        if path == "docs/references.bib" and "docs/bibliography.md" in pages:
            return posixpath.relpath("docs/bibliography.md", posixpath.dirname(page))
        file = ROOT / path
        if not file.exists() or (file.suffix in (".png", ".jpg") and pages):
            return match[1]
        return f"{repository()}/{'tree' if file.is_dir() else 'blob'}/{revision()}/{path}" + (f"#{anchor}" if anchor else "")

    for name in re.findall(r'<a id="([\w-]+)"></a>', text):  # an anchor in HTML is known to HTML alone
        text = re.sub(rf"\[([^\]]+)\]\(#{name}\)", rf'<a href="#{name}">\1</a>', text)
    return LINK.sub(replace, text)


def slug(anchor: str) -> str:
    """The anchor of a heading in the book, from that of JupyterLab, which has hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", anchor.strip().lower()).replace(" ", "-")


def bibliography() -> set[str]:
    return set(re.findall(r"@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")))


def cited(text: str, keys: set[str]) -> str:
    """The text with "Hansen 2010" as a reference where the bibliography has it; formulas and code stay."""

    def replace(match: re.Match) -> str:
        key = f"{match[1].lower()}{match[2]}"
        return f"{{cite:t}}`{key}`" if key in keys else match[0]

    parts = re.split(r"(```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$)", text, flags=re.S)
    return "".join(part if part[:1] in "`$" else CITATION.sub(replace, part) for part in parts)
