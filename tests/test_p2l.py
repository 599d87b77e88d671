"""P2L against LDPS, against finite differences, and against a second writing with an Adam of its own."""

import pytest
import torch
from curved_world import CURVED, FLAT, WIDE, clean, latents, measured, normal, slope

import treg_edu as te
from treg_edu.solvers.p2l import embedding_gradient

p2l = te.SOLVERS["p2l"]


def walk(name, prior, y, **settings):
    return list(te.SOLVERS[name](prior, WIDE, y, "fox", **{"steps": 6, "seed": 1, **settings}))


@pytest.mark.parametrize("prior", [FLAT, CURVED], ids=["flat", "curved"])
def test_without_tuning_and_range_step_it_is_ldps(prior):
    y = measured(WIDE)
    for a, b in zip(walk("p2l", prior, y, tuning_iterations=0, every=0), walk("ldps", prior, y), strict=True):
        torch.testing.assert_close(a.z_next, b.z_next)
        torch.testing.assert_close(a.x_hat, b.x_hat)


def test_without_any_guidance_it_is_the_plain_sample():
    *_, plain = te.diffusion.sample(CURVED, ["fox", "fox"], steps=6, guidance_scale=1.0, seed=1)
    *_, last = walk("p2l", CURVED, measured(WIDE), tuning_iterations=0, every=0, step_size=0)
    torch.testing.assert_close(last.z_next, plain.z_next)


@pytest.mark.parametrize("guidance_scale", [1.0, 2.5])
def test_the_gradient_of_the_embedding_is_the_slope_of_the_misfit(guidance_scale):
    y, z_t, t = measured(WIDE), latents(2, 3), 400
    c, null = (CURVED.embed_text([text] * 2) for text in ("fox", ""))
    alpha_bar = CURVED.alpha_bar(t)

    def half_square(c, i):
        null_noise, text_noise = (CURVED.predict_noise(z_t[i : i + 1], t, each) for each in (null[i : i + 1], c[None]))
        noise = null_noise + guidance_scale * (text_noise - null_noise)
        x = CURVED.decode((z_t[i : i + 1] - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt())
        return (y[i].flatten() - WIDE.matrix @ x.flatten()).square().sum() / 2

    found = embedding_gradient(CURVED, WIDE, y, z_t, t, c, null, guidance_scale)
    assert found.shape == c.shape and not found.requires_grad
    for i in range(2):
        for seed in range(3):
            v = normal(seed, *c[i].shape)
            torch.testing.assert_close((found[i] * v).sum(), slope(lambda c, i=i: half_square(c, i), c[i], v), rtol=1e-6, atol=1e-9)


def by_hand(y, K, every, steps, seed, rate=1e-2, rho=0.7, gamma=3.0):
    """One image in the bending world: Adam with its averages kept, the proximal map by the normal equations, all gradients by autograd."""
    M, c = WIDE.matrix, CURVED.embed_text(["fox"])
    z_t = te.noise.normal(te.noise.generators(seed, 1), (1, 3, 4, 4), dtype=torch.float64)
    misfit = lambda z0: (y - M @ CURVED.decode(z0).flatten()).norm()  # noqa: E731
    m = v = torch.zeros_like(c)
    taken, path, texts = 0, [], []
    for index, (t, t_prev) in enumerate(CURVED.timesteps(steps)):
        for _ in range(K):
            c = c.detach().requires_grad_()
            (g,) = torch.autograd.grad(misfit(clean(CURVED, z_t, t, c)) ** 2 / 2, c)
            taken += 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            c = (c - rate * (m / (1 - 0.9**taken)) / ((v / (1 - 0.999**taken)).sqrt() + 1e-8)).detach()
        z = z_t.detach().requires_grad_()
        z0 = clean(CURVED, z, t, c)
        (g,) = torch.autograd.grad(misfit(z0), z)
        z0 = z0.detach()
        if every and (steps - 1 - index) % every == 0:
            x = torch.linalg.solve(torch.eye(48) + gamma * M.T @ M, CURVED.decode(z0).flatten() + gamma * M.T @ y)
            z0 = CURVED.encode(x.view(1, 3, 4, 4))
        b = CURVED.alpha_bar(t_prev)
        z_t = b.sqrt() * z0 + (1 - b).sqrt() * CURVED.predict_noise(z_t, t, c) - rho * g
        path.append(z_t)
        texts.append(c)
    return path, texts


@pytest.mark.parametrize(("K", "every"), [(0, 2), (1, 0), (1, 2), (3, 4)])
def test_the_algorithm_is_the_one_written_by_hand(K, every):
    """K = 0: LDPS with the projection.  Otherwise Adam's averages outlive a timestep."""
    y = measured(WIDE)
    settings = dict(tuning_iterations=K, every=every, tuning_learning_rate=1e-2, step_size=0.7, gamma=3.0, steps=8)
    found = walk("p2l", CURVED, y, **settings)
    for i in range(2):
        path, texts = by_hand(y[i].flatten(), K, every, 8, 1 + i)
        for step, z_next, c in zip(found, path, texts, strict=True):
            torch.testing.assert_close(step.z_next[i : i + 1], z_next, rtol=0, atol=1e-5)  # conjugate gradient stops at 1e-6
            torch.testing.assert_close(step.text_embedding[i : i + 1], c, rtol=0, atol=1e-6)


def test_the_embedding_moves_at_every_step_and_is_what_the_network_reads():
    """An optimiser that holds a detached copy would move once and never again, as in a public version of P2L."""
    read = []

    class Listening(type(CURVED)):
        def predict_noise(self, z_t, t, text_embedding):
            read.append(text_embedding.detach().clone())
            return super().predict_noise(z_t, t, text_embedding)

    prior = Listening(CURVED.covariance, CURVED.means)
    start = prior.embed_text(["fox", "fox"])
    found = list(p2l(prior, WIDE, measured(WIDE), "fox", steps=10))
    moved = torch.stack([start, *(step.text_embedding for step in found)]).diff(dim=0).abs().amax(dim=(-2, -1))
    assert moved.shape == (10, 2) and (moved > 2e-5).all() and (moved < 1.1e-4).all()
    assert len(read) == 20  # one pass to tune, one for the latent
    for step, before, after in zip(found, read[::2], read[1::2], strict=True):
        torch.testing.assert_close(after, step.text_embedding)
        assert not torch.equal(before, after)


def test_tuning_lowers_the_misfit_of_the_clean_picture():
    """At one timestep, the latent held: thirty steps of Adam against none."""
    y = measured(WIDE)
    before, after = (
        walk("p2l", CURVED, y, steps=1, every=0, step_size=0, tuning_iterations=K, tuning_learning_rate=1e-2)[0] for K in (0, 30)
    )
    assert (after.misfit < 0.9 * before.misfit).all()
