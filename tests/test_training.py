"""The trainings: a killed run resumes, the corpus is what it says, folding an affine map changes no picture."""

import functools
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from treg_edu import files, images
from treg_edu.training import clip, data, loop, recipes, redraw, unet, vae
from treg_edu.training import corpus as corpora
from treg_edu.training import prior as prior_files

pytestmark = pytest.mark.once

CORPUS = files.data_folder() / "images" / "emoji.parquet"

RUN = """
import torch, sys
from torch import nn
from treg_edu.training import loop

class Fit(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
    def forward(self, x):
        return (self.layer(x) - x.sum(1, keepdim=True)).square().mean()

torch.manual_seed(0)
model = Fit()
log = loop.fit(model, lambda g: (torch.randn(16, 4, generator=g),), sys.argv[1], minutes=float(sys.argv[2]), peak=0.05,
               checkpoint_every=0.2)
print("steps", log["steps"], "loss", float(model(torch.eye(4))))
"""


def test_a_killed_training_resumes_where_its_checkpoint_was(tmp_path):
    from safetensors import safe_open

    out, minutes = tmp_path / "run", "0.05"
    first = subprocess.Popen([sys.executable, "-c", RUN, str(out), minutes], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 120
    while not (out / "checkpoint.safetensors").exists() and time.time() < deadline:
        time.sleep(0.1)
    first.kill()
    first.wait()
    with safe_open(out / "checkpoint.safetensors", "pt") as file:
        state = json.loads(file.metadata()["state"])
    assert 0 < state["seconds"] < 3
    budget = str(state["seconds"] / 60 * (1 - 1e-9))  # spent already: a run that resumes has nothing left to do, one that starts anew has
    second = subprocess.run([sys.executable, "-c", RUN, str(out), budget], capture_output=True, text=True, timeout=300)
    assert second.returncode == 0, second.stderr
    steps = float(second.stdout.split()[1])
    assert steps == state["step"]


SEVERAL = (
    RUN.replace("torch.manual_seed(0)", "torch.manual_seed(loop.process().process_index)")
    + """
rank, together = loop.process().process_index, loop.process().num_processes
torch.save({"weight": model.layer.weight.detach(), "together": together, "loss": log["loss"]}, f"{sys.argv[1]}/of_process_{rank}.pt")
"""
)


def test_several_processes_without_a_gpu_train_one_model(tmp_path):
    """They begin with unlike weights and see unlike batches, and end with the same weights."""
    script = tmp_path / "run.py"
    script.write_text(SEVERAL)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script, tmp_path, "0.02"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"of_process_{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["together"] == second["together"] == 2 and first["loss"] != second["loss"]
    assert torch.allclose(first["weight"], second["weight"], atol=1e-6)
    assert torch.allclose(first["weight"], torch.ones(1, 4), atol=0.2)


def test_what_a_training_resumes_from_is_no_view_of_its_checkpoint(tmp_path):
    from diffusers.training_utils import EMAModel

    path, model = tmp_path / "checkpoint.safetensors", nn.Linear(2, 1)
    optimizer, ema = torch.optim.AdamW(model.parameters()), EMAModel(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    loop._save(path, model, optimizer, ema, {"step": 1})
    loop._load(path, model, optimizer, ema)
    with path.open("r+b") as file:  # in place: a map of the file would show it
        header = 8 + int.from_bytes(file.read(8), "little")
        file.seek(header)
        file.write(bytes(path.stat().st_size - header))
    assert (optimizer.state_dict()["state"][0]["exp_avg"] != 0).all()


def test_a_training_that_diverges_keeps_its_last_checkpoint(tmp_path):
    model = nn.Linear(1, 1)
    fit = functools.partial(loop.fit, model, out=tmp_path, peak=1e-3, checkpoint_every=0)
    fit(lambda generator: (torch.ones(1, 1),), minutes=1e-3)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(FloatingPointError, match="^out: got a loss of nan at step .*, expected a finite one"):
        fit(lambda generator: (torch.full((1, 1), torch.nan),), minutes=1.0)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_checkpoint_keeps_weights_moments_and_average(tmp_path):
    from diffusers.training_utils import EMAModel

    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer, ema = torch.optim.AdamW(model.parameters(), 0.1), EMAModel(model.parameters(), decay=0.9)
    for _ in range(3):
        model(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.step(model.parameters())
    loop._save(tmp_path / "c.safetensors", model, optimizer, ema, {"step": 3, "seconds": 1.0, "loss": 0.5})
    other = nn.Linear(3, 2)
    optimizer_2, ema_2 = torch.optim.AdamW(other.parameters(), 0.1), EMAModel(other.parameters(), decay=0.9)
    assert loop._load(tmp_path / "c.safetensors", other, optimizer_2, ema_2) == {"step": 3, "seconds": 1.0, "loss": 0.5}
    assert torch.equal(other.weight, model.weight)
    assert all(torch.equal(a, b) for a, b in zip(ema.shadow_params, ema_2.shadow_params))
    moments, moments_2 = (o.state_dict()["state"] for o in (optimizer, optimizer_2))
    assert all(torch.equal(moments[i][k], moments_2[i][k]) for i in moments for k in moments[i])
    assert os.listdir(tmp_path) == ["c.safetensors"]


def test_the_learning_rate_rises_then_falls_to_zero():
    rates = [loop.learning_rate(p, 1.0) for p in (0.0, 0.01, 0.02, 0.51, 1.0)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_waiting_is_no_computing(tmp_path):
    before = loop.computing_clock()
    time.sleep(0.5)
    assert loop.computing_clock() - before < 0.1 or torch.cuda.is_available()
    sum(i * i for i in range(10**6))
    assert loop.computing_clock() > before


def test_standardising_latents_changes_no_picture():
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    model = AutoencoderKL(**vae.CONFIG).eval()
    x = images.load("heldout")[0][:8]
    with torch.no_grad():
        before = model.decode(model.encode(2 * x - 1).latent_dist.mode()).sample
        log_ratio = model.encode(2 * x - 1).latent_dist
        vae.standardise(model, x)
        after = model.encode(2 * x - 1).latent_dist
        assert torch.allclose(model.decode(after.mode()).sample, before, atol=1e-4)
    assert torch.allclose(after.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(after.mean.std((0, 2, 3)), torch.ones(4), atol=1e-3)
    assert torch.allclose(
        after.std / after.std.mean((0, 2, 3), keepdim=True), log_ratio.std / log_ratio.std.mean((0, 2, 3), keepdim=True), rtol=1e-3
    )


def test_augmentation_never_mirrors():
    x = torch.ones(1, 3, 64, 64)
    x[..., 8:24] = 0  # dark on the left
    moved = data.shift_and_scale(x.repeat(64, 1, 1, 1), torch.Generator().manual_seed(0))
    assert (moved[..., :32].mean((1, 2, 3)) < moved[..., 32:].mean((1, 2, 3))).all()
    assert moved.min() >= 0 and moved.max() <= 1


def test_a_shift_by_whole_pixels_blurs_nothing():
    x = torch.ones(64, 3, 64, 64)
    x[:, :, 20:30, 20:30] = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(0))
    moved = data.shift(x, torch.Generator().manual_seed(0))
    corners = [((image[0] != 1).nonzero().amin(0) - 20).tolist() for image in moved]
    assert {down for down, _ in corners} == {across for _, across in corners} == set(range(-4, 5))
    for image, (down, across) in zip(moved, corners):
        torch.testing.assert_close(image, x[0].roll((down, across), (1, 2)))


def test_augmentation_depends_on_its_generator_alone():
    x = images.load("heldout")[0][:4]
    a, b = (data.degrade(data.recolour(x, g), g) for g in (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)))
    assert torch.equal(a, b) and not torch.equal(a, x)


def test_the_tokenizer_knows_the_words_and_survives_others(prior):
    for word in ("fox", "ice cream", "pizza"):
        assert len(prior.tokenizer(word).input_ids) == 2 + len(word.split())
    assert prior.tokenizer.decode(prior.tokenizer("xylophone?").input_ids, skip_special_tokens=True).replace(" ", "") == "xylophone?"


def test_padding_changes_no_text_feature(prior):
    long, short = "a photo of a soft ice cream, noto style", "fox"
    together = prior.embed_labels([short, long])[0]
    assert torch.allclose(together, prior.embed_labels([short])[0], atol=1e-4)


def test_info_nce_is_the_formula():
    torch.manual_seed(0)
    query, key, concept = torch.randn(3, 5), torch.randn(7, 5), torch.tensor([6, 0, 2])
    loss = clip.Loss(lambda q: q, lambda k: k, [], nn.Parameter(torch.tensor(2.0)))
    a, b = query / query.norm(dim=1, keepdim=True), key / key.norm(dim=1, keepdim=True)
    log_p = (loss.log_scale.exp() * a @ b.T).log_softmax(1)
    by_hand = -(0.9 * log_p[range(3), concept] + 0.1 * log_p.mean(1)).mean()  # a tenth of the weight spread over all concepts
    assert torch.allclose(loss(query, key, nn.functional.one_hot(concept, 7).float()), by_hand)


def test_least_squares_finds_the_map_that_made_the_names(monkeypatch):
    torch.manual_seed(0)
    features, truth = torch.randn(40, 8), torch.randn(3, 8)
    concepts = torch.eye(40)
    monkeypatch.setattr(clip, "pictures", lambda corpora: (features, None, concepts))
    found = clip.least_squares(lambda part: part, None, features @ truth.T, ridge=1e-6)
    torch.testing.assert_close(found / found.norm(), truth / truth.norm(), rtol=1e-3, atol=1e-3)
    assert found.std() == pytest.approx(8**-0.5, rel=1e-4)


def test_names_are_said_through_fewer_directions():
    torch.manual_seed(0)
    exact = torch.randn(300, 150) @ torch.randn(150, 400)  # of rank below clip.WIDTH
    names = recipes.factored(exact)(torch.arange(300))
    torch.testing.assert_close(nn.functional.normalize(names), nn.functional.normalize(exact), rtol=1e-3, atol=1e-3)


def test_whitened_features_begin_in_all_directions():
    torch.manual_seed(0)
    pooled = torch.randn(500, 8) @ torch.randn(8, 8) + 3
    projection = nn.Linear(8, 8, bias=False)
    clip.whiten(projection, pooled)
    features = projection(pooled)
    assert torch.allclose(features.T @ features / 500, torch.eye(8), atol=1e-3)


def test_a_mixture_keeps_images_and_targets_together():
    x, target = torch.rand(4, 3, 8, 8, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    mixed = [clip.mix(x, target, torch.Generator().manual_seed(seed)) for seed in range(20)]
    for image, share in mixed:
        torch.testing.assert_close(image, torch.einsum("bc,chwk->bhwk", share, x))
    assert 5 < sum(torch.equal(share, target) for _, share in mixed) < 15


def test_an_image_is_captioned_with_phrases_of_its_own(prior):
    rows = pd.DataFrame({"label": ["fox", "pie"], "style": ["noto", "noto"], "keywords": [[], []]})
    cached = unet.cache_captions(prior.text_encoder, prior.tokenizer, rows, {"fox": ["a sly red animal"]})
    assert cached["of_image"].shape == (2, 1 + unet.CAPTIONS + unet.PHRASES)
    states = cached["states"][cached["of_image"]]
    torch.testing.assert_close(states[0, -1], prior.embed_text("a sly red animal")[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(states[:, 0], prior.embed_text(["fox", "pie"]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cached["states"][0], prior.embed_text("")[0], rtol=1e-4, atol=1e-4)
    assert not torch.isclose(states[1], states[0, -1]).all(-1).all(-1).any()  # a label without phrases has captions instead
    assert unet.cache_captions(prior.text_encoder, prior.tokenizer, rows)["of_image"].shape == (2, 1 + unet.CAPTIONS)


def test_each_concept_has_its_own_row_of_captions(prior):
    _, frame = data.load(CORPUS, "train")
    texts = clip.captions(prior.tokenizer, frame)
    labels = list(dict.fromkeys(frame["label"]))
    assert texts.shape[:2] == (clip.CAPTIONS, len(labels))
    first = prior.tokenizer.batch_decode(texts[0], skip_special_tokens=True)
    assert [text.replace(" ", "") for text in first] == [label.replace(" ", "").lower() for label in labels]


def test_erasing_hides_one_rectangle_of_one_colour():
    x = torch.zeros(200, 3, 64, 64)
    hidden = (data.erase(x, torch.Generator().manual_seed(0)) != 0).all(1)
    assert 0.2 < hidden.any((1, 2)).double().mean() < 0.4
    for mask in hidden[hidden.any((1, 2))]:
        height, width = mask.any(1).sum(), mask.any(0).sum()
        assert mask.sum() == height * width and 8 <= min(height, width) and max(height, width) <= 32


def test_a_picture_redrawn_counts_once():
    corpus = pd.DataFrame({"label": ["fox", "fox", "pie"], "style": ["noto", "twemoji", "noto"]})
    again = corpus.loc[[0, 0, 0, 0, 0, 2, 2]]
    assert clip.shares([corpus, again]).tolist() == pytest.approx([1, 1, 1] + [1 / 5] * 5 + [1 / 2] * 2)


def test_bending_moves_little_and_smoothly():
    x = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    x = nn.functional.interpolate(x, 64, mode="bicubic").clamp(0, 1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(data.bend(x, torch.Generator().manual_seed(0), pixels=0), x, rtol=0, atol=1e-5)
    ramp = torch.linspace(0, 1, 64).expand(64, 3, 64, 64)  # what is read off at a pixel is where it came from
    bent = 64 * (data.bend(ramp, torch.Generator().manual_seed(0)) - ramp)[:, 0, 16:48, 16:48]
    assert 0.5 < bent.std() < 3 and bent.diff(dim=-1).abs().max() < 1
    torch.testing.assert_close(data.bend(torch.ones(4, 3, 64, 64), torch.Generator().manual_seed(0)), torch.ones(4, 3, 64, 64))


def test_sizes_are_those_asked_for():
    x = torch.ones(200, 3, 64, 64)
    x[..., 16:48, 16:48] = 0
    drawn = data.shift_and_scale(x, torch.Generator().manual_seed(0), pixels=0, sizes=(0.5, 1.0))
    sides = (1 - drawn[:, 0]).sum((1, 2)).sqrt()
    assert 15.5 < sides.min() < 17.5 and 30.5 < sides.max() < 32.5


def test_the_corpus_reads_with_pandas_and_datasets():
    from datasets import load_dataset

    assert CORPUS.stat().st_size <= 25e6
    frame = pd.read_parquet(CORPUS)
    dataset = load_dataset("parquet", data_files=str(CORPUS), split="train")
    assert len(frame) == len(dataset) and dataset[0]["image"].size == (64, 64)
    assert set(frame["licence"]) <= {"Apache-2.0", "CC-BY-4.0", "CC-BY-SA-4.0", "MIT"}
    assert frame["label"].nunique() >= 280 and len(frame) >= 1900


def write_package(folder, name, files):
    with tarfile.open(folder / f"{name}-1.0.0.tgz", "w:gz") as archive:
        for path, content in files.items():
            text = json.dumps(content).encode()
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))


@pytest.fixture
def packages(tmp_path):
    """The packages of all styles: in each a disc for a fox and a square for a pie, in a colour of its own; Twemoji has Noto's fox."""
    shown = [("fox", "1F98A", 3), ("pie", "1F967-FE0F", 4), ("sad", "1F61E", 0)]
    words = [
        {"label": label, "hexcode": code, "group": group, "order": order, "tags": [label[0]]}
        for order, (label, code, group) in enumerate(shown)
    ]
    write_package(tmp_path, corpora.WORDS, {"en/data.json": words})
    for number, (style, (package, *_)) in enumerate((corpora.PACKAGES | corpora.FURTHER).items()):
        colour = f'fill="hsl({25 * number} 90% 40%)"'
        fox = '<circle cx="8" cy="8" r="7" fill="hsl(0 90% 40%)"/>' if style == "twemoji" else f'<circle cx="8" cy="8" r="7" {colour}/>'
        icons = {"fox-1" if style == "streamline" else "fox": {"body": fox}, "pie": {"body": f'<path d="M1 1h14v14H1z" {colour}/>'}}
        write_package(tmp_path, package, {"icons.json": {"icons": icons}, "chars.json": {"1f967": "pie"}})
    return tmp_path


def test_the_corpus_is_rendered_from_the_packages(packages):
    frame = corpora.build(packages)
    assert frame.groupby("label")["style"].agg(list).to_dict() == {
        "fox": [style for style in corpora.PACKAGES if style != "twemoji"],
        "pie": list(corpora.PACKAGES),
    }
    assert frame.groupby("label")["split"].agg(lambda split: (split == "heldout").sum()).to_dict() == {"fox": 1, "pie": 1}
    fox = np.asarray(Image.open(io.BytesIO(frame["image"][0]["bytes"])))
    assert fox.shape == (64, 64, 3) and (fox[0] == 255).all() and fox[32, 32, 0] > 150 > fox[32, 32, 2]
    pd.testing.assert_frame_equal(frame, corpora.build(packages))


def test_further_styles_show_no_held_out_picture_again(packages):
    shipped = corpora.build(packages)
    editions = {
        "noto": {"noto v1"}, "emojione": {"emojione monotone"}, "emojione v1": {"emojione monotone"},
        "fluent": {"fluent high contrast"}, "fluent flat": {"fluent high contrast"}, "openmoji": set(),
    }  # fmt: skip
    for style, lacking in editions.items():
        held_out = (shipped["label"] == "fox") & (shipped["style"] == style)
        frame = corpora.build_further(packages, shipped.assign(split=np.where(held_out, "heldout", "train")))
        assert set(frame["split"]) == {"train"}
        assert set(frame.loc[frame["label"] == "fox", "style"]) == set(corpora.FURTHER) - lacking
        assert set(frame.loc[frame["label"] == "pie", "style"]) == set(corpora.FURTHER) - {"icon park"}  # whose pie is a chart


def test_a_package_that_is_missing_is_named(packages):
    next(packages.glob("iconify-json-noto-v1-*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"^folder: got no iconify-json-noto-v1-\[0-9\]\*.tgz in .*, expected one .*npm pack"):
        corpora.build_further(packages, corpora.build(packages))


def test_a_damaged_package_is_named(packages):
    path = next(packages.glob("iconify-json-noto-1*"))
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="^folder: got .*iconify-json-noto-1.0.0.tgz.*damaged.*, expected the whole file"):
            corpora.build(packages)
    write_package(packages, "iconify-json-noto", {"icons.json": {"icons": {}}})
    with pytest.raises(ValueError, match="^folder: got .*lacks package/chars.json"):
        corpora.build(packages)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "where no file is"), (b"", "cannot be read"), (b"PAR1 cut short", "cannot be read"), ("csv", "cannot be read")],
)
def test_a_corpus_that_cannot_be_read_is_named(tmp_path, content, told):
    path = tmp_path / "corpus.parquet"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else b"label,style\nfox,noto\n")
    for name, read in {"corpus": data.read_corpus, "further": lambda path: clip.pictures([CORPUS, path])}.items():
        with pytest.raises(
            ValueError, match=f"^{name}: got .*corpus.parquet', .*{told}.*, expected a parquet file that `treg-edu train corpus`"
        ):
            read(path)


def test_a_corpus_lacks_nothing(tmp_path):
    rows = pd.read_parquet(CORPUS).head(3)
    rows.drop(columns=["style", "split"]).to_parquet(tmp_path / "few.parquet")
    with pytest.raises(ValueError, match="^corpus: got .*, without style, split, expected a parquet file"):
        data.load(tmp_path / "few.parquet", "train")
    rows.assign(split="train").to_parquet(tmp_path / "few.parquet")
    with pytest.raises(ValueError, match="^corpus: got .*, without a picture of the split 'heldout'"):
        data.load(tmp_path / "few.parquet", "heldout")


def test_a_damaged_picture_of_a_corpus_is_told_with_the_corpus(tmp_path):
    rows = pd.read_parquet(CORPUS).head(3).assign(split="train")
    rows.at[1, "image"] = {"bytes": b"no picture", "path": None}
    rows.to_parquet(tmp_path / "few.parquet")
    with pytest.raises(ValueError, match="^corpus: got .*few.parquet' with a picture that is damaged .*, expected PNG bytes"):
        data.load(tmp_path / "few.parquet", "train")


def test_evaluating_needs_nothing_of_the_extra_train():
    code = "import sys; sys.modules |= dict.fromkeys(('accelerate', 'resvg_py')); import treg_edu.training.evaluate"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_training_pictures_are_redrawn(packages):
    corpus = corpora.build(packages)
    again = corpora.build_redrawn(packages, corpus)
    trained = corpus.query("split == 'train'")
    assert again.groupby(["label", "style"]).size().to_dict() == {
        pair: len(redraw.WAYS) for pair in trained[["label", "style"]].itertuples(index=False, name=None)
    }
    assert set(again["split"]) == {"train"} and set(again["licence"]) <= set(trained["licence"])
    half = corpora.build_redrawn(packages, corpus[corpus["label"] == "pie"])
    pie = again[again["label"] == "pie"].reset_index(drop=True)
    pd.testing.assert_frame_equal(half, pie)  # a redrawing depends on its own picture alone


def test_two_versions_of_a_package_are_not_chosen_from(packages):
    shutil.copy(packages / "iconify-json-noto-1.0.0.tgz", packages / "iconify-json-noto-1.0.10.tgz")
    with pytest.raises(
        FileNotFoundError, match="^folder: got iconify-json-noto-1.0.0.tgz, iconify-json-noto-1.0.10.tgz in .*, expected one "
    ):
        corpora.build(packages)


def test_paraphrases_are_no_captions():
    """`data/paraphrases.csv` asks for things in words that no training has read as a caption."""
    asked, rows = pd.read_csv(files.data_folder() / "paraphrases.csv"), images.captions()
    assert len(asked) == 100 and asked["text"].is_unique and asked["label"].is_unique
    assert len(set(asked["label"]) & set(rows["label"])) == 65  # the others wait for a wider corpus
    said = set(rows["label"].str.lower()) | {keyword.lower() for keywords in rows["keywords"] for keyword in keywords}
    for text in asked["text"].str.lower():
        assert text not in said and text.removeprefix("a ").removeprefix("an ").removeprefix("the ") not in said


def test_a_folder_that_could_not_be_written_leaves_no_parents(tmp_path):
    with pytest.raises(OSError, match="full"), prior_files.replacing(tmp_path / "runs" / "vae"):
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []
