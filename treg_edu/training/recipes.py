"""One function a training: what it is fed with, where its result goes, and its figures on the held-out images.

    runs/NAME/checkpoint.safetensors   resumed from, if there
    runs/NAME/final                    what the next training, and `export`, read
    runs/tokenizer                     shared by all

Order: `train_vae`, `train_text`; `train_unet`, `train_clip`, `train_judge`, and where wanted `train_decoder`, which leaves the latents as
the U-Net knows them; `export`.
Under `accelerate launch` every process trains and the first one alone writes; the others return {}.
"""

import json
import shutil
from pathlib import Path

import torch

from . import clip, corpus as corpora, data, prior, unet, vae
from .prior import replacing

RECOMMENDED = {"steps": 25, "guidance_scale": 4.0, "null_prompt": "", "every": 2, "until": 1.0}  # for a prior that has none yet
CLIP_SEEDS, JUDGE_SEEDS = (0, 0), (1234, 77)  # of the first weights, of the batches


def make_corpus(folder, path):
    """Render the corpus.  Returns how many images there are, of how many labels, and how many of them are held out."""
    return saved_corpus(corpora.build(folder), path)


def make_further(folder, path, corpus):
    """Render the concepts of `corpus` in further styles, none of them held out.  Returns the same as `make_corpus`."""
    import pandas as pd

    return saved_corpus(corpora.build_further(folder, pd.read_parquet(corpus)), path)


def make_redrawn(folder, path, corpus):
    """Redraw the training pictures of `corpus`.  Returns the same as `make_corpus`."""
    import pandas as pd

    return saved_corpus(corpora.build_redrawn(folder, pd.read_parquet(corpus)), path)


def saved_corpus(frame, path):
    corpora.save(frame, path)
    return {"images": len(frame), "labels": frame["label"].nunique(), "held out": int((frame["split"] == "heldout").sum())}


def tokenizer_of(corpus, runs):
    """The tokenizer in `runs`, learnt from the training captions the first time."""
    from accelerate import PartialState
    from transformers import CLIPTokenizer

    folder = Path(runs) / "tokenizer"
    if PartialState().is_main_process and not folder.is_dir():
        _, frame = data.load(corpus, "train")
        with replacing(folder) as beside:
            clip.train_tokenizer(frame).save_pretrained(beside)
    PartialState().wait_for_everyone()
    return CLIPTokenizer.from_pretrained(folder)


def train_vae(corpus, runs, minutes):
    """The autoencoder.  Returns its log, and PSNR and latent statistics of the held-out images."""
    model, log = vae.train(corpus, Path(runs) / "vae", minutes=minutes)
    return finish(runs, "vae", {"": model}, log, lambda: vae.evaluate(model.cpu(), data.load(corpus, "heldout")[0]))


def train_decoder(corpus, runs, minutes):
    """The autoencoder's decoder, further.  Returns the same as `train_vae`."""
    from diffusers import AutoencoderKL

    model = AutoencoderKL.from_pretrained(finished(runs, "vae"))
    model, log = vae.train_decoder(model, corpus, Path(runs) / "decoder", minutes=minutes)
    return finish(runs, "decoder", {"": model}, log, lambda: vae.evaluate(model.cpu(), data.load(corpus, "heldout")[0]))


def train_text(corpus, runs, minutes):
    """The text tower of the prior's CLIP.  Returns its log, and how many of the directions that its labels' states span are in use."""
    tokenizer, texts = texts_of(corpus, runs)
    torch.manual_seed(CLIP_SEEDS[0])
    model = clip.new_clip(tokenizer)
    _, text_features = clip.clip_features(model)
    names = torch.nn.Embedding(texts.shape[1], clip.WIDTH)
    loss = clip.Loss(text_features, names, [model.text_model, model.text_projection, names], model.logit_scale)
    log = clip.train_on_captions(loss, texts, Path(runs) / "text", minutes=minutes, seed=CLIP_SEEDS[1])
    return finish(runs, "text", {"": model}, log, lambda: effective_rank(model.cpu(), texts[0]))


