"""The denoiser: a `UNet2DConditionModel` on cached latents and cached text states, so that a step touches neither network."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .. import checks, files
from ..priors.model_files import weights
from . import data, loop, spoilt
from .clip import WIDTH, said_by
from .robust import latents_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "JITTER",
    "SCHEDULE",
    "SPOILT",
    "Loss",
    "cache_captions",
    "cache_latents",
    "cache_spoilt",
    "noise_and_text",
    "plain_attention",
    "remembered_captions",
    "train",
]

CONFIG = dict(
    sample_size=16,
    in_channels=4,
    out_channels=4,
    block_out_channels=(64, 160, 256),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    attention_head_dim=4,  # diffusers' name for the number of heads
    cross_attention_dim=WIDTH,
)
SCHEDULE: dict[str, Any] = dict(
    num_train_timesteps=1000,
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",  # Stable Diffusion's
    prediction_type="v_prediction",
    timestep_spacing="trailing",
    clip_sample=False,
    set_alpha_to_one=True,
)
COPIES = 3  # cached latents of each image: itself, and two shifts of it
CAPTIONS, PHRASES = 4, 4  # cached captions of each image, besides the label, and phrases of it where there are any
UNCONDITIONAL = 0.12
SPOILT = 5 / 32  # share of the batch that is spoilt, see `spoilt`
JITTERED, JITTER = 1 / 4, 0.25  # share of the empty texts whose states are moved, and by how much at most, see `spoilt.jittered`
MIN_SNR, FLOOR = 5.0, 0.25


class Loss(nn.Module):
    """v-prediction with a min-SNR weight.

    v = √ᾱ ε − √(1 − ᾱ) z₀,   w(t) = (min(SNR, 5) + ¼) / (SNR + 1)      (Salimans & Ho 2022; Hang et al. 2023)

    The ¼ keeps the noisiest steps, where the text decides, from vanishing.
    """

    alphas_cumprod: torch.Tensor

    def __init__(self, unet: Any, alphas_cumprod: torch.Tensor) -> None:
        super().__init__()
        self.unet = unet
        self.register_buffer("alphas_cumprod", alphas_cumprod, persistent=False)

    def forward(self, z0: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        alpha_bar = self.alphas_cumprod[t][:, None, None, None]
        z_t = alpha_bar.sqrt() * z0 + (1 - alpha_bar).sqrt() * noise
        v = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * z0
        snr = alpha_bar / (1 - alpha_bar)
        weight = (snr.clamp(max=MIN_SNR) + FLOOR) / (snr + 1)
        return (weight * (self.unet(z_t, t, text).sample.float() - v).square()).mean()


@torch.no_grad()
def cache_latents(vae: Any, x: torch.Tensor, copies: int = COPIES, seed: int = 0) -> dict[str, torch.Tensor]:
    """{"latents": (N, copies, 4, h, w)} of each image, unmoved and moved by a few pixels; where it stands is content, so only a few."""
    generator = torch.Generator().manual_seed(seed)
    moved = [x] + [data.shift_and_scale(x, generator, pixels=2, sizes=(1 / 1.06, 1 / 0.94)) for _ in range(copies - 1)]
    return {"latents": torch.stack([latents_of(vae, copy) for copy in moved], 1)}


@torch.no_grad()
def cache_captions(
    text_encoder: Any, tokenizer: Any, frame: "pd.DataFrame", phrases: Mapping[str, Sequence[str]] | None = None, seed: int = 0
) -> dict[str, torch.Tensor]:
    """{"states": (M, L, d), "of_image": (N, 1 + CAPTIONS) indices into them}.  State 0 is the empty text; column 0 is the label.

    phrases: {label: texts}, of which PHRASES are drawn for each image, in so many columns more; captions instead for a label that has none.
    """
    generator = torch.Generator().manual_seed(seed)

    def texts_of(row: "pd.Series") -> Iterator[str]:
        said = (phrases or {}).get(row["label"])
        yield row["label"]
        for _ in range(CAPTIONS):
            yield data.caption(row, generator)
        for _ in range(PHRASES if phrases else 0):
            yield said[int(torch.randint(len(said), (), generator=generator))] if said else data.caption(row, generator)

    drawn = [list(texts_of(row)) for _, row in frame.iterrows()]
    texts = ["", *dict.fromkeys(text for row in drawn for text in row)]
    index = {text: i for i, text in enumerate(texts)}
    states, _ = said_by(text_encoder, tokenizer, texts)
    return {"states": states, "of_image": torch.tensor([[index[text] for text in row] for row in drawn])}


@torch.no_grad()
def cache_spoilt(
    vae: Any,
    text_encoder: Any,
    tokenizer: Any,
    x: torch.Tensor,
    labels: Sequence[str],
    reconstructed: tuple[torch.Tensor, Sequence[str]] | None = None,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """{"latents": (M, 4, h, w), "states": (T, L, d), "of_latent": (M,) indices into them}: each picture in each of `spoilt.WAYS`.

    reconstructed: (pictures, labels) that are spoilt already, and become part of the M.
    """
    generator = torch.Generator().manual_seed(seed)
    latents, texts = [], []
    every = [(x, labels, spoilt.WAYS)] + ([] if reconstructed is None else [(*reconstructed, (spoilt.RECONSTRUCTED,))])
    for pictures, names, ways in every:
        for bad, captions in spoilt.pairs(pictures, names, generator, ways):
            latents.append(latents_of(vae, bad))
            texts += captions
    index = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    states, _ = said_by(text_encoder, tokenizer, list(index))
    return {"latents": torch.cat(latents), "states": states, "of_latent": torch.tensor([index[text] for text in texts])}


def remembered(
    path: Path, networks: Sequence[nn.Module], frames: "Sequence[pd.DataFrame]", make: Callable[[], dict[str, torch.Tensor]], *also: Any
) -> dict[str, torch.Tensor]:
    """The tensors of make(), kept beside `path` for a run that resumes with the same networks, images, captions and `also`."""
    from safetensors.torch import load_file, save_file

    seen = hashlib.sha256(repr((COPIES, CAPTIONS, PHRASES, *also)).encode())
    for network in networks:
        for value in network.state_dict().values():
            seen.update(value.cpu().contiguous().numpy().tobytes())
    for frame in frames:
        seen.update(b"".join(frame["image"]) + frame.drop(columns="image").to_json().encode())
    digest = seen.hexdigest()
    path = path.with_name(f"{path.stem}-{digest[:12]}{path.suffix}")
    with loop.process().main_process_first():
        if not path.exists():
            with files.written_beside(path) as beside:
                save_file({name: value.contiguous() for name, value in make().items()}, beside)
    return load_file(path)


def remembered_captions(
    text_encoder: Any, tokenizer: Any, frame: "pd.DataFrame", out: str | Path, phrases: Mapping[str, Sequence[str]] | None
) -> dict[str, torch.Tensor]:
    """The tensors of `cache_captions`, kept in `out`."""
    say = lambda: cache_captions(text_encoder, tokenizer, frame, phrases)  # noqa: E731
    return remembered(Path(out) / "captions.safetensors", [text_encoder], [frame], say, phrases)


def plain_attention(unet: Any) -> None:
    """Attention by plain products on a CPU, where torch's fused one has a slow backward in bf16."""
    from diffusers.models.attention_processor import AttnProcessor

    if not torch.cuda.is_available():
        unet.set_attn_processor(AttnProcessor())


