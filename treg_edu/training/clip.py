"""Two CLIPs: the prior's (a RegNet), and the judge (a ResNet) that grades what the first helped to make.

Both are trained by InfoNCE (Radford et al. 2021), one tower after the other. Trained together from nothing on so few images, the text tower
learnt colours and little else: 99 % of the variance of its states lay in ten directions, and no U-Net can draw a fox from the states of a
potato. So the prior's text tower first learns to tell the captions of one concept from those of all others, and its image tower then learns
to find them, the text locked. The judge goes the other way round: its image tower learns to tell concepts, its text tower to name them.
"""

import json

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from .. import metrics
from . import data, loop

TOKENS = 32
WIDTH = 192  # of text, of image features, of cross-attention: adaptive negation needs them equal
VOCABULARY = 2000
CAPTIONS = 16  # draws of one caption for each concept
LOG_SCALE, SMOOTHING = 2.6592, 0.1  # a temperature of 0.07 to begin with, as in OpenAI's CLIP
TURNED = 1 / 3  # share of images with their colours turned


def train_tokenizer(frame):
    """A `CLIPTokenizer` whose byte-pair vocabulary is learnt from the captions."""
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
    backend.train_from_iterator([single_characters, *data.corpus_text(frame)], trainer)
    model = json.loads(backend.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=TOKENS)


