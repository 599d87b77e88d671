"""TReg and the other solvers of latents as a pipeline of diffusers, which is also loaded by `custom_pipeline` from this one file.

pipe = TRegPipeline.from_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5", torch_dtype=torch.float16).to("cuda")
image = pipe(y, operator, "a bowl of ice cream", generator=torch.Generator().manual_seed(0)).images[0]
"""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, SchedulerMixin, UNet2DConditionModel
from diffusers.image_processor import VaeImageProcessor
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.pipelines.pipeline_utils import StableDiffusionMixin
from diffusers.utils import BaseOutput
from transformers import CLIPTextModel, CLIPTokenizer, PreTrainedModel

from treg_edu import checks, files, noise
from treg_edu.diffusion import Step
from treg_edu.operators import misfit
from treg_edu.priors import LatentDiffusion, scheduler_of
from treg_edu.priors.loading import clip_of, load_clip
from treg_edu.priors.model_files import chosen_variant
from treg_edu.solvers import SOLVERS

__all__ = ["OffloadedDiffusion", "TRegPipeline", "TRegPipelineOutput"]

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels that OpenAI's and LAION's CLIPs take."""
RENAMED = {"steps": "num_inference_steps", "null_prompt": "negative_prompt", "seed": "generator", "y": "measurement"}
"""{argument of a solver: its name here, which is diffusers'}"""
UNUSED = ("safety_checker", "requires_safety_checker", "feature_extractor", "image_encoder")
OUTPUT_TYPES = ("pil", "np", "pt")
TENSORS = {"latents": "z_next", "pred_original_sample": "z0", "prompt_embeds": "text_embedding", "negative_prompt_embeds": "null_embedding"}
"""{tensor that a callback may ask for: the entry of `Step` that it is}"""


@dataclass
class TRegPipelineOutput(BaseOutput):
    """What `TRegPipeline` returns.

    images: a list of PIL images, or an array (B, H, W, 3), or a tensor (B, 3, H, W), in [0, 1].  misfit: RMS of y − A(x̂) of each, (B,).
    """

    images: Any
    misfit: torch.Tensor


class OffloadedDiffusion(LatentDiffusion):
    """`LatentDiffusion` of a pipeline, whose networks may wait on the CPU (`enable_model_cpu_offload`) and run elsewhere."""

    def __init__(self, execution_device: torch.device, offloaded: bool, **parts: Any) -> None:
        super().__init__(**parts)
        self.execution_device, self.offloaded = execution_device, offloaded

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self.execution_device

    def shared_space(self) -> Any:
        """The CLIP, brought to where it runs: its towers are called one by one, which accelerate's hook on the whole does not see."""
        clip = super().shared_space()
        if hasattr(clip, "_hf_hook"):
            clip._hf_hook.pre_forward(clip)
        return clip

    def _predict_noise(self, z_t: torch.Tensor, t: Any, alpha_bar: torch.Tensor, text_embedding: torch.Tensor) -> torch.Tensor:
        """As in `LatentDiffusion`; ArgumentError where a gradient would come back to a network that has been moved away."""
        lost = self.offloaded and torch.is_grad_enabled() and (z_t.requires_grad or text_embedding.requires_grad)
        expected = "one that takes no gradient through the U-Net, such as 'treg' or 'latino', or pipe.to(device) instead of offloading"
        checks.expect(not lost, "solver", "one whose gradient needs the U-Net again after model offloading has moved it away", expected)
        return super()._predict_noise(z_t, t, alpha_bar, text_embedding)


class TRegPipeline(DiffusionPipeline, StableDiffusionMixin, StableDiffusionLoraLoaderMixin):
    """Images from measurements y = A(x) + n and a text, by the solvers of `treg_edu.SOLVERS` that take a latent prior.

    vae, text_encoder, tokenizer, unet, scheduler: of Stable Diffusion; of a scheduler the noise levels are used, whatever its sampler.
    clip: the CLIP whose text tower it uses, for adaptive negation, or its folder or hub name; None leaves negation=None.
    image_mean, image_std: of the pixels that it takes; None for those in its folder, or of OpenAI's CLIP.
    A picture equals that of the function of `SOLVERS` with the same seed.  The networks no longer ask for gradients of their weights.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components = ["clip"]  # noqa: RUF012  diffusers' own form
    _callback_tensor_inputs = list(TENSORS)  # noqa: RUF012

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        clip: PreTrainedModel | str | Path | None = None,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        mean, std = list(OPENAI_MEAN), list(OPENAI_STD)
        if isinstance(clip, (str, Path)):
            clip, mean, std = load_clip(clip, unet.dtype)
        self.register_modules(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler, clip=clip)
        self.register_to_config(image_mean=list(image_mean or mean), image_std=list(image_std or std))
        self.image_processor = VaeImageProcessor(vae_scale_factor=2 ** (len(vae.config.block_out_channels) - 1))
        self._interrupt = False

    # ---- files

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **settings: Any) -> "TRegPipeline":
        """A Stable Diffusion folder or hub model, or one that `save_pretrained` wrote.  Pickled weights are refused.

        clip: a CLIP, a folder or a hub name; None for none.  If it is not given, that of the folder, or OpenAI's CLIP ViT-L/14, as in
        `load_prior`.  settings: as in diffusers, such as dtype (once torch_dtype), scheduler, or variant, which need not be told of a local
        folder that has nothing else.  A safety checker is not loaded.
        """
        source = str(pretrained_model_name_or_path)
        _check_source(Path(source))
        if "clip" not in settings and "clip" not in cls.load_config(source):
            settings["clip"] = clip_of(Path(source))
        defaults = {"use_safetensors": True, "variant": chosen_variant(Path(source) / "unet")}
        return super().from_pretrained(source, **defaults | settings)

    @classmethod
    def extract_init_dict(cls, config_dict: Mapping[str, Any], **settings: Any) -> Any:
        """As in diffusers, but for the parts that a Stable Diffusion has and this pipeline never uses, which it would warn of."""
        return super().extract_init_dict({name: value for name, value in config_dict.items() if name not in UNUSED}, **settings)

    @classmethod
    def from_pipe(
        cls, pipeline: Any, torch_dtype: torch.dtype | None = None, dtype: torch.dtype | None = None, **settings: Any
    ) -> "TRegPipeline":
        """The networks of another pipeline, such as a `StableDiffusionPipeline`, not copied.

        clip: as in `from_pretrained`; if it is not given, that of the pipeline, or of the folder it came from, or none.
        dtype, or torch_dtype: None leaves every network as precise as it is.  settings: networks to take instead, image_mean, image_std.
        """
        names = ("vae", "text_encoder", "tokenizer", "unet", "scheduler", "clip")
        parts = {name: part for name, part in pipeline.components.items() if name in names and part is not None}
        parts |= {name: pipeline.config[name] for name in ("image_mean", "image_std") if name in pipeline.config}
        source = pipeline.config.get("_name_or_path")
        if "clip" not in settings and "clip" not in parts and source and (Path(source) / "clip").is_dir():
            settings["clip"] = clip_of(Path(source))
        made = cls(**parts | settings)
        made.register_to_config(_name_or_path=source)
        return made if dtype is None and torch_dtype is None else made.to(dtype or torch_dtype)

    def save_pretrained(self, save_directory: str | Path, **settings: Any) -> None:
        """A folder that `from_pretrained` reads, and `treg_edu.load_prior`.  settings: as in diffusers."""
        super().save_pretrained(save_directory, **settings)
        if self.clip is not None:
            preprocessing = {"image_mean": list(self.config.image_mean), "image_std": list(self.config.image_std)}
            files.write_text(Path(save_directory) / "clip" / "preprocessor_config.json", files.json_text(preprocessing))

    # ---- use

    @property
    def prior(self) -> LatentDiffusion:
        """The networks as a prior, for every function of `treg_edu`."""
        return OffloadedDiffusion(
            self._execution_device,
            offloaded=bool(getattr(self, "_all_hooks", None)),
            vae=self.vae,
            unet=self.unet,
            tokenizer=self.tokenizer,
            text_encoder=self.text_encoder,
            scheduler=scheduler_of(self.scheduler),
            clip=self.clip,
            image_mean=self.config.image_mean,
            image_std=self.config.image_std,
        )

    @property
    def interrupt(self) -> bool:
        """Whether the walk is to end after this step; a callback sets `pipe._interrupt = True`."""
        return self._interrupt

    @torch.no_grad()
    def __call__(
        self,
        measurement: torch.Tensor,
        operator: Any,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        solver: str = "treg",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        num_images_per_prompt: int = 1,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, int, dict[str, Any]], Mapping[str, Any] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        **settings: Any,
    ) -> Any:
        """Reconstruct images from measurements.

        measurement: y of B images, (B, …).  operator: of `treg_edu.operators`, a `deepinv.physics` object, or any with A(x).
        prompt, negative_prompt: one string, or a list of B.
        num_inference_steps, guidance_scale, negative_prompt: None for the solver's own.
        solver: a name of `treg_edu.SOLVERS`; those that work on pixels refuse a latent prior.  settings: its other arguments, such as lam.
        generator: one, from which the samples are drawn in order; or one for each sample, B · num_images_per_prompt, which then does not
        depend on its batch: `torch.Generator().manual_seed(s)` is the function's seed s.  None draws seeds from torch's global one.
        num_images_per_prompt: n images of each measurement, one after another; the operator has to measure B · n images.
        output_type: "pil", "np" (B, H, W, 3), or "pt" (B, 3, H, W), float32 at least, in [0, 1].
        callback_on_step_end: called with (pipe, index, t, {name: tensor}) after each step; it may return {"latents": z}, which goes on.
        callback_on_step_end_tensor_inputs: names of `_callback_tensor_inputs`; a tensor that the solver does not have is None.
        Checks everything at the call: ArgumentError.  Returns a `TRegPipelineOutput`, or (images, misfit) if return_dict is False.
        """
        run = SOLVERS[checks.one_of("solver", solver, SOLVERS)]
        checks.one_of("output_type", output_type, OUTPUT_TYPES)
        for name in callback_on_step_end_tensor_inputs:
            checks.one_of("callback_on_step_end_tensor_inputs", name, self._callback_tensor_inputs)
        for name in RENAMED.keys() & settings.keys():
            checks.fail(name, repr(settings[name]), f"{RENAMED[name]}, as diffusers calls it")
        count = checks.integer("num_images_per_prompt", num_images_per_prompt)
        if num_inference_steps is not None:
            num_inference_steps = checks.integer("num_inference_steps", num_inference_steps)
        if guidance_scale is not None:
            guidance_scale = checks.number("guidance_scale", guidance_scale, least=0)
        y = checks.tensor("measurement", measurement, "(B, …)")
        y, batch = y.to(self._execution_device).repeat_interleave(count, 0), len(y) * count
        seed = torch.randint(2**62, (batch,)).tolist() if generator is None else noise.per_sample(generator, batch)
        given = {"null_prompt": negative_prompt, "steps": num_inference_steps, "guidance_scale": guidance_scale, "seed": seed}
        arguments = _taken(solver, {name: value for name, value in (given | settings).items() if value is not None or name in settings})
        if isinstance(arguments.get("null_prompt"), (list, tuple)):
            arguments["null_prompt"] = _repeated(arguments["null_prompt"], count)
        prior, self._interrupt = self.prior, False
        try:
            walk = run(prior, operator, y, _repeated(prompt, count), **arguments)
            x_hat = self._walked(walk, arguments.get("steps"), run, prior, callback_on_step_end, callback_on_step_end_tensor_inputs)
            off = misfit(operator, x_hat, y.to(x_hat.dtype))
        finally:
            self.maybe_free_model_hooks()
        images = self.image_processor.postprocess(_finite(x_hat, self), output_type, do_denormalize=[False] * batch)
        return TRegPipelineOutput(images, off) if return_dict else (images, off)

    def _walked(self, walk: Any, steps: int | None, run: Any, prior: LatentDiffusion, callback: Any, names: Sequence[str]) -> torch.Tensor:
        """x̂ at the end of a walk, or where a callback ended it, with a progress bar."""
        default = inspect.signature(run).parameters["steps"].default
        with self.progress_bar(total=default if steps is None else steps) as bar:
            for step in walk:
                if callback is not None:
                    tensors = {name: getattr(step, TENSORS[name]) for name in names}
                    _changed(step, callback(self, step.index, step.t, tensors) or {})
                bar.update()
                if self._interrupt:
                    break
        return prior.decode(step.z0).clamp(0, 1).float() if step.x_hat is None else step.x_hat


def _check_source(folder: Path) -> None:
    """ArgumentError where a path is no folder, or a network of a local folder is there as a pickle alone."""
    name, expected = "pretrained_model_name_or_path", "a folder with a model_index.json, or a hub name, owner/model"
    on_the_hub = len(folder.parts) == 2 and not folder.is_absolute() and not folder.exists()
    there = on_the_hub or (folder / "model_index.json").is_file()
    checks.expect(there, name, repr(str(folder)), expected, checks.MissingFileError)
    for part in ("vae", "unet", "text_encoder", "clip"):
        weights = {file.suffix for file in (folder / part).glob("*") if file.suffix in (".safetensors", ".bin", ".ckpt", ".pt")}
        came = f"{str(folder / part)!r} without a .safetensors file"
        expected = "weights as safetensors; pickles can run code and are not opened"
        checks.expect(".safetensors" in weights or not weights, name, came, expected)


def _taken(solver: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, all of which the solver has to take; the error names those that it does take."""
    known = list(inspect.signature(SOLVERS[solver]).parameters)[4:]
    for name, value in arguments.items():
        expected = f"one of the settings of {solver}: {', '.join(RENAMED.get(each, each) for each in known)}"
        checks.expect(name in known, RENAMED.get(name, name), repr(value), expected)
    return dict(arguments)


def _repeated(texts: str | Sequence[str], count: int) -> Any:
    """A list with each text `count` times, one after another; one string stays one."""
    return [each for each in texts for _ in range(count)] if isinstance(texts, (list, tuple)) else texts


def _changed(step: Step, returned: Mapping[str, Any]) -> None:
    """Let a walk go on from the latents that a callback returned: the solver's own tensor is written to."""
    for name, value in returned.items():
        same = name in TENSORS and value is getattr(step, TENSORS[name])
        checks.expect(
            same or name == "latents", "callback_on_step_end", f"a new {name!r}", "'latents' alone: no other tensor can be replaced"
        )
    if "latents" in returned:
        latents = checks.like("latents", returned["latents"], step.z_next, "those of the step")
        step.z_next.copy_(latents)


def _finite(x_hat: torch.Tensor, pipe: TRegPipeline) -> torch.Tensor:
    """The images; those that are not finite become black, with a warning that says what helps."""
    lost = int((~x_hat.isfinite()).flatten(1).any(1).sum())
    if lost:
        low = pipe.vae.dtype == torch.float16
        advice = "pipe.vae.to(torch.float32), or torch_dtype=torch.bfloat16" if low else "smaller steps of the solver"
        warnings.warn(f"measurement: {lost} of {len(x_hat)} reconstructions are NaN in {pipe.vae.dtype}; {advice} may help", stacklevel=3)
    return x_hat.nan_to_num(0, 0, 0)
