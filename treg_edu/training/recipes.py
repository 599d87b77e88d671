"""One function a training: what it is fed with, where its result goes, and its figures on the held-out images.

    runs/NAME/checkpoint.safetensors   resumed from, if there
    runs/NAME/final                    what the next training, and `export`, read
    runs/tokenizer                     shared by all

Order: `make_phrases`, `make_reconstructed` with an earlier prior, `train_vae`, `train_text`; `train_unet`, `train_clip`, `train_judge`, and
where wanted `train_decoder`, which leaves the latents as the U-Net knows them, or `train_robust`, which moves them a little;
`train_pixel` needs `train_text` alone; `export`.
Under `accelerate launch` or `torchrun` every process trains and the first one alone writes; the others return {}.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from .. import checks, files, metrics
from ..priors import load_prior
from ..priors.loading import RECOMMENDED as RECOMMENDED_FILE
from ..priors.model_files import readable, weights, without_reports
from ..priors.pixel_diffusion import to_patches
from . import clip, data, lite, loop, own, pixel, prior, robust, spoilt, unet, vae
from . import corpus as corpora
from . import phrases as phrase_books
from .prior import replacing

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RECOMMENDED",
    "autoencoder",
    "export",
    "factored",
    "latest",
    "load_judge_towers",
    "make_corpus",
    "make_further",
    "make_own",
    "make_phrases",
    "make_reconstructed",
    "make_redrawn",
    "make_tokenizer",
    "train_clip",
    "train_decoder",
    "train_judge",
    "train_pixel",
    "train_robust",
    "train_text",
    "train_unet",
    "train_vae",
    "unpack",
]

Figures = dict[str, Any]
"""What `treg-edu train` prints: numbers, lists of them, or texts, by name."""

RECOMMENDED = {"treg": {"steps": 25, "guidance_scale": 4.0, "null_prompt": "", "every": 2, "until": 1.0}}  # for a prior that has none yet
CLIP_TOWER, JUDGE_TOWER = (0, 96), (1, 112)  # which EfficientNet-Lite, and the side of what it sees
CLIP_SEEDS, JUDGE_SEEDS = (0, 0), (1234, 77)  # of the first weights, of the batches


def make_corpus(folder: str | Path, path: str | Path) -> Figures:
    """Render the corpus.  Returns how many images there are, of how many labels, and how many of them are held out."""
    return saved_corpus(corpora.build(folder), path)


def make_own(folder: str | Path, path: str | Path, texts: str | None = None) -> Figures:
    """A corpus of the reader's own pictures, see `own.build`.  Returns the same as `make_corpus`, and how many files could not be read."""
    frame = own.build(folder, texts)
    return saved_corpus(frame, path) | {"files that could not be read": len(frame.attrs["unreadable"])}


def make_further(folder: str | Path, path: str | Path, corpus: str | Path) -> Figures:
    """Render the concepts of `corpus` in further styles, none of them held out.  Returns the same as `make_corpus`."""
    return saved_corpus(corpora.build_further(folder, data.read_corpus(corpus)), path)


def make_redrawn(folder: str | Path, path: str | Path, corpus: str | Path) -> Figures:
    """Redraw the training pictures of `corpus`.  Returns the same as `make_corpus`."""
    return saved_corpus(corpora.build_redrawn(folder, data.read_corpus(corpus)), path)


def saved_corpus(frame: "pd.DataFrame", path: str | Path) -> Figures:
    corpora.save(frame, path)
    return {"images": len(frame), "labels": frame["label"].nunique(), "held out": int((frame["split"] == "heldout").sum())}


def make_phrases(folder: str | Path, path: str | Path, corpus: str | Path) -> Figures:
    """English phrases and which concepts of `corpus` they are near.

    Returns how many there are, and of how many concepts there are some, see `phrases_of`.
    """
    frame = data.read_corpus(corpus)
    labels, found = list(dict.fromkeys(frame["label"])), phrase_books.build(folder, frame)
    with files.written_beside(path) as beside:
        found.to_parquet(beside)
    return {"phrases": len(found), "labels": len(phrases_of(found, labels)), "of": len(labels)}


