"""treg_edu.operators.decomposition: each decomposition against the operator itself and against the dense SVD of its matrix."""

import pytest
import torch
from deepinv_reference import deepinv
from gaussian_world import Matrix, dense

from treg_edu import checks
from treg_edu.operators import FourierMagnitude, GaussianBlur, Inpainting, LinearOperator, SuperResolution, decomposition, svd

physics = deepinv.physics
SIZE = (8, 4)


def image(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Blind(LinearOperator):
    """The mean of the channels, by A and Aᵀ alone: no decomposition of its own."""

    def A(self, x):
        return x.mean(1, True)

    def A_adjoint(self, y):
        return y.expand(-1, 3, -1, -1) / 3


def blur_fft():
    kernel = image(1, 1, 3, 3, seed=5)  # no symmetry: the phase of its transform matters
    return physics.BlurFFT((3, *SIZE), kernel.float() / kernel.sum()).double()


OURS = {
    "sr": lambda: SuperResolution(2),
    "blur": lambda: GaussianBlur(1.0, 5),
    "blur of full rank": lambda: GaussianBlur(0.4, 3),
    "inpaint": lambda: Inpainting(image(*SIZE) > 0.4),
    "inpaint each": lambda: Inpainting(image(2, 3, *SIZE) > 0.4),
}
THEIRS = {
    "inpainting of deepinv": lambda: physics.Inpainting((3, *SIZE), mask=(image(3, *SIZE) > 0.5).double()),
    "BlurFFT": blur_fft,
    "Denoising": lambda: physics.Denoising().double(),
    "Decolorize": lambda: physics.Decolorize().double(),
    "SinglePixelCamera": lambda: physics.SinglePixelCamera(20, (3, 4, 4), fast=False).double(),
    "negative": lambda: physics.DecomposablePhysics(mask=image(1, 3, *SIZE) - 0.5),
}
DENSE = {"matrix": lambda: Matrix(torch.randn(20, 96, generator=torch.Generator().manual_seed(1)).double(), SIZE), "blind": Blind}
ALL = OURS | THEIRS | DENSE


def posed(kind):
    operator = ALL[kind]()
    size = (4, 4) if kind == "SinglePixelCamera" else SIZE
    x = image(2, 3, *size)
    return operator, size, x, operator.A(x)


@pytest.mark.parametrize("kind", ALL)
def test_the_factors_make_the_operator(kind):
    """A = U S Vᵀ, Uᵀ and Vᵀ are the adjoints of U and V, UᵀA = S Vᵀ, and V keeps lengths where s is not 0."""
    operator, size, x, y = posed(kind)
    found, atol = svd(operator, y, size), 1e-5 if kind in THEIRS else 1e-12  # some of theirs hold their factors in float32
    spectrum = found.V_adjoint(x)
    torch.testing.assert_close(found.U(found.s * spectrum), y, rtol=0, atol=atol)
    torch.testing.assert_close(found.U_adjoint(y), found.s * spectrum, rtol=0, atol=atol)
    torch.testing.assert_close(found.V(found.s * found.U_adjoint(y)), operator.A_adjoint(y), rtol=0, atol=atol)
    inside = found.V(spectrum)
    torch.testing.assert_close(found.V(found.V_adjoint(inside)), inside, rtol=0, atol=max(atol, 1e-6))
    assert (inside.flatten(1).norm(dim=1) <= x.flatten(1).norm(dim=1) * (1 + 1e-6)).all()
    assert (found.s >= 0).all() and found.s.dtype == torch.float64
    torch.testing.assert_close(operator.A(x - inside), torch.zeros_like(y), rtol=0, atol=atol)


@pytest.mark.parametrize("kind", [*OURS, *DENSE])
def test_the_factors_are_orthogonal(kind):
    """Vᵀ V = I and Uᵀ U = I on every spectrum, not only on those of images."""
    operator, size, _, y = posed(kind)
    found = svd(operator, y, size)
    spectrum = image(*found.U_adjoint(y).shape, seed=3)
    torch.testing.assert_close(found.V_adjoint(found.V(spectrum)), spectrum, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.U_adjoint(found.U(spectrum)), spectrum, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["sr", "blur", "inpaint", "matrix", "blind", "BlurFFT", "Decolorize"])
def test_the_kept_singular_values_are_those_of_the_matrix_above_the_cutoff(kind):
    operator, size, _, y = posed(kind)
    found = svd(operator, y, size)
    expected = torch.linalg.svdvals(dense(operator, size))
    expected = expected[expected > decomposition.RELATIVE_CUTOFF * expected.max()]
    values = torch.where(found.kept, found.s, 0).expand(found.U_adjoint(y[:1]).shape)
    if kind == "BlurFFT":  # half a spectrum of pairs: the projections that it keeps, counted by their trace
        ones = torch.eye(96, dtype=torch.float64).view(96, 3, *size)
        rank = (ones * found.V(found.kept * found.V_adjoint(ones))).sum()
        torch.testing.assert_close(rank, torch.tensor(float(len(expected)), dtype=torch.float64), rtol=0, atol=1e-3)
        return
    torch.testing.assert_close(values[values > 0].sort(descending=True).values, expected, rtol=1e-6, atol=1e-9)


def test_a_strong_blur_is_rank_deficient_and_the_cutoff_says_so():
    y = image(1, 3, 16, 16)
    found = svd(GaussianBlur(5.0, 61), y, (16, 16))
    assert 0 < found.kept.sum() < 16 * 16 and found.s[found.kept].min() > 1e-4 * found.s.max()


def test_per_sample_masks_stay_per_sample():
    operator, size, _, y = posed("inpaint each")
    assert not torch.equal(*svd(operator, y, size).s)


def test_spectra_follow_the_precision_of_y():
    for operator in (SuperResolution(2), Matrix(torch.eye(96, dtype=torch.float64)[:20], SIZE)):
        y = operator.A(image(2, 3, *SIZE).float())
        found = svd(operator, y, SIZE)
        assert found.U_adjoint(y).dtype == found.V(found.U_adjoint(y)).dtype == found.s.dtype == torch.float32


def test_what_cannot_be_decomposed_is_refused(monkeypatch):
    with pytest.raises(checks.ArgumentError, match="^operator: got a nonlinear one, FourierMagnitude, expected a linear one"):
        svd(FourierMagnitude(), image(1, 3, 16, 8), SIZE)
    monkeypatch.setattr(decomposition, "LARGEST_MATRIX", 32 * 96 - 1)
    match = (
        r"^operator: got a matrix of 32×96 entries \(Blind\), expected a method svd\(y\), deepinv's DecomposablePhysics, or at most 3071"
    )
    with pytest.raises(checks.ArgumentError, match=match):
        svd(Blind(), image(1, 1, *SIZE), SIZE)
    monkeypatch.setattr(decomposition, "LARGEST_MATRIX", 32 * 96)
    svd(Blind(), image(1, 1, *SIZE), SIZE)


def test_complex_singular_values_are_refused():
    operator = physics.DecomposablePhysics(mask=torch.ones(1, 3, *SIZE, dtype=torch.complex64))
    with pytest.raises(checks.ArgumentError, match="^operator: got complex singular values, torch.complex64, expected real ones"):
        svd(operator, image(1, 3, *SIZE), SIZE)
