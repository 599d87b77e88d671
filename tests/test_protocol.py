"""The operator protocol: `A` alone is enough; and what a solver, `sample` and `invert` refuse, they refuse at the call."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from deepinv_reference import deepinv  # noqa: F401  (imported with its optional parts stubbed, as the page imports it plainly)
from first_step import first_decoded

import treg_edu as te
from treg_edu.operators import FourierMagnitude, LinearOperator, Operator, SuperResolution

PAGE = Path(__file__).parent.parent / "docs" / "own_operator.md"
SR = SuperResolution(16)
SETTINGS = dict(steps=2, every=1, until=1.0, iterations=5, negation=None)


def rand(*shape, seed=0):
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")


class Squared:
    """No subclass, nothing but A; the measurement is half as wide."""

    def A(self, x):
        return x[..., ::2] ** 2


class Alone(Operator):
    A = Squared.A


class WithVjp(Alone):
    def A_vjp(self, x, v):
        gradient = torch.zeros_like(x)
        gradient[..., ::2] = 2 * x[..., ::2] * v
        return gradient


class AnySize(Alone):
    def A_dagger(self, y):
        return y.clamp(min=0).sqrt().repeat_interleave(2, -1)


def test_a_alone_is_enough_and_its_vjp_is_autograds(prior):
    y = Alone().A(rand(2, 3, 64, 64))
    runs = [list(te.treg(prior, operator, y, ["fox", "pizza"], **SETTINGS)) for operator in (Squared(), Alone(), WithVjp())]
    for walk in runs:
        assert walk[-1].x_hat.shape == (2, 3, 64, 64)
        x = first_decoded(prior, walk[0], ["fox", "pizza"])
        five = te.consistency.pixel_step_nonlinear(Alone(), y, x, iterations=5)
        torch.testing.assert_close(walk[0].x_hat, five, rtol=0, atol=1e-4)
        assert (walk[0].misfit < te.operators.misfit(Alone(), x.clamp(0, 1), y)).all()
        torch.testing.assert_close(walk[-1].x_hat, runs[0][-1].x_hat, rtol=0, atol=1e-4)


def test_a_proximal_map_without_an_adjoint_is_refused(prior):
    class Half(Squared):
        def prox_l2(self, z, y, gamma):
            return z

    with pytest.raises(te.checks.ArgumentError, match="^operator: got prox_l2 without A_adjoint, expected both"):
        te.treg(prior, Half(), rand(1, 3, 64, 32), "fox", steps=2)


def test_another_size_needs_an_a_dagger(prior):
    y = Alone().A(rand(1, 3, 64, 96))
    assert te.solve("treg", prior, AnySize(), y, "fox", progress=False, **SETTINGS).shape == (1, 3, 64, 96)
    with pytest.raises(ValueError, match=r"^y: got shape \(1, 3, 64, 48\), expected \(1, 3, 64, 32\).*give the operator an A_dagger"):
        te.treg(prior, Alone(), y, "fox", **SETTINGS)


def test_the_page_runs_as_printed(prior, monkeypatch):
    monkeypatch.setattr(te, "load_prior", lambda: prior)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S))
    names = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["x_hat"].shape == names["last"].x_hat.shape == (1, 3, 64, 64)
    assert names["x_hat"].isfinite().all() and isinstance(names["linear"], LinearOperator) and te.operators.is_linear(names["linear"])
    v = rand(1, 3, 64, 64, seed=3)
    derived = te.operators.vjp(names["blur"], v, v)
    torch.testing.assert_close(derived, names["linear"].A_adjoint(v))


# At the call

BAD = object()
TREG = {
    "prior": None, "operator": None, "y": "nonsense", "prompt": 3, "null_prompt": BAD, "steps": 2.0, "guidance_scale": True, "lam": 0,
    "iterations": True, "every": 2.0, "until": 2, "since": -1, "negation": "both", "negation_learning_rate": 0, "negation_iterations": 0,
    "start": "x", "seed": 0.5, "guidance": "cfg+", "dps_step_size": -1, "last_rounds": 1.0,
}  # fmt: skip
SAMPLE = {"prior": None, "prompt": 3, "steps": True, "guidance_scale": -1, "seed": "0", "null_prompt": BAD, "size": 2.5, "guidance": None}
INVERT = {
    "prior": None,
    "z0": rand(1, 3, 16, 16),
    "prompt": BAD,
    "steps": 0,
    "guidance_scale": None,
    "null_prompt": ["a", "b"],
    "guidance": 1,
}


@pytest.mark.parametrize("name", TREG)
def test_treg_refuses_each_argument_at_the_call(prior, name):
    good = dict(prior=prior, operator=FourierMagnitude(), y=rand(1, 3, 128, 128), prompt="fox", steps=2)
    with pytest.raises(te.checks.ArgumentError, match=f"^{name}: got "):
        te.treg(**{**good, name: TREG[name]})


def test_every_argument_of_treg_sample_and_invert_is_among_them():
    import inspect

    for function, bad in ((te.treg, TREG), (te.diffusion.sample, SAMPLE), (te.diffusion.invert, INVERT)):
        assert set(inspect.signature(function).parameters) == set(bad)


def test_nonsense_alone_is_refused_at_the_call():
    with pytest.raises(TypeError, match="^prior: got None"):
        te.treg(None, None, "nonsense", "x")


@pytest.mark.parametrize("name", SAMPLE)
def test_sample_refuses_each_argument_at_the_call(prior, name):
    with pytest.raises(te.checks.ArgumentError, match=f"^{name}: got "):
        te.diffusion.sample(**{**dict(prior=prior, prompt="fox", steps=2), name: SAMPLE[name]})


@pytest.mark.parametrize("name", INVERT)
def test_invert_refuses_each_argument_at_the_call(prior, name):
    with pytest.raises(te.checks.ArgumentError, match=f"^{name}: got "):
        te.diffusion.invert(**{**dict(prior=prior, z0=rand(1, 4, 16, 16), prompt="fox", steps=2), name: INVERT[name]})


# Integers


@pytest.mark.parametrize("kind", [np.int64, np.uint8, torch.tensor])
def test_integers_of_numpy_and_torch_pass(prior, kind):
    y = rand(1, 3, 4, 4)
    names = dict(steps=2, every=1, iterations=2, negation_iterations=3, seed=4)
    here = te.solve("treg", prior, SR, y, "fox", progress=False, **names)
    there = te.solve("treg", prior, SuperResolution(kind(16)), y, "fox", progress=False, **{k: kind(v) for k, v in names.items()})
    assert torch.equal(here, there)
    (one,), (other,) = (
        te.diffusion.sample(prior, "fox", steps=n, seed=[s], size=side) for n, s, side in ((1, 3, 64), map(kind, (1, 3, 64)))
    )
    assert torch.equal(one.x_hat, other.x_hat)


# What torch makes by default


def results(prior):
    x = rand(1, 3, 64, 64)
    seeded = torch.Generator("cpu").manual_seed(5)
    found = [te.noise.normal(te.noise.generators(3, 2), (2, 3))]
    for operator in (SuperResolution(16), te.operators.GaussianBlur(), te.operators.Inpainting.box(64, 8, 8, 16, 16), FourierMagnitude()):
        y = operator.measure(x, 0.005, seeded)
        found += [y, operator.A_dagger(y), operator.A_vjp(x, y)]
    y = SR.A(x)
    found += [te.solve("treg", prior, SR, y, "fox", steps=2, progress=False)]
    found += [step.x_hat for step in te.diffusion.sample(prior, "fox", steps=1)]
    found += [
        step.z_next for step in te.diffusion.invert(prior, te.noise.normal(te.noise.generators(0, 1), (1, 4, 16, 16)), "fox", steps=1)
    ]
    fourier = FourierMagnitude()
    x_hat = te.phase_retrieval.retrieve(fourier, fourier.A(x), hio=3, er=2, generator=te.noise.generators(1, 1)).x_hat
    found += [x_hat, te.phase_retrieval.align(x_hat, x).image, te.phase_retrieval.match_channels(x_hat)]
    found += [te.metrics.ssim(x_hat, x), te.metrics.psnr(x_hat, x), te.metrics.misfit(fourier, x_hat, fourier.A(x))]
    return found


@pytest.mark.parametrize("default", [torch.float64, "cpu", "meta"], ids=str)
def test_results_do_not_depend_on_torchs_defaults(prior, default):
    usual = results(prior)
    before = torch.get_default_dtype()
    try:
        if isinstance(default, torch.dtype):
            torch.set_default_dtype(default)
        else:
            torch.set_default_device(default)
        changed = results(prior)
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)
    for one, other in zip(usual, changed, strict=True):
        assert one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
