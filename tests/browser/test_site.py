"""The book in headless Chromium, from the file system and without a network, at two widths, light and dark.

`make test-browser` builds out/site and runs this.  SHOTS=FOLDER keeps a picture of every page that it opens.
"""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

SITE = Path(__file__).resolve().parents[2] / "out" / "site"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
VIEWS = [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")]

TOO_WIDE = """() => [...document.querySelectorAll('article img')].filter(image => {
    const box = image.getBoundingClientRect(), room = document.querySelector('article').getBoundingClientRect();
    return box.width > 0 && (box.left < room.left - 1 || box.right > room.right + 1);
}).map(image => image.alt)"""
LOST = "() => [...document.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.src)"
MATHEMATICS = """async () => {
    const wanted = document.querySelectorAll('.math').length;
    if (wanted) await MathJax.startup.promise;
    const drawn = [...document.querySelectorAll('.math')].filter(each => each.querySelector('mjx-container svg')).length;
    return {wanted, drawn, wrong: document.querySelectorAll('[data-mml-node="merror"], mjx-merror').length};
}"""


@pytest.fixture(scope="session")
def browser():
    assert CHROMIUM, "no Chromium found; install it (Debian: apt-get install chromium), or set CHROMIUM to its path"
    assert len(PAGES) > 50, "no site in out/site: make site"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def page(browser, request):
    """A page, with what it complains of and what it asks of a network in page.complaints."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.scheme, page.width, page.complaints = scheme, width, []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(request.url))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else page.complaints.append(request.url))
    yield page
    context.close()


def luminance(page, selector):
    """0 to 255, of the background."""
    colour = page.evaluate("selector => getComputedStyle(document.querySelector(selector)).backgroundColor", selector)
    return sum(float(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]) / 3


def keep(page, name):
    """A picture of the page, every second fold open, where SHOTS names a folder."""
    if "SHOTS" in os.environ:
        page.evaluate("document.querySelectorAll('article details').forEach((each, index) => each.open = index % 2)")
        target = Path(os.environ["SHOTS"]) / f"{name.replace('/', '-')}-{page.width}-{page.scheme}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target, full_page=True)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_with_its_mathematics_and_its_figures_fit(page, name):
    page.goto((SITE / name).as_uri())
    mathematics = page.evaluate(MATHEMATICS)
    keep(page, name)
    assert mathematics["drawn"] == mathematics["wanted"] and mathematics["wrong"] == 0, mathematics
    assert page.evaluate(LOST) == []
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.width
    assert (luminance(page, "body") < 80) == (page.scheme == "dark")
    assert page.complaints == []


def test_search_finds_adaptive_negation(page):
    page.goto((SITE / "search.html").as_uri() + "?q=adaptive+negation")
    page.wait_for_selector("#search-results li a")
    page.wait_for_function("document.querySelector('#search-results h2').innerText.includes('Search Results')")
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(each => each.getAttribute('href'))")
    assert any("notebooks/06_adaptive_negation.html" in each for each in found[:5]), found
    assert page.complaints == []


def test_an_exercise_opens_by_keyboard(page):
    page.goto((SITE / "notebooks/01_forward_operators.html").as_uri())
    exercise = page.locator("details.exercise").first
    assert not exercise.locator("p").first.is_visible()
    exercise.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert exercise.locator("p").first.is_visible() and not exercise.locator("details.hint p").first.is_visible()
    page.keyboard.press("Enter")
    assert not exercise.locator("p").first.is_visible()


def test_what_is_folded_is_printed(page):
    page.goto((SITE / "notebooks/01_forward_operators.html").as_uri())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details.exercise").nth(2).locator("p").first.is_visible()
    assert not page.locator(".notebook-card .run").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.exercise[open]").count() == 0
