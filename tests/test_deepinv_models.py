"""treg_edu.deepinv: our solvers as deepinv's reconstructors, our priors of pixels as its denoisers, in a world whose posterior is known."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from deepinv_reference import deepinv
from diffusers import DDIMScheduler, UNet2DConditionModel
from gaussian_world import GaussianPrior, smooth_covariance

import treg_edu as te
from treg_edu.deepinv import Denoiser, Reconstructor
from treg_edu.training import pixel

PAGE = Path(__file__).parents[1] / "docs" / "deepinv.md"
MEANS = {"red": torch.cat([torch.full((1, 4, 4), 0.8), torch.full((2, 4, 4), -0.6)])}
WORLD = GaussianPrior(smooth_covariance(), MEANS)
SIGMA = 0.1
SOLVERS = {
    "daps": dict(steps=3),
    "ddrm": dict(steps=30),
    "dps": dict(steps=50),
    "latino": dict(steps=4),
    "pigdm": dict(steps=50),
    "red": dict(steps=5),
    "tikhonov": dict(),
    "treg": dict(steps=20, negation=None),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pictures():
    """64 of the world, (64, 3, 4, 4)."""
    z = torch.linalg.cholesky(WORLD.covariance) @ torch.randn(48, 64, generator=generator(), dtype=torch.float64)
    return z.T.reshape(64, 3, 4, 4) / 2 + 0.5


@pytest.fixture(scope="module")
def physics():
    """deepinv's inpainting of a square of 2×2 pixels, with noise."""
    mask = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    mask[..., 1:3, 1:3] = 0
    return deepinv.physics.Inpainting((3, 4, 4), mask=mask, noise_model=deepinv.physics.GaussianNoise(SIGMA))


@pytest.fixture(scope="module")
def y(pictures, physics):
    return physics.A(pictures + SIGMA * torch.randn(pictures.shape, generator=generator(1), dtype=torch.float64))


@pytest.fixture(scope="module")
def mean(y, physics):
    """The posterior mean of each picture."""
    return torch.stack([WORLD.posterior(physics, each[None], SIGMA)[0] for each in y]).view_as(y) / 2 + 0.5


PRIORS = {"gaussian": lambda _: WORLD, "network": lambda prior: untrained(prior)}
PRIORS |= {"bundled": lambda _: te.load_prior("pixel")} if (te.files.data_folder() / "pixel").is_dir() else {}


@pytest.fixture(params=PRIORS)
def pixel_prior(request, prior):
    """Every kind of prior of pixels: the Gaussian world, an untrained network, and the bundled one once it ships."""
    return PRIORS[request.param](prior)


def untrained(prior):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=4, in_channels=48, out_channels=48, block_out_channels=(32, 32), layers_per_block=1, attention_head_dim=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4, cross_attention_dim=prior.text_encoder.config.hidden_size,
        )  # fmt: skip
    parts = (prior.tokenizer, prior.text_encoder, DDIMScheduler(**pixel.SCHEDULE), prior.clip, prior.image_mean, prior.image_std)
    return te.PixelDiffusion(unet, *parts, patch_size=4)


def off(x_hat, expected):
    return (x_hat - expected).square().mean().sqrt().item()


# A solver as a reconstructor


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_reconstructor_is_the_solver(physics, y, solver):
    settings = SOLVERS[solver] | {"seed": 3}
    told = {"sigma": SIGMA} if "sigma" in inspect.signature(te.SOLVERS[solver]).parameters else {}
    expected = te.solve(solver, WORLD, physics, y[:3], "red", progress=False, **settings | told)
    model = Reconstructor(solver, WORLD, "red", **settings)
    found = model(y[:3], physics)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # deepinv's sigma is 0.1 in float32
    assert torch.equal(Reconstructor(te.SOLVERS[solver], WORLD, "red", **settings)(y[:3], physics), found)
    assert isinstance(model, torch.nn.Module)


def test_what_a_call_says_goes_before_what_the_model_was_made_with(physics, y):
    model = Reconstructor("ddrm", WORLD, "red", steps=30, seed=3)
    other = model(y[:2], physics, prompt="", seed=5, sigma=0.2)
    assert torch.equal(other, te.solve("ddrm", WORLD, physics, y[:2], "", steps=30, seed=5, sigma=0.2, progress=False))
    assert not torch.equal(other, model(y[:2], physics))


def test_a_solver_that_asks_for_sigma_is_refused_without_noise(y, physics):
    silent = deepinv.physics.Inpainting((3, 4, 4), mask=physics.mask, noise_model=None)
    with pytest.raises(TypeError, match="sigma"):
        Reconstructor("ddrm", WORLD, steps=2)(y[:1], silent)
    by_tensor = deepinv.physics.Inpainting((3, 4, 4), mask=physics.mask, noise_model=deepinv.physics.GaussianNoise(torch.tensor(SIGMA)))
    model = Reconstructor("ddrm", WORLD, steps=3)
    torch.testing.assert_close(model(y[:1], by_tensor), model(y[:1], physics))


