"""The playground without a browser: the line, uploads, questions, the worker behind its socket, and what a page makes of the answers."""

import asyncio
import base64
import datetime
import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from multiprocessing.connection import Client

import pytest
import torch
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from PIL import Image
from tornado.web import HTTPError

import treg_edu as te
from treg_edu import files
from treg_edu.checks import ArgumentError
from treg_edu.playground import answers, messages, server, uploads
from treg_edu.playground.connections import VisitorConnection, is_sound
from treg_edu.playground.kernels import Kernels
from treg_edu.playground.line import Line
from treg_edu.playground.pad import box_between
from treg_edu.playground.question import INSTRUMENTS, MOST_TEXT, OFFERED, Question, solvers_for
from treg_edu.playground.worker import Worker

pytestmark = pytest.mark.once

SR = {"instrument": "super-resolution", "setting": {"factor": 4}}


def question(label="fox", **changes):
    return Question(**{**SR, "text": "fox", "label": label, "solver": "tikhonov", "seeds": 2, **changes})


# The line


def test_the_line_is_first_come_first_served_and_those_who_leave_are_passed_over():
    line = Line()
    first, second, third = (line.join(question()) for _ in range(3))
    assert [line.place(each) for each in (first, second, third)] == [0, 1, 2]
    assert line.take() is first and line.take() is first  # until it is done
    second.leave()
    assert line.place(third) == 1
    line.done(first)
    assert line.place(third) == 0 and line.take() is third
    assert first.events.get(timeout=1) is None and second.events.get(timeout=1) is None


def test_a_full_line_refuses_with_a_sentence_until_someone_leaves():
    line = Line(most=2)
    first, _ = line.join(question()), line.join(question())
    with pytest.raises(ArgumentError, match="line: got 2 who wait, expected fewer than 2"):
        line.join(question())
    first.leave()
    line.join(question())


# Uploads


