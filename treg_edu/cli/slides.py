"""`treg-edu course DIR --slides`: a deck of slides for each notebook, for a browser without a network.

Prose is cut to what a slide holds: a heading, the first sentences, formulas and a short list.  All of it is in the speaker's notes.
Figures are the committed ones, with their captions; code is shown where a tag asks for it.
"""

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files

__all__ = ["Slide", "deck_files", "slides_of"]

STARTS, CONTINUES, WITH_CODE = "slide", "slide-more", "slide-code"
"""Tags of cells: begins a slide; goes below the last one; begins a slide that shows the source as well."""
OPEN = "# your turn"
"""What an open line of an exercise ends with."""
NOT_SHOWN = ("Play", "Exercises", "More exercises")
"""Sections that are for the reader alone, where no tag says otherwise."""
LONGEST = 340
"""Characters of prose on a slide; a caption has two thirds of it."""
PARAGRAPHS = 2
"""Most paragraphs on a slide, formulas and lists aside."""
LIST = 6
"""Most items of a list."""
WIDTH, HEIGHT = 1280, 720

TEMPLATE = """\
{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
{%- block html_head_js_mathjax -%}
<script>
window.MathJax = {
  tex: {inlineMath: [["$", "$"]], displayMath: [["$$", "$$"]], processEscapes: true},
  options: {enableMenu: false},
  startup: {typeset: false}
};
</script>
<script src="mathjax/tex-svg.js"></script>
{%- endblock html_head_js_mathjax -%}
{%- block html_head_css -%}
<style>
.reveal { font-size: 26px; text-align: left; }
.reveal .slides section { text-align: left; }
.reveal h1 { font-size: 52px; text-transform: none !important; }
.reveal h2 { font-size: 40px; text-transform: none !important; }
.reveal h3 { font-size: 26px; text-transform: none !important; opacity: 0.7; }
.reveal .jp-RenderedHTMLCommon { font-size: 26px; line-height: 1.35; }
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt, .reveal .jp-Collapser { display: none; }
.reveal .jp-OutputArea-output img { display: block; margin: 8px auto; max-width: 100%; max-height: 470px; width: auto; height: auto; }
.reveal .jp-CodeMirrorEditor, .reveal .highlight pre { font-size: 20px; line-height: 1.25; box-shadow: none; width: 100%; }
.reveal table { font-size: 20px; }
.reveal pre { font-size: 20px; box-shadow: none; }
.reveal .caption { font-size: 22px; opacity: 0.85; }
</style>
{%- endblock html_head_css -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}" \
alt="{{ ((output | get_metadata('alt', 'image/png')) or cell.metadata.alt) | escape_html }}">
</div>
{%- endblock data_png -%}
{%- block footer_js -%}
<script src="reveal.js/dist/reveal.js"></script>
<script src="reveal.js/plugin/notes/notes.js"></script>
<script>
MathJax.startup.promise.then(() => MathJax.typesetPromise()).then(() => Reveal.initialize({
  controls: true, progress: true, history: false, hash: true, slideNumber: "c/t", transition: "none", center: false,
  width: WIDTH, height: HEIGHT, margin: 0.04, plugins: [RevealNotes]
})).then(() => {
  const fit = () => {  // what is a little too long is drawn smaller
    const slide = Reveal.getCurrentSlide();
    slide.style.zoom = 1;
    if (slide.scrollHeight > HEIGHT) slide.style.zoom = HEIGHT / slide.scrollHeight;
  };
  Reveal.on("slidechanged", fit);
  fit();
  document.body.setAttribute("data-ready", "yes");
});
</script>
{%- endblock footer_js -%}
""".replace("WIDTH", str(WIDTH)).replace("HEIGHT", str(HEIGHT))

