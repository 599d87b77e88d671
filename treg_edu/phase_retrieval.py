"""Magnitudes and phases, the symmetries of |F x|, alignment over them, error reduction and HIO.  Taught in 02_phase_retrieval_symmetries.

The measurement is that of `operators.FourierMagnitude`: y = |F P x|, P padding each channel with zeros to a canvas of `oversampling`
times its side.  It is the same for x, for x shifted on that canvas, for x turned by 180°, and for −x, channel by channel.
Images are (B, C, H, W); channels are retrieved apart, since nothing in y couples them.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.nn import functional as F

from . import checks
from .noise import Generators, normal
from .operators import FourierMagnitude

__all__ = [
    "SYMMETRIC",
    "Alignment",
    "Retrieval",
    "align",
    "align_channels",
    "copies",
    "error_reduction",
    "hybrid_input_output",
    "lowest",
    "match_channels",
    "misfit",
    "orientation",
    "pad",
    "random_start",
    "retrieve",
    "rotate",
    "shift",
    "vectorial_total_variation",
    "with_phases",
]

SYMMETRIC = 0.02
"""A channel that differs from itself turned by 180° by less than this RMS has one copy, not two."""


# Magnitudes and phases


def with_phases(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The picture that has the magnitudes of x and the phases of another, channel by channel and without a canvas.

    F⁻¹ (|F x| F o / |F o|)      (Oppenheim & Lim 1981)

    x, other: (B, C, H, W), other possibly (1, C, H, W).  Returns the shape of x; values may leave [0, 1].
    """
    return torch.fft.ifft2(_with_modulus(torch.fft.fft2(other), torch.fft.fft2(x).abs())).real


# The symmetries


def pad(x: torch.Tensor, oversampling: int = 2) -> torch.Tensor:
    """P x: zeros below and to the right, to `oversampling` times the side.  (B, C, H, W) → (B, C, oversampling·H, oversampling·W)."""
    (H, W), more = x.shape[-2:], checks.integer("oversampling", oversampling) - 1
    return F.pad(x, (0, more * W, 0, more * H))


def shift(x: torch.Tensor, dy: torch.Tensor | int, dx: torch.Tensor | int) -> torch.Tensor:
    """x(r − s), s = (dy, dx), around the edges:  F x is multiplied by e^{−2πi (k₁ dy / H + k₂ dx / W)}, of magnitude 1.

    x: (B, C, H, W), the canvas.  dy, dx: ints, or (B,) of them, down and to the right.  Returns the shape of x.
    """
    checks.tensor("x", x, "(B, C, H, W)", dimensions=(4,))
    (B, C, H, W), device = x.shape, x.device
    dy, dx = (_distance(name, each, B).to(device).view(B, 1, 1, 1) for name, each in (("dy", dy), ("dx", dx)))
    batch, channel = torch.arange(B, device=device).view(B, 1, 1, 1), torch.arange(C, device=device).view(1, C, 1, 1)
    rows, columns = torch.arange(H, device=device).view(1, 1, H, 1), torch.arange(W, device=device)
    return x[batch, channel, (rows - dy) % H, (columns - dx) % W]


def _distance(name: str, value: torch.Tensor | int, batch: int) -> torch.Tensor:
    """An integer for all samples, or (B,) of them."""
    if isinstance(value, torch.Tensor) and value.ndim:
        whole = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
        checks.expect(whole, name, f"dtype {value.dtype}", "whole pixels", checks.ArgumentTypeError)
        checks.expect(value.shape in ((1,), (batch,)), name, f"shape {tuple(value.shape)}", f"an integer, or ({batch},) of them")
        return value.expand(batch)
    return torch.tensor(checks.integer(name, value, least=-(2**31), most=2**31), device="cpu").expand(batch)


def rotate(x: torch.Tensor) -> torch.Tensor:
    """x(−r) moved back into its frame, a turn by 180°.  For a real x this is the conjugate flip: F x(−·) is the conjugate of F x."""
    return x.flip((-2, -1))


# Alignment