def in_format(kind, size=(100, 80)):
    file = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(file, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", uploads.FORMATS)
def test_an_upload_is_the_picture_that_images_read_gives(kind, tmp_path):
    content = in_format(kind)
    file = tmp_path / f"picture.{kind.lower()}"
    file.write_bytes(content)
    assert torch.equal(uploads.read_upload(content), te.images.read(file))


def test_a_picture_of_the_pages_size_comes_back_unchanged():
    x = te.images.example("pizza")
    assert torch.equal(uploads.read_upload(uploads.png_of(x)), x)


def declared_png(width, height):
    """A PNG that says it is so large, and has hardly any data."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


HOSTILE = {
    "no picture": (b"#!/bin/sh\nrm -rf /\n", "is no picture"),
    "nothing": (b"", "is no picture"),
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "is no picture"),
    "a PostScript that Pillow would run": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "is no picture"),
    "too many bytes": (in_format("PNG") + bytes(uploads.MOST_BYTES), "4.0 MiB, expected at most 4 MiB"),
    "too many pixels": (declared_png(5000, 5000), "5000×5000 pixels, expected at most 16 million"),
    "far too many pixels": (declared_png(100_000, 100_000), "pixels, expected at most 16 million"),
    "cut short": (in_format("JPEG")[:-700], "damaged"),
    "a bomb of few bytes": (declared_png(4000, 4000), "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_gets_one_sentence(name):
    content, sentence = HOSTILE[name]
    with pytest.raises(ArgumentError, match=sentence) as error:
        uploads.read_upload(content)
    assert "\n" not in str(error.value) and len(str(error.value)) < 120


def test_pixels_are_counted_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(te.images, "from_pil", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ArgumentError, match="pixels"):
        uploads.read_upload(declared_png(5000, 5000))


# Questions


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"text": "x" * (MOST_TEXT + 1)}, "text: got 201 characters, expected at most 200"),
        ({"null_text": "a\nb"}, "null text: got a control character"),
        ({"text": 7}, "text: got int"),
        ({"instrument": "Inpainting"}, "instrument: got 'Inpainting'"),
        ({"setting": {"factor": 3}}, "factor: got 3, expected one of 2, 4, 8, 16"),
        ({"setting": {"matrix": 3}}, "setting: got matrix, expected factor"),
        ({"setting": 4}, "setting: got 4"),
        ({"instrument": "box inpainting", "setting": {"top": 60, "left": 0, "height": 9, "width": 9}}, "box: got top 60"),
        ({"instrument": "box inpainting", "setting": {"top": 0.5, "left": 0, "height": 9, "width": 9}}, "top: got 0.5"),
        ({"solver": "dps"}, "solver: got 'dps'"),
        ({"solver": "psld", "instrument": "gamma correction", "setting": {"exponent": 2.2}}, "solver: got 'psld'"),
        ({"seeds": 5}, "seeds: got 5"),
        ({"seed": -1}, "seed: got -1"),
        ({"label": None}, "picture: got both or neither"),
        ({"png": b"x"}, "picture: got both or neither"),
    ],
)
def test_a_question_that_is_none_is_refused_in_the_page_and_in_the_worker(changes, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        question(**changes)
    entries = json.loads(question().to_json()) | {name: value for name, value in changes.items() if name != "png"}
    entries |= {"png": base64.b64encode(changes.get("png", b"")).decode()}
    with pytest.raises(ArgumentError, match=sentence):
        Question.from_json(json.dumps(entries).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"png": 1}', b"[" * 100_000, b"\xff", b'{"png": "", "path": "/etc/passwd"}'])
def test_json_that_is_no_question_is_refused(text):
    with pytest.raises(ArgumentError, match="question: got"):
        Question.from_json(text)


def test_a_question_survives_its_journey():
    own = question(label=None, png=uploads.png_of(te.images.example("owl")), text="“owl” <b>&")
    assert Question.from_json(own.to_json()) == own


def test_every_solver_that_is_offered_takes_one_of_the_instruments():
    arguments = {"box inpainting": {"size": 64, "top": 8, "left": 8, "height": 9, "width": 9}, "super-resolution": {"factor": 4}}
    offered = {name: solvers_for(make(**arguments.get(name, {}))) for name, make in INSTRUMENTS.items()}
    assert set().union(*offered.values()) == set(OFFERED) and all("treg" == each[0] for each in offered.values())
    assert "hio" in offered["phase retrieval"] and "hio" not in offered["gamma correction"]


# The worker


@pytest.fixture(scope="module")
def worker(prior):
    return Worker(prior, te.load_judge())


@pytest.fixture(scope="module")
def address(worker, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("line") / "worker")
    threading.Thread(target=worker.serve, args=(path,), daemon=True).start()
    return path


def picture(png):
    return te.images.from_pil(Image.open(io.BytesIO(base64.b64decode(png))))


@pytest.mark.parametrize(
    "asked",
    [
        question(solver="treg", seeds=2, seed=3, null_text="blurry", text='a "fox" \\ {x}'),
        question(solver="latino", seeds=1, instrument="box inpainting", setting={"top": 3, "left": 20, "height": 30, "width": 9}),
        question(solver="hio", seeds=1, instrument="phase retrieval", setting={"oversampling": 2}),
        question(solver="tikhonov", label=None, png=uploads.png_of(1 - te.images.example("owl"))),
    ],
    ids=lambda each: each.solver,
)
def test_the_lines_repeat_the_answer(asked, worker, address, tmp_path, monkeypatch):
    events = list(messages.ask(address, asked))
    steps, answer = [each for each in events if "step" in each], events[-1]
    assert steps[-1]["step"] == steps[-1]["of"] and len(steps[-1]["x_hat"]) == asked.batch
    assert [len(each) for each in answer["guesses"]] == [5] * asked.batch
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(te, "load_prior", lambda: worker.prior)
    if asked.png:
        (tmp_path / "picture.png").write_bytes(asked.png)
    names = {}
    exec(answer["lines"], names)
    for number, png in enumerate(steps[-1]["x_hat"]):
        repeated = te.images.read(tmp_path / f"{asked.solver}-{number}.png")
        assert (repeated - picture(png)).abs().max() <= 1.5 / 255
    found = te.operators.misfit(names["operator"], names["x_hat"], names["y"]) / 0.005
    assert torch.allclose(found, torch.tensor(steps[-1]["misfit"]), rtol=1e-3)


def test_the_cost_is_that_of_te_cost_whatever_the_page_shows(worker):
    asked = question(solver="latino", seeds=1)
    *_, answer = (each for each in worker.answer(asked) if each)
    cost = te.cost("latino", worker.prior, asked.operator(), asked.y(), "fox", steps=8, guidance_scale=2.5, sigma=0.005, null_prompt="")
    counted = cost.unet + cost.decoder + cost.encoder + cost.clip + 2 * (cost.unet_backward + cost.decoder_backward + cost.encoder_backward)
    assert answer["passes"] == counted and worker.prior.unet._forward_hooks == {}


def test_visitors_at_once_each_get_their_own_picture(address):
    labels = ["fox", "owl", "pizza", "banana", "hamburger", "ice cream"]
    found = {}

    def visit(label):
        found[label] = [event for event in messages.ask(address, question(label)) if "step" in event][-1]["x_hat"][0]

    visitors = [threading.Thread(target=visit, args=(label,)) for label in labels]
    for each in visitors:
        each.start()
    for each in visitors:
        each.join(60)
    for label in labels:
        x = te.images.example(label)
        assert (picture(found[label]) - x).abs().mean() < 0.1
        assert all((picture(found[other]) - x).abs().mean() > 0.1 for other in labels if other != label)


def test_who_cancels_stops_the_run_and_who_waits_is_told_the_place(worker, address):
    stop, long = threading.Event(), question(solver="treg", seeds=4)
    seen, place = [], []

    def visit():
        for event in messages.ask(address, long, stop.is_set):
            seen.append(event)

    runner = threading.Thread(target=visit)
    runner.start()
    until(lambda: any("step" in each for each in seen))
    for event in messages.ask(address, question()):
        if "place" in event:
            place.append(event["place"])
            stop.set()
    runner.join(30)
    assert place == [1, 0] and not runner.is_alive()
    assert not any("answer" in each for each in seen) and seen[-1].get("step", 0) < 25
    until(lambda: len(worker.line._tickets) == 0)


def test_a_place_is_free_again_when_its_process_is_dead(worker, address):
    with Client(address) as running, Client(address) as waiting:
        running.send_bytes(question(solver="treg", seeds=4).to_json())
        until(lambda: len(worker.line._tickets) == 1)
        waiting.send_bytes(question(solver="treg", seeds=4).to_json())
        until(lambda: len(worker.line._tickets) == 2)
    began = time.monotonic()
    assert list(messages.ask(address, question()))[-1]["answer"] == "tikhonov"
    assert time.monotonic() - began < 20  # neither of the two was solved to its end
    until(lambda: len(worker.line._tickets) == 0)


def test_errors_are_told_and_the_worker_goes_on(worker, address, monkeypatch, capsys):
    assert list(messages.ask(address, question("no such thing")))[-1]["error"].startswith("name: got 'no such thing'")
    with Client(address) as connection:
        connection.send_bytes(b'{"png": ')
        assert "question: got 8 bytes" in json.loads(connection.recv_bytes())["error"]
    with Client(address) as connection, pytest.raises((OSError, EOFError)):  # longer than any question: not even read
        connection.send_bytes(bytes(2 * messages.MOST_MESSAGE))
        connection.recv_bytes()

    def broken(*_, steps=1, seed=0):
        return 1 / 0

    monkeypatch.setitem(te.SOLVERS, "tikhonov", broken)
    assert "the solver failed" in list(messages.ask(address, question()))[-1]["error"]
    monkeypatch.undo()
    assert "answer" in list(messages.ask(address, question()))[-1]
    assert "ZeroDivisionError" in capsys.readouterr().err  # for whoever hosts it


def test_a_run_that_takes_too_long_is_ended(worker):
    short = Worker.__new__(Worker)
    short.__dict__ |= worker.__dict__ | {"most_seconds": 0.0}
    with pytest.raises(ArgumentError, match="seconds: got 0, expected at most 0: fewer seeds"):
        list(short.answer(question(solver="treg", seeds=1)))


def test_a_worker_that_is_not_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "PATIENCE", 0.0)
    with pytest.raises(ConnectionError, match="the solvers do not answer"):
        list(messages.ask(str(tmp_path / "nobody"), question()))


def until(holds):
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("waited for 30 s")


# The page


def test_a_box_between_two_points_is_inside_the_picture_whichever_way_it_was_drawn():
    assert box_between((40.0, 8.0), (99.5, 20.0)) == {"top": 2, "left": 10, "height": 4, "width": 15}
    assert box_between((99.5, 20.0), (40.0, 8.0)) == box_between((40.0, 8.0), (99.5, 20.0))
    assert box_between((-5.0, 300.0), (1e9, -1e9)) == {"top": 0, "left": 0, "height": 64, "width": 64}


def test_what_a_visitor_typed_is_text_in_the_page(worker):
    asked = question(text="<script>alert(1)</script>", solver="tikhonov")
    *_, step, answer = (each for each in worker.answer(asked) if each)
    page = answers.table(asked, ("", ""), step, answer) + answers.downloads("", {"tikhonov": step["x_hat"]}, {"tikhonov": answer["lines"]})
    assert "<script" not in page and "&lt;script&gt;" in page and 'download="tikhonov-0.png"' in page


def test_the_map_of_variances_needs_two_seeds():
    x = [uploads.png_of(te.images.example(name)) for name in ("fox", "owl")]
    pngs = [base64.b64encode(each).decode() for each in x]
    assert answers.variances({"treg": pngs[:1]}) == ""
    assert 'alt="mean over seeds' in answers.variances({"treg": pngs, "tikhonov": pngs[:1]}).replace("\n", " ")


@pytest.fixture
def page():
    pytest.importorskip("ipycanvas")
    from treg_edu.playground.page import Page

    return Page


def test_a_page_asks_what_its_controls_say(page, address):
    page = page(address)
    page.text.value, page.solvers.value, page.seeds.value = "owl", ["tikhonov", "wavelet"], 2
    page.panel.run().join(60)
    assert page.panel.status.value == "done"
    assert "tikhonov:" in page.table.value and "wavelet:" in page.table.value and "the judge" in page.table.value
    assert 'download="picture.png"' in page.kept.value and "te.images.example(&#x27;fox&#x27;)" in page.kept.value
    page.solvers.value = page.solvers.options[:4]
    page.panel.run().join(60)
    assert page.panel.status.value == "solvers: got 4, expected 1 to 3"


def test_a_box_that_is_drawn_chooses_its_instrument(page):
    page = page()
    page.pad._down(40.0, 8.0)
    page.pad._move(99.5, 20.0)
    page.pad._up(99.5, 20.0)
    assert page.operator.value == "box inpainting"
    assert page._question("treg").setting == {"top": 2, "left": 10, "height": 4, "width": 15}
    page.strength.value = 24
    assert page._question("treg").setting == {"top": 20, "left": 20, "height": 24, "width": 24}
    page.operator.value = "gamma correction"
    assert page._question("treg").setting == {"exponent": 4.0} and "psld" not in page.solvers.options


def test_a_sketch_and_an_upload_are_pictures_of_ones_own(page):
    page = page()
    page.blank.click()
    page.pad._down(100.0, 100.0)
    page.pad._move(200.0, 100.0)
    page.pad._up(200.0, 100.0)
    x = page._question("treg").x()
    assert x.shape == (1, 3, 64, 64) and x[0, :, 25, 35].max() < 0.1 and x[0, :, 5, 5].min() == 1
    sent = {"name": "../../x.png", "type": "", "size": 1, "last_modified": datetime.datetime.now()}
    page.upload.value = [sent | {"content": memoryview(in_format("PNG"))}]
    assert torch.equal(page._question("treg").x(), uploads.read_upload(in_format("PNG"))) and page.upload.value == ()
    page.upload.value = [sent | {"content": memoryview(b"no")}]
    assert page.said.value == "picture: got a file of 2 bytes that is no picture, expected one of PNG, JPEG, WEBP, GIF, BMP"


def test_a_page_without_a_worker_says_what_opens_it(page):
    page = page()
    page.panel.run().join(10)
    assert page.panel.status.value == "worker: got none, expected the page that `make playground` opens"


def test_one_visitor_too_many_is_told_to_come_back():
    async def visit():
        await Kernels(most=0).start_kernel()

    with pytest.raises(HTTPError, match="0 visitors are here"):
        asyncio.run(visit())


@pytest.mark.parametrize("silent, connections, ends", [(50, 0, False), (70, 0, True), (70, 1, False), (890, 1, False), (910, 1, True)])
def test_a_visitor_who_is_silent_or_has_closed_the_page_makes_room(monkeypatch, silent, connections, ends):
    since, ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=silent), []
    monkeypatch.setattr(Kernels, "kernel_model", lambda *_: {"last_activity": since.isoformat(), "connections": connections})
    monkeypatch.setattr(Kernels, "shutdown_kernel", lambda _, name: ended.append(name))
    asyncio.run(Kernels().cull_kernel_if_idle("a visitor"))
    assert ended == ["a visitor"] * ends


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"port": 0}, "port: got 0"),
        ({"visitors": 0}, "visitors: got 0"),
        ({"base_url": "playground"}, "base-url: got 'playground'"),
        ({"base_url": "/a b"}, "base-url: got '/a b'"),
        ({"host": "no.such.host.invalid"}, "host, port: got 'no.such.host.invalid' and 8866"),
    ],
)
def test_the_server_checks_before_it_starts(given, sentence, monkeypatch):
    monkeypatch.setattr(server, "run", lambda config: pytest.fail("it started"))
    with pytest.raises(ArgumentError, match=sentence):
        server.serve(**given)


def test_a_port_that_is_taken_is_a_sentence(monkeypatch):
    monkeypatch.setattr(server, "run", lambda config: pytest.fail("it started"))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ArgumentError, match="where nothing can listen"):
        server.serve(port=taken.getsockname()[1])


def test_a_message_whose_head_does_not_fit_is_dropped():
    parts = {"header": {}, "parent_header": {}, "metadata": {}, "content": {"a": 1}}
    sound = serialize_msg_to_ws_v1(parts, "shell", lambda part: json.dumps(part).encode())
    assert is_sound(sound)
    hostile = [sound[:-1], sound + b"x", sound[:20], b"", "{}", (2**60).to_bytes(8, "little") + bytes(80), bytes(80)]
    hostile += [(7).to_bytes(8, "little") + sound[8:], sound[:8] + (2**40).to_bytes(8, "little") + sound[16:]]
    assert [is_sound(each) for each in hostile] == [False] * len(hostile)


def test_nothing_is_open_that_a_stranger_does_not_need():
    config = server.configuration("127.0.0.1", 8866, "/p/", 3)
    voila = config.VoilaConfiguration
    assert voila.file_allowlist == ["(?!)"] and voila.strip_sources and not voila.show_tracebacks
    assert voila.allow_template_override == voila.allow_theme_override == "NO"
    assert config.Voila.kernel_websocket_connection_class is VisitorConnection
    assert config.Kernels.most == 3 and 0 < config.Kernels.alone < config.Kernels.idle <= 900
    assert "default-src 'self'" in config.Voila.tornado_settings["headers"]["Content-Security-Policy"]
    assert uploads.MOST_BYTES < config.Voila.tornado_settings["websocket_max_message_size"] < 10 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit does not hold for all memory")
def test_the_memory_of_a_visitors_process_is_bounded():
    pytest.importorskip("ipycanvas")
    lines = "from treg_edu.playground.page import MOST_MEMORY, page; page(); bytearray(MOST_MEMORY)"
    environment = os.environ | server.VISITORS
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, env=environment)
    assert done.stderr.splitlines()[-1] == "MemoryError"


def test_the_notebook_that_is_served_shows_the_page(monkeypatch):
    shown = []
    monkeypatch.setattr("treg_edu.playground.page.page", lambda: shown.append("page"))
    notebook = json.loads((files.shipped("notebooks") / "playground.ipynb").read_text(encoding="utf-8"))
    (cell,) = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert not cell["metadata"]
    exec("".join(cell["source"]), {})
    assert shown == ["page"]
