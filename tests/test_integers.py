"""Every public argument that is an integer: those of numpy and torch pass as Python's do, and what is none is told under its name."""

import functools
import inspect
import re

import numpy as np
import pytest
import torch
from diffusers.configuration_utils import FrozenDict
from test_public import FOUND

import treg_edu as te
from treg_edu import bench, consistency, diffusion, figures, images, likelihood, metrics, noise, operators, phase_retrieval, priors, widgets
from treg_edu.exercises import hints
from treg_edu.experiments import phase, quick
from treg_edu.operators import FourierMagnitude, GaussianBlur, Inpainting, SuperResolution
from treg_edu.priors import PixelDiffusion


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape):
    return noise.normal(noise.generators(0, shape[0]), shape)


X, Y = rand(2, 3, 8, 8), rand(1, 3, 4, 4)
SR, PHASE = SuperResolution(2), FourierMagnitude()
MAGNITUDE = PHASE.A(X)
TREG = dict(steps=2, every=1, iterations=2, negation_iterations=2)


def last(walk):
    for step in walk:
        pass
    return step


def retrieved(**settings):
    generators = noise.generators(0, 2)
    return phase_retrieval.retrieve(PHASE, MAGNITUDE, generator=generators, **{"hio": 3, "er": 2, "starts": 1, **settings}).x_hat


def treg(prior, **settings):
    return last(te.treg(prior, SuperResolution(16), Y, "fox", **{**TREG, **settings})).x_hat


def sampled(prior, **settings):
    return last(diffusion.sample(prior, "fox", **{"steps": 1, **settings})).x_hat


@functools.cache
def steps_of_treg(prior):
    return list(te.treg(prior, SuperResolution(16), Y, "fox", **TREG))


def pixel_prior(prior, patch_size):
    """Of the parts of the bundled prior, and a network of 48 channels that is none."""
    unet = torch.nn.Module()
    unet.config = FrozenDict({**prior.unet.config, "in_channels": 48})
    parts = unet, prior.tokenizer, prior.text_encoder, prior.scheduler, prior.clip, prior.image_mean, prior.image_std
    return PixelDiffusion(*parts, patch_size=patch_size)