def read_phrases(path: str | Path | None, labels: list[str]) -> "pd.DataFrame | None":
    """What `make_phrases` wrote for a corpus of these labels; None for no file."""
    if path is None:
        return None
    found = data.read_parquet("phrases", path, "phrases", ("text", "concepts", "shares"))
    most = max(map(max, found["concepts"]), default=0)
    expected = f"numbers below {len(labels)}, that of the corpus's labels"
    checks.expect(most < len(labels), "phrases", f"{str(path)!r} with concept {most}", expected)
    return found


def phrases_of(found: "pd.DataFrame", labels: list[str]) -> dict[str, list[str]]:
    """{label: the phrases whose share of it is at least a half}."""
    plain = found[found["shares"].str[0] >= 0.5]
    return {labels[first]: list(texts) for first, texts in plain.groupby(plain["concepts"].str[0])["text"]}


def make_tokenizer(frame: "pd.DataFrame", runs: str | Path, phrases: "pd.DataFrame | None" = None) -> Any:
    """The tokenizer in `runs`, learnt from the training captions, and the phrases if any, the first time."""
    folder = Path(runs) / "tokenizer"
    if loop.process().is_main_process and not folder.is_dir():
        with replacing(folder) as beside:
            clip.train_tokenizer(frame, [] if phrases is None else phrases["text"]).save_pretrained(beside)
    loop.process().wait_for_everyone()
    return tokenizer_of(runs)


def tokenizer_of(runs: str | Path) -> Any:
    """The tokenizer that `train_text` learnt."""
    return read_tokenizer("out", made_by("text", Path(runs) / "tokenizer"))


def read_tokenizer(name: str, folder: Path) -> Any:
    """A tokenizer from its files.  name: the argument that led to them."""
    from transformers import CLIPTokenizer

    with readable(name, folder):
        return CLIPTokenizer.from_pretrained(folder)


def train_vae(corpus: str | Path, runs: str | Path, minutes: float) -> Figures:
    """The autoencoder.  Returns its log, and PSNR and latent statistics of the held-out images."""
    model, log = vae.train(corpus, Path(runs) / "vae", minutes=minutes)
    return finish(runs, "vae", {"": model}, log, lambda: vae.evaluate(model.cpu(), data.load(corpus, "heldout")[0]))


def train_decoder(corpus: str | Path, runs: str | Path, minutes: float) -> Figures:
    """The autoencoder's decoder, further.  Returns the same as `train_vae`."""
    from diffusers import AutoencoderKL

    model = weights(AutoencoderKL, "out", finished(runs, "vae"))
    model, log = vae.train_decoder(model, corpus, Path(runs) / "decoder", minutes=minutes)
    return finish(runs, "decoder", {"": model}, log, lambda: vae.evaluate(model.cpu(), data.load(corpus, "heldout")[0]))


def train_robust(corpus: str | Path, runs: str | Path, minutes: float, start: str | Path) -> Figures:
    """The autoencoder of the prior in `start`, further, on corrupted pictures as well.

    Returns its log, and `robust.evaluate` on the tuning pictures.
    """
    from diffusers import AutoencoderKL

    folder = Path(start) / "vae"
    checks.expect(folder.is_dir(), "start", f"{str(start)!r}, without vae/", "the folder of a prior", checks.MissingFileError)
    model, earlier = (weights(AutoencoderKL, "start", start, "vae", torch_dtype=torch.float32) for _ in range(2))
    model, log = robust.train(model, earlier, corpus, Path(runs) / "robust", minutes=minutes)
    return finish(runs, "robust", {"": model}, log, lambda: robust.evaluate(model.cpu(), earlier, data.load(corpus, "tuning")[0]))


def train_text(
    corpus: str | Path, runs: str | Path, minutes: float, start: str | Path | None = None, phrases: str | Path | None = None
) -> Figures:
    """The text tower of the prior's CLIP.  Returns its log, and how many of the directions that its labels' states span are in use.

    start: a prior whose tower to go on from, and whose states a U-Net knows; they change as little as the new vocabulary allows.
    phrases: a file of `make_phrases`, read beside the captions.
    """
    from transformers import CLIPTextModel

    there = start is None or (Path(start) / "text_encoder").is_dir()
    checks.expect(there, "start", f"{str(start)!r}, without text_encoder/", "the folder of a prior", checks.MissingFileError)
    frame = data.load(corpus, "train")[1]
    labels, captions = list(dict.fromkeys(frame["label"])), clip.distinct_captions(frame)
    book = read_phrases(phrases, labels)
    tokenizer, earlier = make_tokenizer(frame, runs, book), None
    torch.manual_seed(CLIP_SEEDS[0])
    model = clip.new_text_tower(tokenizer)
    if start is not None:
        theirs = weights(CLIPTextModel, "start", start, "text_encoder", dtype=torch.float32).eval()
        their_tokenizer = read_tokenizer("start", Path(start) / "tokenizer")
        with readable("start", Path(start) / "text_encoder"):
            clip.take_weights(model, tokenizer, theirs, their_tokenizer)
        earlier = clip.said_by(theirs, their_tokenizer, captions[0])
    loss = clip.ReadingLoss(model, torch.nn.Embedding(len(labels), clip.WIDTH))
    log = clip.train_to_read(loss, tokenizer, captions, book, earlier, Path(runs) / "text", minutes=minutes, seed=CLIP_SEEDS[1])
    return finish(runs, "text", {"": model}, log, lambda: effective_rank(model.cpu(), clip.tokenise(tokenizer, labels)))


