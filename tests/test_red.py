"""RED: in the Gaussian world the denoiser is affine, so that where ∇E = 0 is known."""

import pytest
import torch
from gaussian_world import GaussianPrior, Matrix, dense, smooth_covariance

import treg_edu as te
from treg_edu.operators import GaussianBlur, SuperResolution

SIGMA, SIGMA_F, LAM = 0.05, 0.1, 100.0
WORLD = GaussianPrior(smooth_covariance(), {"fox": torch.linspace(-0.3, 0.3, 48).view(3, 4, 4)})
MATRIX = Matrix(torch.randn(40, 48, generator=torch.Generator().manual_seed(1)) / 7)


@pytest.mark.parametrize("operator", [SuperResolution(2), GaussianBlur(1.0, 3), MATRIX], ids=["sr", "blur", "matrix"])
@pytest.mark.parametrize("text", ["", "fox"])
def test_both_methods_reach_the_known_minimiser(operator, text):
    """f(x) = m + W (x − m),  W = C′ (C′ + σ_f² I)⁻¹ with C′ = C / 4 in [0, 1]:  (AᵀA / σ² + λ (I − W)) x̂ = Aᵀy / σ² + λ (I − W) m."""
    A, identity = dense(operator, (4, 4)), torch.eye(48, dtype=torch.float64)
    m = (WORLD.mean(text).flatten() + 1) / 2
    C = WORLD.covariance / 4
    away = identity - C @ torch.linalg.inv(C + SIGMA_F**2 * identity)
    x = (m + 0.05 * torch.randn(2, 48, generator=torch.Generator().manual_seed(2), dtype=torch.float64)).view(2, 3, 4, 4)
    y = operator.A(x)
    right = y.flatten(1) @ A / SIGMA**2 + LAM * away @ m
    expected = torch.linalg.solve(A.T @ A / SIGMA**2 + LAM * away, right.T).T
    assert expected.min() > 0.02 and expected.max() < 0.98  # the clip of the gradient does not count
    for method, steps in (("fixed-point", 800), ("gradient", 1500)):
        found = te.solve(
            "red", WORLD, operator, y, text, progress=False, sigma=SIGMA, denoiser_sigma=SIGMA_F, lam=LAM, method=method, steps=steps
        )
        torch.testing.assert_close(found.flatten(1), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("operator", [SuperResolution(2), MATRIX], ids=["sr", "matrix"])
def test_the_first_steps_written_out(operator):
    """From clip(Aᵀy / ‖A‖²):  the normal equations around f(x), and  clip(x − 2 ∇E / (‖A‖² / σ² + λ))."""
    y = operator.A(torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    A, identity = dense(operator, (4, 4)), torch.eye(48, dtype=torch.float64)
    square = torch.linalg.matrix_norm(A, 2) ** 2
    for method in ("fixed-point", "gradient"):
        steps = list(te.SOLVERS["red"](WORLD, operator, y, sigma=SIGMA, denoiser_sigma=SIGMA_F, lam=LAM, method=method, steps=2))
        torch.testing.assert_close(steps[0].z_t.flatten(1), (y.flatten(1) @ A / square).clamp(0, 1), rtol=0.03, atol=1e-9)  # ‖A‖² + 2 %
        for step in steps:
            x, f = step.z_t.flatten(1), WORLD.denoise(step.z_t, SIGMA_F).flatten(1)
            if method == "fixed-point":
                right = y.flatten(1) @ A / SIGMA**2 + LAM * f
                expected, within = torch.linalg.solve(A.T @ A / SIGMA**2 + LAM * identity, right.T).T, 1e-5
            else:
                slope = (x @ A.T - y.flatten(1)) @ A / SIGMA**2 + LAM * (x - f)
                expected, within = (x - 2 / (square / SIGMA**2 + LAM) * slope).clamp(0, 1), 0.03 * (step.z0 - step.z_t).abs().max().item()
            torch.testing.assert_close(step.z0.flatten(1), expected, rtol=0, atol=within)


def test_the_text_is_read_once():
    class Counting(GaussianPrior):
        texts = 0

        def embed_text(self, texts):
            self.texts += 1
            return super().embed_text(texts)

    prior = Counting(WORLD.covariance, WORLD.means)
    y = SuperResolution(2).A(torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    found = te.solve("red", prior, SuperResolution(2), y, ["fox", ""], sigma=SIGMA, steps=5, progress=False)
    assert prior.texts == 1
    by_text = WORLD.denoise(found, 0.1, ["fox", ""])
    torch.testing.assert_close(WORLD.denoise(found, 0.1, WORLD.embed_text(["fox", ""])), by_text)


def test_it_needs_a_denoiser_and_a_known_method(prior):
    y = SuperResolution(2).A(torch.rand(1, 3, 4, 4, dtype=torch.float64))
    for wrong in (None, prior):
        with pytest.raises(te.checks.ArgumentError, match="^prior: got .*PixelDiffusion"):
            te.SOLVERS["red"](wrong, SuperResolution(2), y, sigma=SIGMA)
    with pytest.raises(te.checks.ArgumentError, match="^method: got 'admm'"):
        te.SOLVERS["red"](WORLD, SuperResolution(2), y, sigma=SIGMA, method="admm")
