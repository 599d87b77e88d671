"""treg_edu.operators against their definitions, against dense linear algebra, and against deepinv, torch and autograd."""

import sys

import pytest
import torch
import torch.nn.functional as F
from deepinv_reference import deepinv
from hypothesis import given, settings
from hypothesis import strategies as st

from treg_edu import noise
from treg_edu.operators import (
    OPERATORS,
    FourierMagnitude,
    GammaCorrection,
    GaussianBlur,
    Inpainting,
    LinearOperator,
    Operator,
    SuperResolution,
    conjugate_gradient,
    twin,
)
from treg_edu.operators.decomposition import RELATIVE_CUTOFF
from treg_edu.operators.gamma import SMALLEST_GREY

ROUNDING = {torch.float64: 1e-13, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}
brief = settings(max_examples=40, deadline=None)


class Differences(LinearOperator):
    """Horizontal differences: a linear operator with no closed form of its own."""

    def A(self, x):
        return x[..., 1:] - x[..., :-1]

    def A_adjoint(self, y):
        return F.pad(y, (1, 0)) - F.pad(y, (0, 1))


def gaussian_noise(like, generator=None):
    return noise.normal(generator, like.shape, like.device, like.dtype)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def image(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def random_mask(*shape, seed=0):
    return image(*shape, seed=seed) > 0.4


def half_squared_residual(operator, x, y):
    return 0.5 * (operator.A(x) - y).square().sum()


def dense(operator, *shape):
    """The matrix of a linear operator on single-channel images, one column a pixel."""
    pixels = torch.eye(shape[0] * shape[1], dtype=torch.float64).view(-1, 1, *shape)
    return operator.A(pixels).flatten(1).T


def inner(a, b):
    return (a.double() * b.double()).sum()


@st.composite
def linear_problems(draw):
    """A linear operator and the shape of an image that it takes."""
    batch, channels = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3]))
    height, width = draw(st.integers(2, 12)), draw(st.integers(2, 12))
    seed = draw(st.integers(0, 99))
    kind = draw(st.sampled_from(["sr", "blur", "inpaint", "differences"]))
    if kind == "sr":
        factor = draw(st.integers(1, 8))
        return SuperResolution(factor), (batch, channels, factor * draw(st.integers(1, 4)), factor * draw(st.integers(1, 4)))
    if kind == "blur":
        sigma, kernel_size = draw(st.floats(0.3, 6)), 2 * draw(st.integers(0, 30)) + 1
        return GaussianBlur(sigma, kernel_size), (batch, channels, height, width)
    if kind == "inpaint":
        mask_shape = draw(st.sampled_from([(), (1, 1), (1, channels), (batch, 1), (batch, channels)]))
        return Inpainting(random_mask(*mask_shape, height, width, seed=seed)), (batch, channels, height, width)
    return Differences(), (batch, channels, height, width)


SMALL_LINEAR = [
    pytest.param(SuperResolution(2), (6, 8), id="sr2"),
    pytest.param(SuperResolution(4), (8, 4), id="sr4"),
    pytest.param(SuperResolution(1), (3, 5), id="sr1"),
    pytest.param(GaussianBlur(0.6, 5), (7, 6), id="mild-blur"),
    pytest.param(GaussianBlur(), (6, 7), id="paper-blur"),
    pytest.param(GaussianBlur(2.0, 9), (1, 5), id="blur-of-one-row"),
    pytest.param(Inpainting(random_mask(5, 6)), (5, 6), id="inpaint"),
]
CLOSED_FORMS = [case for case in SMALL_LINEAR if case.id != "paper-blur"]  # whose condition number no CG overcomes


# Linear operators


@brief
@given(problem=linear_problems(), dtype=st.sampled_from(list(ROUNDING)))
def test_adjoint_is_exact(problem, dtype):
    operator, shape = problem
    x = image(*shape, dtype=dtype)
    y = (image(*operator.A(x).shape, seed=1) - 0.5).to(dtype)
    Ax, Aty = operator.A(x), operator.A_adjoint(y)
    assert Ax.dtype == Aty.dtype == dtype and Aty.shape == x.shape
    error = (inner(Ax, y) - inner(x, Aty)).abs()
    assert error <= ROUNDING[dtype] * (inner(x, x) * inner(y, y)).sqrt()


@pytest.mark.parametrize("operator, size", SMALL_LINEAR)
def test_adjoint_and_pseudo_inverse_are_those_of_the_dense_matrix(operator, size):
    M = dense(operator, *size)
    y = image(2, 1, *operator.A(image(1, 1, *size)).shape[-2:])
    torch.testing.assert_close(operator.A_adjoint(y).flatten(1), y.flatten(1) @ M)
    inverse = torch.linalg.pinv(M, rtol=RELATIVE_CUTOFF)
    torch.testing.assert_close(operator.A_dagger(y).flatten(1), y.flatten(1) @ inverse.T, rtol=1e-8, atol=1e-8)


