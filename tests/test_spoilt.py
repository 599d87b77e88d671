"""Words for bad pictures: each way does what its words say, and the U-Net's batches hold the stated shares."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from treg_edu import images, metrics
from treg_edu.files import data_folder
from treg_edu.training import data, loop, recipes, spoilt, unet

EVERY = pytest.mark.parametrize("way", [*spoilt.WAYS, spoilt.RECONSTRUCTED], ids=lambda way: way.spoil.__name__)
SPOILING = pytest.mark.parametrize("way", spoilt.WAYS, ids=lambda way: way.spoil.__name__)
TINY = dict(block_out_channels=(8, 8, 8), norm_num_groups=4, attention_head_dim=2, cross_attention_dim=192)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gradient_energy(x):
    return x.diff(dim=-1).square().mean((1, 2, 3)) + x.diff(dim=-2).square().mean((1, 2, 3))


@pytest.fixture(scope="module")
def x():
    return images.tuning(12)[0]


@SPOILING
def test_a_spoilt_picture_is_a_picture_of_its_own_draw(way, x):
    alike = x[:1].expand(6, -1, -1, -1).contiguous()
    torch.manual_seed(0)
    out = way.spoil(alike, seeded())
    torch.manual_seed(1)
    assert torch.equal(way.spoil(alike, seeded()), out) and not torch.equal(way.spoil(alike, seeded(1)), out)
    assert out.shape == alike.shape and out.dtype == alike.dtype and out.min() >= 0 and out.max() <= 1
    assert len(torch.unique(out.flatten(1), dim=0)) >= (2 if way.spoil is spoilt.pixelated else 6)  # which has two sizes alone


def test_blurring_takes_gradients_and_keeps_the_mean(x):
    out = spoilt.blurred(x, seeded())
    share = gradient_energy(out) / gradient_energy(x)
    assert share.max() < 0.5 and 0.01 < share.min()
    torch.testing.assert_close(out.mean((1, 2, 3)), x.mean((1, 2, 3)), rtol=0, atol=0.02)


def test_a_smudge_is_blurred_and_coloured(x):
    out, same_blur = spoilt.smudged(x, seeded()), spoilt.blurred(x, seeded())
    added = out - same_blur
    assert added.abs().max() <= 0.25 + 1e-6 and added.abs().amax((1, 2, 3)).median() > 0.05
    assert added.diff(dim=-1).abs().max() < 0.25  # smooth, but where it is clipped
    assert (gradient_energy(out) < 0.6 * gradient_energy(x)).all()


def test_a_ghost_is_the_picture_again_at_half_strength():
    point = torch.ones(50, 3, 64, 64)
    point[:, :, 30:34, 30:34] = 0
    for picture in 1 - spoilt.ghosted(point, seeded())[:, 0]:
        assert picture[30:34, 30:34].mean() >= 0.5 - 1e-4
        rest = picture.clone()
        rest[30:34, 30:34] -= 0.5  # what is left is the ghost
        assert rest.sum() == pytest.approx(8, abs=1e-2)
        rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        apart = torch.stack([(rest * rows).sum() / 8 - 31.5, (rest * columns).sum() / 8 - 31.5]).norm()
        assert 3.9 < apart < 10.1


def test_what_is_washed_out_has_less_contrast_and_another_colour(x):
    out = spoilt.washed_out(x, seeded())
    contrast = out.std((1, 2, 3)) / x.std((1, 2, 3))
    black = spoilt.washed_out(torch.zeros_like(x), seeded())
    white = spoilt.washed_out(torch.ones_like(x), seeded())
    kept = (white - black).mean((1, 2, 3))
    assert 0.4 - 1e-5 <= kept.min() and kept.max() <= 0.7 + 1e-5 and contrast.max() < 0.8
    torch.testing.assert_close(out, black + kept[:, None, None, None] * x)
    moved = (out.mean((2, 3)) - x.mean((2, 3))).abs().amax(1)
    assert moved.median() > 0.03 and black.mean((2, 3)).min() >= 0.15


def test_pixels_are_means_of_blocks(x):
    out = spoilt.pixelated(x, seeded())
    torch.testing.assert_close(F.avg_pool2d(out, 8), F.avg_pool2d(x, 8))
    sizes = []
    for picture in out:
        constant = {size: (F.interpolate(F.avg_pool2d(picture[None], size), scale_factor=size) - picture).abs().max() < 1e-5
                    for size in (2, 4, 8, 16)}  # fmt: skip
        assert constant[2] and constant[4] and not constant[16]
        sizes.append(8 if constant[8] else 4)
    assert set(sizes) == {4, 8}


def test_noise_has_the_stated_deviation():
    grey = torch.full((60, 3, 64, 64), 0.5)
    deviation = (spoilt.noisy(grey, seeded()) - grey).flatten(1).std(1)
    assert 0.078 < deviation.min() < 0.1 < 0.2 < deviation.max() < 0.25
    assert gradient_energy(spoilt.noisy(grey, seeded())).min() > 0.01


@EVERY
def test_a_caption_says_what_is_wrong(way):
    generator, words = seeded(), way.adjectives + way.phrases
    said = [spoilt.caption("fox", way, generator) for _ in range(400)]
    assert set(words) <= set(said)
    assert set(said) <= {*words, *(f"fox, {word}" for word in words), *(f"{word} fox" for word in way.adjectives)}
    assert sum("fox" in text for text in said) == pytest.approx(200, abs=40)
    assert said == [spoilt.caption("fox", way, again) for again in [seeded()] for _ in range(400)]


def test_the_published_null_text_is_learnt_from_blurs_alone():
    says = [way.spoil for way in spoilt.WAYS if spoilt.PUBLISHED in way.phrases]
    assert says == [spoilt.blurred, spoilt.smudged] and spoilt.PUBLISHED in spoilt.RECONSTRUCTED.phrases


def test_pictures_keep_their_captions(x, monkeypatch):
    monkeypatch.setattr(data, "shift", lambda x, generator, pixels: x)
    labels = [f"label {i}" for i in range(len(x))]
    found = list(spoilt.pairs(x, labels, seeded()))
    assert len(found) == len(spoilt.WAYS)
    for way, (pictures, captions) in zip(spoilt.WAYS, found):
        assert pictures.shape == x.shape and len(captions) == len(x)
        words = set(way.adjectives + way.phrases)
        for i, text in enumerate(captions):
            assert any(word in text for word in words) and ("label" not in text or labels[i] in text)
    again = list(spoilt.pairs(x, labels, seeded()))
    assert all(torch.equal(a, b) and c == d for (a, c), (b, d) in zip(found, again))


def test_jitter_moves_all_tokens_alike_by_signs():
    c = torch.randn(200, 5, 64, generator=seeded(1))
    moved = spoilt.jittered(c, 0.25, seeded()) - c
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), rtol=0, atol=1e-6)
    size = moved[:, 0].abs()
    torch.testing.assert_close(size, size[:, :1].expand_as(size), rtol=0, atol=1e-6)
    assert size.min() < 0.02 and 0.23 < size.max() <= 0.25 + 1e-6
    assert (moved[:, 0] > 0).double().mean() == pytest.approx(0.5, abs=0.02)


class Cached:
    """An autoencoder and a text tower that tell where a latent and a state came from."""

    device = torch.device("cpu")
    config = SimpleNamespace()

    def state_dict(self):
        return {"weight": torch.zeros(1)}

    def encode(self, x):
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: F.pad(F.avg_pool2d(x, 4), (0, 0, 0, 0, 0, 1))))


@pytest.fixture
def one_concept(corpus, tmp_path):
    frame = pd.read_parquet(corpus)
    frame[frame["label"] == frame["label"].iloc[0]].to_parquet(tmp_path / "one.parquet")
    return tmp_path / "one.parquet"


@pytest.fixture
def batches(corpus, tmp_path, monkeypatch):
    """train(…) → twenty batches of it, without a step, and the texts of its states: each text's states are filled with its number."""
    texts = [""]

    def said_by(tower, tokenizer, wanted):
        texts.extend(text for text in wanted if text not in texts)
        numbers = torch.tensor([float(texts.index(text)) for text in wanted])
        return numbers[:, None, None].expand(-1, 2, 192).contiguous(), None

    def draw(**settings):
        drawn = []
        with monkeypatch.context() as patch:
            patch.setattr(unet, "said_by", said_by)
            patch.setattr(unet, "CONFIG", unet.CONFIG | TINY)
            patch.setattr(loop, "fit", lambda loss, batch, *more, **given: drawn.extend(batch(seeded(i)) for i in range(20)))
            unet.train(Cached(), Cached(), None, corpus, tmp_path, minutes=1, **settings)
        return drawn, texts

    return draw


