"""LATINO against a recursion written out with matrices, its limits, and deepinv's proximal maps."""

import pytest
import torch
from curved_world import WIDE, measured
from deepinv_reference import deepinv
from gaussian_world import GaussianPrior, dense, smooth_covariance

import treg_edu as te
from treg_edu.operators import GaussianBlur, Inpainting, SuperResolution

MEANS = {"fox": torch.linspace(-0.6, 0.6, 48, dtype=torch.float64).view(3, 4, 4)}
WORLD = GaussianPrior(smooth_covariance(), MEANS)
OPERATORS = {"sr": SuperResolution(2), "blur": GaussianBlur(1.0, 3), "inpaint": Inpainting.box(4, 1, 1, 2, 2), "matrix": WIDE}
SIGMA = 0.02
EYE = torch.eye(48, dtype=torch.float64)


def recursion(operator, y, steps, delta, late_delta, seeds):
    """LATINO with Tweedie's estimate in the Gaussian world, on flattened images in [0, 1]."""
    A, y = dense(operator, (4, 4)), y.flatten(1)
    C, m = WORLD.covariance, WORLD.mean("fox").flatten()
    sources = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw():
        return torch.stack([torch.randn(48, 1, 1, generator=source) for source in sources]).double().flatten(1)

    # As the authors start, with images and a measurement in [−1, 1]: A(2x − 1) = 2 A x − A 1
    back = (2 * y - A.sum(1)) @ A
    a = WORLD.alpha_bar(WORLD.timesteps(steps)[0][0])
    z = a.sqrt() * back.clip(-1, 1) + (1 - a).sqrt() * draw()
    for t, t_prev in WORLD.timesteps(steps):
        a, b = WORLD.alpha_bar(t), WORLD.alpha_bar(t_prev)
        z0 = m + a.sqrt() * (z - a.sqrt() * m) @ torch.linalg.inv(a * C + (1 - a) * EYE) @ C  # E[z₀ | z_t]
        x = (z0 / 2 + 0.5).clip(0, 1)
        rms = (x @ A.T - y).square().mean(1).sqrt()
        rows = []
        for one, of_y, off in zip(x, y, rms, strict=True):
            gamma = (delta if t > 0.3 * 999 else late_delta) * off / SIGMA * (1 - a) / (2 * SIGMA) ** 2
            rows.append(torch.linalg.solve(EYE + gamma * A.T @ A, one + gamma * A.T @ of_y).clip(0, 1))
        z0 = 2 * torch.stack(rows) - 1
        z = z0 if t_prev < 0 else b.sqrt() * z0 + (1 - b).sqrt() * draw()
    return z.view(-1, 3, 4, 4)


@pytest.mark.parametrize("kind", OPERATORS)
def test_it_is_the_recursion(kind):
    operator = OPERATORS[kind]
    y = measured(operator, 3)
    settings = dict(sigma=SIGMA, steps=6, inner_steps=1, delta=0.5, late_delta=0.05, seed=3)
    *_, last = te.solvers.latino(WORLD, operator, y, "fox", **settings)
    expected = recursion(operator, y, 6, 0.5, 0.05, [3, 4, 5])
    torch.testing.assert_close(last.z_next, expected, rtol=0, atol=1e-5)  # conjugate gradient, where A has no closed form
    assert (expected - recursion(operator, y, 6, 0.5, 0.5, [3, 4, 5])).abs().max() > 1e-3
    assert (expected - recursion(operator, y, 6, 0.0, 0.0, [3, 4, 5])).abs().max() > 0.05


@pytest.mark.parametrize("inner_steps", [1, 4])
def test_without_noise_the_measurement_is_reproduced(inner_steps):
    """σ → 0: the proximal map is the projection onto the images that explain y, from which clipping does not move these."""
    operator = OPERATORS["sr"]
    x = 0.5 + torch.linspace(-0.1, 0.1, 96, dtype=torch.float64).view(2, 3, 4, 4)
    *_, last = te.solvers.latino(WORLD, operator, operator.A(x), sigma=1e-5, inner_steps=inner_steps)
    *_, noisy = te.solvers.latino(WORLD, operator, operator.A(x), sigma=0.3, inner_steps=inner_steps)
    assert last.misfit.max() < 1e-6 < 1e-3 < noisy.misfit.min()


def test_more_inner_steps_change_the_estimate():
    operator = OPERATORS["sr"]
    y = measured(operator, 1)
    one, four = (te.solve("latino", WORLD, operator, y, "fox", sigma=SIGMA, inner_steps=n, progress=False) for n in (1, 4))
    assert (one - four).abs().max() > 0.01


def test_the_network_is_asked_inner_steps_times_and_never_for_a_gradient():
    class Counted(GaussianPrior):
        calls = 0

        def predict_noise(self, z_t, t, text_embedding):
            assert not torch.is_grad_enabled()
            self.calls += 1
            return super().predict_noise(z_t, t, text_embedding)

    prior = Counted(smooth_covariance(), MEANS)
    y = measured(OPERATORS["sr"], 2)
    for _ in te.solvers.latino(prior, OPERATORS["sr"], y, "fox", sigma=SIGMA, steps=5, inner_steps=3):
        pass
    assert prior.calls == 15


@pytest.mark.parametrize(
    "physics",
    [
        deepinv.physics.Downsampling(img_size=(3, 4, 4), factor=2, filter="bilinear"),
        deepinv.physics.Inpainting(img_size=(3, 4, 4), mask=0.5),
        deepinv.physics.BlurFFT(img_size=(3, 4, 4), filter=deepinv.physics.functional.blur.gaussian_blur(sigma=(0.7, 0.7))),
    ],
    ids=lambda physics: type(physics).__name__,
)
def test_deepinv_physics_take_a_weight_of_each_sample(physics):
    """A batch of three equals its samples alone."""
    physics, x = physics.double(), torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = physics.A(x)
    together = te.solve("latino", WORLD, physics, y, sigma=SIGMA, steps=3, seed=0, progress=False)
    for i in range(3):
        alone = te.solve("latino", WORLD, physics, y[i : i + 1], sigma=SIGMA, steps=3, seed=i, progress=False)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-5)