@brief
@given(problem=linear_problems())
def test_pseudo_inverse_inverts_on_the_range(problem):
    operator, shape = problem
    x = image(*shape)
    y = operator.A(x)
    again = operator.A(operator.A_dagger(y))
    assert (again - y).norm() <= RELATIVE_CUTOFF * x.norm()  # what the dropped singular values carry


@brief
@given(problem=linear_problems(), gamma=st.floats(1e-3, 1e4))
def test_prox_is_the_minimum(problem, gamma):
    operator, shape = problem
    z = image(*shape)
    y = operator.A(image(*shape, seed=1)) + 0.01

    def objective(x):
        return gamma * half_squared_residual(operator, x, y) + 0.5 * (x - z).square().sum()

    x = operator.prox_l2(z, y, gamma)
    slope = gamma * operator.gradient(x, y) + x - z
    assert x.shape == z.shape
    assert slope.norm() <= 1e-5 * (gamma * operator.A_adjoint(y) + z).norm()
    for seed in range(3):
        direction = 1e-2 * (image(*shape, seed=seed) - 0.5)
        assert objective(x) < objective(x + direction)
        assert objective(x) < objective(x - direction)


@pytest.mark.parametrize("operator, size", SMALL_LINEAR)
@pytest.mark.parametrize("gamma", [0.0, 0.1, 10.0, 1e4])
def test_prox_solves_the_dense_normal_equations(operator, size, gamma):
    M = dense(operator, *size)
    z = image(2, 1, *size)
    y = operator.A(image(2, 1, *size, seed=1))
    system = torch.eye(M.shape[1]) + gamma * M.T @ M
    expected = torch.linalg.solve(system, (z.flatten(1) + gamma * y.flatten(1) @ M).T).T
    torch.testing.assert_close(operator.prox_l2(z, y, gamma).flatten(1), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("operator, size", CLOSED_FORMS)
def test_conjugate_gradient_finds_the_closed_forms(operator, size):
    z = image(2, 3, *size)
    y = operator.A(image(2, 3, *size, seed=1))
    gamma = torch.tensor([1.0, 30.0], dtype=torch.float64).view(2, 1, 1, 1)
    error = LinearOperator.prox_l2(operator, z, y, gamma) - operator.prox_l2(z, y, gamma)
    right_hand_side = z + gamma * operator.A_adjoint(y)
    assert (error.flatten(1).norm(dim=1) <= 1e-6 * right_hand_side.flatten(1).norm(dim=1)).all()  # the smallest eigenvalue is 1
    if isinstance(operator, SuperResolution | Inpainting):
        torch.testing.assert_close(LinearOperator.A_dagger(operator, y), operator.A_dagger(y), rtol=0, atol=1e-5)


def test_the_pseudo_inverse_of_a_long_row_takes_as_many_iterations_as_it_has_pixels():
    """The 63 differences of 64 pixels have 63 singular values, none repeated; x has the mean 0 of the solution of least norm."""
    x = image(2, 3, 1, 64)
    x = x - x.mean(-1, keepdim=True)
    torch.testing.assert_close(Differences().A_dagger(Differences().A(x)), x, rtol=0, atol=1e-5)


def test_pixel_step_of_the_paper_holds_in_float32():
    """λ = 1e-4 is γ = 1e4: float32 has to solve it as float64 does."""
    for operator in (SuperResolution(16), GaussianBlur()):
        z, x = image(1, 3, 64, 64), image(1, 3, 64, 64, seed=1)
        y = operator.A(x)
        single = operator.prox_l2(z.float(), y.float(), 1e4)
        torch.testing.assert_close(single.double(), operator.prox_l2(z, y, 1e4), rtol=0, atol=1e-3)


@pytest.mark.parametrize("operator, size", SMALL_LINEAR)
def test_gradient_of_a_linear_operator(operator, size):
    x, y = image(2, 3, *size), operator.A(image(2, 3, *size, seed=1))
    torch.testing.assert_close(operator.gradient(x, y), operator.A_adjoint(operator.A(x) - y))


def test_super_resolution_weights_are_those_of_the_kernel():
    """By hand: factor 2 takes k(1/4), k(3/4), k(5/4), k(7/4) on either side of the centre, over their sum 2."""
    row = SuperResolution(2).matrix(16)[3]
    near, next_, far, last = 0.8671875, 0.2265625, -0.0703125, -0.0234375
    expected = torch.tensor([last, far, next_, near, near, next_, far, last], dtype=torch.float64) / 2
    torch.testing.assert_close(row[3:11], expected)
    assert row.sum() == pytest.approx(1) and row[:3].abs().sum() + row[11:].abs().sum() == 0


def test_blur_mirrors_the_border_without_repeating_the_edge():
    """By hand: three taps a, b, a on four pixels."""
    D = GaussianBlur(1.0, 3).matrix(4)
    b = 1 / (1 + 2 * torch.exp(torch.tensor(-0.5, dtype=torch.float64)))
    a = (1 - b) / 2
    expected = torch.tensor([[b, 2 * a, 0, 0], [a, b, a, 0], [0, a, b, a], [0, 0, 2 * a, b]], dtype=torch.float64)
    torch.testing.assert_close(D, expected)


@brief
@given(sigma=st.floats(0.3, 8), half=st.integers(0, 40), side=st.integers(1, 20))
def test_blur_keeps_a_constant_image(sigma, half, side):
    x = torch.full((1, 1, side, 3), 0.7, dtype=torch.float64)
    torch.testing.assert_close(GaussianBlur(sigma, 2 * half + 1).A(x), x)


def test_matrices_are_built_once_and_factored_only_where_their_factors_are_asked_for(monkeypatch):
    operator, built, factored = GaussianBlur(), [], []
    matrix, svd = GaussianBlur.matrix, torch.linalg.svd
    monkeypatch.setattr(GaussianBlur, "matrix", lambda self, n: built.append(n) or matrix(self, n))
    monkeypatch.setattr(torch.linalg, "svd", lambda D, **options: factored.append(D) or svd(D, **options))
    x = image(1, 3, 8, 6)
    for _ in range(2):
        operator.A_adjoint(operator.A(x))
    assert sorted(built) == [6, 8] and not factored
    for _ in range(2):
        operator.A_dagger(operator.prox_l2(x, operator.A(x), 1.0))
    assert sorted(built) == [6, 6, 8, 8] and len(factored) == 2


@pytest.mark.parametrize("operator", [SuperResolution(2), GaussianBlur(1.0, 5), Inpainting.box(8, 2, 2, 3, 3)])
def test_first_use_under_inference_mode_does_not_forbid_autograd(operator):
    with torch.inference_mode():
        operator.A(image(1, 3, 8, 8))
    x = image(1, 3, 8, 8).requires_grad_()
    operator.A(x).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * operator.A_adjoint_A(x.detach()))


