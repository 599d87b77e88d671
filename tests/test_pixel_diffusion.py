"""The pixel-space prior: exact rearrangements, every solver unchanged, a denoiser; and its training.  The network is tiny and random."""

import copy
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from deepinv_reference import deepinv
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch.autograd.functional import jvp, vjp
from typer.testing import CliRunner

import treg_edu as te
from treg_edu import cli, diffusion
from treg_edu.training import pixel, recipes
from treg_edu.training.prior import save_pixel_prior

TINY = dict(
    sample_size=16,
    block_out_channels=(32, 32),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    attention_head_dim=2,
    norm_num_groups=8,
    cross_attention_dim=192,
)


def tiny(channels):
    return UNet2DConditionModel(**TINY, in_channels=channels, out_channels=channels)


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(scope="module")
def folder(prior, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("priors") / "tiny"
    text_encoder, scheduler = copy.deepcopy(prior.text_encoder), DDIMScheduler(**pixel.SCHEDULE)
    save_pixel_prior(path, tiny(48), text_encoder, prior.tokenizer, scheduler, {"treg": {"steps": 3}}, 4)
    return path


@pytest.fixture(scope="module")
def pixels(folder):
    return te.load_prior(folder)


# The rearrangement


def test_each_patch_is_one_place_of_the_latent(pixels):
    x = rand(2, 3, 64, 64)
    z = pixels.encode(x)
    assert z.shape == (2, *pixels.latent_shape()) == (2, 48, 16, 16)
    for channel, down, across, i, j in ((0, 0, 0, 0, 0), (1, 3, 5, 2, 1), (2, 15, 15, 3, 3)):
        assert torch.equal(z[:, 16 * channel + 4 * i + j, down, across], 2 * x[:, channel, 4 * down + i, 4 * across + j] - 1)


def test_decoding_undoes_encoding(pixels):
    x, z = rand(2, 3, 64, 96), randn(2, 48, 16, 24)
    torch.testing.assert_close(pixels.decode(pixels.encode(x)), x, rtol=0, atol=2**-24)
    torch.testing.assert_close(pixels.encode(pixels.decode(z)), z, rtol=0, atol=2**-21)
    halves = (256 * x).round() / 256  # what float32 holds exactly on both sides
    assert torch.equal(pixels.decode(pixels.encode(halves)), halves)


def test_both_maps_are_orthogonal_up_to_the_scale_of_two():
    rearranged = te.priors.pixel_diffusion
    E, D = (lambda x: rearranged.to_patches(x, 4)), (lambda z: rearranged.from_patches(z, 4))
    x, v, w = (randn(2, 3, 16, 8, seed=seed, dtype=torch.float64) for seed in range(3))
    z, u = E(x), E(w)
    forward = jvp(E, x, v)[1]
    torch.testing.assert_close(vjp(E, x, forward)[1], 4 * v)  # J_Eᵀ J_E = 4 I
    torch.testing.assert_close(jvp(D, z, u)[1], vjp(E, x, u)[1] / 4)  # J_D = ¼ J_Eᵀ
    torch.testing.assert_close((E(x) - E(v)).norm(), 2 * (x - v).norm())
    inner = (forward * u).sum()
    torch.testing.assert_close(inner, (v * vjp(E, x, u)[1]).sum())


# Solvers


def test_what_samples_and_solves_takes_it(pixels):
    *_, drawn = diffusion.sample(pixels, ["fox", "pizza"], steps=2, guidance_scale=2.0, seed=[3, 4])
    assert drawn.x_hat.shape == (2, 3, 64, 64) and drawn.x_hat.isfinite().all()
    *_, back = diffusion.invert(pixels, drawn.z0, ["fox", "pizza"], steps=2)
    assert back.z_next.shape == (2, 48, 16, 16) and back.z_next.isfinite().all()
    for operator in (te.operators.SuperResolution(factor=8), te.operators.GammaCorrection()):
        x_hat = te.solve("treg", pixels, operator, operator.measure(rand(1, 3, 64, 64), 0.01), "fox", steps=2, progress=False)
        assert x_hat.shape == (1, 3, 64, 64) and x_hat.isfinite().all()


def test_a_sample_does_not_depend_on_its_batch(pixels):
    operator = te.operators.SuperResolution(factor=16)
    y, prompts = operator.A(rand(3, 3, 64, 64)), ["fox", "pizza", "bear"]
    *_, together = te.treg(pixels, operator, y, prompts, steps=3, every=1, seed=[5, 6, 7])
    *_, alone = te.treg(pixels, operator, y[1:2], "pizza", steps=3, every=1, seed=6)
    torch.testing.assert_close(together.z0[1:2], alone.z0, rtol=1e-4, atol=1e-4)
    assert (together.z0[0] - together.z0[1]).abs().max() > 0.1


def test_the_last_consistency_step_is_not_blurred_by_an_encoder(pixels):
    """The last latent step has ᾱ = 1, and D(E(x̂)) = x̂: what the solver ends with is the pixel step's x̂ itself."""
    operator = te.operators.SuperResolution(factor=16)
    y = operator.A(rand(1, 3, 64, 64))
    *_, last = te.treg(pixels, operator, y, "fox", steps=2, every=1, until=1.0, guidance_scale=1.0, negation=None, seed=0)
    noise = pixels.predict_noise(last.z_t, last.t, pixels.embed_text("fox"))
    told = pixels.decode(diffusion.tweedie(last.z_t, noise, pixels.alpha_bar(last.t)))
    torch.testing.assert_close(pixels.decode(last.z0), te.consistency.pixel_step(operator, y, told), rtol=1e-4, atol=1e-5)
    assert te.operators.misfit(operator, pixels.decode(last.z0), y) < 0.1 * te.operators.misfit(operator, told, y)


# The denoiser


def gaussian(prior, mean, variance, prediction_type):
    """The prior in float64 with the exact network for pixels x₀ ~ N(mean, variance), independent; at any real t."""
    other = copy.copy(prior)
    other.scheduler = DDIMScheduler.from_config(prior.scheduler.config, prediction_type=prediction_type)
    alphas = other.scheduler.alphas_cumprod.double().numpy()
    log_level = np.log((1 - alphas) / alphas) / 2
    z_mean, z_variance = prior.encode(mean).double(), 4 * torch.nn.functional.pixel_unshuffle(variance, 4).double()

    def unet(z_t, t, encoder_hidden_states):
        level = np.exp(np.interp(np.broadcast_to(np.asarray(t, dtype=float), len(z_t)), np.arange(len(alphas)), log_level))
        alpha_bar = torch.from_numpy(1 / (1 + level**2))[:, None, None, None]
        noise = (1 - alpha_bar).sqrt() * (z_t - alpha_bar.sqrt() * z_mean) / (alpha_bar * z_variance + 1 - alpha_bar)
        z0 = (z_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()
        v = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * z0
        return SimpleNamespace(sample=noise if prediction_type == "epsilon" else v)

    unet.device, unet.dtype = torch.device("cpu"), torch.float64
    unet.config = prior.unet.config
    other.unet = unet
    return other


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_of_a_gaussian_the_denoiser_gives_the_posterior_mean(pixels, prediction_type):
    mean, variance = rand(1, 3, 64, 64), 0.01 + rand(1, 3, 64, 64, seed=1)
    denoiser = gaussian(pixels, mean, variance, prediction_type)
    sigma = torch.tensor([0.006, 0.0123, 0.1, 0.5, 7.0, 70.0], dtype=torch.float64)
    x = mean + sigma[:, None, None, None] * randn(6, 3, 64, 64, dtype=torch.float64)
    square = sigma.square()[:, None, None, None]
    expected = (square * mean + variance * x) / (square + variance)
    torch.testing.assert_close(denoiser.denoise(x, sigma), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(denoiser.denoise(x[2:3], 0.1), expected[2:3], rtol=1e-4, atol=1e-4)


def test_the_denoisers_timestep_is_that_of_the_level(pixels):
    alphas, steps = pixels.scheduler.alphas_cumprod.double(), torch.tensor([0, 1, 57, 500, 999])
    levels = ((1 - alphas) / alphas).sqrt()
    torch.testing.assert_close(pixels.timestep_of(levels[steps]), steps.double(), rtol=0, atol=1e-6)
    (between,) = pixels.timestep_of((levels[57] * levels[58]).sqrt()[None])
    assert between.item() == pytest.approx(57.5)
    assert pixels.timestep_of(levels[:1] / 100) == 0


def test_the_denoiser_is_tweedie_at_a_level_of_the_schedule(pixels):
    """And takes a text, one σ for all, or one for each."""
    x, t = rand(2, 3, 64, 64), 57
    alpha_bar = pixels.alpha_bar(t)
    sigma = ((1 - alpha_bar) / alpha_bar).sqrt() / 2
    z_t, c = alpha_bar.sqrt() * pixels.encode(x), pixels.embed_text(["fox", "pizza"])
    expected = pixels.decode(diffusion.tweedie(z_t, pixels.predict_noise(z_t, t, c), alpha_bar))
    torch.testing.assert_close(pixels.denoise(x, sigma, ["fox", "pizza"]), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(pixels.denoise(x, sigma.expand(2), ["fox", "pizza"]), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(pixels.denoise(x[1:], sigma, "pizza"), expected[1:], rtol=1e-3, atol=1e-4)
    assert torch.equal(pixels.denoise(x, 0.0), x)


@pytest.mark.parametrize("sigma", [-0.1, 80.0, float("nan"), torch.tensor([0.1, -0.1]), torch.ones(3), torch.tensor([1, 2]), "0.1"])
def test_a_level_that_is_none_is_refused(pixels, sigma):
    with pytest.raises(ValueError, match="^sigma: got .*, expected "):
        pixels.denoise(rand(2, 3, 64, 64), sigma)


@pytest.mark.parametrize("shape, name", [((2, 1, 64, 64), "x"), ((3, 64, 64), "x"), ((1, 3, 66, 64), "size")])
def test_a_picture_that_is_none_is_refused(pixels, shape, name):
    with pytest.raises(ValueError, match=f"^{name}: got .*, expected "):
        pixels.denoise(rand(*shape), 0.1)


def test_deepinv_takes_it_for_a_denoiser(pixels):
    """Two steps of deepinv's plug-and-play gradient descent are D(x − γ Aᵀ(A x − y), σ), twice; its RED is x − D(x, σ)."""
    operator, x, step, sigma = te.operators.SuperResolution(factor=8), rand(2, 3, 64, 64), 0.5, 0.05
    y = operator.A(x)
    with torch.no_grad():
        red = deepinv.optim.RED(denoiser=pixels)
        torch.testing.assert_close(red.grad(x, torch.tensor([sigma, 0.2])), x - pixels.denoise(x, torch.tensor([sigma, 0.2])))
        by_hand = start = torch.full_like(x, 0.5)
        for _ in range(2):
            by_hand = pixels.denoise(by_hand - step * operator.A_adjoint(operator.A(by_hand) - y), sigma)
        plug_and_play = deepinv.optim.optim_builder(
            iteration="PGD",
            prior=deepinv.optim.PnP(denoiser=pixels),
            data_fidelity=deepinv.optim.L2(),
            params_algo={"stepsize": step, "g_param": sigma, "lambda": 1.0},
            max_iter=2,
        )
        came = plug_and_play(y, operator, init=(start, start))
    torch.testing.assert_close(came, by_hand, rtol=1e-4, atol=1e-4)


# Loading


def test_a_folder_with_a_patch_size_is_a_pixel_prior(folder, pixels):
    assert type(pixels) is te.PixelDiffusion and pixels.recommended == {"treg": {"steps": 3}}
    assert pixels.size == te.priors.training_size(folder) == (64, 64) and pixels.factor == pixels.patch_size == 4
    assert (pixels.scheduler.config.beta_schedule, pixels.scheduler.config.beta_end) == ("linear", 0.02)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"] and index["tokenizer"][0] == "transformers"
    assert pixels.embed_labels("fox").shape == (1, 192)  # with the CLIP of the bundled prior
    with pytest.raises(ValueError, match="^size: got 66×64, expected multiples of 4"):
        pixels.latent_shape((66, 64))


@pytest.mark.parametrize("patch_size, told", [(2, "^unet: got 48 channels, expected the 12"), ("4", "^name: patch_size in model_index")])
def test_a_patch_size_that_does_not_fit_is_refused(folder, tmp_path, patch_size, told):
    shutil.copytree(folder, tmp_path / "prior")
    file = tmp_path / "prior" / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"patch_size": patch_size}), encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        te.load_prior(tmp_path / "prior")


def test_the_bundled_one_is_named_pixel(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TREG_EDU_DATA", str(tmp_path))
    for load in (te.load_prior, te.priors.training_size):
        with pytest.raises(FileNotFoundError, match="^name: got 'pixel', and no bundled prior at .*pixel.*train pixel"):
            load("pixel")
    (tmp_path / "prior").symlink_to(te.files.shipped("data") / "prior")
    (tmp_path / "pixel").symlink_to(folder)
    assert type(te.load_prior("pixel")) is te.PixelDiffusion


# Training


def test_what_fits_is_taken_from_another_network():
    torch.manual_seed(0)
    latent, ours = tiny(4), tiny(48)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    taken = pixel.take_fitting(ours, latent)
    state, theirs = ours.state_dict(), latent.state_dict()
    ends = {"conv_in.weight", "conv_out.weight", "conv_out.bias"}
    assert all(torch.equal(state[name], before[name] if name in ends else theirs[name]) for name in state)
    assert taken == pytest.approx(1 - sum(state[name].numel() for name in ends) / sum(value.numel() for value in state.values()))


def test_a_training_ends_in_a_prior_that_loads(prior, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(pixel, "CONFIG", TINY | dict(in_channels=48, out_channels=48))
    runs, data = tmp_path / "runs", tmp_path / "data"
    prior.tokenizer.save_pretrained(runs / "tokenizer")
    prior.text_encoder.save_pretrained(runs / "text" / "final")

    def run(*arguments):
        return CliRunner().invoke(cli.app, ["train", *map(str, arguments)], catch_exceptions=False)

    trained = run("pixel", "--corpus", corpus, "--out", runs, "--minutes", 1e-3)
    assert trained.exit_code == 0 and "steps" in trained.stdout and "held-out loss" in trained.stdout, trained.stderr
    exported = run("export", "--out", runs, "--data", data)
    assert exported.exit_code == 0 and "pixel" in exported.stdout, exported.stderr
    assert [path.name for path in data.iterdir()] == ["pixel"]
    other = te.load_prior(data / "pixel")
    assert type(other) is te.PixelDiffusion and other.recommended == recipes.RECOMMENDED
    saved = UNet2DConditionModel.from_pretrained(runs / "pixel" / "final").state_dict()
    assert all(torch.equal(value, saved[name].half().float()) for name, value in other.unet.state_dict().items())
    shutil.copytree(runs / "tokenizer", tmp_path / "more" / "tokenizer")
    shutil.copytree(runs / "text", tmp_path / "more" / "text")
    again = recipes.train_pixel(corpus, tmp_path / "more", 1e-4, start=data / "pixel" / "unet")
    assert again["taken"] == 1 and again["steps"] >= 1
