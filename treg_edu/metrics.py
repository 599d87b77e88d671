"""How good a reconstruction is: against the truth, the measurement, the text, its siblings, and a set of real images.

Images are (B, 3, H, W) in [0, 1]; what is measured per sample comes back as (B,). Where a network is needed it is an
argument: a `model` with `embed_images(x) -> (B, d)` and `embed_labels([str]) -> (N, d)` (the prior or the judge), or a
`judge` with `features(x) -> [(B, C, h, w), …]`. The judge has seen neither the prior nor its text encoder, so that a
solver which optimises the prior's own features is not marked by them.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import normalize

from . import checks, operators

__all__ = [
    "clip_similarity",
    "confidence_interval",
    "label_ranks",
    "misfit",
    "mmd",
    "perceptual_distance",
    "pixel_deviation",
    "pixel_variance",
    "psnr",
    "similarity",
    "ssim",
    "top_k",
    "top_shares",
    "y_mse",
]

# Against the truth


def psnr(x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB: 10 log₁₀(1 / mean (x̂ − x)²), infinite where the images are equal.

    x_hat: (B, 3, H, W).  x: the same shape, or (1, 3, H, W) for one truth.  Returns (B,).
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    x_hat, x = _pair(x_hat, x)
    with x.device:  # torchmetrics makes tensors on torch's default device
        return peak_signal_noise_ratio(x_hat, x, data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssim(x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Structural similarity, 1 for equal images (Wang et al. 2004: Gaussian window of σ = 1.5, 11 pixels wide).

    x_hat: (B, 3, H, W).  x: the same shape, or (1, 3, H, W) for one truth.  Returns (B,).
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    x_hat, x = _pair(x_hat, x)
    with x.device:  # as in psnr
        return cast(torch.Tensor, structural_similarity_index_measure(x_hat, x, data_range=1.0, reduction="none"))


@torch.no_grad()
def perceptual_distance(judge: Any, x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Distance of deep features: Σ_stages mean_{h,w} ‖f̂(x) − f̂(x̂)‖², f̂ of unit length over the channels.

    LPIPS with every channel weighted by one (Zhang et al. 2018, "lpips baseline"); 0 for equal images, symmetric.
    x, x_hat: (B, 3, H, W), x possibly (1, 3, H, W).  Returns (B,).
    """
    x_hat, x = _pair(x_hat, x)
    stages = zip(judge.features(x), judge.features(x_hat), strict=True)
    distances = [(normalize(a, dim=1) - normalize(b, dim=1)).square().sum(dim=1).mean(dim=(1, 2)) for a, b in stages]
    return torch.stack(distances).sum(dim=0)


