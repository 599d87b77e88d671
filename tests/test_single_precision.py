"""No solver needs double precision on the prior's device: Apple's MPS has none.

Tensors of this test are single, and refuse what MPS refuses: to become float64.  What is moved to the CPU first may.
"""

import pytest
import torch
from gaussian_world import GaussianPrior, smooth_covariance
from test_all_solvers import MEANS, SIGMA, instruments, measured, pairs, short

import treg_edu as te
from treg_edu.experiments.intervals import kid_parts
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


# What measures a solver's pictures stays where they are, too, or goes to the CPU first.

TRUTH, FOUND = (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
FOUND[0] = te.phase_retrieval.rotate(TRUTH[:1]).roll(3, -1)[0]
FEATURES, OTHERS = (torch.randn(5, 6, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4))


def there(*tensors):
    return [each.as_subclass(Single) for each in tensors]


@pytest.mark.parametrize("measure", [te.phase_retrieval.orientation, te.phase_retrieval.copies, te.phase_retrieval.align])
def test_symmetric_copies_are_told_apart(measure):
    found, expected = measure(*there(FOUND, TRUTH)), measure(FOUND, TRUTH)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_the_channels_are_aligned_one_by_one():
    found, expected = (te.phase_retrieval.align_channels(*pair) for pair in (there(FOUND, TRUTH), (FOUND, TRUTH)))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)) and type(found.image) is Single


@pytest.mark.parametrize(
    ("measure", "given"),
    [
        (te.metrics.psnr, (FOUND, TRUTH)),
        (te.metrics.ssim, (FOUND.repeat(1, 1, 2, 2), TRUTH.repeat(1, 1, 2, 2))),
        (te.metrics.pixel_variance, (FOUND,)),
        (te.metrics.pixel_deviation, (FOUND,)),
        (te.metrics.clip_similarity, (FEATURES, OTHERS)),
        (te.metrics.mmd, (FEATURES, OTHERS)),
        (lambda a, b: te.metrics.top_shares(te.metrics.label_ranks(a, b, range(5)))["top1"], (FEATURES, OTHERS)),
        (te.metrics.confidence_interval, (FEATURES[0],)),
        (lambda a, b: kid_parts(a[None], b), (FEATURES, OTHERS)),
    ],
)
def test_a_metric_needs_no_double_precision_there(measure, given):
    for a, b in zip(*(torch.as_tensor(measure(*each)).flatten().tolist() for each in (there(*given), given)), strict=True):
        assert a == b


def test_deepinvs_denoiser_takes_the_deviations_of_a_device(monkeypatch):
    as_tensor = torch.as_tensor

    def refusing(values, dtype=None):  # a function that tensors of this test cannot overrule
        if isinstance(values, Single) and dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
        return as_tensor(values, dtype=dtype)

    monkeypatch.setattr(torch, "as_tensor", refusing)
    x, sigma = there(torch.rand(2, 3, 4, 4), torch.tensor([0.1, 0.2]))
    found = te.deepinv.Denoiser(WORLD)(x, sigma)
    torch.testing.assert_close(found.as_subclass(torch.Tensor), te.deepinv.Denoiser(WORLD)(x, [0.1, 0.2]).as_subclass(torch.Tensor))
