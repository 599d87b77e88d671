"""TReg: Regularization by Texts for Latent Diffusion Inverse Solvers (Kim, Park, Chung, Ye, ICLR 2025), Algorithm 1."""

import functools
import itertools
import math
import numbers
import warnings

import torch

from .consistency import image_shape, is_consistency_step, is_linear, latent_step, pixel_step, pixel_step_nonlinear, renoise
from .diffusion import Step, broadcast, ddim_step, generators, guided_noise, randn, tweedie
from .metrics import y_mse
from .negation import adaptive_negation


@torch.no_grad()
def treg(
    prior,
    operator,
    y,
    prompt,
    *,
    null_prompt="out of focus, depth of field",
    steps=200,
    guidance_scale=5.0,
    lam=1e-4,
    iterations=None,
    every=3,
    until=0.85,
    negation="hidden",
    negation_learning_rate=1e-3,
    negation_iterations=10,
    start=None,
    seed=0,
):
    """Reconstruct images from measurements y = A(x) + n, a text telling which of the many explanations is meant.

    prior: a `LatentDiffusion`.  operator: of `treg_edu.operators`, or a `deepinv.physics` object.  y: B measurements.
    prompt, null_prompt: one string, or a list of B.  steps: T.  guidance_scale: ω.  lam: λ of the pixel step, solved by `iterations` of
    conjugate gradient (linear A, 5 if None) or of projected gradient (nonlinear A, 50 if None).
    every, until: Γ, every `every`-th among the first `until` · T steps.
    negation: "hidden" compares the image feature with the null text's hidden states, as published; "projected" after CLIP's text
    projection; None leaves c_∅ alone.  start: (B, 3, H, W), where the pixel steps of a nonlinear A descend from, such as the result of HIO;
    None means from D(ẑ₀), which knows the text.  seed: see `diffusion.generators`.
    Defaults are the authors' (ω = 5, 200 steps, for Stable Diffusion 1.5 at 512×512); `prior.recommended` holds the bundled prior's.

    Yields one `Step` per timestep; the last `x_hat`, (B, 3, H, W) in [0, 1], is the reconstruction.
    """
    check_measurement(y)
    check_settings(guidance_scale, lam, iterations, every, until, negation, negation_learning_rate, negation_iterations)
    check_negation(prior, negation)
    check_operator(prior, operator)
    # Least squares needs float32 at least, whatever the precision of the networks.
    batch, y = len(y), y.to(prior.device, torch.promote_types(prior.dtype, torch.float32))
    noises = generators(seed, batch)
    size = image_shape(operator, y)
    warn_of_size(prior, y, size)
    c = prior.embed_text(broadcast(prompt, batch))
    null = prior.embed_text(broadcast(null_prompt, batch, "null_prompt")).to(y.dtype)
    solve_pixels = pixel_step if is_linear(operator) else pixel_step_nonlinear
    if iterations is not None:
        solve_pixels = functools.partial(solve_pixels, iterations=iterations)
    if start is not None:
        check_start(start, operator, (batch, 3, *size))
        solve_pixels = functools.partial(solve_pixels, start=start.to(y))

    z_t = randn(noises, prior.latent_shape(size), prior.device, prior.dtype)
    for index, (t, t_prev) in enumerate(prior.timesteps(steps)):
        alpha_bar, alpha_bar_prev = prior.alpha_bar(t), prior.alpha_bar(t_prev)
        noise = guided_noise(prior, z_t, t, c, null, guidance_scale)
        z0 = tweedie(z_t, noise, alpha_bar)
        x_hat = None
        if is_consistency_step(index, steps, every, until):
            x_hat = solve_pixels(operator, y, prior.decode(z0).to(y.dtype), lam)
            if negation:
                feature = prior.embed_images(x_hat)
                if negation == "projected":
                    feature = prior.to_hidden_space(feature)
                null = adaptive_negation(null, feature, negation_learning_rate, negation_iterations)
            z0 = latent_step(prior.encode(x_hat), z0, alpha_bar_prev)
            fresh = randn(noises, z0.shape[1:], prior.device, prior.dtype)
            z_next = renoise(z0, noise, fresh, alpha_bar_prev)
        else:
            z_next = ddim_step(z0, noise, alpha_bar_prev)
        if index == steps - 1:
            x_hat = prior.decode(z0).to(y.dtype)
        residual = None
        if x_hat is not None:
            x_hat = x_hat.clamp(0, 1)
            residual = y_mse(operator, x_hat, y)
        yield Step(index, t, z_t, z0, z_next, null, x_hat, residual)
        z_t = z_next