# {function.argument: (a good value, what is made of it)}
CALLS = {
    "DiffusionPrior.latent_shape.size": (64, lambda n, prior: prior.latent_shape(n)),
    "DiffusionPrior.timesteps.steps": (3, lambda n, prior: prior.timesteps(n)),
    "DiffusionPrior.alpha_bar.t": (3, lambda n, prior: prior.alpha_bar(n)),
    "DiffusionPrior.predict_noise.t": (3, lambda n, prior: prior.predict_noise(normal(1, 4, 16, 16), n, prior.embed_text("fox"))),
    "GaussianPrior.__init__.size": (1, lambda n, _: priors.GaussianPrior(torch.eye(3), size=n).size),
    "GaussianPrior.timesteps.steps": (3, lambda n, _: priors.GaussianPrior(torch.eye(3), size=1).timesteps(n)),
    "dense_matrix.size": (4, lambda n, _: priors.dense_matrix(SR, n)),
    "smooth_covariance.size": (2, lambda n, _: priors.smooth_covariance(n)),
    "PixelDiffusion.__init__.patch_size": (4, lambda n, prior: pixel_prior(prior, n).latent_shape(64)),
    "solve.batch_size": (1, lambda n, prior: te.solve("treg", prior, SuperResolution(16), Y, "fox", progress=False, batch_size=n, **TREG)),
    "swapped_slots.steps": (2, lambda n, prior: widgets.swapped_slots(prior, steps=n).widget.children[0].children[0].value),
    "two_solvers.steps": (2, lambda n, prior: widgets.two_solvers(prior, steps=n).widget.children[0].children[0].value),
    "treg.steps": (2, lambda n, prior: treg(prior, steps=n)),
    "treg.iterations": (2, lambda n, prior: treg(prior, iterations=n)),
    "treg.every": (2, lambda n, prior: treg(prior, every=n)),
    "treg.negation_iterations": (2, lambda n, prior: treg(prior, negation_iterations=n)),
    "treg.last_rounds": (2, lambda n, prior: treg(prior, last_rounds=n)),
    "treg.seed": (2, lambda n, prior: treg(prior, seed=n)),
    "is_consistency_step.index": (2, lambda n, _: consistency.is_consistency_step(n, 9)),
    "is_consistency_step.steps": (2, lambda n, _: consistency.is_consistency_step(0, n)),
    "is_consistency_step.every": (2, lambda n, _: consistency.is_consistency_step(4, 9, n)),
    "pixel_step.iterations": (2, lambda n, _: consistency.pixel_step(SR, SR.A(X), X, iterations=n)),
    "pixel_step_nonlinear.iterations": (2, lambda n, _: consistency.pixel_step_nonlinear(PHASE, MAGNITUDE, X.flip(-1), iterations=n)),
    "guided_noise.t": (3, lambda n, prior: diffusion.guided_noise(prior, normal(1, 4, 16, 16), n, *[prior.embed_text("fox")] * 2, 1.0)),
    "estimate_in_graph.t": (
        3,
        lambda n, prior: likelihood.estimate_in_graph(prior, normal(1, 4, 16, 16), n, *[prior.embed_text("fox")] * 2, 1.0)[1].detach(),
    ),
    "guided_noises.t": (3, lambda n, prior: diffusion.guided_noises(prior, normal(1, 4, 16, 16), n, *[prior.embed_text("fox")] * 2, 1.0)),
    "invert.steps": (1, lambda n, prior: last(diffusion.invert(prior, normal(1, 4, 16, 16), "fox", n)).z_next),
    "hint.number": (2, lambda n, _: te.exercises.hint(next(iter(hints.HINTS)), n)),
    "weights.bytes_each": (3, lambda n, prior: te.memory.weights(prior, n)),
    "stages.size": (16, lambda n, prior: te.memory.stages(te.memory.as_shapes(prior), n)),
    "stages.batch": (2, lambda n, prior: te.memory.stages(te.memory.as_shapes(prior), 16, n)),
    "sample.steps": (1, lambda n, prior: sampled(prior, steps=n)),
    "sample.seed": (3, lambda n, prior: sampled(prior, seed=n)),
    "sample.size": (32, lambda n, prior: sampled(prior, size=n)),
    "decode.size": (9, lambda n, _: images.decode(images.captions().iloc[:2], n)),
    "examples.n": (2, lambda n, _: images.examples(n)),
    "examples.first": (3, lambda n, _: images.examples(2, first=n)),
    "examples.seed": (2, lambda n, _: images.examples(2, seed=n)),
    "tuning.n": (2, lambda n, _: images.tuning(n)),
    "tuning.seed": (2, lambda n, _: images.tuning(2, n)),
    "from_pil.size": (9, lambda n, _: images.from_pil(images.to_pil(X[:1]), n)),
    "read.size": (9, lambda n, _: images.read(te.files.data_folder() / "prior" / "samples.png", n)),
    "confidence_interval.n": (9, lambda n, _: metrics.confidence_interval([1.0, 2.0, 4.0], n=n)),
    "confidence_interval.seed": (9, lambda n, _: metrics.confidence_interval([1.0, 2.0, 4.0], seed=n)),
    "top_k.k": (2, lambda n, prior: metrics.top_k(prior, rand(1, 3, 64, 64), ["fox", "pizza", "pie"], n)),
    "adaptive_negation.iterations": (3, lambda n, _: te.negation.adaptive_negation(rand(2, 5, 4), rand(2, 4), iterations=n)),
    "generators.seed": (3, lambda n, _: noise.normal(noise.generators(n, 2), (2, 3))),
    "generators.batch": (2, lambda n, _: noise.normal(noise.generators(3, n), (2, 3))),
    "per_sample.batch": (2, lambda n, _: noise.per_sample(None, n)),
    "FourierMagnitude.__init__.oversampling": (3, lambda n, _: FourierMagnitude(n).A(X)),
    "GaussianBlur.__init__.kernel_size": (3, lambda n, _: GaussianBlur(2, n).A(X)),
    "GaussianBlur.matrix.n": (5, lambda n, _: GaussianBlur().matrix(n)),
    "GaussianBlur.image_side.m": (5, lambda n, _: GaussianBlur().image_side(n)),
    "SuperResolution.__init__.factor": (4, lambda n, _: SuperResolution(n).A(X)),
    "SuperResolution.matrix.n": (8, lambda n, _: SR.matrix(n)),
    "SuperResolution.image_side.m": (5, lambda n, _: SR.image_side(n)),
    "Inpainting.box.size": (8, lambda n, _: Inpainting.box(n, 1, 2, 3, 4).A(X)),
    "Inpainting.box.top": (2, lambda n, _: Inpainting.box(8, n, 2, 3, 4).A(X)),
    "Inpainting.box.left": (2, lambda n, _: Inpainting.box(8, 1, n, 3, 4).A(X)),
    "Inpainting.box.height": (2, lambda n, _: Inpainting.box(8, 1, 2, n, 4).A(X)),
    "Inpainting.box.width": (2, lambda n, _: Inpainting.box(8, 1, 2, 3, n).A(X)),
    "discrepancy.iterations": (
        2,
        lambda n, _: te.solvers.discrepancy(te.SOLVERS["tikhonov"], None, SR, SR.A(X), sigma=0.1, iterations=n),
    ),
    "lowest.starts": (2, lambda n, _: phase_retrieval.lowest(PHASE, X, MAGNITUDE, n).x_hat),
    "square_norm.iterations": (2, lambda n, _: operators.square_norm(SR, X, n)),
    "conjugate_gradient.iterations": (2, lambda n, _: operators.conjugate_gradient(lambda x: x + SR.A_adjoint_A(x), X, iterations=n)),
    "twin.iterations": (2, lambda n, _: operators.twin(SR, X, X.flip(-1), n)),
    "align.oversampling": (3, lambda n, _: phase_retrieval.align(X, X.flip(-1), n)),
    "align_channels.oversampling": (3, lambda n, _: phase_retrieval.align_channels(X, X.flip(-1), n)),
    "copies.oversampling": (3, lambda n, _: phase_retrieval.copies(X, X.flip(-1), n)),
    "orientation.oversampling": (3, lambda n, _: phase_retrieval.orientation(X, X.flip(-1), n)),
    "pad.oversampling": (3, lambda n, _: phase_retrieval.pad(X, n)),
    "error_reduction.iterations": (3, lambda n, _: last(phase_retrieval.error_reduction(PHASE, MAGNITUDE, X.flip(-1), n))),
    "hybrid_input_output.iterations": (3, lambda n, _: last(phase_retrieval.hybrid_input_output(PHASE, MAGNITUDE, X.flip(-1), n))),
    "retrieve.starts": (2, lambda n, _: retrieved(starts=n)),
    "retrieve.hio": (2, lambda n, _: retrieved(hio=n)),
    "retrieve.er": (2, lambda n, _: retrieved(er=n)),
    "shift.dy": (-3, lambda n, _: phase_retrieval.shift(X, n, 1)),
    "shift.dx": (3, lambda n, _: phase_retrieval.shift(X, 1, n)),
    "check_writable.most_bytes": (3, lambda n, _: te.files.check_writable("out", te.files.data_folder(), n)),
    "interval.digits": (3, lambda n, _: te.tables.interval([1.0, 2.0, 4.0], n)),
    "intervals.digits": (1, lambda n, _: te.tables.intervals({"a": {"b": [1.0, 2.0]}}, n).to_string()),
    # figures, panels, studies
    "found_among.count": (5, lambda n, _: figures.found_among({"a": [0, 3]}, n)._repr_png_()),
    "nearest_sheet.columns": (2, lambda n, _: figures.nearest_sheet(X, X, [True, False], n)._repr_png_()),
    "sample_sheet.columns": (2, lambda n, _: figures.sample_sheet(X, columns=n)._repr_png_()),
    "seeds_and_deviation.columns": (2, lambda n, _: figures.seeds_and_deviation({"a": X}, n)._repr_png_()),
    "negation_losses.iterations": (2, lambda n, _: figures.negation_losses([9, 5], {"a": ([1, 2], [0, 1])}, n)._repr_png_()),
    "negation_figure.sample": (0, lambda n, prior: widgets.negation_figure(prior, *[steps_of_treg(prior)] * 2, "", sample=n)._repr_png_()),
    "solver_figure.sample": (
        0,
        lambda n, prior: widgets.solver_figure(
            prior, SuperResolution(16), rand(1, 3, 64, 64), Y, steps_of_treg(prior), sample=n
        )._repr_png_(),
    ),
}

