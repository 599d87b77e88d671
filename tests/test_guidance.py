"""CFG++ in `sample`, `invert` and `treg`, and TReg's own branches, in the Gaussian world, against the rules written out a second time."""

import pytest
import torch
from curved_world import CURVED
from gaussian_world import GaussianPrior, smooth_covariance

import treg_edu as te
from treg_edu.operators import SuperResolution

FOX = torch.linspace(-0.6, 0.6, 48).view(3, 4, 4)
WORLD = GaussianPrior(smooth_covariance(), {"fox": FOX})
SR = SuperResolution(2)
EMPTY, TOLD = WORLD.embed_text(["", ""]), WORLD.embed_text(["fox", "fox"])


def last(walk):
    *_, step = walk
    return step


def noise(seeds=(0, 1)):
    return te.noise.normal(te.noise.generators(list(seeds), len(seeds)), (len(seeds), 3, 4, 4), dtype=torch.float64)


def measured(sigma=0.02):
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return SR.measure(x, sigma, te.noise.generators(7, 2))


def test_cfgpp_sampling_written_out():
    """Tweedie with ε_∅ + λ (ε_c − ε_∅), and the next level with ε_∅ (Chung et al. 2025, Algorithm 2)."""
    z = noise()
    for t, t_prev in WORLD.timesteps(12):
        now, then = WORLD.alpha_bar(t), WORLD.alpha_bar(t_prev)
        e0, e1 = WORLD.predict_noise(z, t, EMPTY), WORLD.predict_noise(z, t, TOLD)
        z0 = (z - (1 - now) ** 0.5 * (e0 + 0.6 * (e1 - e0))) / now**0.5
        z = then**0.5 * z0 + (1 - then) ** 0.5 * e0
    found = last(te.diffusion.sample(WORLD, ["fox", "fox"], steps=12, guidance_scale=0.6, guidance="cfg++"))
    torch.testing.assert_close(found.z_next, z, rtol=0, atol=1e-12)


def test_cfgpp_differs_from_cfg_where_the_text_says_something():
    both = [last(te.diffusion.sample(WORLD, "fox", steps=12, guidance_scale=0.6, guidance=each)).z_next for each in te.diffusion.GUIDANCE]
    silent = [last(te.diffusion.sample(WORLD, "", steps=12, guidance_scale=0.6, guidance=each)).z_next for each in te.diffusion.GUIDANCE]
    assert (both[0] - both[1]).abs().max() > 0.01
    torch.testing.assert_close(silent[0], silent[1], rtol=0, atol=1e-12)


def test_cfgpp_inversion_written_out():
    """Tweedie with ε_∅, and the next higher level with ε_∅ + λ (ε_c − ε_∅) (Chung et al. 2025)."""
    z = z0 = 0.3 * noise((5, 6))
    for t_next, t in reversed(WORLD.timesteps(12)):
        now, then = WORLD.alpha_bar(t), WORLD.alpha_bar(t_next)
        e0, e1 = WORLD.predict_noise(z, max(t, 0), EMPTY), WORLD.predict_noise(z, max(t, 0), TOLD)
        clean = (z - (1 - now) ** 0.5 * e0) / now**0.5
        z = then**0.5 * clean + (1 - then) ** 0.5 * (e0 + 0.6 * (e1 - e0))
    found = last(te.diffusion.invert(WORLD, z0, "fox", steps=12, guidance_scale=0.6, guidance="cfg++"))
    torch.testing.assert_close(found.z_next, z, rtol=0, atol=1e-12)


def test_treg_with_cfgpp_renoises_with_the_null_texts_noise():
    settings = dict(steps=6, every=2, until=1.0, negation=None, guidance_scale=0.7, null_prompt="")
    for step in te.treg(WORLD, SR, measured(), "fox", guidance="cfg++", **settings):
        t, t_prev = WORLD.timesteps(6)[step.index]
        if step.index % 2:
            e0 = WORLD.predict_noise(step.z_t, t, EMPTY)
            torch.testing.assert_close(step.z_next, te.diffusion.ddim_step(step.z0, e0, WORLD.alpha_bar(t_prev)), rtol=0, atol=1e-12)


def test_on_gamma_cfgpp_mixes_fresh_noise_into_the_null_texts():
    """x̂ from D(ẑ₀) of the guided noise; z′ = √ᾱ′ ẑ + √(1 − ᾱ′) (√(1 − ᾱ′) ε_∅ + √ᾱ′ ε), not with ε̂."""
    settings = dict(steps=6, every=1, until=1.0, negation=None, guidance_scale=0.7, null_prompt="", seed=3)
    generators = te.noise.generators(3, 2)
    z_t = te.noise.normal(generators, (2, 3, 4, 4), dtype=torch.float64)
    for step, (t, t_prev) in zip(te.treg(WORLD, SR, measured(), "fox", guidance="cfg++", **settings), WORLD.timesteps(6), strict=True):
        torch.testing.assert_close(step.z_t, z_t, rtol=0, atol=1e-10)
        now, then = WORLD.alpha_bar(t), WORLD.alpha_bar(t_prev)
        e0, e1 = WORLD.predict_noise(z_t, t, EMPTY), WORLD.predict_noise(z_t, t, TOLD)
        tweedie = (z_t - (1 - now) ** 0.5 * (e0 + 0.7 * (e1 - e0))) / now**0.5
        x_hat = te.consistency.pixel_step(SR, measured(), (tweedie + 1) / 2)
        z0 = then * (2 * x_hat - 1) + (1 - then) * tweedie
        fresh = te.noise.normal(generators, (2, 3, 4, 4), dtype=torch.float64)
        z_t = then**0.5 * z0 + (1 - then) ** 0.5 * ((1 - then) ** 0.5 * e0 + then**0.5 * fresh)
        torch.testing.assert_close(step.z_next, z_t, rtol=0, atol=1e-10)


