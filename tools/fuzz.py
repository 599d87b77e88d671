"""Try mutated inputs on every command of `treg-edu`. `make fuzz` calls it.

    python tools/fuzz.py --count 10000 --seed 0 [--state FILE] [--kind image …] [--only I …] [--keep FOLDER]

A case is a picture, a measurement, values of options, or a prior's folder, changed at random; case i depends on (seed, i) alone, so that
`--only i` repeats it. It has to end in a right answer (exit code 0, and what `solve` promises is there, whole and finite), or in one line
`error: name: …` on stderr (exit code 2, and no file that was not there before), within a minute and 4 GiB. Anything else is a finding: it
is printed, its folder is kept under --keep, and the exit code is 1. With --state a run that was ended goes on where it stopped.

Cases run in forked children of this process, which has imported everything and holds the bundled prior and judge; what seems wrong is
tried again in a child of its own. What stands in for the real thing: a case that damages no model gets the prior and the judge held here,
which remembers the features of the corpus' labels; nine in ten pictures are measured and graded, but not reconstructed; a computation that
would take minutes ends with exit code 0 where it begins (studies, trainings, bench) or after two timesteps (solvers); `lab` starts no
JupyterLab.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import fuzz_cases
from fuzz_verdict import Ended, complaint, tree

from treg_edu import files

BATCH, POLL = 40, 0.02
ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "COLUMNS": "200"}
Target = Callable[[fuzz_cases.Case], object]


@dataclass(frozen=True)
class Limits:
    """Of one case: seconds, and bytes of memory beyond those of the process that forks for it."""

    seconds: float = 60.0
    most: int = 4 * 2**30


@dataclass
class Tally:
    """What --state holds: how far a run has come, and what it found."""

    seed: int
    kinds: list[str]
    next: int = 0
    done: Counter = field(default_factory=Counter)
    ended: Counter = field(default_factory=Counter)
    findings: list[dict] = field(default_factory=list)

    def add(self, told: dict) -> None:
        self.done[told["kind"]] += 1
        self.ended[str(told["code"])] += 1
        self.next = told["case"] + 1
        if told["why"]:
            self.findings.append(told)
            print(f"case {told['case']} ({told['kind']}): {told['why']}; argv {json.dumps(told['argv'])[:1000]}", flush=True)

    def write(self, path: Path) -> None:
        files.write_text(path, json.dumps(vars(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path, seed: int, kinds: list[str]) -> "Tally":
        if not path.exists():
            return cls(seed, kinds)
        held = json.loads(path.read_text(encoding="utf-8"))
        if (held["seed"], held["kinds"]) != (seed, kinds):
            raise SystemExit(
                f"error: state: got {str(path)!r} of seed {held['seed']} and kinds {held['kinds']}, expected {seed} and {kinds}"
            )
        return cls(**held | {"done": Counter(held["done"]), "ended": Counter(held["ended"])})


# A case


def try_case(seed: int, index: int, target: Target, keep: Path | None, limits: Limits) -> dict:
    """Run case `index` in this process, its streams turned to files.  Returns {"case", "kind", "code", "why", …}; why: None if all is well.

    keep: where the folder of a finding goes; None if nowhere.
    """
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder = home / "in" / "here"
    folder.mkdir(parents=True)
    try:
        case = fuzz_cases.make(seed, index, folder)
        before = tree(home)
        code, stdout, stderr, seconds = captured(target, case, folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        ended = Ended(case.argv, code, stderr, before, tree(home), home)
        why = (
            f"took {peak / 2**30:.2f} GiB"
            if peak > limits.most
            else f"took {seconds:.0f} s"
            if seconds > limits.seconds
            else complaint(ended)
        )
        told = {"case": index, "kind": fuzz_cases.kind_of(index), "code": code, "why": why, "argv": case.argv}
        told |= {"stdout": stdout[-3000:], "stderr": stderr[-3000:], "seconds": round(seconds, 2), "MiB": peak // 2**20}
        if why and keep:
            kept(keep / f"{seed}-{index}", folder, case)
        return told
    finally:
        shutil.rmtree(home, ignore_errors=True)


def captured(target: Target, case: fuzz_cases.Case, folder: Path) -> tuple[int, str, str, float]:
    """(exit code, stdout, stderr, seconds) of `target` in `folder`, as the interpreter would have them for a program of its own."""
    began, here, environment = clock(), os.getcwd(), dict(os.environ)
    before = [os.dup(number) for number in (1, 2)]
    streams = [os.memfd_create("stream") for _ in before]
    of_python = sys.stdout, sys.stderr
    try:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", write_through=True) for number in (1, 2))
        os.chdir(folder)
        os.environ |= case.environment
        try:
            target(case)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush(), sys.stderr.flush()
    finally:
        sys.stdout, sys.stderr = of_python
        os.chdir(here)
        os.environ.clear()
        os.environ |= environment
        for number, stream in enumerate(before, 1):
            os.dup2(stream, number)
            os.close(stream)
    seconds = clock() - began
    return code, *map(content, streams), seconds


def content(stream: int) -> str:
    """What a stream holds, which is closed."""
    with open(stream, "rb") as file:
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def kept(at: Path, folder: Path, case: fuzz_cases.Case) -> None:
    """A copy of a case's folder, and `case.json` in it."""
    shutil.rmtree(at, ignore_errors=True)
    shutil.copytree(folder, at, symlinks=True, ignore=shutil.ignore_patterns("pipe"))
    (at / "case.json").write_text(fuzz_cases.stored(case), encoding="utf-8")


