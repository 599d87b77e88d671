"""Every figure of the model card, measured on the held-out split."""

import json
import time
from pathlib import Path

import torch

from .. import diffusion, images, metrics
from ..judge import load_judge
from ..latent_diffusion import load_prior
from . import vae as autoencoder

GUIDANCE, STEPS, PROMPTS = 4.0, 50, 200


def ranks(model, x, names, labels):
    """`metrics.label_ranks` of images among all labels, by `model`."""
    features = torch.cat([model.embed_images(part) for part in x.split(64)])
    return metrics.label_ranks(features, model.embed_labels(labels), [labels.index(name) for name in names])


def draw(prior, prompts, steps=STEPS, guidance_scale=GUIDANCE, batch_size=25):
    """One sample of each prompt, prompt i with seed i.  Returns (N, 3, H, W)."""
    pictures = []
    for start in range(0, len(prompts), batch_size):
        part = prompts[start : start + batch_size]
        *_, last = diffusion.sample(prior, part, steps, guidance_scale, seed=list(range(start, start + len(part))))
        pictures.append(last.x_hat.float().cpu())
    return torch.cat(pictures)


def all_labels():
    """Every label of the corpus, in Unicode's order."""
    return list(dict.fromkeys(images.captions()["label"]))


def some_labels(count, seed=0):
    """A fixed draw of distinct labels."""
    labels = all_labels()
    if count > len(labels):
        raise ValueError(f"prompts: got {count}, expected at most {len(labels)}, the number of labels")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return [labels[i] for i in order[:count]]


@torch.no_grad()
def measure(prior, judge, prompts=PROMPTS, steps=STEPS):
    """All figures as one dict, and the samples they come from, (N, 3, 64, 64)."""
    asked = some_labels(prompts)
    x, rows = images.load("heldout")
    names, labels = list(rows["label"]), all_labels()
    started = time.perf_counter()
    draw(prior, labels[:16], steps, batch_size=16)
    seconds = time.perf_counter() - started
    samples = draw(prior, asked, steps)
    places = ranks(judge, samples, asked, labels)
    by_clip, by_judge = (ranks(model, x, names, labels) for model in (prior, judge))
    alone = torch.tensor(~rows["style"].isin(images.SIBLINGS).to_numpy())
    drawn = {"prompts": len(asked), "steps": steps, "guidance_scale": GUIDANCE, "ranks": places.tolist()}
    return {
        "vae": autoencoder.evaluate(prior.vae, x),
        "clip": metrics.top_shares(by_clip),
        "judge": metrics.top_shares(by_judge),
        "clip, no sibling": metrics.top_shares(by_clip[alone]),
        "judge, no sibling": metrics.top_shares(by_judge[alone]),
        "samples": metrics.top_shares(places) | drawn,
        "seconds_16_images": seconds,
        "megabytes": sum(file.stat().st_size for file in (images.data_folder() / "prior").rglob("*.safetensors")) / 1e6,
    }, samples


def run(prompts=PROMPTS, out="out", device="cpu"):
    """Print the figures, and write `evaluation.json` and a picture of the first 64 samples, unpicked, to `out`."""
    from rich.console import Console
    from rich.table import Table

    from ..figures import sample_sheet

    figures, samples = measure(load_prior(device=device), load_judge(device=device), prompts)
    vae = figures["vae"]
    table = Table("figure", "measured", "asked", title="The bundled prior, on the held-out split")
    table.add_row("VAE, mean PSNR", f"{vae['psnr']:.2f} dB", "≥ 31")
    table.add_row("latents, |mean| per channel", ", ".join(f"{abs(v):.2f}" for v in vae["latent_mean"]), "≤ 0.15")
    table.add_row("latents, deviation per channel", ", ".join(f"{v:.2f}" for v in vae["latent_std"]), "0.8 to 1.25")
    for name, title, asked in (
        ("clip", "CLIP, image → label, top-1 / top-5", "≥ 60 % / 85 %"),
        ("clip, no sibling", "  without the two fluent styles", ""),
        ("judge", "judge, image → label, top-1 / top-5", "≥ 60 % / 85 %"),
        ("judge, no sibling", "  without the two fluent styles", ""),
        ("samples", f"{figures['samples']['prompts']} samples, judge's top-1 / top-5", "≥ 60 % / 85 %"),
    ):
        table.add_row(title, f"{figures[name]['top1']:.1%} / {figures[name]['top5']:.1%}", asked)
    table.add_row("16 images × 50 guided steps", f"{figures['seconds_16_images']:.1f} s", "≤ 40 s on two cores")
    table.add_row("weights", f"{figures['megabytes']:.1f} MB", "≤ 60")
    Console(width=100).print(table)
    with images.written_beside(Path(out) / "evaluation.json") as beside:
        beside.write_text(json.dumps(figures, indent=2) + "\n")
    with images.written_beside(Path(out) / "samples.png") as beside:
        sample_sheet(samples[:64], some_labels(prompts)[:64]).savefig(beside, format="png", dpi=110)
    return figures
