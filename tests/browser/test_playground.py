"""The playground in headless Chromium, under a path as behind a proxy: what a visitor does, and what a stranger tries.

`make test-browser-playground` installs Playwright and Voilà and runs this; Chromium has to be there (Debian: `apt-get install chromium`).
SHOTS=FOLDER keeps pictures of the page.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
import websocket
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from PIL import Image
from playwright.sync_api import sync_playwright

from treg_edu.playground.connections import PROTOCOL

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
SHOTS = os.environ.get("SHOTS")
WAIT = 45_000  # milliseconds


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Of a playground that serves under /play/."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("playground") / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "treg_edu.cli", "playground", "--port", str(port), "--base-url", "/play/"]
        server = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        for _ in range(240):
            if "the playground is at" in log.read_text():
                break
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/play/"
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="session")
def browser():
    assert CHROMIUM, "no Chromium found; install it (Debian: apt-get install chromium), or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page(browser, address):
    """A visitor's page, with what it complains of in page.complaints."""
    page = browser.new_page(viewport={"width": 1400, "height": 1500})
    page.set_default_timeout(WAIT)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:")) else page.complaints.append(request.url))
    page.goto(address)
    page.get_by_role("button", name="Solve").wait_for()
    page.locator("canvas").first.wait_for()
    return page


def shot(page, name):
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def control(page, description):
    """The input or menu of the widget with this description."""
    return page.get_by_label(description, exact=True)


def status(page, text):
    page.get_by_text(text, exact=True).wait_for()


def y(page):
    return page.get_by_alt_text(re.compile("y, the measurement, .* pixels")).get_attribute("src")


def wait_for_another(before, now):
    for _ in range(300):
        if now() != before:
            return
        time.sleep(0.1)
    raise AssertionError("nothing changed for 30 s")


def drag(page, start, end):
    """Over the picture, from one of its pixels (x, y) to another."""
    box = page.locator("canvas").last.bounding_box()

    def middle(pixel):
        return [box[name] + (each + 0.5) * box[side] / 64 for name, side, each in zip("xy", ("width", "height"), pixel)]

    page.mouse.move(*middle(start))
    page.mouse.down()
    page.mouse.move(*middle(end), steps=8)
    page.mouse.up()


def test_the_page_opens_without_a_complaint_and_asks_no_other_host(page):
    assert page.locator("h1").inner_text().startswith("Playground")
    assert page.complaints == []
    assert "import page" not in page.content()  # no source
    shot(page, "opened")


def test_draw_a_box_type_run_cancel_run_again_and_export(page, tmp_path):
    before = y(page)
    drag(page, (10, 20), (50, 45))
    wait_for_another(before, lambda: y(page))
    assert control(page, "operator").input_value() == "box inpainting"
    control(page, "text").fill("owl")
    page.get_by_role("button", name="Solve").click()
    page.locator(".answer").get_by_alt_text("x̂ of treg, seed 3").wait_for()
    page.get_by_role("button", name="Cancel").click()
    status(page, "cancelled")
    assert "passes through networks" not in page.locator(".answer").inner_text()
    page.get_by_role("button", name="Solve").click()
    page.get_by_text("The Python lines that repeat it").wait_for()
    status(page, "done")
    table = page.locator(".answer").inner_text()
    assert "passes through networks" in table and len(re.findall(r"\d\.\d\d σ", table)) == 4
    assert page.locator("img[alt^='mean']").count() == 1
    with page.expect_download() as download:
        page.get_by_role("link", name="treg-0.png").click()
    download.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as saved:
        assert saved.size == (64, 64)
    with page.expect_download() as download:
        page.get_by_role("link", name="treg.py").click()
    download.value.save_as(tmp_path / "saved.py")
    lines = (tmp_path / "saved.py").read_text(encoding="utf-8")
    compile(lines, "saved.py", "exec")
    assert "Inpainting.box(size=64, top=20, left=10, height=26, width=41)" in lines and "prompt='owl'" in lines
    shot(page, "answered")


