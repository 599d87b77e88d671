"""Files of a prior that are damaged or do not fit: one line that names the file, in the library and at the command.  Bugs stay bugs."""

import json
import sys

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from test_judge import POINTER
from typer.testing import CliRunner

import treg_edu as te
from treg_edu import cli, images
from treg_edu.checks import ArgumentError, MissingFileError
from treg_edu.files import data_folder
from treg_edu.priors import loading

FOLDER = data_folder() / "prior"
FILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.suffix in (".json", ".safetensors"))
FILES.remove("evaluation.json")  # the card's, which no prior needs
SOLVING = sys.modules["treg_edu.cli.solve"]

OF_ANY = {"empty": lambda whole: b"", "pointer": lambda whole: POINTER, "half": lambda whole: whole[: len(whole) // 2]}
OF_JSON = {"list": b"[]", "null": b"null", "text": b'"owner/model"', "number": b"3", "another encoding": '{"a": "é"}'.encode("latin-1")}


def replaced(folder, name, content):
    """The bundled prior by links, with one file of another content, or without it."""
    part = name.split("/")[0] if "/" in name else None
    for path in FOLDER.iterdir():
        if path.name == part:
            (folder / part).mkdir()
            for file in path.iterdir():
                (folder / part / file.name).symlink_to(file)
        else:
            (folder / path.name).symlink_to(path)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def reads_only(prior, monkeypatch):
    """Call it with a file's name: loading then reads the networks of its part alone, and takes the others from the prior."""
    real = loading.weights
    networks = {"vae": prior.vae, "unet": prior.unet, "text_encoder": prior.text_encoder, "": prior.clip}

    def choose(name):
        part = {"clip": ""}.get(name.split("/")[0], name.split("/")[0])
        monkeypatch.setattr(
            loading,
            "weights",
            lambda kind, argument, source, folder="", **settings: (
                real(kind, argument, source, folder, **settings) if folder == part else networks[folder]
            ),
        )

    return choose


@pytest.fixture(scope="module")
def fox(tmp_path_factory):
    return images.save(images.example("fox"), tmp_path_factory.mktemp("pictures") / "fox.png")


def solve(fox, out, *options):
    arguments = ["solve", str(fox), "--prompt", "fox", "--out", str(out), "--steps", "1", "--seeds", "1", *map(str, options)]
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def refused(result, out, *parts):
    (line,) = result.stderr.strip().splitlines()
    assert result.exit_code == 2 and line.startswith("error: ") and all(part in line for part in parts), line
    assert not out.exists()


# In the library


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(tmp_path, reads_only, name):
    reads_only(name)
    whole = (FOLDER / name).read_bytes()
    contents = {key: damage(whole) for key, damage in OF_ANY.items()} | (OF_JSON if name.endswith(".json") else {})
    for key, content in contents.items():
        folder = tmp_path / key
        folder.mkdir()
        with pytest.raises(ArgumentError, match=f"^(name|clip): got .*{folder / name}.*, expected"):
            te.load_prior(replaced(folder, name, content))


def test_a_weight_under_another_name_is_missed(tmp_path, reads_only):
    """diffusers leaves it without values."""
    index = json.loads((FOLDER / "unet" / "diffusion_pytorch_model.safetensors.index.json").read_text())
    key, shard = next(iter(index["weight_map"].items()))
    reads_only("unet")
    renamed = (FOLDER / "unet" / shard).read_bytes().replace(f'"{key}"'.encode(), f'"{key[:-1]}_"'.encode())
    with pytest.raises(ArgumentError, match=f"^name: got .*/unet', where 1 weights are missing .*{key}.*, expected those"):
        te.load_prior(replaced(tmp_path, f"unet/{shard}", renamed))


def test_weights_that_are_no_numbers_are_named(tmp_path, reads_only):
    name = "vae/diffusion_pytorch_model.safetensors"
    reads_only(name)
    tensors = load_file(FOLDER / name)
    tensors["decoder.conv_in.bias"][0] = torch.nan
    with pytest.raises(ArgumentError, match=r"^name: got .*/vae' with NaN or infinite weights, such as \['decoder.conv_in.bias'\]"):
        te.load_prior(replaced(tmp_path, name, save(tensors)))


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("vae/config.json", None, "/vae', which cannot be loaded .*config.json"),
        ("vae/config.json", b"{}", "/vae', which cannot be loaded .*shape"),
        ("vae/diffusion_pytorch_model.safetensors", None, "/vae' without a .safetensors"),
        ("unet/diffusion_pytorch_model-00002-of-00003.safetensors", None, "index.json'.*names diffusion_pytorch_model-00002-of-00003"),
        ("unet/diffusion_pytorch_model.safetensors.index.json", b"{}", "index.json'.*without a weight_map"),
        ("unet/diffusion_pytorch_model.safetensors.index.json", None, "/unet', which cannot be loaded .*diffusion_pytorch_model"),
        ("text_encoder/config.json", b"{}", "/text_encoder', where 196 weights are missing or have another shape"),
        ("text_encoder/config.json", b'{"num_hidden_layers": 1000000000}', "num_hidden_layers: 1000000000 is larger than in any network"),
        ("unet/config.json", b'{"block_out_channels": [64, 1e30]}', "block_out_channels: 1e.30 is larger than in any network"),
        ("clip/config.json", b'{"vision_config": {"image_size": 1000000000}}', "image_size: 1000000000 is larger"),
        ("clip/config.json", b"{}", "/clip', which cannot be loaded .*model_type"),
        ("clip/preprocessor_config.json", None, "/clip', where no preprocessor_config.json is"),
        ("clip/preprocessor_config.json", b'{"image_mean": [0, 0, 0], "image_std": [1, 0, 1]}', "image_std .*preprocessor_config.json"),
        ("tokenizer/tokenizer.json", None, "a tokenizer of 2 tokens"),
        ("tokenizer/tokenizer.json", b"{}", "/tokenizer', which cannot be loaded .*added_tokens"),
        ("tokenizer/tokenizer_config.json", b"{}", "a tokenizer with model_max_length"),
        ("scheduler/scheduler_config.json", None, "/scheduler', which cannot be loaded .*scheduler_config.json"),
        ("scheduler/scheduler_config.json", b'{"prediction_type": "sample"}', "^scheduler: .*'sample'"),
    ],
)
def test_a_file_that_is_missing_or_does_not_fit_is_told(tmp_path, reads_only, name, content, told):
    reads_only(name)
    with pytest.raises(ArgumentError, match=told):
        te.load_prior(replaced(tmp_path, name, content))


