"""treg_edu.diffusion against diffusers' scheduler and pipeline, and against a Gaussian whose score is known."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from treg_edu import checks, diffusion
from treg_edu.files import data_folder
from treg_edu.noise import generators, normal
from treg_edu.priors import LatentDiffusion

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False, "steps_offset": 1}


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def last(walk):
    for step in walk:
        pass
    return step


class GaussianPrior(LatentDiffusion):
    """z₀ ~ N(m, s²) with m the length of the prompt: ε_θ, and with it the whole deterministic path, is known exactly.

    On the path (z_t − √ᾱ_t m) / √(ᾱ_t s² + 1 − ᾱ_t) never changes: each level keeps its quantile.
    """

    device, dtype, s = torch.device("cpu"), torch.float64, 0.5

    def __init__(self):
        self.scheduler = DDIMScheduler(**BETAS, timestep_spacing="trailing")

    def embed_text(self, texts):
        return torch.tensor([len(text) for text in texts], dtype=torch.float64)[:, None, None]

    def latent_shape(self, size=None):
        return 1, 2, 3

    def decode(self, z):
        return z

    def deviation(self, t):
        alpha_bar = self.alpha_bar(t)
        return (alpha_bar * self.s**2 + 1 - alpha_bar).sqrt()

    def quantile(self, z_t, t, mean):
        return (z_t - self.alpha_bar(t).sqrt() * mean) / self.deviation(t)

    def predict_noise(self, z_t, t, text_embedding):
        quantile = self.quantile(z_t, t, text_embedding[..., None])
        return (1 - self.alpha_bar(t)).sqrt() * quantile / self.deviation(t)


# The algebra


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("set_alpha_to_one", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 5, 50, 1000])
def test_every_step_is_the_schedulers(prior, prediction_type, spacing, set_alpha_to_one, steps):
    settings = {"prediction_type": prediction_type, "timestep_spacing": spacing, "set_alpha_to_one": set_alpha_to_one}
    if steps == 1000:
        settings["steps_offset"] = 0  # "leading" would ask for t = 1000
    output, z_t = randn(2, 4, 5, 6), randn(2, 4, 5, 6, seed=1)
    other = copy.copy(prior)
    other.scheduler = DDIMScheduler(**{**BETAS, **settings})
    other.unet = lambda *_, **__: SimpleNamespace(sample=output)
    other.unet.device, other.unet.dtype = torch.device("cpu"), torch.float64
    scheduler = DDIMScheduler(**{**BETAS, **settings})
    scheduler.set_timesteps(steps)
    pairs = other.timesteps(steps)
    assert [t for t, _ in pairs] == scheduler.timesteps.tolist()
    for t, t_prev in pairs[:: max(1, steps // 20)] + pairs[-1:]:
        noise = other.predict_noise(z_t, t, torch.zeros(2, 1, 1))
        z0 = diffusion.tweedie(z_t, noise, other.alpha_bar(t))
        expected = scheduler.step(output, t, z_t)
        torch.testing.assert_close(z0, expected.pred_original_sample, rtol=1e-5, atol=1e-5)
        z_prev = diffusion.ddim_step(z0, noise, other.alpha_bar(t_prev))
        torch.testing.assert_close(z_prev, expected.prev_sample, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 3, 7, 60, 999])
def test_the_levels_join_whatever_the_number_of_steps(prior, steps):
    """With "trailing" spacing diffusers leaves gaps where `steps` does not divide 1000: its next level is t − 1000 // steps."""
    pairs = prior.timesteps(steps)
    assert len(pairs) == steps
    assert [t for t, _ in pairs[1:]] == [t_prev for _, t_prev in pairs[:-1]]
    assert pairs[-1][1] == -1 and all(t > t_prev for t, t_prev in pairs)


