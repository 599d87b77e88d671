"""The priors: what a solver may ask of a diffusion model, and how one is loaded."""

from .base import DiffusionPrior
from .gaussian import GaussianPrior, dense_matrix, smooth_covariance
from .latent_diffusion import LatentDiffusion
from .lcm import with_lcm_lora
from .loading import load_prior, training_size
from .pixel_diffusion import PixelDiffusion
from .schedulers import scheduler_of

__all__ = [
    "DiffusionPrior",
    "GaussianPrior",
    "LatentDiffusion",
    "PixelDiffusion",
    "dense_matrix",
    "load_prior",
    "scheduler_of",
    "smooth_covariance",
    "training_size",
    "with_lcm_lora",
]
