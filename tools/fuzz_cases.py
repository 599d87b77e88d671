"""The cases of `tools/fuzz.py`: what a case puts into its folder, and the command line that it runs there."""

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import fuzz_inputs as inputs
import fuzz_pictures
import typer

from treg_edu import cli, files

BRIEF = {"--steps": "1", "--seeds": "1", "--prompt": "fox", "--out": "out"}
LINEAR = [[], ["--operator", "blur", "--kernel-size", "9"], ["--operator", "inpaint", "--box", "9,9,20,30"]]
NONLINEAR = [["--operator", "phase", "--iterations", "2"], ["--operator", "gamma", "--iterations", "2"]]


@dataclass
class Case:
    """A command line, and how much of it is run.

    argv: of `treg-edu`, run in a folder of the case's own.  environment: beside the usual.  live: whether models are loaded from
    their files.  solves: whether a solver does more than check what it is given.
    """

    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    live: bool = False
    solves: bool = True


# One function a kind: (random, folder to put files into) → Case


def image(random: Random, folder: Path) -> Case:
    name, data = fuzz_pictures.picture(random)
    if random.random() < 0.1:
        name = random.choice([name.replace(".", "-"), "x.png", "x.jpg", "x.svg", "caf\udce9.tif", "-.gif"])
    (folder / name).write_bytes(data)
    if random.random() < 0.2:
        (folder / "fox.png").write_bytes(fox())
        return solving("./fox.png", "--operator", "inpaint", "--mask", name, solves=False)
    size = ["--size", random.choice(["16", "32", "128"])] if random.random() < 0.1 else []
    return solving(f"./{name}", *random.choice(LINEAR), *size, solves=random.random() < 0.1)


def measurement(random: Random, folder: Path) -> Case:
    operator, shape = random.choice([([], (1, 3, 4, 4)), (LINEAR[1], (1, 3, 64, 64)), (LINEAR[2], (1, 3, 64, 64)), *nonlinear()])
    suffix = random.choice([".npy", ".safetensors"])
    write = random.choice([inputs.npy] * 9 + [inputs.safetensors]) if suffix == ".npy" else inputs.safetensors
    (folder / f"y{suffix}").write_bytes(write(random, shape))
    return solving("--measurement", f"y{suffix}", *operator)


def options(random: Random, folder: Path) -> Case:
    """Any command with one to four values that nobody means."""
    (folder / "fox.png").write_bytes(fox())
    inputs.linked(files.data_folder(), folder / "shipped")
    (folder / "file").write_text("mine")
    os.mkfifo(folder / "pipe")  # which nobody writes to
    (folder / "corpus.parquet").write_bytes(changed_parquet(random))
    name = random.choice(["solve"] * 12 + sorted(commands()))
    given = {option: value for option, value in usual(name).items() if random.random() < 0.97}
    parameters = commands()[name]
    for _ in range(random.choice([1, 1, 2, 2, 4])):
        option = random.choice([each.opts[0] for each in parameters])
        given[option] = hostile(random, option)
    if len(given) > 1 and random.random() < 0.1:
        a, b = random.sample(sorted(given), 2)
        given[a], given[b] = given[b], given[a]
    argv = [part for option, value in given.items() for part in written(random, option, value)]
    if random.random() < 0.1:
        random.shuffle(argv)
    if random.random() < 0.1:
        argv.insert(
            random.randrange(len(argv) + 1), random.choice(["--", "--no-such", "-x", "--debug", "--help", "--ste", "more", "", "--=", "-"])
        )
    argv = name.split() + argv
    if random.random() < 0.03:
        argv = random.choice([[], argv[1:], ["solv", *argv[1:]], [argv[0].upper(), *argv[1:]], ["--", *argv], [""]])
    environment = {"TREG_EDU_DATA": random.choice(["absent", "file", "/proc", "out", "a" * 300])} if random.random() < 0.05 else {}
    return Case(argv, environment, live=bool(environment))