def train_clip(corpus, runs, minutes, further=(), start=None):
    """The image tower of the prior's CLIP, its text tower locked.  Returns its log, and how often a held-out image finds its name.

    further: corpora with more drawings of the same concepts, see `make_further` and `make_redrawn`, to learn from beside.
    start: the folder of a CLIP with the same text tower to go on from; otherwise the tower starts from nothing.
    """
    from transformers import AutoModel

    expect_no_checkpoint(runs, "clip", start)
    tokenizer, texts = texts_of(corpus, runs)
    torch.manual_seed(CLIP_SEEDS[0])
    if start is None:
        model, taught = clip.new_clip(tokenizer), AutoModel.from_pretrained(finished(runs, "text"), dtype=torch.float32)
        model.text_model.load_state_dict(taught.text_model.state_dict())
    else:
        model = AutoModel.from_pretrained(start, dtype=torch.float32)
        expect_same_text_tower(model, runs, "start", start)
    image_features, text_features = clip.clip_features(model)
    with torch.no_grad():
        pooled = torch.stack([model.text_model(input_ids=tokens).pooler_output for tokens in texts])
    if start is None:
        clip.whiten(model.text_projection, pooled.flatten(0, 1))
    model.vision_model.to(memory_format=torch.channels_last)  # convolutions take half of the time on a CPU
    trained = [model.vision_model, model.visual_projection, model.text_projection]
    loss = clip.Loss(image_features, model.text_projection, trained, model.logit_scale)
    peak = 2e-3 if start is None else 1e-3
    log = clip.train_on_images(loss, pooled, [corpus, *further], Path(runs) / "clip", minutes=minutes, peak=peak, seed=CLIP_SEEDS[1])
    return finish(runs, "clip", {"": model.cpu()}, log, lambda: zero_shot(image_features, text_features, tokenizer, corpus))


def train_judge(corpus, runs, minutes, further=()):
    """The judge: its image tower in 5/6 of the minutes, then its text tower.  further, and what is returned: as in `train_clip`."""
    tokenizer, texts = texts_of(corpus, runs)
    torch.manual_seed(JUDGE_SEEDS[0])
    image_tower, text_tower = clip.new_judge(tokenizer)
    image_features, text_features = clip.judge_features(image_tower, text_tower)
    names, out, count = torch.nn.Embedding(texts.shape[1], clip.WIDTH), Path(runs) / "judge", texts.shape[1]
    scale = torch.nn.Parameter(torch.tensor(clip.LOG_SCALE))
    image_tower.to(memory_format=torch.channels_last)
    loss = clip.Loss(image_features, names, [image_tower, names], scale)
    concepts = torch.arange(count)[None]
    log = clip.train_on_images(loss, concepts, [corpus, *further], out, minutes=minutes * 5 / 6, seed=JUDGE_SEEDS[1])
    loss = clip.TextLoss(text_features, names.weight.detach(), text_tower)
    said = clip.train_to_name(loss, texts, out / "text", minutes=minutes / 6, seed=JUDGE_SEEDS[1])
    log |= {f"text {name}": value for name, value in said.items()}
    parts = {"image_encoder": image_tower.cpu(), "text_encoder": text_tower.cpu()}
    return finish(runs, "judge", parts, log, lambda: zero_shot(image_features, text_features, tokenizer, corpus))


def texts_of(corpus, runs):
    """(tokenizer, `clip.captions` of the training split)."""
    tokenizer = tokenizer_of(corpus, runs)
    return tokenizer, clip.captions(tokenizer, data.load(corpus, "train")[1])


def load_judge_towers(folder):
    """(image tower, text tower) of a judge that a training saved."""
    from transformers import CLIPTextModelWithProjection, ResNetModel

    return (
        ResNetModel.from_pretrained(folder / "image_encoder", dtype=torch.float32),
        CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder", dtype=torch.float32),
    )


def train_unet(corpus, runs, minutes, start=None):
    """The denoiser, from the U-Net in the folder `start` if given.  Returns its log, and its loss on the held-out images."""
    from transformers import AutoModel

    expect_no_checkpoint(runs, "unet", start)
    tokenizer = tokenizer_of(corpus, runs)
    tower = prior.text_tower(AutoModel.from_pretrained(finished(runs, "text")))
    encoder = autoencoder(runs)
    model, scheduler, log = unet.train(encoder, tower, tokenizer, corpus, Path(runs) / "unet", minutes=minutes, start=start)
    return finish(runs, "unet", {"": model}, log, lambda: denoising_loss(model.cpu(), scheduler, encoder, tower, tokenizer, corpus))


def autoencoder(runs):
    """The autoencoder with its further trained decoder, if there is one; the encoder, and so the latents, are the same."""
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(latest(runs, "vae", "decoder"))


def zero_shot(image_features, text_features, tokenizer, corpus):
    """Held-out images against all labels, see `clip.zero_shot`."""
    x, frame = data.load(corpus, "heldout")
    labels = list(dict.fromkeys(data.load(corpus, "train")[1]["label"]))
    return clip.zero_shot(image_features, text_features, tokenizer, x, list(frame["label"]), labels)


@torch.no_grad()
def effective_rank(model, tokens):
    """{"effective rank"}: (Σσ)² / Σσ² of the centred pooled states of the labels, what a denoiser has to tell them apart by."""
    pooled = model.text_model(input_ids=tokens).pooler_output
    s = torch.linalg.svdvals(pooled - pooled.mean(0))
    return {"effective rank": (s.sum().square() / s.square().sum()).item()}


