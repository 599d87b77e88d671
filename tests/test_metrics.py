"""Each number against its definition, a library, or a case whose answer is known."""

import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from treg_edu import metrics


def images(b=3, seed=0, side=32):
    return torch.rand(b, 3, side, side, generator=torch.Generator().manual_seed(seed))


class MeanColour:
    """A model whose image feature is the mean colour and whose labels are colours; features are not of unit length."""

    colours: ClassVar = {"red": [3.0, 0, 0], "green": [0, 2.0, 0], "blue": [0, 0, 1.0], "white": [1.0, 1.0, 1.0]}

    def embed_images(self, x):
        return 7 * x.mean(dim=(2, 3))

    def embed_labels(self, labels):
        return torch.tensor([self.colours[label] for label in labels])


class TwoStages:
    """A judge whose features are the image and its 4× average."""

    def features(self, x):
        return [x, torch.nn.functional.avg_pool2d(x, 4)]


def painted(*names):
    return torch.tensor([MeanColour.colours[name] for name in names]).clamp(max=1)[:, :, None, None].expand(-1, 3, 16, 16)


# psnr, ssim


def test_psnr_is_its_definition_per_sample():
    x = images()
    x_hat = (x + torch.tensor([0.01, 0.1, 0.3])[:, None, None, None] * torch.randn_like(x)).clamp(0, 1)
    expected = -10 * torch.log10((x_hat - x).square().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(metrics.psnr(x_hat, x), expected)


def test_equal_images():
    x = images()
    assert metrics.psnr(x, x).isinf().all()
    torch.testing.assert_close(metrics.ssim(x, x), torch.ones(3))
    assert metrics.perceptual_distance(TwoStages(), x, x).eq(0).all()


@pytest.mark.parametrize("b", [1, 3])
@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_a_sample_scores_the_same_in_any_batch(metric, b):
    x, x_hat = images(b), images(b, seed=1)
    alone = torch.cat([metric(x_hat[i : i + 1], x[i : i + 1]) for i in range(b)])
    assert alone.shape == (b,)
    torch.testing.assert_close(metric(x_hat, x), alone)


def test_ssim_falls_with_noise():
    x = images()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    a, b = (metrics.ssim((x + s * noise).clamp(0, 1), x) for s in (0.05, 0.3))
    assert (b < a).all() and (a < 1).all()


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim, lambda x_hat, x: metrics.perceptual_distance(TwoStages(), x, x_hat)])
def test_one_truth_for_many_reconstructions(metric):
    x, x_hat = images(1), images(3, seed=1)
    torch.testing.assert_close(metric(x_hat, x), metric(x_hat, x.expand(3, -1, -1, -1)))


def test_images_are_checked():
    with pytest.raises(ValueError, match=r"x: got shape \(2, 3, 32, 32\), expected that of x_hat, \(3, 3, 32, 32\)"):
        metrics.psnr(images(3), images(2))
    with pytest.raises(ValueError, match=r"x_hat: got values from -.* to .*, expected finite values in \[0, 1\]"):
        metrics.ssim(images() - 1, images())
    with pytest.raises(TypeError, match="x: got dtype torch.uint8"):
        metrics.psnr(images(), images().byte())


# perceptual_distance


def test_perceptual_distance_of_orthogonal_colours():
    d = metrics.perceptual_distance(TwoStages(), painted("red", "red"), painted("blue", "red"))
    torch.testing.assert_close(d, torch.tensor([4.0, 0.0]))  # ‖e₁ − e₃‖² = 2 at every pixel of two stages


def test_perceptual_distance_is_symmetric_and_ignores_scale():
    x, x_hat = images(), images(seed=1)
    d = metrics.perceptual_distance(TwoStages(), x, x_hat)
    assert d.shape == (3,) and (d > 0).all()
    torch.testing.assert_close(d, metrics.perceptual_distance(TwoStages(), x_hat, x))
    torch.testing.assert_close(d, metrics.perceptual_distance(TwoStages(), x / 2, x_hat))


# y_mse, pixel_variance


def test_y_mse_of_the_truth_is_the_noise_variance():
    x = images(2, side=128)
    operator = SimpleNamespace(A=lambda x: 2 * x)
    y = operator.A(x) + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert metrics.y_mse(operator, x, y) == pytest.approx([0.01, 0.01], rel=0.05)


def test_y_mse_of_any_measurement_shape_and_complex_values():
    operator = SimpleNamespace(A=lambda x: 1j * x.flatten(1))
    assert metrics.y_mse(operator, torch.ones(2, 3, 4, 4), torch.zeros(1, 48)) == pytest.approx([1, 1])
    with pytest.raises(ValueError, match=r"y: got shape \(2, 47\), expected that of operator.A\(x_hat\), \(2, 48\)"):
        metrics.y_mse(operator, torch.ones(2, 3, 4, 4), torch.zeros(2, 47))


