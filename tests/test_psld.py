"""PSLD against its loss, differentiated numerically, and against LDPS where the two must agree."""

import pytest
import torch
from curved_world import CURVED, FLAT, WIDE, clean, latents, measured, normal, slope

import treg_edu as te
from treg_edu.operators import Inpainting, SuperResolution
from treg_edu.solvers.psld import gluing_gradient

MASK = Inpainting.box(4, 1, 1, 2, 2)  # a coisometry on what it measures: AAᵀ y = y


def walk(name, prior, operator, y, **settings):
    return list(te.SOLVERS[name](prior, operator, y, "fox", **{"steps": 6, "seed": 1, **settings}))


def equal(one, other, **tolerance):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.z_next, b.z_next, **tolerance)
    torch.testing.assert_close(one[-1].x_hat, other[-1].x_hat, **tolerance)


@pytest.mark.parametrize("prior", [FLAT, CURVED], ids=["flat", "curved"])
def test_without_gluing_it_is_ldps(prior):
    y = measured(WIDE)
    equal(walk("psld", prior, WIDE, y, gluing=0, step_size=1.5), walk("ldps", prior, WIDE, y, step_size=1.5))


def test_without_both_terms_it_is_the_plain_sample():
    *_, plain = te.diffusion.sample(CURVED, ["fox", "fox"], steps=6, guidance_scale=1.0, seed=1)
    found = walk("psld", CURVED, WIDE, measured(WIDE), gluing=0, step_size=0)
    torch.testing.assert_close(found[-1].z_next, plain.z_next)


@pytest.mark.parametrize("back", ["adjoint", "pseudo-inverse"])
def test_for_a_coisometry_and_the_identity_autoencoder_gluing_says_what_the_misfit_says(back):
    """E(Aᵀy + (I − AᵀA) D(z)) − z = 2 Aᵀ(y − A D(z)), of length 2 ‖y − A D(z)‖: nothing is left but LDPS with the step ω + 2γ."""
    y = MASK.A(measured(MASK))
    equal(walk("psld", FLAT, MASK, y, step_size=0.5, gluing=0.3, back=back), walk("ldps", FLAT, MASK, y, step_size=1.1))


def test_gluing_vanishes_where_the_picture_explains_the_measurement():
    """Then the glued picture is the picture; 0/0 of the norm is taken as 0."""
    x = FLAT.decode(latents(2))
    of_picture, of_latent = gluing_gradient(FLAT, WIDE, WIDE.A_adjoint, WIDE.A(x), x, FLAT.encode(x))
    assert of_picture.abs().max() == 0 == of_latent.abs().max()


@pytest.mark.parametrize("back", ["adjoint", "pseudo-inverse"])
@pytest.mark.parametrize(("step_size", "gluing"), [(1.5, 0.0), (0.0, 0.7), (1.5, 0.7)])
def test_the_step_is_the_slope_of_the_published_loss(back, step_size, gluing):
    """Each sample's own, by finite differences of the loss written out, with a dense matrix and an autoencoder that bends."""
    y, index = measured(WIDE), 2
    M = WIDE.matrix
    B = M.T if back == "adjoint" else torch.linalg.pinv(M)
    found = walk("psld", CURVED, WIDE, y, step_size=step_size, gluing=gluing, back=back)[index]
    c = CURVED.embed_text(["fox"])
    alpha_bar_prev = CURVED.alpha_bar(walk("ldps", CURVED, WIDE, y)[index + 1].t)
    for i in range(2):

        def loss(z_t, i=i):
            z0 = clean(CURVED, z_t, found.t, c)
            x = CURVED.decode(z0).flatten()
            off = y[i].flatten() - M @ x
            glued = CURVED.encode((x + B @ off).view(1, 3, 4, 4))
            return step_size * off.norm() + gluing * (glued - z0).norm()

        z_t = found.z_t[i : i + 1]
        z0 = clean(CURVED, z_t, found.t, c)
        ddim = alpha_bar_prev.sqrt() * z0 + (1 - alpha_bar_prev).sqrt() * CURVED.predict_noise(z_t, found.t, c)
        for seed in range(3):
            v = normal(seed, 1, 3, 4, 4)
            torch.testing.assert_close(((ddim - found.z_next[i : i + 1]) * v).sum(), slope(loss, z_t, v), rtol=1e-6, atol=1e-8)


def test_adjoint_and_pseudo_inverse_differ_where_the_operator_is_no_coisometry():
    y, operator = measured(SuperResolution(2)), SuperResolution(2)
    one, other = (walk("psld", FLAT, operator, y, gluing=0.5, back=back)[-1].x_hat for back in ("adjoint", "pseudo-inverse"))
    assert (one - other).abs().max() > 1e-2


def test_the_way_back_is_one_of_two():
    with pytest.raises(te.checks.ArgumentError, match=r"^back: got 'transpose', expected one of 'adjoint', 'pseudo-inverse'"):
        te.SOLVERS["psld"](FLAT, WIDE, measured(WIDE), back="transpose")
