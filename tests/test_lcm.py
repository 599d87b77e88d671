"""treg_edu.priors.lcm: a tiny random LoRA added to narrow networks, by hand and by diffusers; and LATINO on the prior of few steps."""

import importlib.util

import pytest
import stable_diffusion as sd
import torch
from diffusers import LCMScheduler
from safetensors.torch import load_file, save_file

import treg_edu as te

pytestmark = pytest.mark.once

RANK, ALPHA = 2, 4.0


@pytest.fixture(scope="module")
def parts(prior):
    return sd.networks(prior.tokenizer)


@pytest.fixture(scope="module")
def layers(parts):
    """{name of a layer: (A, B)} for all those that the public LCM-LoRA changes: linear maps and convolutions of the U-Net."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, layer in parts["unet"].named_modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            out, *rest = layer.weight.shape
            down = 0.1 * torch.randn(RANK, *rest, generator=generator)
            found[name] = down, 0.03 * torch.randn(out, RANK, *[1] * (len(rest) - 1), generator=generator)
    assert len(found) > 200
    return found


@pytest.fixture(scope="module")
def kohya(layers, tmp_path_factory):
    """The file in Kohya's form, which that of latent-consistency/lcm-lora-sdv1-5 has."""
    file = tmp_path_factory.mktemp("lora") / "pytorch_lora_weights.safetensors"
    weights = {}
    for name, (down, up) in layers.items():
        key = "lora_unet_" + name.replace(".", "_")
        weights |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(ALPHA)}
    save_file(weights, file)
    return file


def test_without_peft_it_is_named(parts, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else found(name, *rest))
    with pytest.raises(FileNotFoundError, match=r"^lora: got 'a', and peft is not installed, expected it: pip install 'treg_edu\[lcm\]'"):
        te.priors.with_lcm_lora(sd.prior_of(parts), "a")


def test_every_layer_is_changed_as_the_file_says(parts, layers, kohya):
    prior = sd.prior_of(parts)
    before = {name: weight.clone() for name, weight in prior.unet.state_dict().items()}
    few = te.priors.with_lcm_lora(prior, kohya)
    for name, (down, up) in layers.items():
        change = ALPHA / RANK * (up.flatten(1) @ down.flatten(1)).view_as(before[f"{name}.weight"])
        torch.testing.assert_close(few.unet.get_submodule(name).weight, before[f"{name}.weight"] + change, rtol=1e-4, atol=1e-5)
        assert change.abs().max() > 1e-3
    assert prior.unet.state_dict().keys() == few.unet.state_dict().keys()  # nothing of peft is left
    assert all(torch.equal(prior.unet.state_dict()[name], weight) for name, weight in before.items())
    assert few.vae is prior.vae and few.text_encoder is prior.text_encoder
    assert not any(weight.requires_grad for weight in few.unet.parameters())


def test_the_timesteps_are_an_lcms(parts, kohya):
    few = te.priors.with_lcm_lora(sd.prior_of(parts), kohya.parent)  # its folder
    assert [t for t, _ in few.timesteps(4)] == [999, 759, 499, 259] and few.recommended == {}
    torch.testing.assert_close(few.scheduler.alphas_cumprod, sd.prior_of(parts).scheduler.alphas_cumprod)


def test_latino_runs_as_with_diffusers_own_loading(parts, kohya):
    """`load_lora_weights` and `LCMScheduler.from_config`, the recipe of diffusers, on the pipeline."""
    operator = te.operators.SuperResolution(16)
    y = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    few = dict(sigma=0.05, inner_steps=1)
    prior = te.priors.with_lcm_lora(sd.prior_of(parts), kohya)
    expected = te.solve("latino", prior, operator, y, "fox", steps=1, progress=False, **few)
    pipe = sd.pipeline_of(sd.networks(parts["tokenizer"]))
    settings = dict(num_inference_steps=1, solver="latino", output_type="pt", **few)

    def run():
        return pipe(y, operator, "fox", generator=[torch.Generator().manual_seed(seed) for seed in (0, 1)], **settings).images

    without = run()
    pipe.load_lora_weights(kohya.parent, weight_name=kohya.name)
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    assert pipe.prior.timesteps(4) == prior.timesteps(4)
    torch.testing.assert_close(run(), expected, rtol=0, atol=1e-3)
    assert (without - expected).abs().max() > 0.02
    four = te.solve("latino", prior, operator, y, "fox", steps=4, progress=False, **few)
    assert four.isfinite().all() and (four - expected).abs().max() > 0.02


def test_one_estimate_is_the_consistency_function(parts, kohya):
    """As `LCMScheduler` computes it: c_skip z + c_out ẑ₀, to its bound."""
    prior = te.priors.with_lcm_lora(sd.prior_of(parts), kohya)
    c = prior.embed_text("fox")
    for t, t_prev in prior.timesteps(4):
        z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(t))
        noise = prior.predict_noise(z, t, c)
        theirs = LCMScheduler.from_config(prior.scheduler.config)
        theirs.set_timesteps(4)
        expected = theirs.step(noise, t, z, generator=torch.Generator().manual_seed(0)).denoised
        torch.testing.assert_close(te.diffusion.tweedie(z, noise, prior.alpha_bar(t)), expected, rtol=1e-4, atol=1e-4)


def test_what_is_no_lora_of_the_unet_is_refused(parts, kohya, tmp_path):
    prior = sd.prior_of(parts)
    text = {f"lora_te_text_model_encoder_layers_0_self_attn_q_proj.{name}": value for name, value in
            (("lora_down.weight", torch.zeros(2, 16)), ("lora_up.weight", torch.zeros(16, 2)), ("alpha", torch.tensor(2.0)))}  # fmt: skip
    save_file(load_file(kohya) | text, tmp_path / "with_text.safetensors")
    torch.save({}, tmp_path / "pickle.bin")
    (tmp_path / "pickles").mkdir()
    torch.save({}, tmp_path / "pickles" / "pytorch_lora_weights.bin")
    save_file({"unet.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    for lora, told in (
        (tmp_path / "with_text.safetensors", "with weights of other networks, such as"),
        (tmp_path / "pickles", "without a .safetensors file, expected weights as safetensors"),
        (tmp_path / "other.safetensors", "which cannot be loaded|which is not there"),
        (tmp_path / "nowhere.safetensors", "which is not there or cannot be read|which cannot be loaded"),
    ):
        with pytest.raises(te.checks.ArgumentError, match=f"^lora: got '.*{lora}'.*({told})"):
            te.priors.with_lcm_lora(prior, lora)
    with pytest.raises(te.checks.ArgumentError, match="^prior: got GaussianPrior, expected a LatentDiffusion"):
        te.priors.with_lcm_lora(te.priors.GaussianPrior(te.priors.smooth_covariance()), kohya)