def test_box_hides_the_box():
    x = image(1, 3, 6, 7)
    y = Inpainting.box((6, 7), top=1, left=2, height=3, width=4).A(x)
    expected = x.clone()
    expected[..., 1:4, 2:6] = 0
    assert torch.equal(y, expected)


def test_inpainting_ignores_what_is_hidden():
    """A hidden pixel is not data, whatever a measurement read from a file holds there."""
    operator = Inpainting.box(6, 1, 1, 2, 2)
    z, x = image(1, 3, 6, 6), image(1, 3, 6, 6, seed=1)
    torch.testing.assert_close(operator.prox_l2(z, x, 5.0), operator.prox_l2(z, operator.A(x), 5.0))
    torch.testing.assert_close(operator.A_dagger(x), operator.A(x))


@pytest.mark.parametrize("operator", [SuperResolution(4), GaussianBlur(2.0), Inpainting.box(16, 4, 4, 8, 8)])
def test_a_twin_measures_the_same_and_is_another_image(operator):
    x, other = 0.3 + 0.4 * image(2, 3, 16, 16), image(2, 3, 16, 16, seed=1)  # x away from 0 and 1, where both sets surely meet
    u = twin(operator, x, other, iterations=500)
    assert 0 <= u.min() and u.max() <= 1
    assert (operator.A(u) - operator.A(x)).abs().max() < 1e-3
    assert (u - x).abs().max() > 0.1 and (u - other).norm() < (x - other).norm()
    assert torch.equal(twin(operator, x, x), x)


# Nonlinear operators


NONLINEAR = [FourierMagnitude(), FourierMagnitude(1), FourierMagnitude(3), GammaCorrection(2.2), GammaCorrection(0.45)]
NONLINEAR_IDS = ["phase2", "phase1", "phase3", "gamma2.2", "gamma0.45"]


@pytest.mark.parametrize("operator", NONLINEAR, ids=NONLINEAR_IDS)
def test_gradient_is_autograds(operator):
    x = (1.4 * image(2, 3, 5, 6) - 0.2).requires_grad_()  # some values outside [0, 1]
    y = operator.measure(image(2, 3, 5, 6, seed=1), 0.1, generator())
    (expected,) = torch.autograd.grad(half_squared_residual(operator, x, y), x)
    torch.testing.assert_close(operator.gradient(x.detach(), y), expected)