def test_the_latent_dps_branch_is_ldps_with_rho_of_the_level():
    """Where Γ is empty, every step is z′ − 2 √ᾱ_{t−1} ∇_{z_t} ‖y − A(D(ẑ₀))‖, by autograd through everything."""
    y, z = measured(), noise()
    for t, t_prev in WORLD.timesteps(5):
        now, then = WORLD.alpha_bar(t), WORLD.alpha_bar(t_prev)
        z = z.detach().requires_grad_()
        e = te.diffusion.guided_noise(WORLD, z, t, TOLD, EMPTY, 2.0)
        z0 = (z - (1 - now) ** 0.5 * e) / now**0.5
        off = (y - SR.A((z0 + 1) / 2)).flatten(1).norm(dim=1).sum()
        (gradient,) = torch.autograd.grad(off, z)
        z = then**0.5 * z0 + (1 - then) ** 0.5 * e - 2 * then**0.5 * gradient
    settings = dict(steps=5, until=0.0, negation=None, guidance_scale=2.0, null_prompt="")
    found = last(te.treg(WORLD, SR, y, ["fox", "fox"], dps_step_size=2.0, **settings))
    torch.testing.assert_close(found.z_next, z.detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.x_hat, ((z.detach() + 1) / 2).clamp(0, 1), rtol=0, atol=1e-10)


def test_the_branch_leaves_the_steps_of_gamma_alone_and_lowers_the_misfit():
    settings = dict(steps=20, every=20, until=1.0, negation=None, guidance_scale=1.5, null_prompt="")
    y = measured()
    plain, branch = (list(te.treg(WORLD, SR, y, "fox", dps_step_size=rho, **settings)) for rho in (0.0, 0.5))
    torch.testing.assert_close(plain[0].z_next, branch[0].z_next)  # step 0 is in Γ
    off = [te.operators.misfit(SR, (steps[18].z_next + 1) / 2, y) for steps in (plain, branch)]
    assert (off[1] < 0.95 * off[0]).all()


@pytest.mark.parametrize("lam", [1e4, 1e8])
def test_a_heavy_lam_leaves_what_the_text_asks_for(lam):
    """λ → ∞: the pixel step returns D(ẑ₀), so every ẑ is Tweedie's, as in DDIM; the noise alone is renewed on Γ."""
    for step in te.treg(WORLD, SR, measured(), "fox", steps=6, every=2, until=1.0, negation=None, lam=lam, null_prompt=""):
        t, _ = WORLD.timesteps(6)[step.index]
        guided = te.diffusion.guided_noise(WORLD, step.z_t, t, TOLD, EMPTY, 5.0)
        torch.testing.assert_close(step.z0, te.diffusion.tweedie(step.z_t, guided, WORLD.alpha_bar(t)), rtol=0, atol=20 / lam)


def test_last_rounds_are_pixel_steps_at_the_end():
    """In a world whose encoder is exact each of them solves for the measurement; after one the misfit is that of the pixel step."""
    settings = dict(steps=6, until=0.0, negation=None, null_prompt="", iterations=20)
    y = measured()
    none, one, three = (last(te.treg(WORLD, SR, y, "fox", last_rounds=n, **settings)) for n in (0, 1, 3))
    expected = te.consistency.pixel_step(SR, y, (none.z0 + 1) / 2, lam=1e-4, iterations=20)
    torch.testing.assert_close((one.z0 + 1) / 2, expected, rtol=0, atol=1e-6)
    assert (one.misfit < none.misfit / 2).all() and (three.misfit <= one.misfit + 1e-6).all()


def test_last_rounds_keep_what_the_autoencoder_loses_out_of_the_latent():
    """Behind an encoder that is not D's inverse: ẑ + E(x̂) − E(D(ẑ)), and not E(x̂)."""
    y = measured()
    settings = dict(steps=6, until=0.0, negation=None, null_prompt="", iterations=20)
    none, one = (last(te.treg(CURVED, SR, y, "fox", last_rounds=n, **settings)) for n in (0, 1))
    z0 = none.z0
    x_hat = te.consistency.pixel_step(SR, y, CURVED.decode(z0), lam=1e-4, iterations=20)
    corrected = z0 + CURVED.encode(x_hat) - CURVED.encode(CURVED.decode(z0))
    assert (corrected - CURVED.encode(x_hat)).abs().max() > 0.05
    torch.testing.assert_close(one.x_hat, CURVED.decode(corrected).clamp(0, 1), rtol=0, atol=1e-10)


def test_negation_needs_a_clip():
    with pytest.raises(te.checks.ArgumentError, match="^negation: got 'hidden', expected None: this prior has no CLIP"):
        te.treg(WORLD, SR, measured(), "fox")
