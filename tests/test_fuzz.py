"""The fuzzer itself: it repeats what it did, goes on where it stopped, finds what is planted, and finds nothing in 240 cases."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

if sys.platform != "linux":
    pytest.skip("tools/fuzz.py forks, and reads /proc", allow_module_level=True)

import fuzz
import fuzz_cases
import fuzz_pictures
from PIL import Image

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
LINE = "error: sigma: got -1, expected a number of at least 0"


def contents(folder):
    """{path: bytes} of the files that a case made; those that ship are links."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", fuzz_cases.KINDS)
def test_a_case_depends_on_seed_and_index_alone(kind, tmp_path):
    (index,) = fuzz.indices([kind], 20, 1)
    made = []
    for name, seed in [("a", 3), ("b", 3), ("c", 4)]:
        (tmp_path / name).mkdir()
        made.append((fuzz_cases.make(seed, index, tmp_path / name), contents(tmp_path / name)))
    first, again, other = made
    assert first == again and first != other


def test_every_kind_has_cases_and_every_command_is_tried(tmp_path):
    assert set(map(fuzz_cases.kind_of, range(10))) == set(fuzz_cases.KINDS)
    tried = {" ".join(fuzz_cases.options(Random(seed), make_folder(tmp_path / str(seed))).argv[:2]) for seed in range(300)}
    for command in fuzz_cases.commands():
        assert any(words.startswith(command) for words in tried), command


def make_folder(path):
    path.mkdir()
    return path


def test_the_pictures_are_sound_before_they_are_changed():
    assert len(fuzz_pictures.pictures()) > 50
    for name, data in fuzz_pictures.pictures().items():
        with Image.open(io.BytesIO(data)) as image:
            image.load()
        assert min(image.size) > 10, name


# What is planted is found


def say(line, code=2):
    print(line, file=sys.stderr, flush=True)
    sys.exit(code)


def refuse(case):
    say(LINE)


def refuse_after_progress_and_a_warning(case):
    print("warning: prompt: it will guess\ntreg:  50%|█████     | 1/2 [00:00<00:00,  8.77step/s]", file=sys.stderr)
    say(LINE)


def answer(case):
    print("written to out")


def leave_a_file(case):
    Path("left.part").write_text("half")
    say(LINE)


def answer_with_nan(case):
    Path("out").mkdir()
    Path("out/metrics.json").write_text('{"settings": {"size": 64, "image": null}, "per_seed": [{"seed": 0, "misfit": NaN}]}')


def answer_without_pictures(case):
    Path("out").mkdir()
    Path("out/metrics.json").write_text('{"settings": {"size": 64, "image": null}, "per_seed": [{"seed": 0, "misfit": 0.1}]}')


def take_memory(case):
    held = bytearray(2**31)  # a forked child begins smaller than its parent, whose mapped files it does not hold
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(1)
    say(LINE)


PLANTED = {
    "a traceback: ZeroDivisionError": lambda case: 1 / 0,
    "exit code 1": lambda case: sys.exit(1),
    "had to be stopped": lambda case: time.sleep(60),
    "it died": lambda case: os.kill(os.getpid(), signal.SIGKILL),
    "GiB": take_memory,
    "left or changed": leave_a_file,
    "2 lines where one is meant": lambda case: say(LINE + "\nand more"),
    "0 lines where one is meant": lambda case: sys.exit(2),
    "a line of another form": lambda case: say("error: [Errno 36] File name too long: 'a'"),
    "lines on stderr": lambda case: say("UserWarning: look out", 0),
    "results that cannot be read: ValueError('NaN": answer_with_nan,
    "wrote ['metrics.json'], expected": answer_without_pictures,
}


@pytest.mark.parametrize("why", PLANTED)
def test_what_is_planted_is_found_and_kept(why, tmp_path):
    limits = fuzz.Limits(seconds=20 if why == "GiB" else 1.5, most=2**28)
    told = fuzz.alone(0, 1, PLANTED[why], tmp_path, limits)
    assert why in told["why"]
    assert json.loads((tmp_path / "0-1" / "case.json").read_text())["argv"] == told["argv"]
    assert (tmp_path / "0-1" / "fox.png").is_file()


@pytest.mark.parametrize("target", [refuse, refuse_after_progress_and_a_warning, answer])
def test_a_right_end_is_no_finding(target, tmp_path):
    limits = fuzz.Limits(most=2**28)  # less than this process holds itself
    assert fuzz.resident() > limits.most
    assert fuzz.alone(0, 1, target, tmp_path, limits)["why"] is None
    assert list(tmp_path.iterdir()) == []


def some_fail(case):
    """Some cases hang, some are bugs, the others are refused: a batch goes on after either."""
    number = sum(map(len, case.argv))
    if number % 7 == 0:
        time.sleep(60)
    if number % 5 == 0:
        raise KeyError(number)
    refuse(case)


def test_a_run_that_is_resumed_ends_as_one_that_was_not(tmp_path):
    kinds, limits = ["measurement", "options"], fuzz.Limits(seconds=0.2)
    whole = fuzz.fuzz(5, 24, kinds, some_fail, tmp_path / "a", tmp_path / "whole.json", limits)
    for count in (7, 8, 24):
        parts = fuzz.fuzz(5, count, kinds, some_fail, tmp_path / "b", tmp_path / "parts.json", limits)
        assert sum(parts.done.values()) == count
    names = [(each["case"], each["why"]) for each in whole.findings]
    assert names == [(each["case"], each["why"]) for each in parts.findings]
    assert {why[:3] for _, why in names} == {"a t", "it "}
    assert (whole.done, whole.ended, whole.next) == (parts.done, parts.ended, parts.next)
    assert json.loads((tmp_path / "parts.json").read_text())["next"] == parts.next
    with pytest.raises(SystemExit, match="state: got"):
        fuzz.fuzz(6, 24, kinds, some_fail, tmp_path / "b", tmp_path / "parts.json", limits)


# The program


def test_two_hundred_and_forty_cases_end_as_they_may(tmp_path):
    command = [sys.executable, "tools/fuzz.py", "--count", "240", "--seed", "0", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "240 cases" in done.stdout, done.stdout + done.stderr
