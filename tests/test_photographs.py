"""Folders of photographs laid out as Food-101, ImageNet, AFHQ, FFHQ and LHQ are, small, with damaged files among them."""

import warnings

import pandas as pd
import pytest
import tiny_world
from PIL import Image

from treg_edu import photographs
from treg_edu.experiments import pictures, report
from treg_edu.experiments.arms import Arm
from treg_edu.experiments.measurements import Measurement
from treg_edu.experiments.runner import BASELINE, DDIM, Study

COLOURS = ["red", "green", "blue", "white", "orange", "navy", "pink", "gold"]


def picture(path, number=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (20 + number, 30), COLOURS[number % 8] if mode == "RGB" else 60 + number).save(path)


def damage(path, kind):
    """What is found in folders that were downloaded in pieces, or unpacked by hand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "cut":
        picture(path)
        path.write_bytes(path.read_bytes()[:-60] if path.suffix == ".jpg" else path.read_bytes()[:50])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>404 Not Found</html>", encoding="utf-8")
    elif kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", encoding="utf-8")


def food(root):
    """food-101/images/CLASS/NUMBER.jpg, meta/test.txt."""
    for kind in ("ice_cream", "fried_rice", "waffles"):
        for i in range(6):
            picture(root / "images" / kind / f"{100 + i}.jpg", i)
    damage(root / "images" / "ice_cream" / "104.jpg", "cut")
    damage(root / "images" / "fried_rice" / "105.jpg", "pointer")
    (root / "meta").mkdir()
    listed = [f"{kind}/{100 + i}" for kind in ("ice_cream", "fried_rice", "waffles") for i in (1, 3, 4, 5)]
    (root / "meta" / "test.txt").write_text("\n".join(listed), encoding="utf-8")
    (root / "README.txt").write_text("not a picture", encoding="utf-8")


def imagenet(root):
    """ILSVRC/Data/CLS-LOC/train/WORDNET/WORDNET_NUMBER.JPEG, a flat val, and the words beside ILSVRC."""
    data = root / "ILSVRC" / "Data" / "CLS-LOC"
    for kind in ("n01440764", "n07614500"):
        for i in range(4):
            picture(data / "train" / kind / f"{kind}_{i}.JPEG", i, "L" if i == 2 else "RGB")  # some are grey
        picture(data / "val" / f"ILSVRC2012_val_{kind}.JPEG")
    damage(data / "train" / "n07614500" / "n07614500_9.JPEG", "empty")
    words = "n01440764 tench, Tinca tinca\nn07614500 ice cream, icecream\nn99999999 nothing\n"
    (root / "LOC_synset_mapping.txt").write_text(words, encoding="utf-8")


def afhq(root):
    for part in ("train", "val"):
        for kind in ("cat", "dog", "wild"):
            for i in range(3):
                picture(root / part / kind / f"{part}_{i}.jpg", i)
    damage(root / "val" / "dog" / "val_9.jpg", "text")


def ffhq(root):
    for i in range(6):
        picture(root / f"{i // 3:02}000" / f"{i:05}.png", i)
    damage(root / "00000" / "00009.png", "cut")


def lhq(root):
    for i in range(5):
        picture(root / f"{i:07}.png", i)
    damage(root / "0000009.png", "empty")


@pytest.fixture(autouse=True)
def quiet():
    """Warnings that a test does not ask for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "data: .* could not be read")
        yield


def found(root, texts=None):
    return photographs.find(root, texts)


def test_food_101_has_the_texts_of_its_folders_and_its_test_part(tmp_path):
    food(tmp_path)
    for root in (tmp_path, tmp_path / "images"):
        each = found(root)
        assert {(one.kind, one.text) for one in each} == {("ice_cream", "ice cream"), ("fried_rice", "fried rice"), ("waffles", "waffles")}
        assert len(each) == 12 and {one.path.stem for one in each} == {"101", "103", "104", "105"}
    (tmp_path / "meta" / "test.txt").unlink()
    assert len(found(tmp_path)) == 18


def test_imagenet_has_the_words_of_its_numbers(tmp_path):
    imagenet(tmp_path)
    for root in (tmp_path, tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "train"):
        each = found(root)
        assert len(each) == 9 and {(one.kind, one.text) for one in each} == {("n01440764", "tench"), ("n07614500", "ice cream")}
    chosen = pictures.load(str(tmp_path), ["ice cream"], 3, 16)
    assert set(chosen.labels) == {"ice cream"} and chosen.choices == ["ice cream", "tench"]
    assert pictures.load(str(tmp_path), ["n01440764"], 3, 16).labels == ["tench"] * 3
    (tmp_path / "LOC_synset_mapping.txt").unlink()
    with pytest.raises(ValueError, match="^texts: got folders named by WordNet numbers, such as 'n01440764', expected one of LOC_synset"):
        found(tmp_path)


def test_afhq_is_its_held_out_part(tmp_path):
    afhq(tmp_path)
    assert {one.name.split("/")[0] for one in found(tmp_path)} == {"val"} and {one.text for one in found(tmp_path)} == {
        "cat",
        "dog",
        "wild",
    }
    assert {one.text for one in found(tmp_path / "val" / "cat")} == {"cat"}  # one class alone is a flat folder of its name
    assert len(found(tmp_path / "train")) == 9


