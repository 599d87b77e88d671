"""The priors: what a solver may ask of a diffusion model, and how one is loaded."""

from .latent_diffusion import LatentDiffusion
from .loading import load_prior, training_size

__all__ = ["LatentDiffusion", "load_prior", "training_size"]
