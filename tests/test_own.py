"""A corpus of the reader's own pictures: `treg-edu train corpus --from FOLDER`."""

import io

import pandas as pd
import pytest
from PIL import Image
from test_photographs import afhq, damage, food, picture

from treg_edu.training import corpus, data, own, recipes


def many(root, count=40):
    for i in range(count):
        picture(root / ("cat" if i % 2 else "dog") / f"{i}.png", i)
    return root


def sides(frame):
    """{file: its split}"""
    return dict(zip([image["path"] for image in frame["image"]], frame["split"]))


def test_class_folders_give_texts_and_64_pixels(tmp_path):
    frame = own.build(many(tmp_path))
    assert list(frame.columns) == list(data.CORPUS_COLUMNS)
    assert frame.groupby("label").size().to_dict() == {"cat": 20, "dog": 20}
    pixels = Image.open(io.BytesIO(frame["image"][0]["bytes"]))
    assert pixels.size == (64, 64) and pixels.getpixel((30, 30)) == (0, 128, 0)  # cat/1.png is green


def test_a_csv_gives_each_file_its_own_text_and_the_caption_is_that_text(tmp_path):
    root = tmp_path / "mine"
    for i in range(6):
        picture(root / f"{i}.png", i)
    table = tmp_path / "texts.csv"
    table.write_text("file,text\n" + "\n".join(f'{i}.png,"my picture, number {i}"' for i in range(5)), encoding="utf-8")
    with pytest.warns(UserWarning, match=r"^texts: 1 of 6 pictures, such as '5.png', have no row in"):
        frame = own.build(root, str(table))
    assert list(frame["label"]) == [f"my picture, number {i}" for i in range(5)]
    generator = data.torch.Generator().manual_seed(0)
    assert {data.caption(row, generator) for _, row in frame.iterrows() for _ in range(20)} == set(frame["label"])


def test_a_picture_stays_on_its_side_when_others_come_and_go(tmp_path):
    before = sides(own.build(many(tmp_path / "a", 60)))
    assert 0 < list(before.values()).count("heldout") < 30  # about an eighth
    many(tmp_path / "a", 80)
    after = sides(own.build(tmp_path / "a"))
    assert {name: after[name] for name in before} == before and len(after) == 80


def test_copies_of_a_file_lie_on_one_side(tmp_path):
    many(tmp_path)
    for path in sorted(tmp_path.rglob("*.png")):
        (tmp_path / "again" / path.name).parent.mkdir(exist_ok=True)
        (tmp_path / "again" / path.name).write_bytes(path.read_bytes())
    frame = own.build(tmp_path)
    split = {name.split("/")[1]: side for name, side in sides(frame).items() if name.startswith("again")}
    assert all(split[name.split("/")[1]] == side for name, side in sides(frame).items()) and "heldout" in split.values()


def test_the_rule_by_hand():
    contents = [bytes([i]) for i in range(200)]
    aside = own.held_out(contents)
    assert aside[:8] == [own.hashlib.sha256(each).hexdigest() < "2" for each in contents[:8]]  # 0.125 is hexadecimal 0.2
    assert aside == [own.hashlib.sha256(each).hexdigest()[:16] < "2" + 15 * "0" for each in contents]
    above = [each for each, out in zip(contents, aside) if not out][:3]
    assert own.held_out(above).count(True) == 1
    below = [each for each, out in zip(contents, aside) if out][:3]
    assert own.held_out(below).count(False) == 1
    with pytest.raises(ValueError, match="^from: got 1 picture, expected at least two different ones"):
        own.held_out([b"a", b"a"])


def test_the_parts_of_a_folder_are_kept_and_told(tmp_path):
    afhq(tmp_path / "afhq")
    food(tmp_path / "food")
    with pytest.warns(UserWarning, match="^from: 1 of 19 files could not be read, and are left out: 'val/dog/val_9.jpg'"):
        frame = own.build(tmp_path / "afhq")
    assert all(name.startswith("val") == (side == "heldout") for name, side in sides(frame).items())
    assert frame["split"].value_counts().to_dict() == {"train": 9, "heldout": 9}
    with pytest.warns(UserWarning, match="^from: 2 of 18 files"):
        frame = own.build(tmp_path / "food")
    assert {name.split("/")[-1] for name, side in sides(frame).items() if side == "heldout"} == {"101.jpg", "103.jpg", "104.jpg", "105.jpg"}
    assert frame.attrs["split"] == own.OF_PARTS


def test_the_rule_and_the_damaged_files_are_stored(tmp_path):
    damage(many(tmp_path / "mine") / "cat" / "bad.png", "cut")
    with pytest.warns(UserWarning, match="^from: 1 of 41 files could not be read"):
        told = recipes.make_own(tmp_path / "mine", tmp_path / "mine.parquet")
    assert told["images"] == 40 and told["labels"] == 2 and told["files that could not be read"] == 1
    stored = pd.read_parquet(tmp_path / "mine.parquet")
    assert stored.attrs == {"split": own.OF_BYTES, "unreadable": ["cat/bad.png"]}
    x, rows = data.load(tmp_path / "mine.parquet", "heldout")
    assert len(x) == len(rows) == told["held out"] and x.shape[1:] == (3, 64, 64)


def test_a_folder_of_damaged_files_is_no_corpus(tmp_path):
    damage(tmp_path / "a.png", "text")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="^from: got 1 files that cannot be read, expected some pictures"):
        own.build(tmp_path)
    with pytest.raises(FileNotFoundError, match="^from: got .*absent', expected a folder of pictures"):
        own.build(tmp_path / "absent")


def test_a_corpus_that_ships_says_nothing_more_than_before(tmp_path):
    frame = pd.DataFrame({"image": [{"bytes": b"", "path": "a"}], "label": ["a"], "keywords": [[]]})
    corpus.save(frame, tmp_path / "a.parquet")
    assert pd.read_parquet(tmp_path / "a.parquet").attrs == {}