def test_what_is_no_solver_is_refused():
    with pytest.raises(te.checks.ArgumentError, match="^solver: got 'dip', expected one of"):
        Reconstructor("dip", WORLD)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_deepinvs_test_loop_measures_a_reconstructor(pictures, physics, batch_size):
    """The PSNR that deepinv's `test` reports is that of the solver."""
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pictures[:4], physics.A(pictures[:4])), batch_size=batch_size)
    model = Reconstructor("treg", WORLD, **SOLVERS["treg"])
    found = deepinv.test(model, loader, physics, metrics=[deepinv.metric.PSNR()], device="cpu", verbose=False, show_progress_bar=False)
    parts = [(x, model(measured, physics)) for x, measured in loader]
    by_hand = torch.cat([-10 * (x_hat - x).square().flatten(1).mean(1).log10() for x, x_hat in parts])
    assert found["PSNR"] == pytest.approx(by_hand.mean().item(), abs=1e-3)


# A prior of pixels as a denoiser


def test_a_denoiser_is_the_posterior_mean(pictures):
    """E[z₀ | z] = C (C + 4σ² I)⁻¹ z in the world, at any σ, also above the highest level of the schedule."""
    denoiser = Denoiser(WORLD)
    assert 70 < WORLD.highest_sigma < 80
    for sigma, tolerance in ((0.0, 1e-12), (0.05, 1e-10), (1.0, 1e-10), (70.0, 1e-10), (500.0, 1e-2)):
        x = pictures + sigma * torch.randn(pictures.shape, generator=generator(2), dtype=torch.float64)
        gain = WORLD.covariance @ torch.linalg.inv(WORLD.covariance + 4 * sigma**2 * torch.eye(48, dtype=torch.float64))
        expected = ((2 * x - 1).flatten(1) @ gain).view_as(x) / 2 + 0.5
        torch.testing.assert_close(denoiser(x, sigma), expected, rtol=0, atol=tolerance)
    assert (WORLD.denoise(x, WORLD.highest_sigma) - expected).abs().max() > 2e-2  # as if σ were the highest one


def test_texts_guide_a_denoiser(pictures):
    x = pictures[:2]
    plain, red = Denoiser(WORLD)(x, 0.3), Denoiser(WORLD, "red")(x, 0.3)
    torch.testing.assert_close(red, WORLD.denoise(x, 0.3, "red"))
    torch.testing.assert_close(Denoiser(WORLD, "red", 3.0)(x, 0.3), plain + 3 * (red - plain))
    torch.testing.assert_close(Denoiser(WORLD, "", 3.0, null_prompt="red")(x, 0.3), red + 3 * (plain - red))
    torch.testing.assert_close(Denoiser(WORLD, ["red", ""])(x, 0.3), torch.cat([red[:1], plain[1:]]))
    assert (red - plain).abs().max() > 0.1


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sigma_may_come_in_every_form_that_deepinv_uses(pixel_prior, batch_size, dtype):
    denoiser, side = Denoiser(pixel_prior), pixel_prior.size[0]
    x = torch.rand(batch_size, 3, side, side, generator=generator(), dtype=dtype)
    with torch.no_grad():
        expected = denoiser(x, 0.1)
        assert expected.shape == x.shape and expected.dtype == dtype and (expected - x).abs().max() > 1e-3
        whole = torch.full((batch_size,), 0.1, dtype=dtype)
        for sigma in (
            torch.tensor(0.1),
            torch.tensor([0.1]),
            whole,
            whole.view(-1, 1, 1, 1),
            whole.tolist(),
            whole.numpy(),
            np.float64(0.1),
        ):
            torch.testing.assert_close(denoiser(x, sigma), expected, rtol=1e-4, atol=1e-5)
        each = torch.linspace(0.1, 0.3, batch_size)
        by_one = torch.cat([denoiser(x[i : i + 1], each[i]) for i in range(batch_size)])
        torch.testing.assert_close(denoiser(x, each), by_one, rtol=1e-4, atol=1e-5)


