"""Every public argument that is a real number: those of numpy and torch pass as Python's do, and what is none is told under its name."""

import inspect
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from test_integers import MAGNITUDE, PHASE, SR, TREG, X, Y, last, normal, rand, same, steps_of_treg
from test_public import FOUND

import treg_edu as te
from treg_edu import consistency, diffusion, figures, likelihood, metrics, operators, phase_retrieval, priors, widgets
from treg_edu.operators import GammaCorrection, GaussianBlur, Inpainting, SuperResolution

BOX = Inpainting.box(8, 1, 1, 4, 4)
WORLD = priors.GaussianPrior(priors.smooth_covariance())
ERRORS = torch.tensor([[0.5], [0.25]])


class Plain(operators.LinearOperator):
    """A linear operator without closed forms."""

    A, A_adjoint = SR.A, SR.A_adjoint


def seeded():
    return torch.Generator().manual_seed(0)


def treg(prior, **settings):
    return last(te.treg(prior, SuperResolution(16), Y, "fox", **{**TREG, **settings})).x_hat


def walked(prior, walk, *arguments, **settings):
    return last(walk(prior, *arguments, steps=1, **settings)).z_next


def morozov(**settings):
    return te.solvers.discrepancy(te.SOLVERS["tikhonov"], None, SR, SR.A(X), **{"sigma": 0.1, "iterations": 3, **settings})


def solver_figure(prior, sigma):
    return widgets.solver_figure(prior, SuperResolution(16), rand(1, 3, 64, 64), Y, steps_of_treg(prior), sigma)._repr_png_()


# {function.argument: what is made of 0.5}
CALLS = {
    "treg.guidance_scale": lambda v, prior: treg(prior, guidance_scale=v),
    "treg.dps_step_size": lambda v, prior: treg(prior, dps_step_size=v),
    "treg.lam": lambda v, prior: treg(prior, lam=v),
    "treg.until": lambda v, prior: treg(prior, until=v),
    "treg.since": lambda v, prior: treg(prior, since=v),
    "treg.negation_learning_rate": lambda v, prior: treg(prior, negation_learning_rate=v),
    "is_consistency_step.until": lambda v, _: consistency.is_consistency_step(0, 9, until=v),
    "is_consistency_step.since": lambda v, _: consistency.is_consistency_step(4, 9, since=v),
    "pixel_step.lam": lambda v, _: consistency.pixel_step(SR, SR.A(X), X, lam=v),
    "pixel_step_nonlinear.lam": lambda v, _: consistency.pixel_step_nonlinear(PHASE, MAGNITUDE, X.flip(-1), lam=v, iterations=2),
    "guided_noise.guidance_scale": lambda v, prior: diffusion.guided_noise(
        prior, normal(1, 4, 16, 16), 3, prior.embed_text("fox"), prior.embed_text(""), v
    ),
    "estimate_in_graph.guidance_scale": lambda v, prior: likelihood.estimate_in_graph(
        prior, normal(1, 4, 16, 16), 3, prior.embed_text("fox"), prior.embed_text(""), v
    )[1].detach(),
    "guided_noises.guidance_scale": lambda v, prior: diffusion.guided_noises(
        prior, normal(1, 4, 16, 16), 3, prior.embed_text("fox"), prior.embed_text(""), v, "cfg++"
    )[0],
    "invert.guidance_scale": lambda v, prior: walked(prior, diffusion.invert, normal(1, 4, 16, 16), "fox", guidance_scale=v),
    "sample.guidance_scale": lambda v, prior: walked(prior, diffusion.sample, "fox", guidance_scale=v),
    "confidence_interval.level": lambda v, _: metrics.confidence_interval([1.0, 2.0, 4.0], level=v),
    "adaptive_negation.learning_rate": lambda v, _: te.negation.adaptive_negation(rand(2, 5, 4), rand(2, 4), v, 2),
    "GammaCorrection.__init__.exponent": lambda v, _: GammaCorrection(v).A(X),
    "GaussianBlur.__init__.sigma": lambda v, _: GaussianBlur(v).A(X),
    "Inpainting.prox_l2.gamma": lambda v, _: BOX.prox_l2(X, BOX.A(X), v),
    "LinearOperator.prox_l2.gamma": lambda v, _: Plain().prox_l2(X, SR.A(X), v),
    "prox.gamma": lambda v, _: operators.prox(SR, X, SR.A(X), v),
    "SeparableOperator.prox_l2.gamma": lambda v, _: SR.prox_l2(X, SR.A(X), v),
    "Inpainting.measure.sigma": lambda v, _: BOX.measure(X, v, seeded()),
    "Operator.measure.sigma": lambda v, _: SR.measure(X, v, seeded()),
    "conjugate_gradient.tolerance": lambda v, _: operators.conjugate_gradient(lambda x: x + SR.A_adjoint_A(x), X, tolerance=v),
    "copies.least": lambda v, _: phase_retrieval.copies(X, X.flip(-1), least=v),
    "Denoiser.__init__.guidance_scale": lambda v, _: te.deepinv.Denoiser(WORLD, "red", v)(rand(1, 3, 4, 4), 0.1),
    "GaussianPrior.posterior.sigma": lambda v, _: WORLD.posterior(SR, rand(1, 3, 2, 2), v)[0],
    "smooth_covariance.scale": lambda v, _: priors.smooth_covariance(2, scale=v),
    "smooth_covariance.deviation": lambda v, _: priors.smooth_covariance(2, deviation=v),
    "smooth_covariance.channels": lambda v, _: priors.smooth_covariance(2, channels=v),
    "hybrid_input_output.beta": lambda v, _: last(phase_retrieval.hybrid_input_output(PHASE, MAGNITUDE, X, 2, v)),
    "discrepancy.sigma": lambda v, _: morozov(sigma=v),
    "discrepancy.least": lambda v, _: morozov(least=v),
    "discrepancy.most": lambda v, _: morozov(most=v),
    "retrieve.beta": lambda v, _: phase_retrieval.retrieve(PHASE, MAGNITUDE, hio=2, er=0, beta=v, generator=seeded()).x_hat,
    "cg_iterations.sigma": lambda v, _: figures.cg_iterations([0, 1], {"a": ([1, 0.5], [1, 0.5])}, v)._repr_png_(),
    "curves.level": lambda v, _: figures.curves({"a": {"b": ([0, 1], [1, 0.5])}}, "x", "y", v)._repr_png_(),
    "pixel_step.sigma": lambda v, _: figures.pixel_step(X[0], X, X[0], [1, 0.5], v)._repr_png_(),
    "solver.sigma": lambda v, _: figures.solver({"a": X[0]}, X, [9, 5], {9: 1.0, 5: 0.5}, v)._repr_png_(),
    "picard.sigma": lambda v, _: figures.picard(torch.tensor([1.0, 0.5]), torch.tensor([1.0, 0.5]), v)._repr_png_(),
    "triangle.alpha_bar": lambda v, _: figures.triangle(v, 0.7)._repr_png_(),
    "triangle.alpha_bar_prev": lambda v, _: figures.triangle(0.2, v)._repr_png_(),
    "spectra.sigma": lambda v, _: figures.spectra({"a": torch.tensor([1.0, 0.5])}, v)._repr_png_(),
    "solver_figure.sigma": lambda v, prior: solver_figure(prior, v),
}