def train_clip(
    corpus: str | Path, runs: str | Path, minutes: float, photographs: str | Path | None = None, further: Sequence[str | Path] = ()
) -> Figures:
    """The image tower of the prior's CLIP, its text tower locked.  Returns its log, and how often a held-out image finds its name.

    photographs: a folder with what `lite.image_tower` begins from; otherwise it begins from nothing.
    further: corpora with more drawings of the same concepts, see `make_further` and `make_redrawn`, to learn from beside.
    """
    tokenizer, texts = texts_of(corpus, runs)
    torch.manual_seed(CLIP_SEEDS[0])
    model = clip.new_clip(tokenizer, lite.image_tower(photographs, *CLIP_TOWER)).eval()
    model.text_model.load_state_dict(taught_text_tower(runs).state_dict())
    image_features, text_features = clip.clip_features(model)
    with torch.no_grad():
        pooled = torch.stack([model.text_model(input_ids=tokens).pooler_output for tokens in texts])
        clip.whiten(model.text_projection, pooled.flatten(0, 1))
        if photographs:
            labels = F.normalize(model.text_projection(pooled[0]), dim=1)
            nearest = clip.least_squares(clip.image_features(model.vision_model), corpus, labels)
            model.visual_projection.weight.copy_(nearest)
    trained = [model.vision_model, model.visual_projection, model.text_projection]
    loss = clip.Loss(image_features, model.text_projection, trained, model.logit_scale, in_evaluation=trained[:1] if photographs else ())
    log = clip.train_on_images(loss, pooled, [corpus, *further], Path(runs) / "clip", minutes=minutes, seed=CLIP_SEEDS[1])
    return finish(runs, "clip", {"": model.cpu()}, log, lambda: zero_shot(image_features, text_features, tokenizer, corpus))


def train_judge(
    corpus: str | Path, runs: str | Path, minutes: float, photographs: str | Path | None = None, further: Sequence[str | Path] = ()
) -> Figures:
    """The judge: its image tower in 9/10 of the minutes, then its text tower.

    photographs, further, and what is returned: as in `train_clip`.
    """
    tokenizer, texts = texts_of(corpus, runs)
    torch.manual_seed(JUDGE_SEEDS[0])
    image_tower = lite.image_tower(photographs, *JUDGE_TOWER).eval()
    text_tower = clip.new_judge_text(tokenizer, image_tower.config.hidden_dim)
    image_features, text_features = clip.judge_features(image_tower, text_tower)
    concepts, out = torch.arange(texts.shape[1]), Path(runs) / "judge"
    count, width = len(concepts), image_tower.config.hidden_dim
    names = factored(clip.least_squares(image_features, corpus, torch.eye(count)) if photographs else torch.randn(count, width))
    scale, in_evaluation = torch.nn.Parameter(torch.tensor(clip.LOG_SCALE)), [image_tower] if photographs else ()
    loss = clip.Loss(image_features, names, [image_tower, names], scale, in_evaluation)
    log = clip.train_on_images(loss, concepts[None], [corpus, *further], out, minutes=minutes * 9 / 10, seed=JUDGE_SEEDS[1])
    naming = clip.TextLoss(text_features, names.cpu()(concepts).detach(), text_tower)
    said = clip.train_to_name(naming, texts, out / "text", minutes=minutes / 10, seed=JUDGE_SEEDS[1])
    log |= {f"text {name}": value for name, value in said.items()}
    parts = {"image_encoder": image_tower.cpu(), "text_encoder": text_tower.cpu()}
    return finish(runs, "judge", parts, log, lambda: zero_shot(image_features, text_features, tokenizer, corpus))