# Studies that take minutes with good values: what is none is refused before they begin.
STUDIES = {
    "quick.demo.images": lambda n: quick.demo(images=n),
    "quick.demo.seeds": lambda n: quick.demo(seeds=n),
    "quick.run.images": lambda n: quick.run(images=n),
    "quick.run.seeds": lambda n: quick.run(seeds=n),
    "phase.run.images": lambda n: phase.run(images=n),
    "phase.run.seeds": lambda n: phase.run(seeds=n),
    "bench.run.repetitions": lambda n: bench.run(n),
    "bench.ratio.repetitions": lambda n: bench.ratio(list, list, n),
    "bench.ratio.calls": lambda n: bench.ratio(list, list, 1, n),
}

NOT_HERE = {"SeparableOperator.matrix.n", "SeparableOperator.image_side.m"}  # abstract
NOT_HERE |= {"Step.__init__.index", "Step.__init__.t"}  # what a solver tells, not what it is told
NOT_HERE |= {"images.size", "integer.least", "integer.most", "strings.batch"}  # of treg_edu.checks
NOT_HERE |= {"Cost.__init__.memory", "Cost.__init__.kept"}  # what a run tells


def integer_arguments():
    """{function.argument} whose annotation is an integer, a side or a seed, of all that is public, and of all figures and panels."""
    of_rooms = {f"{room.__name__}.{name}": getattr(room, name) for room in (figures, widgets) for name in room.__all__}
    found = set()
    for function in (FOUND | of_rooms).values():
        if inspect.isfunction(function) and (function is te.treg or function not in te.SOLVERS.values()):  # those: test_all_solvers
            for name, parameter in inspect.signature(function).parameters.items():
                said = parameter.annotation if isinstance(parameter.annotation, str) else inspect.formatannotation(parameter.annotation)
                if re.match(r"(torch\.Tensor \| )?int\b", said):
                    found.add(f"{function.__qualname__}.{name}")
    return found


