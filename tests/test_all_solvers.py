"""What holds for every solver of `te.SOLVERS`, tried in the Gaussian world, where a run takes milliseconds.

A new solver is tested here as soon as it is in the table; where a run needs other settings to be short, add them to SHORT.
"""

import inspect

import numpy as np
import pytest
import torch
from gaussian_world import GaussianPrior, Matrix, smooth_covariance

import treg_edu as te
from treg_edu.operators import FourierMagnitude, GammaCorrection, GaussianBlur, Inpainting, SuperResolution
from treg_edu.solvers.common import NONLINEAR, WITHOUT_NOISE

SIGMA = 0.02
MEANS = {"": torch.zeros(3, 4, 4), "fox": torch.linspace(-0.6, 0.6, 48).view(3, 4, 4)}
WORLD = GaussianPrior(smooth_covariance(), MEANS)
LINEAR = {
    "sr": SuperResolution(2),
    "blur": GaussianBlur(1.0, 3),
    "inpaint": Inpainting.box(4, 1, 1, 2, 2),
    "matrix": Matrix(torch.randn(20, 48, generator=torch.Generator().manual_seed(1)) / 7),
}
CURVED = {"phase": FourierMagnitude(), "gamma": GammaCorrection(2.2)}
SHORT = {
    "daps": dict(steps=4, chain_steps=3, step_size=0.2),
    "latent_daps": dict(steps=4, chain_steps=3, step_size=0.2),
    "p2l": dict(steps=4, every=2),
    "hio": dict(steps=5, starts=2),
    "red": dict(steps=4, denoiser_sigma=0.05),
    "tikhonov": dict(steps=1),
    "resample": dict(steps=6, every=1, look_ahead=1, pixel_iterations=5, latent_iterations=4),
    "treg": dict(steps=4, every=2, iterations=3, negation=None),
}
"""{solver: the settings of a short run}; {"steps": 4} of every other, with sigma for those that take it."""


THROUGH_THE_NETWORK = {"dps", "ldps", "null_text", "p2l", "pigdm", "psld", "resample", "treg"}
"""The solvers with a gradient through the U-Net, TReg in its latent-DPS branch alone."""


def short(name, **settings):
    chosen = {"steps": 4, **SHORT.get(name, {}), **settings}
    return chosen | ({"sigma": SIGMA} if "sigma" in parameters(name) and "sigma" not in settings else {})


def parameters(name):
    return inspect.signature(te.SOLVERS[name]).parameters


def images(batch, seed=0):
    return torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def measured(operator, batch, seed=0):
    y = operator.A(images(batch, seed))
    return y + SIGMA * te.noise.normal(te.noise.generators(7, batch), y.shape, dtype=y.dtype)


def instruments(name):
    """What a solver takes; HIO is for phase retrieval alone."""
    return {"phase": CURVED["phase"]} if name == "hio" else LINEAR | (CURVED if name in NONLINEAR else {})


def an_instrument(name):
    return next(iter(instruments(name).values()))


def pairs(of):
    return [(name, kind) for name in te.SOLVERS for kind in of(name)]


@pytest.mark.parametrize("name", te.SOLVERS)
def test_all_share_a_signature(name):
    """The same four arguments, then keywords, each with a default but the noise's deviation, which is the measurement's."""
    assert list(parameters(name))[:4] == ["prior", "operator", "y", "prompt"]
    rest = list(parameters(name).values())[4:]
    assert {"steps", "seed"} <= {p.name for p in rest}
    assert all(p.kind == p.KEYWORD_ONLY and (p.default is not p.empty or p.name == "sigma") for p in rest)
    assert te.SOLVERS[name].__name__ == name and "docs/solvers.md" in te.SOLVERS[name].__doc__


@pytest.mark.parametrize(("name", "kind"), pairs(instruments))
def test_one_step_a_timestep_and_an_image_at_the_end(name, kind):
    """The picture is finite, in [0, 1], the same again, and the reported misfit is its own."""
    operator = instruments(name)[kind]
    y = measured(operator, 3)
    steps = list(te.SOLVERS[name](WORLD, operator, y, "fox", **short(name)))
    last = steps[-1]
    assert [step.index for step in steps] == list(range(len(steps)))
    assert last.x_hat.shape == (3, 3, 4, 4) and last.x_hat.isfinite().all() and last.x_hat.min() >= 0 and last.x_hat.max() <= 1
    torch.testing.assert_close(last.misfit, te.operators.misfit(operator, last.x_hat, y))
    assert not any(step.z_next.requires_grad or (step.x_hat is not None and step.x_hat.requires_grad) for step in steps)
    again = te.solve(name, WORLD, operator, y, "fox", progress=False, **short(name))
    assert torch.equal(again, last.x_hat)


@pytest.mark.parametrize(("name", "kind"), pairs(instruments))
def test_a_sample_alone_is_the_sample_of_a_batch(name, kind):
    operator = instruments(name)[kind]
    y = measured(operator, 5)
    prompts = ["fox", "", "fox", "", "fox"]
    together = te.solve(name, WORLD, operator, y, prompts, progress=False, seed=3, **short(name))
    for i in (0, 3):
        alone = te.solve(name, WORLD, operator, y[i : i + 1], prompts[i], progress=False, seed=3 + i, **short(name))
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", te.SOLVERS)
def test_a_picture_does_not_depend_on_torchs_default_device(name):
    operator = an_instrument(name)
    y = measured(operator, 2)
    usual = te.solve(name, WORLD, operator, y, "fox", progress=False, **short(name))
    try:
        torch.set_default_device("meta")  # as cuda or mps, where a CPU generator does not fit, or float64 is missing
        changed = te.solve(name, WORLD, operator, y, "fox", progress=False, **short(name))
    finally:
        torch.set_default_device(None)
    assert torch.equal(usual, changed)