class Alignment(NamedTuple):
    """The member of the group that brings x̂ closest to x, and how close.  Batch shape: (B,), or (B, C) where channels are apart.

    image: sign · shift(rotated? x̂), (B, C, H, W).  rotated: bool.  dy, dx: the shift on the canvas.  sign: ±1.
    error: RMS of image − x over the H·W pixels, what lies outside of them on the canvas included.
    """

    image: torch.Tensor
    rotated: torch.Tensor
    dy: torch.Tensor
    dx: torch.Tensor
    sign: torch.Tensor
    error: torch.Tensor


def align(x_hat: torch.Tensor, x: torch.Tensor, oversampling: int = 2) -> Alignment:
    """min ‖g x̂ − x‖ over the group, one g for all channels: for real images, the turn, shift and sign of largest correlation.

    ‖g x̂ − x‖² = ‖x̂‖² + ‖x‖² − 2 ⟨g x̂, x⟩,  ⟨x̂(· − s), x⟩ = F⁻¹(conj(F P x̂) F P x)(s)

    x_hat, x: (B, C, H, W), x possibly (1, C, H, W).  Ties go to what is not turned, not shifted and positive.  Returns an `Alignment`.
    """
    x, oversampling = _pair(x_hat, x), checks.integer("oversampling", oversampling)
    correlation = _correlation(x_hat, x, oversampling).sum(1)
    scale = (_precise(x_hat).flatten(1).norm(dim=1) * _precise(x).flatten(1).norm(dim=1)).clamp(min=1e-300)
    # Rounded, so that what should be equal is, and the first of equals is taken.
    best = (correlation.abs().flatten(1) / scale[:, None]).round(decimals=9).argmax(1)
    sign = torch.where(correlation.flatten(1).gather(1, best[:, None])[:, 0] < 0, -1, 1)
    rotated, dy, dx, sign = (each.to(x_hat.device) for each in (*torch.unravel_index(best, correlation.shape[1:]), sign))
    rotated = rotated.bool()

    turned = torch.where(rotated.view(-1, 1, 1, 1), rotate(x_hat), x_hat)
    moved = sign.view(-1, 1, 1, 1) * shift(pad(turned, oversampling), dy, dx)
    error = (moved - pad(x, oversampling)).square().flatten(1).sum(1) / x[0].numel()
    height, width = correlation.shape[-2:]
    return Alignment(moved[..., : x.shape[-2], : x.shape[-1]], rotated, _signed(dy, height), _signed(dx, width), sign, error.sqrt())


def align_channels(x_hat: torch.Tensor, x: torch.Tensor, oversampling: int = 2) -> Alignment:
    """`align` with a g for each channel: the whole group of |F P x|, which looks at channels apart.  Fields are (B, C)."""
    x = _pair(x_hat, x)
    found = align(x_hat.flatten(0, 1)[:, None], x.flatten(0, 1)[:, None], oversampling)
    return Alignment(found.image.view_as(x_hat), *(field.view(x_hat.shape[:2]) for field in found[1:]))


def _correlation(x_hat: torch.Tensor, x: torch.Tensor, oversampling: int) -> torch.Tensor:
    """c(s) = Σ_r x(r) x̂(r − s) on the canvas, for x̂ and for x̂ turned: (B, C, 2, oversampling·H, oversampling·W), `_precise`."""
    size = [oversampling * side for side in x.shape[-2:]]
    both = torch.fft.rfft2(_precise(torch.stack([x_hat, rotate(x_hat)], dim=2)), s=size)
    return torch.fft.irfft2(both.conj() * torch.fft.rfft2(_precise(x), s=size)[:, :, None], s=size)


def _precise(x: torch.Tensor) -> torch.Tensor:
    """In float64, on the CPU: MPS has no float64, and copies that are equal have to be told from nearly equal ones."""
    return x.cpu().double()


