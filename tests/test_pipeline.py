"""treg_edu.pipeline: the same pictures as the functions', under diffusers' names, in its files, and with its ways to save memory."""

import copy
from pathlib import Path

import numpy as np
import pytest
import stable_diffusion as sd
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline
from PIL import Image

import treg_edu as te
from treg_edu.pipeline import TRegPipeline, TRegPipelineOutput

ROOT = Path(__file__).parents[1]
SHORT = {
    "treg": dict(every=1, until=0.5, iterations=2),  # an untrained encoder's latents are nearly constant, the last ones are to be no such
    "flowdps": dict(),
    "latent_daps": dict(sigma=0.05, ode_steps=1, chain_steps=2),
    "latino": dict(sigma=0.05, inner_steps=1),
    "ldps": dict(),
    "mpgd": dict(),
    "null_text": dict(iterations=1),
    "p2l": dict(),
    "psld": dict(),
    "resample": dict(sigma=0.05, every=1, pixel_iterations=2, latent_iterations=2),
}


@pytest.fixture(scope="module")
def parts(prior):
    return sd.networks(prior.tokenizer)


@pytest.fixture(scope="module")
def operator():
    return te.operators.SuperResolution(16)


@pytest.fixture(scope="module")
def y(operator):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return operator.measure(x, sigma=0.05, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def pipe(parts):
    return sd.pipeline_of(parts)


def seeds(*numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


def run(pipe, y, operator, prompt="fox", steps=2, **settings):
    """x̂ as a tensor."""
    settings = SHORT["treg"] | settings if settings.get("solver", "treg") == "treg" else settings
    return pipe(y, operator, prompt, num_inference_steps=steps, **dict(output_type="pt") | settings).images


def same(found, expected):
    """The same picture: two runs differ by rounding alone, two seeds by more than a hundredth."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


# The same pictures


@pytest.mark.parametrize("solver", SHORT)
def test_every_solver_of_latents_gives_the_functions_picture(parts, pipe, operator, y, solver):
    expected = te.solve(solver, sd.prior_of(parts), operator, y, ["fox", "pie"], steps=2, seed=[3, 7], progress=False, **SHORT[solver])
    found = pipe(
        y, operator, ["fox", "pie"], num_inference_steps=2, solver=solver, generator=seeds(3, 7), output_type="pt", **SHORT[solver]
    )
    same(found.images, expected)
    assert expected.std() > 0.01
    torch.testing.assert_close(found.misfit, te.operators.misfit(operator, expected, y))


def test_the_bundled_prior_gives_the_functions_picture(prior):
    pipe = TRegPipeline.from_pretrained(te.files.data_folder() / "prior")
    pipe.set_progress_bar_config(disable=True)
    operator = te.operators.GaussianBlur(2.0)
    y = operator.measure(te.images.example("fox"), 0.005, torch.Generator().manual_seed(0))
    expected = te.solve("treg", prior, operator, y, "fox", steps=3, guidance_scale=2.0, null_prompt="red", seed=5, progress=False)
    found = run(
        pipe, y, operator, steps=3, guidance_scale=2.0, negative_prompt="red", generator=seeds(5), every=3, until=0.85, iterations=5
    )
    same(found, expected)


@pytest.mark.slow
def test_the_real_widths_give_the_functions_picture(prior):
    """64×64 latents, 512×512 pixels, 1.5 billion weights: two and a half minutes of one core, and 7.8 GB of memory."""
    parts = sd.networks(prior.tokenizer, sd.REAL)
    assert {name: sum(weight.numel() for weight in part.parameters()) for name, part in parts.items() if name != "tokenizer"} == sd.WEIGHTS
    operator = te.operators.SuperResolution(16)
    y = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = run(sd.pipeline_of(parts), y, operator, steps=1, generator=seeds(3))
    expected = te.solve("treg", sd.prior_of(parts), operator, y, "fox", steps=1, seed=3, progress=False, **SHORT["treg"])
    same(found, expected)
    assert found.shape == (1, 3, 512, 512) and expected.std() > 0.01


def test_the_defaults_are_the_solvers(parts, pipe, operator, y):
    """Seen at the first step, which the null text, ω, λ and the iterations all go into."""
    first = {}

    def look(pipe, index, t, tensors):
        first.update(tensors, t=t)
        pipe._interrupt = True

    pipe(y, operator, "fox", generator=seeds(0, 1), callback_on_step_end=look)
    expected = next(te.treg(sd.prior_of(parts), operator, y, "fox"))
    same(first["latents"], expected.z_next)
    assert first["t"] == expected.t == 996  # of 200 steps


def test_a_sample_is_the_same_in_any_batch_and_images_of_a_prompt_stand_together(pipe, operator, y):
    many = run(pipe, y, operator, ["fox", "pie"], negative_prompt=["red", ""], num_images_per_prompt=2, generator=seeds(0, 1, 2, 3))
    assert many.shape == (4, 3, 64, 64)
    for index, (at, prompt, null) in enumerate([(0, "fox", "red"), (0, "fox", "red"), (1, "pie", ""), (1, "pie", "")]):
        alone = run(pipe, y[at : at + 1], operator, prompt, negative_prompt=null, generator=seeds(index))
        same(many[index : index + 1], alone)
    assert (many[0] - many[1]).abs().max() > 1e-3


def test_one_generator_serves_all_samples_and_none_is_torchs_own(pipe, operator, y):
    one = run(pipe, y, operator, generator=torch.Generator().manual_seed(4))
    same(one, run(pipe, y, operator, generator=torch.Generator().manual_seed(4)))
    with torch.random.fork_rng():
        runs = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            runs.append(run(pipe, y, operator))
    same(runs[0], runs[1])
    assert (runs[0] - runs[2]).abs().max() > 0.01


# What is returned


def test_outputs(pipe, operator, y):
    settings = SHORT["treg"] | dict(num_inference_steps=1)
    found = {kind: pipe(y, operator, "fox", generator=seeds(0, 1), output_type=kind, **settings) for kind in ("pt", "np", "pil")}
    assert all(isinstance(each, TRegPipelineOutput) and each.misfit.shape == (2,) for each in found.values())
    tensor = found["pt"].images
    np.testing.assert_allclose(found["np"].images, tensor.permute(0, 2, 3, 1).numpy())
    assert all(isinstance(image, Image.Image) and image.size == (64, 64) for image in found["pil"].images)
    np.testing.assert_allclose(np.asarray(found["pil"].images[1]) / 255, found["np"].images[1], atol=0.5 / 255 + 1e-6)
    images, off = pipe(y, operator, "fox", generator=seeds(0, 1), output_type="pt", return_dict=False, **settings)
    assert torch.equal(images, tensor) and torch.equal(off, found["pt"].misfit)


def test_the_bar_counts_the_steps(pipe, operator, y, capsys):
    pipe.set_progress_bar_config(disable=False)
    run(pipe, y, operator, steps=3, generator=seeds(0, 1))
    assert "3/3" in capsys.readouterr().err


# Callbacks


def test_a_callback_sees_every_step(parts, pipe, operator, y):
    seen = []

    def look(*arguments):
        seen.append(arguments)

    names = ["latents", "pred_original_sample", "prompt_embeds", "negative_prompt_embeds"]
    settings = SHORT["treg"] | dict(generator=seeds(0, 1), callback_on_step_end=look, callback_on_step_end_tensor_inputs=names)
    pipe(y, operator, "fox", num_inference_steps=3, **settings)
    expected = list(te.treg(sd.prior_of(parts), operator, y, "fox", steps=3, **SHORT["treg"]))
    assert [(index, t) for _, index, t, _ in seen] == [(step.index, step.t) for step in expected] and seen[0][0] is pipe
    for (_, _, _, tensors), step in zip(seen, expected):
        assert torch.equal(tensors["latents"], step.z_next) and torch.equal(tensors["pred_original_sample"], step.z0)
        assert torch.equal(tensors["negative_prompt_embeds"], step.null_embedding) and tensors["prompt_embeds"] is None


@pytest.mark.parametrize("solver", sorted(SHORT.keys() - {"null_text"}))
def test_a_callback_replaces_the_latents(pipe, operator, y, solver):
    def replace(pipe, index, t, tensors):
        return {"latents": torch.full_like(tensors["latents"], 0.3)} if index == 0 else {}

    settings = dict(solver=solver, steps=3, generator=seeds(0, 1)) | SHORT[solver]
    starts = []

    def watch(pipe, index, t, tensors):
        starts.append(tensors["latents"].clone())
        return replace(pipe, index, t, tensors)

    plain, replaced = (run(pipe, y, operator, callback_on_step_end=each, **settings) for each in (None, watch))
    assert (plain - replaced).abs().max() > 1e-3
    starts.clear()
    run(pipe, y, operator, callback_on_step_end=watch, **settings)
    assert len(starts) == 3 and not (starts[0] == 0.3).all()


def test_a_callback_ends_the_walk(parts, pipe, operator, y):
    def stop(pipe, index, t, tensors):
        pipe._interrupt = index == 1

    settings = dict(steps=4, every=4, generator=seeds(0, 1))
    found = run(pipe, y, operator, callback_on_step_end=stop, **settings)
    second = list(te.treg(sd.prior_of(parts), operator, y, "fox", steps=4, **SHORT["treg"] | {"every": 4}))[1]
    assert second.x_hat is None
    same(found, sd.prior_of(parts).decode(second.z0).clamp(0, 1))
    to_its_end = run(pipe, y, operator, **settings | {"generator": seeds(0, 1)})
    assert (found - to_its_end).abs().max() > 0.01


# What is refused


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(solver="tregg"), "solver: got 'tregg', expected one of 'daps'"),
        (dict(solver="dps"), "prior: got OffloadedDiffusion, expected a PixelDiffusion"),
        (dict(output_type="latent"), "output_type: got 'latent', expected one of 'pil'"),
        (dict(num_images_per_prompt=0), "num_images_per_prompt: got 0"),
        (dict(generator=seeds(0)), "generator: got a list of 1, expected one torch.Generator or a list of 2"),
        (dict(generator=3), "generator: got int, expected a torch.Generator"),
        (dict(seed=3), "seed: got 3, expected generator, as diffusers calls it"),
        (dict(null_prompt="red"), "null_prompt: got 'red', expected negative_prompt"),
        (dict(lamb=3), "lamb: got 3, expected one of the settings of treg: negative_prompt, num_inference_steps, guidance_scale, "),
        (dict(solver="tikhonov", guidance_scale=2.0), "guidance_scale: got 2.0, expected one of the settings of tikhonov"),
        (dict(callback_on_step_end_tensor_inputs=["image"]), "callback_on_step_end_tensor_inputs: got 'image', expected one of 'latents'"),
        (dict(callback_on_step_end=lambda *_: {"prompt_embeds": 1}), "callback_on_step_end: got a new 'prompt_embeds', expected 'latents'"),
        (dict(callback_on_step_end=lambda *_: {"latents": torch.zeros(2)}), "latents: got shape .*, expected that of those of the step"),
        (dict(prompt=["fox"]), "prompt: got .* for a batch of 2"),
    ],
)  # fmt: skip
def test_what_is_refused(pipe, operator, y, settings, message):
    with pytest.raises(te.checks.ArgumentError, match=f"^{message}"):
        run(pipe, y, operator, **settings)


def test_a_measurement_is_a_tensor(pipe, operator):
    with pytest.raises(te.checks.ArgumentError, match="^measurement: got str"):
        run(pipe, "y", operator)


def test_a_solver_that_uses_no_prior_runs_too(pipe, operator, y):
    expected = te.solve("tikhonov", None, operator, y, progress=False)
    same(pipe(y, operator, "", solver="tikhonov", output_type="pt").images, expected)


def test_without_a_clip_negation_is_refused_and_the_rest_runs(parts, operator, y):
    pipe = sd.pipeline_of(parts | {"clip": None})
    with pytest.raises(te.checks.ArgumentError, match="^negation: got 'hidden', expected None: this prior has no CLIP"):
        run(pipe, y, operator)
    found = run(pipe, y, operator, negation=None, generator=seeds(0, 1))
    same(found, run(sd.pipeline_of(parts), y, operator, negation=None, generator=seeds(0, 1)))
    for use in (lambda: pipe.prior.embed_images(found), lambda: pipe.prior.embed_labels("fox")):
        with pytest.raises(te.checks.ArgumentError, match="^clip: got None"):
            use()


# Files


@pytest.fixture(scope="module")
def saved(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    sd.pipeline_of(parts).save_pretrained(folder)
    return folder


def test_saved_and_back(parts, pipe, saved, operator, y):
    """By this class, by `DiffusionPipeline` with the one file, as a prior, and as a plain Stable Diffusion."""
    expected = run(pipe, y, operator, generator=seeds(0, 1))
    by_file = DiffusionPipeline.from_pretrained(saved, custom_pipeline=str(ROOT / "treg_edu" / "pipeline.py"), trust_remote_code=True)
    assert type(by_file) is not TRegPipeline and type(by_file).__name__ == "TRegPipeline"
    for other in (TRegPipeline.from_pretrained(saved), by_file):
        other.set_progress_bar_config(disable=True)
        same(run(other, y, operator, generator=seeds(0, 1)), expected)
        assert (other.config.image_mean, other.config.image_std) == ([0.5] * 3, [0.25] * 3)
    loaded = te.load_prior(saved)
    same(te.solve("treg", loaded, operator, y, "fox", steps=2, progress=False, **SHORT["treg"]), expected)
    plain = StableDiffusionPipeline.from_pretrained(saved, safety_checker=None)
    assert torch.equal(plain.unet.conv_in.weight, parts["unet"].conv_in.weight)


def test_the_one_file_takes_a_clip_by_its_folder(saved, tmp_path):
    for part in saved.iterdir():
        if part.name not in ("clip", "model_index.json"):
            (tmp_path / part.name).symlink_to(part)
    settings = te.files.read_json(saved / "model_index.json")
    for entry in ("clip", "image_mean", "image_std"):
        del settings[entry]
    (tmp_path / "model_index.json").write_text(te.files.json_text(settings | {"_class_name": "StableDiffusionPipeline"}), encoding="utf-8")
    file = dict(custom_pipeline=str(ROOT / "treg_edu" / "pipeline.py"), trust_remote_code=True)
    assert DiffusionPipeline.from_pretrained(tmp_path, **file).clip is None
    with_clip = DiffusionPipeline.from_pretrained(tmp_path, clip=str(saved / "clip"), **file)
    assert with_clip.clip.config.projection_dim == 16 and with_clip.config.image_std == [0.25] * 3


def test_precision_is_as_asked(saved):
    pipe = TRegPipeline.from_pretrained(saved, dtype=torch.bfloat16)
    assert {part.dtype for part in pipe.components.values() if isinstance(part, torch.nn.Module)} == {torch.bfloat16}


def test_from_another_pipeline_the_networks_are_the_same_objects(parts, operator, y):
    theirs = sd.of_diffusers(parts)
    pipe = TRegPipeline.from_pipe(theirs, clip=parts["clip"], image_mean=[0.5] * 3, image_std=[0.25] * 3)
    pipe.set_progress_bar_config(disable=True)
    assert all(getattr(pipe, name) is getattr(theirs, name) for name in ("vae", "unet", "text_encoder", "tokenizer", "scheduler"))
    same(run(pipe, y, operator, generator=seeds(0, 1)), run(sd.pipeline_of(parts), y, operator, generator=seeds(0, 1)))
    again = TRegPipeline.from_pipe(pipe)
    assert again.clip is pipe.clip and again.config.image_std == [0.25] * 3
    assert TRegPipeline.from_pipe(theirs).clip is None


def test_from_another_pipeline_the_precision_stays(parts):
    half = sd.of_diffusers({name: copy.deepcopy(part) for name, part in parts.items()}).to(torch.bfloat16)
    half.vae.to(torch.float32)
    pipe = TRegPipeline.from_pipe(half)
    assert pipe.unet.dtype == torch.bfloat16 and pipe.vae.dtype == torch.float32
    assert TRegPipeline.from_pipe(half, torch_dtype=torch.float32).unet.dtype == torch.float32


def test_from_a_pipeline_of_a_folder_comes_the_clip_beside_it():
    folder = te.files.data_folder() / "prior"
    theirs = StableDiffusionPipeline.from_pretrained(folder)
    pipe = TRegPipeline.from_pipe(theirs)
    assert pipe.clip.config.projection_dim == 192 and pipe.config.image_mean == [0.5] * 3


@pytest.mark.parametrize("name", ["nowhere", "/nowhere/at/all", "a/b/c", ROOT / "tests"])
def test_what_is_no_model_is_refused(name):
    with pytest.raises(FileNotFoundError, match="^pretrained_model_name_or_path: got '.*', expected a folder with a model_index.json"):
        TRegPipeline.from_pretrained(name)


def test_pickled_weights_are_refused(saved, tmp_path):
    for part in saved.iterdir():
        if part.name != "unet":
            (tmp_path / part.name).symlink_to(part)
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").symlink_to(saved / "unet" / "config.json")
    torch.save({}, tmp_path / "unet" / "diffusion_pytorch_model.bin")
    for load, name in ((TRegPipeline.from_pretrained, "pretrained_model_name_or_path"), (te.load_prior, "name")):
        with pytest.raises(
            te.checks.ArgumentError, match=f"^{name}: got '.*unet' without a .safetensors file, expected .*pickles can run code"
        ):
            load(tmp_path)


# Memory


def test_slices_tiles_and_attention_processors(parts, operator, y):
    """Slices and processors change nothing but rounding; a decoder in tiles sees less at a time."""
    from diffusers.models.attention_processor import AttnProcessor

    pipe = sd.pipeline_of({name: copy.deepcopy(part) for name, part in parts.items()})
    expected = run(pipe, y, operator, generator=seeds(0, 1))
    pipe.vae.enable_slicing()
    pipe.unet.set_attn_processor(AttnProcessor())
    torch.testing.assert_close(run(pipe, y, operator, generator=seeds(0, 1)), expected, rtol=0, atol=1e-4)
    pipe.vae.disable_slicing()
    pipe.enable_attention_slicing(1)
    torch.testing.assert_close(run(pipe, y, operator, generator=seeds(0, 1)), expected, rtol=0, atol=1e-4)
    pipe.vae.enable_tiling()
    pipe.vae.tile_sample_min_size, pipe.vae.tile_latent_min_size = 32, 4
    tiled = run(pipe, y, operator, generator=seeds(0, 1))
    assert 1e-4 < (tiled - expected).abs().mean() < 0.2


@pytest.fixture
def offloaded(parts, monkeypatch):
    """A pipeline whose networks wait on the CPU and run on an "accelerator" that is the CPU too; and the list of what moved."""
    moved, to = [], torch.nn.Module.to
    pipe = sd.pipeline_of({name: copy.deepcopy(part) for name, part in parts.items()})
    pipe.enable_model_cpu_offload(device="cpu")
    names = {id(part): name for name, part in pipe.components.items()}
    monkeypatch.setattr(torch.nn.Module, "to", lambda part, *where, **named: moved.append(names.get(id(part))) or to(part, *where, **named))
    return pipe, moved


def test_offloading_brings_every_network_when_it_is_used(parts, offloaded, operator, y):
    pipe, moved = offloaded
    found = run(pipe, y, operator, generator=seeds(0, 1))
    same(found, run(sd.pipeline_of(parts), y, operator, generator=seeds(0, 1)))
    assert set(moved) - {None} == {"vae", "unet", "text_encoder", "clip"}
    assert len(pipe._all_hooks) == 4  # it may be called again
    same(run(pipe, y, operator, generator=seeds(0, 1)), found)


def test_offloading_refuses_a_gradient_through_what_has_left(offloaded, operator, y):
    pipe, _ = offloaded
    with pytest.raises(te.checks.ArgumentError, match="^solver: got one whose gradient needs the U-Net again"):
        run(pipe, y, operator, solver="ldps")
    run(pipe, y, operator, solver="latino", **SHORT["latino"])


def test_a_prior_that_runs_elsewhere_keeps_everything_there(parts):
    """Shapes alone, on torch's "meta" device: the networks are still on the CPU, what the solver makes is where they will run."""
    pipe = sd.pipeline_of(parts)
    hidden = pipe.prior
    hidden.execution_device = torch.device("meta")
    assert hidden.device.type == "meta" and hidden.alpha_bar(5).device.type == "meta" and pipe.prior.device.type == "cpu"


# Precision


def test_bfloat16_gives_nearly_the_picture(parts, operator, y):
    half = sd.pipeline_of({name: copy.deepcopy(part) for name, part in parts.items()}).to(torch.bfloat16)
    found, expected = (run(pipe, y, operator, steps=4, generator=seeds(0, 1)) for pipe in (half, sd.pipeline_of(parts)))
    assert found.dtype == torch.float32 and 0 < (found - expected).square().mean().sqrt() < 0.02


def test_an_autoencoder_may_be_more_precise(parts, operator, y):
    pipe = sd.pipeline_of({name: copy.deepcopy(part) for name, part in parts.items()}).to(torch.bfloat16)
    pipe.vae.to(torch.float32)
    assert pipe.prior.decode(torch.zeros(1, 4, 8, 8, dtype=torch.bfloat16)).dtype == torch.float32
    found = run(pipe, y, operator, steps=4, generator=seeds(0, 1))
    assert (found - run(sd.pipeline_of(parts), y, operator, steps=4, generator=seeds(0, 1))).square().mean().sqrt() < 0.02


def test_an_autoencoder_that_overflows_is_told_and_float32_helps(parts, operator, y):
    """As Stable Diffusion XL's does in float16: activations beyond 65504 become infinite, and their normalisation NaN."""
    pipe = sd.pipeline_of({name: copy.deepcopy(part) for name, part in parts.items()})
    with torch.no_grad():
        pipe.vae.decoder.conv_in.weight *= 1e6
        pipe.vae.decoder.conv_in.bias *= 1e6
    expected = run(pipe, y, operator, generator=seeds(0, 1), negation=None)
    assert expected.isfinite().all()
    pipe.to(torch.float16)
    with pytest.warns(UserWarning, match=r"2 of 2 reconstructions are NaN in torch.float16; pipe.vae.to\(torch.float32\)"):
        assert (run(pipe, y, operator, generator=seeds(0, 1), negation=None) == 0).all()


def test_the_schedule_of_a_pipeline_is_kept(parts, operator, y):
    v = DDIMScheduler(**{k: v for k, v in sd.PNDM.items() if k != "skip_prk_steps"} | dict(prediction_type="v_prediction"))
    pipe = sd.pipeline_of(parts)
    before = run(pipe, y, operator, generator=seeds(0, 1))
    pipe.scheduler = v
    expected = te.solve("treg", sd.prior_of(parts, v), operator, y, "fox", steps=2, progress=False, **SHORT["treg"])
    same(run(pipe, y, operator, generator=seeds(0, 1)), expected)
    assert (before - expected).abs().max() > 0.01
