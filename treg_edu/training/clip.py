"""Two CLIPs: the prior's, and the judge that grades what the first helped to make.

Both are trained by InfoNCE (Radford et al. 2021), one tower after the other. Trained together from nothing on so few images, the text tower
learnt colours and little else: 99 % of the variance of its states lay in ten directions, and no U-Net can draw a fox from the states of a
potato. So the prior's text tower first learns to tell the texts of one concept from those of all others, and its image tower then learns to
find them, the text locked. The judge goes the other way round: its image tower learns to tell concepts, its text tower to name them.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from .. import checks, metrics
from . import data, loop

__all__ = [
    "CAPTIONS",
    "TOKENS",
    "WIDTH",
    "Features",
    "Loss",
    "ReadingLoss",
    "TextLoss",
    "captions",
    "clip_features",
    "distinct_captions",
    "image_features",
    "judge_features",
    "least_squares",
    "lessons",
    "mix",
    "new_clip",
    "new_judge_text",
    "new_text_tower",
    "pictures",
    "read",
    "said_by",
    "shares",
    "take_weights",
    "text_config",
    "tokenise",
    "told",
    "train_on_images",
    "train_to_name",
    "train_to_read",
    "train_tokenizer",
    "whiten",
    "zero_shot",
]

TOKENS = 32
WIDTH = 192  # of text, of image features, of cross-attention: adaptive negation needs them equal
VOCABULARY = 6000
OFTEN = 5  # a caption counts for this many phrases when the vocabulary is learnt
CAPTIONS = 16  # draws of one caption for each concept
LOG_SCALE, SMOOTHING = 3.4, 0.1  # a temperature of 1/30 to begin with: towers that know something already need not begin softly
BATCH = 64  # images, captions, and as many phrases again
TURNED = 1 / 3  # share of images with their colours turned

Features = Callable[[torch.Tensor], torch.Tensor]


def train_tokenizer(frame: pd.DataFrame, phrases: Iterable[str] = ()) -> Any:
    """A `CLIPTokenizer` whose byte-pair vocabulary is learnt from the captions, and from phrases."""
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer
    from transformers import CLIPTokenizer

    backend = CLIPTokenizer().backend_tokenizer
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    single_characters = " ".join(map(chr, range(33, 127)))
    captions = list(data.corpus_text(frame))
    backend.train_from_iterator([single_characters, *OFTEN * captions, *phrases], trainer)
    model = json.loads(backend.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=TOKENS)


def text_config(tokenizer: Any, layers: int, features: int = WIDTH) -> dict[str, Any]:
    return dict(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        projection_dim=features,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def new_clip(tokenizer: Any, image_tower: Any) -> Any:
    """An image tower and the text transformer of OpenAI's CLIP, joined by projections."""
    from transformers import CLIPTextConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    text = CLIPTextConfig(**text_config(tokenizer, layers=3))
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        image_tower.config, text, projection_dim=WIDTH, logit_scale_init_value=LOG_SCALE
    )
    return VisionTextDualEncoderModel(config, vision_model=image_tower)


def new_text_tower(tokenizer: Any) -> Any:
    """The text tower of `new_clip` alone."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**text_config(tokenizer, layers=3)))


def new_judge_text(tokenizer: Any, features: int) -> Any:
    """The judge's text tower: a smaller text transformer, with as many `features` as its image tower has."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    return CLIPTextModelWithProjection(CLIPTextConfig(**text_config(tokenizer, layers=2, features=features)))