@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_add_noise_is_the_schedulers_and_tweedie_undoes_it(prior, t):
    z0, noise, alpha_bar = randn(2, 4, 5, 6), randn(2, 4, 5, 6, seed=1), prior.alpha_bar(t)
    z_t = diffusion.add_noise(z0, noise, alpha_bar)
    torch.testing.assert_close(z_t, prior.scheduler.add_noise(z0, noise, torch.tensor([t, t])), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(diffusion.tweedie(z_t, noise, alpha_bar), z0, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("alpha_bar", [0.01, 0.3, 0.999])
def test_score_and_tweedie_on_a_mixture_of_gaussians(alpha_bar):
    """z₀ ~ ⅓ Σ N(m_k, s²): the noise, whose mean given z_t is ε, by Bayes; the score by autograd of log p(z_t)."""
    alpha_bar, s = torch.tensor(alpha_bar, dtype=torch.float64), 0.3
    means = torch.tensor([-2.0, 0.5, 1.0], dtype=torch.float64)
    z_t = randn(50, 1, 1, 1).requires_grad_()
    marginal = torch.distributions.Normal(alpha_bar.sqrt() * means, (alpha_bar * s**2 + 1 - alpha_bar).sqrt())
    log_density = torch.logsumexp(marginal.log_prob(z_t), -1) - np.log(3)
    (gradient,) = torch.autograd.grad(log_density.sum(), z_t)

    responsibility = marginal.log_prob(z_t).softmax(-1)
    shrunk = means + s**2 * alpha_bar.sqrt() / marginal.variance * (z_t - marginal.mean)
    posterior_mean = (responsibility * shrunk).sum(-1, keepdim=True).detach()
    noise = ((z_t - alpha_bar.sqrt() * posterior_mean) / (1 - alpha_bar).sqrt()).detach()
    torch.testing.assert_close(diffusion.score(noise, alpha_bar), gradient)
    torch.testing.assert_close(diffusion.tweedie(z_t.detach(), -(1 - alpha_bar).sqrt() * gradient, alpha_bar), posterior_mean)


def test_guidance_of_0_1_and_2():
    null, text = randn(2, 4, 5, 6), randn(2, 4, 5, 6, seed=1)
    torch.testing.assert_close(diffusion.guide(null, text, 0), null)
    torch.testing.assert_close(diffusion.guide(null, text, 1), text)
    torch.testing.assert_close(diffusion.guide(null, text, 2), 2 * text - null)


def test_guided_noise_gives_each_half_its_own_embedding():
    prior, z_t = GaussianPrior(), randn(2, 1, 2, 3)
    text, null = prior.embed_text(["a", "bbb"]), prior.embed_text(["cc", ""])
    apart = diffusion.guide(prior.predict_noise(z_t, 700, null), prior.predict_noise(z_t, 700, text), 5.0)
    torch.testing.assert_close(diffusion.guided_noise(prior, z_t, 700, text, null, 5.0), apart)


def test_without_guidance_the_null_text_costs_nothing(monkeypatch):
    prior, z_t, batches = GaussianPrior(), randn(2, 1, 2, 3), []
    text, null = prior.embed_text(["a", "bbb"]), prior.embed_text(["cc", ""])
    both = diffusion.guide(prior.predict_noise(z_t, 700, null), prior.predict_noise(z_t, 700, text), 1.0)
    predict = prior.predict_noise
    monkeypatch.setattr(prior, "predict_noise", lambda z_t, *rest: batches.append(len(z_t)) or predict(z_t, *rest))
    torch.testing.assert_close(diffusion.guided_noise(prior, z_t, 700, text, null, 1.0), both)
    assert batches == [2]


# Whole walks on the Gaussian


def initial(seed=0):
    return normal(generators(seed, 1), (1, 1, 2, 3), dtype=torch.float64)


@pytest.mark.parametrize("guidance_scale, mean", [(1.0, 3), (0.0, 5), (2.5, 0)])
def test_sampling_converges_to_the_exact_path(guidance_scale, mean):
    """Guidance between two Gaussians of one width is a Gaussian about m_∅ + ω (m − m_∅)."""
    prior, z_T = GaussianPrior(), initial()
    exact = mean + prior.s * prior.quantile(z_T, 999, mean)
    errors = []
    for steps in (10, 100, 1000):
        z0 = last(diffusion.sample(prior, "fox", steps, guidance_scale, null_prompt="5 cha")).z_next
        errors.append((z0 - exact).abs().max().item())
    assert errors[1] < errors[0] / 4 and errors[2] < errors[1] / 4
    assert errors[2] < 1e-2


@pytest.mark.parametrize("guidance_scale", [1.0, 2.5])
def test_inversion_returns_to_the_noise_that_sampling_started_from(guidance_scale):
    prior, z_T, errors = GaussianPrior(), initial(), []
    for steps in (10, 100, 1000):
        z0 = last(diffusion.sample(prior, "fox", steps, guidance_scale, null_prompt="5 cha")).z_next
        path = list(diffusion.invert(prior, z0, "fox", steps, guidance_scale, null_prompt="5 cha"))
        errors.append((path[-1].z_next - z_T).abs().max().item())
        assert [step.t for step in path] == [t_prev for _, t_prev in reversed(prior.timesteps(steps))]
    assert errors[1] < errors[0] / 4 and errors[2] < errors[1] / 4
    assert errors[2] < 2e-2


def test_one_step_of_inversion_is_one_of_ddim_backwards(prior64):
    z0 = randn(2, 4, 16, 16)
    up = list(diffusion.invert(prior64, z0, ["fox", "pizza"], steps=2, guidance_scale=3.0, null_prompt="blurred"))
    c, null = prior64.embed_text(["fox", "pizza"]), prior64.embed_text(["blurred"] * 2)
    z_t = up[1].z_t
    noise = diffusion.guided_noise(prior64, z_t, 499, c, null, 3.0)
    lower, upper = prior64.alpha_bar(499), prior64.alpha_bar(999)
    back = diffusion.ddim_step(diffusion.tweedie(up[1].z_next, noise, upper), noise, lower)
    torch.testing.assert_close(back, z_t, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(up[0].z_t, z0)


# The bundled prior


@pytest.fixture(scope="module")
def pipeline():
    pipeline = StableDiffusionPipeline.from_pretrained(data_folder() / "prior")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize(
    "prompt, null_prompt, seeds, steps, guidance_scale, size",
    [
        ("fox", "", [0], 5, 1.0, None),
        (["fox", "slice of pizza"], "", [3, 4], 2, 7.5, None),
        (["fox", "pizza"], ["out of focus, depth of field", "blue"], [9, 2], 4, 2.5, None),
        ("a red apple", "dark", [1], 2, 4.0, (64, 96)),
    ],
)
def test_the_picture_is_that_of_the_pipeline(prior, pipeline, prompt, null_prompt, seeds, steps, guidance_scale, size):
    prompts = [prompt] if isinstance(prompt, str) else prompt
    expected = pipeline(
        prompts,
        negative_prompt=checks.strings("null_prompt", null_prompt, len(prompts)),
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        height=size and size[0],
        width=size and size[1],
        output_type="np",
    ).images
    walk = list(diffusion.sample(prior, prompt, steps, guidance_scale, seeds, null_prompt, size))
    torch.testing.assert_close(walk[-1].x_hat, torch.from_numpy(expected).permute(0, 3, 1, 2), rtol=0, atol=1e-4)


def test_steps_follow_one_another(prior):
    prompts = ["fox", "pizza"]
    walk = list(diffusion.sample(prior, prompts, steps=2, seed=3))
    assert [(step.index, step.t) for step in walk] == [(0, 999), (1, 499)]
    torch.testing.assert_close(walk[0].z_t, normal(generators([3, 4], 2), (2, 4, 16, 16)))
    assert torch.equal(walk[1].z_t, walk[0].z_next) and torch.equal(walk[1].z0, walk[1].z_next)
    assert walk[0].x_hat is None and walk[0].misfit is None
    torch.testing.assert_close(walk[1].x_hat, prior.decode(walk[1].z0).clamp(0, 1), rtol=0, atol=1e-5)
    torch.testing.assert_close(walk[1].null_embedding, prior.embed_text(["", ""]))


def test_a_sample_does_not_depend_on_its_batch(prior):
    prompts, seeds = ["fox", "slice of pizza", "cloud", "a red apple", "boat"], [5, 3, 8, 3, 1]
    together = last(diffusion.sample(prior, prompts, steps=2, seed=seeds)).x_hat
    for i in (0, 3):
        alone = last(diffusion.sample(prior, prompts[i], steps=2, seed=seeds[i])).x_hat
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-4)
    assert (together[1] - together[3]).abs().max() > 1e-3  # one seed, two prompts


def test_text_null_text_guidance_and_seed_all_matter(prior):
    def picture(prompt="fox", **settings):
        return last(diffusion.sample(prior, prompt, **{"steps": 2, "guidance_scale": 4.0, **settings})).x_hat

    base = picture()
    for other in (picture("pizza"), picture(null_prompt="blue"), picture(guidance_scale=1.0), picture(seed=1)):
        assert (other - base).abs().max() > 1e-3


def test_the_reader_keeps_their_gradients(prior):
    walk = diffusion.sample(prior, "fox", steps=2)
    step = next(walk)
    assert torch.is_grad_enabled() and not step.z0.requires_grad
    walk.close()
    assert torch.is_grad_enabled()


# Seeds and prompts


def test_each_sample_draws_from_its_own_generator():
    a = normal(generators(7, 3), (3, 4, 2, 2))
    b = normal(generators([9, 8, 7], 3), (3, 4, 2, 2))
    torch.testing.assert_close(a, b.flip(0), rtol=0, atol=0)
    torch.testing.assert_close(a[1], torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(8)), rtol=0, atol=0)
    assert normal(generators(0, 2), (2, 3), dtype=torch.float64).dtype == torch.float64


def test_integers_of_numpy_are_seeds():
    torch.testing.assert_close(normal(generators(np.int64(7), 1), (1, 5)), normal(generators(7, 1), (1, 5)))


@pytest.mark.parametrize(
    "seed, error", [([1, 2], ValueError), ([], ValueError), (1.5, TypeError), ([1.5, 2, 3], TypeError), ("0", TypeError)]
)
def test_what_is_no_seed(seed, error):
    with pytest.raises(error, match="^seed: got .*expected (one int or|an integer)"):
        generators(seed, 3)


def test_one_prompt_serves_all_samples():
    assert checks.strings("prompt", "fox", 2) == ["fox", "fox"]
    assert checks.strings("prompt", ("fox", "cat"), 2) == ["fox", "cat"]


@pytest.mark.parametrize("prompt", [["fox"], ["fox", 3], []])
def test_what_is_no_batch_of_prompts(prompt):
    with pytest.raises(ValueError, match="^null_prompt: got .*, expected one string or a list of 2 strings"):
        checks.strings("null_prompt", prompt, 2)


def test_no_prompt_at_all(prior):
    with pytest.raises(ValueError, match="^prompt: got an empty list"):
        diffusion.sample(prior, [])


@pytest.mark.parametrize("prompt", [None, 3])
def test_what_is_no_prompt(prior, prompt):
    with pytest.raises(TypeError, match="^prompt: got .*expected one string or a list of 1 strings"):
        next(diffusion.sample(prior, prompt))


@pytest.mark.parametrize("guidance_scale", [-1.0, float("nan"), float("inf")])
def test_what_is_no_guidance(prior, guidance_scale):
    with pytest.raises(ValueError, match="^guidance_scale: got .*expected a finite number of at least 0"):
        next(diffusion.sample(prior, "fox", guidance_scale=guidance_scale))


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.0, "2"])
def test_what_is_no_number_of_steps(prior, steps):
    with pytest.raises(ValueError, match="^steps: got .*expected an integer from 1 to 1000"):
        next(diffusion.sample(prior, "fox", steps=steps))


def test_a_size_that_the_networks_cannot_take(prior):
    with pytest.raises(ValueError, match="^size: got 66×64, expected multiples of 4"):
        next(diffusion.sample(prior, "fox", size=(66, 64)))
