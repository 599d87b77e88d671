"""No solver needs double precision on the prior's device: Apple's MPS has none.

Tensors of this test are single, and refuse what MPS refuses: to become float64.  What is moved to the CPU first may.
"""

import pytest
import torch
from gaussian_world import GaussianPrior, smooth_covariance
from test_all_solvers import MEANS, SIGMA, instruments, measured, pairs, short

import treg_edu as te
from treg_edu.solvers import discrepancy


class Single(torch.Tensor):
    """A tensor on a device without double precision."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None):
        made = super().__torch_function__(function, types, arguments, named or {})
        if function is torch.Tensor.cpu:
            return made.as_subclass(torch.Tensor)
        for each in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(each, Single) and each.dtype in (torch.float64, torch.complex128):
                raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
        return made


class SinglePrior(GaussianPrior):
    """The Gaussian world in single precision; its closed form is computed elsewhere."""

    dtype = torch.float32

    def embed_text(self, texts):
        return super().embed_text(texts).float().as_subclass(Single)

    def _predict_noise(self, z_t, t, alpha_bar, text_embedding):
        z_t, alpha_bar, text_embedding = (each.as_subclass(torch.Tensor).double() for each in (z_t, alpha_bar, text_embedding))
        return super()._predict_noise(z_t, t, alpha_bar, text_embedding).float().as_subclass(Single)


WORLD = SinglePrior(smooth_covariance(), MEANS)


def test_the_tensors_of_this_test_refuse_double_precision():
    y = torch.rand(2, 3).as_subclass(Single)
    for spoil in (
        lambda: y.double(),
        lambda: (2 * y).to(torch.float64),
        lambda: torch.add(y, torch.ones(3, dtype=torch.float64)),
        lambda: y.sum(0).to(y.cpu().double()),
    ):
        with pytest.raises(TypeError, match="MPS"):
            spoil()
    assert type(y.cpu().double()) is torch.Tensor and type((y @ y.T).exp()) is Single


@pytest.mark.parametrize(("name", "kind"), pairs(instruments))
def test_a_solver_stays_in_single_precision(name, kind):
    operator = instruments(name)[kind]
    y = measured(operator, 2).float().as_subclass(Single)
    *_, last = te.SOLVERS[name](WORLD, operator, y, "fox", **short(name))
    assert last.x_hat.dtype == torch.float32 and last.x_hat.isfinite().all()


@pytest.mark.parametrize("name", ["tikhonov", "h1", "total_variation", "wavelet"])
def test_the_discrepancy_principle_too(name):
    operator = te.operators.SuperResolution(2)
    y = measured(operator, 2).float().as_subclass(Single)
    steps = {} if name == "tikhonov" else {"steps": 20}
    lam = discrepancy(te.SOLVERS[name], None, operator, y, sigma=SIGMA, iterations=6, **steps)
    *_, last = te.SOLVERS[name](None, operator, y, lam=lam, **steps)
    assert lam.shape == (2,) and last.x_hat.isfinite().all()


def test_a_denoiser_takes_the_deviations_of_a_device():
    x, sigma = torch.rand(2, 3, 4, 4).as_subclass(Single), torch.tensor([0.1, 0.2]).as_subclass(Single)
    assert WORLD.denoise(x, sigma).dtype == torch.float32