def text_config(tokenizer, width, layers, heads):
    return dict(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=TOKENS,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def new_clip(tokenizer):
    """A RegNet-Y (Radosavovic et al. 2020) and the text transformer of OpenAI's CLIP, joined by projections."""
    from transformers import CLIPTextConfig, RegNetConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    image = RegNetConfig(
        embedding_size=32,
        hidden_sizes=[64, 128, 256],
        depths=[1, 2, 3],
        groups_width=64,
        layer_type="y",
        image_size=64,
        hidden_size=256,
    )
    text = CLIPTextConfig(**text_config(tokenizer, WIDTH, layers=3, heads=4))
    return VisionTextDualEncoderModel(VisionTextDualEncoderConfig.from_vision_text_configs(image, text, projection_dim=WIDTH))


def new_judge(tokenizer):
    """(image tower, text tower) of the judge: a ResNet and a smaller text transformer, joined by nothing but their width."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, ResNetConfig, ResNetModel

    image = ResNetConfig(embedding_size=32, hidden_sizes=[48, 96, WIDTH], depths=[2, 2, 2], layer_type="basic")
    return ResNetModel(image), CLIPTextModelWithProjection(CLIPTextConfig(**text_config(tokenizer, 128, layers=2, heads=4)))


class Loss(nn.Module):
    """InfoNCE with all concepts as keys: cross-entropy of the cosines of queries and keys, times a learnt scale.

    queries: (B, …), what `query_features` takes.  keys: (C, …), what `key_features` takes, one for each concept.
    target: (B, C), each query's shares of the concepts.  trained: the modules to train.  log_scale: the scale's logarithm, trained as well.
    """

    def __init__(self, query_features, key_features, trained, log_scale):
        super().__init__()
        self.query_features, self.key_features, self.trained = query_features, key_features, nn.ModuleList(trained)
        self.log_scale = log_scale

    def forward(self, queries, keys, target):
        query = F.normalize(self.query_features(queries).float(), dim=-1)
        key = F.normalize(self.key_features(keys).float(), dim=-1)
        return F.cross_entropy(self.log_scale.exp().clamp(max=100) * query @ key.T, target, label_smoothing=SMOOTHING)


class TextLoss(nn.Module):
    """1 − cos of the feature of each caption and the vector that the locked image tower learnt for its concept  (Zhai et al. 2022).

    tokens: (C, L), a caption of each concept.  names: (C, p).  To be nearest to one's own name is not enough here: an image and its text,
    each nearest to the same name, need not be near each other.
    """

    def __init__(self, text_features, names, text_tower):
        super().__init__()
        self.text_features, self.text_tower = text_features, text_tower
        self.register_buffer("names", names, persistent=False)

    def forward(self, tokens):
        return (1 - F.cosine_similarity(self.text_features(tokens).float(), self.names)).mean()


def clip_features(clip):
    """(image features of x in [0, 1], text features of tokens), as functions."""
    return (
        lambda x: clip.visual_projection(clip.vision_model(pixel_values=2 * x - 1).pooler_output.flatten(1)),
        lambda tokens: clip.text_projection(clip.text_model(input_ids=tokens).pooler_output),
    )


def judge_features(image_tower, text_tower):
    """The same for the judge."""
    return lambda x: image_tower(2 * x - 1).pooler_output.flatten(1), lambda tokens: text_tower(input_ids=tokens).text_embeds


def whiten(text_projection, pooled):
    """Set a projection to (1/N Σ p pᵀ)^(−1/2), so that the features of N pooled states (N, d) begin in all directions."""
    values, vectors = torch.linalg.eigh(pooled.T @ pooled / len(pooled))
    text_projection.weight.data.copy_(vectors @ torch.diag(values.clamp(min=1e-4 * values.max()).rsqrt()) @ vectors.T)


def captions(tokenizer, frame, seed=0):
    """One caption of every label, drawn CAPTIONS times, the label alone first, as tokens (CAPTIONS, C, L)."""
    generator = torch.Generator().manual_seed(seed)
    members = [group for _, group in frame.groupby("label", sort=False)]

    def drawn():
        return [data.caption(group.iloc[int(torch.randint(len(group), (), generator=generator))], generator) for group in members]

    texts = [group["label"].iloc[0] for group in members] + [text for _ in range(CAPTIONS - 1) for text in drawn()]
    return tokenise(tokenizer, texts).unflatten(0, (CAPTIONS, -1))


def train_on_images(loss, keys, corpora, out, *, minutes, batch_size=64, peak=2e-3, weight_decay=0.1, seed=0):
    """Train `loss` with augmented images of `corpora` as queries.  The first corpus has all of the concepts.

    keys: (draws, C, …), one draw a step.  Returns the log of the loop.
    """
    parts = [data.load(corpus, "train") for corpus in corpora]
    weights = shares([frame for _, frame in parts])
    x = torch.cat([pictures for pictures, _ in parts])
    labels = set(parts[0][1]["label"])
    for corpus, (_, frame) in zip(corpora, parts):
        if unknown := [label for label in frame["label"] if label not in labels]:
            raise ValueError(f"further: {unknown[0]!r} of {corpus} is no concept of {corpora[0]}, whose texts the images are told apart by")
    concepts = F.one_hot(torch.tensor(pd.concat([frame["label"] for _, frame in parts]).factorize()[0])).float()

    def batch(generator):
        rows = torch.multinomial(weights, batch_size, replacement=True, generator=generator)
        images, target = mix(augment(x[rows], generator), concepts[rows], generator)
        return images, keys[torch.randint(len(keys), (), generator=generator)], target

    return loop.fit(loss, batch, out, minutes=minutes, peak=peak, weight_decay=weight_decay, seed=seed)


def shares(frames):
    """How often each row of all frames is drawn, (N,), up to a factor: those that one frame has of one label and style as often as one row.

    A picture that is redrawn in several ways thus counts once beside itself.
    """
    return torch.tensor(pd.concat([1 / frame.groupby(["label", "style"])["label"].transform("size") for frame in frames]).to_numpy())


def train_on_captions(loss, texts, out, *, minutes, batch_size=128, peak=1e-3, weight_decay=0.01, seed=0):
    """Train `loss` with captions as queries and concepts, by number, as keys.  texts: (draws, C, L).  Returns the log of the loop."""
    draws, count = texts.shape[:2]
    concepts = torch.eye(count)

    def batch(generator):
        draw, concept = torch.randint(draws, (batch_size,), generator=generator), torch.randint(count, (batch_size,), generator=generator)
        return texts[draw, concept], torch.arange(count), concepts[concept]

    return loop.fit(loss, batch, out, minutes=minutes, peak=peak, weight_decay=weight_decay, seed=seed)


def train_to_name(loss, texts, out, *, minutes, peak=1e-3, weight_decay=0.01, seed=0):
    """Train a `TextLoss`.  texts: (draws, C, L).  Returns the log of the loop."""

    def batch(generator):
        return (texts[torch.randint(len(texts), (), generator=generator)],)

    return loop.fit(loss, batch, out, minutes=minutes, peak=peak, weight_decay=weight_decay, seed=seed)


def augment(x, generator):
    """Everything but upside down: a classifier must name a thing in a style, a colour and a place that it has not seen."""
    x = data.shift_and_scale(data.bend(data.mirror(x, generator), generator), generator, degrees=12)
    x = data.recolour(data.turn_hue(x, generator, TURNED, TURNED / 3), generator)
    return data.erase(data.degrade(x, generator), generator)


def mix(x, target, generator):
    """Mixtures λ x + (1 − λ) x' of images and of targets, λ uniform for each, in half of the batches  (mixup, Zhang et al. 2018)."""
    if torch.rand((), generator=generator) < 0.5:
        return x, target
    share = torch.rand(len(x), generator=generator)
    pixels, concepts = share[:, None, None, None], share[:, None]
    return pixels * x + (1 - pixels) * x.flip(0), concepts * target + (1 - concepts) * target.flip(0)


def tokenise(tokenizer, texts):
    """Padded to the longest: the towers are causal and pool the first end token, so padding changes no feature."""
    return tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt").input_ids


@torch.no_grad()
def zero_shot(image_features, text_features, tokenizer, x, names, labels):
    """Held-out image → label among all labels.  {"top1", "top5"}: the shares of images whose name is the best, or among five."""
    features = torch.cat([image_features(part) for part in x.split(64)])
    own = [labels.index(name) for name in names]
    return metrics.top_shares(metrics.label_ranks(features, text_features(tokenise(tokenizer, labels)), own))
