"""The small prior of notebook 12: its drawings, its trainings, and what is left out of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import treg_edu as te
from treg_edu import cli, files
from treg_edu.training import corpus, data, loop, shapes, toy

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def frame():
    return shapes.build(3, 1)


def test_forty_concepts_have_forty_texts():
    labels = [concept.label for concept in shapes.CONCEPTS]
    assert len(set(labels)) == len(labels) == 40 and {"red star", "two green hearts"} <= set(labels)


@pytest.mark.parametrize("concept", shapes.CONCEPTS, ids=lambda concept: concept.label)
def test_a_drawing_has_its_colour_and_its_number_of_parts_and_stays_on_the_canvas(concept):
    for seed in range(4):
        pixels = corpus.drawn(shapes.svg(shapes.SHAPES[concept.shape], concept.colour, concept.number, np.random.default_rng(seed)))
        ink = pixels.min(2) < 200
        assert not (ink[0].any() or ink[-1].any() or ink[:, 0].any() or ink[:, -1].any())
        inside = ink.any(0)[ink.any(0).argmax() : len(ink) - ink.any(0)[::-1].argmax()]
        assert (~inside).any() == (concept.number == "two")  # two of them leave a gap between
        red, green, blue = pixels[ink].mean(0)
        strong = {"red": red > green + 60 and red > blue + 60, "yellow": min(red, green) > blue + 60}
        strong |= {"green": green > red + 60 and green > blue + 60, "blue": blue > red + 60 and blue > green + 40}
        assert strong[concept.colour]


def test_the_drawings_are_a_corpus(frame, tmp_path):
    assert frame.groupby(["label", "split"]).size().unique().tolist() in ([1, 3], [3, 1]) and len(frame) == 160
    corpus.save(frame, tmp_path / "shapes.parquet")
    x, rows = data.load(tmp_path / "shapes.parquet", "heldout")
    assert x.shape == (40, 3, 64, 64) and set(rows["licence"]) == {"MIT"}
    small, texts = toy.read(frame, "heldout")
    assert small.shape == (40, 3, 32, 32) and texts == [concept.label for concept in shapes.CONCEPTS]
    pd.testing.assert_frame_equal(frame, shapes.build(3, 1))


def test_a_document_that_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="^svg: got '<svg.*, expected a document that resvg draws"):
        corpus.drawn("<svg")


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        return (self.layer(x) - x.sum(1, keepdim=True)).square().mean()


def batch(generator):
    return (torch.randn(16, 4, generator=generator),)


def test_a_training_of_steps_takes_them_and_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "has_bf16", lambda: True)  # whatever the machine: steps are in float32
    models = [Line(), Line()]
    logs = [loop.fit(model, batch, tmp_path / str(i), steps=40, peak=0.05, progress=False) for i, model in enumerate(models)]
    assert [log["steps"] for log in logs] == [40, 40] and logs[0]["loss"] == logs[1]["loss"]
    assert torch.equal(models[0].layer.weight, models[1].layer.weight)


class Dtype(Line):
    def forward(self, x):
        self.seen = self.layer(x).dtype
        return super().forward(x)


def test_minutes_are_in_bf16_where_that_is_fast_and_steps_are_not(tmp_path, monkeypatch):
    """In one process, in either order."""
    monkeypatch.setattr(loop, "has_bf16", lambda: True)
    for i, (how_long, dtype) in enumerate(2 * [({"steps": 2}, torch.float32), ({"minutes": 1e-4}, torch.bfloat16)]):
        model = Dtype()
        loop.fit(model, batch, tmp_path / str(i), peak=0.05, progress=False, **how_long)
        assert model.seen == dtype and model.layer.weight.dtype == torch.float32


def test_a_training_of_steps_resumes_to_the_same_weights(tmp_path):
    whole, first, second = Line(), Line(), Line()
    loop.fit(whole, batch, tmp_path / "whole", steps=40, peak=0.05, progress=False)

    class Stopped(Exception):
        pass

    def until_25(generator):
        if generator.initial_seed() >= 25:
            raise Stopped
        return batch(generator)

    with pytest.raises(Stopped):
        loop.fit(first, until_25, tmp_path / "parts", steps=40, peak=0.05, progress=False, checkpoint_every=0)
    log = loop.fit(second, batch, tmp_path / "parts", steps=40, peak=0.05, progress=False)
    assert log["steps"] == 40
    torch.testing.assert_close(second.layer.weight, whole.layer.weight, rtol=0, atol=1e-6)


@pytest.mark.parametrize("given", [{}, {"minutes": 1.0, "steps": 3}])
def test_a_training_has_minutes_or_steps(given, tmp_path):
    with pytest.raises(ValueError, match="^steps: got .* and minutes .*, expected one of the two"):
        loop.fit(Line(), batch, tmp_path, peak=0.05, **given)


@pytest.mark.parametrize("given, name", [({"steps": 0}, "steps"), ({"steps": 2.5}, "steps"), ({"minutes": -1}, "minutes")])
def test_how_long_a_training_takes_is_looked_at(given, name, tmp_path):
    with pytest.raises(ValueError, match=f"^{name}: got "):
        loop.fit(Line(), batch, tmp_path, peak=0.05, **given)


def test_fit_tells_every_loss_and_leaves_nothing_behind():
    model = Line()
    losses = toy.fit(model, batch, 60, 0.05)
    assert len(losses) == 60 and losses[-1] < 0.1 * losses[0]
    assert not model._forward_hooks and not any(each.requires_grad for each in model.parameters())


def test_a_prior_is_put_together_and_a_solver_takes_it(frame):
    prior = toy.train(frame, toy.Toy(autoencoder_steps=3, text_steps=3, denoiser_steps=3))
    x, texts = toy.read(frame, "heldout")
    z = toy.latents(prior.vae, toy.read(frame, "train")[0])
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-3)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(4), rtol=0, atol=1e-2)
    operator = te.operators.SuperResolution(8)
    x_hat = te.solve("treg", prior, operator, operator.A(x[:2]), texts[:2], steps=2, every=1, negation=None, progress=False)
    assert x_hat.shape == (2, 3, 32, 32) and x_hat.isfinite().all()


def test_each_arm_leaves_out_what_it_says(frame, monkeypatch):
    asked = []
    monkeypatch.setattr(toy, "denoiser", lambda z, concept, states, steps, drop, seed: asked.append((z, states, drop)) or (None, None, []))
    monkeypatch.setattr(toy, "LatentDiffusion", lambda *parts: None)
    encoder, _ = toy.autoencoder(toy.read(frame, "train")[0], 2)
    settings = toy.Toy(text_steps=4)
    for differs in toy.ARMS.values():
        toy.train(frame, toy.replace(settings, **differs), 0, encoder)
    (z, states, drop), no_null, raw, untrained = asked
    assert drop == 0.12 and no_null[2] == 0 and torch.equal(no_null[0], z) and torch.equal(no_null[1], states)
    assert not torch.allclose(raw[0], z, atol=0.1) and torch.equal(raw[1], states) and raw[2] == drop
    assert torch.equal(untrained[0], z) and not torch.allclose(untrained[1], states, atol=1e-3)
    torch.testing.assert_close((raw[0] - raw[0].mean((0, 2, 3), keepdim=True)) / raw[0].std((0, 2, 3), keepdim=True), z, rtol=0, atol=0.02)


def test_the_judge_names_new_drawings():
    frame = shapes.build(8, 1, [concept for concept in shapes.CONCEPTS if concept.shape in ("disc", "star")])
    x, texts = toy.read(frame, "train")
    labels = list(dict.fromkeys(texts))
    network, losses = toy.judge(x, torch.tensor([labels.index(text) for text in texts]), steps=60)
    new, _ = toy.read(frame, "heldout")
    right = toy.parts(network(new).argmax(1), torch.arange(len(labels)), labels)
    assert losses[-1] < losses[0] and right["all"].double().mean() > 0.7


def test_what_is_right_of_an_answer():
    labels = [concept.label for concept in shapes.CONCEPTS]
    answers = torch.tensor([labels.index(text) for text in ("red star", "two red stars", "blue disc")])
    right = toy.parts(answers, torch.tensor([labels.index("red star")] * 3), labels)
    assert {name: each.tolist() for name, each in right.items()} == {
        "number": [True, False, True],
        "colour": [True, True, False],
        "shape": [True, True, False],
        "all": [True, False, False],
    }


def test_the_command_writes_a_row_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "DRAWINGS", 2)
    out = tmp_path / "left_out.csv"
    steps = ["--autoencoder-steps", "1", "--denoiser-steps", "1"]
    result = CliRunner().invoke(cli.app, ["train", "toy", "--seeds", "1", *steps, "--out", str(out)])
    assert result.exit_code == 0 and "no null text in training" in result.stdout, result.output
    found = pd.read_csv(out)
    assert found.groupby("left out", sort=False)["label"].nunique().to_dict() == dict.fromkeys(toy.ARMS, 40) and len(found) == 160
    assert list(found.columns) == ["left out", "seed", "label", "number", "colour", "shape", "all"]


def test_the_table_that_ships_is_one_of_the_command():
    ships = pd.read_csv(files.data_folder() / "left_out.csv")
    assert list(ships.columns) == ["left out", "seed", "label", "number", "colour", "shape", "all"]
    assert ships["left out"].unique().tolist() == [*toy.ARMS] and len(ships) == len(toy.ARMS) * 40 * ships["seed"].nunique()
    assert set(ships["label"]) == {concept.label for concept in shapes.CONCEPTS}
    assert (ships["all"] == ships[["number", "colour", "shape"]].all(axis=1)).all()
