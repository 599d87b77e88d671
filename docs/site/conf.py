"""Sphinx's settings for the book.  tools/site_source.py lays out the pages and copies this file beside them; `make site` does both."""

import os
import sys
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path

import sphinxcontrib.bibtex.plugin
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

sys.path.insert(0, os.environ["TREG_EDU_ROOT"])
sys.path.insert(0, str(Path(os.environ["TREG_EDU_ROOT"]) / "tools"))

import docstrings
import site_links

import treg_edu

project = "treg_edu"
author = copyright = "the treg_edu authors"
version = release = treg_edu.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinxcontrib.bibtex", "sphinx_copybutton"]
nb_execution_mode = "off"  # the committed outputs are shown
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

# One file with every extension and all glyphs as SVG: it loads nothing else, from a file system either.
MATHJAX = "tex-svg-full.js"
mathjax_path = MATHJAX
mathjax3_config = {"options": {"enableMenu": False}}  # the menu offers what would have to be loaded


@dataclass
class PlainYear(AuthorYearReferenceStyle):
    """Chambolle & Pock 2011, as in the notebooks."""

    bracket_textual: BracketStyle = field(default_factory=lambda: BracketStyle(left="", right=""))


sphinxcontrib.bibtex.plugin.register_plugin("sphinxcontrib.bibtex.style.referencing", "plain_year", PlainYear)
bibtex_bibfiles = ["docs/references.bib"]
bibtex_reference_style = "plain_year"
bibtex_default_style = "plain"

autodoc_default_options = {"exclude-members": "set"}  # which matplotlib gives to every artist
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "sphinx_book_theme"
html_title = f"treg_edu {version}"
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_static_path = ["static"]
html_extra_path = ["extra"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_domain_indices = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_theme_options = {
    "repository_url": site_links.repository(),
    "use_repository_button": True,
    "use_download_button": False,  # each notebook has its own
    "navbar_persistent": [],
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
templates_path: list[str] = []
exclude_patterns = ["extra", "static", "conf.py"]


def setup(app):
    package = distribution("sphinx-mathjax-offline")
    source = Path(package.locate_file(f"sphinx-mathjax-offline/static/mathjax/{MATHJAX}"))
    Path(app.srcdir, "static", MATHJAX).write_bytes(source.read_bytes())
    app.connect("autodoc-process-docstring", lambda app, what, name, member, options, lines: docstrings.to_rst(lines))