@pytest.mark.parametrize("name", te.SOLVERS)
def test_nothing_of_autograds_graph_is_held_while_a_step_is_looked_at(name):
    """Of what autograd saved for a way back, all is let go before the step is yielded."""
    made, held = [], []

    class Saved:
        def __init__(self, tensor):
            self.tensor = tensor
            made.append(1)
            held.append(1)

        def __del__(self):
            held.pop()

    operator = an_instrument(name)
    settings = short(name) | ({"dps_step_size": 1.0} if name == "treg" else {})
    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        for _ in te.SOLVERS[name](WORLD, operator, measured(operator, 2), "fox", **settings):
            assert not held
    assert bool(made) == (name in THROUGH_THE_NETWORK)


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in te.SOLVERS for kind in LINEAR | CURVED if kind not in instruments(name)]
)
def test_an_operator_that_does_not_fit_is_refused_and_told_what_takes_it(name, kind):
    operator = (LINEAR | CURVED)[kind]
    with pytest.raises(te.checks.ArgumentError, match=r"^operator: got .*, expected .*treg"):
        te.SOLVERS[name](WORLD, operator, measured(operator, 1), **short(name))


def test_an_operator_of_ones_own_with_A_alone_is_told_what_makes_it_linear():
    class Own:
        def A(self, x):
            return x.roll(1, -1)

    with pytest.raises(te.checks.ArgumentError, match=r"Own, expected a linear one, with A_adjoint and prox_l2, as te.operators.LinearOp"):
        te.solve("psld", WORLD, Own(), Own().A(images(1)), steps=2, progress=False)


@pytest.mark.parametrize("name", te.SOLVERS)
def test_a_setting_that_a_solver_does_not_have_or_lacks_is_named_with_those_it_has(name):
    operator = an_instrument(name)
    y, settings = measured(operator, 1), short(name)
    with pytest.raises(TypeError, match=f"^gama: got 1, expected a setting of {name}: .*steps"):
        te.solve(name, WORLD, operator, y, "fox", gama=1, progress=False, **settings)
    if settings.pop("sigma", None) is not None and parameters(name)["sigma"].default is inspect.Parameter.empty:
        with pytest.raises(TypeError, match=f"^sigma: got none, expected the deviation of the noise in y, which {name} needs"):
            te.solve(name, WORLD, operator, y, "fox", progress=False, **settings)


@pytest.mark.parametrize("name", te.SOLVERS)
def test_the_seed_matters_where_noise_is_drawn(name):
    operator = an_instrument(name)
    y = measured(operator, 1).expand(2, -1, -1, -1)
    one, other = te.solve(name, WORLD, operator, y, "fox", seed=[0, 1], progress=False, **short(name))
    assert torch.equal(one, other) == (name in WITHOUT_NOISE)


def numbers():
    """[(solver, argument, good value), …] of every integer and every real number that a solver takes."""
    found = []
    for name in te.SOLVERS:
        for argument, parameter in parameters(name).items():
            good = short(name).get(argument, parameter.default)
            said = parameter.annotation if isinstance(parameter.annotation, str) else inspect.formatannotation(parameter.annotation)
            if said.startswith(("int", "float", "Seed", "collections.abc.Sequence[int]")) or argument == "seed":
                found.append((name, argument, good))
    return found


@pytest.mark.parametrize(("name", "argument", "good"), numbers())
def test_numbers_of_numpy_and_torch_pass_and_nonsense_is_refused_at_the_call(name, argument, good):
    operator = an_instrument(name)
    y = measured(operator, 2)
    whole = argument == "seed" or (isinstance(good, int) and not isinstance(good, bool) and "float" not in str(parameters(name)[argument]))
    if good is not None:
        expected = te.solve(name, WORLD, operator, y, "fox", progress=False, **short(name, **{argument: good}))
        for kind in (np.int16, torch.tensor) if whole else (np.float64, lambda value: torch.tensor(value, dtype=torch.float64)):
            found = te.solve(name, WORLD, operator, y, "fox", progress=False, **short(name, **{argument: kind(good)}))
            assert torch.equal(found, expected)
    for wrong in (True, "2", float("nan"), -1, [2, 3, 4]) if argument != "seed" else (True, "2", 0.5, [2, 3, 4]):
        with pytest.raises(te.checks.ArgumentError, match=f"^{argument}: got "):
            te.SOLVERS[name](WORLD, operator, y, "fox", **short(name, **{argument: wrong}))


@pytest.mark.parametrize("name", te.SOLVERS)
@pytest.mark.parametrize(
    ("argument", "wrong"),
    [("operator", None), ("y", "nonsense"), ("y", torch.full((1, 3, 2, 2), float("nan"))), ("prompt", 3), ("prompt", ["a"])],
)
def test_nonsense_is_refused_at_the_call(name, argument, wrong):
    operator = an_instrument(name)
    good = dict(prior=WORLD, operator=operator, y=measured(operator, 2), prompt="fox")
    with pytest.raises(te.checks.ArgumentError, match=f"^{argument}: got "):
        te.SOLVERS[name](**{**good, argument: wrong}, **short(name))
