"""docs/deepinv.md: its table of all physics classes is what happens, what is refused is refused at the call, and its wrappers run."""

import importlib.util
import re

import deepinv_table
import pytest
import torch
from deepinv_reference import deepinv

import treg_edu as te

pytestmark = pytest.mark.once

physics = deepinv.physics


def test_every_physics_class_has_a_line():
    assert set(deepinv_table.classes()) == set(deepinv_table.CASES), "say in tools/deepinv_table.py how to build it"
    assert len(deepinv_table.CASES) > 40


def test_the_table_is_what_happens(prior):
    assert deepinv_table.table(prior) == deepinv_table.written(), "python tools/deepinv_table.py rewrites it"


@pytest.mark.parametrize("name", deepinv_table.NEEDS)
def test_what_is_not_tried_cannot_be_built_here(name):
    if importlib.util.find_spec(deepinv_table.NEEDS[name]):
        pytest.skip("it is installed")
    with pytest.raises((ImportError, AssertionError)):  # of TomographyWithAstra, "Torch not compiled with CUDA enabled"
        deepinv_table.build(name)


def test_the_wrappers_of_the_page_run(prior, monkeypatch):
    monkeypatch.setattr(te, "load_prior", lambda: prior)
    code = "\n".join(re.findall(r"```python\n(.*?)```", deepinv_table.PAGE.read_text(encoding="utf-8"), re.S))
    names = {}
    exec(compile(code, str(deepinv_table.PAGE), "exec"), names)
    assert names["x_hat"].shape == (1, 3, 64, 64) and names["x_hat"].isfinite().all()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(names["by_channel"].A(x)[1, 2], names["grey"].A(x[1:, 2:])[0])
    torch.testing.assert_close(names["joined"].A(x), torch.cat([x.flatten(1), x.square().flatten(1)], 1))


def test_of_a_complex_matrix_the_product_is_the_gradient_in_real_images():
    retrieval = physics.StructuredRandomPhaseRetrieval((3, 8, 8), (3, 8, 8), n_layers=2)
    x, v = torch.rand(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert retrieval.A_vjp(x, v).is_complex()
    x.requires_grad_()
    (expected,) = torch.autograd.grad(retrieval.A(x), x, v)
    torch.testing.assert_close(te.operators.vjp(retrieval, x.detach(), v), expected)


class Refused:
    def __init__(self, measured):
        self.measured = measured

    def A(self, x):
        if isinstance(self.measured, Exception):
            raise self.measured
        return self.measured


@pytest.mark.parametrize(
    "measured, came",
    [
        (torch.zeros(1, 2, dtype=torch.complex64), "an A that returns dtype torch.complex64"),
        ([torch.zeros(1, 2)], "an A that returns list"),
        (KeyError("mask"), r"an A that fails on images of shape \(1, 3, 64, 64\) \(KeyError: 'mask'\)"),
        (RuntimeError(), r"an A that fails on images of shape \(1, 3, 64, 64\) \(RuntimeError\)"),
    ],
    ids=["complex", "list", "error", "silent"],
)
def test_an_operator_that_cannot_be_used_is_refused_at_the_call(prior, measured, came):
    with pytest.raises(te.checks.ArgumentError, match=f"^operator: got {came}, expected one that "):
        te.treg(prior, Refused(measured), torch.zeros(1, 2), "fox")


def test_an_a_dagger_that_fails_is_told_where_the_size_is_not_the_priors(prior):
    squared = physics.Physics(A=torch.square)  # its A_dagger is gradient descent from an A_adjoint that it lacks
    match = r"^y: got shape \(1, 3, 96, 64\), expected \(1, 3, 64, 64\).*its A_dagger must not fail \(ValueError: x_init must be"
    with pytest.raises(te.checks.ArgumentError, match=match):
        te.treg(prior, squared, torch.zeros(1, 3, 96, 64), "fox")


def test_a_list_of_measurements_is_refused_at_the_call(prior):
    stacked = physics.StackedLinearPhysics([physics.Denoising(), physics.Denoising()])
    for y in (stacked.A(torch.zeros(1, 3, 64, 64)), torch.zeros(1, 6, 64, 64)):
        with pytest.raises(te.checks.ArgumentError, match="^operator: got "):
            te.treg(prior, stacked, y, "fox")


def test_an_adjoint_for_other_images_is_refused_at_the_call(prior):
    """A broadcasts over the channels, its adjoint does not: conjugate gradient would sum up something else."""
    grey = physics.LinearPhysics(A=lambda x: x.mean(1, True), A_adjoint=lambda y: y)
    with pytest.raises(te.checks.ArgumentError, match=r"^operator: got images of shape \(1, 1, 64, 64\) from y, expected \(1, 3, 64, 64\)"):
        te.treg(prior, grey, torch.zeros(1, 1, 64, 64), "fox")
