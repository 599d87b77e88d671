"""The noise levels of a checkpoint, whatever sampler its files name: PNDM, Euler, DPM-Solver and DDIM share one schedule of ᾱ."""

from collections.abc import Mapping
from typing import Any

from .. import checks
from .model_files import without_reports

__all__ = ["SCHEDULE", "scheduler_of"]

SCHEDULE = ("beta_start", "beta_end", "beta_schedule", "trained_betas")
"""Entries of which a configuration has at least one if it tells of ᾱ; those of flow matching and of EDM have none."""


def scheduler_of(source: Any) -> Any:
    """A scheduler of diffusers with the ᾱ, the prediction type, the offset and the spacing that a configuration tells of.

    `LCMScheduler` of an LCM's, whose timesteps are those that it was distilled at; `DDIMScheduler` of every other one.
    source: a scheduler of diffusers, or the content of its scheduler_config.json.
    """
    from diffusers import DDIMScheduler, LCMScheduler

    # What is made from another's configuration keeps its name there
    config = source if isinstance(source, Mapping) else dict(source.config) | {"_class_name": type(source).__name__}
    name = config.get("_class_name", "DDIMScheduler")
    levels = name == "DDIMScheduler" or any(entry in config for entry in SCHEDULE)
    checks.expect(levels, "scheduler", f"{name}, which tells nothing of ᾱ", "one of a variance-preserving diffusion, with betas")
    kind = LCMScheduler if name == "LCMScheduler" else DDIMScheduler
    with without_reports():  # of entries that the other sampler has
        return kind.from_config(dict(config))