@pytest.mark.parametrize("operator", NONLINEAR, ids=NONLINEAR_IDS)
def test_gradient_is_that_of_finite_differences(operator):
    x, direction = 0.1 + 0.8 * image(1, 3, 5, 6), image(1, 3, 5, 6, seed=2) - 0.5
    y = operator.A(image(1, 3, 5, 6, seed=1))
    h = 1e-5
    step = half_squared_residual(operator, x + h * direction, y) - half_squared_residual(operator, x - h * direction, y)
    torch.testing.assert_close(inner(operator.gradient(x, y), direction), step / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("operator", NONLINEAR, ids=NONLINEAR_IDS)
def test_vector_jacobian_product_is_autograds(operator):
    x = image(2, 3, 5, 6)
    v = image(*operator.A(x).shape, seed=3) - 0.5
    _, vjp = torch.func.vjp(operator.A, x)
    torch.testing.assert_close(operator.A_vjp(x, v), vjp(v)[0])


@pytest.mark.parametrize("operator", NONLINEAR, ids=NONLINEAR_IDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_nonlinear_operators_keep_the_dtype(operator, dtype):
    x = image(2, 3, 8, 8, dtype=dtype)
    y = operator.measure(x, 0.01, generator())
    for result in (y, operator.gradient(x, y), operator.A_vjp(x, y), operator.A_dagger(y)):
        assert result.dtype == dtype and result.isfinite().all()
    torch.testing.assert_close(operator.A(x).double(), operator.A(x.double()), rtol=ROUNDING[dtype], atol=ROUNDING[dtype])


def test_fourier_magnitude_is_that_of_the_padded_transform():
    x = image(2, 3, 4, 6)
    padded = F.pad(x, (0, 6, 0, 4))
    torch.testing.assert_close(FourierMagnitude().A(x), torch.fft.fft2(padded).abs() / (8 * 12) ** 0.5)


@pytest.mark.parametrize("oversampling", [1, 2])
def test_fourier_magnitude_has_its_symmetries_and_keeps_the_norm(oversampling):
    operator, x = FourierMagnitude(oversampling), image(1, 3, 6, 6)
    x[..., 4:, :] = 0  # room to shift
    y = operator.A(x)
    torch.testing.assert_close(y.square().sum(), x.square().sum())
    for same in (-x, x.flip(-2, -1), x.roll(2, -2)):
        torch.testing.assert_close(operator.A(same), y)
    assert (operator.A(x.flip(-1)) - y).abs().max() > 1e-2  # a mirror image is not one of them


def test_fourier_gradient_is_finite_at_zero_magnitude():
    operator, zero = FourierMagnitude(), torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    y = operator.A(image(1, 3, 4, 4))
    assert torch.equal(operator.gradient(zero, y), zero)
    assert torch.equal(operator.A_vjp(zero, y), zero)


def test_unit_gradient_step_is_error_reduction():
    operator, x = FourierMagnitude(), image(1, 3, 5, 5)
    y = operator.A(image(1, 3, 5, 5, seed=1))
    spectrum = torch.fft.fft2(F.pad(x, (0, 5, 0, 5)), norm="ortho")
    projected = torch.fft.ifft2(y * spectrum / spectrum.abs(), norm="ortho").real[..., :5, :5]
    torch.testing.assert_close(x - operator.gradient(x, y), projected)


def test_fourier_start_has_the_magnitudes_where_nothing_is_cropped():
    operator = FourierMagnitude(oversampling=1)
    y = operator.A(image(1, 3, 5, 6))
    torch.testing.assert_close(operator.A(operator.A_dagger(y)), y)


@brief
@given(gamma=st.floats(0.1, 10))
def test_gamma_is_the_power_and_its_inverse_is_exact(gamma):
    operator = GammaCorrection(gamma)
    x = torch.linspace(0, 1, 4001, dtype=torch.float64).view(1, 1, 1, -1)
    y = operator.A(x)
    bright = x >= SMALLEST_GREY
    torch.testing.assert_close(y[bright], x[bright] ** gamma)
    assert (y - x**gamma).abs().max() <= SMALLEST_GREY**gamma + 1e-15
    torch.testing.assert_close(operator.A_dagger(y), x)


def test_gamma_survives_what_leaves_the_range():
    """Without the straight line, autograd gives 0 · ∞ = NaN at the clamped pixels for γ < 1."""
    operator = GammaCorrection(0.45)
    x = torch.tensor([-0.5, 0.0, 5e-4, 0.5, 1.0, 1.5], dtype=torch.float64).view(1, 1, 1, -1).requires_grad_()
    y = operator.A(x)
    assert y.min() == 0 and y.max() == 1
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, operator.A_vjp(x.detach(), torch.ones_like(y)))
    assert slope.isfinite().all() and slope[..., [0, 5]].abs().max() == 0


def test_the_slope_of_gamma_is_computed_in_float32():
    operator, x, v = GammaCorrection(10), torch.full((1, 3, 4, 4), 0.2), torch.ones(1, 3, 4, 4)
    found = operator.A_vjp(x.bfloat16(), v.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), operator.A_vjp(x.bfloat16().float(), v), rtol=2**-8, atol=0)  # rounded once