def is_bad(text):
    return any(word in text for words in spoilt.words() for word in words)


def texts_of(states, texts):
    return [texts[round(state.mean().item())] for state in states]


@pytest.mark.parametrize(("share", "expected"), [(unet.SPOILT, 5), (0.5, 16), (0.0, 0)])
def test_a_batch_holds_the_stated_share_of_spoilt_pictures(batches, share, expected):
    drawn, texts = batches(share=share, jitter=0.0)
    for z0, noise, t, states in drawn:
        assert len(z0) == len(noise) == len(t) == len(states) == 32
        bad = [is_bad(text) for text in texts_of(states, texts)]
        assert bad == [False] * (32 - expected) + [True] * expected
    empty = sum(texts_of(states, texts).count("") for *_, states in drawn)
    assert empty / (20 * (32 - expected)) == pytest.approx(unet.UNCONDITIONAL, abs=0.05)


def test_a_spoilt_latent_stands_beside_its_own_caption(batches):
    drawn, texts = batches(share=1.0)
    checked = 0
    for z0, _, _, states in drawn:
        for z, text in zip(z0, texts_of(states, texts)):
            if "pixelated" in text or "low resolution" in text:  # of 4×4 or 8×8 pixels, moved by whole ones: exactly its own means
                checked += 1
                assert z[:3].std() > 0
            if "noisy" in text or "grainy" in text:
                assert (z[:3].diff(dim=-1).abs() > 1e-4).double().mean() > 0.9  # noise is in paper too
    assert checked > 20