def check_measurement(y):
    """A measurement is a finite floating-point tensor with at least one sample, (B, C, …)."""
    if not isinstance(y, torch.Tensor) or not y.is_floating_point():
        came = y.dtype if isinstance(y, torch.Tensor) else type(y).__name__
        raise TypeError(f"y: got {came}, expected a floating-point torch.Tensor (B, C, …)")
    if y.ndim < 2 or 0 in y.shape:
        raise ValueError(f"y: got shape {tuple(y.shape)}, expected (B, …), none of them 0")
    if not y.isfinite().all():
        raise ValueError(f"y: {int((~y.isfinite()).sum())} of {y.numel()} values are NaN or infinite, expected finite values")


def check_start(start, operator, shape):
    """Only a nonlinear pixel step has several minima to choose among by where it begins."""
    if is_linear(operator):
        raise ValueError("start: got images, expected None: the pixel steps of a linear operator begin at D(ẑ₀)")
    if not isinstance(start, torch.Tensor) or start.shape != shape:
        came = tuple(start.shape) if isinstance(start, torch.Tensor) else type(start).__name__
        raise ValueError(f"start: got {came}, expected a tensor of shape {shape}")


def warn_of_size(prior, y, size):
    """A picture passed for its measurement is a common slip; it asks for an image many times the size the prior knows."""
    side = prior.unet.config.sample_size * 2 ** (len(prior.vae.config.block_out_channels) - 1)
    if min(size) > 4 * side or max(size) < side / 2:
        doubt = "Is y the measurement?" if min(size) > side else "It knows no pictures so small."
        warnings.warn(
            f"y: shape {tuple(y.shape)} means images of {size[0]}×{size[1]}; this prior was trained on {side}×{side}. {doubt}",
            stacklevel=3,
        )


def check_operator(prior, operator):
    """Our operators follow the image; deepinv's are modules with buffers, which stay where they are."""
    if not callable(getattr(operator, "A", None)):
        raise TypeError(f"operator: got {operator!r}, expected one of treg_edu.operators, or a deepinv.physics object")
    if isinstance(operator, torch.nn.Module):
        for tensor in itertools.chain(operator.parameters(), operator.buffers()):
            if tensor.device != prior.device:
                raise ValueError(f"operator: is on {tensor.device}, expected {prior.device}, where the prior is; call operator.to(…)")


def check_negation(prior, negation):
    """The feature of an image and the null text's states must be of one width, or their inner product means nothing."""
    clip, width = prior.clip.config, prior.text_encoder.config.hidden_size
    came = {"hidden": clip.projection_dim, "projected": clip.text_config.hidden_size, None: width}[negation]
    if came != width:
        raise ValueError(
            f"negation: {negation!r} compares features of width {came} with text states of width {width}, expected one width; "
            "load the prior with the CLIP whose text tower it uses (clip=…), or pass negation=None"
        )


def check_settings(guidance_scale, lam, iterations, every, until, negation, negation_learning_rate, negation_iterations):
    """The settings whose nonsense would only show in the picture."""

    def whole(value):
        return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1

    for holds, name, came, expected in (
        (0 <= guidance_scale < math.inf, "guidance_scale", guidance_scale, "a finite number of at least 0"),
        (0 < lam < math.inf, "lam", lam, "a finite number above 0"),
        (iterations is None or whole(iterations), "iterations", iterations, "an integer of at least 1"),
        (whole(every), "every", every, "an integer of at least 1"),
        (0 <= until <= 1, "until", until, "a share from 0 to 1"),
        (negation in ("hidden", "projected", None), "negation", negation, "'hidden', 'projected' or None"),
        (0 < negation_learning_rate < math.inf, "negation_learning_rate", negation_learning_rate, "a finite number above 0"),
        (whole(negation_iterations), "negation_iterations", negation_iterations, "an integer of at least 1"),
    ):
        if not holds:
            raise ValueError(f"{name}: got {came!r}, expected {expected}")
