"""Null-text inversion against finite differences, against a second writing with an Adam of its own, and in what it promises."""

import pytest
import torch
from curved_world import CURVED, FLAT, WIDE, latents, measured, normal, slope
from gaussian_world import Matrix

import treg_edu as te
from treg_edu.solvers.null_text import learning_rate_at, path_gradient

null_text = te.SOLVERS["null_text"]
SETTINGS = dict(steps=8, guidance_scale=3.0, source_prompt="fox")


def down(prior, z, t, t_prev, c, null, scale):
    """A guided DDIM step, written out."""
    a, b = prior.alpha_bar(t), prior.alpha_bar(t_prev)
    text_noise, null_noise = (prior.predict_noise(z, t, each) for each in (c, null))
    noise = null_noise + scale * (text_noise - null_noise)
    return b.sqrt() * (z - (1 - a).sqrt() * noise) / a.sqrt() + (1 - b).sqrt() * noise


def test_the_gradient_of_the_null_text_is_the_slope_of_the_distance_from_the_path():
    """For a prior that reads its text through a sine, so that the gradient is no constant."""

    class Waving(type(FLAT)):
        def predict_noise(self, z_t, t, text_embedding):
            return super().predict_noise(z_t, t, torch.sin(3 * text_embedding))

    prior, t, t_prev = Waving(FLAT.covariance, FLAT.means), 500, 480
    z, target, null, c = latents(2, 1), latents(2, 2), normal(3, 2, 1, 48), normal(4, 2, 1, 48)
    losses, found = path_gradient(prior, z, t, t_prev, null, prior.predict_noise(z, t, c), 2.5, target)
    for i in range(2):

        def loss(null, i=i):
            at = slice(i, i + 1)
            return (down(prior, z[at], t, t_prev, c[at], null[None], 2.5) - target[at]).square().mean()

        torch.testing.assert_close(losses[i], loss(null[i]))
        for seed in range(3):
            v = normal(seed, 1, 48)
            torch.testing.assert_close((found[i] * v).sum(), slope(loss, null[i], v), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("steps", [1, 50, 200, 1000])
def test_the_learning_rate_stays_positive(steps):
    rates = [learning_rate_at(1e-2, index, steps) for index in range(steps)]
    assert rates[0] == 1e-2 and min(rates) > 5e-3 and rates == sorted(rates, reverse=True)
    if steps == 50:
        assert rates == pytest.approx([1e-2 * (1 - index / 100) for index in range(50)])


def by_hand(prior, y, steps, iterations, rate, tolerance, scale):
    """One image: the inversion, Adam anew at every timestep, the replay; the gradient by autograd through the step."""
    source, c, null = (prior.embed_text([text]) for text in ("fox", "", ""))
    levels = prior.timesteps(steps)
    z = prior.encode((torch.linalg.pinv(WIDE.matrix) @ y).view(1, 3, 4, 4).clamp(0, 1))
    pivot = [z]
    for t_next, t in levels[::-1]:
        a, b = prior.alpha_bar(t), prior.alpha_bar(t_next)
        noise = prior.predict_noise(z, max(t, 0), source)
        z = b.sqrt() * (z - (1 - a).sqrt() * noise) / a.sqrt() + (1 - b).sqrt() * noise
        pivot.append(z)
    z_bar, path, nulls = z, [], []
    for index, (t, t_prev) in enumerate(levels):
        m = v = torch.zeros_like(null)
        for k in range(1, iterations + 1):
            null = null.detach().requires_grad_()
            loss = (down(prior, z_bar, t, t_prev, source, null, scale) - pivot[steps - 1 - index]).square().mean()
            (g,) = torch.autograd.grad(loss, null)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            eta = rate * (1 - index / (2 * steps))
            null = (null - eta * (m / (1 - 0.9**k)) / ((v / (1 - 0.999**k)).sqrt() + 1e-8)).detach()
            if loss < tolerance * (1 + 100 * index / steps):
                break
        z_bar = down(prior, z_bar, t, t_prev, source, null, scale)
        z = down(prior, z, t, t_prev, c, null, scale)
        path.append(z)
        nulls.append(null)
    return path, nulls


@pytest.mark.parametrize("tolerance", [0.0, 1e-4])
@pytest.mark.parametrize("prior", [FLAT, CURVED], ids=["flat", "curved"])
def test_the_algorithm_is_the_one_written_by_hand(prior, tolerance):
    """Two samples, each of which ends its tuning by its own loss."""
    y = measured(WIDE)
    found = list(null_text(prior, WIDE, y, "", iterations=6, learning_rate=0.02, tolerance=tolerance, **SETTINGS))
    for i in range(2):
        path, nulls = by_hand(prior, y[i].flatten(), 8, 6, 0.02, tolerance, 3.0)
        for step, z_next, null in zip(found, path, nulls, strict=True):
            torch.testing.assert_close(step.null_embedding[i : i + 1], null, rtol=0, atol=1e-5)  # A† stops at 1e-6
            torch.testing.assert_close(step.z_next[i : i + 1], z_next, rtol=0, atol=1e-4)


def test_without_tuning_and_guidance_it_is_the_inversion_replayed():
    y, c = measured(WIDE), FLAT.embed_text(["fox"] * 2)
    *_, up = te.diffusion.invert(FLAT, FLAT.encode(WIDE.A_dagger(y).clamp(0, 1)), ["fox"] * 2, steps=8)
    z = up.z_next
    for t, t_prev in FLAT.timesteps(8):
        z = down(FLAT, z, t, t_prev, c, c, 1.0)
    *_, last = null_text(FLAT, WIDE, y, "fox", steps=8, guidance_scale=1.0, iterations=0, source_prompt="fox")
    torch.testing.assert_close(last.z_next, z)


def test_tuning_brings_the_old_text_back_to_where_it_came_from():
    """Under guidance the source text alone misses E(A†y); with tuned null texts it comes close."""
    y = measured(WIDE)
    start = FLAT.encode(WIDE.A_dagger(y).clamp(0, 1))
    settings = dict(SETTINGS, steps=50, guidance_scale=7.5)
    missed, met = (
        (list(null_text(FLAT, WIDE, y, "fox", iterations=n, **settings))[-1].z_next - start).flatten(1).norm(dim=1) for n in (0, 10)
    )
    assert (met < 0.35 * missed).all()


def test_late_steps_still_descend_at_200_steps():
    """With the published 1 − i / 100 they would climb for i > 100: replayed, the end of the path would be worse than untuned."""
    y = measured(WIDE)
    start = FLAT.encode(WIDE.A_dagger(y).clamp(0, 1))
    settings = dict(SETTINGS, steps=200, guidance_scale=7.5)
    found = list(null_text(FLAT, WIDE, y, "fox", iterations=3, tolerance=0.0, **settings))
    c = FLAT.embed_text(["fox"] * 2)
    *climb, _ = te.diffusion.invert(FLAT, start, ["fox"] * 2, steps=200)
    targets = [start, *(step.z_next for step in climb)][::-1]
    for index in (120, 150, 190):
        step, before = found[index], found[index - 1].null_embedding
        t_prev = found[index + 1].t
        untuned, tuned = (
            (down(FLAT, step.z_t, step.t, t_prev, c, null, 7.5) - targets[index]).square().mean() for null in (before, step.null_embedding)
        )
        assert tuned < untuned


def test_the_text_moves_the_picture_and_the_measurement_is_not_read_again():
    """With another text the same path ends elsewhere, nearer to that text's mean; A serves the last misfit alone."""
    count = [0]

    class Counting(Matrix):
        def A(self, x):
            count[0] += 1
            return super().A(x)

    operator = Counting(WIDE.matrix)
    y, mean = measured(WIDE), FLAT.mean("fox")
    *_, same = null_text(FLAT, operator, y, "", steps=20, source_prompt="")
    walk = null_text(FLAT, operator, y, "fox", steps=20, source_prompt="")
    before = count[0]
    steps = list(walk)
    assert count[0] == before + 1 and [step.x_hat is None for step in steps] == [True] * 19 + [False]
    towards = ((steps[-1].z_next - same.z_next) * mean).flatten(1).sum(1)
    assert (towards > 0.5 * mean.square().sum()).all()


def test_an_operator_without_a_way_back_is_refused():
    class Only:
        def A(self, x):
            return x**2

    with pytest.raises(te.checks.ArgumentError, match=r"^operator: got Only, without A_dagger, expected one with A_dagger\(y\)"):
        null_text(FLAT, Only(), torch.rand(1, 3, 4, 4, dtype=torch.float64))
    with pytest.raises(te.checks.ArgumentError, match=r"^source_prompt: got"):
        null_text(FLAT, WIDE, measured(WIDE), source_prompt=["fox"])
