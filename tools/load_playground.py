"""Load test of the playground on this machine: 20 visitors at once, each asking one question after the other, for two minutes.

    python tools/load_playground.py [--visitors 20] [--seconds 120]

It starts a playground of its own on a free port of 127.0.0.1, speaks to it as a browser does (the page, the websocket of its process,
messages of widgets), and ends it. A question is lost if its answer does not come, and wrong if the answer is not the library's for that
picture. Memory is that of all processes of the playground. Exit code 1 where something is lost or wrong, or where memory grew.
"""

import argparse
import base64
import collections
import contextlib
import html
import io
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import psutil
import torch
import websocket
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from PIL import Image

import treg_edu as te
from treg_edu.playground.connections import PROTOCOL
from treg_edu.playground.question import Question, settings_of

PICTURES = ["fox", "owl", "pizza", "banana", "hamburger", "octopus"]
SOLVERS = ["tikhonov", "latino"]
FACTOR = 16
LARGEST_ERROR = 0.02
"""Of an answer, RMS over the pixels: threads and 8 bits change the last digits; another picture is ten times as far."""
GROWTH = 1.15
PATIENCE = 600  # seconds


class Visitor:
    """One page: its kernel's websocket, and its widgets as the kernel tells them."""

    def __init__(self, address: str) -> None:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            page = answer.read().decode()
        (kernel,) = set(re.findall(r'"kernelId": "([\w-]+)"', page))
        self.session, self.widgets = uuid.uuid4().hex, dict[str, dict[str, Any]]()
        channels = f"{address.replace('http', 'ws')}api/kernels/{kernel}/channels?session_id={self.session}"
        self.socket = websocket.create_connection(channels, timeout=PATIENCE, subprotocols=[PROTOCOL])
        control = uuid.uuid4().hex
        self.send("comm_open", {"comm_id": control, "target_name": "jupyter.widget.control", "data": {"states": {}}}, version="1.0.0")
        self.send("comm_msg", {"comm_id": control, "data": {"method": "request_states"}})
        self.until(lambda: any(each.get("description") == "Solve" for each in self.widgets.values()))

    def send(self, kind: str, content: dict[str, Any], version: str = "2.1.0") -> None:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": self.session, "version": "5.3", "date": ""}
        message = {"header": header, "parent_header": {}, "metadata": {"version": version}, "content": content}
        self.socket.send_binary(serialize_msg_to_ws_v1(message, "shell", lambda part: json.dumps(part).encode()))

    def until(self, holds: Any) -> None:
        """Take messages until something holds."""
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError("no answer")
            header, _, _, content, *_ = deserialize_msg_from_ws_v1(self.socket.recv())[1]
            if json.loads(header)["msg_type"] == "comm_msg":
                message = json.loads(content)
                content = message["data"]
                if content.get("method") == "update_states":
                    self.widgets |= {name: each["state"] for name, each in content["states"].items()}
                elif content.get("method") in ("update", "echo_update"):
                    self.widgets.setdefault(message["comm_id"], {}).update(content["state"])

    def named(self, description: str) -> str:
        """The widget with a description."""
        (found,) = (name for name, state in self.widgets.items() if state.get("description") == description)
        return found

    def set(self, description: str, **state: Any) -> None:
        self.send("comm_msg", {"comm_id": self.named(description), "data": {"method": "update", "state": state, "buffer_paths": []}})

    def shown(self) -> str:
        """What the page shows, its pictures and words."""
        return "".join(state["value"] for state in self.widgets.values() if isinstance(state.get("value"), str))

    def ask(self, picture: str, solver: str) -> torch.Tensor:
        """The reconstruction of one seed, (1, 3, 64, 64)."""
        menu, solvers = self.widgets[self.named("picture")], self.widgets[self.named("solvers")]
        self.set("picture", index=menu["_options_labels"].index(picture))
        self.set("solvers", index=[solvers["_options_labels"].index(solver)])
        self.set("seeds", value=1)
        for state in self.widgets.values():
            if 'class="answer"' in str(state.get("value")) or "download=" in str(state.get("value")):
                state["value"] = ""
        self.send("comm_msg", {"comm_id": self.named("Solve"), "data": {"method": "custom", "content": {"event": "click"}}})
        self.until(lambda: f'download="{solver}.py"' in self.shown())
        self.until(lambda: "done" in [state.get("value") for state in self.widgets.values()])
        (png,) = re.findall(rf'download="{solver}-0.png" href="data:image/png;base64,([^"]+)"', self.shown())
        (lines,) = re.findall(rf'download="{solver}.py" href="data:text/x-python;base64,([^"]+)"', self.shown())
        if repr(picture) not in html.unescape(base64.b64decode(lines).decode()):
            raise ValueError(f"the lines are not about {picture}")
        return te.images.from_pil(Image.open(io.BytesIO(base64.b64decode(png))))


