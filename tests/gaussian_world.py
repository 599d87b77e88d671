"""A world in which every posterior is known: images are Gaussian, the noise estimate is exact, and a text is a mean.

    z₀ ~ N(m(c), C),   E(x) = 2x − 1,   D(z) = (z + 1) / 2,   y = A x + n

The prior follows the interface of `PixelDiffusion` with patches of one pixel and holds no network, so that a run takes milliseconds.
"""

from types import SimpleNamespace

import torch

from treg_edu import checks
from treg_edu.operators import LinearOperator
from treg_edu.priors import PixelDiffusion


class GaussianPrior(PixelDiffusion):
    """z₀ ~ N(m(c), C).  The embedding of a text is its mean, (B, 1, 3HW), so that gradients with respect to c are gradients of the mean.

    covariance: C, (n, n), n = 3HW, of z₀ flattened.  means: {text: (3, H, W)}; any other text has mean 0.
    """

    def __init__(self, covariance, means=None, size=(4, 4), timesteps=1000, beta=(1e-4, 0.02), dtype=torch.float64):
        self.covariance, self.means, self.sides, self.precision = covariance.to(dtype), means or {}, size, dtype
        self.patch_size = 1
        beta = torch.linspace(*beta, timesteps, dtype=torch.float64)
        self.alphas = (1 - beta).cumprod(0)
        self.eigenvalues, self.basis = torch.linalg.eigh(self.covariance)
        self.scheduler = SimpleNamespace(alphas_cumprod=self.alphas, final_alpha_cumprod=torch.ones((), dtype=torch.float64))
        self.recommended, self.clip, self.unet = {}, None, None

    device = torch.device("cpu")

    @property
    def dtype(self):
        return self.precision

    @property
    def size(self):
        return self.sides

    def timesteps(self, steps):
        steps = checks.integer("steps", steps, 1, len(self.alphas))
        ts = torch.linspace(len(self.alphas) - 1, 0, steps + 1).round().int().tolist()[:-1]
        return list(zip(ts, [*ts[1:], -1], strict=True))

    def alpha_bar(self, t):
        return (self.alphas[t] if t >= 0 else torch.ones((), dtype=torch.float64)).to(self.precision)

    def mean(self, text):
        height, width = self.sides
        return self.means.get(text, torch.zeros(3, height, width)).to(self.precision)

    def embed_text(self, texts):
        return torch.stack([self.mean(text).flatten()[None] for text in ([texts] if isinstance(texts, str) else texts)])

    def embed_images(self, x):
        raise AssertionError("this world has no CLIP: pass negation=None")

    def predict_noise(self, z_t, t, text_embedding):
        """E[ε | z_t] = √(1 − ᾱ) (ᾱ C + (1 − ᾱ) I)⁻¹ (z_t − √ᾱ m)"""
        return self._predict_noise(z_t, t, self.alpha_bar(t), text_embedding)

    def _predict_noise(self, z_t, t, alpha_bar, text_embedding):
        alpha_bar = torch.as_tensor(alpha_bar, dtype=self.precision).reshape(-1, 1)
        away = z_t.flatten(1) - alpha_bar.sqrt() * text_embedding.flatten(1)
        weight = (1 - alpha_bar).sqrt() / (alpha_bar * self.eigenvalues + 1 - alpha_bar)
        return ((away @ self.basis * weight) @ self.basis.T).view_as(z_t)

    def posterior(self, operator, y, sigma, text=""):
        """(mean, covariance) of z₀ given y of one image, flattened, for linear A and noise of deviation sigma."""
        height, width = self.sides
        n = self.covariance.shape[0]
        matrix = dense(operator, (height, width), self.precision) / 2  # of A ∘ D, whose linear part halves
        offset = operator.A(torch.full((1, 3, height, width), 0.5, dtype=self.precision)).flatten()
        m = self.mean(text).flatten()
        noise = sigma**2 * torch.eye(len(matrix), dtype=self.precision)
        gain = self.covariance @ matrix.T @ torch.linalg.inv(matrix @ self.covariance @ matrix.T + noise)
        mean = m + gain @ (y.flatten().to(self.precision) - offset - matrix @ m)
        return mean, (torch.eye(n, dtype=self.precision) - gain @ matrix) @ self.covariance


def dense(operator, size, dtype=torch.float64):
    """The matrix of a linear operator on images of `size`, (numbers of y, 3HW)."""
    n = 3 * size[0] * size[1]
    return operator.A(torch.eye(n, dtype=dtype).view(n, 3, *size)).flatten(1).T


def smooth_covariance(size=(4, 4), scale=1.5, deviation=0.4, channels=0.7):
    """C of images whose pixels agree with their neighbours, exp(−d² / 2 scale²), and whose channels agree by `channels`; full rank."""
    height, width = size
    place = torch.cartesian_prod(torch.arange(height), torch.arange(width)).double()
    near = torch.exp(-(torch.cdist(place, place) ** 2) / (2 * scale**2))
    colour = torch.full((3, 3), channels, dtype=torch.float64) + (1 - channels) * torch.eye(3, dtype=torch.float64)
    C = deviation**2 * torch.kron(colour, near)
    return C + 1e-3 * torch.eye(len(C), dtype=torch.float64)


class Matrix(LinearOperator):
    """y = M x of flattened images, (m, n): an operator without structure.  y: (B, 1, 1, m)."""

    def __init__(self, matrix, size=(4, 4)):
        self.matrix, self.sides = matrix, size

    def A(self, x):
        return (x.flatten(1) @ self.matrix.T.to(x))[:, None, None]

    def A_adjoint(self, y):
        return (y.flatten(1) @ self.matrix.to(y)).view(len(y), 3, *self.sides)
