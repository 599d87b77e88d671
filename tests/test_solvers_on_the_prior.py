"""Every solver that runs on the bundled latent prior, on every kind of instrument that it takes: three pictures of 32×32 at a time.

The picture is finite, in [0, 1], and explains y better than the plain sample of that seed does; in double precision, it is the same alone.
Solvers of pixels are tried in test_all_solvers, until a trained prior of pixels ships.
"""

import inspect

import pytest
import torch

import treg_edu as te
from treg_edu.experiments.coordinates import ON_PIXELS, WITHOUT_TEXT
from treg_edu.operators import FourierMagnitude, GammaCorrection, GaussianBlur, Inpainting, SuperResolution
from treg_edu.solvers.common import NONLINEAR

SIGMA, STEPS, TEXTS = 0.005, 6, ["fox", "pizza", "bear"]
LINEAR = {"sr": SuperResolution(4), "blur": GaussianBlur(2.0, 9), "box": Inpainting.box(32, 8, 8, 16, 16)}
CURVED = {"gamma": GammaCorrection(2.2), "phase": FourierMagnitude()}
SHORT = {
    "ldps": {"step_size": 16.0},
    "psld": {"step_size": 8.0, "gluing": 0.5, "back": "pseudo-inverse"},
    "mpgd": {"step_size": 32.0, "eta": 0.0},
    "resample": {"step_size": 16.0, "every": 2, "look_ahead": 1, "latent_iterations": 10, "pixel_iterations": 50},
    "p2l": {"step_size": 8.0, "every": 2, "gamma": 1e3},
    "treg": {"every": 1, "until": 1.0, "null_prompt": "", "negation": None, "iterations": 20},
    "latent_daps": {"chain_steps": 10},
    "flowdps": {"step_size": 2.5},
    "latino": {"inner_steps": 2},
}
"""Settings of short runs, of steps as long as few of them need."""

LEFT_OUT = (*ON_PIXELS, *WITHOUT_TEXT)
PAIRS = [(name, kind) for name in te.SOLVERS if name not in LEFT_OUT for kind in (LINEAR | CURVED if name in NONLINEAR else LINEAR)]


def settings_of(name, kind):
    takes = inspect.signature(te.SOLVERS[name]).parameters
    own = SHORT.get(name, {}) | ({"residual": "adjoint"} if (name, kind) == ("flowdps", "blur") else {})  # as its authors do for blurs
    return {"steps": STEPS, "guidance_scale": 1.0} | own | ({"sigma": SIGMA} if "sigma" in takes else {})


@pytest.fixture(scope="module")
def x():
    return te.operators.SuperResolution(2).A(te.images.tuning(3)[0]).clamp(0, 1)


@pytest.fixture(scope="module")
def plain(prior):
    *_, last = te.diffusion.sample(prior, TEXTS, steps=STEPS, guidance_scale=1.0, seed=5, size=32)
    return last.x_hat


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_it_explains_the_measurement_better_than_a_plain_sample(prior, x, plain, name, kind):
    operator = (LINEAR | CURVED)[kind]
    y = operator.measure(x, SIGMA, te.noise.generators(9, 3))
    x_hat = te.solve(name, prior, operator, y, TEXTS, seed=5, progress=False, **settings_of(name, kind))
    assert x_hat.shape == (3, 3, 32, 32) and x_hat.isfinite().all() and x_hat.min() >= 0 and x_hat.max() <= 1
    before, after = (te.operators.misfit(operator, each, y) for each in (plain, x_hat))
    # Null-text inversion goes up from A†y and never reads y again; A†y of a blur, a box or phases is no picture that a text leads back to
    if name != "null_text" or kind in ("sr", "gamma"):
        assert after.mean() < before.mean()


@pytest.mark.parametrize("name", [name for name, kind in PAIRS if kind == "sr"])
def test_a_sample_alone_is_the_sample_of_a_batch(prior64, x, name):
    """In double precision, as thousands of rounded steps of an optimiser drift apart in single."""
    y = LINEAR["sr"].measure(x.double(), SIGMA, te.noise.generators(9, 3))
    settings = settings_of(name, "sr") | {"steps": 2}
    together = te.solve(name, prior64, LINEAR["sr"], y, TEXTS, seed=5, progress=False, **settings)
    alone = te.solve(name, prior64, LINEAR["sr"], y[1:2], TEXTS[1], seed=6, progress=False, **settings)
    torch.testing.assert_close(alone, together[1:2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_cannot_run_here_or_does_not_use_the_prior(prior, x, name):
    operator = CURVED["phase"] if name == "hio" else LINEAR["sr"]
    settings = {"sigma": SIGMA} if "sigma" in inspect.signature(te.SOLVERS[name]).parameters else {}
    if name in ON_PIXELS:
        with pytest.raises(te.checks.ArgumentError, match="^prior: got LatentDiffusion, expected a PixelDiffusion"):
            te.SOLVERS[name](prior, operator, operator.A(x), **settings)
    else:
        with_prior, without = (next(te.SOLVERS[name](each, operator, operator.A(x), **settings)) for each in (prior, None))
        assert torch.equal(with_prior.x_hat, without.x_hat)
