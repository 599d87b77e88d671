"""What the four trainings share: the images as one tensor, gentle augmentation, captions."""

import math
from pathlib import Path

import torch
from torch.nn import functional as F

from .. import checks, images


def load(path, split):
    """The images of one split of a corpus, (N, 3, 64, 64) in [0, 1], and their rows, as `images.load` gives those that ship."""
    import pandas as pd

    if not Path(path).is_file():
        raise checks.MissingFileError(f"corpus: no {str(path)!r}, expected a parquet file that `treg-edu train corpus` wrote")
    frame = pd.read_parquet(path).query("split == @split").reset_index(drop=True)
    frame["image"] = [image["bytes"] for image in frame["image"]]
    return images.decode(frame), frame


def one_file(argument, folder, pattern, fetched_by):
    """The path of the only file in `folder` that fits; `argument` is the name under which the folder was given."""
    found = sorted(Path(folder).glob(pattern))
    if len(found) != 1:
        there = ", ".join(path.name for path in found) or "none"
        raise checks.MissingFileError(f"{argument}: expected one {pattern} in {folder}, as `{fetched_by}` writes it, got {there}")
    return found[0]


def shift_and_scale(x, generator, pixels=4, sizes=(1 / 1.15, 1 / 0.85), degrees=0):
    """Move each image by up to `pixels`, draw it at one of `sizes` times its own, and tilt it by up to `degrees`, on white.

    Never flips, and tilts for classifiers alone: orientation is content.
    """
    count, side = len(x), x.shape[-1]
    most, least = (1 / size for size in sizes)
    zoom = least + (most - least) * torch.rand(count, 1, 1, generator=generator)
    move = (2 * torch.rand(count, 2, 1, generator=generator) - 1) * 2 * pixels / side
    angle = math.radians(degrees) * (2 * torch.rand(count, generator=generator) - 1)
    tilt = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(count, 2, 2)
    grid = F.affine_grid(torch.cat([tilt * zoom, move], 2), list(x.shape), align_corners=False)
    return 1 - F.grid_sample(1 - x, grid, mode="bicubic", align_corners=False).clamp(0, 1)


def shift(x, generator, pixels=4):
    """Move each image by a whole number of up to `pixels`, on white: nothing is resampled, so nothing is blurred."""
    side, paper = x.shape[-1], F.pad(1 - x, (pixels,) * 4)
    moves = torch.randint(2 * pixels + 1, (len(x), 2), generator=generator).tolist()
    return 1 - torch.stack([image[:, down : down + side, across : across + side] for image, (down, across) in zip(paper, moves)])


def bend(x, generator, pixels=3):
    """Displace each image smoothly: by noise on 5×5 points, of up to `pixels` of deviation, between which is interpolated."""
    count, side = len(x), x.shape[-1]
    strength = 2 * pixels / side * torch.rand(count, 1, 1, 1, generator=generator)
    moves = F.interpolate(strength * torch.randn(count, 2, 5, 5, generator=generator), side, mode="bicubic", align_corners=True)
    still = F.affine_grid(torch.eye(2, 3).expand(count, 2, 3), list(x.shape), align_corners=False)
    return 1 - F.grid_sample(1 - x, still + moves.permute(0, 2, 3, 1), align_corners=False)


def recolour(x, generator, strength=0.12):
    """Change each image's brightness, contrast and white balance, and tint the paper of a quarter of them."""
    count = len(x)

    def around_one(shape):
        return 1 + strength * (2 * torch.rand(shape, generator=generator) - 1)

    x = (x - 0.5) * around_one((count, 1, 1, 1)) + 0.5
    x = 1 - (1 - x) * around_one((count, 3, 1, 1))
    tinted = (torch.rand(count, 1, 1, 1, generator=generator) < 1 / 4).float()
    return (x * (1 - tinted * 0.3 * torch.rand(count, 3, 1, 1, generator=generator))).clamp(0, 1)


def turn_hue(x, generator, share, grey):
    """Rotate the colours of some images about the grey axis by any angle, and drop those of some: shape must name them too."""
    count = len(x)

    def chosen(probability):
        return (torch.rand(count, generator=generator) < probability).float()

    angle = 2 * torch.pi * torch.rand(count, generator=generator) * chosen(share)
    a, b = (1 + 2 * angle.cos()) / 3, (angle.sin() / 3**0.5)
    c = (1 - angle.cos()) / 3
    rotation = torch.stack([a, c - b, c + b, c + b, a, c - b, c - b, c + b, a], 1).view(count, 3, 3)
    grey = chosen(grey)[:, None, None]
    rotation = rotation * (1 - grey) + grey / 3
    return torch.einsum("bij,bjhw->bihw", rotation, x).clamp(0, 1)


def mirror(x, generator):
    """Flip half of the images left to right, for classifiers alone: styles disagree on where an animal looks."""
    flipped = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(flipped, x.flip(-1), x)


def erase(x, generator, share=0.3):
    """Hide a rectangle of an eighth to a half of the side, in one colour, in some of the images  (Zhong et al. 2020)."""
    count, side = len(x), x.shape[-1]

    def draw(*shape):
        return torch.rand(count, *shape, generator=generator)

    extent = 1 / 8 + 3 / 8 * draw(2, 1)
    start = draw(2, 1) * (1 - extent)
    pixel = (torch.arange(side) + 0.5) / side
    down, across = ((start <= pixel) & (pixel < start + extent)).unbind(1)
    hidden = down[:, None, :, None] & across[:, None, None, :] & (draw(1, 1, 1) < share)
    return torch.where(hidden, draw(3, 1, 1), x)


def degrade(x, generator):
    """Blur a quarter of the images and add noise to a quarter, so that a reconstruction is not a foreign thing to a classifier."""
    count, side = len(x), x.shape[-1]
    small = F.interpolate(F.interpolate(x, scale_factor=0.5, mode="area"), side, mode="bilinear")
    x = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 1 / 4, small, x)
    sigma = 0.08 * torch.rand(count, 1, 1, 1, generator=generator) * (torch.rand(count, 1, 1, 1, generator=generator) < 1 / 4)
    return (x + sigma * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def caption(row, generator):
    """A caption of one image: the label half of the time, otherwise a template with its style, or label and keywords."""

    def draw(count):
        return int(torch.randint(count, (), generator=generator))

    label, style, keywords = row["label"], row["style"], list(row["keywords"])
    if draw(2):
        return label
    templates = [
        f"{label}, {style} style",
        f"a {style} icon of a {label}",
        f"a photo of a {label}",
        f"a picture of a {label}",
        f"{label}, {keywords[draw(len(keywords))]}" if keywords else label,
    ]
    return templates[draw(len(templates))]


def corpus_text(frame):
    """Everything a caption can say, for the tokenizer's vocabulary."""
    for _, row in frame.iterrows():
        yield from [row["label"], row["style"], *row["keywords"], "a photo of a, picture of a, icon of a, style"]
