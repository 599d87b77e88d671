"""The decks of `treg-edu course DIR --slides` in headless Chromium, without a network: each slide is drawn, and fits.

`make test-browser-slides` installs Playwright and reveal.js and runs this; Chromium has to be there (Debian: `apt-get install chromium`).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

NAMES = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9]*.ipynb"))
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTH, HEIGHT = 1280, 720

LOOK = """() => {
  const slide = Reveal.getCurrentSlide();
  const parts = [...slide.querySelectorAll('h1, h2, h3, p, li, img, table, pre')]
    .filter(each => !each.closest('aside') && each.offsetParent);
  return {
    text: slide.innerText,
    bottom: Math.max(...parts.map(each => each.getBoundingClientRect().bottom)),
    right: Math.max(...parts.filter(each => each.tagName != 'PRE').map(each => each.getBoundingClientRect().right)),
    zoom: parseFloat(slide.style.zoom || 1),
    lost: [...slide.querySelectorAll('img')].filter(each => !each.naturalWidth || each.alt.length < 10).length,
  };
}"""


@pytest.fixture(scope="session")
def decks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decks")
    subprocess.run([sys.executable, "-m", "treg_edu.cli", "course", str(folder), "--slides"], check=True)
    return folder


@pytest.fixture(scope="session")
def offline():
    assert CHROMIUM, "no Chromium found; install it (Debian: apt-get install chromium), or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--no-first-run"])
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        context.set_offline(True)
        yield context
        browser.close()


@pytest.fixture
def page(offline):
    """A page that remembers what went wrong, and which addresses beyond the disk it asked for."""
    page, page.wrong = offline.new_page(), []
    page.on("request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or page.wrong.append(request.url))
    page.on("requestfailed", lambda request: page.wrong.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: message.type != "error" or page.wrong.append(message.text))
    yield page
    page.close()


@pytest.mark.parametrize("name", NAMES)
def test_every_slide_of_a_deck_is_drawn_and_fits_without_a_network(page, decks, name):
    page.goto((decks / f"{name}.html").as_uri())
    page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
    total = page.evaluate("Reveal.getTotalSlides()")
    assert total >= 8
    formulas = page.evaluate("document.querySelectorAll('.slides mjx-container').length")
    assert formulas > 0
    for number in range(total):
        page.evaluate("number => Reveal.slide(number)", number)
        slide = page.evaluate(LOOK)
        said = f"slide {number + 1} of {name}: {slide['text'][:60]!r}"
        assert slide["text"].strip() and "$" not in slide["text"], said
        assert slide["bottom"] <= HEIGHT + 1 and slide["right"] <= WIDTH + 1 and slide["zoom"] >= 0.75, (said, slide)
        assert slide["lost"] == 0, said
    assert page.wrong == []


def test_the_index_leads_to_every_deck_and_keys_turn_the_pages(page, decks):
    page.goto((decks / "index.html").as_uri())
    assert page.locator("li a").count() == len(NAMES)
    page.locator("li a").first.click()
    page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getIndices().h") == 1
    notes = page.evaluate("document.querySelectorAll('aside.notes').length")
    assert notes >= 3 and page.evaluate("Reveal.hasPlugin('notes')")
    assert page.wrong == []
