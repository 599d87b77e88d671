"""Every figure of the model card, measured on the held-out split."""

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import normalize

from .. import checks, diffusion, files, images, metrics
from ..judge import Judge, load_judge
from ..priors import LatentDiffusion, load_prior
from . import vae as autoencoder

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["all_labels", "draw", "nearest", "paraphrases", "ranks", "run", "set_distances", "some_labels"]

Model = LatentDiffusion | Judge

GUIDANCE, STEPS, FEW_STEPS, PROMPTS = 4.0, 50, 20, 200


def features(model: Model, x: torch.Tensor) -> torch.Tensor:
    """`model.embed_images` in parts: (N, 3, H, W) → (N, d)."""
    return torch.cat([model.embed_images(part) for part in x.split(64)])


@functools.lru_cache(maxsize=4)
def features_of(model: Model, split: str) -> torch.Tensor:
    """`features` of a split's pictures, in the order of `images.load`; computed once."""
    return features(model, images.load(split)[0])


def ranks(model: Model, x: torch.Tensor, names: Sequence[str], labels: list[str]) -> torch.Tensor:
    """`metrics.label_ranks` of images among all labels, by `model`."""
    return metrics.label_ranks(features(model, x), model.embed_labels(labels), [labels.index(name) for name in names])


def draw(
    prior: LatentDiffusion, prompts: Sequence[str], steps: int = STEPS, guidance_scale: float = GUIDANCE, batch_size: int = 25
) -> torch.Tensor:
    """One sample of each prompt, prompt i with seed i.  Returns (N, 3, H, W)."""
    pictures = []
    for start in range(0, len(prompts), batch_size):
        part = prompts[start : start + batch_size]
        *_, last = diffusion.sample(prior, part, steps, guidance_scale, seed=list(range(start, start + len(part))))
        assert last.x_hat is not None  # the last step has one
        pictures.append(last.x_hat.float().cpu())
    return torch.cat(pictures)


def all_labels() -> list[str]:
    """Every label of the corpus, in Unicode's order."""
    return list(dict.fromkeys(images.captions()["label"]))


def some_labels(count: int, seed: int = 0) -> list[str]:
    """A fixed draw of distinct labels."""
    labels = all_labels()
    checks.integer("prompts", count, 1, len(labels))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return [labels[i] for i in order[:count]]


def paraphrases() -> tuple[list[str], list[str]]:
    """(texts, labels): the descriptions in `data/paraphrases.csv`, which no caption says, of things that the corpus has."""
    import pandas as pd

    rows = pd.read_csv(files.data_folder() / "paraphrases.csv")
    rows = rows[rows["label"].isin(all_labels())]
    return rows["text"].tolist(), rows["label"].tolist()