def _pair(x_hat: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both images checked and of one shape, a single truth repeated for every reconstruction."""
    checks.images("x_hat", x_hat)
    checks.images("x", x)
    fits = x.shape in (x_hat.shape, (1, *x_hat.shape[1:]))
    checks.expect(fits, "x", f"shape {tuple(x.shape)}", f"that of x_hat, {tuple(x_hat.shape)}, or a batch of 1")
    return x_hat, x.to(x_hat).expand_as(x_hat)


# Against the measurement


def misfit(operator: Any, x_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """How well the measurement is explained: the RMS of y − A(x̂), which is about σ for the truth itself (times the root of the
    measured share of the pixels where some are hidden); divided by σ it is about 1 for an image that is consistent with y.

    x_hat: (B, 3, H, W).  y: (B, …) as `operator.A` returns it, or (1, …).  Returns (B,).
    """
    return operators.misfit(operator, checks.images("x_hat", x_hat), y)


def y_mse(operator: Any, x_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The square of `misfit`, mean |y − A(x̂)|²: the paper's y-MSE.  Arguments as there.  Returns (B,)."""
    return operators.mean_square(operator, checks.images("x_hat", x_hat), y)


# Against each other


def pixel_variance(x_hats: torch.Tensor) -> torch.Tensor:
    """How ambiguous a measurement leaves the image: the variance over seeds, averaged over pixels and channels.

    x_hats: (S, 3, H, W), S ≥ 2 reconstructions of one measurement.  Returns a scalar; unbiased (divided by S − 1).
    """
    checks.expect(len(checks.images("x_hats", x_hats)) >= 2, "x_hats", "1 reconstruction", "at least 2 of one measurement")
    return x_hats.var(dim=0).mean()


def pixel_deviation(x_hats: torch.Tensor) -> torch.Tensor:
    """Where a measurement leaves the image ambiguous: the deviation of each pixel over seeds, averaged over channels.

    x_hats: (S, 3, H, W), S ≥ 2 reconstructions of one measurement.  Returns (H, W); the variances are unbiased (divided by S − 1).
    """
    checks.expect(len(checks.images("x_hats", x_hats)) >= 2, "x_hats", "1 reconstruction", "at least 2 of one measurement")
    return x_hats.std(dim=0).mean(dim=0)


# Against the text


def clip_similarity(image_features: torch.Tensor, text_features: torch.Tensor) -> torch.Tensor:
    """Cosine of the angle between an image's and its text's CLIP features, in [-1, 1] (Radford et al. 2021).

    image_features: (B, d).  text_features: (B, d), or (1, d) for one text.  Returns (B,).
    """
    (images, d), texts = image_features.shape, text_features.shape
    checks.expect(texts in {(images, d), (1, d)}, "text_features", f"shape {tuple(texts)}", f"({images}, {d}) or (1, {d})")
    return (normalize(image_features, dim=1) * normalize(text_features, dim=1)).sum(dim=1)


@torch.no_grad()
def similarity(model: Any, x_hat: torch.Tensor, text: str | Sequence[str]) -> torch.Tensor:
    """`clip_similarity` of images and their texts.  x_hat: (B, 3, H, W).  text: a string or a list of B.  Returns (B,)."""
    texts = [text] if isinstance(text, str) else list(text)
    fits = len(texts) in {1, len(checks.images("x_hat", x_hat))}
    checks.expect(fits, "text", f"{len(texts)} strings", f"one, or one for each of the {len(x_hat)} images")
    return clip_similarity(model.embed_images(x_hat), model.embed_labels(texts))


def label_ranks(image_features: torch.Tensor, label_features: torch.Tensor, own: Sequence[int]) -> torch.Tensor:
    """The place of each image's own label when all labels are ordered by cosine, best first.

    image_features: (B, d).  label_features: (N, d).  own: B indices into the labels.  Returns (B,) ints from 0, the best, to N − 1.
    """
    likeness = normalize(image_features, dim=1) @ normalize(label_features, dim=1).T
    return (~(likeness < likeness[range(len(own)), own][:, None])).sum(dim=1) - 1  # a tie, or a NaN, counts against


def top_shares(ranks: torch.Tensor) -> dict[str, float]:
    """The shares of images whose own label is the best, and among the best five.  ranks: (B,).  Returns {"top1", "top5"}."""
    return {name: (ranks.cpu() < k).double().mean().item() for name, k in (("top1", 1), ("top5", 5))}


@torch.no_grad()
def top_k(model: Any, x_hat: torch.Tensor, labels: Sequence[str], k: int = 5) -> tuple[list[list[str]], torch.Tensor]:
    """The k labels closest to each image, best first.

    x_hat: (B, 3, H, W).  labels: list of N strings.  Returns (names, indices): B lists of k strings, (B, k) into `labels`.
    """
    k = checks.integer("k", k, 1, len(labels))
    image_features = normalize(model.embed_images(checks.images("x_hat", x_hat)), dim=1)
    text_features = normalize(model.embed_labels(list(labels)), dim=1)
    indices = (image_features @ text_features.T).topk(k, dim=1).indices
    return [[labels[i] for i in row] for row in indices.tolist()], indices


# Against a set


def mmd(features_a: torch.Tensor, features_b: torch.Tensor) -> torch.Tensor:
    """Squared maximum mean discrepancy of two sets of features, unbiased, so that it may be slightly negative.

    MMD² = mean_{i≠j} k(aᵢ, aⱼ) + mean_{i≠j} k(bᵢ, bⱼ) − 2 mean k(aᵢ, bⱼ),  k(u, v) = (uᵀv / d + 1)³
    (Bińkowski et al. 2018, the kernel inception distance with other features). Unlike FID it has no bias at small N.

    features_a: (N, d).  features_b: (M, d), N, M ≥ 2.  Returns a scalar, float64 on the CPU: MPS has no float64.
    """
    for name, features in {"features_a": features_a, "features_b": features_b}.items():
        fits = features.ndim == 2 and len(features) >= 2 and features.shape[1] == features_a.shape[1]
        checks.expect(fits, name, f"shape {tuple(features.shape)}", "(N, d), N ≥ 2, one d for both sets")
    a, b = features_a.cpu().double(), features_b.cpu().double()
    return _mean_off_diagonal(_cubic(a, a)) + _mean_off_diagonal(_cubic(b, b)) - 2 * _cubic(a, b).mean()


def _cubic(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """k(aᵢ, bⱼ) = (aᵢᵀbⱼ / d + 1)³.  a: (N, d).  b: (M, d).  Returns (N, M)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean_off_diagonal(kernel: torch.Tensor) -> torch.Tensor:
    """The mean over pairs i ≠ j.  kernel: (N, N).  Returns a scalar."""
    n = len(kernel)
    return (kernel.sum() - kernel.trace()) / (n * (n - 1))


# How sure we are


def confidence_interval(values: Any, level: float = 0.95, n: int = 2000, seed: int = 0) -> tuple[Any, Any, Any]:
    """(mean, low, high) of the mean over samples: the percentile bootstrap (Efron 1979), `n` resamples of the first axis.

    To compare two methods on the same samples, pass their differences: what samples have in common then cancels.
    values: (N,) or (N, …), N ≥ 2, finite.  Returns three floats, or three arrays (…).
    """
    values = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)
    checks.expect(values.ndim > 0 and len(values) >= 2, "values", f"shape {values.shape}", "(N,) or (N, …) with N ≥ 2 samples")
    finite = np.isfinite(values).all()
    checks.expect(finite, "values", "some that are not finite (the PSNR of equal images is infinite)", "finite ones")
    level = checks.number("level", level)
    checks.expect(0 < level < 1, "level", level, "between 0 and 1, such as 0.95")
    n, seed = checks.integer("n", n), checks.integer("seed", seed, 0)
    resamples = np.random.default_rng(seed).integers(len(values), size=(n, len(values)))
    means = values[resamples].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    mean = values.mean(axis=0)
    return (mean, low, high) if values.ndim > 1 else (float(mean), float(low), float(high))