def test_numbered_folders_and_flat_ones_are_no_classes(tmp_path):
    (tmp_path / "faces").mkdir()
    ffhq(tmp_path / "faces" / "images1024x1024")
    lhq(tmp_path / "lhq_256")
    for root, text in ((tmp_path / "faces", "faces"), (tmp_path / "lhq_256", "lhq 256")):
        each = found(root)
        assert {(one.kind, one.text) for one in each} == {("", text)}
        assert {one.text for one in found(root, "a photo of a face")} == {"a photo of a face"}
    assert pictures.load(str(tmp_path / "lhq_256"), None, 4, 16, "a landscape").labels == ["a landscape"] * 4


def test_texts_from_a_table(tmp_path):
    food(tmp_path / "food")
    by_class = tmp_path / "classes.csv"
    by_class.write_text("class,text\nice_cream,a photo of ice cream\nfried_rice,rice\n", encoding="utf-8")
    with pytest.warns(
        UserWarning, match=r"^texts: 4 of 12 pictures, such as 'images/waffles/101.jpg', have no row in .*, and are left out"
    ):
        each = found(tmp_path / "food", str(by_class))
    assert {one.text for one in each} == {"a photo of ice cream", "rice"} and len(each) == 8
    lhq(tmp_path / "lhq")
    by_file = tmp_path / "files.csv"
    by_file.write_text('\ufefffile,text\n0000000.png,"a lake, at dawn"\n0000002.png,a hill\n', encoding="utf-8")
    with pytest.warns(UserWarning, match="^texts: 4 of 6 pictures"):
        assert [one.text for one in found(tmp_path / "lhq", str(by_file))] == ["a lake, at dawn", "a hill"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "which cannot be read"),
        ("name,caption\na,b\n", "with the columns .*, expected file,text or class,text"),
        ("", "expected file,text or class,text"),
        ("file,text\nother.png,a\n", "which names none of the pictures"),
    ],
)
def test_a_table_that_is_none_is_told_of(tmp_path, content, told):
    lhq(tmp_path / "lhq")
    table = tmp_path / "table.csv"
    if content is not None:
        table.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^texts: got .*{told}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found(tmp_path / "lhq", str(table))


@pytest.mark.parametrize("tree", [food, imagenet, afhq, ffhq, lhq])
def test_damaged_files_are_passed_over_told_of_and_counted(tree, tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    tree(root)
    readable = {food: 10, imagenet: 8, afhq: 9, ffhq: 6, lhq: 5}[tree]
    broken = 2 if tree is food else 1
    told = rf"^data: {broken} of {readable + broken} files could not be read, and are left out: '"
    refused = f"^images: got {readable + 1}, expected at most {readable}, which is how many can be read"
    with pytest.warns(UserWarning, match=told), pytest.raises(ValueError, match=refused):
        pictures.load(str(root), None, readable + 1, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = pictures.load(str(root), None, readable, 16)
    assert len(chosen) == readable and len(chosen.skipped) <= broken and chosen.x.shape == (readable, 3, 16, 16)  # of those it came to
    assert len(set(chosen.numbers)) == readable and not set(chosen.skipped) & set(chosen.names)


def test_classes_take_turns_and_a_class_keeps_its_order_without_the_others(tmp_path):
    food(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        all_of_them = pictures.load(str(tmp_path), None, 6, 16)
        one = pictures.load(str(tmp_path), ["Ice Cream"], 2, 16)
        two = pictures.load(str(tmp_path), ["ice_cream", " fried rice"], 4, 16)
    assert [all_of_them.labels.count(label) for label in ("ice cream", "fried rice", "waffles")] == [2, 2, 2]
    assert [name for name in all_of_them.names if "ice_cream" in name] == one.names
    assert set(two.labels) == {"ice cream", "fried rice"} and two.choices == ["fried rice", "ice cream", "waffles"]
    with pytest.raises(ValueError, match=r"^classes: got 'icecream', expected some of those there are, such as ice cream"):
        pictures.load(str(tmp_path), ["icecream"], 2, 16)


@pytest.mark.parametrize("kind", ["absent", "file", "empty"])
def test_a_folder_without_pictures(kind, tmp_path):
    root = tmp_path / kind
    if kind == "file":
        root.write_text("mine", encoding="utf-8")
    if kind == "empty":
        (root / "below").mkdir(parents=True)
        (root / "below" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="^data: got "):
        found(root)


def test_a_study_runs_on_photographs_and_its_report_counts_the_damaged(tmp_path):
    food(tmp_path / "food")
    y = Measurement("boxes")
    study = Study("photographs", lambda setting: [Arm(BASELINE, measurement=y), Arm(DDIM, "ddim", measurement=y)])
    out = tmp_path / "out"
    with pytest.warns(UserWarning, match="^data: 2 of 12 files"):
        told = report.run(study, tiny_world.models(), data=str(tmp_path / "food"), images=10, seeds=1, out=out)
    assert sorted(told["unreadable files"]) == ["images/fried_rice/105.jpg", "images/ice_cream/104.jpg"]
    assert told["source"] == str(tmp_path / "food") and told["pictures"] == 10
    rows = pd.read_parquet(out / "photographs.parquet")
    assert set(rows["text"]) == {"ice cream", "fried rice", "waffles"} and rows["picture"].str.startswith("images/").all()
    assert rows["top5"].isna().all() and rows["top1"].notna().all()  # three labels: there is a first, and no choice of five