def prior(random: Random, folder: Path) -> Case:
    """One damaged file in a prior's folder, in the judge's, or among the captioned images."""
    data = inputs.linked(files.data_folder(), folder / "data")
    roots = ["prior"] * 12 + ["judge"] * 5 + ["images"]
    found = sorted(path for path in (data / random.choice(roots)).rglob("*") if path.suffix in (".json", ".safetensors", ".parquet"))
    found = [path for path in found if path.name not in ("evaluation.json", "config.json") or "config" in path.name]
    for file in random.sample(found, random.choice([1, 1, 1, 1, 2]) if len(found) > 1 else 1):
        inputs.damage(random, file)
    (folder / "fox.png").write_bytes(fox())
    if random.random() < 0.3:
        more = random.choice(
            [["--prior", "data/prior"], ["--clip", "data/prior/clip"], ["--prior", "data/prior", "--clip", "data/prior/clip"]]
        )
        return solving("fox.png", *more, live=True)
    other = [["experiment", "quick", "--images", "2", "--seeds", "2", "--out", "out"], ["demo", "--out", "out"]]
    other += [["train", "unpack", "--data", "data", "--out", "out"], ["experiment", "phase", "--images", "2", "--out", "out"]]
    argv = random.choice(other) if random.random() < 0.1 else solving("fox.png", *random.choice(LINEAR + NONLINEAR)).argv
    return Case(argv, {"TREG_EDU_DATA": "data"}, live=True)


KINDS: dict[str, Callable[[Random, Path], Case]] = {"image": image, "measurement": measurement, "options": options, "prior": prior}
CYCLE = ("image", "options", "measurement", "image", "options", "prior", "image", "options", "measurement", "options")
"""Which kind case i is of: the i-th, over and over."""


def kind_of(index: int) -> str:
    return CYCLE[index % len(CYCLE)]


def make(seed: int, index: int, folder: Path) -> Case:
    """Case `index` of a run, which depends on (seed, index) alone; its files are put into `folder`."""
    return KINDS[kind_of(index)](Random(f"{seed}:{index}"), folder)


# Parts


@cache
def fox() -> bytes:
    """A picture as sound as the others are not."""
    return fuzz_pictures.pictures()["04-RGB.png"]


def solving(*arguments: str, **more: Any) -> Case:
    return Case(["solve", *arguments, *(part for option in BRIEF.items() for part in option)], **more)


def nonlinear() -> list[tuple[list[str], tuple[int, ...]]]:
    return [(NONLINEAR[0], (1, 3, 128, 128)), (NONLINEAR[1], (1, 3, 64, 64))]


@cache
def commands() -> dict[str, list[Any]]:
    """{command: its parameters}, as the program itself has them."""
    found = {}
    for name, command in typer.main.get_command(cli.app).commands.items():
        for below, inner in getattr(command, "commands", {"": command}).items():
            found[f"{name} {below}".strip()] = inner.params
    return found


def usual(command: str) -> dict[str, str]:
    """{option: value} that a command runs with."""
    given = {"--out": "out"}
    if command == "solve":
        given |= {"image": "fox.png"} | BRIEF
    if command == "demo" or (command.startswith("experiment") and command != "experiment settings"):
        given |= {"--images": "2", "--seeds": "2"}
    if command.startswith("train"):
        given |= {"--corpus": "corpus.parquet", "--minutes": "0", "--data": "shipped"}
    known = {parameter.opts[0] for parameter in commands()[command]}
    return {option: value for option, value in given.items() if option in known}


@cache
def corpus() -> bytes:
    """The captioned images of four concepts, as the whole is stored."""
    import pandas as pd

    frame = pd.read_parquet(files.data_folder() / "images" / "emoji.parquet")
    few = frame.loc[frame["split"] == "heldout", "label"].unique()[:4]
    stream = io.BytesIO()
    frame[frame["label"].isin(few)].to_parquet(stream)
    return stream.getvalue()