# Against other implementations


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_super_resolution_is_torchs_antialiased_bicubic(factor):
    x = image(2, 3, 4 * factor, 6 * factor, dtype=torch.float32)
    expected = F.interpolate(x, scale_factor=1 / factor, mode="bicubic", antialias=True)
    torch.testing.assert_close(SuperResolution(factor).A(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_super_resolution_is_deepinvs_away_from_the_border(factor):
    x = image(1, 3, 8 * factor, 8 * factor, dtype=torch.float32)
    inside = (..., slice(2, -2), slice(2, -2))
    y = SuperResolution(factor).A(x)
    matlab = deepinv.physics.DownsamplingMatlab(factor=factor).A(x)
    torch.testing.assert_close(y[inside], matlab[inside], rtol=0, atol=2e-6)
    moved = x.roll((1 - factor // 2, 1 - factor // 2), (-2, -1))
    strided = deepinv.physics.Downsampling(filter="bicubic", factor=factor, padding="circular").A(moved)
    torch.testing.assert_close(y[inside], strided[inside], rtol=0, atol=2e-6)


@pytest.mark.parametrize("sigma, kernel_size, size", [(5.0, 61, (40, 64)), (1.5, 9, (12, 20))])
def test_blur_is_deepinvs(sigma, kernel_size, size):
    gaussian_blur = deepinv.physics.functional.gaussian_blur
    kernel = gaussian_blur(psf_size=(kernel_size, kernel_size), sigma=(sigma, sigma), dtype=torch.float64)
    theirs = deepinv.physics.Blur(kernel, padding="reflect", use_fft=True)
    ours = GaussianBlur(sigma, kernel_size)
    x, z = image(1, 3, *size), image(1, 3, *size, seed=1)
    y = ours.A(x)
    torch.testing.assert_close(y, theirs.A(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.A_adjoint(y), theirs.A_adjoint(y), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        ours.prox_l2(z, y, 5.0), theirs.prox_l2(z, y, 5.0, solver="lsqr", max_iter=200, tol=1e-10), rtol=0, atol=1e-8
    )


def test_blur_is_deepinvs_circular_one_away_from_the_border():
    kernel = deepinv.physics.functional.gaussian_blur(psf_size=(9, 9), sigma=(1.5, 1.5))
    x = image(1, 3, 24, 20, dtype=torch.float32)
    theirs = deepinv.physics.BlurFFT(img_size=(3, 24, 20), filter=kernel).A(x)
    inside = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(GaussianBlur(1.5, 9).A(x)[inside], theirs[inside], rtol=0, atol=2e-6)


def test_inpainting_is_deepinvs():
    mask = random_mask(1, 3, 8, 8)
    ours, theirs = Inpainting(mask), deepinv.physics.Inpainting((3, 8, 8), mask=mask.double())
    x, z = image(2, 3, 8, 8), image(2, 3, 8, 8, seed=1)
    y = ours.A(x)
    torch.testing.assert_close(y, theirs.A(x))
    torch.testing.assert_close(ours.A_adjoint(y), theirs.A_adjoint(y))
    torch.testing.assert_close(ours.A_dagger(y), theirs.A_dagger(y))
    torch.testing.assert_close(ours.prox_l2(z, y, 7.0), theirs.prox_l2(z, y, 7.0))


def test_noise_is_distributed_as_deepinvs():
    sigma, x = 0.05, image(8, 3, 64, 64, dtype=torch.float32)
    mask = random_mask(64, 64)
    ours = Inpainting(mask).measure(x, sigma, generator()) - mask * x
    noise_model = deepinv.physics.GaussianNoise(sigma, rng=generator(1))
    theirs = deepinv.physics.Inpainting((3, 64, 64), mask=mask.float()[None], noise_model=noise_model)(x) - mask * x
    for n in (ours, theirs):
        assert n[..., ~mask].abs().max() == 0
        assert n[..., mask].mean().abs() < 4 * sigma / n[..., mask].numel() ** 0.5
        assert n[..., mask].std() == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize("operator", [SuperResolution(2), GaussianBlur(1.0, 5), Inpainting.box(8, 2, 2, 3, 3)])
def test_linear_operators_drop_into_deepinv(operator):
    fidelity = deepinv.optim.L2()
    z, y = image(2, 3, 8, 8), operator.A(image(2, 3, 8, 8, seed=1))
    torch.testing.assert_close(fidelity.grad(z, y, operator), operator.gradient(z, y))
    torch.testing.assert_close(fidelity.prox(z, y, operator, gamma=3.0), operator.prox_l2(z, y, 3.0))


@pytest.mark.parametrize("operator", NONLINEAR, ids=NONLINEAR_IDS)
def test_nonlinear_operators_drop_into_deepinv(operator):
    z, y = image(2, 3, 8, 8), operator.A(image(2, 3, 8, 8, seed=1))
    torch.testing.assert_close(deepinv.optim.L2().grad(z, y, operator), operator.gradient(z, y))


def test_deepinvs_stand_ins_are_gone():
    stand_ins = [name for name, module in sys.modules.items() if name.split(".")[0] == "torchvision" and "Mock" in type(module).__name__]
    assert not stand_ins


# Conjugate gradient


def systems(*sizes):
    """Symmetric positive definite matrices of growing condition number, and their right-hand sides."""
    factors = torch.randn(*sizes, sizes[-1], generator=generator(), dtype=torch.float64)
    spread = torch.logspace(0, 2, sizes[0], dtype=torch.float64).view(-1, 1, 1)
    return torch.eye(sizes[-1], dtype=torch.float64) + spread * factors @ factors.mT, image(*sizes)


def test_conjugate_gradient_solves():
    M, b = systems(4, 8)
    x = conjugate_gradient(lambda v: (M @ v[..., None])[..., 0], b, tolerance=1e-12)
    torch.testing.assert_close(x, torch.linalg.solve(M, b))


def test_conjugate_gradient_treats_each_sample_alone():
    M, b = systems(4, 8)
    for iterations in (1, 5, 50):
        together = conjugate_gradient(lambda v: (M @ v[..., None])[..., 0], b, iterations=iterations)
        for i in range(4):
            alone = conjugate_gradient(lambda v: (M[i] @ v[..., None])[..., 0], b[i : i + 1], iterations=iterations)
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-9, atol=1e-12)


def test_conjugate_gradient_leaves_a_solved_sample_alone():
    M, b = systems(3, 8)
    x = torch.zeros_like(b)
    x[0] = torch.linalg.solve(M[0], b[0])
    result = conjugate_gradient(lambda v: (M @ v[..., None])[..., 0], b, x)
    assert torch.equal(result[0], x[0]) and not torch.equal(result[1], x[1])


def test_conjugate_gradient_from_anywhere_to_zero():
    """With b = 0 no residual is small relative to b, and ⟨p, M p⟩ underflows in the end."""
    for seed in (4, 47):
        generator = torch.Generator().manual_seed(seed)
        M = torch.randn(12, 12, generator=generator)
        M = M @ M.T + 0.1 * torch.eye(12)
        x = conjugate_gradient(lambda v: v @ M, torch.zeros(3, 12), torch.randn(3, 12, generator=generator), iterations=2000)
        assert x.abs().max() < 1e-4


def test_conjugate_gradient_stops_when_all_are_solved_and_handles_zero():
    calls = []
    b = torch.zeros(2, 3)
    b[1] = 1
    x = conjugate_gradient(lambda v: calls.append(1) or 2 * v, b)
    assert torch.equal(x, b / 2) and len(calls) == 1


def test_conjugate_gradient_does_not_overflow_in_float16():
    b = torch.full((1, 4096), 100.0, dtype=torch.float16)  # whose sum of squares float16 cannot hold
    assert torch.equal(conjugate_gradient(lambda v: 2 * v, b), b / 2)


def test_conjugate_gradient_shows_a_nan():
    assert conjugate_gradient(lambda v: v, torch.tensor([[1.0], [float("nan")]]), torch.zeros(2, 1)).isnan().tolist() == [[False], [True]]


@pytest.mark.parametrize(
    "operator, name",
    [(SuperResolution(2), "factor"), (GaussianBlur(), "sigma"), (GaussianBlur(), "kernel_size"), (Inpainting(torch.ones(4, 4)), "mask")],
)
def test_what_the_kept_matrices_rest_on_cannot_be_changed(operator, name):
    with pytest.raises(AttributeError):
        setattr(operator, name, getattr(operator, name))


# Measurement


ALL = {
    "sr": SuperResolution(2),
    "blur": GaussianBlur(1.0, 5),
    "inpaint": Inpainting.box(8, 2, 2, 3, 3),
    "phase": FourierMagnitude(),
    "gamma": GammaCorrection(),
}


def test_operators_say_what_they_are():
    assert OPERATORS.keys() == ALL.keys()
    assert all(type(ALL[name]) is OPERATORS[name] and isinstance(ALL[name], Operator) for name in ALL)
    assert [name for name in ALL if isinstance(ALL[name], LinearOperator)] == ["sr", "blur", "inpaint"]


@pytest.mark.parametrize("operator", ALL.values(), ids=ALL)
def test_measure_does_not_depend_on_the_batch(operator):
    x = image(3, 3, 8, 8)
    together = operator.measure(x, 0.1, [generator(seed) for seed in (5, 6, 7)])
    for i, seed in enumerate((5, 6, 7)):
        torch.testing.assert_close(operator.measure(x[i : i + 1], 0.1, [generator(seed)]), together[i : i + 1])
        torch.testing.assert_close(operator.measure(x[i : i + 1], 0.1, generator(seed)), together[i : i + 1])


@pytest.mark.parametrize("operator", ALL.values(), ids=ALL)
def test_nothing_else_depends_on_the_batch(operator):
    x, y = image(3, 3, 8, 8), operator.A(image(3, 3, 8, 8, seed=1))
    one, y_one = x[1:2], y[1:2]
    torch.testing.assert_close(operator(one), operator(x)[1:2])
    torch.testing.assert_close(operator.gradient(one, y_one), operator.gradient(x, y)[1:2])
    torch.testing.assert_close(operator.A_dagger(y_one), operator.A_dagger(y)[1:2])
    if isinstance(operator, LinearOperator):
        torch.testing.assert_close(operator.prox_l2(one, y_one, 2.0), operator.prox_l2(x, y, 2.0)[1:2])


def test_one_generator_draws_sample_after_sample():
    x = image(3, 3, 8, 8)
    assert torch.equal(gaussian_noise(x, generator())[:1], gaussian_noise(x[:1], generator()))
    shared = generator()
    assert torch.equal(gaussian_noise(x, generator()), torch.cat([gaussian_noise(x[:1], shared) for _ in range(3)]))
    assert not torch.equal(gaussian_noise(x, generator())[0], gaussian_noise(x, generator())[1])


def test_noise_is_the_same_in_every_dtype_and_new_without_a_generator():
    x = image(1, 3, 8, 8)
    torch.testing.assert_close(gaussian_noise(x.half(), generator()), gaussian_noise(x, generator()).half())
    assert not torch.equal(gaussian_noise(x), gaussian_noise(x))


def test_measure_adds_noise_of_sigma():
    x = torch.zeros(16, 3, 64, 64)
    operator = GaussianBlur()
    assert torch.equal(operator.measure(x, 0), operator.A(x))
    noise = operator.measure(x, 0.02, generator())
    assert noise.std() == pytest.approx(0.02, rel=0.01) and noise.mean().abs() < 4 * 0.02 / noise.numel() ** 0.5


# Errors


NAN = torch.full((1, 3, 8, 8), float("nan"))
X = torch.rand(1, 3, 8, 8, generator=generator())


@pytest.mark.parametrize("operator", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "x, error, message",
    [
        ([[0.5]], TypeError, r"x: got list, expected a floating-point torch.Tensor of shape \(B, C, H, W\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "x: got dtype torch.uint8, expected a floating-point .* pass x / 255"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), TypeError, "x: got dtype torch.int64, expected a floating-point"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.complex64), TypeError, "x: got dtype torch.complex64, expected a floating-point"),
        (torch.zeros(3, 8, 8), ValueError, r"x: got shape \(3, 8, 8\), expected \(B, C, H, W\)"),
        (torch.zeros(0, 3, 8, 8), ValueError, r"x: got shape \(0, 3, 8, 8\), expected .*none of them 0"),
    ],
    ids=["list", "uint8", "int64", "complex", "3-d", "empty batch"],
)
def test_images_are_checked(operator, x, error, message):
    for call in (operator.A, operator, lambda x: operator.measure(x, 0.1), lambda x: operator.gradient(x, X)):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize("operator", ALL.values(), ids=ALL)
def test_measurements_are_checked(operator):
    y = operator.A(X)
    calls = [lambda y: operator.gradient(X, y)]
    if isinstance(operator, LinearOperator):
        calls += [lambda y: operator.prox_l2(X, y, 1.0), lambda y: LinearOperator.prox_l2(operator, X, y, 1.0)]
    for call in calls:
        with pytest.raises(ValueError, match=r"y: got shape .*3\), expected that of A\(x\), "):
            call(y[..., :3])
        with pytest.raises(ValueError, match=r"y: got dtype torch.float64, expected that of A\(x\), torch.float32"):
            call(y.double())
        with pytest.raises(ValueError, match=r"y: got device meta, expected that of A\(x\), cpu"):
            call(y.to("meta"))
    for call in [*calls, operator.A_dagger]:
        for value in (float("nan"), float("inf")):
            bad = y.clone()
            bad[0, 0, 0, 0] = value
            with pytest.raises(ValueError, match=r"y: got 1 of \d+ values NaN or infinite, expected finite values"):
                call(bad)
        with pytest.raises(TypeError, match="y: got dtype torch.int32, expected a floating-point"):
            call(y.int())
    if isinstance(operator, LinearOperator):
        with pytest.raises(ValueError, match=r"y: got shape .*, expected \(B, C, H, W\)"):
            operator.A_adjoint(y[0])


@pytest.mark.parametrize("operator", ALL.values(), ids=ALL)
def test_measure_is_checked(operator):
    for sigma in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"sigma: got {sigma}, expected a finite number of at least 0"):
            operator.measure(X, sigma)
    with pytest.raises(ValueError, match="x: got 192 of 192 values NaN or infinite, expected finite values"):
        operator.measure(NAN, 0.1)
    with pytest.raises(ValueError, match="generator: got a list of 2, expected one torch.Generator or a list of 1, one per sample"):
        operator.measure(X, 0.1, [generator(), generator()])
    with pytest.raises(TypeError, match="generator: got int, expected a torch.Generator, a list of 1, or None"):
        operator.measure(X, 0.1, 3)


@pytest.mark.parametrize("operator", [ALL["sr"], ALL["blur"], ALL["inpaint"], Differences()])
def test_prox_needs_a_gamma_of_at_least_zero(operator):
    y = operator.A(X)
    for gamma in (-1.0, torch.tensor([-1.0]).view(1, 1, 1, 1)):
        with pytest.raises(ValueError, match="gamma: got -1.0, expected a finite number of at least 0"):
            operator.prox_l2(X, y, gamma)


@pytest.mark.parametrize("shape", [(1, 3, 8, 9), (1, 3, 9, 8)])
def test_factor_must_divide_the_size(shape):
    with pytest.raises(ValueError, match="factor: got 4, expected a divisor of the height and of the width of x, one of which is 9"):
        SuperResolution(4).A(torch.zeros(shape))


@pytest.mark.parametrize("value", [0, -2, 2.0, True, "4", None])
def test_whole_numbers_are_checked(value):
    for name, build in [("factor", SuperResolution), ("oversampling", FourierMagnitude), ("kernel_size", lambda k: GaussianBlur(1.0, k))]:
        with pytest.raises(ValueError, match=f"{name}: got {value!r}, expected an integer of at least 1"):
            build(value)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "2"])
def test_positive_numbers_are_checked(value):
    for name, build in [("exponent", GammaCorrection), ("sigma", GaussianBlur)]:
        with pytest.raises(ValueError, match=f"{name}: got {value!r}, expected a finite number above 0"):
            build(value)


def test_gamma_and_kernel_size_have_limits():
    with pytest.raises(ValueError, match="exponent: got 11, expected .* of at most 10"):
        GammaCorrection(11)
    with pytest.raises(ValueError, match="kernel_size: got 60, expected an odd integer"):
        GaussianBlur(5.0, 60)


def test_masks_are_checked():
    with pytest.raises(ValueError, match=r"mask: got shape \(3, 8, 8\), expected a torch.Tensor of shape \(H, W\) or "):
        Inpainting(torch.ones(3, 8, 8))
    with pytest.raises(ValueError, match="mask: got list, expected a torch.Tensor"):
        Inpainting([[1, 0]])
    with pytest.raises(ValueError, match="mask: got values from 0 to 255, expected only 0 .* and 1 "):
        Inpainting(torch.tensor([[0.0, 255.0]]))
    for mask in (torch.ones(8, 9), torch.ones(2, 1, 8, 8), torch.ones(1, 2, 8, 8)):
        operator = Inpainting(mask)
        for name, call in [("x", operator.A), ("y", operator.A_adjoint), ("z", lambda z: operator.prox_l2(z, X, 1.0))]:
            with pytest.raises(ValueError, match=rf"{name}: got shape \(1, 3, 8, 8\), expected one that the mask fits, whose shape is "):
                call(X)


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (0, -1, 2, 2), (7, 0, 2, 2), (0, 7, 2, 2), (0, 0, 0, 2), (0, 0, 2, 0)])
def test_box_must_lie_inside(box):
    top, left, height, width = box
    expected = f"box: got top {top}, left {left}, height {height}, width {width}, expected a box inside an image of 8×8"
    if min(top, left) < 0 or min(height, width) < 1:
        name, value = next(
            (name, value) for name, value in zip(("top", "left", "height", "width"), box) if value < (name in ("height", "width"))
        )
        expected = f"{name}: got {value}, expected an integer of at least"
    with pytest.raises(ValueError, match=expected):
        Inpainting.box(8, *box)


def test_fourier_start_needs_sides_that_the_oversampling_divides():
    with pytest.raises(ValueError, match=r"y: got shape \(1, 3, 5, 6\), expected sides that oversampling 2 divides"):
        FourierMagnitude().A_dagger(torch.ones(1, 3, 5, 6))


def test_a_blur_too_narrow_for_its_square_is_the_identity():
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert GaussianBlur(sigma=1e-200, kernel_size=3).A(x).equal(x)


@pytest.mark.parametrize("spoil", [lambda x: 2 * x - 1, lambda x: 255 * x])
def test_images_that_are_far_from_the_unit_interval_are_measured_with_a_warning(spoil):
    x, operator = torch.linspace(0, 1, 48).view(1, 3, 4, 4), SuperResolution(2)
    with pytest.warns(UserWarning, match=r"^x: values from \S+ to \S+; images are in \[0, 1\] here"):
        assert torch.equal(operator.measure(spoil(x), 0.0), operator.A(spoil(x)))


def test_images_near_the_unit_interval_are_measured_without_one(recwarn):
    SuperResolution(2).measure(1.4 * torch.rand(1, 3, 4, 4) - 0.2, 0.1)
    assert not recwarn.list
