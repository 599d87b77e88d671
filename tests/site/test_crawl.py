"""out/site, as `make site` leaves it: every link, reference and picture in it leads somewhere, and nothing in it comes from elsewhere."""

import hashlib
import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import site_links
import site_notebooks
import site_source

import treg_edu

SITE = site_source.ROOT / "out" / "site"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
NOTEBOOKS = [name for name in PAGES if re.match(r"notebooks/\d", name)]
SOLUTIONS = [name for name in PAGES if name.startswith("notebooks/solutions/")]
LOADING = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src", "video": "src", "audio": "src"}


class Page(HTMLParser):
    """What a page links to, what it loads, its anchors and its pictures."""

    def __init__(self, name):
        super().__init__()
        self.links, self.loads, self.ids, self.images = [], [], set(), []
        self.text = (SITE / name).read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in LOADING and LOADING[tag] in found:
            self.loads.append(found[LOADING[tag]])
        if tag == "img":
            self.images.append(found)


READ = {name: Page(name) for name in PAGES}


def is_local(address):
    return not urlsplit(address).scheme and not address.startswith("//")


def target(page, address):
    """(file, anchor) of an address in a page"""
    parts = urlsplit(address)
    file = (SITE / page).parent / unquote(parts.path) if parts.path else SITE / page
    return file.resolve(), unquote(parts.fragment)


def test_the_site_is_built():
    assert len(NOTEBOOKS) >= 9 and len(SOLUTIONS) >= 8 and len(PAGES) > 50, "make site"


@pytest.mark.parametrize("name", PAGES)
def test_every_link_and_reference_of_a_page_leads_somewhere(name):
    lost = []
    for address in filter(is_local, READ[name].links + READ[name].loads):
        file, anchor = target(name, address)
        there = file.is_file() and SITE in file.parents
        if there and anchor and file.suffix == ".html":
            there = anchor in READ[file.relative_to(SITE).as_posix()].ids
        lost += [] if there else [address]
    assert lost == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_from_elsewhere(name):
    page = READ[name]
    assert page.loads and [address for address in page.loads if not is_local(address) and not address.startswith("data:")] == []
    assert re.findall(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", page.text) == []


def test_no_style_loads_anything_from_elsewhere_and_what_it_loads_is_there():
    sheets = list((SITE / "_static").rglob("*.css"))
    assert len(sheets) > 5
    for sheet in sheets:
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.S)
        for address in re.findall(r"""(?:@import\s+|url\()\s*["']?([^"')\s;]+)""", text):
            if not address.startswith(("data:", "#")):
                assert is_local(address) and (sheet.parent / urlsplit(address).path).is_file(), (sheet.name, address)


def test_mathematics_comes_with_the_site_and_is_what_mathjax_published():
    """The digest is that of es5/tex-svg-full.js in the npm package mathjax 3.2.2."""
    file = SITE / "_static" / "tex-svg-full.js"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6"
    for page in READ.values():
        if 'class="math ' in page.text:
            assert any("tex-svg-full.js" in address for address in page.loads)


@pytest.mark.parametrize("name", PAGES)
def test_each_picture_is_described(name):
    for image in READ[name].images:
        assert len(image.get("alt", "")) > 8, image


@pytest.mark.parametrize("name", [name for name in PAGES if name != "search.html"])
def test_a_page_is_written_out(name):
    """No markup is left over, and there is one title."""
    article = re.search(r"<article.*</article>", READ[name].text, re.S)[0]
    article = re.sub(r"<pre.*?</pre>|<code.*?</code>", "", article, flags=re.S)
    assert not re.search(r"\{(cite|doc|ref):?\w*\}|:::|```|\]\([\w./]+\)", article)
    assert len(re.findall(r"<h1\b", article)) == 1


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_says_what_one_learns_how_long_it_takes_and_what_it_covers(name):
    text = READ[name].text
    for words in ("you can", "minutes to run", "to work through", "From the paper:", "Needs:"):
        assert words in text, words
    assert re.search(r"about (\d+ minutes|\d*½?\d* hours) to work through", text)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_can_be_run_in_four_ways(name):
    page, stem = READ[name], Path(name).stem
    assert set(site_notebooks.run_addresses(stem).values()) <= set(page.links)
    copy = nbformat.read(SITE / "run" / f"{stem}.ipynb", 4)
    nbformat.validate(copy)
    assert site_links.repository() in copy.cells[1].source and all(not cell.get("outputs") for cell in copy.cells)
    code = [cell.source for cell in copy.cells if cell.cell_type == "code"]
    shipped = nbformat.read(site_source.ROOT / "notebooks" / f"{stem}.ipynb", 4)
    assert code[1:] == [cell.source for cell in shipped.cells if cell.cell_type == "code"]


def test_the_notebooks_follow_each_other():
    for here, following in zip(NOTEBOOKS, NOTEBOOKS[1:]):
        assert f'<a class="right-next"\n       href="{Path(following).name}"' in READ[here].text
        assert f'<a class="left-prev"\n       href="{Path(here).name}"' in READ[following].text


@pytest.mark.parametrize("name", NOTEBOOKS[1:])
def test_exercises_are_folded_and_hints_and_solutions_are_behind_a_click(name):
    text, stem = READ[name].text, Path(name).stem
    numbers = [int(number) for number in re.findall(r'<details class="exercise" id="exercise-(\d+)">', text)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 3
    assert re.findall(r'href="solutions/\w+\.html#solution-(\d+)"', text) == [str(number) for number in numbers]
    outside = re.sub(r'<details class="exercise".*?(?=<details class="exercise"|</section>)', "", text, flags=re.S)
    assert "your turn" in text.replace("</span>", "") and "your turn" not in outside
    hinted = [check for check in site_notebooks.all_hints() if f"check_{check}(" in re.sub(r"<[^>]+>", "", text)]
    assert len(re.findall(r'<details class="hint">', text)) == 3 * len(hinted)
    assert f"notebooks/solutions/{stem}.html" in PAGES


def test_what_the_notebooks_cite_is_linked():
    cited = [address for name in NOTEBOOKS for address in READ[name].links if "bibliography.html#" in address]
    assert len(cited) > 20


def test_every_public_function_has_an_entry():
    entries = set().union(*(READ[name].ids for name in PAGES if name.startswith("api/")))
    wanted = {f"treg_edu.{name}" for name in ("treg", "solve", "load_prior", "cost")}
    for module in (treg_edu.solvers, treg_edu.operators, treg_edu.diffusion, treg_edu.metrics):
        for name in module.__all__:
            member = getattr(module, name)
            wanted |= {f"{module.__name__}.{name}"} if inspect.isfunction(member) or inspect.isclass(member) else set()
    assert len(wanted) > 60 and wanted - entries == set()


def test_a_page_with_a_broken_link_would_fail_the_build(tmp_path):
    """The build that `make site` runs ends with an error if a page warns."""
    (tmp_path / "conf.py").write_text('extensions = ["myst_parser"]\n')
    (tmp_path / "index.md").write_text("# Title\n\n[lost](nowhere.md)\n")
    makefile = (site_source.ROOT / "Makefile").read_text(encoding="utf-8")
    (options,) = re.findall(r"-m sphinx (-q -W --keep-going -b html) ", makefile)
    command = [sys.executable, "-m", "sphinx", *options.split(), str(tmp_path), str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True).returncode != 0
    (tmp_path / "index.md").write_text("# Title\n")
    assert subprocess.run(command, capture_output=True).returncode == 0