def factored(matrix: torch.Tensor) -> torch.nn.Sequential:
    """A module that gives, by their numbers, the rows of a matrix (C, d) as a text tower of width k = clip.WIDTH can say them.

    U_k S_k V_kᵀ, the nearest matrix of rank k  (Eckart & Young 1936), up to a factor.
    """
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    vectors, directions = u[:, : clip.WIDTH] * s[: clip.WIDTH], vh[: clip.WIDTH].T
    names = torch.nn.Embedding(*vectors.shape), torch.nn.Linear(directions.shape[1], directions.shape[0], bias=False)
    names[0].weight.data, names[1].weight.data = vectors / vectors.std(), directions.contiguous()
    return torch.nn.Sequential(*names)


def texts_of(corpus: str | Path, runs: str | Path) -> tuple[Any, torch.Tensor]:
    """(tokenizer, `clip.captions` of the training split)."""
    tokenizer = tokenizer_of(runs)
    return tokenizer, clip.captions(tokenizer, data.load(corpus, "train")[1])


def taught_text_tower(runs: str | Path) -> Any:
    """The text tower that `train_text` finished."""
    from transformers import CLIPTextModel

    return weights(CLIPTextModel, "out", finished(runs, "text"), dtype=torch.float32).eval()


def load_judge_towers(name: str, folder: Path) -> tuple[Any, Any]:
    """(image tower, text tower) of a judge that a training saved.  name: the argument that led to it."""
    from transformers import CLIPTextModelWithProjection, EfficientNetModel

    return (
        weights(EfficientNetModel, name, folder, "image_encoder", dtype=torch.float32),
        weights(CLIPTextModelWithProjection, name, folder, "text_encoder", dtype=torch.float32),
    )


def make_reconstructed(path: str | Path, corpus: str | Path, start: str | Path) -> Figures:
    """The training pictures of `corpus` as TReg reconstructs them under the null text, with the prior in `start`.

    Returns how many there are, and their mean PSNR.
    """
    x, frame = data.load(corpus, "train")
    x_hat = spoilt.reconstruct(load_prior(start), x)
    frame["image"] = [{"bytes": data.png_of(picture), "path": f"{i}.png"} for i, picture in enumerate(x_hat)]
    corpora.save(frame[list(data.CORPUS_COLUMNS)], path)
    return {"images": len(frame), "psnr": metrics.psnr(x_hat, x).mean().item()}


def train_unet(
    corpus: str | Path,
    runs: str | Path,
    minutes: float,
    start: str | Path | None = None,
    phrases: str | Path | None = None,
    share: float = unet.SPOILT,
    reconstructed: str | Path | None = None,
) -> Figures:
    """The denoiser.  Returns its log, and its loss on the held-out images.

    start: the folder of a U-Net to begin from; a run that resumes goes on from its checkpoint.
    phrases: a file of `make_phrases`, some of which caption images too.
    share: of spoilt pictures in a batch.  reconstructed: a file of `make_reconstructed`, some of them.
    """
    tokenizer, tower, encoder, said = tokenizer_of(runs), taught_text_tower(runs), autoencoder(runs), said_of(corpus, phrases)
    model, scheduler, log = unet.train(
        encoder,
        tower,
        tokenizer,
        corpus,
        Path(runs) / "unet",
        minutes=minutes,
        start=start,
        phrases=said,
        share=share,
        reconstructed=reconstructed,
    )

    def figures() -> Figures:
        x, frame = data.load(corpus, "heldout")
        return denoising_loss(model.cpu(), scheduler, robust.latents_of(encoder, x), unet.cache_captions(tower, tokenizer, frame))

    return finish(runs, "unet", {"": model}, log, figures)


def train_pixel(
    corpus: str | Path, runs: str | Path, minutes: float, start: str | Path | None = None, phrases: str | Path | None = None
) -> Figures:
    """The denoiser of the pixel-space prior.  Returns its log, and its loss on the held-out images.

    start, phrases: as in `train_unet`; of a U-Net of another shape, such as that of the latents, what fits is taken.
    """
    tokenizer, tower, said = tokenizer_of(runs), taught_text_tower(runs), said_of(corpus, phrases)
    model, scheduler, log = pixel.train(tower, tokenizer, corpus, Path(runs) / "pixel", minutes=minutes, start=start, phrases=said)

    def figures() -> Figures:
        x, frame = data.load(corpus, "heldout")
        return denoising_loss(model.cpu(), scheduler, to_patches(x, pixel.PATCH_SIZE), unet.cache_captions(tower, tokenizer, frame))

    return finish(runs, "pixel", {"": model}, log, figures)


