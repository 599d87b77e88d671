"""What public checkpoints of Stable Diffusion bring: samplers, variants, safety checkers, other text towers, sizes, long texts.

The networks are untrained and narrow, their files are those of a whole checkpoint.  The configurations of schedulers are written after
those of the models that name them.
"""

import copy
import json
import shutil
import warnings

import diffusers
import pytest
import stable_diffusion as sd
import torch
from transformers import CLIPConfig, CLIPModel

import treg_edu as te
from treg_edu.priors.model_files import chosen_variant, variant_of

OLD = dict(beta_end=0.012, beta_schedule="scaled_linear", beta_start=0.00085, num_train_timesteps=1000, trained_betas=None)
STEPPED = OLD | dict(set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, clip_sample=False)
NOISE, THRESHOLD = dict(prediction_type="epsilon"), dict(sample_max_value=1.0, thresholding=False, dynamic_thresholding_ratio=0.995)
SCHEDULERS = {
    "stable-diffusion-v1-1, before offsets": OLD
    | dict(_class_name="PNDMScheduler", _diffusers_version="0.2.2", skip_prk_steps=True),
    "stable-diffusion-v1-5": STEPPED
    | dict(_class_name="PNDMScheduler", _diffusers_version="0.6.0"),
    "stable-diffusion-2-1-base": STEPPED | NOISE
    | dict(_class_name="PNDMScheduler", _diffusers_version="0.10.0.dev0"),
    "stable-diffusion-2-1": STEPPED
    | dict(_class_name="DDIMScheduler", _diffusers_version="0.8.0", prediction_type="v_prediction"),
    "sd-turbo": STEPPED | NOISE
    | dict(_class_name="EulerDiscreteScheduler", _diffusers_version="0.24.0.dev0", interpolation_type="linear", sample_max_value=1.0,
           timestep_spacing="trailing", use_karras_sigmas=False),
    "DPM-Solver": STEPPED | NOISE | THRESHOLD
    | dict(_class_name="DPMSolverMultistepScheduler", _diffusers_version="0.14.0", algorithm_type="dpmsolver++", lower_order_final=True,
           solver_order=2, solver_type="midpoint"),
    "LCM_Dreamshaper_v7": OLD | NOISE | THRESHOLD
    | dict(_class_name="LCMScheduler", _diffusers_version="0.22.0.dev0", clip_sample=False, clip_sample_range=1.0,
           original_inference_steps=50, rescale_betas_zero_snr=False, set_alpha_to_one=True, steps_offset=0, timestep_scaling=10.0,
           timestep_spacing="leading"),
}  # fmt: skip
OTHERS = {
    "stable-diffusion-3": dict(_class_name="FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=3.0),
    "playground-v2.5": dict(_class_name="EDMDPMSolverMultistepScheduler", sigma_max=80.0, sigma_min=0.002, sigma_data=0.5),
}


@pytest.fixture(scope="module")
def parts(prior):
    return sd.networks(prior.tokenizer)


@pytest.fixture(scope="module")
def checkpoint(parts, tmp_path_factory):
    """A folder as Stable Diffusion 1.5's: no CLIP, but a safety checker that model_index.json names; and the CLIP's, beside it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    sd.of_diffusers(parts).save_pretrained(folder)
    index = te.files.read_json(folder / "model_index.json")
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "requires_safety_checker": True}
    index |= {"feature_extractor": ["transformers", "CLIPImageProcessor"], "_diffusers_version": "0.6.0"}
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    clip = folder.parent / "clip"
    parts["clip"].save_pretrained(clip)
    preprocessing = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (clip / "preprocessor_config.json").write_text(json.dumps(preprocessing), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def clip(checkpoint):
    return checkpoint.parent / "clip"


def with_parts(checkpoint, folder, **files):
    """The checkpoint again in a folder, by links, but for the parts that are given: {part: {file: text}}, an empty one is left out."""
    for part in checkpoint.iterdir():
        if part.name not in files:
            (folder / part.name).symlink_to(part)
    for part, texts in files.items():
        (folder / part).mkdir()
        for name, text in texts.items():
            (folder / part / name).write_text(text, encoding="utf-8")
    return folder


def sampled(prior, steps=3):
    for step in te.diffusion.sample(prior, ["fox", "pie"], steps, 3.0, [3, 4]):
        pass
    return step.x_hat


# Samplers


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_samplers_levels_are_read(parts, checkpoint, clip, tmp_path, name):
    """ᾱ and what is predicted are those of the class that the file names; the picture is that of diffusers with DDIM on that file."""
    config = SCHEDULERS[name]
    folder = with_parts(checkpoint, tmp_path, scheduler={"scheduler_config.json": json.dumps(config)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior = te.load_prior(folder, clip=clip)
    theirs = getattr(diffusers, config["_class_name"]).from_pretrained(folder, subfolder="scheduler")
    torch.testing.assert_close(prior.scheduler.alphas_cumprod, theirs.alphas_cumprod)
    assert prior.scheduler.config.prediction_type == config.get("prediction_type", "epsilon")
    assert prior.alpha_bar(-1) == (1 if config.get("set_alpha_to_one", True) else theirs.alphas_cumprod[0])
    if config["_class_name"] != "LCMScheduler":  # whose sampler draws noise
        pipe = sd.of_diffusers(parts, diffusers.DDIMScheduler.from_config(config))
        generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
        expected = pipe(["fox", "pie"], num_inference_steps=4, guidance_scale=3.0, generator=generators, output_type="pt").images
        torch.testing.assert_close(sampled(prior, 4), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_pipelines_sampler_is_read_as_its_file(parts, name):
    config = SCHEDULERS[name]
    theirs = getattr(diffusers, config["_class_name"]).from_config(config)
    ours = sd.pipeline_of(parts, theirs).prior
    from_file = te.priors.scheduler_of(config)
    assert type(ours.scheduler) is type(from_file)
    torch.testing.assert_close(ours.scheduler.alphas_cumprod, from_file.alphas_cumprod)
    steps = 4
    assert ours.timesteps(steps) == sd.prior_of(parts, from_file).timesteps(steps)
    assert ours.scheduler.config.prediction_type == config.get("prediction_type", "epsilon")


def test_1000_steps_are_all_timesteps_whatever_the_offset(parts):
    """Which ldps, psld and dps have by default; diffusers' own levels would begin at 1000, one past the last."""
    prior = sd.prior_of(parts)
    assert prior.scheduler.config.steps_offset == 1 and prior.timesteps(999)[0] == (999, 998) and prior.timesteps(999)[-1] == (1, -1)
    assert [t for t, _ in prior.timesteps(1000)] == list(range(999, -1, -1))
    for solver in ("ldps", "psld"):
        te.SOLVERS[solver](prior, te.operators.SuperResolution(16), torch.full((1, 3, 4, 4), 0.5), "fox")  # checks everything


def test_an_lcm_keeps_the_timesteps_that_it_was_distilled_at(parts):
    theirs = diffusers.LCMScheduler.from_config(SCHEDULERS["LCM_Dreamshaper_v7"])
    prior = sd.prior_of(parts, theirs)
    for steps in (1, 2, 4, 8, 50):
        theirs.set_timesteps(steps)
        assert [t for t, _ in prior.timesteps(steps)] == theirs.timesteps.tolist()
    assert prior.timesteps(4) == [(999, 759), (759, 499), (499, 259), (259, -1)]
    with pytest.raises(te.checks.ArgumentError, match="^steps: got 51, expected an integer from 1 to 50"):
        prior.timesteps(51)


@pytest.mark.parametrize("name", OTHERS)
def test_a_sampler_without_such_levels_is_refused(parts, checkpoint, clip, tmp_path, name):
    told = f"scheduler: got {OTHERS[name]['_class_name']}, which tells nothing of ᾱ, expected"
    folder = with_parts(checkpoint, tmp_path, scheduler={"scheduler_config.json": json.dumps(OTHERS[name])})
    with pytest.raises(te.checks.ArgumentError, match=told):
        te.load_prior(folder, clip=clip)
    theirs = getattr(diffusers, OTHERS[name]["_class_name"]).from_config(OTHERS[name])
    with pytest.raises(te.checks.ArgumentError, match=f"^{told}"):
        sd.pipeline_of(parts, theirs).prior  # noqa: B018


# Files


def test_a_safety_checker_is_not_loaded(checkpoint, clip, caplog):
    """Its folder is not even there; and nothing is said of it."""
    assert te.load_prior(checkpoint, clip=clip).vae is not None
    pipe = te.TRegPipeline.from_pretrained(checkpoint, clip=str(clip))
    assert "safety_checker" not in pipe.components and "feature_extractor" not in pipe.components
    assert "safety_checker" not in caplog.text and "feature_extractor" not in caplog.text


def test_a_folder_of_one_variant_is_read(parts, checkpoint, clip, tmp_path):
    half = sd.of_diffusers({name: copy.deepcopy(part) for name, part in parts.items()}).to(torch.float16)
    half.save_pretrained(tmp_path / "fp16", variant="fp16")
    assert (
        not list((tmp_path / "fp16").glob("*/*model.safetensors"))
        and (tmp_path / "fp16" / "unet" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    )
    prior = te.load_prior(tmp_path / "fp16", clip=clip)
    assert prior.dtype == torch.float32
    torch.testing.assert_close(prior.unet.conv_in.weight, parts["unet"].conv_in.weight.half().float())
    torch.testing.assert_close(sampled(te.load_prior(tmp_path / "fp16", clip=clip, variant="fp16")), sampled(prior))
    for settings in ({}, {"variant": "fp16"}):
        pipe = te.TRegPipeline.from_pretrained(tmp_path / "fp16", clip=str(clip), **settings)
        torch.testing.assert_close(pipe.unet.conv_in.weight, prior.unet.conv_in.weight)
    # Where both are there, the plain one is read, unless the other is asked for
    for part in ("unet", "vae", "text_encoder"):
        for file in (checkpoint / part).glob("*.safetensors"):
            (tmp_path / "fp16" / part / file.name).symlink_to(file)
    both = te.load_prior(tmp_path / "fp16", clip=clip)
    torch.testing.assert_close(both.unet.conv_in.weight, parts["unet"].conv_in.weight, rtol=0, atol=0)
    asked = te.load_prior(tmp_path / "fp16", clip=clip, variant="fp16")
    torch.testing.assert_close(asked.unet.conv_in.weight, prior.unet.conv_in.weight, rtol=0, atol=0)


@pytest.mark.parametrize(
    "name, variant",
    [
        ("model.safetensors", None),
        ("diffusion_pytorch_model.fp16.safetensors", "fp16"),
        ("model.fp16-00001-of-00002.safetensors", "fp16"),
        ("model-00001-of-00002.safetensors", None),
        ("model.safetensors.index.fp16.json", "fp16"),
        ("diffusion_pytorch_model.safetensors.index.json", None),
        ("model.non_ema.safetensors", "non_ema"),
    ],
)
def test_variants_are_told_by_their_names(name, variant, tmp_path):
    assert variant_of(name) == variant
    (tmp_path / name).touch()
    assert chosen_variant(tmp_path) == variant and chosen_variant(tmp_path / "not here", "fp16") == "fp16"


def test_weights_that_are_pickles_alone_are_refused(checkpoint, clip, tmp_path):
    config = (checkpoint / "vae" / "config.json").read_text(encoding="utf-8")
    folder = with_parts(checkpoint, tmp_path, vae={"config.json": config, "diffusion_pytorch_model.bin": ""})
    for load, name in ((te.load_prior, "name"), (te.TRegPipeline.from_pretrained, "pretrained_model_name_or_path")):
        with pytest.raises(te.checks.ArgumentError, match=f"^{name}: got '.*vae' without a .safetensors file, .*pickles can run code"):
            load(folder, clip=str(clip))


def test_shards_are_read(parts, checkpoint, clip, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "sharded")
    shutil.rmtree(tmp_path / "sharded" / "unet")
    parts["unet"].save_pretrained(tmp_path / "sharded" / "unet", max_shard_size="200KB", variant="fp16")
    assert len(list((tmp_path / "sharded" / "unet").glob("*.safetensors"))) > 1
    prior = te.load_prior(tmp_path / "sharded", clip=clip)
    assert all(torch.equal(one, other) for one, other in zip(prior.unet.parameters(), parts["unet"].parameters()))


# Texts


def test_77_tokens_and_what_is_longer_is_cut_with_a_warning(parts):
    pipe = sd.pipeline_of(parts)
    (_, *word, _) = pipe.tokenizer("fox").input_ids
    assert len(word) == 1 and pipe.tokenizer.model_max_length == 77
    operator, full = te.operators.SuperResolution(16), " ".join(["fox"] * 75)
    y = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def run(prompt):
        return pipe(y, operator, prompt, num_inference_steps=1, output_type="pt", generator=torch.Generator().manual_seed(0)).images

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = run(full)
    with pytest.warns(UserWarning, match="^prompt: 79 tokens, the prior takes 77; cut from .*: 'purple.*pie"):
        found = run(full + " purple pie")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert pipe.prior.embed_text(full).shape == (1, 77, 16)


# Another text tower, as that of Stable Diffusion 2.1-base: 1024 numbers wide, where CLIP ViT-L/14 has 768


@pytest.fixture(scope="module")
def wider(prior):
    narrow = copy.deepcopy(sd.NARROW)
    narrow["unet"]["cross_attention_dim"] = narrow["text"]["hidden_size"] = narrow["projection"] = 24
    return sd.networks(prior.tokenizer, narrow)


@pytest.mark.parametrize("negation", ["hidden", "projected"])
def test_negation_needs_the_clip_whose_text_tower_it_is(parts, wider, negation):
    operator, y = te.operators.SuperResolution(16), torch.full((1, 3, 4, 4), 0.5)
    pipe = sd.pipeline_of(wider | {"clip": parts["clip"]})
    told = (
        f"^negation: got '{negation}', which compares features of width 16, expected the width of the text states, 24: load the prior with"
    )
    with pytest.raises(te.checks.ArgumentError, match=told):
        pipe(y, operator, "fox", negation=negation)
    few = dict(num_inference_steps=2, output_type="pt")
    assert pipe(y, operator, "fox", negation=None, **few).images.isfinite().all()
    assert sd.pipeline_of(wider)(y, operator, "fox", negation=negation, **few).images.isfinite().all()


def test_a_clip_of_other_widths_is_its_own_matter(wider):
    """CLIP ViT-H/14 has towers of 1280 and 1024, and projects to 1024."""
    config = wider["clip"].config
    odd = CLIPModel(CLIPConfig(text_config=config.text_config.to_dict(), vision_config=config.vision_config.to_dict(), projection_dim=20))
    operator, y = te.operators.SuperResolution(16), torch.full((1, 3, 4, 4), 0.5)
    pipe = sd.pipeline_of(wider | {"clip": odd.eval()})
    with pytest.raises(te.checks.ArgumentError, match="^negation: got 'hidden', which compares features of width 20, .*, 24"):
        pipe(y, operator, "fox", negation="hidden")
    assert pipe(y, operator, "fox", negation="projected", num_inference_steps=1, output_type="pt").images.isfinite().all()


# Sizes


@pytest.mark.parametrize("size", [(64, 96), (72, 40), (8, 24)])
def test_sides_are_multiples_of_8_and_need_not_be_alike(parts, size):
    operator = te.operators.SuperResolution(8)
    y = torch.rand(1, 3, size[0] // 8, size[1] // 8, generator=torch.Generator().manual_seed(0))
    pipe = sd.pipeline_of(parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the smallest size
        found = pipe(y, operator, "fox", num_inference_steps=2, generator=torch.Generator().manual_seed(0))
    assert found.images[0].size == size[::-1]


@pytest.mark.parametrize("solver", ["treg", "ldps"])
def test_other_sides_are_refused(parts, solver):
    operator = te.operators.SuperResolution(4)
    with pytest.raises(te.checks.ArgumentError, match="^size: got 68×64, expected multiples of 8"):
        sd.pipeline_of(parts)(torch.zeros(1, 3, 17, 16), operator, "fox", solver=solver)


def test_a_text_to_image_of_a_wide_size_is_the_pipelines(parts):
    prior, pipe = sd.prior_of(parts), sd.of_diffusers(parts, te.priors.scheduler_of(sd.PNDM))
    generator = torch.Generator().manual_seed(3)
    expected = pipe("fox", height=40, width=72, num_inference_steps=3, guidance_scale=3.0, generator=generator, output_type="pt").images
    for step in te.diffusion.sample(prior, "fox", 3, 3.0, 3, size=(40, 72)):
        pass
    torch.testing.assert_close(step.x_hat, expected, rtol=0, atol=1e-4)
