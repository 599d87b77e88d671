"""Two CLIPs on the same training images: the prior's (a ViT), and the judge (a ResNet) that grades what the first helped to make.

Both learn by InfoNCE (Radford et al. 2021), with one caption of every concept of the corpus as the texts that an image is held against:
there are few enough of them.
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
CAPTIONS = 8  # draws of one caption for each concept
LOG_SCALE, SMOOTHING = 2.66, 0.1


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
    """Cross-entropy of each image against one caption of every concept, by cosine times a learnt scale.

    images: (B, 3, 64, 64).  texts: what `text_features` takes, one row for each of C concepts.  concept: (B,), each image's row.
    image_tower, text_tower: the modules to train.
    """

    def __init__(self, image_features, text_features, image_tower, text_tower, scale=None):
        super().__init__()
        self.image_features, self.text_features = image_features, text_features
        self.image_tower, self.text_tower = nn.ModuleList(image_tower), nn.ModuleList(text_tower)
        self.log_scale = nn.Parameter(torch.tensor(LOG_SCALE)) if scale is None else scale

    def forward(self, images, texts, concept):
        image = F.normalize(self.image_features(2 * images - 1).float(), dim=-1)
        text = F.normalize(self.text_features(texts).float(), dim=-1)
        return F.cross_entropy(self.log_scale.exp().clamp(max=100) * image @ text.T, concept, label_smoothing=SMOOTHING)


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


def locked(loss, text_projection):
    """The same with the text tower as it is, but for its projection, so that the hidden states a U-Net was trained on stay.

    Its texts are pooled states, (C, d).  ("Locked" tuning, Zhai et al. 2022, with the text locked.)
    """
    return Loss(loss.image_features, text_projection, loss.image_tower, [text_projection], loss.log_scale)


def captions(tokenizer, frame, seed=0):
    """One caption of every label, drawn CAPTIONS times, the label alone first, as tokens (CAPTIONS, C, L)."""
    generator = torch.Generator().manual_seed(seed)
    members = [group for _, group in frame.groupby("label", sort=False)]

    def drawn():
        return [data.caption(group.iloc[int(torch.randint(len(group), (), generator=generator))], generator) for group in members]

    texts = [group["label"].iloc[0] for group in members] + [text for _ in range(CAPTIONS - 1) for text in drawn()]
    return tokenise(tokenizer, texts).unflatten(0, (CAPTIONS, -1))


def train(loss, texts, corpus, out, *, minutes, hue, batch_size=64, peak=1e-3, weight_decay=0.1, seed=0):
    """Train the towers inside `loss`.  texts: (draws, C, …), concepts in the order of the corpus.  Returns the log of the loop."""
    x, frame = data.load(corpus, "train")
    concept = torch.tensor(frame["label"].factorize()[0])

    def batch(generator):
        rows = torch.randint(len(x), (batch_size,), generator=generator)
        return augment(x[rows], generator, hue), texts[torch.randint(len(texts), (), generator=generator)], concept[rows]

    return loop.fit(loss, batch, out, minutes=minutes, peak=peak, weight_decay=weight_decay, seed=seed)


def augment(x, generator, hue):
    """Everything but upside down: a classifier must name a thing in a style, a colour and a place that it has not seen.

    hue: the share of images with their colours turned; a transformer on few patches learns little from shape alone.
    """
    x = data.shift_and_scale(data.mirror(x, generator), generator, pixels=4, scale=0.15)
    return data.degrade(data.recolour(data.turn_hue(x, generator, hue, hue / 3), generator), generator)


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
