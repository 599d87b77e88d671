"""The autoencoder's training on what solvers make: its loss, its batches, its figures."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

import treg_edu as te
from treg_edu import files, images
from treg_edu.operators import SuperResolution
from treg_edu.training import corruption, loop, recipes, robust, vae

pytestmark = pytest.mark.once


class Pooling(torch.nn.Module):
    """An "autoencoder" with known latents: means of 4×4 pixels, and zeros; decoded by repeating them."""

    device = torch.device("cpu")

    def encode(self, x):
        z = F.pad(F.avg_pool2d(x, 4), (0, 0, 0, 0, 0, 1))
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: z))

    def decode(self, z):
        return SimpleNamespace(sample=z[:, :3].repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_the_block_loss_sees_means_of_16_pixels_alone():
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(robust.block_loss(x + 0.1, x), torch.tensor(0.01))
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 - 0.5
    assert robust.block_loss(x + board, x) < 1e-10
    blocks = torch.ones(4, 4).triu().repeat_interleave(16, 0).repeat_interleave(16, 1)  # ten of sixteen
    torch.testing.assert_close(robust.block_loss(x + 0.2 * blocks, x), torch.tensor(0.04 * 10 / 16))


def test_the_loss_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    model, images_, noise = Pooling(), torch.rand(6, 3, 64, 64, generator=generator), torch.randn(6, 4, 16, 16, generator=generator)
    z = model.encode(images_).latent_dist.mode()
    known = z[:3] + torch.tensor([0.1, 0.2, 0.3])[:, None, None, None]
    x_hat = model.decode(z + 0.02 * noise).sample
    expected = vae.reconstruction_loss(x_hat, images_) + 16 * robust.block_loss(x_hat, images_) + 2 * (0.01 + 0.04 + 0.09) / 3
    torch.testing.assert_close(robust.Loss(model)(images_, known, noise), expected)


def test_a_batch_is_clean_by_half_then_corrupted_then_corrected(corpus, monkeypatch):
    drawn = []
    monkeypatch.setattr(loop, "fit", lambda loss, batch, out, **settings: drawn.append(batch(torch.Generator().manual_seed(0))))
    monkeypatch.setattr(corruption, "corrupt", lambda x, generator: torch.full_like(x, 0.25))
    monkeypatch.setattr(corruption, "correct", lambda x, generator: torch.full_like(x, 1.5))
    model = Pooling()
    robust.train(model, Pooling(), corpus, "nowhere", minutes=1)
    ((batch, known, noise),) = drawn
    assert batch.shape == (16, 3, 64, 64) and noise.shape == (16, 4, 16, 16)
    assert torch.equal(batch[8:], torch.tensor([-0.5, 2.0]).repeat_interleave(4)[:, None, None, None].expand(8, 3, 64, 64))
    assert torch.equal(known, model.encode(batch[:8]).latent_dist.mode())
    assert (batch[:8].amax((1, 2, 3)) == 1).all() and (batch[:8].flatten(1).std(1) > 0.05).all()  # drawings on white paper


def test_the_figures_of_two_autoencoders_that_differ_by_a_tenth():
    class Shifted(Pooling):
        def encode(self, x):
            z = super().encode(x).latent_dist.mode() + 0.1
            return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: z))

    x = torch.full((4, 3, 64, 64), 0.5)
    figures = robust.evaluate(Shifted(), Pooling(), x)
    assert figures["moved"] == pytest.approx(0.1, rel=1e-4)
    assert figures["clean psnr"] == pytest.approx(26.02, abs=0.01)  # 0.1 of [−1, 1] is 0.05: −20 lg 0.05
    assert figures["corrected psnr"] == pytest.approx(26.02, abs=0.01)  # of one picture with itself: unchanged
    assert figures == robust.evaluate(Shifted(), Pooling(), x)


def test_what_is_brighter_than_white_is_not_clipped():
    x = torch.full((2, 3, 64, 64), 1.3)
    torch.testing.assert_close(robust.round_trip(Pooling(), x), x)


def test_the_misfit_of_a_round_trip_is_in_units_of_the_noise():
    class Darker(Pooling):
        def decode(self, z):
            return SimpleNamespace(sample=super().decode(z).sample - 0.04)

    x = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    operator = SuperResolution(factor=16)
    assert robust.round_trip_misfit(Darker(), operator, torch.ones_like(x), sigma=0.005) == pytest.approx(4, rel=1e-3)
    off = operator.A(robust.round_trip(Darker(), x) - x) / 0.005
    assert robust.round_trip_misfit(Darker(), operator, x, sigma=0.005) == pytest.approx(off.square().mean().sqrt().item(), rel=1e-4)


def test_the_estimates_are_what_the_encoder_gets(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"treg": {"steps": 4, "guidance_scale": 4.0, "null_prompt": "", "every": 2, "until": 1.0}})
    operator = SuperResolution(factor=16)
    x, labels = images.tuning(2)
    y = operator.measure(x, sigma=0.0)
    estimates = robust.pixel_step_estimates(prior, operator, y, labels)
    assert estimates.shape == (2 * 2, 3, 64, 64)
    for at_a_step in estimates.split(2):
        torch.testing.assert_close(operator.A(at_a_step), y, rtol=0, atol=0.02)  # solved for, by five iterations
    steps = [step for step in te.treg(prior, operator, y, labels, **prior.recommended["treg"]) if step.index % 2 == 0]
    for at_a_step, step in zip(estimates.split(2), steps):
        torch.testing.assert_close(at_a_step.clamp(0, 1), step.x_hat)


def test_a_robust_training_goes_on_from_a_prior(corpus, tmp_path, monkeypatch):
    from diffusers import AutoencoderKL

    start = files.data_folder() / "prior"
    monkeypatch.setattr(loop, "computing_clock", itertools.count().__next__)  # each step computes for a second
    figures = recipes.train_robust(corpus, tmp_path, 3 / 60, start)
    assert figures["steps"] == 3
    assert 0 < figures["moved"] < 0.1 and figures["clean psnr"] > 25  # the average has hardly left the fifth prior
    assert recipes.latest(tmp_path, "vae", "decoder", "robust") == tmp_path / "robust" / "final"
    saved, shipped = recipes.autoencoder(tmp_path), AutoencoderKL.from_pretrained(start / "vae")
    assert saved.config.block_out_channels == shipped.config.block_out_channels
    x = images.load("tuning")[0][:2]
    assert not torch.equal(robust.latents_of(saved, x), robust.latents_of(shipped, x))


def test_a_start_without_an_autoencoder_is_named(corpus, tmp_path):
    with pytest.raises(FileNotFoundError, match="^start: got .*, without vae/, expected the folder of a prior"):
        recipes.train_robust(corpus, tmp_path, 1e-5, tmp_path)