def test_reconstructions_are_among_the_spoilt(batches, corpus):
    drawn, texts = batches(share=1.0, reconstructed=corpus)
    said = [text for *_, states in drawn for text in texts_of(states, texts)]
    own = sum(any(word in text for word in ("badly reconstructed", "artefacts")) for text in said)
    assert own / len(said) == pytest.approx(0.5 / (len(spoilt.WAYS) + 1), abs=0.04)  # half of its words are those of blurs


def test_empty_states_alone_are_jittered(batches):
    plain, texts = batches(share=0.0, jitter=0.0)
    moved, _ = batches(share=0.0, jitter=0.25)
    changed = empty = 0
    for (z0, noise, t, before), (*others, after) in zip(plain, moved):
        assert all(torch.equal(a, b) for a, b in zip((z0, noise, t), others))
        differs = (before != after).flatten(1).any(1)
        is_empty = torch.tensor([text == "" for text in texts_of(before, texts)])
        assert not (differs & ~is_empty).any() and (after - before).abs().max() <= 0.25 + 1e-5
        changed, empty = changed + int(differs.sum()), empty + int(is_empty.sum())
    assert 0 < changed < empty and changed / empty == pytest.approx(unet.JITTERED, abs=0.15)


def test_a_few_steps_of_a_tiny_network(one_concept, prior, tmp_path, monkeypatch):
    monkeypatch.setattr(unet, "CONFIG", unet.CONFIG | TINY)
    network, _, log = unet.train(prior.vae, prior.text_encoder, prior.tokenizer, one_concept, tmp_path / "run", minutes=0.02, batch_size=8)
    assert log["steps"] >= 2 and 0 < log["loss"] < 3
    assert all(value.isfinite().all() for value in network.parameters())
    assert [len(list((tmp_path / "run").glob(f"{name}-*.safetensors"))) for name in ("latents", "captions", "spoilt")] == [1, 1, 1]


def test_reconstructions_without_text_explain_the_measurement(prior, one_concept, tmp_path, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"treg": {"steps": 3, "null_prompt": "", "every": 1, "until": 1.0}})
    monkeypatch.setattr(recipes, "load_prior", lambda start: prior)
    path = tmp_path / "reconstructed.parquet"
    figures = recipes.make_reconstructed(path, one_concept, data_folder() / "prior")
    x, frame = data.load(path, "train", "reconstructed")
    truth, original = data.load(one_concept, "train")
    assert figures["images"] == len(x) == len(truth) and frame["label"].equals(original["label"])
    assert figures["psnr"] == pytest.approx(metrics.psnr(x, truth).mean().item(), abs=0.1)  # of eight bits
    coarse = (F.avg_pool2d(x, 16) - F.avg_pool2d(truth, 16)).square().mean((1, 2, 3)).sqrt()
    assert coarse.max() < 0.1 and (gradient_energy(x) < gradient_energy(truth)).double().mean() > 0.8