def test_every_integer_argument_is_here():
    assert integer_arguments() == set(CALLS) | NOT_HERE


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("name", CALLS)
def test_integers_of_numpy_and_torch_pass_as_pythons(prior, name):
    good, call = CALLS[name]
    expected = call(good, prior)
    for kind in (np.int16, torch.tensor):
        assert same(call(kind(good), prior), expected)


@pytest.mark.parametrize("name", [*CALLS, *STUDIES])
def test_what_is_no_integer_is_told_under_its_name(prior, name):
    call = (lambda value: CALLS[name][1](value, prior)) if name in CALLS else STUDIES[name]
    for wrong in (2.0, True, "2", torch.tensor(2.0), [2, 3, 4]):
        with pytest.raises(te.checks.ArgumentError, match=f"^{name.split('.')[-1]}: got "):
            call(wrong)


def test_a_list_of_seeds_is_of_any_integers(prior):
    """Python's, numpy's and torch's, also as an array; a wrong one is told as the seed."""
    expected = noise.normal(noise.generators([3, 4], 2), (2, 3))
    for seed in ([np.int64(3), torch.tensor(4)], (3, 4), np.array([3, 4]), torch.tensor([3, 4]), range(3, 5), np.uint8([3, 4])):
        assert torch.equal(noise.normal(noise.generators(seed, 2), (2, 3)), expected)
    for wrong in ([3, 4.0], np.array([3.0, 4.0]), [True, 4], [[3], [4]], ["3", "4"], [3, None], {3, 4}, [3, 2**64]):
        with pytest.raises(te.checks.ArgumentError, match="^seed: got "):
            noise.generators(wrong, 2)


def test_shifts_of_each_sample_are_whole_pixels():
    each = phase_retrieval.shift(X, torch.tensor([1, -2]), torch.tensor([3, 0]))
    assert torch.equal(each, torch.cat([phase_retrieval.shift(X[:1], 1, 3), phase_retrieval.shift(X[1:], -2, 0)]))
    for wrong in (torch.tensor([1.0, 2.0]), torch.tensor([True, False]), torch.tensor([1, 2, 3])):
        with pytest.raises(te.checks.ArgumentError, match="^dy: got "):
            phase_retrieval.shift(X, wrong, 0)


@pytest.mark.parametrize("walk", [phase_retrieval.error_reduction, phase_retrieval.hybrid_input_output])
def test_an_iteration_is_checked_at_the_call(walk):
    for wrong, name in (
        ({"iterations": 1.5}, "iterations"),
        ({"x": X[:1]}, "x"),
        ({"bounds": (1, 0)}, "bounds"),
        ({"bounds": 1}, "bounds"),
    ):
        with pytest.raises(te.checks.ArgumentError, match=f"^{name}: got "):
            walk(**{**dict(operator=PHASE, y=MAGNITUDE, x=X), **wrong})
    assert list(walk(PHASE, MAGNITUDE, X, iterations=0)) == []


@pytest.mark.parametrize("name, style, told", [(3, None, "name"), (None, None, "name"), ("fox", 3, "style"), ("fox", ["noto"], "style")])
def test_an_example_that_is_no_text(name, style, told):
    with pytest.raises(te.checks.ArgumentError, match=f"^{told}: got "):
        images.example(name, style)