NOT_HERE = {"number.least", "number.most", "number.above"}  # of treg_edu.checks
NOT_HERE |= {f"Cost.__init__.{name}" for name in (*te.costs.COUNTED, "seconds")}  # what a run tells
NOT_HERE |= {"PixelDiffusion.denoise.sigma", "PixelDiffusion.forward.sigma"}  # one or a batch of them: test_pixel_diffusion
NOT_HERE |= {"guide.guidance_scale", "ddim_step_eta.eta"}  # the formulas alone, which a reader may also give a tensor


def real_arguments():
    """{function.argument} whose annotation begins with float, of all that is public, and of all figures and panels."""
    of_rooms = {f"{room.__name__}.{name}": getattr(room, name) for room in (figures, widgets) for name in room.__all__}
    found = set()
    for function in (FOUND | of_rooms).values():
        elsewhere = function in te.SOLVERS.values() and function is not te.treg  # in test_all_solvers
        if inspect.isfunction(function) and not elsewhere and not function.__module__.startswith("treg_edu.exercises"):
            for name, parameter in inspect.signature(function).parameters.items():
                if inspect.formatannotation(parameter.annotation).startswith("float"):
                    found.add(f"{function.__qualname__}.{name}")
    return found


def test_every_real_argument_is_here():
    assert real_arguments() == set(CALLS) | NOT_HERE


@pytest.mark.parametrize("name", CALLS)
def test_reals_of_numpy_and_torch_pass_as_pythons(prior, name):
    expected = CALLS[name](0.5, prior)
    for value in (np.float32(0.5), torch.tensor(0.5), Fraction(1, 2)):
        found = CALLS[name](value, prior)
        if isinstance(expected, torch.Tensor):
            assert found.dtype == expected.dtype
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        else:
            assert same(found, expected)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_real_is_told_under_its_name(prior, name):
    for wrong in ("2", True, math.nan, math.inf, 1j, [0.5], {}):
        with pytest.raises(te.checks.ArgumentError, match=f"^{name.split('.')[-1]}: got "):
            CALLS[name](wrong, prior)


@pytest.mark.parametrize("operator", [SR, BOX, Plain()], ids=lambda operator: type(operator).__name__)
def test_a_weight_that_is_a_tensor_keeps_its_gradient(operator):
    gamma = torch.tensor(0.5, requires_grad=True)
    operator.prox_l2(X, operator.A(X.flip(-1)), gamma).square().sum().backward()
    assert gamma.grad.isfinite() and gamma.grad != 0
