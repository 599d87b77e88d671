"""The Gaussian world behind an autoencoder that bends: gradients through D and E are no constants, and E is not D's inverse."""

import torch
from gaussian_world import GaussianPrior, Matrix, smooth_covariance

MEANS = {"": torch.zeros(3, 4, 4), "fox": torch.linspace(-0.6, 0.6, 48).view(3, 4, 4)}


class CurvedPrior(GaussianPrior):
    """D(z) = (1 + tanh(z + 0.3 z′)) / 2 and E(x) = sin(2x − 1 + 0.2 x′), where ′ is the picture turned by 180°."""

    def decode(self, z):
        return (1 + torch.tanh(z + 0.3 * z.flip(-1, -2))) / 2

    def encode(self, x):
        return torch.sin(2 * x - 1 + 0.2 * x.flip(-1, -2))


FLAT = GaussianPrior(smooth_covariance(), MEANS)
CURVED = CurvedPrior(smooth_covariance(), MEANS)
WIDE = Matrix(torch.randn(20, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 7)
"""A linear operator with AAᵀ ≠ I."""


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def latents(batch, seed=0):
    return normal(seed, batch, 3, 4, 4)


def measured(operator, batch=2, seed=5, sigma=0.02):
    """y of uniform images, with noise."""
    clean = operator.A(torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return clean + sigma * normal(seed + 1, *clean.shape)


def slope(function, at, direction, width=1e-5):
    """⟨∇f, v⟩ by central differences; f returns one number."""
    return (function(at + width * direction) - function(at - width * direction)) / (2 * width)


def clean(prior, z_t, t, c):
    """Tweedie's ẑ₀, written out."""
    alpha_bar = prior.alpha_bar(t)
    return (z_t - (1 - alpha_bar).sqrt() * prior.predict_noise(z_t, t, c)) / alpha_bar.sqrt()
