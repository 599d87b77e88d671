"""What the studies measure: the paper's instruments at any size, noise that belongs to the picture, and what a solver is told otherwise."""

import pytest
import torch

from treg_edu import images as shipped
from treg_edu import metrics, operators
from treg_edu.experiments import arms, measurements, study
from treg_edu.experiments.arms import Arm
from treg_edu.experiments.measurements import INSTRUMENTS, Measurement
from treg_edu.priors import GaussianPrior


def images(batch, side=64, seed=0):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_instruments_at_64_pixels_are_those_of_the_search(name):
    x = images(2)
    torch.testing.assert_close(measurements.instrument(name).A(x), study.INSTRUMENTS[name]().A(x))


@pytest.mark.parametrize("side", [16, 128, 512])
def test_boxes_hide_the_same_part_of_a_picture_of_any_size(side):
    hidden = 1 - measurements.instrument("boxes", side).mask.float().mean()
    assert hidden == pytest.approx((14 * 44 + 14 * 28) / 64**2, abs=0.04 if side == 16 else 1e-6)


def test_noise_belongs_to_the_picture():
    x = images(3)
    y = Measurement("blur", sigma=0.1).measure(x, [5, 6, 7])
    torch.testing.assert_close(Measurement("blur", sigma=0.1).measure(x[1:2], [6]), y[1:2])
    noise = y - measurements.instrument("blur").A(x)
    assert noise.std() == pytest.approx(0.1, rel=0.02) and not torch.equal(noise[0], noise[1])


def test_a_misfit_is_compared_with_the_noise_there_is():
    x = images(2)
    for each in (Measurement("blur", sigma=0.03), Measurement("blur", sigma=0.0, photons=200.0), Measurement("blur", sigma=0.0, jpeg=30)):
        y = each.measure(x, [1, 2])
        ratio = metrics.misfit(measurements.instrument("blur"), x, y) / each.noise_level(x, y)
        assert ratio.tolist() == pytest.approx([1, 1], rel=0.02)
    clean = Measurement("blur", sigma=0.0)
    assert clean.noise_level(x, clean.measure(x, [1, 2])).isnan().all()


def test_photons_have_the_variance_of_their_number():
    x = torch.full((1, 3, 64, 64), 0.5)
    y = Measurement("boxes", sigma=0.0, photons=50.0).measure(x, [3])
    seen = y[measurements.instrument("boxes").mask.expand_as(y).bool()]
    assert seen.mean() == pytest.approx(0.5, abs=0.01) and seen.var() == pytest.approx(0.5 / 50, rel=0.1)


def test_a_jpeg_of_low_quality_loses_more():
    x = shipped.example("fox")
    far, near = (Measurement("boxes", sigma=0.0, jpeg=quality).measure(x, [3]) for quality in (10, 95))
    clean = measurements.instrument("boxes").A(x)
    assert (far - clean).square().mean() > 4 * (near - clean).square().mean() > 0 and far.min() >= 0 and far.max() <= 1


def test_the_solver_is_given_the_operator_and_the_sigma_that_it_is_told():
    wrong = Measurement("blur", sigma=0.02, assumed={"sigma": 4.0}, told=0.04)
    torch.testing.assert_close(wrong.operator(64).A(images(1)), operators.GaussianBlur(sigma=4.0, kernel_size=61).A(images(1)))
    clean = Measurement("blur", sigma=0.0, assumed={"sigma": 4.0})
    torch.testing.assert_close(clean.measure(images(1), [1]), operators.GaussianBlur(sigma=5.0, kernel_size=61).A(images(1)))
    prior = GaussianPrior(torch.eye(3), size=1)
    assert arms.settings_of(Arm("daps", "daps", measurement=wrong), prior, 64)["sigma"] == 0.04
    assert arms.settings_of(Arm("daps", "daps", measurement=Measurement("blur", sigma=0.02)), prior, 64)["sigma"] == 0.02


def test_what_is_changed_is_the_truth():
    x = images(1)
    assert torch.equal(Measurement(change="negative").truth(x), 1 - x) and torch.equal(Measurement().truth(x), x)
    assert all(not torch.equal(change(x), x) and change(x).shape == x.shape for change in measurements.CHANGES.values())


def test_all_that_makes_a_reconstruction_is_in_its_hash():
    def hash_of(arm, settings={"steps": 3}, prior="p", side=64):  # noqa: B006
        return arms.hash_of(arm, settings, prior, side)

    first = hash_of(Arm("a"))
    assert first == hash_of(Arm("another name")) and first == hash_of(Arm("a", measurement=Measurement(label="another name")))
    others = [
        hash_of(Arm("a", "ldps")),
        hash_of(Arm("a", text="null")),
        hash_of(Arm("a"), {"steps": 4}),
        hash_of(Arm("a"), prior="q"),
        hash_of(Arm("a"), side=32),
        hash_of(Arm("a", given=lambda batch: {})),
        *(hash_of(Arm("a", measurement=Measurement(**each))) for each in (
            {"sigma": 0.1}, {"instrument": "blur"}, {"jpeg": 50}, {"photons": 9.0}, {"told": 0.1}, {"change": "negative"},
            {"instrument": "blur", "assumed": {"sigma": 4.0}},
        )),
    ]  # fmt: skip
    assert len({first, *others}) == 1 + len(others)


def test_settings_are_the_recommended_ones_and_the_null_text_needs_no_guidance():
    prior = GaussianPrior(torch.eye(3), size=1)
    prior.recommended = {"treg": {"steps": 30, "guidance_scale": 4.0, "negation": None}, "ldps": {"step_size": 3.0}}
    treg = arms.settings_of(Arm("treg"), prior, 64)
    assert (treg["steps"], treg["guidance_scale"], treg["negation"]) == (30, 4.0, None)
    assert arms.settings_of(Arm("null", text="null"), prior, 64)["guidance_scale"] == 1
    assert arms.settings_of(Arm("a", settings={"guidance_scale": 2.0}), prior, 64)["guidance_scale"] == 2
    assert arms.settings_of(Arm("p2l", "p2l", "null"), prior, 64)["guidance_scale"] == 2.5  # it tunes the text, so the two differ
    assert arms.settings_of(Arm("DDIM", "ddim"), prior, 64) == {"steps": 30, "guidance_scale": 4.0, "null_prompt": treg["null_prompt"]}
    few = arms.settings_of(Arm("ldps", "ldps"), prior, 64, steps=5)
    slow = Arm("treg", settings={"steps": 200})
    assert [arms.settings_of(slow, prior, 64, steps=most)["steps"] for most in (None, 5)] == [200, 5]
    assert few["steps"] == 5 and few["step_size"] == 15  # a fifth of the steps, each five times as long
    assert arms.settings_of(Arm("total_variation", "total_variation"), prior, 64, steps=5)["steps"] > 5
