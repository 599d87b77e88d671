"""HIO as a solver: it is `phase_retrieval.retrieve`, step by step."""

import pytest
import torch

import treg_edu as te
from treg_edu.operators import FourierMagnitude
from treg_edu.phase_retrieval import align_channels, match_channels, retrieve

PHASE = FourierMagnitude()


def test_it_is_retrieve_with_the_channels_turned_to_agree():
    y = PHASE.A(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    *_, last = te.SOLVERS["hio"](None, PHASE, y, steps=50, starts=4, seed=3)
    known = retrieve(PHASE, y, starts=4, hio=40, er=10, generator=te.noise.generators(3, 2))
    assert torch.equal(last.x_hat, match_channels(known.x_hat)) and last.index == 49 and last.t == 0


def test_it_retrieves_a_small_picture_up_to_the_symmetries():
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x_hat = te.solve("hio", None, PHASE, PHASE.A(x), progress=False, steps=1000, starts=8)
    assert align_channels(x_hat, x).error.max() < 0.02


def test_more_starts_never_raise_the_misfit():
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    one, many = (te.solve("hio", None, PHASE, PHASE.A(x), progress=False, steps=60, starts=starts) for starts in (1, 6))
    assert (te.operators.misfit(PHASE, many, PHASE.A(x)) <= te.operators.misfit(PHASE, one, PHASE.A(x)) + 1e-12).all()


def test_nothing_but_a_fourier_magnitude():
    y = torch.rand(1, 3, 4, 4)
    with pytest.raises(te.checks.ArgumentTypeError, match="^operator: got SuperResolution, expected a FourierMagnitude.*treg"):
        te.SOLVERS["hio"](None, te.operators.SuperResolution(2), y)
