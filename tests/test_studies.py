"""Every study, end to end in a world that takes milliseconds; and what each of them adds to the shared parts."""

import inspect
import json

import numpy as np
import pandas as pd
import pytest
import tiny_world
import torch

import treg_edu as te
from treg_edu import images
from treg_edu.cli.studies import STUDIES
from treg_edu.experiments import (
    accuracy,
    ambiguity,
    arms,
    convergence,
    front,
    grading,
    measurements,
    negation,
    other_class,
    parts,
    pictures,
    report,
    robustness,
    runner,
    taken_apart,
    texts,
    wording,
)
from treg_edu.experiments.arms import Arm, Batch
from treg_edu.experiments.measurements import Measurement
from treg_edu.experiments.runner import BASELINE, DDIM
from treg_edu.operators import SuperResolution

MODULES = {
    "accuracy": accuracy,
    "other-class": other_class,
    "ambiguity": ambiguity,
    "parts": parts,
    "negation": negation,
    "wording": wording,
    "convergence": convergence,
    "robustness": robustness,
    "front": front,
}
ALL = {name: module.STUDY for name, module in MODULES.items()}


@pytest.fixture(scope="module")
def setting():
    models = tiny_world.models()
    return runner.Setting(models.prior, pictures.load(count=4, side=16), models)


def test_every_study_has_a_command():
    assert set(STUDIES) == set(ALL) | {"phase"} and all(study.name == name for name, study in ALL.items())


@pytest.mark.parametrize("name", ALL)
def test_a_study_runs_and_compares_each_arm_with_treg(name, tmp_path):
    """TReg's arms, 3 pictures; two seeds where the spread is asked for."""
    seeds = ALL[name].least_seeds
    told = report.run(ALL[name], tiny_world.models(), images=3, seeds=seeds, steps=2, solvers=["treg"], out=tmp_path)
    figures = {**grading.FIGURES, **ALL[name].figures}
    assert set(report.shown(ALL[name])) <= set(figures)
    assert told["study"] == name and (tmp_path / f"{name}.json").is_file()
    for table in told["tables"].values():
        assert BASELINE in table
        for arm, each in table.items():
            assert list(each["figures"]) == list(figures)
            compared = {figure for figure in each["differences"] if figures[figure].better}
            assert arm == BASELINE or compared or all(value is None for value in each["figures"].values())
    rows = pd.read_parquet(tmp_path / f"{name}.parquet")
    assert not rows.duplicated(list(runner.KEY)).any() and (rows["study"] == name).all()
    assert json.loads(rows["settings"].iloc[0])["steps"] == 2


@pytest.mark.parametrize("name", ALL)
def test_every_arm_has_settings_that_its_solver_takes(name, setting, prior):
    """A call with them is refused nowhere; it solves nothing.  On the bundled prior, whose TReg has negation."""
    of_prior = runner.Setting(prior, setting.pictures, setting.models)
    found = ALL[name].arms(of_prior)
    names = [(arm.measurement.name, arm.name) for arm in found]
    assert len(set(names)) == len(names) and any(arm.name == DDIM for arm in found)
    assert {arm.text for arm in found} <= {"true", "null", *(ALL[name].texts or {})}
    measured = {}
    for arm in found:
        at = arm.measurement.instrument, arm.solver
        on_pixels = arm.solver in arms.ON_PIXELS
        if not (arm.solver in arms.OF_STUDIES or arms.takes(arm.solver, arm.measurement.instrument)) or (on_pixels and at in measured):
            continue
        model, side = (tiny_world.PRIOR, 16) if on_pixels else (prior, 64)
        settings = arms.settings_of(arm, model, side)
        operator = arm.measurement.operator(side)
        x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        given = {"others": x} if arm.given else {}
        arms.solver_of(arm.solver)(model, operator, arm.measurement.measure(x, [1]), "fox", **settings, **given)
        measured[at] = True
    assert measured


def test_accuracy_has_every_solver_with_text_and_psld_with_and_without_guidance(setting):
    found = [arm for arm in accuracy.arms(setting) if arm.measurement.instrument == "sr"]
    assert {arm.solver for arm in found} == set(te.SOLVERS) | {"ddim"}
    psld = {arm.name: arm.settings["guidance_scale"] for arm in found if arm.solver == "psld"}
    assert psld["psld"] == 1 < psld["psld + CFG"]
    assert [arm.name for arm in found if arm.text == "null"] == ["treg, null text"]


# TReg taken apart