def noise_and_text(
    z0: torch.Tensor, captions: Mapping[str, torch.Tensor], image: torch.Tensor, generator: torch.Generator, jitter: float = JITTER
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(noise, t, text states) for clean latents z0 of the images with the numbers `image`, (B,): what `Loss` takes besides z0.

    captions: of `cache_captions`.  A share UNCONDITIONAL of the texts is empty, of which a share JITTERED is `spoilt.jittered`.
    """
    states, of_image = captions["states"], captions["of_image"]
    text = of_image[image, torch.randint(of_image.shape[1], image.shape, generator=generator)]
    empty = torch.rand(image.shape, generator=generator) < UNCONDITIONAL
    text[empty] = 0
    t = torch.randint(SCHEDULE["num_train_timesteps"], image.shape, generator=generator)
    moved = empty & (torch.rand(image.shape, generator=generator) < JITTERED)
    c = torch.where(moved[:, None, None], spoilt.jittered(states[text], jitter, generator), states[text])
    return torch.randn(z0.shape, generator=generator), t, c


def train(
    vae: Any,
    text_encoder: Any,
    tokenizer: Any,
    corpus: str | Path,
    out: str | Path,
    *,
    minutes: float,
    start: str | Path | None = None,
    phrases: Mapping[str, Sequence[str]] | None = None,
    share: float = SPOILT,
    reconstructed: str | Path | None = None,
    jitter: float = JITTER,
    batch_size: int = 32,
    seed: int = 0,
) -> tuple[Any, Any, dict[str, float]]:
    """Train the U-Net on the latents and captions of the training split.  Returns (unet, scheduler, log).

    start: a folder with a U-Net to begin from, made with the same latents and text states; random weights if None.
    phrases: as in `cache_captions`.  share: of each batch that is spoilt, rounded to a number of pictures.
    reconstructed: a corpus of pictures that are spoilt already, or None.  jitter: the size in `spoilt.jittered`.
    """
    from diffusers import DDIMScheduler, UNet2DConditionModel

    bad_count = round(checks.number("spoilt", share, least=0, most=1) * batch_size)
    x, frame = data.load(corpus, "train")
    again = None if reconstructed is None else data.load(reconstructed, "train", "reconstructed")
    latents = remembered(Path(out) / "latents.safetensors", [vae], [frame], lambda: cache_latents(vae, x))["latents"]
    captions = remembered_captions(text_encoder, tokenizer, frame, out, phrases)
    bad = {}
    if bad_count:
        spoil = lambda: cache_spoilt(  # noqa: E731
            vae, text_encoder, tokenizer, x, list(frame["label"]), again and (again[0], list(again[1]["label"]))
        )
        frames = [frame] if again is None else [frame, again[1]]
        bad = remembered(Path(out) / "spoilt.safetensors", [vae, text_encoder], frames, spoil, spoilt.SIZES, spoilt.words())
    scheduler = DDIMScheduler(**SCHEDULE)
    torch.manual_seed(seed)
    unet = weights(UNet2DConditionModel, "start", start, torch_dtype=torch.float32) if start else UNet2DConditionModel(**CONFIG)
    plain_attention(unet)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        def draw(count: int, size: int) -> torch.Tensor:
            return torch.randint(count, (size,), generator=generator)

        image = draw(len(latents), batch_size - bad_count)
        z0 = latents[image, draw(latents.shape[1], len(image))]
        noise, t, text = noise_and_text(z0, captions, image, generator, jitter)
        if not bad_count:
            return z0, noise, t, text
        image = draw(len(bad["latents"]), bad_count)
        z0_bad, text_bad = bad["latents"][image], bad["states"][bad["of_latent"][image]]
        noise_bad, t_bad = torch.randn(z0_bad.shape, generator=generator), draw(SCHEDULE["num_train_timesteps"], bad_count)
        return tuple(map(torch.cat, ((z0, z0_bad), (noise, noise_bad), (t, t_bad), (text, text_bad))))

    peak = 2e-4 if start else 5e-4
    log = loop.fit(Loss(unet, scheduler.alphas_cumprod), batch, out, minutes=minutes, peak=peak, decay=0.9995, seed=seed)
    return unet, scheduler, log
