"""A prior of forty drawings, small enough to train in a notebook: the same losses, loop and layout as the bundled prior, on 32×32 pixels.

`train` makes all parts; each argument of `Toy` leaves one of them out.  `ablations` measures what that costs.
"""

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from .. import images
from ..diffusion import sample
from ..priors import LatentDiffusion
from . import clip, loop, shapes, unet, vae

__all__ = [
    "ARMS",
    "AUTOENCODER",
    "DENOISER",
    "DRAWINGS",
    "HELD_OUT",
    "SIDE",
    "TOKENS",
    "WIDTH",
    "JudgeLoss",
    "Toy",
    "ablations",
    "autoencoder",
    "denoiser",
    "fit",
    "judge",
    "latents",
    "new_text_tower",
    "parts",
    "read",
    "text_tower",
    "train",
]

SIDE, TOKENS, WIDTH = 32, 8, 64
DRAWINGS, HELD_OUT = 16, 2  # of each concept
AUTOENCODER = vae.CONFIG | dict(sample_size=SIDE, block_out_channels=(16, 16, 16), layers_per_block=0)
DENOISER = unet.CONFIG | dict(
    sample_size=SIDE // 4,
    block_out_channels=(32, 64),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    mid_block_type=None,
    norm_num_groups=16,
    cross_attention_dim=WIDTH,
)
Batch = Callable[[torch.Generator], Sequence[torch.Tensor]]


@dataclass(frozen=True)
class Toy:
    """How long the parts are trained, in steps, and what is left out.

    drop: the share of texts that are replaced by the null text.  standardised: whether the latents are brought to mean 0 and deviation 1.
    text_steps = 0 leaves the text tower as it began.
    """

    autoencoder_steps: int = 600
    text_steps: int = 60
    denoiser_steps: int = 1000
    drop: float = 0.12
    standardised: bool = True


ARMS: dict[str, dict[str, Any]] = {
    "all parts": {},
    "no null text in training": {"drop": 0.0},
    "latents as they come": {"standardised": False},
    "text tower not trained": {"text_steps": 0},
}
"""{what is left out: the arguments of `Toy` that differ}"""


def fit(loss: nn.Module, batch: Batch, steps: int, peak: float, decay: float = 0.99, seed: int = 0, progress: bool = False) -> list[float]:
    """`loop.fit` for so many steps, without a folder to resume from.  Returns the loss at each step."""
    losses: list[float] = []
    watch = loss.register_forward_hook(lambda module, given, value: losses.append(value.item()))
    with tempfile.TemporaryDirectory() as out:
        loop.fit(loss, batch, out, steps=steps, peak=peak, decay=decay, seed=seed, progress=progress)
    watch.remove()
    loss.cpu().requires_grad_(False)
    return losses


def read(frame: pd.DataFrame, split: str) -> tuple[torch.Tensor, list[str]]:
    """(pictures, labels) of one split of a corpus that is in memory: (N, 3, 32, 32), N strings."""
    rows = images.of_split(frame, split)
    rows["image"] = [image["bytes"] for image in rows["image"]]
    return images.decode(rows, SIDE), list(rows["label"])


def autoencoder(x: torch.Tensor, steps: int, seed: int = 0) -> tuple[Any, list[float]]:
    """(an `AutoencoderKL` of pictures (N, 3, 32, 32), its losses); its latents are as they come, see `vae.standardise`."""
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    model = AutoencoderKL(**AUTOENCODER)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor]:
        return (2 * x[torch.randint(len(x), (8,), generator=generator)] - 1,)

    return model, fit(vae.Loss(model), batch, steps, 4e-3, seed=seed)


@torch.no_grad()
def latents(model: Any, x: torch.Tensor) -> torch.Tensor:
    """The posterior means, (N, 4, 8, 8), of pictures in [0, 1]."""
    return torch.cat([model.encode(2 * part - 1).latent_dist.mode() for part in x.split(64)])


def new_text_tower(labels: Sequence[str], seed: int = 0) -> tuple[Any, Any]:
    """(tokenizer, text tower), the second untrained."""
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = clip.train_tokenizer(pd.DataFrame({"label": labels, "style": "", "keywords": [[]] * len(labels)}))
    tokenizer.model_max_length = TOKENS
    sizes = dict(hidden_size=WIDTH, intermediate_size=2 * WIDTH, max_position_embeddings=TOKENS)
    torch.manual_seed(seed)
    return tokenizer, CLIPTextModel(CLIPTextConfig(**clip.text_config(tokenizer, layers=2, features=WIDTH) | sizes)).eval()


