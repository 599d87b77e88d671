"""Each figure draws, shows itself in a notebook, and has what its docstring promises."""

import pytest
import torch

from treg_edu import figures, operators

X = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
SR = operators.SuperResolution(16)


def drawn(axes):
    return [a for a in axes if a.images]


@pytest.mark.parametrize(
    "figure, pictures",
    [
        (lambda: figures.sample_sheet(X, list("abcde"), columns=3), 5),
        (lambda: figures.story([(X[:1], SR.A(X[:1]), {"text": X[:3], "null": X[3:]})] * 2, SR), 2 * (3 + 2 * 5)),
        (lambda: figures.variance_maps({"text": X[:3], "null": X}), 2),
        (lambda: figures.ladder([X[0], X[1]], ["a", "b"]), 2),
        (lambda: figures.measurement(X[:1], SR.A(X[:1])), 2),
    ],
)
def test_a_figure_shows_itself(figure, pictures):
    figure = figure()
    assert len(drawn(figure.axes)) == pictures
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_lower_row_of_the_story_is_measured_from_the_upper():
    figure = figures.story([(X[:1], SR.A(X[:1]), {"text": X[1:3]})], SR)
    below = torch.from_numpy(drawn(figure.axes)[-1].images[0].get_array().copy()).permute(2, 0, 1)
    assert torch.allclose(below[:, ::16, ::16], SR.A(X[2:3])[0].clamp(0, 1), atol=1e-6)


def test_half_precision_is_drawn():
    assert figures.ladder([X[0].bfloat16()], ["a"])._repr_png_()