def test_a_merges_file_that_git_lfs_has_not_fetched_is_named(tmp_path, reads_only):
    reads_only("tokenizer")
    folder = replaced(tmp_path, "tokenizer/tokenizer.json", b"{}")
    (folder / "tokenizer" / "merges.txt").write_bytes(POINTER)
    with pytest.raises(ArgumentError, match=r"merges\.txt'.*git lfs pull"):
        te.load_prior(folder)


def test_the_training_size_is_read_from_whole_files(tmp_path):
    for number, content in enumerate((b"", POINTER, b"{}", b'{"sample_size": "16"}', b'{"sample_size": [16]}')):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(ArgumentError, match="^name: .*unet/config.json"):
            te.priors.training_size(replaced(folder, "unet/config.json", content))


@pytest.mark.parametrize(
    "error, raised, told",
    [
        (SafetensorError("header too large"), ArgumentError, "which cannot be loaded \\(header too large\\)"),
        (OSError("no such\n file"), MissingFileError, "which is not there or cannot be read \\(no such file\\)"),
        (KeyError(), ArgumentError, "which cannot be loaded \\(KeyError\\)"),
        (MemoryError("out of memory"), MemoryError, "^out of memory$"),
        (RuntimeError("can't allocate memory"), RuntimeError, "can't allocate memory"),
    ],
    ids=repr,
)
def test_what_a_library_raises_about_a_model_of_the_hub_is_one_line(error, raised, told):
    class Kind:
        @staticmethod
        def from_pretrained(*_, **__):
            raise error

    with pytest.raises(raised, match=f"^name: got 'owner/model/unet', {told}" if issubclass(raised, ArgumentError) else told) as caught:
        loading.weights(Kind, "name", "owner/model", "unet")
    assert "\n" not in str(caught.value)


