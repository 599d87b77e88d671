"""What total variation and the wavelet prior look at: differences of neighbouring pixels, and wavelet details at every place.

Each is a linear map K of images (B, C, H, W) to (bands, B, C, H, W), with its exact adjoint; a band is as large as the image.
"""

import torch

from .. import checks

__all__ = ["FAMILIES", "band_weights", "gradient", "gradient_adjoint", "levels_for", "wavelet_details", "wavelet_details_adjoint"]


def gradient(x: torch.Tensor) -> torch.Tensor:
    """∇x: x(r + e₁) − x(r) and x(r + e₂) − x(r), 0 in the last row and the last column.  ‖∇‖² < 8      (Chambolle 2004)

    x: (B, C, H, W).  Returns (2, B, C, H, W).
    """
    differences = x.new_zeros(2, *x.shape)
    differences[0, ..., :-1, :] = x.diff(dim=-2)
    differences[1, ..., :-1] = x.diff(dim=-1)
    return differences


def gradient_adjoint(p: torch.Tensor) -> torch.Tensor:
    """∇ᵀp = −div p.  p: (2, B, C, H, W).  Returns (B, C, H, W)."""
    down, right = p[0, ..., :-1, :], p[1, ..., :-1]
    x = p.new_zeros(p.shape[1:])
    x[..., 1:, :] += down
    x[..., :-1, :] -= down
    x[..., 1:] += right
    x[..., :-1] -= right
    return x


ROOT3 = 3**0.5
FAMILIES = {
    "haar": (0.5, 0.5),
    "db2": tuple(each / 8 for each in (1 + ROOT3, 3 + ROOT3, 3 - ROOT3, 1 - ROOT3)),
}
"""{name: the low-pass filter h, of sum 1}: Haar's (1910), and Daubechies' with two vanishing moments (1988).  g_k = (−1)^k h_{n−1−k}."""


def levels_for(size: tuple[int, int], most: int) -> int:
    """How many times the smaller side can be halved, at most `most` times, at least once."""
    return max(1, min(most, min(size).bit_length() - 1))


def wavelet_details(x: torch.Tensor, family: str, levels: int) -> torch.Tensor:
    """The detail coefficients of x for every position of the grid, by the à trous algorithm: a transform without decimation.

    From a₀ = x, at level j = 1, …, J:  a_j = h_j a_{j−1},  details of three directions by h_j and g_j, the filters dilated by 2^{j−1}
                                                                            (Holschneider et al. 1989; Nason & Silverman 1995)

    With Σ h = 1 it keeps the norm: ‖a_J‖² + ‖details‖² = ‖x‖².  A detail of level j is 2^{−j} times the coefficient of the orthogonal
    transform on the grid that begins at its place.  The image goes on periodically.  x: (B, C, H, W).  Returns (3J, B, C, H, W).
    """
    h, g = filters(family)
    bands, low = [], x
    for level in range(levels):
        rows, row_details = (convolved(low, taps, 2**level, -2) for taps in (h, g))
        bands += [convolved(rows, g, 2**level, -1), convolved(row_details, h, 2**level, -1), convolved(row_details, g, 2**level, -1)]
        low = convolved(rows, h, 2**level, -1)
    return torch.stack(bands)


def wavelet_details_adjoint(p: torch.Tensor, family: str, levels: int) -> torch.Tensor:
    """The adjoint of `wavelet_details`.  p: (3J, B, C, H, W).  Returns (B, C, H, W)."""
    h, g = filters(family)
    low = torch.zeros_like(p[0])
    for level in reversed(range(levels)):
        across, down, both = p[3 * level : 3 * level + 3]
        rows = convolved(low, h, -(2**level), -1) + convolved(across, g, -(2**level), -1)
        row_details = convolved(down, h, -(2**level), -1) + convolved(both, g, -(2**level), -1)
        low = convolved(rows, h, -(2**level), -2) + convolved(row_details, g, -(2**level), -2)
    return low


def band_weights(levels: int, like: torch.Tensor) -> torch.Tensor:
    """2^{−j} for the three bands of level j: with them Σ |details| is the mean, over the positions of the grid, of the L1 norm of the
    orthogonal transform's details.  Returns (3J, 1, 1, 1, 1)."""
    return torch.tensor([0.5 ** (1 + band // 3) for band in range(3 * levels)], dtype=like.dtype, device=like.device).view(-1, 1, 1, 1, 1)


def filters(family: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(h, g) of a family."""
    h = FAMILIES[checks.one_of("family", family, FAMILIES)]
    return h, tuple((-1) ** k * each for k, each in enumerate(reversed(h)))


def convolved(x: torch.Tensor, taps: tuple[float, ...], dilation: int, dim: int) -> torch.Tensor:
    """Σ_k taps_k x(r + k · dilation) along a dimension, around the edge; the adjoint has the opposite dilation."""
    return torch.stack([each * x.roll(-k * dilation, dim) for k, each in enumerate(taps)]).sum(0)
