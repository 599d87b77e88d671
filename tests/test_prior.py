"""The shipped prior is what its card says, and reaches what was asked of it.

`treg-edu train evaluate` measures everything and writes `evaluation.json`, which ships beside the weights; here it is measured again (but
for the seconds, which depend on the machine), the samples on a fixed subset.
"""

import json

import pytest
import torch

from treg_edu import files, images, load_judge, metrics
from treg_edu.training import evaluate
from treg_edu.training import vae as autoencoder

CARD = json.loads((files.data_folder() / "prior" / "evaluation.json").read_text())

ASKED = {
    "VAE, PSNR of held-out images ≥ 32 dB": lambda: CARD["vae"]["psnr"] >= 32,
    "latents, |mean| per channel ≤ 0.15": lambda: max(map(abs, CARD["vae"]["latent_mean"])) <= 0.15,
    "latents, deviation per channel 0.8 to 1.25": lambda: all(0.8 <= s <= 1.25 for s in CARD["vae"]["latent_std"]),
    "CLIP, top-1 ≥ 75 %": lambda: CARD["clip"]["top1"] >= 0.75,
    "CLIP, top-5 ≥ 92 %": lambda: CARD["clip"]["top5"] >= 0.92,
    "judge, top-1 ≥ 80 %": lambda: CARD["judge"]["top1"] >= 0.80,
    "judge, top-5 ≥ 85 %": lambda: CARD["judge"]["top5"] >= 0.85,
    "200 samples, judge's top-1 ≥ 80 %": lambda: CARD["samples"]["prompts"] >= 200 and CARD["samples"]["top1"] >= 0.80,
    "200 samples, judge's top-5 ≥ 95 %": lambda: CARD["samples"]["prompts"] >= 200 and CARD["samples"]["top5"] >= 0.95,
    "in 20 steps at most 5 points worse": lambda: CARD["samples"]["top1"] - CARD["samples, few steps"]["top1"] <= 0.05,
    "16 images × 50 steps in 40 s": lambda: CARD["seconds_16_images"] <= 40,
    "weights ≤ 60 MB": lambda: CARD["megabytes"] <= 60,
}
MISSED = {
    "VAE, PSNR of held-out images ≥ 33 dB": lambda: CARD["vae"]["psnr"] >= 33,
    "65 paraphrases, judge's top-5 ≥ 50 %": lambda: CARD["paraphrases"]["top5"] >= 0.50,
    "2 000 samples at most twice as far as training images": lambda: (
        CARD["set distances"]["samples"] <= 2 * CARD["set distances"]["training images"]
    ),
}


@pytest.mark.parametrize("asked", ASKED)
def test_the_prior_reaches_what_was_asked(asked):
    assert ASKED[asked]()


@pytest.mark.xfail(strict=True, reason="missed, see the card; a better prior takes it off this list")
@pytest.mark.parametrize("asked", MISSED)
def test_the_prior_does_not_yet_reach(asked):
    assert MISSED[asked]()


def test_held_out_pictures_are_many_and_no_training_pictures():
    rows = images.captions()
    held_out = rows[rows["split"] == "heldout"]
    assert len(held_out) >= 200 and len(held_out) >= 0.1 * len(rows)
    assert not set(held_out["image"]) & set(rows[rows["split"] == "train"]["image"])
    assert set(held_out["concept"]) <= set(rows[rows["split"] == "train"]["concept"])


@pytest.fixture(scope="module")
def judge():
    return load_judge()


@pytest.fixture(scope="module")
def heldout():
    return images.load("heldout")


def test_the_card_tells_the_autoencoder(prior, heldout):
    measured = autoencoder.evaluate(prior.vae, heldout[0])
    assert measured["psnr"] == pytest.approx(CARD["vae"]["psnr"], abs=0.02)
    assert measured["latent_mean"] == pytest.approx(CARD["vae"]["latent_mean"], abs=0.005)
    assert measured["latent_std"] == pytest.approx(CARD["vae"]["latent_std"], abs=0.005)


@pytest.mark.parametrize("name", ["clip", "judge"])
def test_the_card_tells_both_clips(name, prior, judge, heldout):
    x, rows = heldout
    places = evaluate.ranks(prior if name == "clip" else judge, x, list(rows["label"]), evaluate.all_labels())
    for share, value in metrics.top_shares(places).items():
        assert value == pytest.approx(CARD[name][share], abs=2 / len(x))


def test_the_card_tells_the_samples(prior, judge):
    """The first eight of its two hundred prompts, drawn again: the judge puts their names where the card says."""
    asked = evaluate.some_labels(CARD["samples"]["prompts"])[:8]
    samples = evaluate.draw(prior, asked, CARD["samples"]["steps"], CARD["samples"]["guidance_scale"])
    places = evaluate.ranks(judge, samples, asked, evaluate.all_labels())
    moved = (places - torch.tensor(CARD["samples"]["ranks"][:8])).abs()
    assert (moved <= 2).sum() >= 7


@pytest.mark.once
def test_what_was_trained_on_is_found_and_counts_as_a_copy(judge):
    x, _ = images.load("train")
    noise = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    neighbours, copies = evaluate.nearest(judge, torch.cat([x[100:104], noise]))
    assert torch.equal(neighbours[:4], x[100:104])
    assert copies.tolist() == [True] * 4 + [False] * 4


def test_paraphrases_are_of_labels_that_the_corpus_has():
    texts, labels = evaluate.paraphrases()
    assert len(texts) == len(labels) >= 65 and set(labels) <= set(evaluate.all_labels())
    assert dict(zip(texts, labels))["a puppy's head"] == "dog face"


@pytest.mark.once
def test_sets_are_compared_by_as_many_of_each(prior, judge, monkeypatch):
    """With held-out images for samples, the distance of the samples is that of a set to itself: below that of any other."""
    monkeypatch.setattr(evaluate, "draw", lambda prior, prompts, steps: images.load("heldout")[0][: len(prompts)])
    distances = evaluate.set_distances(prior, judge, 200)
    assert distances["samples"] < distances["training images"] and abs(distances["training images"]) < 0.1
    seeded = torch.Generator().manual_seed(0)
    monkeypatch.setattr(evaluate, "draw", lambda prior, prompts, steps: torch.rand(len(prompts), 3, 64, 64, generator=seeded))
    assert evaluate.set_distances(prior, judge, 50)["samples"] > 10 * abs(distances["training images"])  # noise is far from all of them


def test_the_card_tells_the_size():
    weights = list((files.data_folder() / "prior").rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in weights) / 1e6 == pytest.approx(CARD["megabytes"], abs=0.1)


def test_the_judge_is_no_copy_of_the_prior(prior, judge, heldout):
    """Their likenesses between images differ, though both put an image nearer to its own name than to another."""
    x, names = heldout[0][:32], list(heldout[1]["label"][:32])
    a, b = prior.embed_images(x), judge.embed_images(x)
    a, b = (torch.nn.functional.normalize(f - f.mean(0), dim=1) for f in (a, b))
    assert (a @ a.T - b @ b.T).abs().mean() > 0.05
    for model in (prior, judge):
        assert evaluate.ranks(model, x, names, names).float().mean() < (len(names) - 1) / 2