def choose(page, path):
    with page.expect_file_chooser() as chooser:
        page.locator("button.widget-upload").click()
    chooser.value.set_files(path)


def test_upload_a_picture_and_a_hostile_file_gets_one_sentence(page, tmp_path):
    before = y(page)
    Image.radial_gradient("L").save(tmp_path / "mine.png")
    choose(page, tmp_path / "mine.png")
    wait_for_another(before, lambda: y(page))
    (tmp_path / "script.png").write_bytes(b"<script>alert(1)</script>")
    choose(page, tmp_path / "script.png")
    status(page, "picture: got a file of 25 bytes that is no picture, expected one of PNG, JPEG, WEBP, GIF, BMP")
    (tmp_path / "large.png").write_bytes(bytes(20 * 2**20))
    choose(page, tmp_path / "large.png")
    page.get_by_role("alert").get_by_text("picture: got 20.0 MiB, expected at most 4 MiB").wait_for()
    shot(page, "refused")


def test_sketch_a_picture(page):
    before = y(page)
    page.get_by_role("button", name="blank sheet").click()
    wait_for_another(before, lambda: y(page))
    blank = y(page)
    drag(page, (5, 5), (60, 12))
    wait_for_another(blank, lambda: y(page))
    shot(page, "sketched")
    assert page.complaints == []


def refused(address, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(address + path)
    return error.value.code in (403, 404, 405)


def test_a_stranger_reads_no_file_and_runs_no_code(page, address, tmp_path):
    files = ["playground.ipynb", "../README.md", "%2e%2e/README.md", "/etc/passwd", "README.md"]
    for path in [f"voila/files/{name}" for name in files] + ["voila/api/contents", "api/contents/", "api/kernels", "api/terminals"]:
        assert refused(address, path), path
    assert refused(address, "playground.ipynb")
    kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    trace = tmp_path / "run"
    channels = f"{address.replace('http', 'ws')}api/kernels/{kernel}/channels?session_id=stranger"
    with pytest.raises(websocket.WebSocketBadStatusException, match="400"):
        websocket.create_connection(channels, timeout=20)  # of the older protocol
    connection = websocket.create_connection(channels, timeout=20, subprotocols=[PROTOCOL])
    content = {"code": f"open({str(trace)!r}, 'w')", "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}

    def send(identity, kind, content, channel="shell"):
        header = {"msg_id": identity, "msg_type": kind, "username": "", "session": "stranger", "version": "5.3", "date": ""}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        connection.send_binary(serialize_msg_to_ws_v1(message, channel, lambda part: json.dumps(part).encode()))

    send("run", "execute_request", content)
    send("run", "execute_request", content, "control")
    connection.send_binary((2**60).to_bytes(8, "little") + bytes(80))  # a head that would be counted through for ever
    connection.send("[]")
    send("asked", "kernel_info_request", {})  # answered after all of that
    while True:
        parent = json.loads(deserialize_msg_from_ws_v1(connection.recv())[1][1])
        assert parent.get("msg_id") != "run"
        if parent.get("msg_id") == "asked":
            break
    time.sleep(1)
    assert not trace.exists()
    connection.close()


def test_a_page_whose_process_has_ended_says_so(page, address):
    kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    (process,) = (each for each in psutil.process_iter(["cmdline"]) if any(kernel in part for part in each.info["cmdline"] or []))
    process.kill()
    page.get_by_role("alert").get_by_text("This visit has ended. Load the page again for a new one.").wait_for()


def test_the_page_fits_a_telephone(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    page.get_by_role("button", name="Solve").wait_for(timeout=WAIT)
    page.locator("canvas").first.wait_for(timeout=WAIT)
    for name in ("Solve", "blank sheet"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    shot(page, "telephone")
    page.close()
