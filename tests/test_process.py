"""`treg-edu solve` as a process of its own: streams that fail, names and texts that are no text, and runs that are ended."""

import ast
import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from treg_edu import files, images

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = [sys.executable, "-m", "treg_edu.cli"]
BRIEF = ["--steps", "1", "--seeds", "1"]


@pytest.fixture(scope="module")
def fox(tmp_path_factory):
    return images.save(images.example("fox"), tmp_path_factory.mktemp("pictures") / "fox.png")


def variables(**more):
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    return {name: value for name, value in (os.environ | offline | more).items() if name != "PYTHONUTF8"}


def run(*arguments, **settings):
    """A finished process: its exit code, and what it wrote to streams that are not given."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    environment = variables(**streams.pop("environment", {}))
    return subprocess.run([*PROGRAM, *arguments], cwd=ROOT, env=environment, timeout=300, check=False, **streams)


def is_whole(out):
    """Whether the folder holds all that one reconstruction writes, and nothing else."""
    names = {path.name for path in out.iterdir()}
    written = {"truth.png", "measurement.png", "measurement.safetensors", "reconstruction-0.png", "remeasured-0.png", "metrics.json"}
    return names == written and json.loads((out / "metrics.json").read_text(encoding="utf-8"))["settings"]["prompt"] == "fox"


def is_one_line(done, name):
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return done.returncode == 2 and len(lines) == 1 and lines[0].startswith(f"error: {name}: ")


# What cannot be printed


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_stream_that_lacks_characters_loses_nothing(fox, tmp_path, encoding):
    out = tmp_path / "out"
    done = run("solve", str(fox), "--prompt", "fox", "--out", str(out), *BRIEF, environment={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert is_whole(out) and b"written to" in done.stdout


def test_the_help_is_printed_in_any_encoding():
    done = run("solve", "--help", environment={"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0 and b"--guidance-scale" in done.stdout and b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_loses_nothing(fox, tmp_path):
    out = tmp_path / "out"
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = run("solve", str(fox), "--prompt", "fox", "--out", str(out), *BRIEF, stdout=full)
    assert done.returncode == 2 and b"error: stdout: " in done.stderr and is_whole(out)


# What is no text


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is text")
def test_a_picture_whose_name_is_no_text_is_solved(fox, tmp_path):
    named = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(named)).write_bytes(fox.read_bytes())
    out = tmp_path / "out"
    done = run("solve", named, "--prompt", "fox", "--out", str(out), *BRIEF)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert is_whole(out) and "caf" in json.loads((out / "metrics.json").read_text(encoding="utf-8"))["settings"]["image"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an argument is text")
@pytest.mark.parametrize("option", ["prompt", "null-prompt", "operator", "box", "dtype", "device", "prior"])
def test_a_text_that_is_no_text_is_refused_at_the_start(fox, tmp_path, option):
    given = {"prompt": b"fox", "out": os.fsencode(tmp_path / "out")} | {option: b"f\xf6x"}
    arguments = [part for name, value in given.items() for part in (b"--" + name.encode(), value)]
    done = run("solve", os.fsencode(fox), *arguments, *BRIEF)
    assert is_one_line(done, option.replace("-", "_")) or is_one_line(done, option), done.stderr
    assert not (tmp_path / "out").exists()


# Errors


def test_debug_shows_the_traceback_of_an_error(tmp_path):
    plain = run("solve", str(tmp_path / "no.png"), "--prompt", "fox", "--out", str(tmp_path / "out"))
    told = run("--debug", "solve", str(tmp_path / "no.png"), "--prompt", "fox", "--out", str(tmp_path / "out"))
    assert is_one_line(plain, "IMAGE")
    assert told.returncode == 2 and b"Traceback" in told.stderr and told.stderr.strip().splitlines()[-1] == plain.stderr.strip()


def test_a_bug_is_a_traceback_and_1():
    code = "from treg_edu import bench, cli\nbench.run = lambda **_: {}['a bug']\ncli.app(['bench'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables(), capture_output=True, timeout=300, check=False)
    assert done.returncode == 1 and done.stderr.strip().splitlines()[-1] == b"KeyError: 'a bug'" and b"Traceback" in done.stderr


# Runs that are ended


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_run_that_is_ended_does_not_block_the_next(fox, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    arguments = [*PROGRAM, "solve", str(fox), "--prompt", "fox", "--out", str(out), "--seeds", "1"]
    heeded = functools.partial(signal.signal, getattr(signal, name), signal.SIG_DFL) if name != "SIGKILL" else None  # nohup ignores SIGHUP
    command = [*arguments, "--steps", "1000"]
    with subprocess.Popen(command, cwd=ROOT, env=variables(), stderr=subprocess.PIPE, preexec_fn=heeded) as process:
        said = b""
        while b"1/1000" not in said:
            said += (more := process.stderr.read1())
            assert more, said  # it ended by itself
        process.send_signal(getattr(signal, name))
        process.communicate(timeout=60)
        assert process.returncode not in (0, 1, 2)
    left = list(out.iterdir())
    assert all(files.is_leftover(path) for path in left) and bool(left) == (name == "SIGKILL")
    done = subprocess.run([*arguments, "--steps", "1"], cwd=ROOT, env=variables(), capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (out / "metrics.json").is_file()


# Encodings


def test_every_text_file_is_read_and_written_as_utf_8():
    """In a Windows locale Python's default is another encoding."""
    bare = []
    for path in sorted((ROOT / "treg_edu").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
                continue
            method = node.func.attr if isinstance(node.func, ast.Attribute) else None
            of_files = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == "files"
            if (method in ("read_text", "write_text") and not of_files) or (isinstance(node.func, ast.Name) and node.func.id == "open"):
                bare.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert bare == []