def test_gradients_go_through_a_denoiser(pixel_prior):
    side = pixel_prior.size[0]
    x = torch.rand(1, 3, side, side, generator=generator()).to(pixel_prior.dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(Denoiser(pixel_prior)(x, 0.1).square().sum(), x)
    assert gradient.isfinite().all() and gradient.abs().max() > 1e-3


def test_what_is_refused(prior, pictures):
    with pytest.raises(te.checks.ArgumentError, match="^prior: got LatentDiffusion, expected a PixelDiffusion"):
        Denoiser(prior)
    denoiser = Denoiser(WORLD)
    for sigma, told in ((-0.1, "got -0.1"), ([0.1, 0.2], "got 2 numbers, expected one number, or 3"), (float("nan"), "got nan")):
        with pytest.raises(te.checks.ArgumentError, match=f"^sigma: {told}"):
            denoiser(pictures[:3], sigma)
    with pytest.raises(te.checks.ArgumentError, match="^x: got shape"):
        denoiser(pictures[:3, :1], 0.1)


# deepinv's algorithms on our prior


def plug_and_play(denoiser):
    settings = {"stepsize": 1.0, "g_param": SIGMA}
    pieces = dict(prior=deepinv.optim.PnP(denoiser=denoiser), data_fidelity=deepinv.optim.L2(), params_algo=settings)
    return deepinv.optim.optim_builder("PGD", max_iter=100, **pieces)


ALGORITHMS = {
    "DDRM": lambda denoiser: deepinv.sampling.DDRM(denoiser, sigmas=np.linspace(1, 0, 50)),
    "DiffPIR": lambda denoiser: deepinv.sampling.DiffPIR(denoiser, deepinv.optim.L2(), sigma=SIGMA, max_iter=50, device="cpu"),
    "DPS": lambda denoiser: deepinv.sampling.DPS(denoiser, num_steps=100, weight=30.0, device="cpu"),
    "DPIR": lambda denoiser: deepinv.optim.DPIR(sigma=SIGMA, denoiser=denoiser, device="cpu"),
    "PnP": plug_and_play,
}


DISTANCES = {"DDRM": (0.041, 0.008), "DiffPIR": (0.105, 0.015), "DPS": (0.072, 0.006), "DPIR": (0.034, 0.002), "PnP": (0.0, 0.0005)}
"""From the posterior mean, as docs/deepinv.md prints them, and how far another seed or machine may be from that."""


@pytest.mark.parametrize("name", ALGORITHMS)
def test_deepinvs_algorithms_find_the_posterior_of_our_prior(y, physics, mean, pictures, name):
    """A sample is as far from the posterior mean as the posterior is wide."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x_hat = ALGORITHMS[name](Denoiser(WORLD))(y, physics)
    expected, tolerance = DISTANCES[name]
    assert off(x_hat, mean) == pytest.approx(expected, abs=tolerance)
    assert off(x_hat, pictures) < 0.65 * off(torch.full_like(mean, 0.5), pictures)
    row = "plug-and-play" if name == "PnP" else name
    assert f"| {row} | {expected:.3f} |" in PAGE.read_text(encoding="utf-8")


def test_what_the_page_compares_them_with(y, physics, mean):
    wide = WORLD.posterior(physics, y[:1], SIGMA)[1].diagonal().mean().sqrt().item() / 2
    assert wide == pytest.approx(0.072, abs=5e-4) and off(torch.full_like(mean, 0.5), mean) == pytest.approx(0.187, abs=5e-4)
    assert "at 0.072, as far as the posterior is wide, and the prior's mean is at 0.187" in PAGE.read_text(encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = deepinv.sampling.DPS(Denoiser(WORLD), num_steps=100, device="cpu")(y, physics)
    assert off(plain, mean) == pytest.approx(0.23, abs=0.03)


def test_plug_and_play_with_the_exact_denoiser_is_the_posterior_mean(y, physics, mean):
    """With D(u, σ) = (I + σ² C⁻¹)⁻¹ u about the mean, x = D(x − Aᵀ(A x − y), σ) is (AᵀA + σ² C⁻¹) x = Aᵀ y, whose solution it is."""
    torch.testing.assert_close(plug_and_play(Denoiser(WORLD))(y, physics), mean, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_deepinvs_algorithms_run_on_every_prior_of_pixels(pixel_prior, name):
    side = pixel_prior.size[0]
    physics = deepinv.physics.Inpainting((3, side, side), mask=0.5, rng=generator(), noise_model=deepinv.physics.GaussianNoise(SIGMA))
    y = physics(torch.rand(1, 3, side, side, generator=generator()))
    short = {
        "DDRM": lambda d: deepinv.sampling.DDRM(d, sigmas=np.linspace(1, 0, 3)),
        "DiffPIR": lambda d: deepinv.sampling.DiffPIR(d, deepinv.optim.L2(), sigma=SIGMA, max_iter=3, device="cpu"),
        "DPS": lambda d: deepinv.sampling.DPS(d, num_steps=3, device="cpu"),
        "DPIR": ALGORITHMS["DPIR"],
        "PnP": plug_and_play,
    }
    x_hat = short[name](Denoiser(pixel_prior))(y, physics)
    assert x_hat.shape == y.shape and x_hat.isfinite().all()


# Around


def test_deepinv_is_not_needed():
    """Neither `import treg_edu` nor the adapters import it, nor what it needs."""
    code = "import sys; sys.modules['deepinv'] = None; import treg_edu as te; te.deepinv.Denoiser, te.deepinv.Reconstructor"
    done = subprocess.run([sys.executable, "-c", code], cwd=PAGE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_they_are_what_deepinv_calls_by_those_names():
    """The arguments that its own base classes name come first, under the same names."""
    for ours, theirs in ((Denoiser, deepinv.models.Denoiser), (Reconstructor, deepinv.models.Reconstructor)):
        expected = [name for name in inspect.signature(theirs.forward).parameters if name != "kwargs"]
        assert list(inspect.signature(ours.forward).parameters)[: len(expected)] == expected
    assert re.search(r"te\.deepinv\.Reconstructor.*te\.deepinv\.Denoiser", PAGE.read_text(encoding="utf-8"), re.S)