INDEX = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Slides of the course</title></head>
<body style="font-family: sans-serif; max-width: 40em; margin: 2em auto">
<h1>Slides of the course</h1>
<ul>
{items}
</ul>
<p>Keys: space and arrows, S for the speaker's notes, O for an overview, F for the full screen. To print: add ?print-pdf to the address.</p>
<p>Shown by reveal.js (MIT, reveal.js/LICENSE); formulas by MathJax (Apache-2.0).</p>
</body>
</html>
"""


@dataclass
class Slide:
    """What is on it, as cells of a notebook, and what the speaker sees below it."""

    cells: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def deck_files() -> dict[str, bytes]:
    """{name: content}: NAME.html of each notebook, index.html, and what shows them."""
    import nbformat

    found = shown_by()
    folder, items = files.shipped("notebooks"), []
    for path in sorted(folder.glob("[0-9]*.ipynb")):
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), 4)
        title = source_of(notebook["cells"][0]).splitlines()[0].lstrip("# ")
        found[f"{path.stem}.html"] = html(title, slides_of(notebook)).encode()
        items.append(f'<li><a href="{path.stem}.html">{title}</a></li>')
    return found | {"index.html": INDEX.format(items="\n".join(items)).encode()}


def shown_by() -> dict[str, bytes]:
    """reveal.js and MathJax, of the packages that have them."""
    spec = importlib.util.find_spec("sphinx_revealjs")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("sphinx_revealjs", name="sphinx_revealjs")
    reveal = Path(spec.submodule_search_locations[0]) / "_static" / "revealjs"
    mathjax = importlib.util.find_spec("sphinx-mathjax-offline")
    if mathjax is None or not mathjax.submodule_search_locations:
        raise ModuleNotFoundError("sphinx_mathjax_offline", name="sphinx_mathjax_offline")
    wanted = ["LICENSE", "dist/reveal.css", "dist/reveal.js", "dist/theme/white.css", "plugin/notes/notes.js"]
    wanted += [path.relative_to(reveal).as_posix() for path in sorted((reveal / "dist/theme/fonts/source-sans-pro").iterdir())]
    found = {f"reveal.js/{name}": (reveal / name).read_bytes() for name in wanted}
    script = Path(mathjax.submodule_search_locations[0]) / "static" / "mathjax" / "tex-svg.js"
    return found | {"mathjax/tex-svg.js": script.read_bytes()}


# Which slides a notebook has


def slides_of(notebook: dict[str, Any]) -> list[Slide]:
    """Where a notebook has tags, a slide for each cell with one; where it has none, for each second-level heading and each figure."""
    cells = notebook["cells"]
    tagged = any(tags_of(cell) for cell in cells)
    found: list[Slide] = []
    section, figures = "", 0  # since the last prose
    for place, cell in enumerate(cells):
        tags, source = tags_of(cell), source_of(cell)
        if cell["cell_type"] == "markdown":
            figures = 0
            pieces = re.split(r"(?m)(?=^## )", source)
            for piece in pieces:
                heading = re.match(r"##? (.*)", piece)
                section = heading[1] if heading else section
                wanted = bool(tags) and bool(heading or len(pieces) == 1) if tagged else bool(heading) and section not in NOT_SHOWN
                if wanted and CONTINUES in tags and found:
                    found[-1].cells.append(prose(lead(piece)))
                    found[-1].notes.append(piece)
                elif wanted:
                    found.append(Slide([prose(lead(piece) if heading else f"### {section}\n\n{lead(piece)}")], [piece]))
        elif cell["cell_type"] == "code":
            outputs = [output for output in cell["outputs"] if tags or "image/png" in output.get("data", {})]
            wanted = bool(tags) if tagged else bool(outputs) and section not in NOT_SHOWN
            if wanted:
                alt = cell["metadata"].get("alt") or f"A figure of the section {section!r}"
                shown = [code(source if WITH_CODE in tags else "", outputs, alt)]
                after = [each for each in cells[place + 1 :] if each["cell_type"] == "markdown"]
                text = caption(source_of(after[0]), figures) if after and is_picture(outputs) else ""
                shown += [prose(f'<div class="caption">\n\n{text}\n\n</div>')] if text else []
                before = [each for each in cells[:place] if each["cell_type"] == "markdown"]
                stub = WITH_CODE in tags and CONTINUES not in tags and OPEN in source
                asked = exercise(source_of(before[-1])) if before and stub else ""
                shown = [prose(asked), *shown] if asked else shown
                if CONTINUES in tags and found:
                    found[-1].cells += shown
                else:
                    found.append(Slide([prose(f"### {section}"), *shown]))
            figures += is_picture(cell["outputs"])
    return found


def tags_of(cell: dict[str, Any]) -> set[str]:
    return {STARTS, CONTINUES, WITH_CODE} & set(cell.get("metadata", {}).get("tags", []))


def source_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def is_picture(outputs: list[dict[str, Any]]) -> bool:
    return any("image/png" in output.get("data", {}) for output in outputs)


# What of a text is on a slide


def paragraphs(text: str) -> list[str]:
    return [each.strip("\n") for each in re.split(r"\n\s*\n", text) if each.strip()]


def exercise(text: str) -> str:
    """The first sentences of the last exercise that a piece of prose states; empty where it states none."""
    stated = [each for each in paragraphs(text) if re.match(r"\*\*Exercise \d", each)]
    return sentences(stated[-1], LONGEST // 2) if stated else ""


def lead(text: str) -> str:
    """Of a piece of prose: its heading, the first sentences, and the formulas and the short list that follow them."""
    kept: list[str] = []
    texts = 0
    for each in paragraphs(text):
        if re.match(r"#+ ", each):
            kept += [line for line in each.splitlines() if line.startswith("#")][:1]
            continue
        if re.match(r"\*\*(Exercise \d|Figures? \d|\d+\. )", each):
            continue
        if each.startswith(("$$", "    ")):
            kept.append(each)
        elif re.match(r"[-*] ", each):
            kept.append("\n".join(items(each)[:LIST]))
        elif each.startswith("|"):
            break
        elif texts < PARAGRAPHS:
            kept.append(sentences(each, LONGEST))
            texts += 1
        else:
            break
        if sum(map(len, kept)) > 2 * LONGEST:
            break
    return "\n\n".join(kept)


def items(paragraph: str) -> list[str]:
    """The items of a list."""
    return [each.strip("\n") for each in re.split(r"(?m)^(?=[-*] )", paragraph) if each.strip()]


def sentences(text: str, longest: int, ends: str = ".!?:") -> str:
    """The first sentences, as many as fit; one at least."""
    parts = re.split(rf"(?<=[{ends}])\s+(?=[A-Z*$`(])", text)
    kept = parts[:1]
    for each in parts[1:]:
        if sum(map(len, kept)) + len(each) > longest:
            break
        kept.append(each)
    return " ".join(kept)


def caption(text: str, figure: int = 0) -> str:
    """That of a figure above a cell, if its text begins with one.  figure: which of several, whose captions follow each other."""
    first = paragraphs(text)[0] if text.strip() else ""
    captions = [each for each in paragraphs(text) if each.startswith("**Figure")]
    if first in captions:
        first = captions[min(figure, len(captions) - 1)]
    return sentences(first, LONGEST * 2 // 3, ends=".!?") if first and not first.startswith(("#", "$$", "|", "**Exercise", "- ")) else ""


# As HTML


def prose(text: str) -> dict[str, Any]:
    """Without links to other files, which a deck does not have beside it."""
    text = re.sub(r"(?<!!)\[([^\]\n]+)\]\((?!https?:)[^)\s]+\)", r"\1", text)
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(source: str, outputs: list[dict[str, Any]], alt: str) -> dict[str, Any]:
    """alt: what a figure shows, where its output does not say so."""
    about = {"tags": [] if source else ["hide-source"], "alt": alt}
    return {"cell_type": "code", "metadata": about, "source": source or "pass", "outputs": outputs, "execution_count": None}


def html(title: str, slides: list[Slide]) -> str:
    """A deck as one page, by nbconvert."""
    import nbformat
    from nbconvert.exporters import SlidesExporter
    from traitlets.config import Config

    cells = []
    for slide in slides:
        for place, cell in enumerate(slide.cells):
            cell["metadata"]["slideshow"] = {"slide_type": "-" if place else "slide"}
            cells.append(cell)
        if slide.notes:
            cells.append(prose("\n\n".join(slide.notes)) | {"metadata": {"slideshow": {"slide_type": "notes"}}})
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    made = nbformat.from_dict({"cells": cells, "metadata": {"title": title}, "nbformat": 4, "nbformat_minor": 5})
    settings = Config()
    settings.TagRemovePreprocessor.remove_input_tags = {"hide-source"}
    settings.TagRemovePreprocessor.enabled = True
    exporter = SlidesExporter(config=settings, reveal_url_prefix="reveal.js", reveal_theme="white", raw_template=TEMPLATE)
    text, _ = exporter.from_notebook_node(made)
    return text
