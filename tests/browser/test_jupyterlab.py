"""JupyterLab in headless Chromium: every notebook opens, 01 and 05 run to their end, and a slider of each changes its panel's picture.

`make test-browser` installs Playwright and runs this; Chromium has to be there (Debian: `apt-get install chromium`).
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import sync_playwright

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RUN = 600  # seconds that the cells of one notebook may take
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The address of a JupyterLab on a copy of the notebooks, so that running one changes no committed file."""
    folder = tmp_path_factory.mktemp("lab")
    for name in NAMES:
        shutil.copy(NOTEBOOKS / name, folder / name)
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    home = {f"JUPYTER_{name}_DIR": str(folder / f".{name}") for name in ("CONFIG", "DATA", "RUNTIME")}
    home |= {"JUPYTERLAB_WORKSPACES_DIR": str(folder / ".workspaces"), "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings")}
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | home)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(120):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api").close()
                break
            assert server.poll() is None, (folder / "lab.log").read_text()
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def browser():
    assert CHROMIUM, "no Chromium found; install it (Debian: apt-get install chromium), or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)


@pytest.fixture
def page(browser, lab):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    yield page
    page.evaluate("window.jupyterapp?.serviceManager.sessions.shutdownAll()")
    page.close()


def open_notebook(page, lab, name):
    """The notebook in the window, its kernel ready."""
    page.goto(f"{lab}/lab/tree/{name}?reset")
    page.wait_for_function("name => window.jupyterapp?.shell.currentWidget?.context?.path === name", arg=name)
    page.evaluate("window.jupyterapp.shell.currentWidget.context.ready")
    page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'")


def model(page):
    """The notebook as JupyterLab holds it."""
    return nbformat.from_dict(json.loads(page.evaluate("JSON.stringify(window.jupyterapp.shell.currentWidget.context.model.toJSON())")))


def run_all(page):
    """Run every cell; returns once the last has ended."""
    page.evaluate(
        """seconds => Promise.race([window.jupyterapp.commands.execute('notebook:run-all-cells'),
               new Promise((_, no) => setTimeout(() => no(Error(`the cells ran for more than ${seconds} s`)), 1000 * seconds))])""",
        RUN,
    )


def show_panel(page):
    """Scroll to the cell of the panel.  Returns its output."""
    cells = model(page).cells
    (index,) = [i for i, cell in enumerate(cells) if cell.cell_type == "code" and "te.widgets." in cell.source]
    page.evaluate("i => window.jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", index)
    panel = page.locator(".jp-OutputArea-output .widget-vbox").filter(has=page.locator("img")).first
    panel.scroll_into_view_if_needed()
    return panel


def move(panel, description):
    """One step to the left with the slider of this description."""
    slider = panel.locator(".widget-slider", has=panel.page.get_by_text(description, exact=True)).locator(".noUi-handle")
    slider.focus()
    before = slider.get_attribute("aria-valuenow")
    slider.press("ArrowLeft")
    assert slider.get_attribute("aria-valuenow") != before


def wait_for_another_picture(panel, before):
    image = panel.locator("img")
    for _ in range(600):
        if image.screenshot() != before:
            return
        time.sleep(0.5)
    raise AssertionError("the picture of the panel did not change")


@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_opens(page, lab, name):
    open_notebook(page, lab, name)
    committed = nbformat.read(NOTEBOOKS / name, 4)
    title = committed.cells[0].source.splitlines()[0].lstrip("# ")
    assert page.locator(".jp-RenderedMarkdown h1").first.inner_text().startswith(title)
    assert [cell.source for cell in model(page).cells] == [cell.source for cell in committed.cells]
    assert page.locator(".jp-Dialog").count() == 0


def ran_to_the_end(page):
    cells = [cell for cell in model(page).cells if cell.cell_type == "code" and cell.source]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [output for cell in cells for output in cell.outputs if output.output_type == "error"] == []


def test_01_runs_and_its_slider_draws_another_picture(page, lab):
    open_notebook(page, lab, "01_forward_operators.ipynb")
    run_all(page)
    ran_to_the_end(page)
    panel = show_panel(page)
    before = panel.locator("img").screenshot()
    move(panel, "strength")
    wait_for_another_picture(panel, before)


def test_05_runs_and_its_slider_solves_for_other_seeds(page, lab):
    open_notebook(page, lab, "05_text_regularization.ipynb")
    run_all(page)
    ran_to_the_end(page)
    panel = show_panel(page)
    start, done = panel.get_by_role("button", name="Solve"), panel.get_by_text("done", exact=True)

    def solve():
        start.click()
        done.wait_for(state="hidden")  # the word of the solve before
        done.wait_for(timeout=RUN * 1000)

    solve()
    image = panel.locator("img")
    image.evaluate("image => image.decode()")
    before = image.screenshot()
    move(panel, "seeds")
    solve()
    wait_for_another_picture(panel, before)