@pytest.mark.parametrize("negated", [None, "hidden", "projected"])
@pytest.mark.parametrize("guidance", [("cfg", 3.0), ("cfg++", 0.5)])
def test_put_together_it_is_treg(prior, negated, guidance):
    operator = SuperResolution(16)
    y = operator.A(images.tuning(2)[0])
    name, scale = guidance
    settings = {"steps": 4, "every": 2, "until": 0.8, "negation": negated, "guidance": name, "guidance_scale": scale, "seed": 5}
    expected = list(te.treg(prior, operator, y, ["fox", "pizza"], null_prompt="blurry", **settings))
    found = list(taken_apart.taken_apart(prior, operator, y, ["fox", "pizza"], null_prompt="blurry", **settings))
    assert torch.equal(found[-1].x_hat, expected[-1].x_hat) and torch.equal(found[-1].null_embedding, expected[-1].null_embedding)
    assert all(torch.equal(a.z_next, b.z_next) for a, b in zip(found, expected))


def walk(prior, **settings):
    operator = SuperResolution(16)
    y = operator.A(images.tuning(2)[0])
    begin = {"steps": 3, "every": 1, "guidance_scale": 3.0, "seed": 5, "null_prompt": ""}
    return list(taken_apart.taken_apart(prior, operator, y, ["fox", "pizza"], **begin | settings))


@pytest.mark.parametrize(
    "changes",
    [{"weight": each} for each in ("1", "½", "1 − ᾱ")] + [{"encoding": "sample"}] + [{"renoising": each} for each in ("DDIM", "fresh")],
    ids=str,
)
def test_each_part_changes_the_picture(prior, changes):
    assert not torch.allclose(walk(prior, **changes)[-1].x_hat, walk(prior)[-1].x_hat, atol=1e-3)


