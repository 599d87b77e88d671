"""treg_edu.negation against its closed form and autograd, and the projected variant."""

import pytest
import torch
from torch.nn import functional as F

from treg_edu.diffusion import guide
from treg_edu.negation import adaptive_negation, extra_guidance, negation_loss


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def embedding_and_feature(dtype=torch.float64):
    """A feature no component of which is near zero, where the sign of a component would be all that Adam's ε leaves of it."""
    feature = randn(3, 16, seed=1)
    return randn(3, 7, 16).to(dtype), (feature + feature.sign()).to(dtype)


def test_similarity_is_the_mean_over_tokens_of_the_inner_product():
    c, f = embedding_and_feature()
    by_hand = torch.stack([sum(f[b] @ c[b, token] for token in range(7)) / 7 / f[b].norm() for b in range(3)])
    torch.testing.assert_close(negation_loss(f, c), by_hand)
    torch.testing.assert_close(negation_loss(5 * f, c), by_hand)


def test_its_gradient_is_the_feature_on_every_token():
    c, f = embedding_and_feature()
    c.requires_grad_()
    (gradient,) = torch.autograd.grad(negation_loss(f, c).sum(), c)
    torch.testing.assert_close(gradient, (F.normalize(f, dim=-1) / 7)[:, None].expand(3, 7, 16))


@pytest.mark.parametrize("learning_rate, iterations", [(1e-3, 10), (5e-4, 10), (0.1, 1), (1e-2, 37), (1e-3, 0)])
def test_negation_is_its_closed_form(learning_rate, iterations):
    """The gradient never changes, so each of Adam's steps is lr · sign(f)."""
    c, f = embedding_and_feature()
    moved = adaptive_negation(c, f, learning_rate, iterations) - c
    closed_form = -iterations * learning_rate * f.sign()[:, None].expand_as(c)
    torch.testing.assert_close(moved, closed_form, rtol=1e-5, atol=1e-12)


def test_negation_is_plain_adam_on_autograd_by_default_ten_times_1e_3():
    c, f = embedding_and_feature()
    by_hand = c.clone().requires_grad_()
    optimizer = torch.optim.Adam([by_hand], lr=1e-3)
    for _ in range(10):
        optimizer.zero_grad()
        ((by_hand * f[:, None]).sum(-1) / f.norm(dim=-1, keepdim=True)).mean(1).sum().backward()
        optimizer.step()
    torch.testing.assert_close(adaptive_negation(c, f), by_hand.detach())


def test_the_similarity_falls_and_nothing_else_is_touched():
    c, f = embedding_and_feature()
    c_before, f_before = c.clone(), f.clone()
    with torch.no_grad():
        moved = adaptive_negation(c, f)
        assert not torch.is_grad_enabled()
    assert (negation_loss(f, moved) < negation_loss(f, c)).all() and not moved.requires_grad
    assert torch.equal(c, c_before) and torch.equal(f, f_before)


def test_rows_are_independent():
    c, f = embedding_and_feature()
    together = adaptive_negation(c, f)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], adaptive_negation(c[i : i + 1], f[i : i + 1]))
    assert not torch.allclose(together - c, (together - c).flip(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_moves_as_far(dtype):
    """The square of this gradient underflows in float16, and 10 steps of 0.001 are lost one by one on a bfloat16 near 1."""
    c, f = embedding_and_feature(dtype)
    c, f = c.repeat(1, 11, 48), f.repeat(1, 48)  # (3, 77, 768), the sizes of Stable Diffusion
    moved = adaptive_negation(c, f, learning_rate=1e-2)
    assert moved.dtype == dtype
    expected = (c.double() - 0.1 * f.double().sign()[:, None]).to(dtype)
    torch.testing.assert_close(moved, expected, rtol=torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps)


def test_widths_and_batches_must_agree():
    with pytest.raises(ValueError, match="^image_feature: got width 5, expected 16, the width of null_embedding"):
        adaptive_negation(randn(1, 7, 16), randn(1, 5))
    with pytest.raises(ValueError, match="^image_feature: got a batch of 1, expected 3, the batch of null_embedding"):
        adaptive_negation(randn(3, 7, 16), randn(1, 16))


def test_the_pulled_back_feature_compares_in_the_shared_space(prior64):
    """⟨Pᵀ f, c⟩ = ⟨f, P c⟩ for the normalised f, on every token."""
    P = prior64.clip.text_projection
    f, c = randn(2, P.out_features), randn(2, 7, P.in_features)
    pulled = prior64.to_hidden_space(f)
    left = torch.einsum("bd,bld->bl", pulled, c)
    right = torch.einsum("bp,blp->bl", F.normalize(f, dim=-1), P(c))
    torch.testing.assert_close(left, right)


def test_the_projected_variant_descends_the_similarity_in_the_shared_space(prior64):
    P = prior64.clip.text_projection
    f, c = randn(2, P.out_features), randn(2, 7, P.in_features)
    moved = adaptive_negation(c, prior64.to_hidden_space(f))
    assert (negation_loss(f, P(moved)) < negation_loss(f, P(c))).all()
    torch.testing.assert_close(moved - c, -0.01 * (f @ P.weight).sign()[:, None].expand_as(c), rtol=0, atol=1e-4)


def test_extra_guidance_is_what_omega_has_gained():
    """Raising ω by a changes ε̂ by a (ε_c − ε_∅); what is across it counts for nothing; a sample without guidance has none."""
    null, text, across = torch.randn(3, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    g = text - null
    across = across - extra_guidance(across, null, text).view(-1, 1, 1, 1) * g
    gained = torch.tensor([0.5, -1.0, 0.0]).double()
    change = guide(null, text, 4 + gained.view(-1, 1, 1, 1)) - guide(null, text, 4)
    torch.testing.assert_close(extra_guidance(change + across, null, text), gained)
    assert (extra_guidance(change, null, null) == 0).all()
