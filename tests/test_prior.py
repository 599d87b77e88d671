"""The shipped prior reaches what its card says, on a fixed subset; `treg-edu train evaluate` measures all of it."""

import pytest
import torch

from treg_edu import images, load_judge, metrics
from treg_edu.training import evaluate
from treg_edu.training import vae as autoencoder


@pytest.fixture(scope="module")
def judge():
    return load_judge()


@pytest.fixture(scope="module")
def heldout():
    return images.load("heldout")


def test_every_network_was_kept_from_the_held_out_images():
    rows = images.captions()
    held_out = rows[rows["split"] == "heldout"]
    assert len(held_out) >= 200 and len(held_out) >= 0.1 * len(rows)
    assert not set(held_out["image"]) & set(rows[rows["split"] == "train"]["image"])
    assert set(held_out["concept"]) <= set(rows[rows["split"] == "train"]["concept"])


def test_the_autoencoder_keeps_31_db_and_unit_latents(prior, heldout):
    figures = autoencoder.evaluate(prior.vae, heldout[0][::3])
    assert figures["psnr"] >= 31
    assert all(abs(mean) <= 0.15 for mean in figures["latent_mean"])
    assert all(0.8 <= deviation <= 1.25 for deviation in figures["latent_std"])


@pytest.mark.parametrize("name", ["prior", "judge"])
def test_both_clips_name_held_out_images(name, request, heldout):
    x, rows = heldout
    figures = evaluate.zero_shot(request.getfixturevalue(name), x, list(rows["label"]), evaluate.all_labels())
    assert figures["top1"] >= 0.60 and figures["top5"] >= 0.85


def test_the_judge_recognises_samples(prior, judge):
    asked = evaluate.some_labels(evaluate.PROMPTS)[:24]
    samples = evaluate.draw(prior, asked, batch_size=24)
    figures = evaluate.zero_shot(judge, samples, asked, evaluate.all_labels())
    assert figures["top1"] >= 0.60 and figures["top5"] >= 0.85


def test_the_judge_is_no_copy_of_the_prior(prior, judge, heldout):
    x = heldout[0][:32]
    a, b = prior.embed_images(x), judge.embed_images(x)
    a, b = (torch.nn.functional.normalize(f - f.mean(0), dim=1) for f in (a, b))
    assert (a @ a.T - b @ b.T).abs().mean() > 0.05
    assert metrics.similarity(judge, x, list(heldout[1]["label"][:32])).mean() > metrics.similarity(judge, x, "fork and knife").mean()