def _signed(distance: torch.Tensor, period: int) -> torch.Tensor:
    """A circular shift as the shorter way round: in [−period/2, period/2)."""
    return (distance + period // 2) % period - period // 2


def _pair(x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """x repeated for every estimate, after a look at both."""
    for name, each in (("x_hat", x_hat), ("x", x)):
        checks.tensor(name, each, "(B, C, H, W)", dimensions=(4,))
    fits = x.shape in (x_hat.shape, (1, *x_hat.shape[1:]))
    checks.expect(fits, "x", f"shape {tuple(x.shape)}", f"that of x_hat, {tuple(x_hat.shape)}, or a batch of 1")
    return x.to(x_hat).expand_as(x_hat)


# Which copy


def orientation(x_hat: torch.Tensor, x: torch.Tensor, oversampling: int = 2) -> torch.Tensor:
    """Which way up each channel is, from 1, upright, to −1, turned by 180°; (B, C).

    o = (e(rot x̂, x) − e(x̂, x)) / e(rot x, x),  e(a, b) = min ‖g a − b‖ over shifts and signs

    The triangle inequality keeps it in [−1, 1]: 1 for x itself, −1 for rot x, near 0 for what is as close to both.
    NaN for a channel that is its own turned copy: e(rot x, x) below SYMMETRIC, RMS.
    x_hat, x: as in `align`.
    """
    x, oversampling = _pair(x_hat, x), checks.integer("oversampling", oversampling)
    upright, turned = _orbit_errors(x_hat, x, oversampling).unbind(2)
    apart = _orbit_errors(x, x, oversampling)[:, :, 1]
    return torch.where(apart < SYMMETRIC, torch.nan, (turned - upright) / apart).to(x_hat.dtype).to(x_hat.device)


def _orbit_errors(x_hat: torch.Tensor, x: torch.Tensor, oversampling: int) -> torch.Tensor:
    """e(x̂, x) and e(rot x̂, x), RMS over the pixels: (B, C, 2), `_precise`."""
    fit = _correlation(x_hat, x, oversampling).abs().flatten(3).amax(3)
    energy = _precise(x_hat).square().sum((2, 3)) + _precise(x).square().sum((2, 3))
    return ((energy[:, :, None] - 2 * fit).clamp(min=0) / x[0, 0].numel()).sqrt()


def copies(x_hat: torch.Tensor, x: torch.Tensor, oversampling: int = 2, least: float = 0.5) -> list[str]:
    """The name of the symmetric copy that each image is, a list of B strings.

    "upright" or "rotated" where every channel's `orientation` is beyond `least` on that side; "mixed" where channels are decided but not
    alike; "neither" where one is undecided, closer to 0 than `least`.  Channels that are their own copy have no say; "symmetric" where
    none has.
    """
    least = checks.number("least", least, least=0, most=1)
    names = []
    for channels in orientation(x_hat, x, oversampling):
        decided = channels[~channels.isnan()]
        if len(decided) == 0:
            names.append("symmetric")
        elif (decided.abs() < least).any():
            names.append("neither")
        elif (decided > 0).all():
            names.append("upright")
        else:
            names.append("mixed" if (decided > 0).any() else "rotated")
    return names


# What couples the channels


def vectorial_total_variation(x: torch.Tensor) -> torch.Tensor:
    """Total variation whose edges are shared by the channels: it is lower where they have their edges in the same places.

    Σ_r ‖x(r + e₁) − x(r)‖ + ‖x(r + e₂) − x(r)‖ over the H·W pixels, ‖·‖ over the channels
                                                (vectorial TV: Sapiro & Ringach 1996; Bresson & Chan 2008; here for each direction)
    It is the same for x and for x turned by 180°.  The color TV of Blomgren & Chan (1998), √(Σ_c TV(x_c)²), couples the channels by their
    sums alone: it does not see that one of them is turned.  x: (B, C, H, W).  Returns (B,).
    """
    return sum(x.diff(dim=side).norm(dim=1).sum((1, 2)) for side in (2, 3)) / x[0, 0].numel()


def match_channels(x_hat: torch.Tensor) -> torch.Tensor:
    """Turn channels by 180° until their edges agree: of the 2^(C−1) ways, that of least `vectorial_total_variation`.

    The first channel stays.

    The picture as a whole is as likely to be the wrong way up as before.  x_hat: (B, C, H, W).  Returns the same shape.
    """
    B, C = x_hat.shape[:2]
    turned = rotate(x_hat)
    ways = [(False, *rest) for rest in itertools.product((False, True), repeat=C - 1)]
    candidates = torch.stack([torch.where(torch.tensor(way, device=x_hat.device).view(C, 1, 1), turned, x_hat) for way in ways])
    best = torch.stack([vectorial_total_variation(each) for each in candidates]).argmin(0)
    return candidates[best, torch.arange(B, device=x_hat.device)]


# Retrieval


def random_start(operator: FourierMagnitude, y: torch.Tensor, generator: Generators = None) -> torch.Tensor:
    """An image that has y's magnitudes and the phases of white noise, cut to the support: where an iteration may begin.

    x = Pᵀ F⁻¹ (y F n / |F n|),  n ~ N(0, I) on the canvas

    y: (B, C, oversampling·H, oversampling·W).  generator: as in `noise.per_sample`.  Returns (B, C, H, W).
    """
    _check(operator, y)
    return operator.back_project(_with_modulus(torch.fft.fft2(normal(generator, y.shape, y.device, y.dtype)), y))


def error_reduction(
    operator: FourierMagnitude, y: torch.Tensor, x: torch.Tensor, iterations: int = 100, bounds: tuple[float, float] = (0, 1)
) -> Iterator[torch.Tensor]:
    """Alternate between the images with y's magnitudes and those in the support and the bounds.  Yields x̂, (B, C, H, W), each time.

    x ← clip(Pᵀ F⁻¹ (y F P x / |F P x|))      (Gerchberg & Saxton 1972; Fienup 1982)

    This is projected gradient descent, clip(x − ∇½‖|F P x| − y‖²): the misfit never rises, and it stops at the first local minimum.
    operator: a `FourierMagnitude`.  x: the start, (B, C, H, W).  bounds: of the pixels; Fienup's are (0, ∞).
    """
    half, iterations = _half(operator, y), checks.integer("iterations", iterations, 0)
    _check_start(operator, y, x, bounds)

    def walk(x: torch.Tensor) -> Iterator[torch.Tensor]:
        for _ in range(iterations):
            x = _feasible(_with_magnitude(x, half, y.shape), operator.oversampling, bounds)
            yield x

    return walk(x)


def hybrid_input_output(
    operator: FourierMagnitude,
    y: torch.Tensor,
    x: torch.Tensor,
    iterations: int = 500,
    beta: float = 0.9,
    bounds: tuple[float, float] = (0, 1),
) -> Iterator[torch.Tensor]:
    """Fienup's feedback: a pixel of the output x' that breaks a constraint pushes the next input the other way, and is not cut.

    x' = F⁻¹ (y F x / |F x|);   x ← x' where x' obeys,  x ← x − β (x' − clip(x')) elsewhere      (Fienup 1982)

    on the whole canvas, where clip is 0 outside the support.  With bounds (0, ∞) the second line is Fienup's x − β x'.
    It leaves the local minima that `error_reduction` stays in, and does not settle in noise: end with a few iterations of that.
    operator: a `FourierMagnitude`.  x: the start, (B, C, H, W).  Yields the estimate Pᵀ clip(x'), (B, C, H, W), each time.
    """
    half, iterations = _half(operator, y), checks.integer("iterations", iterations, 0)
    beta = checks.number("beta", beta)
    _check_start(operator, y, x, bounds)

    def walk(x: torch.Tensor) -> Iterator[torch.Tensor]:
        for _ in range(iterations):
            output = _with_magnitude(x, half, y.shape)
            x_hat = _feasible(output, operator.oversampling, bounds)
            violation = output - pad(x_hat, operator.oversampling)
            x = torch.where(violation == 0, output, x - beta * violation)
            yield x_hat

    return walk(pad(x, operator.oversampling))


def misfit(operator: FourierMagnitude, x_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """RMS of |F P x̂| − y for each channel, (B, C): σ for the truth.  x_hat: (B, C, H, W).  y: its measurement."""
    return (operator.A(x_hat) - y.to(x_hat.device)).square().mean((2, 3)).sqrt()


class Retrieval(NamedTuple):
    """x_hat: (B, C, H, W).  misfit: of each channel, (B, C)."""

    x_hat: torch.Tensor
    misfit: torch.Tensor


def retrieve(
    operator: FourierMagnitude,
    y: torch.Tensor,
    starts: int = 1,
    hio: int = 200,
    er: int = 50,
    beta: float = 0.9,
    generator: Generators = None,
    bounds: tuple[float, float] = (0, 1),
) -> Retrieval:
    """HIO and then ER from `starts` random phases for each sample; of every channel the one of lowest misfit is kept.

    hio, er: iterations of each.  beta: of `hybrid_input_output`.  generator: as in `noise.per_sample`; a list of B makes a sample
    independent of its batch.
    Which symmetric copy a channel becomes is chance: see `match_channels`.  Returns a `Retrieval`.
    """
    starts, hio, er = checks.integer("starts", starts), checks.integer("hio", hio, 0), checks.integer("er", er, 0)
    _check(operator, y)
    generators = [each for each in generator for _ in range(starts)] if isinstance(generator, (list, tuple)) else generator
    many = y.repeat_interleave(starts, 0)
    x_hat = random_start(operator, many, generators)
    for x_hat in hybrid_input_output(operator, many, x_hat, hio, beta, bounds):  # noqa: B020, each walk goes on from the last
        pass
    for x_hat in error_reduction(operator, many, x_hat, er, bounds):  # noqa: B020
        pass
    return lowest(operator, x_hat, many, starts)


def lowest(operator: FourierMagnitude, x_hat: torch.Tensor, y: torch.Tensor, starts: int) -> Retrieval:
    """Of every channel, the one of lowest misfit among the `starts` of its sample.

    x_hat: (B · starts, C, H, W), the starts of a sample together.  y: their measurements.  Returns a `Retrieval` of B.
    """
    starts = checks.integer("starts", starts)
    x_hat, misfits = (each.unflatten(0, (-1, starts)) for each in (x_hat, misfit(operator, x_hat, y)))
    best = misfits.argmin(1, keepdim=True)
    return Retrieval(x_hat.take_along_dim(best[..., None, None], 1)[:, 0], misfits.take_along_dim(best, 1)[:, 0])


def _half(operator: FourierMagnitude, y: torch.Tensor) -> torch.Tensor:
    """|F x| is even for a real x, so that y holds every magnitude twice: their mean, at least 0, on half the plane."""
    _check(operator, y)
    mirrored = y.flip((-2, -1)).roll((1, 1), (-2, -1))
    return ((y + mirrored) / 2).clamp(min=0)[..., : y.shape[-1] // 2 + 1]


def _with_magnitude(x: torch.Tensor, half: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """F⁻¹ (y F x / |F x|): the closest canvas with the magnitudes y."""
    spectrum = torch.fft.rfft2(x, s=shape[-2:], norm="ortho")
    return torch.fft.irfft2(_with_modulus(spectrum, half), s=shape[-2:], norm="ortho")


def _with_modulus(spectrum: torch.Tensor, modulus: torch.Tensor) -> torch.Tensor:
    """modulus · spectrum / |spectrum|.  Not by torch.sgn, which rounds differently with the place in the batch: HIO is chaotic."""
    return spectrum * (modulus / spectrum.abs().clamp(min=torch.finfo(modulus.dtype).eps))


def _feasible(canvas: torch.Tensor, oversampling: int, bounds: tuple[float, float]) -> torch.Tensor:
    """Pᵀ clip(x'): the support's part of a canvas, inside the bounds."""
    H, W = (side // oversampling for side in canvas.shape[-2:])
    return canvas[..., :H, :W].clamp(*bounds)


def _check(operator: FourierMagnitude, y: torch.Tensor) -> None:
    ours = isinstance(operator, FourierMagnitude)
    checks.expect(ours, "operator", type(operator).__name__, "a FourierMagnitude", checks.ArgumentTypeError)
    operator.A_dagger(y)  # names what is wrong with y
    precise = y.dtype in (torch.float32, torch.float64)
    checks.expect(precise, "y", f"dtype {y.dtype}", "torch.float32 or torch.float64", checks.ArgumentTypeError)


def _check_start(operator: FourierMagnitude, y: torch.Tensor, x: torch.Tensor, bounds: tuple[float, float]) -> None:
    """Where an iteration begins, and between what its pixels stay."""
    checks.tensor("x", x, "(B, C, H, W)", dimensions=(4,))
    expected = (*y.shape[:2], *(side // operator.oversampling for side in y.shape[2:]))
    checks.expect(tuple(x.shape) == expected, "x", f"shape {tuple(x.shape)}", f"{expected}, which operator measures as y")
    pair = isinstance(bounds, (tuple, list)) and len(bounds) == 2
    checks.expect(pair and bounds[0] < bounds[1], "bounds", repr(bounds), "(low, high), low below high")
