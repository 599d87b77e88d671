"""A prior of few steps: Stable Diffusion with LCM-LoRA (Luo et al. 2023), whose every estimate of the clean latent is meant as the last."""

import copy
import importlib.util
from pathlib import Path

from .. import checks
from .latent_diffusion import LatentDiffusion
from .model_files import readable, without_reports
from .schedulers import scheduler_of

__all__ = ["LCM_LORA", "with_lcm_lora"]

LCM_LORA = "latent-consistency/lcm-lora-sdv1-5"
"""That of Stable Diffusion 1.5, on the hub."""


def with_lcm_lora(prior: LatentDiffusion, lora: str | Path = LCM_LORA) -> LatentDiffusion:
    """The prior with an LCM-LoRA added to its U-Net, W ← W + α/r · B A in every layer that the file names, and with an LCM's timesteps.

    lora: a .safetensors file, a folder with one, or a hub name; in the form of diffusers, or of Kohya, which the public one has.
    The prior that was given keeps its own U-Net.  LATINO's few steps, as its authors mean them:
        te.solve("latino", with_lcm_lora(prior), operator, y, prompt, sigma=0.01, steps=8, inner_steps=1)
    With inner_steps=1 its estimate is Tweedie's ẑ₀, an LCM's consistency function but for c_skip = 0.25 / ((10 t)² + 0.25), 7e-6 at t = 19.
    """
    from diffusers.loaders import StableDiffusionLoraLoaderMixin

    checks.expect(isinstance(prior, LatentDiffusion), "prior", type(prior).__name__, "a LatentDiffusion", checks.ArgumentTypeError)
    there = importlib.util.find_spec("peft") is not None
    checks.expect(there, "lora", f"{str(lora)!r}, and peft is not installed", "it: pip install 'treg_edu[lcm]'", checks.MissingFileError)
    path = Path(lora)
    if path.is_dir():
        came = f"{str(path)!r} without a .safetensors file"
        checks.expect(any(path.glob("*.safetensors")), "lora", came, "weights as safetensors; pickles can run code and are not opened")
    other, unet = copy.copy(prior), copy.deepcopy(prior.unet)
    with without_reports(), readable("lora", path):
        weights, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(str(lora), use_safetensors=True)
        StableDiffusionLoraLoaderMixin.load_lora_into_unet(weights, alphas, unet)
    texts = [name for name in weights if not name.startswith("unet.")]
    checks.expect(not texts, "lora", f"{str(lora)!r} with weights of other networks, such as {texts[:1]}", "those of the U-Net alone")
    unet.fuse_lora(safe_fusing=True)
    unet.unload_lora()
    other.unet = unet.requires_grad_(False).eval()
    other.scheduler = scheduler_of(dict(prior.scheduler.config) | {"_class_name": "LCMScheduler"})
    other.recommended = type(prior.recommended)()
    return other
