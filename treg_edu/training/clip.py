"""Two CLIPs on the same training images: the prior's (a ViT), and the judge (a ResNet) that grades what the first helped to make.

Both learn by InfoNCE (Radford et al. 2021): each of B images of distinct concepts against their B captions and as many captions of
other concepts, and each of the B captions against the B images.
"""

import json

import torch
from torch import nn
from torch.nn import functional as F

from .. import metrics
from . import data, loop

TOKENS = 32
WIDTH = 192  # of text, of image features, of cross-attention: adaptive negation needs them equal
VOCABULARY = 2000


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
    from transformers import CLIPConfig, CLIPModel

    vision = dict(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=64,
        patch_size=16,
        projection_dim=WIDTH,
    )
    text = text_config(tokenizer, WIDTH, layers=3, heads=4)
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def new_judge(tokenizer):
    """(image tower, text tower) of the judge: a ResNet and a smaller text transformer, joined by nothing but their width."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, ResNetConfig, ResNetModel

    image = ResNetConfig(embedding_size=32, hidden_sizes=[48, 96, WIDTH], depths=[2, 2, 2], layer_type="basic")
    return ResNetModel(image), CLIPTextModelWithProjection(CLIPTextConfig(**text_config(tokenizer, 128, layers=2, heads=4)))


class Loss(nn.Module):
    """InfoNCE.  images: (B, 3, 64, 64) of distinct concepts; tokens: (2B, L), their captions, then captions of B other concepts."""

    def __init__(self, image_features, text_features, image_tower, text_tower, scale=None):
        super().__init__()
        self.image_features, self.text_features = image_features, text_features
        self.image_tower, self.text_tower = nn.ModuleList(image_tower), nn.ModuleList(text_tower)
        self.log_scale = nn.Parameter(torch.tensor(2.66)) if scale is None else scale

    def forward(self, images, tokens):
        image = F.normalize(self.image_features(2 * images - 1).float(), dim=-1)
        text = F.normalize(self.text_features(tokens).float(), dim=-1)
        similarity = self.log_scale.exp().clamp(max=100) * image @ text.T
        itself = torch.arange(len(images), device=images.device)
        return 0.5 * (F.cross_entropy(similarity, itself) + F.cross_entropy(similarity[:, : len(images)].T, itself))


def clip_loss(clip):
    return Loss(
        lambda x: clip.visual_projection(clip.vision_model(pixel_values=x).pooler_output),
        lambda tokens: clip.text_projection(clip.text_model(input_ids=tokens).pooler_output),
        [clip.vision_model, clip.visual_projection],
        [clip.text_model, clip.text_projection],
        clip.logit_scale,
    )


def judge_loss(image_tower, text_tower):
    return Loss(
        lambda x: image_tower(x).pooler_output.flatten(1),
        lambda tokens: text_tower(input_ids=tokens).text_embeds,
        [image_tower],
        [text_tower],
    )


def train(loss, tokenizer, corpus, out, *, minutes, hue, batch_size=64, peak=1e-3, weight_decay=0.1, seed=0):
    """Train the towers inside `loss`.  Returns the log of the loop."""
    x, frame = data.load(corpus, "train")
    labels = list(dict.fromkeys(frame["label"]))
    members = [torch.tensor(frame.index[frame["label"] == label].to_list()) for label in labels]

    def one(indices, generator):
        return int(indices[torch.randint(len(indices), (), generator=generator)])

    def batch(generator):
        concepts = torch.randperm(len(labels), generator=generator)[: 2 * batch_size].tolist()
        rows = [one(members[concept], generator) for concept in concepts]
        images = augment(x[rows[:batch_size]], generator, hue)
        return images, tokenise(tokenizer, [data.caption(frame.iloc[row], generator) for row in rows])

    return loop.fit(loss, batch, out, minutes=minutes, peak=peak, weight_decay=weight_decay, seed=seed)


def augment(x, generator, hue):
    """Everything but upside down: a classifier must name a thing in a style, a colour and a place that it has not seen.

    hue: the share of images with their colours turned; a transformer on 16 patches learns little from shape alone.
    """
    x = data.shift_and_scale(data.mirror(x, generator), generator, pixels=4, scale=0.15)
    return data.degrade(data.recolour(data.turn_hue(x, generator, hue, hue / 3), generator), generator)


class LockedLoss(nn.Module):
    """Cross-entropy of images against one caption of every concept, the text tower frozen but for its projection.

    images: (B, 3, 64, 64).  pooled: (C, d), text states before the projection.  concept: (B,).
    """

    def __init__(self, loss, text_projection):
        super().__init__()
        self.image_features, self.image_tower = loss.image_features, loss.image_tower
        self.text_projection, self.log_scale = text_projection, loss.log_scale

    def forward(self, images, pooled, concept):
        image = F.normalize(self.image_features(2 * images - 1).float(), dim=-1)
        text = F.normalize(self.text_projection(pooled).float(), dim=-1)
        return F.cross_entropy(self.log_scale.exp().clamp(max=100) * image @ text.T, concept, label_smoothing=0.05)


def train_locked(
    loss, text_model, text_projection, tokenizer, corpus, out, *, minutes, hue, batch_size=64, peak=1e-3, weight_decay=0.1, seed=1
):
    """Go on with the image tower and the projections alone, so that the hidden states a U-Net is trained on stay as they are.

    ("Locked" tuning, Zhai et al. 2022, with the text locked.)  Returns the log of the loop.
    """
    x, frame = data.load(corpus, "train")
    labels = list(dict.fromkeys(frame["label"]))
    concept = torch.tensor([labels.index(label) for label in frame["label"]])
    generator = torch.Generator().manual_seed(seed)
    drawn = [labels] + [[data.caption(row, generator) for _, row in frame.drop_duplicates("label").iterrows()] for _ in range(7)]
    with torch.no_grad():
        pooled = torch.stack([text_model(input_ids=tokenise(tokenizer, texts)).pooler_output for texts in drawn])

    def batch(generator):
        rows = torch.randint(len(x), (batch_size,), generator=generator)
        return augment(x[rows], generator, hue), pooled[torch.randint(len(pooled), (), generator=generator)], concept[rows]

    return loop.fit(LockedLoss(loss, text_projection), batch, out, minutes=minutes, peak=peak, weight_decay=weight_decay, seed=seed)


def tokenise(tokenizer, texts):
    """Padded to the longest: the towers are causal and pool the first end token, so padding changes no feature."""
    return tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt").input_ids


@torch.no_grad()
def zero_shot(loss, tokenizer, x, names, labels):
    """Held-out image → label among all labels.  {"top1", "top5"}: the shares of images whose name is the best, or among five."""
    loss.eval()
    features = torch.cat([loss.image_features(2 * part - 1) for part in x.split(64)])
    own = [labels.index(name) for name in names]
    return metrics.top_shares(metrics.label_ranks(features, loss.text_features(tokenise(tokenizer, labels)), own))
