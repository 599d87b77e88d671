"""treg_edu.treg against Algorithm 1 written out a second time, and as a citizen among operators, batches and errors."""

import functools
import inspect
import math

import numpy as np
import pytest
import torch
from deepinv_reference import deepinv
from first_step import first_decoded
from torch.nn import functional as F

import treg_edu as te
from treg_edu.diffusion import Step
from treg_edu.operators import FourierMagnitude, GammaCorrection, GaussianBlur, Inpainting, SuperResolution

SR, BOX = SuperResolution(16), Inpainting.box(64, top=20, left=8, height=24, width=40)


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def measure(operator, batch=1, side=64):
    return operator.measure(rand(batch, 3, side, side), sigma=0.005, generator=torch.Generator().manual_seed(1))


def run(*arguments, **settings):
    return list(te.treg(*arguments, **settings))


# Algorithm 1, from paper.md


def algorithm_1(prior, A, At, y, prompt, null_prompt, T, omega, lam, every, until, since, negation, lr, iterations, cg, seed):
    """One sample, nothing of treg_edu: diffusers' networks, A and Aᵀ of one channel, and the closed form of the negation."""
    scale = prior.vae.config.scaling_factor

    def decode(z):
        return prior.vae.decode(z / scale).sample * 0.5 + 0.5

    def encode(x):
        return prior.vae.encode(x * 2 - 1).latent_dist.mean * scale

    def hidden_states(text):
        ids = prior.tokenizer([text], padding="max_length", truncation=True, return_tensors="pt").input_ids
        return prior.text_encoder(ids)[0]

    def epsilon(z, t, embedding):
        v = prior.unet(z, t, embedding)[0]
        if prior.scheduler.config.prediction_type == "epsilon":
            return v
        return math.sqrt(abar[t]) * v + math.sqrt(1 - abar[t]) * z

    def pixel_step(x0):
        """(AᵀA + λI) x = Aᵀy + λ x₀ for each channel, by textbook conjugate gradient from x₀."""
        channels = []
        for b, start in zip(y[0].double(), x0[0]):
            x = start.clone()
            r = At(b) + lam * start - (At(A(x)) + lam * x)
            channels.append([x, r, r.clone()])
        for _ in range(cg):  # one α and β for the image, as its channels are one system
            Mp = [At(A(p)) + lam * p for _, _, p in channels]
            rr = sum(r.square().sum() for _, r, _ in channels)
            alpha = rr / sum((p * q).sum() for (_, _, p), q in zip(channels, Mp))
            channels = [[x + alpha * p, r - alpha * q, p] for (x, r, p), q in zip(channels, Mp)]
            beta = sum(r.square().sum() for _, r, _ in channels) / rr
            channels = [[x, r, r + beta * p] for x, r, p in channels]
        return torch.stack([x for x, _, _ in channels])[None]

    generator = torch.Generator().manual_seed(seed)
    abar = [float(a) for a in prior.scheduler.alphas_cumprod]
    ts = [round(1000 - i * 1000 / T) - 1 for i in range(T)]  # "trailing"
    c, null = hidden_states(prompt), hidden_states(null_prompt)
    z = torch.randn(4, 16, 16, generator=generator)[None].double()
    for i, t in enumerate(ts):
        a, a_prev = abar[t], abar[ts[i + 1]] if i + 1 < T else 1.0
        e_null, e_text = epsilon(z, t, null), epsilon(z, t, c)
        eps = (1 - omega) * e_null + omega * e_text
        z0 = (z - math.sqrt(1 - a) * eps) / math.sqrt(a)
        if i % every == 0 and since * T <= i < until * T:
            x = pixel_step(decode(z0))
            seen = F.interpolate(x, (96, 96), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
            f = prior.clip.visual_projection(prior.clip.vision_model(pixel_values=(seen - 0.5) / 0.5).pooler_output)
            if negation == "projected":
                f = f @ prior.clip.text_projection.weight
            if negation:
                g = f[:, None] / f.norm() / null.shape[1]
                null = null - iterations * lr * g / (g.abs() + 1e-8)  # g never changes; 1e-8 is Adam's ε
            z0 = a_prev * encode(x) + (1 - a_prev) * z0
            fresh = torch.randn(4, 16, 16, generator=generator)[None].double()
            mixed = math.sqrt(1 - a_prev) * eps + math.sqrt(a_prev) * fresh
            z = math.sqrt(a_prev) * z0 + math.sqrt(1 - a_prev) * mixed
        else:
            z = math.sqrt(a_prev) * z0 + math.sqrt(1 - a_prev) * eps
    return decode(z0).clamp(0, 1), null


# What acts on a 64×64 channel, written out: a row of bicubic weights for each measured row, and a mask.
ROWS = F.interpolate(torch.eye(64, dtype=torch.float64)[None, None], (4, 64), mode="bicubic", antialias=True, align_corners=False)[0, 0]
MASK = torch.ones(64, 64, dtype=torch.float64)
MASK[20:44, 8:48] = 0
CHANNEL = {
    SR: (lambda x: ROWS @ x @ ROWS.T, lambda y: ROWS.T @ y @ ROWS),
    BOX: (lambda x: MASK * x, lambda y: MASK * y),
}


@pytest.mark.parametrize(
    "operator, settings",
    [
        (SR, {"batch": 2, "steps": 3, "guidance_scale": 5.0, "negation": "hidden", "every": 2}),
        (BOX, {"steps": 3, "guidance_scale": 3.0, "negation": "projected", "every": 2, "until": 1.0, "negation_iterations": 30}),
        (SR, {"steps": 2, "guidance_scale": 4.0, "negation": None, "every": 1, "since": 0.5, "lam": 0.02, "iterations": 2}),
    ],
)
def test_algorithm_1(prior64, operator, settings):
    settings = dict(settings)
    batch = settings.pop("batch", 1)
    y = measure(operator, batch)
    prompts, seeds, nulls = ["ice cream", "fox"][:batch], [7, 3][:batch], ["out of focus, depth of field", "dark"][:batch]
    last = run(prior64, operator, y, prompts, null_prompt=nulls, seed=seeds, **settings)[-1]
    chosen = {"every": 3, "until": 0.85, "since": 0.0, "lam": 1e-4, "iterations": 5, "negation_iterations": 10, **settings}
    for i in range(batch):
        with torch.no_grad():
            x_hat, null = algorithm_1(
                prior64, *CHANNEL[operator], y[i : i + 1], prompts[i], nulls[i], chosen["steps"], chosen["guidance_scale"], chosen["lam"],
                chosen["every"], chosen["until"], chosen["since"], chosen["negation"], 1e-3, chosen["negation_iterations"],
                chosen["iterations"], seeds[i],
            )  # fmt: skip
        torch.testing.assert_close(last.x_hat[i : i + 1], x_hat, rtol=0, atol=1e-5)
        torch.testing.assert_close(last.null_embedding[i : i + 1], null, rtol=0, atol=1e-5)


def test_the_defaults_are_the_papers():
    defaults = {name: p.default for name, p in inspect.signature(te.treg).parameters.items() if p.default is not p.empty}
    assert defaults == {
        "null_prompt": "out of focus, depth of field",
        "steps": 200,
        "guidance_scale": 5.0,
        "guidance": "cfg",
        "lam": 1e-4,
        "iterations": None,  # 5 of conjugate gradient, as the authors; 50 of projected gradient, which they never released
        "every": 3,
        "until": 0.85,
        "since": 0.0,
        "negation": "hidden",
        "negation_learning_rate": 1e-3,
        "negation_iterations": 10,
        "dps_step_size": 0.0,  # the branch is off in the authors' experiments
        "last_rounds": 0,
        "start": None,
        "seed": 0,
    }


# Steps


def test_every_step_carries_what_the_contract_names(prior):
    y = measure(SR, batch=2)
    walk = run(prior, SR, y, "fox", steps=5, seed=11)
    assert all(isinstance(step, Step) for step in walk)
    assert [(step.index, step.t) for step in walk] == [(0, 999), (1, 799), (2, 599), (3, 399), (4, 199)]
    torch.testing.assert_close(walk[0].z_t, te.noise.normal(te.noise.generators(11, 2), (2, 4, 16, 16)))
    for step, following in zip(walk, walk[1:]):
        assert torch.equal(step.z_next, following.z_t)
    for step in walk:
        assert step.z_t.shape == step.z0.shape == step.z_next.shape == (2, 4, 16, 16)
        assert step.null_embedding.shape == prior.embed_text(["", ""]).shape
        assert (step.x_hat is None) == (step.misfit is None) == (step.index in (1, 2))  # Γ = {0, 3}, and the last
        if step.x_hat is not None:
            assert step.x_hat.shape == (2, 3, 64, 64) and 0 <= step.x_hat.min() and step.x_hat.max() <= 1
            torch.testing.assert_close(step.misfit, (y - SR.A(step.x_hat)).square().mean(dim=(1, 2, 3)).sqrt())
    assert torch.equal(walk[-1].z_next, walk[-1].z0)  # ᾱ = 1 at the end
    torch.testing.assert_close(walk[-1].x_hat, prior.decode(walk[-1].z0).clamp(0, 1))


def test_a_consistency_step_explains_the_measurement(prior):
    y = measure(BOX)
    step = next(te.treg(prior, BOX, y, "fox", steps=4))
    assert step.misfit.item() < 1e-2
    torch.testing.assert_close(BOX.A(step.x_hat), y.clamp(0, 1), rtol=0, atol=1e-2)


def test_the_null_text_moves_on_consistency_steps_alone(prior):
    y, start = measure(SR), prior.embed_text(["out of focus, depth of field"])
    walk = run(prior, SR, y, "fox", steps=5)
    torch.testing.assert_close((walk[0].null_embedding - start).abs().median(), torch.tensor(0.01), rtol=1e-2, atol=0)
    assert torch.equal(walk[0].null_embedding, walk[1].null_embedding) and torch.equal(walk[1].null_embedding, walk[2].null_embedding)
    assert not torch.equal(walk[2].null_embedding, walk[3].null_embedding)
    for step in run(prior, SR, y, "fox", steps=2, negation=None):
        torch.testing.assert_close(step.null_embedding, start)


def test_without_consistency_it_is_plain_sampling(prior):
    ours = run(prior, SR, measure(SR), "fox", steps=2, until=0.0, guidance_scale=4.0, null_prompt="dark", seed=5)
    plain = list(te.diffusion.sample(prior, "fox", steps=2, guidance_scale=4.0, null_prompt="dark", seed=5))
    torch.testing.assert_close(ours[-1].x_hat, plain[-1].x_hat, rtol=0, atol=1e-5)


def test_it_stops_where_the_reader_stops_and_steps_may_interleave(prior):
    """Two walks with different numbers of steps share one prior and its scheduler."""
    y = measure(SR)
    alone = run(prior, SR, y, "fox", steps=3)[-1].x_hat
    first, second = te.treg(prior, SR, y, "fox", steps=3), te.treg(prior, SR, y, "pizza", steps=50)
    for a in first:
        b = next(second)
        assert torch.is_grad_enabled() and not a.z0.requires_grad
    assert b.index == 2 and b.t == prior.timesteps(50)[2][0]
    second.close()
    with pytest.raises(StopIteration):
        next(second)
    torch.testing.assert_close(a.x_hat, alone, rtol=0, atol=0)
    assert torch.is_grad_enabled()


# Batches


@pytest.mark.parametrize(
    "operator, settings",
    [
        (SR, {"negation": "hidden"}),
        (BOX, {"negation": "projected"}),
    ],
)
def test_a_sample_does_not_depend_on_its_batch(prior, operator, settings):
    check_batch_invariance(prior, operator, measure(operator, batch=5), settings)


@pytest.mark.parametrize("operator, negation", [(SR, "hidden"), (BOX, "projected")])
def test_nor_does_its_null_text(prior64, operator, negation):
    check_batch_invariance(prior64, operator, measure(operator, batch=5).double(), {"negation": negation})


@pytest.mark.parametrize("operator", [FourierMagnitude(), GammaCorrection(2.2), GammaCorrection(0.5)])
def test_nor_does_it_where_the_operator_is_nonlinear(prior64, operator):
    """In double precision: fifty steps, each as long as the line search grants, enlarge float32's rounding up to ten thousand times."""
    check_batch_invariance(prior64, operator, measure(operator, batch=5).double(), {"negation": "hidden"})


def check_batch_invariance(prior, operator, y, settings):
    i = 3
    prompts, seeds = ["fox", "slice of pizza", "cloud", "a red apple", "boat"], [5, 3, 8, 3, 1]
    settings = {"steps": 2, "every": 1, "until": 1.0, **settings}
    together = run(prior, operator, y, prompts, seed=seeds, **settings)[-1]
    alone = run(prior, operator, y[i : i + 1], prompts[i], seed=seeds[i], **settings)[-1]
    torch.testing.assert_close(together.x_hat[i : i + 1], alone.x_hat, rtol=0, atol=1e-4)
    if prior.dtype == torch.float64:  # in float32 Adam makes a full step of the rounding of an all but zero feature
        torch.testing.assert_close(together.null_embedding[i : i + 1], alone.null_embedding, rtol=0, atol=1e-4)
    torch.testing.assert_close(together.misfit[i : i + 1], alone.misfit, rtol=5e-3, atol=1e-5)


def test_one_seed_and_one_prompt_serve_a_batch(prior):
    y = measure(SR, batch=2)
    short = run(prior, SR, y, "fox", steps=2, seed=4)[-1].x_hat
    long = run(prior, SR, y, ["fox", "fox"], null_prompt=["out of focus, depth of field"] * 2, steps=2, seed=[4, 5])[-1].x_hat
    assert torch.equal(short, long)


# Operators


@pytest.mark.parametrize("operator", [SuperResolution(8), GaussianBlur(), GammaCorrection(0.5), FourierMagnitude()])
def test_other_sizes(prior, operator):
    y = measure(operator, side=96)
    step = run(prior, operator, y, "fox", steps=1)[-1]
    assert step.x_hat.shape == (1, 3, 96, 96) and step.z0.shape == (1, 4, 24, 24)


def test_images_need_not_be_square(prior):
    operator = Inpainting(torch.ones(64, 96))
    assert run(prior, operator, rand(1, 3, 64, 96), "fox", steps=1)[-1].x_hat.shape == (1, 3, 64, 96)


@pytest.mark.parametrize(
    "physics",
    [
        deepinv.physics.Downsampling(img_size=(3, 64, 64), filter="bicubic", factor=4),
        deepinv.physics.Inpainting(img_size=(3, 64, 64), mask=0.5, rng=torch.Generator().manual_seed(0)),
        deepinv.physics.BlurFFT((3, 64, 64), filter=deepinv.physics.functional.blur.gaussian_blur(sigma=2.0)),
        deepinv.physics.CompressedSensing(m=200, img_size=(3, 64, 64), rng=torch.Generator().manual_seed(0)),
    ],
    ids=lambda physics: type(physics).__name__,
)
def test_deepinvs_linear_physics_drop_in(prior, physics):
    y = physics.A(rand(2, 3, 64, 64))
    first, _ = run(prior, physics, y, "fox", steps=2, every=1)
    assert first.x_hat.shape == (2, 3, 64, 64)
    x = first_decoded(prior, first, ["fox", "fox"])
    before = physics.A(x) - y
    torch.testing.assert_close(first.x_hat, te.consistency.pixel_step(physics, y, x, iterations=5).clamp(0, 1), rtol=0, atol=1e-4)
    torch.testing.assert_close(first.misfit, (physics.A(first.x_hat) - y).square().flatten(1).mean(1).sqrt())
    assert (first.misfit.square() < 0.5 * before.square().flatten(1).mean(1)).all()


def test_deepinvs_inpainting_gives_what_ours_gives(prior):
    physics = deepinv.physics.Inpainting(img_size=(3, 64, 64), mask=BOX.mask.float().expand(1, 3, 64, 64))
    y = measure(BOX)
    theirs, ours = (run(prior, operator, y, "fox", steps=2)[-1].x_hat for operator in (physics, BOX))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("operator", [SR, BOX, GammaCorrection(2.2)], ids=lambda operator: type(operator).__name__)
def test_ours_drop_into_deepinvs_data_fidelity(operator):
    y, x, fidelity = measure(operator), rand(1, 3, 64, 64, seed=5), deepinv.optim.L2()
    leaf = x.clone().requires_grad_()
    value = fidelity(leaf, y, operator)
    torch.testing.assert_close(value, 0.5 * (operator.A(x) - y).square().sum()[None])
    torch.testing.assert_close(fidelity.grad(x, y, operator), torch.autograd.grad(value.sum(), leaf)[0], rtol=1e-4, atol=1e-5)
    if te.operators.is_linear(operator):
        pixel = te.consistency.pixel_step(operator, y, x, lam=0.1, iterations=200)
        torch.testing.assert_close(fidelity.prox(x, y, operator, gamma=10.0), pixel, rtol=0, atol=1e-4)


def test_ours_drop_into_deepinvs_sampler():
    """It asks the physics for a noise model, which ours leave open."""

    def denoiser(x, sigma, **settings):
        return x

    x = deepinv.sampling.DiffPIR(denoiser, deepinv.optim.L2(), max_iter=2, sigma=0.05)(measure(SR), SR)
    assert x.shape == (1, 3, 64, 64) and x.isfinite().all()


def test_the_dtype_of_y_is_no_matter(prior):
    y = measure(BOX)
    for operator, measured in ((BOX, y), (GammaCorrection(2.2), y.clamp(0, 1))):
        single, double = (run(prior, operator, each, "fox", steps=1)[-1].x_hat for each in (measured, measured.double()))
        assert double.dtype == torch.float32
        torch.testing.assert_close(double, single, rtol=0, atol=1e-4)


# Errors


Y = rand(2, 3, 4, 4)


@pytest.mark.parametrize(
    "y, settings, error, message",
    [
        (Y.where(Y > Y.min(), torch.nan), {}, ValueError, "^y: got 1 of 96 values NaN or infinite, expected finite values"),
        (Y / 0, {}, ValueError, "^y: got 96 of 96 values NaN or infinite, expected finite values"),
        (Y[:0], {}, ValueError, r"^y: got shape \(0, 3, 4, 4\)"),
        (Y[0, 0, 0], {}, ValueError, r"^y: got shape \(4,\)"),
        (
            (255 * Y).byte(),
            {},
            TypeError,
            "^y: got dtype torch.uint8, expected a floating-point torch.Tensor.*; for a uint8 image pass y / 255",
        ),
        (Y.to(torch.complex64), {}, TypeError, "^y: got dtype torch.complex64, expected a floating-point torch.Tensor"),
        (Y.numpy(), {}, TypeError, "^y: got .*, expected a floating-point torch.Tensor"),
        (Y[0], {}, ValueError, r"^y: got shape \(3, 4, 4\), expected \(B, C, H, W\)$"),
        (Y, {"prompt": ["fox"]}, ValueError, r"^prompt: got \['fox'\] for a batch of 2, expected one string or a list of 2 strings"),
        (Y, {"prompt": None}, TypeError, "^prompt: got None, expected one string or a list of 2 strings"),
        (
            Y,
            {"operator": "sr"},
            TypeError,
            "^operator: got 'sr', expected one of treg_edu.operators, a deepinv.physics object, or an object with A",
        ),
        (Y, {"operator": None}, TypeError, "^operator: got None, expected"),
        (Y, {"null_prompt": ["a"] * 3}, ValueError, "^null_prompt: got .* for a batch of 2"),
        (Y, {"seed": [1, 2, 3]}, ValueError, "^seed: got 3 seeds for a batch of 2"),
        (Y, {"seed": 0.5}, TypeError, "^seed: got 0.5, expected one int"),
        (Y, {"negation": "both"}, ValueError, "^negation: got 'both', expected one of 'hidden', 'projected', None"),
        (Y, {"steps": 0}, ValueError, "^steps: got 0, expected an integer from 1 to 1000"),
        (Y, {"steps": 1001}, ValueError, "^steps: got 1001, expected"),
        (Y, {"steps": 50.0}, ValueError, "^steps: got 50.0, expected"),
        (rand(1, 3, 4, 5), {"operator": SuperResolution(9)}, ValueError, "^size: got 36×45, expected multiples of 4"),
        (Y, {"guidance_scale": float("inf")}, ValueError, "^guidance_scale: got inf"),
        (Y, {"lam": 0.0}, ValueError, "^lam: got 0.0, expected a finite number above 0"),
        (Y, {"iterations": 0}, ValueError, "^iterations: got 0, expected an integer of at least 1"),
        (Y, {"iterations": 2.5}, ValueError, "^iterations: got 2.5, expected an integer of at least 1"),
        (Y, {"every": 0}, ValueError, "^every: got 0, expected an integer of at least 1"),
        (Y, {"until": float("nan")}, ValueError, "^until: got nan, expected a finite number from 0 to 1"),
        (Y, {"since": 1.5}, ValueError, "^since: got 1.5, expected a finite number from 0 to 1"),
        (Y, {"negation_learning_rate": -1e-3}, ValueError, "^negation_learning_rate: got -0.001, expected a finite number above 0"),
        (Y, {"negation_iterations": -5}, ValueError, "^negation_iterations: got -5, expected an integer of at least 1"),
    ],
)
def test_errors_name_the_argument(prior, y, settings, error, message):
    settings = {"operator": SR, "prompt": "fox", "steps": 2, **settings}
    with pytest.raises(error, match=message):
        te.treg(prior, settings.pop("operator"), y, settings.pop("prompt"), **settings)  # at the call, before the first step


def test_settings_may_be_numpys_and_solvers_partial(prior):
    y = rand(1, 3, 4, 4)
    here = te.solve(te.treg, prior, SR, y, "fox", progress=False, steps=2)
    assert torch.equal(te.solve(functools.partial(te.treg, steps=2), prior, SR, y, "fox", progress=False), here)
    assert torch.equal(te.solve(te.treg, prior, SR, y, "fox", progress=False, steps=np.int64(2), every=np.int64(3)), here)


def test_an_operator_left_on_another_device(prior):
    physics = deepinv.physics.Inpainting(img_size=(3, 64, 64), mask=0.5, rng=torch.Generator().manual_seed(0)).to("meta")
    with pytest.raises(ValueError, match=r"^operator: got one on meta, expected cpu, where the prior is; call operator.to"):
        te.treg(prior, physics, rand(1, 3, 64, 64), "fox", steps=1)


def test_features_and_states_of_different_widths(prior, monkeypatch):
    """As Stable Diffusion 2 with the CLIP of 1.x: known before the first step, and harmless without negation."""
    monkeypatch.setattr(prior.clip.config, "projection_dim", 1024)
    with pytest.raises(
        ValueError, match="^negation: got 'hidden', which compares features of width 1024, expected the width of the text states, 192"
    ):
        te.treg(prior, SR, Y, "fox", steps=1)
    assert run(prior, SR, Y, "fox", steps=1, negation=None)[-1].x_hat.isfinite().all()


def test_pictures_far_from_the_training_size_are_solved_with_a_warning(prior):
    with pytest.warns(UserWarning, match="means images of 16×16; this prior was trained on 64×64. It was not trained on images this small"):
        run(prior, SuperResolution(4), rand(1, 3, 4, 4), "fox", steps=1)


def test_a_prompt_too_long_is_solved_with_a_warning(prior):
    with pytest.warns(UserWarning, match="^prompt: .*cut from"):
        run(prior, SR, measure(SR), "fox " * 60, steps=1)


def test_a_nonlinear_pixel_step_begins_where_it_is_told(prior):
    """Begun at the turned picture, which explains y as well, it stays there."""
    operator = FourierMagnitude()
    x = te.images.example("fox")
    y, turned = operator.A(x), te.phase_retrieval.rotate(x)
    settings = dict(steps=2, every=1, until=1.0, negation=None, null_prompt="", iterations=5)
    x_hat = te.solve(te.treg, prior, operator, y, "fox", progress=False, start=turned, **settings)
    assert (x_hat - turned).abs().mean() < 0.5 * (x_hat - x).abs().mean()


def test_a_start_that_does_not_fit_is_refused(prior):
    y = FourierMagnitude().A(torch.rand(2, 3, 64, 64))
    with pytest.raises(ValueError, match=r"^start: got shape \(1, 3, 64, 64\), expected \(2, 3, 64, 64\), one for each sample"):
        te.treg(prior, FourierMagnitude(), y, "fox", start=torch.rand(1, 3, 64, 64))
    with pytest.raises(ValueError, match="^start: got images, expected None"):
        te.treg(prior, SuperResolution(16), torch.rand(1, 3, 4, 4), "fox", start=torch.rand(1, 3, 64, 64))
