"""python killed_study.py FOLDER: a study that is killed at 50 random points, and goes on; and one of four processes; run by test_runner.

Each run is a fork, since an import takes longer than a run.  Every solve writes a byte to FOLDER/solves.  A run is killed as it touches the
folder for the k-th time, k random: opens a file, brings it to the disk, renames it, removes it.  Ten of them are merging.  No clock takes
part, so the points do not depend on how busy the machine is.
"""

import os
import random
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import tiny_world

from treg_edu.experiments import runner
from treg_edu.experiments.arms import Arm

FOLDER = Path(sys.argv[1])
KILLS, IN_MERGES, ARMS, PICTURES = 40, 10, 20, 5


def solved(study, job, setting, grader):
    """The rows of a batch: the key, and a value that tells the seed.  Real reconstructions would take most of the time."""
    with open(FOLDER / "solves", "ab") as log:
        log.write(b".")
    keys = [dict(zip(runner.KEY, runner.key_of(row))) for row in job]
    return pd.DataFrame(keys).assign(value=[row.seed % 97 for row in job], seconds=time.perf_counter())


runner.solved, runner.BATCH = solved, 2
STUDY = runner.Study("killed", lambda setting: [Arm(f"arm {i}", "tikhonov") for i in range(ARMS)])
MODELS = tiny_world.models()


def run(name):
    return runner.reconstruct(STUDY, runner.Options(out=FOLDER / name, images=PICTURES, seeds=2), MODELS)[0]


def store(name):
    return runner.Store(FOLDER / name, "killed", runner.KEY)


def solves():
    path = FOLDER / "solves"
    return path.stat().st_size if path.exists() else 0


TOUCHES = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir"}  # of Python's audit events, told before they happen


def killed_run(action, count):
    """Whether a fork was killed, at the moment of its `count`-th touch of FOLDER, before it ended."""
    pid = os.fork()
    if pid == 0:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        left, sync = count, os.fsync

        def touched():
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def audit(event, arguments):
            if event in TOUCHES and str(FOLDER) in os.fsdecode(arguments[0] if isinstance(arguments[0], (str, bytes, os.PathLike)) else ""):
                touched()

        sys.addaudithook(audit)
        os.fsync = lambda descriptor: (touched(), sync(descriptor))  # what is written and not yet brought to the disk
        action()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def share(rank, world):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    run("shared")


def shared_rows(world=4):
    """What several processes at one time make of the study, each told its rank as `accelerate launch` does."""
    pids = []
    for rank in range(world):
        pids.append(os.fork())
        if pids[-1] == 0:
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            share(rank, world)
            os._exit(0)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    return pd.read_parquet(FOLDER / "shared" / "killed.parquet")


def main():
    whole = run("whole")
    jobs = solves()
    (FOLDER / "solves").unlink()
    chance, killed, sizes = random.Random(0), 0, []
    for _ in range(KILLS):
        killed += killed_run(lambda: run("killed"), chance.randint(1, 16))
        sizes.append(len(store("killed").read()))
    for turn in range(IN_MERGES):
        shutil.copytree(FOLDER / "killed", FOLDER / f"{turn}")
        killed += killed_run(store(f"{turn}").merge, chance.randint(1, 12))
        assert same_rows(turn), turn
    again = run("killed")
    stored = store("killed").read()
    left = sorted(path.name for path in (FOLDER / "killed").rglob("*") if not path.name.startswith("."))
    same = again.drop(columns="seconds").equals(whole.drop(columns="seconds"))
    solved_alone = solves()
    key = list(runner.KEY)
    shared, alone = (each.drop(columns="seconds").sort_values(key, ignore_index=True) for each in (shared_rows(), whole))
    assert solves() == solved_alone + jobs, "a batch was solved by two processes"
    same = same and shared.equals(alone)
    print(same, len(stored), int(stored.duplicated(list(runner.KEY)).sum()), killed, len(set(sizes)), jobs, solved_alone, left)


def same_rows(turn):
    """In whatever order."""
    key = list(runner.KEY)
    found, expected = (store(name).read().sort_values(key, ignore_index=True) for name in (f"{turn}", "killed"))
    return found.equals(expected)


warnings.simplefilter("error")
main()
