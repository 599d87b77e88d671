"""The priors: what a solver may ask of a diffusion model, and how one is loaded."""

from .base import DiffusionPrior
from .latent_diffusion import LatentDiffusion
from .loading import load_prior, training_size
from .pixel_diffusion import PixelDiffusion

__all__ = ["DiffusionPrior", "LatentDiffusion", "PixelDiffusion", "load_prior", "training_size"]
