"""Text-to-image equals diffusers' pipeline for every configuration that it takes, on small random networks; where not, that is told.

The networks are 2 layers or fewer each; the bundled prior is compared in test_diffusion.py.
"""

import copy
import json
import warnings

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, ViTConfig

import treg_edu as te
from treg_edu import diffusion
from treg_edu.files import data_folder
from treg_edu.priors.base import resized

FOLDER = data_folder() / "prior"
SCHEDULE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
ATOL = 1e-4


@pytest.fixture(scope="module")
def parts(prior):
    """Untrained networks: 2 pixels a side of a latent, 8×4 latents; deterministic, whatever was drawn before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=32)
        text |= dict(vocab_size=6000, bos_token_id=0, eos_token_id=1, pad_token_id=1)
        vision = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8)
        vae = AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1, norm_num_groups=4, latent_channels=4, scaling_factor=0.7, sample_size=[16, 8],
        )  # fmt: skip
        unet = UNet2DConditionModel(
            sample_size=[8, 4], block_out_channels=(8, 16), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, norm_num_groups=4, attention_head_dim=4,
            cross_attention_dim=16,
        )  # fmt: skip
        return dict(
            vae=vae,
            unet=unet,
            tokenizer=prior.tokenizer,
            text_encoder=CLIPTextModel(CLIPTextConfig(**text)).eval(),
            clip=CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval(),
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        )


def both(parts, scheduler=None, **config):
    """(our prior, diffusers' pipeline) of the same networks and schedule."""
    scheduler = scheduler or DDIMScheduler(**SCHEDULE | config)
    prior = te.LatentDiffusion(**parts, scheduler=copy.deepcopy(scheduler))
    modules = {name: parts[name] for name in ("vae", "unet", "tokenizer", "text_encoder")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what it corrects
        pipeline = StableDiffusionPipeline(
            **modules, scheduler=copy.deepcopy(scheduler), safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.set_progress_bar_config(disable=True)
    return prior, pipeline


def pictures(prior, pipeline, steps=4, guidance_scale=3.0, size=None):
    """(ours, the pipeline's) of two prompts and seeds."""
    height, width = size or (None, None)
    theirs = pipeline(
        ["fox", "slice of pizza"],
        negative_prompt=["", "blue"],
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        generator=[torch.Generator().manual_seed(seed) for seed in (3, 4)],
        height=height,
        width=width,
        output_type="pt",
    ).images
    for step in diffusion.sample(prior, ["fox", "slice of pizza"], steps, guidance_scale, [3, 4], ["", "blue"], size):
        pass
    return step.x_hat, theirs


def apart(prior, pipeline, **settings):
    ours, theirs = pictures(prior, pipeline, **settings)
    assert ours.shape == theirs.shape and ours.std() > 0.02  # something to compare
    return (ours - theirs).abs().max().item()


@pytest.mark.parametrize("prediction_type, set_alpha_to_one", [("epsilon", True), ("epsilon", False), ("v_prediction", False)])
@pytest.mark.parametrize(
    "spacing, steps", [("leading", 1), ("leading", 4), ("leading", 7), ("leading", 30), ("trailing", 1), ("trailing", 4), ("trailing", 25)]
)
def test_every_schedule_gives_the_pipelines_picture(parts, prediction_type, set_alpha_to_one, spacing, steps):
    config = dict(prediction_type=prediction_type, set_alpha_to_one=set_alpha_to_one, timestep_spacing=spacing)
    assert apart(*both(parts, **config), steps=steps) < ATOL


@pytest.mark.parametrize(
    "config",
    [
        dict(steps_offset=0),
        dict(steps_offset=2),
        dict(clip_sample=True),
        dict(clip_sample=True, clip_sample_range=0.1, steps_offset=0, timestep_spacing="trailing"),
        dict(beta_schedule="linear", num_train_timesteps=500),
        dict(beta_schedule="squaredcos_cap_v2", beta_start=0.001),
    ],
    ids=str,
)
def test_what_the_pipeline_corrects_is_corrected(parts, config):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        prior, pipeline = both(parts, **config)
    assert apart(prior, pipeline, steps=5) < ATOL
    assert prior.timesteps(5)[0][0] == pipeline.scheduler.timesteps[0]


def test_thresholding_is_warned_of(parts):
    with pytest.warns(UserWarning, match="^scheduler: its thresholding would clip"):
        prior, pipeline = both(parts, thresholding=True, sample_max_value=1.0)
    assert apart(prior, pipeline) > 100 * ATOL  # it is not equal, as the warning says
    assert apart(prior, both(parts)[1]) < ATOL  # but to the picture without it


@pytest.mark.parametrize("spacing, steps", [("linspace", 4), ("trailing", 30), ("trailing", 7)])
def test_where_the_pipelines_levels_do_not_join_ours_do(parts, spacing, steps):
    prior, pipeline = both(parts, timestep_spacing=spacing)
    assert apart(prior, pipeline, steps=steps) > ATOL
    levels = prior.timesteps(steps)
    assert [t for t, _ in levels[1:]] == [t for _, t in levels[:-1]] and levels[-1][1] == -1


@pytest.mark.parametrize("guidance_scale", [1.0, 1.5, 12.0])
def test_every_guidance_of_at_least_1_is_the_pipelines(parts, guidance_scale):
    assert apart(*both(parts), guidance_scale=guidance_scale) < ATOL


@pytest.mark.parametrize("guidance_scale", [0.0, 0.5])
def test_less_guidance_is_between_the_texts_where_the_pipeline_takes_1(parts, guidance_scale):
    prior, pipeline = both(parts)
    _, theirs = pictures(prior, pipeline, guidance_scale=guidance_scale)
    _, of_one = pictures(prior, pipeline, guidance_scale=1.0)
    assert torch.equal(theirs, of_one)
    for step in diffusion.sample(prior, "fox", 1, guidance_scale, 3, "blue"):
        pass
    words, null = (prior.predict_noise(step.z_t, step.t, prior.embed_text(text)) for text in ("fox", "blue"))
    between = diffusion.tweedie(step.z_t, null + guidance_scale * (words - null), prior.alpha_bar(step.t))
    torch.testing.assert_close(step.z0, between, rtol=1e-4, atol=1e-5)
    assert (words - null).abs().max() > 1e-3


# Sides that are a number or a pair


@pytest.mark.parametrize("sample_size", [8, [8, 4], (4, 8)])
@pytest.mark.parametrize("size", [None, (8, 16)])
def test_a_sample_size_is_a_side_or_a_pair(parts, sample_size, size):
    unet = copy.deepcopy(parts["unet"])
    unet.register_to_config(sample_size=sample_size)
    prior, pipeline = both(parts | {"unet": unet})
    assert apart(prior, pipeline, size=size) < ATOL
    h, w = (sample_size, sample_size) if isinstance(sample_size, int) else sample_size
    assert prior.size == (2 * h, 2 * w) and prior.latent_shape() == (4, h, w)


@pytest.mark.parametrize("version, sides", [("0.2.2", 64), ("0.8.1", 64), ("0.9.0", 32), ("0.42.1", 32), ("1.0.0.dev0", 32), (None, 32)])
def test_the_small_size_of_old_files_is_64_as_in_the_pipeline(parts, version, sides, tmp_path):
    unet = copy.deepcopy(parts["unet"])
    unet.register_to_config(sample_size=32, _diffusers_version=version or "0.42.1")
    prior, _ = both(parts | {"unet": unet})
    assert prior.size == (2 * sides, 2 * sides)
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
    told = {"sample_size": 32} | ({"_diffusers_version": version} if version else {})
    (tmp_path / "unet" / "config.json").write_text(json.dumps(told), encoding="utf-8")
    (tmp_path / "vae" / "config.json").write_text(json.dumps({"block_out_channels": [8, 8]}), encoding="utf-8")
    assert te.priors.training_size(tmp_path) == (2 * sides, 2 * sides)
    (tmp_path / "unet" / "config.json").write_text(json.dumps(told | {"sample_size": [32, 16]}), encoding="utf-8")
    assert te.priors.training_size(tmp_path) == (64, 32)  # a pair is meant


def test_a_prior_of_wide_pictures_is_solved_for(parts):
    """From its folder, with pairs in the files of U-Net, autoencoder and image tower."""
    prior, _ = both(parts)
    operator = te.operators.SuperResolution(4)
    y = operator.A(torch.rand(2, 3, 16, 8, generator=torch.Generator().manual_seed(0)))
    x_hat = te.solve("treg", prior, operator, y, "fox", steps=3, every=1, progress=False)
    assert x_hat.shape == (2, 3, 16, 8) and x_hat.isfinite().all()


def test_an_image_tower_may_see_pictures_that_are_not_square(parts):
    from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    vision = ViTConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=[24, 16], patch_size=8)
    config = VisionTextDualEncoderConfig(
        vision_config=vision.to_dict(), text_config=parts["clip"].config.text_config.to_dict(), projection_dim=16
    )
    clip = VisionTextDualEncoderModel(config).eval()
    prior, _ = both(parts | {"clip": clip})
    x = torch.rand(2, 3, 16, 8, generator=torch.Generator().manual_seed(0))
    expected = clip.get_image_features(pixel_values=2 * resized(x, (24, 16)) - 1)
    expected = expected if isinstance(expected, torch.Tensor) else expected.pooler_output
    torch.testing.assert_close(prior.embed_images(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [8, (8, 8), [8, 8]])
def test_resizing_takes_a_side_or_a_pair(size):
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resized(x, size), resized(x, 8)) and resized(x, (4, 8)).shape == (1, 3, 4, 8)


def test_a_network_that_takes_the_guidance_as_an_input_is_refused(parts):
    unet = copy.deepcopy(parts["unet"])
    unet.register_to_config(time_cond_proj_dim=8)
    with pytest.raises(te.checks.ArgumentError, match="^unet: got one that takes ω as an input"):
        both(parts | {"unet": unet})


def test_latents_that_are_shifted_are_refused(parts):
    vae = copy.deepcopy(parts["vae"])
    vae.register_to_config(shift_factor=0.1)
    with pytest.raises(te.checks.ArgumentError, match="^vae: got one with shift_factor 0.1"):
        both(parts | {"vae": vae})