def nearest(judge: Judge, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The training image most like each sample, by the cosine of the judge's features.

    Returns (images, near copies): (N, 3, 64, 64) and (N,) bools. A near copy is at least as like its training image as two renderings of
    one drawing, with gradients and without, are like each other (the median of those in the training split).
    """
    x, rows = images.load("train")
    trained = normalize(features_of(judge, "train"), dim=1)
    row_of = rows.reset_index().pivot(index="label", columns="style", values="index")
    first, second = row_of[list(images.SIBLINGS)].dropna().astype(int).to_numpy().T.tolist()
    as_like = (trained[first] * trained[second]).sum(1).median()
    cosines, index = (normalize(features(judge, samples), dim=1) @ trained.T).max(1)
    return x[index], cosines >= as_like


def set_distances(prior: LatentDiffusion, judge: Judge, count: int, steps: int = FEW_STEPS) -> dict[str, float]:
    """{"samples", "training images"}: `metrics.mmd`, by the judge's features, of each set to the held-out images.

    The features are scaled to uᵀu = d, so that the kernel is (cosine + 1)³.
    The samples are `count` of the labels in turn; of training images there are as many, or all, in a fixed order.
    """
    labels = all_labels()
    held_out, train = features_of(judge, "heldout"), features_of(judge, "train")
    train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:count]]
    samples = features(judge, draw(prior, [labels[i % len(labels)] for i in range(count)], steps))
    f_held_out, f_samples, f_train = (f.shape[1] ** 0.5 * normalize(f, dim=1) for f in (held_out, samples, train))
    return {"samples": metrics.mmd(f_samples, f_held_out).item(), "training images": metrics.mmd(f_train, f_held_out).item()}


@torch.no_grad()
def measure(
    prior: LatentDiffusion, judge: Judge, prompts: int = PROMPTS, steps: int = STEPS, many: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(figures, pictures): all figures as one dict, and the samples they come from with their nearest training images.

    many: the number of samples for `set_distances`, 0 for none.  pictures: {"samples", "nearest", "near copies"}, see `nearest`.
    """
    asked = some_labels(prompts)
    x, rows = images.load("heldout")
    names, labels = list(rows["label"]), all_labels()
    started = time.perf_counter()
    draw(prior, labels[:16], steps, batch_size=16)
    seconds = time.perf_counter() - started
    samples = draw(prior, asked, steps)
    places = ranks(judge, samples, asked, labels)
    by_clip, by_judge = (ranks(model, x, names, labels) for model in (prior, judge))
    few = ranks(judge, draw(prior, asked, FEW_STEPS), asked, labels)
    texts, meant = paraphrases()
    told = ranks(judge, draw(prior, texts, steps), meant, labels)
    neighbours, copies = nearest(judge, samples)
    alone = torch.tensor(~rows["style"].isin(images.SIBLINGS).to_numpy())
    drawn = {"prompts": len(asked), "steps": steps, "guidance_scale": GUIDANCE, "ranks": places.tolist()}
    return {
        "vae": autoencoder.evaluate(prior.vae, x),
        "clip": metrics.top_shares(by_clip),
        "judge": metrics.top_shares(by_judge),
        "clip, no sibling": metrics.top_shares(by_clip[alone]),
        "judge, no sibling": metrics.top_shares(by_judge[alone]),
        "samples": metrics.top_shares(places) | drawn,
        "samples, few steps": metrics.top_shares(few) | {"steps": FEW_STEPS},
        "paraphrases": metrics.top_shares(told) | {"texts": len(texts), "ranks": told.tolist()},
        "near copies": copies.cpu().double().mean().item(),
        "set distances": set_distances(prior, judge, many) | {"count": many} if many else None,
        "seconds_16_images": seconds,
        "megabytes": sum(file.stat().st_size for file in (files.data_folder() / "prior").rglob("*.safetensors")) / 1e6,
    }, {"samples": samples, "nearest": neighbours, "near copies": copies.tolist()}


def run(prompts: int = PROMPTS, many: int = 0, out: str | Path = "out", device: str = "cpu") -> dict[str, Any]:
    """Write to `out`, then print, the figures: `evaluation.json`; `samples.png`, the first 64 samples, unpicked; and `nearest.png`, all of
    them beside the training images most like them.
    """
    from rich.console import Console

    from ..figures import nearest_sheet, sample_sheet

    asked = some_labels(prompts)
    folder = files.results_folder("out", out)
    figures, pictures = measure(load_prior(device=device), load_judge(device=device), prompts, many=many)
    files.write_text(folder / "evaluation.json", files.json_text(figures))
    files.write_figure(folder / "samples.png", sample_sheet(pictures["samples"][:64], asked[:64]))
    files.write_figure(folder / "nearest.png", nearest_sheet(pictures["samples"], pictures["nearest"], pictures["near copies"]))
    Console(width=100).print(table(figures))
    return figures


def table(figures: dict[str, Any]) -> "Table":
    """What `measure` found, beside what was asked, as a rich table."""
    from rich.table import Table

    vae, distances = figures["vae"], figures["set distances"]
    view = Table("figure", "measured", "asked", title="The bundled prior, on the held-out split")
    view.add_row("VAE, mean PSNR", f"{vae['psnr']:.2f} dB", "≥ 33 dB")
    view.add_row("latents, |mean| per channel", ", ".join(f"{abs(v):.2f}" for v in vae["latent_mean"]), "≤ 0.15")
    view.add_row("latents, deviation per channel", ", ".join(f"{v:.2f}" for v in vae["latent_std"]), "0.8 to 1.25")
    for name, title, asked in (
        ("clip", "CLIP, image → label, top-1 / top-5", "≥ 75 % / 92 %"),
        ("clip, no sibling", "  without the two fluent styles", ""),
        ("judge", "judge, image → label, top-1 / top-5", "≥ 80 %"),
        ("judge, no sibling", "  without the two fluent styles", ""),
        ("samples", f"{figures['samples']['prompts']} samples, judge's top-1 / top-5", "≥ 80 % / 95 %"),
        ("samples, few steps", f"  the same in {FEW_STEPS} steps", "5 points less at most"),
        ("paraphrases", f"{figures['paraphrases']['texts']} paraphrases, judge's top-1 / top-5", "≥ 50 % in top-5"),
    ):
        view.add_row(title, f"{figures[name]['top1']:.1%} / {figures[name]['top5']:.1%}", asked)
    if distances:
        title = f"set distance of {distances['count']} samples / of training images"
        view.add_row(title, f"{distances['samples']:.4f} / {distances['training images']:.4f}", "ratio ≤ 2")
    view.add_row("near copies of a training image", f"{figures['near copies']:.1%}", "")
    view.add_row("16 images × 50 guided steps", f"{figures['seconds_16_images']:.1f} s", "≤ 40 s on two cores")
    view.add_row("weights", f"{figures['megabytes']:.1f} MB", "≤ 60")
    return view