def test_pixel_variance():
    x_hats = images(10)
    assert metrics.pixel_variance(x_hats) == pytest.approx(np.var(x_hats.numpy(), axis=0, ddof=1).mean(), rel=1e-4)
    assert metrics.pixel_variance(x_hats[:1].expand(4, -1, -1, -1)) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="x_hats: got 1 reconstruction, expected at least 2"):
        metrics.pixel_variance(x_hats[:1])


def test_pixel_deviation():
    x_hats = images(10)
    expected = torch.from_numpy(np.std(x_hats.numpy(), axis=0, ddof=1).mean(0))
    torch.testing.assert_close(metrics.pixel_deviation(x_hats), expected)
    assert metrics.pixel_deviation(x_hats[:1].expand(4, -1, -1, -1)).abs().max() < 1e-6
    with pytest.raises(ValueError, match="x_hats: got 1 reconstruction, expected at least 2"):
        metrics.pixel_deviation(x_hats[:1])


# similarity, top_k


def test_similarity_is_a_cosine():
    s = metrics.similarity(MeanColour(), painted("red", "blue"), "red")
    torch.testing.assert_close(s, torch.tensor([1.0, 0.0]))
    s = metrics.similarity(MeanColour(), painted("red", "blue"), ["white", "blue"])
    torch.testing.assert_close(s, torch.tensor([3**-0.5, 1.0]))


def test_similarity_shapes():
    with pytest.raises(ValueError, match="text: got 3 strings, expected one, or one for each of the 2 images"):
        metrics.similarity(MeanColour(), painted("red", "blue"), ["red"] * 3)
    with pytest.raises(ValueError, match=r"text_features: got shape \(2, 5\), expected \(2, 4\) or \(1, 4\)"):
        metrics.clip_similarity(torch.rand(2, 4), torch.rand(2, 5))


def test_top_k_is_best_first():
    labels = list(MeanColour.colours)
    names, indices = metrics.top_k(MeanColour(), painted("green", "white"), labels, k=2)
    assert names[0] == ["green", "white"] and names[1][0] == "white"
    assert [[labels[i] for i in row] for row in indices] == names
    with pytest.raises(ValueError, match="k: got 5, expected an integer from 1 to 4"):
        metrics.top_k(MeanColour(), painted("red"), labels, k=5)


# mmd


def test_mmd_agrees_with_torchmetrics():
    from torchmetrics.image.kid import poly_mmd

    a, b = torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(metrics.mmd(a, b + 1), poly_mmd(a, b + 1))


def test_mmd_is_unbiased_and_sees_a_shift():
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(2, 10, 4, generator=generator) for _ in range(400)]
    _, low, high = metrics.confidence_interval([metrics.mmd(a, b) for a, b in draws], level=0.99)
    assert low < 0 < high
    assert np.mean([metrics.mmd(a, b + 1) for a, b in draws]) > 10 * high


def test_mmd_takes_sets_of_different_size_but_one_width():
    assert metrics.mmd(torch.rand(5, 4), torch.rand(9, 4)).ndim == 0
    with pytest.raises(ValueError, match=r"features_b: got shape \(9, 3\)"):
        metrics.mmd(torch.rand(5, 4), torch.rand(9, 3))


# confidence_interval


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        _, low, high = metrics.confidence_interval(rng.normal(5, 2, 40), level=0.9, n=300, seed=trial)
        hits += low < 5 < high
    assert 0.83 < hits / 200 < 0.96


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_interval_is_ordered_and_inside_the_values(values):
    mean, low, high = metrics.confidence_interval(values, n=100)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert min(values) - slack <= low <= high <= max(values) + slack
    assert mean == pytest.approx(np.mean(values))


def test_interval_is_seeded_and_per_column():
    values = torch.rand(20, 3)
    mean, low, high = metrics.confidence_interval(values)
    assert mean.shape == low.shape == high.shape == (3,)
    assert (low == metrics.confidence_interval(values)[1]).all()
    assert metrics.confidence_interval(values[:, 1]) == pytest.approx((mean[1], low[1], high[1]))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"values": [1.0]}, r"values: got shape \(1,\)"),
        ({"values": 3.0}, r"values: got shape \(\)"),
        ({"values": [1.0, float("inf")]}, "values: got some that are not finite"),
        ({"values": [1.0, 2.0], "level": 95}, "level: got 95"),
    ],
)
def test_interval_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.confidence_interval(**arguments)


def test_importing_metrics_is_light():
    code = "import sys, treg_edu.metrics as m; print([n for n in ('torchmetrics', 'pandas', 'diffusers') if n in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_label_ranks_count_the_better_labels():
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.9]])
    labels = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 5.0]])
    ranks = metrics.label_ranks(images, labels, [0, 0, 0])
    assert ranks.tolist() == [0, 2, 1]
    assert metrics.top_shares(ranks) == {"top1": pytest.approx(1 / 3), "top5": 1.0}


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_a_network_that_says_nothing_ranks_last(value):
    assert metrics.label_ranks(torch.full((2, 3), value), torch.full((7, 3), value), [0, 4]).tolist() == [6, 6]
