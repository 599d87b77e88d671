"""What the notebooks write out agrees with the library: their own cells are run here, and compared with what they stand for."""

from itertools import islice
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch

import treg_edu as te

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def lines(notebook, *starts, **names):
    """Run the cells of a notebook in which a line begins with one of `starts`, given the `names` they stand on.  Returns all names."""
    cells = [cell.source for cell in nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", 4).cells if cell.cell_type == "code"]
    space = {"torch": torch, "te": te} | names
    for start in starts:
        (source,) = [source for source in cells if any(line.startswith(start) for line in source.splitlines())]
        exec(compile(source, f"{notebook}: {start}", "exec"), space)
    return space


@pytest.fixture(scope="module")
def x():
    return te.images.examples(2)[0]


@pytest.fixture(scope="module")
def settings(prior):
    """Those of this prior, in fewer steps."""
    return prior.recommended["treg"] | {"steps": 5}


def test_04_the_autoencoder(prior, x):
    written = lines("04_latent_data_consistency", "scale = ", prior=prior, x=x)
    torch.testing.assert_close(written["z"], prior.encode(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(written["rebuilt"], prior.decode(written["z"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("iterations", [1, 5])
def test_04_conjugate_gradient(x, iterations):
    operator, lam, x = te.operators.SuperResolution(16), 1e-4, x.double()
    y, start = operator.measure(x, 0.005), x.flip(0)
    walk = lines("04_latent_data_consistency", "def conjugate_gradient(")["conjugate_gradient"](
        lambda v: operator.A_adjoint(operator.A(v)) + lam * v, operator.A_adjoint(y) + lam * start, start
    )
    *_, last = islice(walk, iterations + 1)
    torch.testing.assert_close(last, te.consistency.pixel_step(operator, y, start, lam, iterations), rtol=0, atol=1e-9)


def test_04_the_latent_step(prior):
    z_y, z0 = torch.randn(2, 1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    written = lines("04_latent_data_consistency", "z_hat = ", prior=prior, z_y=z_y, z0=z0, pd=pd)
    assert torch.equal(written["z_hat"], te.consistency.latent_step(z_y, z0, written["alpha_bar_prev"]))


def test_05_the_pixel_step_and_the_latent_step(x):
    operator = te.operators.SuperResolution(16)
    y, guess = operator.measure(x[:1], 0.005), x[1:]
    written = lines("05_text_regularization", "def pixel_step(", "def latent_step(", operator=operator)
    x_hat = written["pixel_step"](y, guess)
    torch.testing.assert_close(x_hat, te.consistency.pixel_step(operator, y, guess), rtol=0, atol=1e-4)
    slope = operator.A_adjoint(operator.A(x_hat) - y) + 1e-4 * (x_hat - guess)
    assert slope.abs().max() < 1e-4
    weight = torch.tensor(0.3)
    assert torch.equal(written["latent_step"](x, x.flip(0), weight), te.consistency.latent_step(x, x.flip(0), weight))


def test_05_the_loop(prior, x, settings):
    operator, settings = te.operators.SuperResolution(16), settings | {"negation": None}
    y = operator.measure(x[:1], 0.005)
    names = {"prior": prior, "operator": operator, "settings": settings, "nothing": settings["null_prompt"]}
    written = lines("05_text_regularization", "def pixel_step(", "def latent_step(", "def text_regularized(", **names)
    with torch.no_grad():
        *_, last = written["text_regularized"](y, "lion", settings["steps"], seed=3)
    x_hat = te.solve("treg", prior, operator, y, "lion", seed=3, progress=False, **settings)
    torch.testing.assert_close(last[-1].clamp(0, 1), x_hat, rtol=0, atol=1e-3)


def test_06_negation_and_its_closed_form(prior, x):
    written = lines("06_adaptive_negation", "def negate(")
    start, f = prior.embed_text(["", ""]), prior.embed_images(x)
    moved, losses = written["negate"](start, f)
    torch.testing.assert_close(moved, te.negation.adaptive_negation(start, f), rtol=0, atol=1e-4)
    torch.testing.assert_close(losses[0], te.negation.negation_loss(f, start), rtol=0, atol=1e-5)
    torch.testing.assert_close(moved, start - 10 * 1e-3 * f.sign()[:, None], rtol=0, atol=1e-3)


PIECES = ("def tweedie(", "def pixel_step(", "def negate(", "def treg(", "def descend(")


def test_07_the_pieces(x):
    operator = te.operators.FourierMagnitude(oversampling=2)
    y = operator.measure(x, 0.005)
    written = lines("07_treg", *PIECES)
    assert torch.equal(written["descend"](operator, y, x.flip(0)), te.consistency.pixel_step_nonlinear(operator, y, x.flip(0)))
    box = te.operators.Inpainting.box(64, 16, 16, 32, 32)
    y = box.measure(x, 0.005)
    assert torch.equal(written["pixel_step"](box, y, x.flip(0)), te.consistency.pixel_step(box, y, x.flip(0)))


@pytest.mark.parametrize("operator", [te.operators.Inpainting.box(64, 20, 10, 14, 44), te.operators.FourierMagnitude(oversampling=2)])
def test_07_algorithm_1_number_for_number(prior, x, settings, operator):
    y, texts = operator.measure(x, 0.005), ["cat face", "cow face"]
    written = lines("07_treg", *PIECES, prior=prior, nothing=settings["null_prompt"])
    step = written["pixel_step"] if te.operators.is_linear(operator) else written["descend"]
    chosen = [i for i in range(5) if te.consistency.is_consistency_step(i, 5, settings["every"], settings["until"])]
    ours = written["treg"](operator, y, texts, 5, settings["guidance_scale"], chosen, step)
    assert torch.equal(ours, te.solve("treg", prior, operator, y, texts, progress=False, **settings))