# At the command


@pytest.mark.parametrize("name", FILES)
def test_the_command_tells_a_damaged_file_in_one_line(fox, tmp_path, reads_only, name):
    reads_only(name)
    folder, out = tmp_path / "prior", tmp_path / "out"
    folder.mkdir()
    replaced(folder, name, (FOLDER / name).read_bytes()[:99])
    refused(solve(fox, out, "--prior", folder), out, "error: prior: ", str(folder / name))


def test_a_clip_of_its_own_is_told_under_its_option(fox, tmp_path, reads_only):
    reads_only("clip")
    folder, out = tmp_path / "prior", tmp_path / "out"
    folder.mkdir()
    replaced(folder, "clip/model.safetensors", POINTER)
    refused(solve(fox, out, "--clip", folder / "clip"), out, "error: clip: got ", "model.safetensors", "git lfs pull")


@pytest.mark.parametrize(
    "settings, parts",
    [
        ({"guidance_scale": "4"}, ["guidance_scale: got '4', expected a finite number"]),
        ({"null_prompt": 5}, ["null_prompt: got 5, expected one string"]),
        ({"every": 0}, ["every: got 0, expected an integer of at least 1"]),
        ({"until": None}, ["until: got None, expected a finite number"]),
        ({"negation": ["hidden"]}, ["negation: got ['hidden'], expected one of"]),
    ],
    ids=str,
)
def test_a_recommended_setting_that_is_none_names_its_file(fox, tmp_path, reads_only, settings, parts):
    reads_only("none")
    folder, out = tmp_path / "prior", tmp_path / "out"
    folder.mkdir()
    replaced(folder, "recommended.json", json.dumps({"treg": settings}).encode())
    refused(solve(fox, out, "--prior", folder), out, "error: prior: recommended.json: ", *parts)
    (name,) = settings
    if name == "guidance_scale":  # the user's own replaces it
        assert solve(fox, out, "--prior", folder, "--guidance-scale", 2).exit_code == 0


def test_recommended_settings_of_another_version_are_left_out(fox, tmp_path, reads_only):
    reads_only("none")
    replaced(tmp_path, "recommended.json", json.dumps({"another": {"eta": 1}, "treg": {"temperature": 3, "lam": 1e-3}}).encode())
    result = solve(fox, tmp_path / "out", "--prior", tmp_path)
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert line == "warning: prior: its recommended.json has temperature, which solver 'treg' does not take"
    assert json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["settings"]["lam"] == 1e-3


# Bugs


@pytest.mark.parametrize(
    "where, name",
    [
        (loading, "check_files"),
        (loading, "fitting_tokenizer"),
        (loading.LatentDiffusion, "__init__"),
        (te.LatentDiffusion, "embed_text"),
        (te, "solve"),
        (SOLVING, "write_pictures"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("bug", [KeyError("a bug"), AttributeError("a bug")], ids=repr)
def test_a_bug_is_not_told_as_the_users(fox, tmp_path, reads_only, monkeypatch, where, name, bug):
    def fail(*_, **__):
        raise bug

    reads_only("none")
    monkeypatch.setattr(where, name, fail)
    with pytest.raises(type(bug), match="a bug"):  # which ends the process with a traceback and 1
        solve(fox, tmp_path / "out", "--prior", FOLDER)
    assert not (tmp_path / "out").exists()


def test_parts_that_do_not_fit_are_told_at_the_load(tmp_path, prior, monkeypatch):
    whole = json.loads((FOLDER / "scheduler" / "scheduler_config.json").read_text())
    content = json.dumps(whole | {"trained_betas": 0.5}).encode()  # one number for all timesteps
    monkeypatch.setattr(
        loading, "weights", lambda kind, argument, source, part="", **settings: getattr(prior, part) if part else prior.clip
    )
    with pytest.raises(ArgumentError, match="^name: got .*, whose parts do not fit each other .*, expected a complete model"):
        te.load_prior(replaced(tmp_path, "scheduler/scheduler_config.json", content))