def expected(prior: Any) -> dict[tuple[str, str], torch.Tensor]:
    """{(picture, solver): the library's own answer}"""
    found = {}
    for picture in PICTURES:
        for solver in SOLVERS:
            question = Question("super-resolution", {"factor": FACTOR}, picture, solver=solver, seeds=1, label=picture)
            settings = settings_of(solver, "", prior.recommended.get(solver, {}))
            found[picture, solver] = te.solve(solver, prior, question.operator(), question.y(), picture, seed=0, progress=False, **settings)
    return found


def memory(server: psutil.Process) -> tuple[int, int, int]:
    """(bytes of the server and its worker, bytes of the visitors' processes, how many these are), without what processes share."""
    ours, theirs, count = server.memory_full_info().uss, 0, 0
    for process in server.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            size = process.memory_full_info().uss
            if "treg_edu.playground.worker" in process.cmdline():
                ours += size
            else:
                theirs, count = theirs + size, count + 1
    return ours, theirs, count


def main(visitors: int, seconds: float) -> int:
    torch.set_num_threads(1)
    right = expected(te.load_prior())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    log = Path(tempfile.mkdtemp()) / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "treg_edu.cli", "playground", "--port", str(port)]
        server = subprocess.Popen(command, stdout=out, stderr=out)
    process, told, trace = psutil.Process(server.pid), collections.Counter[str](), []
    times: list[float] = []
    try:
        while "the playground is at" not in log.read_text():
            time.sleep(0.5)
            if server.poll() is not None:
                raise RuntimeError(log.read_text())
        began, all_here = time.monotonic(), threading.Barrier(visitors + 1)
        ends = [0.0]

        def visit(number: int) -> None:
            try:
                visitor = Visitor(address)
                told["pages"] += 1
            except Exception as error:
                told["lost pages"] += 1
                print(f"visitor {number}: {type(error).__name__}: {error}", flush=True)
                all_here.wait()
                return
            all_here.wait()
            turn = number
            while time.monotonic() < ends[0]:
                picture, solver = PICTURES[turn % len(PICTURES)], SOLVERS[turn % len(SOLVERS)]
                turn += 1
                asked = time.monotonic()
                told["asked"] += 1
                try:
                    x_hat = visitor.ask(picture, solver)
                except Exception as error:
                    told["lost"] += 1
                    print(f"visitor {number}: {picture}, {solver}: {type(error).__name__}: {error}", flush=True)
                    return
                times.append(time.monotonic() - asked)
                error = (x_hat - right[picture, solver]).square().mean().sqrt().item()
                told["right" if error < LARGEST_ERROR else "wrong"] += 1
            visitor.socket.close()

        crowd = [threading.Thread(target=visit, args=(number,), daemon=True) for number in range(visitors)]
        for each in crowd:
            each.start()
        ends[0] = float("inf")
        all_here.wait()
        opened, ends[0] = time.monotonic() - began, time.monotonic() + seconds
        print(f"{told['pages']} pages open after {opened:.0f} s", flush=True)
        while any(each.is_alive() for each in crowd):
            time.sleep(seconds / 12)
            now = memory(process)
            if times:  # the worker has loaded the prior
                trace.append(now)
            print("{:.0f} and {:.0f} MiB, {} visitors".format(*told_in_mib(now)), f"{len(times)} answers", sep=", ", flush=True)
        for each in crowd:
            each.join(PATIENCE)
        first, last = trace[0], [each for each in trace if each[2] == visitors][-1]
        for _ in range(30):  # a visitor who has left makes room after a minute
            after = memory(process)
            if after[2] == 0:
                break
            time.sleep(5)
    finally:
        server.terminate()
        server.wait(60)
    times.sort()
    flat = all(now <= GROWTH * then for now, then in ((last[0], first[0]), (last[1], first[1]), (after[0], first[0])))
    print(f"asked {told['asked']}, right {told['right']}, wrong {told['wrong']}, lost {told['lost'] + told['lost pages']}")
    print(f"an answer took {times[len(times) // 2]:.1f} s (median), {times[-1]:.1f} s (the longest), queue included")
    print("memory of server and worker, and of the visitors' processes:")
    for when, found in {"at first": first, "at the end": last, "after they left": after}.items():
        print("  {:.0f} and {:.0f} MiB, {} visitors".format(*told_in_mib(found)), when)
    return 0 if flat and after[2] == 0 and told["asked"] == told["right"] and told["pages"] == visitors else 1


def told_in_mib(found: tuple[int, int, int]) -> tuple[float, float, int]:
    """Two numbers of bytes in MiB."""
    return found[0] / 2**20, found[1] / 2**20, found[2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--visitors", type=int, default=20, choices=range(1, 25))
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    sys.exit(main(given.visitors, min(given.seconds, 600)))
