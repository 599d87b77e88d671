"""treg_edu.judge against transformers called directly."""

import copy
import shutil
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from treg_edu import load_judge, metrics
from treg_edu.checks import ArgumentError
from treg_edu.files import data_folder

FOLDER = data_folder() / "judge"


@pytest.fixture(scope="module")
def judge():
    return load_judge()


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def as_seen(x):
    """Images as the tower takes them: at its side, in [−1, 1]."""
    return 2 * F.interpolate(x, (112, 112), mode="bicubic", antialias=True).clamp(0, 1) - 1


def test_images_are_embedded_in_plus_minus_1_and_alike_when_mirrored(judge):
    x = rand(3, 3, 64, 64)
    with torch.no_grad():
        expected = sum(judge.image_encoder(as_seen(each)).pooler_output for each in (x, x.flip(3))) / 2
    features = judge.embed_images(x)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(judge.embed_images(x.flip(3)), features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features[1:2], judge.embed_images(x[1:2]), rtol=1e-4, atol=1e-4)
    assert not features.requires_grad and not judge.image_encoder.training


def test_labels_are_embedded_alike_in_any_batch(judge):
    tokens = judge.tokenizer(["fox"], return_tensors="pt").input_ids
    with torch.no_grad():
        expected = judge.text_encoder(tokens).text_embeds
    labels = judge.embed_labels(["fox", "a large slice of pizza", ""])
    torch.testing.assert_close(labels[:1], expected, rtol=1e-4, atol=1e-5)
    assert (labels[0] - labels[1]).abs().max() > 1e-3
    assert labels.shape == (3, judge.embed_images(rand(1, 3, 64, 64)).shape[1])
    assert not labels.requires_grad and not judge.text_encoder.training


def test_images_of_any_size_are_judged_at_one(judge):
    """As if resized to the side of the image tower before."""
    for side in (48, 112, 256):
        x = rand(1, 3, side, side)
        resized = F.interpolate(x, (112, 112), mode="bicubic", antialias=True).clamp(0, 1)
        torch.testing.assert_close(judge.embed_images(x), judge.embed_images(resized), rtol=1e-4, atol=1e-4)
        assert [stage.shape for stage in judge.features(x)] == [stage.shape for stage in judge.features(resized)]


def test_half_precision_is_judged_in_float32(judge):
    assert judge.embed_images(rand(1, 3, 64, 64).half()).dtype == torch.float32


def test_features_that_are_not_finite_are_no_judgement(judge):
    class Overflowing(torch.nn.Module):
        def forward(self, x):
            return SimpleNamespace(pooler_output=torch.full((len(x), 4), torch.inf))

    damaged = copy.copy(judge)
    damaged.image_encoder = Overflowing()
    damaged._normalised = lambda x: x
    with pytest.raises(ArgumentError, match="^judge: got features that are NaN or infinite, expected finite ones"):
        damaged.embed_images(rand(1, 3, 64, 64))


def test_features_are_stages_for_the_perceptual_distance(judge):
    x, other = rand(2, 3, 64, 64), rand(2, 3, 64, 64, seed=1)
    stages = judge.features(x)
    assert len(stages) >= 3 and all(stage.ndim == 4 and len(stage) == 2 for stage in stages)
    assert [stage.shape[-1] for stage in stages] == [56, 28, 14, 7, 4]
    assert metrics.perceptual_distance(judge, x, x).eq(0).all()
    assert (metrics.perceptual_distance(judge, x, other) > 0).all()
    with torch.no_grad():
        maps = judge.image_encoder(as_seen(x), output_hidden_states=True).hidden_states
    torch.testing.assert_close(stages[-1], maps[-1])


def test_the_judge_is_another_network_than_the_priors_clip(judge, prior):
    """They began with different weights, of different depth, see images at different sides, and share no tensor of either tower."""
    theirs, ours = prior.clip.vision_model, judge.image_encoder
    assert theirs.config.image_size != ours.config.image_size
    assert theirs.config.num_block_repeats != ours.config.num_block_repeats
    pairs = ((theirs, ours), (prior.clip.text_model, judge.text_encoder))
    for towers in pairs:
        learnt = [
            {parameter.detach().numpy().tobytes() for parameter in tower.parameters() if parameter.unique().numel() > 1} for tower in towers
        ]
        assert len(learnt[0]) > 30 and not learnt[0] & learnt[1]


def test_one_label_is_a_list_of_one_and_none_is_refused(judge):
    assert torch.equal(judge.embed_labels("fox"), judge.embed_labels(["fox"]))
    with pytest.raises(ValueError, match="^texts: got none, expected"):
        judge.embed_labels([])


def test_a_folder_by_its_name(judge):
    other = load_judge(str(FOLDER))
    a, b = judge.image_encoder.state_dict(), other.image_encoder.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_no_judge_there(tmp_path):
    for folder in (tmp_path / "none", str(tmp_path / "none")):
        with pytest.raises(FileNotFoundError, match="^folder: got .*none', where no judge is, expected"):
            load_judge(folder)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.mark.parametrize(
    "file", ["image_encoder/model.safetensors", "text_encoder/model.safetensors", "image_encoder/config.json", "tokenizer/tokenizer.json"]
)
@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: POINTER, lambda whole: whole[: len(whole) // 2]])
def test_a_damaged_file_is_named(tmp_path, file, damage):
    shutil.copytree(FOLDER, tmp_path / "judge")
    path = tmp_path / "judge" / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArgumentError, match=f"^folder: got .*{file}.*expected a whole file"):
        load_judge(tmp_path / "judge")


def test_weights_of_another_network_are_refused(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "judge")
    shutil.copy(FOLDER / "text_encoder" / "model.safetensors", tmp_path / "judge" / "image_encoder" / "model.safetensors")
    with pytest.raises(ArgumentError, match="^folder: got .*image_encoder.*missing"):
        load_judge(tmp_path / "judge")


def test_pickles_are_not_opened(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "judge")
    (tmp_path / "judge/image_encoder/model.safetensors").rename(tmp_path / "judge/image_encoder/pytorch_model.bin")
    with pytest.raises(ArgumentError, match="^folder: got .*image_encoder' without a .safetensors.*pickles"):
        load_judge(tmp_path / "judge")


def test_what_ships_is_small_and_no_pickle():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".png"}
    assert max(path.stat().st_size for path in files) < 16e6