# In a child, which may hang or die


def forked(seed: int, batch: list[int], target: Target, keep: Path | None, limits: Limits) -> Iterator[dict]:
    """`try_case` for each of a batch, in one child.  Ends early where a case kills the child, or has to be stopped."""
    limits = replace(limits, most=limits.most + resident())  # the child begins with all that this process holds
    reading, writing = os.pipe()
    sys.stdout.flush(), sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for index in batch:
                os.write(writing, json.dumps(try_case(seed, index, target, keep, limits)).encode() + b"\n")
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    held, began = b"", clock(pid)
    waiting = select.poll()
    waiting.register(reading, select.POLLIN)
    try:
        while clock(pid) - began <= limits.seconds + 1 and resident(pid) <= limits.most:
            if waiting.poll(1000 * POLL):
                came = os.read(reading, 2**20)
                if not came:
                    break
                *lines, held = (held + came).split(b"\n")
                yield from map(json.loads, lines)
                began = clock(pid) if lines else began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)


def clock(pid: int | str = "self") -> float:
    """Seconds, without those that a process had to wait for a processor: on a busy machine nothing hangs by that."""
    waited = 0.0
    with contextlib.suppress(OSError):
        waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return time.monotonic() - waited


def resident(pid: int | str = "self") -> int:
    """How many bytes of memory a process holds."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def alone(seed: int, index: int, target: Target, keep: Path, limits: Limits) -> dict:
    """The verdict on a case in a child of its own."""
    for told in forked(seed, [index], target, keep, limits):
        return told
    with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
        case = fuzz_cases.make(seed, index, Path(home))
        kept(keep / f"{seed}-{index}", Path(home), case)
    why = f"it died, or had to be stopped: past {limits.seconds:.0f} s or {limits.most / 2**30:.2f} GiB"
    return {"case": index, "kind": fuzz_cases.kind_of(index), "code": None, "why": why, "argv": case.argv}


# Many cases


def indices(kinds: list[str], first: int, count: int):
    """`count` indices from `first` on whose cases are of these kinds."""
    while count:
        if fuzz_cases.kind_of(first) in kinds:
            yield first
            count -= 1
        first += 1


def fuzz(
    seed: int, count: int, kinds: list[str], target: Target, keep: Path, state: Path | None = None, limits: Limits = Limits()
) -> Tally:
    """The first `count` cases of these kinds, but for those that `state` says were run."""
    tally = Tally.read(state, seed, kinds) if state else Tally(seed, kinds)
    left = list(indices(kinds, tally.next, max(count - sum(tally.done.values()), 0)))
    while left:
        batch = left[:BATCH]
        for told in batched(seed, batch, target, keep, limits):
            tally.add(told)
            left.pop(0)
        if state:
            tally.write(state)
    return tally


def batched(seed: int, batch: list[int], target: Target, keep: Path, limits: Limits) -> Iterator[dict]:
    """The verdicts on a batch.  A case that seems wrong, or ends its batch, is judged by how it ends in a child of its own."""
    came = 0
    for told in forked(seed, batch, target, None, limits):
        came += 1
        yield told if told["why"] is None else alone(seed, told["case"], target, keep, limits)
    if came < len(batch):
        yield alone(seed, batch[came], target, keep, limits)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="how many cases, those of an earlier run with --state among them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="file to go on from, and to write")
    parser.add_argument("--kind", nargs="+", choices=fuzz_cases.KINDS, default=list(fuzz_cases.KINDS))
    parser.add_argument("--only", type=int, nargs="+", metavar="I", help="run these cases, and show what they print")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for what was found")
    given = parser.parse_args(arguments)
    os.environ |= ENVIRONMENT  # before the libraries that read it are imported
    from fuzz_target import warm

    keep = given.keep.resolve()
    target = warm()
    if given.only:
        found = []
        for index in given.only:
            told = alone(given.seed, index, target, keep, Limits())
            print(f"{told.pop('stdout', '')}{told.pop('stderr', '')}{json.dumps(told)}")
            found += [told] if told["why"] else []
        return 1 if found else 0
    began = time.monotonic()
    tally = fuzz(given.seed, given.count, given.kind, target, keep, given.state)
    kinds = ", ".join(f"{kind} {count}" for kind, count in tally.done.items())
    ends = ", ".join(f"{count} with {code}" for code, count in sorted(tally.ended.items()))
    seconds = time.monotonic() - began
    print(
        f"seed {given.seed}: {sum(tally.done.values())} cases ({kinds}) in {seconds:.0f} s; ended: {ends}; findings: {len(tally.findings)}"
    )
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
