"""Adaptive negation: the null text is moved away from what the estimate already shows.

Classifier-free guidance pushes along c − c_∅. If c_∅ describes less and less of the present estimate, the push towards c grows, and with it
what the estimate shows already: guidance goes away from the null text.
"""

import torch
from torch.nn import functional as F

from . import checks

__all__ = ["adaptive_negation", "extra_guidance", "negation_loss"]


def negation_loss(image_feature: torch.Tensor, null_embedding: torch.Tensor) -> torch.Tensor:
    """The mean over tokens of the inner product with the normalised image feature.

    sim(f, c_∅) = 1/L Σ_l ⟨f / ‖f‖, c_∅[l]⟩      (Kim et al. 2025, Algorithm 1)

    image_feature: (B, d).  null_embedding: (B, L, d).  Returns (B,).
    """
    return torch.einsum("bd,bld->bl", F.normalize(image_feature, dim=-1), null_embedding).mean(1)


def adaptive_negation(
    null_embedding: torch.Tensor,
    image_feature: torch.Tensor,
    learning_rate: float = 1e-3,
    iterations: int = 10,
) -> torch.Tensor:
    """Minimise `negation_loss` over c_∅ alone, by Adam      (Kim et al. 2025, Algorithm 1).

    null_embedding: c_∅, (B, L, d).  image_feature: CLIP's feature of x̂, (B, d), of the same width: the published rule compares it with
    hidden states, two spaces that CLIP never aligned; `DiffusionPrior.to_hidden_space(feature)` compares in the shared one instead.
    Returns (B, L, d).

    The objective is linear in c_∅, so its gradient ∇ sim = f / (L ‖f‖), the same for every token, never changes, and Adam, which divides
    a gradient by its own size, takes the same step each time: c_∅ − iterations · learning_rate · sign(f).
    """
    came, expected = image_feature.shape[-1], null_embedding.shape[-1]
    checks.expect(came == expected, "image_feature", f"width {came}", f"{expected}, the width of null_embedding")
    came, expected = len(image_feature), len(null_embedding)
    checks.expect(came == expected, "image_feature", f"a batch of {came}", f"{expected}, the batch of null_embedding")
    learning_rate = checks.number("learning_rate", learning_rate, above=0)
    iterations = checks.integer("iterations", iterations, 0)
    # In float32 at least: the square of this gradient is 0 in float16, and Adam divides by its root.
    dtype = torch.promote_types(null_embedding.dtype, torch.float32)
    c = null_embedding.detach().to(dtype, copy=True)
    c.grad = (F.normalize(image_feature.detach().to(dtype), dim=-1)[:, None] / c.shape[1]).expand_as(c).contiguous()
    optimizer = torch.optim.Adam([c], learning_rate)
    for _ in range(iterations):
        optimizer.step()
    return c.to(null_embedding.dtype)


def extra_guidance(change: torch.Tensor, null_noise: torch.Tensor, text_noise: torch.Tensor) -> torch.Tensor:
    """How much of a change of the guided noise is more guidance: the a of each sample that is nearest to it.

    a = argmin_a ‖change − a g‖² = ⟨change, g⟩ / ⟨g, g⟩,   g = ε_θ(z_t, c) − ε_θ(z_t, c_∅)

    ε̂ + a g is the guided noise of ω + a.  change, null_noise, text_noise: (B, 4, h, w).  Returns (B,); 0 where g is.
    """
    g = (text_noise - null_noise).flatten(1)
    square = g.square().sum(1)
    return torch.where(square > 0, (change.flatten(1) * g).sum(1) / square, 0)
