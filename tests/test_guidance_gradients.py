"""The guidance gradient of every solver that has one, by finite differences on a 4×4 toy, and by deepinv where it knows the method.

The gradient is read off the first step: what a weight changes in z_next, beside weight 0 on the same seed. To add a solver, give it a line
in GUIDED: its settings, the name of its weight, and what the change should be the gradient of.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from deepinv_reference import deepinv
from gaussian_world import GaussianPrior, smooth_covariance

import treg_edu as te
from treg_edu.operators import GammaCorrection, Inpainting, SuperResolution

TEXT, SCALE, SIGMA = "fox", 2.0, 0.1
MEANS = {"": torch.zeros(3, 4, 4), TEXT: torch.linspace(-0.6, 0.6, 48).view(3, 4, 4)}


class CurvedPrior(GaussianPrior):
    """The Gaussian world with a bent noise estimate, ε̂ + 0.3 sin(2 z Q), whose Jacobian is not symmetric and depends on z."""

    mix = torch.randn(48, 48, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / 48**0.5

    def timesteps(self, steps):
        """From t = 200, where ᾱ = 0.66, so that ẑ₀ depends on z_t as on the text."""
        ts = torch.linspace(200, 0, steps + 1).round().int().tolist()[:-1]
        return list(zip(ts, [*ts[1:], -1], strict=True))

    def _predict_noise(self, z_t, t, alpha_bar, text_embedding):
        bent = 0.3 * torch.sin(2 * z_t.flatten(1) @ self.mix)
        return super()._predict_noise(z_t, t, alpha_bar, text_embedding) + bent.view_as(z_t)


PRIOR = CurvedPrior(smooth_covariance(), MEANS)
OPERATORS = {"sr": SuperResolution(2), "inpaint": Inpainting.box(4, 1, 1, 2, 2), "gamma": GammaCorrection(2.2)}


def estimate(z, alpha_bar):
    """ẑ₀ with guidance, written out."""
    t = PRIOR.timesteps(1)[0][0]
    null, text = (PRIOR.predict_noise(z, t, PRIOR.embed_text(words).expand(len(z), -1, -1)) for words in ("", TEXT))
    return (z - (1 - alpha_bar).sqrt() * (null + SCALE * (text - null))) / alpha_bar.sqrt()


def off(operator, x, y):
    return (operator.A(x) - y).flatten(1).norm(dim=1)


def dps_value(operator, y, z, alpha_bar):
    return lambda z: -off(operator, (estimate(z, alpha_bar).clamp(-1, 1) + 1) / 2, y)


def ldps_value(operator, y, z, alpha_bar):
    return lambda z: -off(operator, (estimate(z, alpha_bar) + 1) / 2, y)


def pigdm_value(operator, y, z, alpha_bar):
    """√ᾱ ⟨ẑ₀(z), v⟩ with v = r² Aᵀ (r² A Aᵀ + σ² I)⁻¹ (y − A ẑ₀) held at z, of A ∘ D on latents, by its dense matrix."""
    z0 = estimate(z, alpha_bar)
    off_y = (y - operator.A((z0 + 1) / 2)).flatten(1)
    zero, eye = torch.zeros(1, 3, 4, 4, dtype=torch.float64), torch.eye(48, dtype=torch.float64).view(48, 3, 4, 4)
    B = (operator.A(eye / 2) - operator.A(zero)).flatten(1).T
    r2 = 1 - alpha_bar
    v = r2 * off_y @ torch.linalg.inv(r2 * B @ B.T + SIGMA**2 * torch.eye(len(B))) @ B
    return lambda z: alpha_bar.sqrt() * (estimate(z, alpha_bar).flatten(1) * v).sum(1)


@dataclass
class Guided:
    """weight: the argument that multiplies the gradient.  value(operator, y, z_t, ᾱ_t): the function whose gradient it is, at z_t."""

    weight: str
    value: Callable
    kinds: tuple = ("sr", "inpaint")
    settings: dict = field(default_factory=dict)


GUIDED = {
    "dps": Guided("step_size", dps_value, ("sr", "inpaint", "gamma")),
    "ldps": Guided("step_size", ldps_value, ("sr", "inpaint", "gamma")),
    "pigdm": Guided("weight", pigdm_value, settings={"sigma": SIGMA}),
}


def first_step(name, operator, y, prior=PRIOR, **settings):
    settings = {"steps": 1, "guidance_scale": SCALE, "seed": 2} | GUIDED[name].settings | settings
    return next(iter(te.SOLVERS[name](prior, operator, y, TEXT, **settings)))


def measured(operator):
    x = 0.1 + 0.8 * torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return operator.A(x) + SIGMA * te.noise.normal(te.noise.generators(9, 2), operator.A(x).shape, dtype=torch.float64)


def guidance(name, operator, y, **settings):
    """(z_t, what weight 1 adds to z_next) of the first step."""
    with_it, without = (first_step(name, operator, y, **settings | {GUIDED[name].weight: weight}) for weight in (1.0, 0.0))
    assert torch.equal(with_it.z_t, without.z_t)
    return with_it.z_t, with_it.z_next - without.z_next


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in GUIDED for kind in GUIDED[name].kinds])
def test_the_guidance_is_the_gradient_that_finite_differences_give(name, kind):
    operator = OPERATORS[kind]
    y = measured(operator)
    z, found = guidance(name, operator, y)
    alpha_bar = PRIOR.alpha_bar(PRIOR.timesteps(1)[0][0])
    value, step = GUIDED[name].value(operator, y, z, alpha_bar), 1e-6
    expected = torch.zeros_like(z)
    for at in range(48):
        move = torch.zeros(48, dtype=torch.float64)
        move[at] = step
        move = move.view(1, 3, 4, 4)
        expected.view(2, 48)[:, at] = (value(z + move) - value(z - move)) / (2 * step)
    assert found.abs().max() > 1e-2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_some_of_dps_is_clipped():
    """Or the test above would not know whether the clip is in the gradient."""
    step = first_step("dps", OPERATORS["sr"], measured(OPERATORS["sr"]))
    assert 0 < (step.z0.abs() == 1).double().mean() < 0.9


# deepinv's


class Denoiser(torch.nn.Module):
    """ẑ₀ of z₀ + s n, as deepinv calls it."""

    def __init__(self, alpha_bar):
        super().__init__()
        self.alpha_bar = alpha_bar

    def forward(self, z, sigma):
        return estimate(self.alpha_bar.sqrt() * z.double(), self.alpha_bar).to(z.dtype)


def physics_of_latents(operator):
    """A ∘ D without its constant, as deepinv's: (physics, the constant)."""
    constant = operator.A(torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64))
    physics = deepinv.physics.LinearPhysics(
        A=lambda z, **_: operator.A(z / 2),
        A_adjoint=lambda y, **_: operator.A_adjoint(y) / 2,
        noise_model=deepinv.physics.GaussianNoise(SIGMA),
    )
    return physics, constant