@torch.no_grad()
def denoising_loss(model, scheduler, encoder, tower, tokenizer, corpus, seed=0):
    """{"held-out loss"}: the training loss on each held-out image with its label, at noise levels spread evenly over the schedule."""
    x, frame = data.load(corpus, "heldout")
    latents = unet.cache_latents(encoder, x, copies=1)["latents"][:, 0]
    captions = unet.cache_captions(tower, tokenizer, frame)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(latents.shape, generator=generator)
    t = torch.linspace(0, scheduler.config.num_train_timesteps - 1, len(x)).long()[torch.randperm(len(x), generator=generator)]
    loss, text = unet.Loss(model, scheduler.alphas_cumprod).eval(), captions["states"][captions["of_image"][:, 0]]
    parts = zip(*(tensor.split(64) for tensor in (latents, noise, t, text)))
    return {"held-out loss": sum(len(part[0]) * loss(*part).item() for part in parts) / len(x)}


def export(runs, folder):
    """`folder`/prior and `folder`/judge from the finished trainings.  The prior keeps the recommended settings that it has."""
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import AutoModel, CLIPTokenizer

    runs, folder = Path(runs), Path(folder)
    denoiser, both_towers, judge = finished(runs, "unet"), finished(runs, "clip"), finished(runs, "judge")
    tokenizer = CLIPTokenizer.from_pretrained(runs / "tokenizer")
    clip_model = AutoModel.from_pretrained(both_towers)
    expect_same_text_tower(clip_model, runs, "out", both_towers)
    settings = folder / "prior" / "treg.json"
    recommended = json.loads(settings.read_text()) if settings.is_file() else RECOMMENDED
    folder.mkdir(parents=True, exist_ok=True)
    prior.save_prior(
        folder / "prior",
        autoencoder(runs),
        UNet2DConditionModel.from_pretrained(denoiser),
        clip_model,
        tokenizer,
        DDIMScheduler(**unet.SCHEDULE),
        recommended,
    )
    prior.save_judge(folder / "judge", *load_judge_towers(judge), tokenizer)
    return {name: f"{sum(file.stat().st_size for file in (folder / name).rglob('*')) / 2**20:.1f} MiB" for name in ("prior", "judge")}


def unpack(folder, runs):
    """The inverse of `export`, for trainings that go on from what ships: everything but the U-Net, which is a `start`.

    Returns the names of the trainings that `runs` then holds as finished.
    """
    from diffusers import AutoencoderKL
    from transformers import AutoModel

    folder, runs = Path(folder), Path(runs)
    if lacking := [name for name in ("prior", "judge") if not (folder / name).is_dir()]:
        raise FileNotFoundError(f"data: no {lacking[0]} in {str(folder)!r}, expected a folder with prior/ and judge/")
    with replacing(runs / "tokenizer") as beside:
        shutil.copytree(folder / "prior" / "tokenizer", beside, dirs_exist_ok=True)
    both_towers = AutoModel.from_pretrained(folder / "prior" / "clip", dtype=torch.float32)
    models = {
        "vae": {"": AutoencoderKL.from_pretrained(folder / "prior" / "vae", torch_dtype=torch.float32)},
        "text": {"": both_towers},
        "clip": {"": both_towers},
        "judge": dict(zip(("image_encoder", "text_encoder"), load_judge_towers(folder / "judge"))),
    }
    for name, parts in models.items():
        finish(runs, name, parts, {}, dict)
    return list(models)


def finished(runs, name):
    """The folder of a finished training."""
    folder = Path(runs) / name / "final"
    if not folder.is_dir():
        raise FileNotFoundError(f"out: no {str(folder)!r}; expected a finished training there, run `treg-edu train {name}` first")
    return folder


def expect_no_checkpoint(runs, name, start):
    """A training either resumes or begins from `start`."""
    if start is not None and (Path(runs) / name / "checkpoint.safetensors").exists():
        raise ValueError(f"start: got {str(start)!r}, but {Path(runs) / name} holds a checkpoint to resume; expected one of them, remove the other")


def expect_same_text_tower(model, runs, argument, folder):
    """The U-Net reads the states of the text tower that `train_text` finished, so no CLIP may ship with another.  Equal as float16, as shipped."""
    from transformers import AutoModel

    taught = AutoModel.from_pretrained(finished(runs, "text"), dtype=torch.float16).text_model.state_dict()
    ours = model.text_model.state_dict()
    if taught.keys() != ours.keys() or not all(torch.equal(ours[name].half(), value) for name, value in taught.items()):
        raise ValueError(f"{argument}: the CLIP in {str(folder)!r} has another text tower, expected the one in {str(finished(runs, 'text'))!r}")


def latest(runs, name, further):
    """The finished training `further`, which went on from `name`, or `name` where there was none."""
    return finished(runs, further if (Path(runs) / further / "final").is_dir() else name)


def finish(runs, name, models, log, figures):
    """Save the models as `runs`/`name`/final.  Returns the log and the held-out figures; {} in all processes but the first.

    models: {subfolder: model}.  figures: a function, called once the models are safe.
    """
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return {}
    with replacing(Path(runs) / name / "final") as beside:
        for subfolder, model in models.items():
            model.save_pretrained(beside / subfolder)
    return log | figures()
