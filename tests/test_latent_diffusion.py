"""treg_edu.priors: what a prior promises, against diffusers and transformers called directly."""

import copy
import inspect
import json
import warnings

import pytest
import torch
from diffusers import DDIMScheduler
from torch.nn import functional as F

import treg_edu as te
from treg_edu.files import data_folder
from treg_edu.operators import SuperResolution

FOLDER = data_folder() / "prior"
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rescaled(prior, scaling_factor):
    """The prior with another scaling factor in its autoencoder's configuration."""
    other = copy.copy(prior)
    other.vae = copy.copy(prior.vae)
    other.vae.register_to_config(scaling_factor=scaling_factor)
    return other


# Images ↔ latents


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_shapes(prior, size):
    x = rand(2, 3, *size)
    z = prior.encode(x)
    assert z.shape == (2, *prior.latent_shape(size)) == (2, 4, size[0] // 4, size[1] // 4)
    assert prior.decode(z).shape == x.shape
    assert z.dtype == prior.decode(z).dtype == torch.float32


def test_encode_is_the_scaled_posterior_mean_of_the_picture_in_plus_minus_1(prior):
    x = rand(2, 3, 64, 64)
    mean = prior.vae.encode(2 * x - 1).latent_dist.mean
    torch.testing.assert_close(prior.encode(x), mean * prior.vae.config.scaling_factor)


def test_decode_is_the_decoder_in_0_1(prior):
    z = randn(2, 4, 16, 16)
    picture = (prior.vae.decode(z / prior.vae.config.scaling_factor).sample + 1) / 2
    torch.testing.assert_close(prior.decode(z), picture)


def test_the_scaling_factor_is_honoured(prior):
    other, old, x, z = rescaled(prior, 0.18215), prior.vae.config.scaling_factor, rand(1, 3, 64, 64), randn(1, 4, 16, 16)
    torch.testing.assert_close(other.encode(x), prior.encode(x) * 0.18215 / old)
    torch.testing.assert_close(other.decode(z * 0.18215), prior.decode(z * old))
    assert prior.vae.config.scaling_factor == old


def test_decode_clamps_nothing_and_lets_gradients_through(prior):
    z = (30 * randn(1, 4, 16, 16)).requires_grad_()
    x = prior.decode(z)
    assert x.min() < 0 or x.max() > 1
    (gradient,) = torch.autograd.grad(x.sum(), z)
    assert gradient.abs().max() > 0
    assert not any(p.requires_grad for net in (prior.vae, prior.unet, prior.clip, prior.text_encoder) for p in net.parameters())
    assert not any(net.training for net in (prior.vae, prior.unet, prior.clip, prior.text_encoder))


def test_latent_shape(prior):
    assert prior.latent_shape() == (4, 16, 16)
    assert prior.latent_shape((96, 128)) == (4, 24, 32)
    for size in ((66, 64), (64, 2)):
        with pytest.raises(ValueError, match=f"^size: got {size[0]}×{size[1]}, expected multiples of 4"):
            prior.latent_shape(size)
    for size in ((0, 64), 0, -4):
        with pytest.raises(ValueError, match="^size: got .*×.*, expected sides of at least 1 pixel"):
            prior.latent_shape(size)


def test_sizes_that_only_the_autoencoder_divides(prior):
    """Like `StableDiffusionPipeline`, whose U-Net pads what does not halve."""
    *_, last = te.diffusion.sample(prior, "fox", steps=1, seed=0, size=(72, 68))
    assert last.x_hat.shape == (1, 3, 72, 68)


def test_the_training_size_is_read_from_the_configuration(prior):
    assert te.priors.training_size() == te.priors.training_size(str(FOLDER)) == prior.size == (64, 64)
    with pytest.raises(FileNotFoundError, match="^name: "):
        te.priors.training_size("no model")


# Words


def test_embed_text_is_the_hidden_states_of_the_padded_text(prior):
    texts = ["fox", "a slice of pizza", ""]
    length = prior.tokenizer.model_max_length
    tokens = prior.tokenizer(texts, padding="max_length", max_length=length, return_tensors="pt").input_ids
    c = prior.embed_text(texts)
    assert c.shape == (3, length, prior.unet.config.cross_attention_dim)
    torch.testing.assert_close(c, prior.text_encoder(input_ids=tokens)[0])
    torch.testing.assert_close(c[:1], prior.embed_text(["fox"]), rtol=1e-4, atol=1e-5)
    assert (c[0] - c[1]).abs().max() > 1e-2


def test_the_text_tower_is_clips(prior):
    ours, clips = prior.text_encoder.state_dict(), prior.clip.text_model.state_dict()
    assert ours.keys() == clips.keys() and len(ours) > 10
    assert all(torch.equal(ours[name], clips[name]) for name in ours)


def words_that_fill(prior):
    """A text one token a word that has exactly the tokenizer's length, start and end included."""
    (_, *word, _) = prior.tokenizer("fox").input_ids
    assert len(word) == 1
    return ["fox"] * (prior.tokenizer.model_max_length - 2)


def test_one_string_is_a_list_of_one_and_no_text_is_refused(prior):
    assert torch.equal(prior.embed_text("fox"), prior.embed_text(["fox"])) and torch.equal(
        prior.embed_labels("fox"), prior.embed_labels(["fox"])
    )
    for embed in (prior.embed_text, prior.embed_labels):
        with pytest.raises(ValueError, match="^texts: got none, expected"):
            embed([])


def test_a_text_too_long_warns_of_what_it_lost(prior):
    words = words_that_fill(prior)
    with pytest.warns(UserWarning) as caught:
        c = prior.embed_text([" ".join([*words, "purple", "cat"]), "short"])
    (message,) = (str(warning.message) for warning in caught)
    limit = prior.tokenizer.model_max_length
    assert message.startswith("prompt: ") and f"the prior takes {limit}" in message
    lost = message.rsplit(":", 1)[1]
    assert lost.split() == ["'purple", "cat'"] or lost.replace(" ", "") == "'purplecat'"
    torch.testing.assert_close(c[:1], prior.embed_text([" ".join(words)]), rtol=1e-4, atol=1e-5)


def test_a_text_that_just_fits_does_not_warn(prior):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior.embed_text([" ".join(words_that_fill(prior)), ""])


# CLIP's shared space


def test_features_are_those_of_clip(prior):
    texts, x = ["fox", "a slice of pizza"], rand(2, 3, 64, 64)
    mean, std = (torch.tensor(value)[:, None, None] for value in (prior.image_mean, prior.image_std))
    tokens = prior.tokenizer(texts, padding=True, return_tensors="pt").input_ids
    seen = F.interpolate(x, (96, 96), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    pooled = prior.clip.vision_model(pixel_values=(seen - mean) / std).pooler_output
    torch.testing.assert_close(prior.embed_images(x), prior.clip.visual_projection(pooled), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prior.embed_labels(texts), prior.clip.get_text_features(tokens).pooler_output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prior.embed_labels(texts)[:1], prior.embed_labels(["fox"]), rtol=1e-4, atol=1e-5)


def test_images_of_any_size_have_features(prior):
    smooth = F.interpolate(rand(1, 3, 4, 4), (64, 64), mode="bicubic", align_corners=False).clamp(0, 1)
    small = prior.embed_images(smooth)
    large = prior.embed_images(F.interpolate(smooth, (256, 256), mode="nearest"))
    assert large.shape == small.shape
    assert F.cosine_similarity(small, large) > 0.99


def test_image_features_and_hidden_states_have_one_width(prior):
    """What the published negation rule needs."""
    assert prior.embed_images(rand(1, 3, 64, 64)).shape[-1] == prior.embed_text(["fox"]).shape[-1]


# Levels


def test_alpha_bar_is_the_schedulers(prior):
    for t in (0, 1, 999):
        torch.testing.assert_close(prior.alpha_bar(t), prior.scheduler.alphas_cumprod[t], rtol=0, atol=0)
    assert prior.alpha_bar(-1) == 1
    other = copy.copy(prior)
    other.scheduler = DDIMScheduler.from_config(prior.scheduler.config, set_alpha_to_one=False)
    assert other.alpha_bar(-1) == other.alpha_bar(0) < 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_alpha_bar_is_no_coarser_than_float32(prior, dtype):
    """In bfloat16, 1 − ᾱ_0 = 0.00085 would be 0, and the score infinite.  A scalar does not widen what it multiplies."""
    other = copy.copy(prior)
    other.unet = copy.deepcopy(prior.unet).to(dtype)
    assert other.dtype == dtype
    torch.testing.assert_close((1 - other.alpha_bar(0)).float(), 1 - prior.scheduler.alphas_cumprod[0], rtol=1e-6, atol=0)
    assert te.diffusion.tweedie(randn(1, 4, 2, 2).to(dtype), randn(1, 4, 2, 2).to(dtype), other.alpha_bar(0)).dtype == dtype


def test_predict_noise_turns_v_into_noise(prior):
    z_t, c, t = randn(2, 4, 16, 16), prior.embed_text(["fox", "pizza"]), 321
    output, a = prior.unet(z_t, t, encoder_hidden_states=c).sample, prior.scheduler.alphas_cumprod[t]
    as_v, as_epsilon = copy.copy(prior), copy.copy(prior)
    as_v.scheduler = DDIMScheduler.from_config(prior.scheduler.config, prediction_type="v_prediction")
    as_epsilon.scheduler = DDIMScheduler.from_config(prior.scheduler.config, prediction_type="epsilon")
    torch.testing.assert_close(as_v.predict_noise(z_t, t, c), a.sqrt() * output + (1 - a).sqrt() * z_t)
    torch.testing.assert_close(as_epsilon.predict_noise(z_t, t, c), output)


# Loading


def test_a_folder_is_a_name(prior, tmp_path):
    for part in FOLDER.iterdir():
        if part.name != "recommended.json":
            (tmp_path / part.name).symlink_to(part)
    other = te.load_prior(str(tmp_path))
    assert other.recommended == {} and other.dtype == torch.float32
    for net in ("vae", "unet", "text_encoder", "clip"):
        a, b = getattr(prior, net).state_dict(), getattr(other, net).state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert (other.image_mean, other.image_std) == (prior.image_mean, prior.image_std)
    assert dict(other.scheduler.config) == dict(prior.scheduler.config)


def test_loading_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        te.load_prior()


def test_the_recommended_settings_are_settings_of_treg(prior):
    assert prior.recommended["a solver that nothing is recommended for"] == {}  # asked for first: it leaves no entry
    assert prior.recommended == json.loads((FOLDER / "recommended.json").read_text(encoding="utf-8"))
    assert {"steps", "guidance_scale"} <= prior.recommended["treg"].keys()
    inspect.signature(te.treg).bind(prior, None, None, "fox", **prior.recommended["treg"])


def test_the_bundled_prior_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("TREG_EDU_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="^name: got None, and no bundled prior at .*prior"):
        te.load_prior()


@pytest.mark.parametrize("name", ["no-such/model-of-treg-edu", "data/priro", "/nowhere/at/all", "no model"])
def test_an_unknown_name_offline(name, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=f"^name: got '{name}', which is no folder here .*expected None for the bundled prior"):
        te.load_prior(name)


# What ships


def test_the_folder_is_plain_diffusers_and_small():
    index = json.loads((FOLDER / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    parts = {name: kind for name, kind in index.items() if isinstance(kind, list) and kind[0]}
    assert parts == {
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".png"}
    assert sum(path.stat().st_size for path in files) <= 60e6
    assert max(path.stat().st_size for path in files) < 16e6


# Parts that do not fit


def parts(prior, **others):
    names = ("vae", "unet", "tokenizer", "text_encoder", "scheduler", "clip", "image_mean", "image_std")
    return {name: getattr(prior, name) for name in names} | others


def test_a_schedule_that_ends_in_pure_noise_is_refused(prior):
    from diffusers import DDIMScheduler

    zero = DDIMScheduler.from_config(prior.scheduler.config, rescale_betas_zero_snr=True)
    with pytest.raises(ValueError, match="^scheduler: .*rescale_betas_zero_snr"):
        te.LatentDiffusion(**parts(prior, scheduler=zero))


def test_parts_of_other_models_are_refused(prior):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    small = dict(
        sample_size=8, block_out_channels=(32,), down_block_types=("CrossAttnDownBlock2D",), mid_block_type=None, layers_per_block=1
    )
    small |= dict(up_block_types=("CrossAttnUpBlock2D",), attention_head_dim=4, norm_num_groups=8)
    inpainting = UNet2DConditionModel(**small, in_channels=9, cross_attention_dim=192)
    wide = UNet2DConditionModel(**small, in_channels=4, cross_attention_dim=64)
    text_alone = CLIPTextModel(prior.text_encoder.config)
    for name, part, message in (("unet", inpainting, "9 channels"), ("unet", wide, "width 64"), ("clip", text_alone, "CLIPTextModel")):
        with pytest.raises(ValueError, match=f"^{name}: .*{message}"):
            te.LatentDiffusion(**parts(prior, **{name: part}))


def test_openais_clip_is_taken_as_well(prior, tmp_path):
    """A CLIPModel with a ViT, as Stable Diffusion's is, from a folder."""
    from transformers import CLIPConfig, CLIPModel

    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8)
    config = CLIPConfig(text_config=prior.clip.config.text_config.to_dict(), vision_config=vision, projection_dim=192)
    CLIPModel(config).save_pretrained(tmp_path)
    preprocessing = {"image_mean": [0.4] * 3, "image_std": [0.3] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    other = te.load_prior(clip=tmp_path)
    assert type(other.clip) is CLIPModel and other.image_mean == [0.4] * 3
    x, tokens = rand(2, 3, 32, 32), prior.tokenizer(["fox", "pie"], padding=True, return_tensors="pt").input_ids
    whole = other.clip(input_ids=tokens, pixel_values=(x - 0.4) / 0.3)
    torch.testing.assert_close(F.normalize(other.embed_images(x), dim=-1), whole.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(F.normalize(other.embed_labels(["fox", "pie"]), dim=-1), whole.text_embeds, rtol=1e-4, atol=1e-5)
    assert other.embed_images(rand(2, 3, 64, 64)).shape == (2, 192)


def test_a_clip_that_is_not_there(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for clip in (str(FOLDER / "text_encoder"), "no-such/clip"):
        with pytest.raises(FileNotFoundError, match=f"^clip: got '{clip}'"):
            te.load_prior(clip=clip)


# Devices


def assert_on(device, *tensors):
    assert {tensor.device.type for tensor in tensors} == {torch.device(device).type}


@pytest.fixture(scope="module")
def elsewhere(prior):
    """The prior on torch's "meta" device, which holds shapes only: whatever is left on the CPU fails to meet the rest."""
    other = copy.copy(prior)
    for net in ("vae", "unet", "text_encoder", "clip"):
        setattr(other, net, copy.deepcopy(getattr(prior, net)).to("meta"))
    return other


def test_everything_follows_the_prior(elsewhere):
    assert elsewhere.device.type == "meta"
    x, c = rand(2, 3, 64, 64), elsewhere.embed_text(["fox", "pizza"])  # x comes from the CPU
    z = elsewhere.encode(x)
    assert_on("meta", c, z, elsewhere.decode(z), elsewhere.predict_noise(z, 5, c), elsewhere.alpha_bar(5), elsewhere.alpha_bar(-1))
    assert_on("meta", elsewhere.decode(rand(2, 4, 16, 16)), elsewhere.predict_noise(rand(2, 4, 16, 16), 5, rand(*c.shape)))
    feature = elsewhere.embed_images(rand(2, 3, 96, 96))
    assert_on("meta", feature, elsewhere.embed_labels(["fox"]), elsewhere.to_hidden_space(feature))


def test_sampling_and_inversion_follow_the_prior(elsewhere):
    for step in te.diffusion.sample(elsewhere, ["fox", "pizza"], steps=2):
        assert_on("meta", step.z_t, step.z0, step.z_next, step.null_embedding)
    assert_on("meta", step.x_hat)
    for step in te.diffusion.invert(elsewhere, rand(2, 4, 16, 16), "fox", steps=2):
        assert_on("meta", step.z_t, step.z0, step.z_next, step.null_embedding)


@pytest.mark.parametrize("negation", ["hidden", "projected"])
def test_treg_follows_the_prior(elsewhere, monkeypatch, negation):
    """With what looks at values replaced: shapes have none."""
    monkeypatch.setattr(te.consistency, "conjugate_gradient", lambda matvec, b, x, iterations: matvec(x) + b)
    monkeypatch.setattr(te.checks, "images", lambda name, x: x)
    for step in te.treg(elsewhere, SuperResolution(16), rand(2, 3, 4, 4), "fox", steps=2, negation=negation):
        assert_on("meta", step.z_t, step.z0, step.z_next, step.null_embedding, step.x_hat, step.misfit)


def test_a_measurement_left_elsewhere_is_brought_to_the_image(monkeypatch):
    monkeypatch.setattr(te.checks, "images", lambda name, x: x)  # it looks at values
    operator, x = SuperResolution(16), rand(1, 3, 64, 64).to("meta")
    assert_on("meta", te.metrics.y_mse(operator, x, rand(1, 3, 4, 4)))
    fourier = te.operators.FourierMagnitude()
    assert_on("meta", te.phase_retrieval.misfit(fourier, x, fourier.A(rand(1, 3, 64, 64))))


def test_lower_precision_meets_what_is_float32(prior):
    half = copy.copy(prior)
    for net in ("vae", "unet"):
        setattr(half, net, copy.deepcopy(getattr(prior, net)).to(torch.bfloat16))
    z, c = rand(1, 4, 16, 16), prior.embed_text("fox")
    assert half.decode(z).dtype == half.predict_noise(z, 5, c).dtype == torch.bfloat16


@pytest.mark.parametrize("device", DEVICES[1:])
def test_an_accelerator_gives_the_picture_of_the_cpu(prior, device):
    other = te.load_prior(device=device)
    operator = SuperResolution(16)
    y = operator.measure(rand(1, 3, 64, 64), sigma=0.005, generator=torch.Generator().manual_seed(0))
    here = te.solve(te.treg, prior, operator, y, "fox", steps=3, progress=False)
    there = te.solve(te.treg, other, operator, y, "fox", steps=3, progress=False)
    assert_on(device, there)
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=2e-2)


def test_every_count_of_steps_ends_at_the_clean_latent_once(prior):
    for steps in range(1, 1001):
        walked = prior.timesteps(steps)
        assert len(walked) == steps and [prev for _, prev in walked].count(-1) == 1 and walked[-1][1] == -1
