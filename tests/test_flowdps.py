"""FlowDPS in variance-preserving form against the flow it comes from, and its gradients against finite differences."""

import pytest
import torch
from curved_world import CURVED, WIDE, measured, slope
from gaussian_world import GaussianPrior, dense, smooth_covariance

import treg_edu as te
from treg_edu.likelihood import through_decoder
from treg_edu.operators import GammaCorrection, GaussianBlur, Inpainting, SuperResolution
from treg_edu.solvers.flowdps import back_projected_gradient, flow_time

MEANS = {"fox": torch.linspace(-0.6, 0.6, 48, dtype=torch.float64).view(3, 4, 4)}
WORLD = GaussianPrior(smooth_covariance(), MEANS)
OPERATORS = {"sr": SuperResolution(2), "blur": GaussianBlur(1.0, 3), "inpaint": Inpainting.box(4, 1, 1, 2, 2), "matrix": WIDE}


def flow(operator, y, steps, step_size, iterations, seeds, back):
    """FlowDPS as the authors have it, on the path w = (1 − s) z₀ + s z₁, with the velocity E[z₁ − z₀ | w] of the Gaussian world.

    back: the matrix B of the residual ‖B(y − A D(u))‖.  Flattened latents throughout.
    """
    C, m, eye = WORLD.covariance, WORLD.mean("fox").flatten(), torch.eye(48, dtype=torch.float64)
    A = dense(operator, (4, 4))
    sources = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw():
        return torch.stack([torch.randn(48, 1, 1, generator=source) for source in sources]).double().flatten(1)

    times = []
    for t, _ in WORLD.timesteps(steps):
        ratio = ((1 - WORLD.alpha_bar(t)) / WORLD.alpha_bar(t)).sqrt()  # s / (1 − s)
        times.append((ratio / (1 + ratio)).item())
    start = WORLD.alpha_bar(WORLD.timesteps(steps)[0][0])
    w = draw() / (start.sqrt() + (1 - start).sqrt())
    for s, s_next in zip(times, [*times[1:], 0.0], strict=True):
        # z₁ − z₀ and w are jointly Gaussian: cov(z₁ − z₀, w) = s I − (1 − s) C,  cov(w) = (1 − s)² C + s² I
        gain = (s * eye - (1 - s) * C) @ torch.linalg.inv((1 - s) ** 2 * C + s**2 * eye)
        v = -m + (w - (1 - s) * m) @ gain.T
        z0, z1 = w - s * v, w + (1 - s) * v
        u = z0
        for _ in range(iterations):
            r = (y.flatten(1) - (u / 2 + 0.5) @ A.T) @ back.T
            u = u + step_size * (r / r.norm(dim=1, keepdim=True)) @ back @ A / 2
        z0 = (1 - s) * z0 + s * u
        z1 = s_next**0.5 * z1 + (1 - s_next) ** 0.5 * draw()
        w = (1 - s_next) * z0 + s_next * z1
    return w.view(-1, 3, 4, 4)


@pytest.mark.parametrize("residual", ["pseudo-inverse", "adjoint", "measurement"])
@pytest.mark.parametrize("kind", OPERATORS)
def test_it_is_the_flow(kind, residual):
    operator, A = OPERATORS[kind], dense(OPERATORS[kind], (4, 4))
    back = {"pseudo-inverse": torch.linalg.pinv(A, rtol=1e-6), "adjoint": A.T, "measurement": torch.eye(len(A), dtype=torch.float64)}
    y = measured(operator, 3)
    *_, last = te.solvers.flowdps(
        WORLD, operator, y, "fox", steps=7, guidance_scale=1.0, step_size=0.7, iterations=2, residual=residual, seed=4
    )
    expected = flow(operator, y, 7, 0.7, 2, [4, 5, 6], back[residual])
    torch.testing.assert_close(last.z_next, expected, rtol=0, atol=1e-6)
    assert (expected - flow(operator, y, 7, 0.0, 2, [4, 5, 6], back[residual])).abs().max() > 0.05


def test_without_a_step_the_measurement_does_not_count():
    operator = OPERATORS["sr"]
    one, other = (te.solve("flowdps", WORLD, operator, y, "fox", steps=5, step_size=0, progress=False) for y in measured(operator).split(1))
    assert torch.equal(one, other)


def test_the_step_lowers_the_misfit():
    operator = OPERATORS["sr"]
    y = measured(operator, 4)
    without, with_step = (list(te.solvers.flowdps(WORLD, operator, y, steps=28, step_size=size))[-1].misfit for size in (0, 1))
    assert (with_step < without / 2).all()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", OPERATORS)
def test_the_gradients_agree_with_finite_differences(kind, exact):
    operator = OPERATORS[kind]
    y = measured(operator, 2)
    z = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    back = operator.A_dagger if exact else operator.A_adjoint

    def value(z):
        return back(y - operator.A(CURVED.decode(z))).flatten(1).norm(dim=1).sum()

    _, gradient = through_decoder(CURVED, z, lambda x: back_projected_gradient(operator, x, y, exact))
    for seed in range(4):
        direction = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        torch.testing.assert_close((gradient * direction).sum(), slope(value, z, direction), rtol=1e-4, atol=1e-6)


def test_the_time_of_the_flow():
    """It falls from nearly 1 to 0, and at ᾱ = ½, where latent and noise weigh the same, it is ½."""
    assert flow_time(torch.tensor(0.5)).item() == pytest.approx(0.5)
    assert flow_time(torch.tensor(1.0)).item() == 0 and flow_time(torch.tensor(1e-4)).item() > 0.98


def test_only_the_plain_misfit_takes_a_nonlinear_operator():
    gamma = GammaCorrection(2.2)
    y = measured(gamma, 1)
    assert te.solve("flowdps", WORLD, gamma, y, steps=3, residual="measurement", step_size=0.1, progress=False).isfinite().all()
    with pytest.raises(te.checks.ArgumentError, match="^operator: got a nonlinear one, GammaCorrection"):
        te.solvers.flowdps(WORLD, gamma, y)