def changed_parquet(random: Random) -> bytes:
    return corpus() if random.random() < 0.6 else inputs.changed_bytes(random, corpus())


# fmt: off
NUMBERS = (
    "0", "-0", "-1", "1", "2", "3", "inf", "-inf", "nan", "NaN", "1e400", "-1e400", "1e-400", "1e30", "-1e30", "0.5", "1.0", "1e3", "0x10",
    "4294967295", "4294967296", "-4294967296", "9223372036854775807", "9223372036854775808", "9" * 400, "9" * 5000, "1_000", "٣", "²", " 7",
    "64", "100", "1000", "1001", "4096", "65535", "1000000", "1000000001",
)
TEXTS = (
    "", " ", "\0", "a\0b", "\n", "a\nb", "\r\n", "\t", "\udce9", "caf\udce9", "\ud800", "é", "狐", "🦊", "\u202e", "\x1b[31m",
    "%s", "{x}", "[bold]", "a" * 9_999, "a" * 10_001, "fox, " * 1500, "true", "None", "none", "null", "hidden", "-", "--", "-1", "--prompt",
    "$HOME", "~", "fox", "<|endoftext|>", "<|startoftext|><|endoftext|>", "\ufeff", "[/]", "\\", "'", '"', "0,0,64,64", "1,2,3,٤",
    "0,0,0,0", "-1,0,2,2", "9" * 30 + ",0,1,1", "²,1,1,1", "0,0,8,8,8",
    "sr", "blur", "inpaint", "phase", "gamma", "projected", "treg", "cpu:0", "cuda:99",
    "mps", "cuda:" + "9" * 30, "cpu:99999", "meta", "float16", "bfloat16", "float64", "cpu:-1", "owner/model", "a/b/c", "../x/y", "`id`",
)
PATHS = (
    "", ".", "..", "out", "out/", "./out/../out", "fox.png", "file", "file/x", "absent", "absent/deep/er", "shipped", "shipped/prior", "~",
    "shipped/prior/clip", "shipped/judge", "shipped/prior/unet", "corpus.parquet", "shipped/images/emoji.parquet", "/proc", "/proc/version",
    "a" * 300, "a/" * 600, "x" * 240 + ".png", "caf\udce9", "a\nb", "a\0b", "shipped/prior/model_index.json", "shipped/prior/samples.png",
    "pipe", "shipped/prior/text_encoder/model.safetensors", "y.npy", "fox.png/", "shipped/judge/tokenizer",
)
# fmt: on


def hostile(random: Random, option: str) -> str | None:
    """A value that an option may get from a careless user or script, mostly of the option's own sort; None: no value at all."""
    if random.random() < 0.03:
        return None
    paths = (
        "image",
        "--out",
        "--measurement",
        "--mask",
        "--prior",
        "--clip",
        "folder",
        "--corpus",
        "--data",
        "--start",
        "--photographs",
        "--from",
    )
    texts = ("--prompt", "--null-prompt", "--operator", "--box", "--solver", "--negation", "--dtype", "--device", "--prior", "--clip")
    sort = PATHS if option in (*paths, "--phrases", "--further", "--from") else TEXTS if option in texts else NUMBERS
    return random.choice(sort if random.random() < 0.8 else NUMBERS + TEXTS + PATHS)


def written(random: Random, option: str, value: str | None) -> list[str]:
    """As a shell would hand it on; an argument has no name."""
    if not option.startswith("-"):
        return [] if value is None else [value]
    if value is None:
        return [option]
    if option == "--overwrite" or option == "--solutions":
        return [option] if random.random() < 0.8 else [option, value]
    return [option, value] if random.random() < 0.8 else [f"{option}={value}"]


def stored(case: Case) -> str:
    """A case as JSON, for its folder."""
    return json.dumps({"argv": case.argv, "environment": case.environment}, indent=1) + "\n"