@pytest.mark.parametrize("kind", ["sr", "inpaint"])
def test_pigdm_is_deepinvs(kind):
    """In deepinv's z̄ = z_t / √ᾱ its gradient is −g / r² · √ᾱ, in float32."""
    operator = OPERATORS[kind]
    y = measured(operator)
    z, found = guidance("pigdm", operator, y)
    alpha_bar = PRIOR.alpha_bar(PRIOR.timesteps(1)[0][0])
    physics, constant = physics_of_latents(operator)
    fidelity = deepinv.sampling.PiGDMDataFidelity(Denoiser(alpha_bar), cg_max_iter=100, cg_tol=1e-7)
    sigma = ((1 - alpha_bar) / alpha_bar).sqrt()
    theirs = fidelity.grad(z / alpha_bar.sqrt(), (y - constant).float(), physics, sigma)
    torch.testing.assert_close(found, -theirs.double() * (1 - alpha_bar), rtol=0, atol=3e-5)


@pytest.mark.parametrize("kind", ["sr", "inpaint"])
def test_dps_is_deepinvs(kind):
    operator = OPERATORS[kind]
    y = measured(operator)
    z, found = guidance("dps", operator, y)
    alpha_bar = PRIOR.alpha_bar(PRIOR.timesteps(1)[0][0])
    physics, constant = physics_of_latents(operator)
    fidelity = deepinv.sampling.DPSDataFidelity(Denoiser(alpha_bar), clip=(-1, 1), guidance="norm")
    sigma = ((1 - alpha_bar) / alpha_bar).sqrt()
    theirs = fidelity.grad(z / alpha_bar.sqrt(), (y - constant).float(), physics, sigma)
    torch.testing.assert_close(found, -theirs.double() / alpha_bar.sqrt(), rtol=0, atol=1e-5)


class PosteriorScore:
    """The diffusion of deepinv's solvers, with the schedule here and the score of the posterior: the prior's and ΠGDM's."""

    def __init__(self, fidelity, physics, y):
        self.fidelity, self.physics, self.y = fidelity, physics, y

    def scale_t(self, t):
        return PRIOR.alpha_bar(int(t)).sqrt()

    def sigma_t(self, t):
        alpha_bar = PRIOR.alpha_bar(int(t))
        return ((1 - alpha_bar) / alpha_bar).sqrt()

    def score(self, z, t):
        alpha_bar = PRIOR.alpha_bar(int(t))
        prior = (alpha_bar.sqrt() * estimate(z, alpha_bar) - z) / (1 - alpha_bar)
        likelihood = -self.fidelity.grad(z / alpha_bar.sqrt(), self.y, self.physics, self.sigma_t(t)) / alpha_bar.sqrt()
        return prior + likelihood


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_of_pigdm_by_the_score_is_deepinvs_ddim(eta, monkeypatch):
    """Its DDIMSolver on the posterior's score makes the same step as scaling="score", for any η, to the next level and to the last."""
    operator = OPERATORS["sr"]
    y = measured(operator)
    physics, constant = physics_of_latents(operator)
    t, t_next = PRIOR.timesteps(5)[0]
    alpha_bar = PRIOR.alpha_bar(t)
    fidelity = deepinv.sampling.PiGDMDataFidelity(Denoiser(alpha_bar), cg_max_iter=100, cg_tol=1e-7)
    step = first_step("pigdm", operator, y, scaling="score", eta=eta, steps=5)
    solver = deepinv.sampling.DDIMSolver(timesteps=[1.0, 0.0], eta=eta)
    generators = te.noise.generators(2, 2)
    _, fresh = (te.noise.normal(generators, (2, 3, 4, 4), dtype=torch.float64) for _ in range(2))
    monkeypatch.setattr(solver, "randn_like", lambda z: fresh)
    theirs, _ = solver.step(PosteriorScore(fidelity, physics, (y - constant).float()), t, t_next, step.z_t)
    torch.testing.assert_close(step.z_next, theirs, rtol=0, atol=1e-5)