class Loss(nn.Module):
    """InfoNCE with all concepts as keys: cross-entropy of the cosines of queries and keys, times a learnt scale.

    queries: (B, …), what `query_features` takes.  keys: (C, …), what `key_features` takes, one for each concept.
    target: (B, C), each query's shares of the concepts.  trained: the modules to train.  log_scale: the scale's logarithm, trained as well.
    in_evaluation: those of them whose batch normalisation keeps the statistics that it came with.
    """

    def __init__(
        self,
        query_features: Features,
        key_features: Features,
        trained: Iterable[nn.Module],
        log_scale: nn.Parameter,
        in_evaluation: Iterable[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.query_features, self.key_features, self.trained = query_features, key_features, nn.ModuleList(trained)
        self.log_scale, self.in_evaluation = log_scale, list(in_evaluation)

    def train(self, mode: bool = True) -> "Loss":
        super().train(mode)
        for module in self.in_evaluation:
            module.eval()
        return self

    def forward(self, queries: torch.Tensor, keys: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        query = F.normalize(self.query_features(queries).float(), dim=-1)
        key = F.normalize(self.key_features(keys).float(), dim=-1)
        return F.cross_entropy(self.log_scale.exp().clamp(max=100) * query @ key.T, target, label_smoothing=SMOOTHING)


class ReadingLoss(nn.Module):
    """InfoNCE of the texts' features with `names`, and the distance to what an earlier tower says of them, where that is known.

    L = ½ CE(s cos(P h_end, n), target) + Σ known ‖h − h'‖² / (d Σ known),   h the hidden states, h' the earlier ones, s and P learnt

    tokens: (B, L).  target: (B, C), each text's shares of the concepts.  earlier: hidden states (B, L, d).  known: (B, L), 0 or 1.
    """

    def __init__(self, text_tower: Any, names: nn.Embedding) -> None:
        super().__init__()
        self.text_tower, self.names = text_tower, names
        self.projection = nn.Linear(text_tower.config.hidden_size, names.embedding_dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(LOG_SCALE))

    def forward(self, tokens: torch.Tensor, target: torch.Tensor, earlier: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        states = self.text_tower(input_ids=tokens)
        query = F.normalize(self.projection(states.pooler_output).float(), dim=-1)
        agreement = F.cross_entropy(self.log_scale.exp().clamp(max=100) * query @ F.normalize(self.names.weight, dim=-1).T, target)
        drift = (states.last_hidden_state.float() - earlier).square().mean(-1)
        return agreement / 2 + (known * drift).sum() / known.sum().clamp(min=1)


class TextLoss(nn.Module):
    """1 − cos of the feature of each caption and the vector that the locked image tower learnt for its concept  (Zhai et al. 2022).

    tokens: (C, L), a caption of each concept.  names: (C, p).  To be nearest to one's own name is not enough here: an image and its text,
    each nearest to the same name, need not be near each other.
    """

    names: torch.Tensor

    def __init__(self, text_features: Features, names: torch.Tensor, text_tower: nn.Module) -> None:
        super().__init__()
        self.text_features, self.text_tower = text_features, text_tower
        self.register_buffer("names", names, persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return (1 - F.cosine_similarity(self.text_features(tokens).float(), self.names)).mean()


def image_features(tower: Any) -> Features:
    """The pooled features of x in [0, 1], (B, 3, H, W) → (B, d), at the side that the tower wants, as a function."""
    side = tower.config.image_size

    def features(x: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        return tower(2 * x - 1).pooler_output

    return features


def clip_features(clip: Any) -> tuple[Features, Features]:
    """(image features of x in [0, 1], text features of tokens), as functions."""
    pooled = image_features(clip.vision_model)
    return (
        lambda x: clip.visual_projection(pooled(x)),
        lambda tokens: clip.text_projection(clip.text_model(input_ids=tokens).pooler_output),
    )


def judge_features(image_tower: Any, text_tower: Any) -> tuple[Features, Features]:
    """The same for the judge."""
    return image_features(image_tower), lambda tokens: text_tower(input_ids=tokens).text_embeds


@torch.no_grad()
def least_squares(features: Features, corpus: str | Path, names: torch.Tensor, ridge: float = 1.0) -> torch.Tensor:
    """The linear map W, (p, d), with which the features of the training images, F (N, d), come nearest to their names, T (N, p).

    W = Tᵀ F (Fᵀ F + ridge · tr(Fᵀ F) / d · I)⁻¹, scaled to entries as large as those of a new layer: only cosines with it are asked for.
    features: a function, (n, 3, 64, 64) → (n, d).  names: (C, p).
    """
    x, _, concepts = pictures([corpus])
    f = torch.cat([features(part) for part in x.split(64)])
    gram = f.T @ f
    w = torch.linalg.solve(gram + ridge * gram.trace() / len(gram) * torch.eye(len(gram)), f.T @ (concepts @ names)).T
    return w / (w.std() * w.shape[1] ** 0.5)


def whiten(text_projection: nn.Linear, pooled: torch.Tensor) -> None:
    """Set a projection to (1/N Σ p pᵀ)^(−1/2), so that the features of N pooled states (N, d) begin in all directions."""
    values, vectors = torch.linalg.eigh(pooled.T @ pooled / len(pooled))
    text_projection.weight.data.copy_(vectors @ torch.diag(values.clamp(min=1e-4 * values.max()).rsqrt()) @ vectors.T)


def captions(tokenizer: Any, frame: pd.DataFrame, seed: int = 0) -> torch.Tensor:
    """One caption of every label, drawn CAPTIONS times, the label alone first, as tokens (CAPTIONS, C, L)."""
    generator = torch.Generator().manual_seed(seed)
    members = [group for _, group in frame.groupby("label", sort=False)]

    def drawn() -> list[str]:
        return [data.caption(group.iloc[int(torch.randint(len(group), (), generator=generator))], generator) for group in members]

    texts = [group["label"].iloc[0] for group in members] + [text for _ in range(CAPTIONS - 1) for text in drawn()]
    return tokenise(tokenizer, texts).unflatten(0, (CAPTIONS, -1))


def train_on_images(
    loss: nn.Module,
    keys: torch.Tensor,
    corpora: Sequence[str | Path],
    out: str | Path,
    *,
    minutes: float,
    seed: int = 0,
) -> dict[str, float]:
    """Train `loss` with augmented images of `corpora` as queries.  The first corpus has all of the concepts.

    keys: (draws, C, …), one draw a step.  Returns the log of the loop.
    """
    x, weights, concepts = pictures(corpora)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        rows = torch.multinomial(weights, BATCH, replacement=True, generator=generator)
        images, target = mix(augment(x[rows], generator), concepts[rows], generator)
        return images, keys[torch.randint(len(keys), (), generator=generator)], target

    return loop.fit(loss, batch, out, minutes=minutes, peak=5e-4, weight_decay=0.05, seed=seed)


def pictures(corpora: Sequence[str | Path]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(images, how often each is drawn, its concept as one-hot) of the training splits: (N, 3, 64, 64), (N,), (N, C)."""
    parts = [data.load(corpus, "train", "further" if number else "corpus") for number, corpus in enumerate(corpora)]
    labels = set(parts[0][1]["label"])
    for corpus, (_, frame) in zip(corpora, parts):
        unknown = [label for label in frame["label"] if label not in labels]
        expected = f"concepts of {str(corpora[0])!r} alone, whose texts the images are told apart by"
        checks.expect(not unknown, "further", f"{str(corpus)!r} with {', '.join(map(repr, unknown[:1]))}", expected)
    frames = [frame for _, frame in parts]
    concepts = F.one_hot(torch.tensor(pd.concat([frame["label"] for frame in frames]).factorize()[0])).float()
    return torch.cat([x for x, _ in parts]), shares(frames), concepts


def shares(frames: Sequence[pd.DataFrame]) -> torch.Tensor:
    """How often each row of all frames is drawn, (N,), up to a factor: those that one frame has of one label and style as often as one row.

    A picture that is redrawn in several ways thus counts once beside itself.
    """
    return torch.tensor(pd.concat([1 / frame.groupby(["label", "style"])["label"].transform("size") for frame in frames]).to_numpy())


def read(tokenizer: Any, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, ends): (N, TOKENS), and where each text's end token is, (N,)."""
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt").input_ids
    return tokens, (tokens == tokenizer.eos_token_id).int().argmax(1)


def take_weights(tower: Any, tokenizer: Any, theirs: Any, their_tokenizer: Any) -> None:
    """Give a text tower the weights of another, and the words that both know their vectors."""
    words, their_words = tower.get_input_embeddings().weight.detach().clone(), theirs.get_input_embeddings().weight.detach()
    their_index = their_tokenizer.get_vocab()
    for token, index in tokenizer.get_vocab().items():
        if token in their_index:
            words[index] = their_words[their_index[token]]
    (name,) = (name for name in tower.state_dict() if name.endswith("token_embedding.weight"))
    tower.load_state_dict(theirs.state_dict() | {name: words})


@torch.no_grad()
def said_by(tower: Any, tokenizer: Any, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """(states, ends): the hidden states of each text, (N, TOKENS, d), and where each ends, (N,)."""
    tokens, ends = read(tokenizer, texts)
    return torch.cat([tower(input_ids=part.to(tower.device)).last_hidden_state.cpu() for part in tokens.split(256)]), ends


def distinct_captions(frame: pd.DataFrame, draws: int = 6, seed: int = 0) -> tuple[list[str], list[int]]:
    """(texts, concepts): the labels in order, then other captions, and which label each is of; last the empty text, of none, −1."""
    generator = torch.Generator().manual_seed(seed)
    concept_of = {label: i for i, label in enumerate(dict.fromkeys(frame["label"]))}
    of_text = dict(concept_of)
    for _ in range(draws):
        for _, row in frame.iterrows():
            of_text.setdefault(data.caption(row, generator), concept_of[row["label"]])
    return [*of_text, ""], [*of_text.values(), -1]


def lessons(
    count: int, concepts: Sequence[int], phrases: pd.DataFrame | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """What each text means, and what another tower's words for it are made of.

    count: how many captions come first, each with its place among `concepts`, −1 for none.  phrases: what `phrases.build` gives, or None.
    Returns (near, parts, source, weights), all (N, K): the concepts a text is near and its shares of them, which of the captions is to be
    mixed for it (for itself, itself; for a phrase, the labels it is near, which are the first captions), and with which weights.
    """
    own = torch.tensor(concepts)[:, None]
    near, parts = own.clamp(min=0), (own >= 0).float()
    source, weights = torch.arange(count)[:, None], torch.ones(count, 1)
    if phrases is None:
        return near, parts, source, weights
    theirs, their_shares = torch.from_numpy(np.stack(phrases["concepts"])).long(), torch.from_numpy(np.stack(phrases["shares"])).float()
    near, parts, source, weights = (F.pad(each, (0, theirs.shape[1] - 1)) for each in (near, parts, source, weights))
    return torch.cat([near, theirs]), torch.cat([parts, their_shares]), torch.cat([source, theirs]), torch.cat([weights, their_shares])


def told(
    states: torch.Tensor, ends: torch.Tensor, source: torch.Tensor, weights: torch.Tensor, own_ends: torch.Tensor, itself: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What another tower says of a batch of texts, Σ_k w_k states[source_k], and at which of its places that counts: (B, L, d), (B, L).

    It counts from where both have read to the end, source and text; and everywhere for a text that is its own source (itself, (B,) bools)
    and, as far as its length tells, is cut into the same tokens by both.
    """
    mixed = torch.einsum("bk,bkld->bld", weights, states[source])
    their_ends = (ends[source] * (weights > 0)).amax(1)
    alike = itself & (their_ends == own_ends)
    position = torch.arange(states.shape[1])
    return mixed, (alike[:, None] | (position >= torch.maximum(own_ends, their_ends)[:, None])).float()


def train_to_read(
    loss: "ReadingLoss",
    tokenizer: Any,
    captions: tuple[list[str], list[int]],
    phrases: pd.DataFrame | None,
    earlier: tuple[torch.Tensor, torch.Tensor] | None,
    out: str | Path,
    *,
    minutes: float,
    seed: int = 0,
) -> dict[str, float]:
    """Train a `ReadingLoss`, on as many captions as phrases.  Returns the log of the loop.

    captions: what `distinct_captions` gives.  phrases: what `phrases.build` gives, or None.
    earlier: what another tower says of the captions, see `said_by`, or None. A caption is drawn to what was said of itself, a phrase to
    what was said of the labels that it is near.
    """
    texts, concepts = captions
    count, labels = len(texts), loss.names.num_embeddings
    tokens, ends = read(tokenizer, texts if phrases is None else [*texts, *phrases["text"]])
    near, parts, source, weights = lessons(count, concepts, phrases)

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        row = torch.randint(count, (BATCH,), generator=generator)
        row[0] = count - 1  # the empty text, which every guided step asks for
        if phrases is not None:
            row = torch.cat([row, torch.randint(count, len(tokens), (BATCH,), generator=generator)])
        whole = torch.rand((), generator=generator) < 0.2
        length = TOKENS if whole else min(TOKENS, int(ends[row].max()) + 3)
        target = torch.zeros(len(row), labels).scatter_add_(1, near[row], parts[row])
        if earlier is None:
            return tokens[row, :length], target, torch.zeros(()), torch.zeros(len(row), length)
        states, their_ends = earlier
        return tokens[row, :length], target, *told(states[:, :length], their_ends, source[row], weights[row], ends[row], row < count)

    return loop.fit(loss, batch, out, minutes=minutes, peak=1e-3, decay=0.998, seed=seed)


def train_to_name(loss: nn.Module, texts: torch.Tensor, out: str | Path, *, minutes: float, seed: int = 0) -> dict[str, float]:
    """Train a `TextLoss`.  texts: (draws, C, L).  Returns the log of the loop."""

    def batch(generator: torch.Generator) -> tuple[torch.Tensor]:
        return (texts[torch.randint(len(texts), (), generator=generator)],)

    return loop.fit(loss, batch, out, minutes=minutes, peak=1e-3, seed=seed)


def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Everything but upside down: a classifier must name a thing in a style, a colour and a place that it has not seen."""
    x = data.shift_and_scale(data.bend(data.mirror(x, generator), generator), generator, degrees=12)
    x = data.recolour(data.turn_hue(x, generator, TURNED, TURNED / 3), generator)
    return data.erase(data.degrade(x, generator), generator)


def mix(x: torch.Tensor, target: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixtures λ x + (1 − λ) x' of images and of targets, λ uniform for each, in half of the batches  (mixup, Zhang et al. 2018)."""
    if torch.rand((), generator=generator) < 0.5:
        return x, target
    share = torch.rand(len(x), generator=generator)
    pixels, concepts = share[:, None, None, None], share[:, None]
    return pixels * x + (1 - pixels) * x.flip(0), concepts * target + (1 - concepts) * target.flip(0)


def tokenise(tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """Padded to the longest: the towers are causal and pool the first end token, so padding changes no feature."""
    return tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt").input_ids


@torch.no_grad()
def zero_shot(
    image_features: Features, text_features: Features, tokenizer: Any, x: torch.Tensor, names: Sequence[str], labels: list[str]
) -> dict[str, float]:
    """Held-out image → label among all labels.  {"top1", "top5"}: the shares of images whose name is the best, or among five."""
    features = torch.cat([image_features(part) for part in x.split(64)])
    own = [labels.index(name) for name in names]
    return metrics.top_shares(metrics.label_ranks(features, text_features(tokenise(tokenizer, labels)), own))