def text_tower(labels: Sequence[str], steps: int, seed: int = 0) -> tuple[Any, Any, list[float]]:
    """(tokenizer, text tower that tells the labels apart, its losses)."""
    tokenizer, tower = new_text_tower(labels, seed)
    tokens, count = tokens_of(tokenizer, labels), len(labels)
    nothing = torch.zeros(count, TOKENS, WIDTH), torch.zeros(count, TOKENS)  # there is no earlier tower to stay near to
    loss = clip.ReadingLoss(tower, nn.Embedding(count, WIDTH))
    return tokenizer, tower, fit(loss, lambda generator: (tokens, torch.eye(count), *nothing), steps, 2e-3, seed=seed) if steps else []


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """(N, TOKENS)."""
    return tokenizer(list(texts), padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt").input_ids


def denoiser(
    z: torch.Tensor, concept: torch.Tensor, states: torch.Tensor, steps: int, drop: float, seed: int = 0
) -> tuple[Any, Any, list[float]]:
    """(U-Net, scheduler, losses).

    z: latents (N, 4, 8, 8).  concept: (N,), which state is the text of each.  states: (1 + C, L, d), that of the null text first.
    """
    from diffusers import DDIMScheduler, UNet2DConditionModel

    scheduler = DDIMScheduler(**unet.SCHEDULE)
    torch.manual_seed(seed)
    model = UNet2DConditionModel(**DENOISER)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        i = torch.randint(len(z), (16,), generator=generator)
        text = torch.where(torch.rand(len(i), generator=generator) < drop, 0, concept[i])
        t = torch.randint(len(scheduler.alphas_cumprod), (len(i),), generator=generator)
        return z[i], torch.randn(z[i].shape, generator=generator), t, states[text]

    return model, scheduler, fit(unet.Loss(model, scheduler.alphas_cumprod), batch, steps, 3e-3, seed=seed)


class JudgeLoss(nn.Module):
    """Cross-entropy of a small convolutional network that names the concept of a picture."""

    def __init__(self, concepts: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for inside, outside in ((3, 24), (24, 48), (48, 96)):
            blocks += [nn.Conv2d(inside, outside, 3, 2, 1), nn.BatchNorm2d(outside), nn.ReLU()]
        self.network = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(96 * (SIDE // 8) ** 2, concepts))

    def forward(self, x: torch.Tensor, concept: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.network(x), concept, label_smoothing=0.1)


def judge(x: torch.Tensor, concept: torch.Tensor, steps: int = 150, seed: int = 1) -> tuple[nn.Module, list[float]]:
    """(a network, (N, 3, 32, 32) → (N, C) scores of the concepts; its losses).  It sees noisy pictures and nothing that the prior makes."""
    torch.manual_seed(seed)
    loss = JudgeLoss(int(concept.max()) + 1)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        i = torch.randint(len(x), (64,), generator=generator)
        sigma = 0.1 * torch.rand(len(i), 1, 1, 1, generator=generator)
        return x[i] + sigma * torch.randn(x[i].shape, generator=generator), concept[i]

    losses = fit(loss, batch, steps, 3e-3, decay=0.95, seed=seed)
    return loss.network.eval(), losses


def parts(answers: torch.Tensor, asked: torch.Tensor, labels: Sequence[str]) -> dict[str, torch.Tensor]:
    """{"number", "colour", "shape", "all": whether the judge's answer has what was asked for, (N,)}.  answers, asked: numbers of labels."""
    of_label = {each.label: each for each in shapes.CONCEPTS}
    found, wanted = ([of_label[labels[int(i)]] for i in numbers] for numbers in (answers, asked))
    right = {name: [getattr(a, name) == getattr(b, name) for a, b in zip(found, wanted)] for name in shapes.Concept._fields}
    return {name: torch.tensor(each) for name, each in right.items()} | {"all": answers == asked}


def train(frame: pd.DataFrame, settings: Toy, seed: int = 0, encoder: Any = None) -> LatentDiffusion:
    """The prior of a corpus of drawings.  encoder: what `autoencoder` made of it, which is trained first if None."""
    x, names = read(frame, "train")
    labels = list(dict.fromkeys(names))
    concept = torch.tensor([1 + labels.index(name) for name in names])
    encoder = autoencoder(x, settings.autoencoder_steps, seed)[0] if encoder is None else copy.deepcopy(encoder)
    if settings.standardised:
        vae.standardise(encoder, x)
    tokenizer, tower, _ = text_tower(labels, settings.text_steps, seed)
    with torch.no_grad():
        states = tower(input_ids=tokens_of(tokenizer, ["", *labels])).last_hidden_state
    model, scheduler, _ = denoiser(latents(encoder, x), concept, states, settings.denoiser_steps, settings.drop, seed)
    return LatentDiffusion(encoder, model, tokenizer, tower, scheduler, None, None, None)


def ablations(frame: pd.DataFrame, settings: Toy, seeds: Sequence[int], guidance_scale: float = 4.0, steps: int = 15) -> pd.DataFrame:
    """A sample of each label by the prior of each of ARMS, once a seed: a row each, with what the judge finds in it, see `parts`.

    A seed is that of the trainings and of the samples; the arms of a seed share the autoencoder.  The judge is the same for all.
    """
    x, names = read(frame, "train")
    labels = list(dict.fromkeys(names))
    network, _ = judge(x, torch.tensor([labels.index(name) for name in names]))
    rows = []
    for seed in seeds:
        encoder, _ = autoencoder(x, settings.autoencoder_steps, seed)
        for arm, differs in ARMS.items():
            prior = train(frame, replace(settings, **differs), seed, encoder)
            with torch.no_grad():
                *_, last = sample(prior, labels, steps, guidance_scale, seed=[1000 * seed + i for i in range(len(labels))])
                answers = network(prior.decode(last.z0).clamp(0, 1)).argmax(1)
            right = parts(answers, torch.arange(len(labels)), labels)
            for i, label in enumerate(labels):
                rows.append({"left out": arm, "seed": seed, "label": label} | {name: bool(each[i]) for name, each in right.items()})
    return pd.DataFrame(rows)