def said_of(corpus: str | Path, phrases: str | Path | None) -> dict[str, list[str]] | None:
    """`phrases_of` the labels of a corpus; None for no file."""
    labels = list(dict.fromkeys(data.load(corpus, "train")[1]["label"]))
    found = read_phrases(phrases, labels)
    return None if found is None else phrases_of(found, labels)


def autoencoder(runs: str | Path) -> Any:
    """The autoencoder that was trained last: by `train_robust`, by `train_decoder`, or by `train_vae`."""
    from diffusers import AutoencoderKL

    return weights(AutoencoderKL, "out", latest(runs, "vae", "decoder", "robust"))


def zero_shot(image_features: clip.Features, text_features: clip.Features, tokenizer: Any, corpus: str | Path) -> Figures:
    """Held-out images against all labels, see `clip.zero_shot`.  A text that one picture alone has may be of a held-out one."""
    x, frame = data.load(corpus, "heldout")
    labels = list(dict.fromkeys([*data.load(corpus, "train")[1]["label"], *frame["label"]]))
    return clip.zero_shot(image_features, text_features, tokenizer, x, list(frame["label"]), labels)


@torch.no_grad()
def effective_rank(model: Any, tokens: torch.Tensor) -> Figures:
    """{"effective rank"}: (Σσ)² / Σσ² of the centred pooled states of the labels, what a denoiser has to tell them apart by."""
    pooled = model(input_ids=tokens).pooler_output
    s = torch.linalg.svdvals(pooled - pooled.mean(0))
    return {"effective rank": (s.sum().square() / s.square().sum()).item()}