def test_the_weight_is_that_of_the_encoded_picture(prior):
    """With weight 1 the latent is E(x̂), whatever the text says; with ½ it is halfway."""
    whole, half = walk(prior, weight="1", steps=1)[0], walk(prior, weight="½", steps=1)[0]
    (plain,) = walk(prior, weight="½", steps=1, every=1, until=0.0)
    x_hat = te.consistency.pixel_step(SuperResolution(16), SuperResolution(16).A(images.tuning(2)[0]), prior.decode(plain.z0))
    torch.testing.assert_close(whole.z0, prior.encode(x_hat), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(half.z0, (prior.encode(x_hat) + plain.z0) / 2, atol=1e-4, rtol=1e-4)


def test_each_sign_moves_the_null_text_as_far_and_elsewhere(prior):
    """Adam's step has one length for every direction: 10 · 10⁻³ in every number; the reverse is the negative."""
    null = prior.embed_text("")
    others = {"others": images.tuning(4)[0][2:]}
    moved = {}
    for sign in taken_apart.SIGNS:
        given = others if sign == "another picture's" else {}
        first = walk(prior, negation="hidden", sign=sign, **given)[0]
        moved[sign] = first.null_embedding - null
        assert moved[sign].abs().mean() == pytest.approx(0.01, rel=0.02)
    torch.testing.assert_close(moved["reversed"], -moved["published"], atol=1e-5, rtol=0)
    agree = {sign: (moved[sign].sign() == moved["published"].sign()).float().mean().item() for sign in moved}
    assert 0.4 < agree["random"] < 0.6 < agree["another picture's"] < 0.99
    with pytest.raises(ValueError, match="^others: got none"):
        walk(prior, negation="hidden", sign="another picture's")


def test_a_random_direction_is_kept_so_that_the_moves_add_up(prior):
    steps, null = walk(prior, negation="hidden", sign="random"), prior.embed_text("")
    first, last = (steps[i].null_embedding - null for i in (0, -1))
    torch.testing.assert_close(last, 3 * first, atol=1e-3, rtol=0)
    assert not torch.equal(first[0].sign(), first[1].sign())


def test_negation_early_and_late(prior):
    def moved(**when):
        """At which steps the null text was."""
        nulls = [prior.embed_text("").expand(2, -1, -1)] + [step.null_embedding for step in walk(prior, steps=4, negation="hidden", **when)]
        return [not torch.allclose(before, after, rtol=0, atol=1e-4) for before, after in zip(nulls, nulls[1:])]  # it moves by 1e-3

    assert moved(**negation.WHEN["early"]) == [True, True, False, False]
    assert moved(**negation.WHEN["late"]) == [False, False, True, True]


def test_a_sample_of_the_encoder_has_its_deviation_and_leaves_the_samples_noise(prior):
    operator = SuperResolution(16)
    y = operator.A(images.tuning(2)[0])
    plain, sampled = walk(prior, weight="1")[0], walk(prior, weight="1", encoding="sample")[0]
    x_hat = te.consistency.pixel_step(operator, y, prior.decode(walk(prior, until=0.0)[0].z0))
    deviation = prior.vae.encode(2 * x_hat - 1).latent_dist.std * prior.vae.config.scaling_factor
    drawn = (sampled.z0 - plain.z0) / deviation
    assert drawn.std() == pytest.approx(1, abs=0.05) and abs(drawn.mean()) < 0.1
    torch.testing.assert_close(sampled.x_hat, plain.x_hat)
    settings = {"steps": 3, "every": 1, "guidance_scale": 3.0, "weight": "1", "encoding": "sample", "seed": 6}
    alone = next(iter(taken_apart.taken_apart(prior, operator, y[1:], "pizza", **settings)))
    torch.testing.assert_close(alone.z0, sampled.z0[1:], atol=1e-3, rtol=1e-3)


# Texts


def test_a_text_that_measures_alike_is_nearer_than_one_that_contradicts(setting):
    found = pictures.load(count=6)
    arm = Arm("a", measurement=Measurement("sr"))
    near, far = texts.alike(found, arm), texts.contradicting(found, arm)
    trained, rows = images.load("train")
    operator = SuperResolution(16)

    def distance(x, label):
        return (operator.A(x[None]) - operator.A(trained[rows.index[rows["label"] == label].to_list()]).mean(0)).square().sum().item()

    for x, label, a, b in zip(found.x, found.labels, near, far):
        assert not set(label.split()) & (set(a.split()) | set(b.split()))
        assert distance(x, a) < distance(x, b)
    large = pictures.Pictures(found.x.repeat_interleave(2, -1).repeat_interleave(2, -2), found.names, found.labels, found.choices)
    assert texts.alike(large, arm) == near  # compared at 64 pixels


def test_of_photographs_the_other_class_is_among_them():
    x = torch.stack([torch.full((3, 32, 32), value) for value in (0.1, 0.2, 0.9)])
    found = pictures.Pictures(x, ["a", "b", "c"], ["tench", "ice cream", "waffles"], ["tench", "ice cream", "waffles"], "folder")
    arm = Arm("a", measurement=Measurement("sr"))
    assert texts.alike(found, arm) == ["ice cream", "tench", "ice cream"]
    assert texts.contradicting(found, arm) == ["waffles", "waffles", "tench"]
    one = pictures.Pictures(x[:1], ["a"], ["tench"], ["tench"], "folder")
    with pytest.raises(ValueError, match="^classes: got 'tench' and none that is another thing"):
        texts.alike(one, arm)


@pytest.mark.parametrize(("label", "expected"), [("fox", "ofx"), ("ice cream", "ice ceram"), ("egg", "geg"), ("aa", "aaa")])
def test_a_misspelt_label_has_the_letters_of_the_label(label, expected):
    assert texts.with_swapped_letters(label) == expected


def test_every_wording_is_another_text(setting, prior):
    labels = texts.paraphrased("emoji")
    found = pictures.load(classes=labels, count=46)
    arm = Arm("a", measurement=Measurement("sr"))
    said = {name: make(found, arm) for name, make in texts.WORDINGS.items()}
    assert len(labels) == 46 and all(len(each) == 46 for each in said.values())
    assert all(text != label for each in said.values() for text, label in zip(each, found.labels))
    assert set(said["too general"]) <= {"animals & nature", "food & drink"}
    listed = set(pd.read_csv(te.files.data_folder() / "paraphrases.csv")["text"])
    assert set(said["paraphrase"]) <= listed
    limit = prior.tokenizer.model_max_length
    assert min(len(prior.tokenizer(text).input_ids) for text in said["too long"]) > limit
    assert texts.paraphrased("folder") is None


# Spread


def rows_of(x_hats):
    """Rows with these reconstructions, (N, S, 3, H, W)."""
    from treg_edu.experiments.grading import png

    return pd.DataFrame([{"picture": str(i), "change": "", "png": png(x_hat)} for i, each in enumerate(x_hats) for x_hat in each])


def test_samples_of_the_truths_distribution_are_not_too_sure_and_narrow_ones_are(setting):
    rng = torch.Generator().manual_seed(0)
    centre, deviation = torch.full((6, 1, 3, 16, 16), 0.5), 0.02 + 0.1 * torch.rand(6, 1, 3, 16, 16, generator=rng)
    truth = (centre + deviation * torch.randn(6, 1, 3, 16, 16, generator=rng))[:, 0]
    draws = torch.randn(6, 10, 3, 16, 16, generator=rng)
    found = {}
    for name, width in {"true": 1.0, "narrow": 0.25}.items():
        of_pictures = runner.Setting(None, pictures.Pictures(truth, list("abcdef"), list("abcdef"), []), None)
        found[name] = ambiguity.spread(rows_of(centre + width * deviation * draws), of_pictures)
    assert np.mean(found["true"]["too_sure"]) == pytest.approx(1, abs=0.05) and np.mean(found["narrow"]["too_sure"]) > 3
    assert np.mean(found["true"]["variance"]) == pytest.approx(deviation.square().mean().item(), rel=0.05)
    assert np.mean(found["true"]["where"]) > 0.2


# Convergence

GAMMA = {"every": 1, "until": 1.0, "null_prompt": "", "lam": 1e-4, "iterations": 5}


def test_paths_are_those_of_the_walk(prior, setting):
    """Against a walk by hand: the misfits, the changes of x̂, and the first alternation, which is the walk's own."""
    x = images.tuning(2)[0]
    operator = SuperResolution(16)
    y = operator.A(x)
    settings = GAMMA | {"steps": 5, "guidance_scale": 3.0, "negation": "hidden"}
    batch = Batch(None, [0, 1], [3, 4], x, y, operator, ["fox", "pizza"], prior)
    watched = convergence.Watched(Arm("treg"), batch, settings)
    walk = list(te.treg(prior, operator, y, ["fox", "pizza"], seed=[3, 4], **settings))
    for step in walk:
        watched.step(step)
    told = watched.columns(walk[-1].x_hat)
    assert told["path_misfit"][1] == pytest.approx([step.misfit[1].item() for step in walk])
    assert told["path_x"][0][2] == pytest.approx((walk[3].x_hat - walk[2].x_hat)[0].square().mean().sqrt().item(), rel=1e-4)
    assert told["path_z"][0][0] == pytest.approx((walk[1].z0 - walk[0].z0)[0].square().mean().sqrt().item(), rel=1e-4)
    at = walk[2]  # half of the steps; its x̂ is clipped, as a step's is
    assert told["again_misfit_0.5"][0][0] <= at.misfit[0] and len(told["again_x_0.5"][0]) == convergence.ALTERNATIONS
    first = watched.alternated(*watched.kept[0.5])
    noise, _ = te.diffusion.guided_noises(prior, at.z_t, at.t, prior.embed_text(["fox", "pizza"]), walk[1].null_embedding, 3.0)
    z0 = te.diffusion.tweedie(at.z_t, noise, prior.alpha_bar(at.t))
    assert first["z"][0].tolist() == pytest.approx((at.z0 - z0).square().mean((1, 2, 3)).sqrt().tolist(), rel=1e-3)


def test_an_alternation_that_is_a_contraction_settles():
    """In the Gaussian world D and E are exact, so each alternation shrinks the change."""
    models = tiny_world.models()
    x = pictures.load(count=2, side=16).x
    operator = measurements.instrument("sr", 16)
    batch = Batch(None, [0, 1], [3, 4], x, operator.A(x), operator, ["", ""], models.prior)
    settings = GAMMA | {"steps": 6, "guidance_scale": 1.0, "negation": None, "lam": 1e-2}
    watched = convergence.Watched(Arm("treg"), batch, settings)
    for step in te.treg(models.prior, operator, batch.y, ["", ""], seed=[3, 4], **settings):
        watched.step(step)
    told = watched.columns(step.x_hat)
    assert max(told["settled_0.25"]) < 0.05


def test_robustness_tells_treg_the_sigma_that_the_others_are_told(setting):
    found = robustness.arms(setting)
    lam = {arm.measurement.name: arm.settings["lam"] for arm in found if arm.name == BASELINE}
    assert lam["sr, σ = 0.005"] == pytest.approx(1e-4) and lam["sr, σ = 0.1"] == pytest.approx(0.04)
    assert lam["sr, σ = 0.02, told 0.08"] == pytest.approx(0.0256) and lam["sr, σ = 0.0"] == 1e-6
    assert {arm.measurement.change for arm in found} == {None, *measurements.CHANGES}
    assert inspect.signature(te.treg).parameters["lam"].default == 1e-4


def test_negation_has_its_controls(setting):
    found = [arm for arm in negation.arms(setting) if arm.measurement.name == "sr, ω = 5.0, null text published"]
    assert sum(arm.solver == "taken apart" for arm in found) == 4 * 3 + 2
    assert {arm.settings["null_prompt"] for arm in found} == {"out of focus, depth of field"}
    assert next(arm for arm in found if arm.name == BASELINE).settings["negation"] is None
    (other,) = [arm for arm in found if arm.name == "another picture's, ×1"]
    batch = Batch(setting.pictures, [0, 2], [0, 1], None, None, None, ["", ""], None)
    assert other.given(batch)["others"].shape == (2, 3, 64, 64)
    alone = Batch(setting.pictures, [2], [0], None, None, None, [""], None)
    assert torch.equal(other.given(batch)["others"][1], other.given(alone)["others"][0])


def test_the_sigma_told_of_other_noise_is_about_its_size():
    """For drawings, whose ground is white."""
    found = pictures.load(count=24)
    for y in robustness.MEASUREMENTS:
        if y.jpeg is not None or y.photons is not None:
            measured = y.noise_level(found.x, y.measure(found.x, found.numbers)).mean().item()
            assert y.told == pytest.approx(measured, rel=0.1)
