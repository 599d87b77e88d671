"""`te.cost` counts what is known from the algorithm, and `batch_size` splits without changing a picture."""

import numpy as np
import pytest
import torch
from gaussian_world import GaussianPrior, smooth_covariance

import treg_edu as te
from treg_edu.operators import FourierMagnitude, SuperResolution

pytestmark = pytest.mark.once

SR = SuperResolution(16)


def measured(batch=2):
    x = torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return SR.measure(x, 0.005, te.noise.generators(3, batch))


def test_treg_makes_no_pass_back(prior):
    """6 guided steps are 12 passes; Γ = {0, 2, 4}, each with a decoding, an encoding and a feature; one decoding at the end."""
    settings = dict(steps=6, every=2, until=1.0, iterations=5, guidance_scale=2.0)
    found = te.cost("treg", prior, SR, measured(), "fox", **settings)
    assert (found.unet, found.decoder, found.encoder, found.clip) == (12, 4, 3, 3)
    assert found.unet_backward == found.decoder_backward == found.encoder_backward == 0
    # Each pixel step: Aᵀy, AᵀA of the residual and of 5 directions, and A of the misfit; one more A at the end, and two that find the size.
    assert found.products == 3 * (1 + 2 + 5 * 2 + 1) + 1 + 2
    assert found.seconds > 0 and found.memory >= 0


def test_ldps_goes_back_through_decoder_and_network(prior):
    found = te.cost("ldps", prior, SR, measured(), "fox", steps=3, guidance_scale=1.0)
    assert (found.unet, found.unet_backward, found.decoder, found.decoder_backward) == (3, 3, 4, 3)
    guided = te.cost("ldps", prior, SR, measured(), "fox", steps=3, guidance_scale=2.0)
    assert (guided.unet, guided.unet_backward, guided.clip, guided.encoder) == (6, 6, 0, 0)


def test_what_autograd_keeps_is_that_of_one_step(prior):
    """Nothing for a solver without gradients, and for LDPS as much at one step as at three, in proportion to the batch."""
    assert te.cost("treg", prior, SR, measured(), "fox", steps=2, negation=None).kept == 0
    one, three = (te.cost("ldps", prior, SR, measured(), "fox", steps=steps).kept for steps in (1, 3))
    twice = te.cost("ldps", prior, SR, measured(4), "fox", steps=1).kept
    assert one == three > 1e6 and 1.9 < twice / one < 2.1


def test_the_prior_and_the_operator_are_left_as_they_were(prior):
    hooks = len(prior.unet._forward_hooks)
    te.cost("ldps", prior, SR, measured(1), steps=1)
    assert len(prior.unet._forward_hooks) == hooks and "A" not in vars(SR)


def test_an_a_vjp_that_calls_a_adjoint_is_one_product():
    world = GaussianPrior(smooth_covariance())
    small = SuperResolution(2)
    y = small.A(torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    found = te.cost("ldps", world, small, y, steps=1)
    assert found.products == 2 + 1 + 1 + 1  # the size; A and Jᵀ of the gradient; the misfit


@pytest.mark.parametrize("operator", [SuperResolution(2), FourierMagnitude()])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_parts_give_the_pictures_of_the_whole(operator, size):
    world = GaussianPrior(smooth_covariance(), {"fox": torch.linspace(-0.6, 0.6, 48).view(3, 4, 4)})
    x = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, prompts = operator.A(x), ["fox", "", "fox", "", "fox"]
    for more in ({}, {"seed": 4}, *({"seed": kind([5, 1, 7, 3, 2])} for kind in (list, np.array, torch.tensor)), {"seed": range(2, 7)}):
        whole = te.solve("ldps", world, operator, y, prompts, progress=False, steps=3, **more)
        parts = te.solve("ldps", world, operator, y, prompts, progress=False, steps=3, batch_size=size, **more)
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)


def test_one_bar_counts_all_parts(capsys):
    world = GaussianPrior(smooth_covariance())
    y = SuperResolution(2).A(torch.rand(3, 3, 4, 4, dtype=torch.float64))
    te.solve("ldps", world, SuperResolution(2), y, steps=300, batch_size=2)
    assert "600/600" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "2"])
def test_a_batch_size_that_is_none(wrong):
    world = GaussianPrior(smooth_covariance())
    with pytest.raises(te.checks.ArgumentError, match="^batch_size: got "):
        te.solve("ldps", world, SuperResolution(2), torch.rand(2, 3, 2, 2, dtype=torch.float64), batch_size=wrong)


def test_one_generator_for_all_samples_is_not_split():
    """What it draws for a sample depends on those before; a generator for each may be split."""
    world, y = GaussianPrior(smooth_covariance()), SuperResolution(2).A(torch.rand(3, 3, 4, 4, dtype=torch.float64))
    with pytest.raises(te.checks.ArgumentError, match=r"^seed: got one torch.Generator, expected an int, or a list of one for each sample"):
        te.solve("ldps", world, SuperResolution(2), y, steps=2, progress=False, batch_size=2, seed=torch.Generator())
    each, whole, single = (
        te.solve("ldps", world, SuperResolution(2), y, steps=2, progress=False, batch_size=size, seed=seed)
        for size, seed in ((2, te.noise.generators(4, 3)), (None, 4), (3, torch.Generator().manual_seed(4)))
    )
    torch.testing.assert_close(each, whole)
    torch.testing.assert_close(single[:1], whole[:1])