@torch.no_grad()
def denoising_loss(model: Any, scheduler: Any, latents: torch.Tensor, captions: Mapping[str, torch.Tensor], seed: int = 0) -> Figures:
    """{"held-out loss"}: the training loss on each held-out image with its label, at noise levels spread evenly over the schedule.

    latents: (N, k, h, w), of the images.  captions: theirs, of `unet.cache_captions`.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(latents.shape, generator=generator)
    t = torch.linspace(0, scheduler.config.num_train_timesteps - 1, len(latents)).long()[torch.randperm(len(latents), generator=generator)]
    loss, text = unet.Loss(model, scheduler.alphas_cumprod).eval(), captions["states"][captions["of_image"][:, 0]]
    parts = zip(*(tensor.split(64) for tensor in (latents, noise, t, text)))
    return {"held-out loss": sum(len(part[0]) * loss(*part).item() for part in parts) / len(latents)}


def export(runs: str | Path, folder: str | Path) -> Figures:
    """`folder`/prior and `folder`/judge from the finished trainings, and `folder`/pixel where `train_pixel` finished.

    Where `train_pixel` did and `train_unet` did not, `folder`/pixel alone.  Each prior keeps the recommended settings that it has.
    """
    runs, folder = Path(runs), Path(folder)
    with_pixel = (runs / "pixel" / "final").is_dir()
    if with_pixel:
        export_pixel(runs, folder)
    alone = with_pixel and not (runs / "unet" / "final").is_dir()
    if not alone:
        export_prior(runs, folder)
    written = ["pixel"] * with_pixel + ["prior", "judge"] * (not alone)
    return {name: f"{sum(file.stat().st_size for file in (folder / name).rglob('*')) / 2**20:.1f} MiB" for name in written}


def export_pixel(runs: Path, folder: Path) -> None:
    """`folder`/pixel from the finished trainings."""
    from diffusers import DDIMScheduler, UNet2DConditionModel

    model, target = weights(UNet2DConditionModel, "out", finished(runs, "pixel")), folder / "pixel"
    scheduler = DDIMScheduler(**pixel.SCHEDULE)
    parts = model, taught_text_tower(runs), tokenizer_of(runs), scheduler, recommended_of(target), pixel.PATCH_SIZE
    prior.save_pixel_prior(target, *parts)


def recommended_of(folder: Path) -> dict[str, Any]:
    """The recommended settings that a prior has, or those of one that has none yet."""
    settings = folder / RECOMMENDED_FILE
    return files.read_json(settings) if settings.is_file() else RECOMMENDED


def export_prior(runs: Path, folder: Path) -> None:
    """`folder`/prior and `folder`/judge from the finished trainings."""
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import AutoModel

    denoiser, both_towers, judge = finished(runs, "unet"), finished(runs, "clip"), finished(runs, "judge")
    tokenizer = read_tokenizer("out", runs / "tokenizer")
    clip_model = weights(AutoModel, "out", both_towers)
    expect_same_text_tower(clip_model, runs)
    folder.mkdir(parents=True, exist_ok=True)
    prior.save_prior(
        folder / "prior",
        autoencoder(runs),
        weights(UNet2DConditionModel, "out", denoiser),
        clip_model,
        tokenizer,
        DDIMScheduler(**unet.SCHEDULE),
        recommended_of(folder / "prior"),
    )
    prior.save_judge(folder / "judge", *load_judge_towers("out", judge), tokenizer)


def unpack(folder: str | Path, runs: str | Path) -> list[str]:
    """The inverse of `export`, for trainings that go on from what ships: everything but the U-Net, which is a `start`.

    Returns the names of the trainings that `runs` then holds as finished.
    """
    from diffusers import AutoencoderKL
    from transformers import AutoModel, CLIPTextModel

    folder, runs = Path(folder), Path(runs)
    for name in ("prior", "judge"):
        came = f"{str(folder)!r}, without {name}/"
        checks.expect((folder / name).is_dir(), "data", came, "a folder with prior/ and judge/", checks.MissingFileError)
    with without_reports():
        both_towers = weights(AutoModel, "data", folder / "prior", "clip", dtype=torch.float32)
        models = {
            "vae": {"": weights(AutoencoderKL, "data", folder / "prior", "vae", torch_dtype=torch.float32)},
            "text": {"": weights(CLIPTextModel, "data", folder / "prior", "text_encoder", dtype=torch.float32)},
            "clip": {"": both_towers},
            "judge": dict(zip(("image_encoder", "text_encoder"), load_judge_towers("data", folder / "judge"))),
        }
    with replacing(runs / "tokenizer") as beside:
        shutil.copytree(folder / "prior" / "tokenizer", beside, dirs_exist_ok=True)
    for name, parts in models.items():
        finish(runs, name, parts, {}, dict)
    return list(models)


def finished(runs: str | Path, name: str) -> Path:
    """The folder of a finished training."""
    return made_by(name, Path(runs) / name / "final")


def made_by(command: str, folder: Path) -> Path:
    """`folder`, which `treg-edu train COMMAND` makes."""
    came, expected = f"no {str(folder)!r}", f"one that `treg-edu train {command}` made; run it first"
    checks.expect(folder.is_dir(), "out", came, expected, checks.MissingFileError)
    return folder


def expect_same_text_tower(model: Any, runs: str | Path) -> None:
    """The U-Net reads the states of the text tower that `train_text` finished, so no CLIP may ship with another.

    Both are compared as float16, which is what ships.
    """
    taught, ours = taught_text_tower(runs).half().state_dict(), model.text_model.state_dict()
    same = taught.keys() == ours.keys() and all(torch.equal(ours[name].half(), value) for name, value in taught.items())
    came, expected = f"a CLIP in {str(finished(runs, 'clip'))!r} with another text tower", f"the one in {str(finished(runs, 'text'))!r}"
    checks.expect(same, "out", came, expected)


def latest(runs: str | Path, name: str, *further: str) -> Path:
    """The last finished training of `further`, each of which went on from those before it, or `name` where there was none."""
    done = [each for each in further if (Path(runs) / each / "final").is_dir()]
    return finished(runs, done[-1] if done else name)


def finish(runs: str | Path, name: str, models: Mapping[str, Any], log: Figures, figures: Callable[[], Figures]) -> Figures:
    """Save the models as `runs`/`name`/final.  Returns the log and the held-out figures; {} in all processes but the first.

    models: {subfolder: model}.  figures: a function, called once the models are safe.
    """
    if not loop.process().is_main_process:
        return {}
    with replacing(Path(runs) / name / "final") as beside:
        for subfolder, model in models.items():
            model.save_pretrained(beside / subfolder)
    return log | figures()
