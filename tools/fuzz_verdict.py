"""Whether a case of `tools/fuzz.py` ended as it may: in a right answer, or in one line about an argument."""

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

PROGRESS = re.compile(r"^[\w -]+: +\d+%\|.*\|")  # of tqdm
ERROR = re.compile(r"error: (?P<name>[\w ,./()-]{1,60}): (?P<told>.+)")


def tree(folder: Path) -> dict[str, int | None]:
    """{path of everything below: a file's size, None of a folder}."""
    found = {}
    for here, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(here, name)
            status = os.lstat(path)
            found[os.path.relpath(path, folder)] = status.st_size if stat.S_ISREG(status.st_mode) else None
    return found


@dataclass(frozen=True)
class Ended:
    """How a case ended.  before, after: the tree of `home`."""

    argv: list[str]
    code: int
    stderr: str
    before: dict[str, int | None]
    after: dict[str, int | None]
    home: Path

    @property
    def lines(self) -> list[str]:
        """Of stderr, but for progress bars."""
        return [line for line in re.split(r"[\r\n]+", self.stderr) if line.strip() and not PROGRESS.match(line)]


def complaint(ended: Ended) -> str | None:
    """What is wrong with how a case ended; None if nothing is."""
    if "Traceback (most recent call last)" in ended.stderr and "--debug" not in ended.argv:
        return f"a traceback: {ended.lines[-1][:200]}"
    if ended.code == 0:
        return not_right(ended)
    return not_refused(ended) if ended.code == 2 else f"exit code {ended.code}"


def not_refused(ended: Ended) -> str | None:
    """What is wrong with a refusal."""
    if ended.after != ended.before:
        return f"refused, but left or changed {sorted(ended.after.items() ^ ended.before.items())[:4]}"
    if ended.lines and ended.lines[0].startswith("Usage: ") and len(ended.argv) <= 1:  # a command or a group without a word more: its help
        return None
    rest = [line for line in ended.lines if not line.startswith("warning: ")]
    if "--debug" in ended.argv:
        rest = rest[-1:]
    if len(rest) != 1:
        return f"{len(rest)} lines where one is meant"
    return None if ERROR.fullmatch(rest[0]) else "a line of another form"


def not_right(ended: Ended) -> str | None:
    """What is wrong with an answer."""
    others = [line for line in ended.lines if not line.startswith("warning: ")]
    if others:
        return f"lines on stderr: {others[0][:200]!r}"
    new = ended.after.keys() - ended.before.keys()
    lost = sorted(ended.before.keys() - ended.after.keys())
    parts = [path for path in new if path.endswith(".part") or ".treg-edu-part-" in path]
    if lost or parts:
        return f"lost {lost[:3]}, left {parts[:3]}"
    whole = (not_whole((ended.home / path).parent) for path in new if path.endswith("metrics.json"))
    return next(filter(None, whole), None)


def not_whole(out: Path) -> str | None:
    """What is wrong with the results of `solve` in a folder."""

    def refuse(constant):
        raise ValueError(f"{constant} in metrics.json")

    try:
        report = json.loads((out / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)
        size = report["settings"]["size"]
        names = {"measurement.png", "measurement.safetensors"} | ({"truth.png"} if report["settings"]["image"] else set())
        for row in report["per_seed"]:
            names |= {f"reconstruction-{row['seed']}.png", f"remeasured-{row['seed']}.png"}
            lacking = [name for name, value in row.items() if value is None and name != "psnr"]
            if lacking:
                return f"{lacking} are null"
        if names | {"metrics.json"} != {path.name for path in out.iterdir()}:
            return f"wrote {sorted(path.name for path in out.iterdir())}, expected {sorted(names)}"
        for name in names:
            if name.endswith(".png"):
                with Image.open(out / name) as image:
                    image.load()
                    if name.startswith(("truth", "reconstruction")) and image.size != (size, size):
                        return f"{name} of {image.size}"
        y = load_file(out / "measurement.safetensors")["y"]
        return None if np.isfinite(y).all() else "a measurement that is not finite"
    except (OSError, ValueError, KeyError) as error:
        return f"results that cannot be read: {error!r}"
