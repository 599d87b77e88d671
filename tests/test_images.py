"""Every kind of file a reader may hand over, the errors they meet, and the captioned images."""

import hashlib
import io
import os
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from treg_edu import checks, files, images

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def colour(x):
    """The mean colour of a (1, 3, h, w) image as three floats."""
    return x.mean(dim=(0, 2, 3)).tolist()


def write(picture, path, **options):
    picture.save(path, **options)
    return path


def hollow_png(width, height):
    """A PNG of a hundred bytes that claims width × height pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


# read


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tiff", "ppm"])
@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (200, 31), (5, 90)])
def test_any_format_and_shape_becomes_a_batch_of_one(tmp_path, suffix, shape):
    x = images.read(write(Image.new("RGB", shape, RED), tmp_path / f"a.{suffix}"))
    assert x.shape == (1, 3, 64, 64) and x.dtype == torch.float32 and x.is_contiguous()
    assert colour(x) == pytest.approx([1, 0, 0], abs=0.02)


def test_a_picture_of_the_right_size_is_not_resampled(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    x = images.read(write(Image.fromarray(pixels), tmp_path / "a.png"))
    assert np.array_equal((x[0].permute(1, 2, 0) * 255).round().numpy(), pixels)


def test_the_central_square_is_kept(tmp_path):
    wide = Image.new("RGB", (90, 30), RED)
    wide.paste(BLUE, (30, 0, 60, 30))
    assert colour(images.read(write(wide, tmp_path / "a.png"), size=16)) == pytest.approx([0, 0, 1], abs=0.02)


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGBA", (8, 8), (255, 0, 0, 0)),
        Image.new("LA", (8, 8), (0, 0)),
        Image.new("RGBA", (8, 8), (0, 0, 255, 0)).quantize(),
    ],
    ids=["RGBA", "LA", "palette"],
)
def test_transparency_is_white(tmp_path, picture):
    assert colour(images.read(write(picture, tmp_path / "a.png"))) == pytest.approx([1, 1, 1])


def test_half_transparent_is_half_white(tmp_path):
    x = images.read(write(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), tmp_path / "a.png"))
    assert colour(x) == pytest.approx([1, 0.5, 0.5], abs=0.01)


def test_a_transparent_colour_of_an_opaque_mode_is_white(tmp_path):
    path = write(Image.new("RGB", (8, 8), GREEN), tmp_path / "a.png", transparency=GREEN)
    assert colour(images.read(path)) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    "picture, suffix, expected",
    [
        (Image.new("1", (8, 8), 1), "png", [1, 1, 1]),
        (Image.new("L", (8, 8), 51), "png", [0.2, 0.2, 0.2]),
        (Image.new("RGB", (8, 8), GREEN).quantize(), "png", [0, 1, 0]),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "tiff", [1, 0, 0]),
        (Image.fromarray(np.full((8, 8), 13107, np.uint16)), "png", [0.2, 0.2, 0.2]),
        (Image.fromarray(np.full((8, 8), 13107, np.int32)), "tiff", [0.2, 0.2, 0.2]),
        (Image.fromarray(np.full((8, 8), 0.2, np.float32)), "tiff", [0.2, 0.2, 0.2]),
    ],
    ids=["1 bit", "grey", "palette", "CMYK", "16 bit", "32 bit", "float"],
)
def test_other_modes(tmp_path, picture, suffix, expected):
    assert colour(images.read(write(picture, tmp_path / f"a.{suffix}"))) == pytest.approx(expected, abs=0.01)


def test_exif_orientation_is_applied(tmp_path):
    picture = Image.new("RGB", (32, 32), RED)
    picture.paste(BLUE, (0, 16, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    x = images.read(write(picture, tmp_path / "a.png", exif=exif), size=32)
    assert colour(x[:, :, :16]) == pytest.approx([0, 0, 1])


@pytest.mark.parametrize("exif", [b"Exif\0\0no TIFF at all", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x09\0", b"\0"])
@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_metadata_that_cannot_be_read_refuses_no_pixels(tmp_path, exif, suffix):
    picture = Image.new("RGB", (16, 16), BLUE)
    assert colour(images.read(write(picture, tmp_path / f"a.{suffix}", exif=exif))) == pytest.approx([0, 0, 1], abs=0.02)


@pytest.mark.parametrize("size", [(64, 64), 0, 2.5, "64", None, True])
def test_a_wrong_size_is_not_told_as_a_damaged_file(tmp_path, size):
    path = write(Image.new("RGB", (8, 8), RED), tmp_path / "a.png")
    with pytest.raises(ValueError, match="^size: got"):
        images.read(path, size)


@pytest.mark.parametrize("size", [np.int64(8), torch.tensor(8)])
def test_any_integer_is_a_size(tmp_path, size):
    assert images.read(write(Image.new("RGB", (8, 8), RED), tmp_path / "a.png"), size).shape == (1, 3, 8, 8)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (16, 16), c) for c in (RED, GREEN, BLUE)]
    path = write(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert colour(images.read(path)) == pytest.approx([1, 0, 0])


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.png.*does not exist.*expected an image file"):
        images.read(tmp_path / "nothing.png")


def test_folder(tmp_path):
    with pytest.raises(images.ImageError, match="folder.*expected an image file"):
        images.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an image at all"])
def test_not_an_image(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(images.ImageError, match=rf"a\.png.*{len(content)} bytes.*not an image.*expected a format"):
        images.read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "gif", "bmp"])
def test_truncated_file(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = write(Image.fromarray(pixels), tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(images.ImageError, match=rf"a\.{suffix}"):
        images.read(path)


@pytest.mark.parametrize("side", [12_000, 60_000])  # Pillow warns about the first and refuses the second
def test_decompression_bomb(tmp_path, side):
    path = tmp_path / "a.png"
    path.write_bytes(hollow_png(side, side))
    with pytest.raises(images.ImageError, match="too many pixels.*expected at most"):
        images.read(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_a_damaged_file_raises_nothing_but_image_error(tmp_path_factory, data):
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), RED).save(buffer, data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP"])))
    content = bytearray(buffer.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a"
    path.write_bytes(content)
    try:
        assert images.read(path, size=8).shape == (1, 3, 8, 8)
    except images.ImageError as error:
        assert str(path) in str(error)


def test_zero_size():
    with pytest.raises(images.ImageError, match="0×5 pixels, expected at least 1×1"):
        images.from_pil(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_bad_size(size):
    with pytest.raises(ValueError, match="size: got"):
        images.from_pil(Image.new("RGB", (4, 4)), size)


def test_a_float_image_out_of_range():
    with pytest.raises(images.ImageError, match="values from 0 to 255, expected 0 to 1"):
        images.from_pil(Image.fromarray(np.linspace(0, 255, 16, dtype=np.float32).reshape(4, 4)))


# check, save, to_pil


@pytest.mark.parametrize(
    "x, error, message",
    [
        (np.zeros((1, 3, 8, 8)), TypeError, "y: got ndarray, expected a floating-point torch.Tensor"),
        (torch.zeros(3, 8, 8), ValueError, r"y: got shape \(3, 8, 8\), expected \(B, 3, H, W\)"),
        (torch.zeros(1, 1, 8, 8), ValueError, r"got shape \(1, 1, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), ValueError, r"got shape \(0, 3, 8, 8\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "got dtype torch.uint8"),
        (torch.full((1, 3, 8, 8), -1.0), ValueError, r"values from -1 to -1, expected finite values in \[0, 1\]"),
        (torch.full((1, 3, 8, 8), float("nan")), ValueError, "values from nan"),
    ],
)
def test_check_names_what_came_and_what_was_expected(x, error, message):
    with pytest.raises(error, match=message):
        checks.images("y", x)


def test_check_size():
    x = torch.rand(2, 3, 8, 8)
    assert checks.images("x", x, size=8) is x
    with pytest.raises(ValueError, match=r"expected \(B, 3, 64, 64\)"):
        checks.images("x", x, size=64)


def test_save_and_read_round_trip(tmp_path):
    x = torch.rand(1, 3, 64, 64)
    path = images.save(x, tmp_path / "new folder" / "a.png")
    assert (images.read(path) - x).abs().max() <= 0.5 / 255 + 1e-6
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_save_refuses_other_formats_and_batches(tmp_path):
    with pytest.raises(ValueError, match=r"a\.jpg.*ending in \.png"):
        images.save(torch.rand(1, 3, 8, 8), tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="batch of 2, expected one image"):
        images.save(torch.rand(2, 3, 8, 8), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_to_pil_takes_both_shapes():
    x = torch.rand(1, 3, 8, 8)
    assert images.to_pil(x).tobytes() == images.to_pil(x[0]).tobytes()


# The captioned images


def test_captions_columns():
    frame = images.captions()
    assert {"image", "label", "keywords", "style", "concept", "group", "split", "licence"} <= set(frame.columns)
    assert set(frame["split"]) == set(images.SPLITS)
    assert isinstance(frame["image"][0], bytes) and isinstance(frame["keywords"][0], list)
    assert frame["licence"].str.len().gt(0).all()
    frame["label"] = "changed"
    assert images.captions()["label"].nunique() > 1


def test_a_held_out_picture_is_in_no_training_image():
    frame = images.captions()
    train, held_out = (set(frame[frame["split"] == split]["image"]) for split in images.SPLITS)
    assert not train & held_out


def test_load_heldout():
    x, rows = images.load("heldout")
    assert checks.images("x", x, size=64).shape[0] == len(rows)
    assert set(rows["split"]) == {"heldout"}
    assert rows["concept"].is_unique
    place = rows.index[rows["label"] == "ice cream"][0]
    assert torch.equal(x[place : place + 1], images.example("ice cream"))


def test_load_unknown_split():
    with pytest.raises(ValueError, match="split: got 'validation', expected one of 'train', 'heldout', 'tuning', 'test'"):
        images.load("validation")


def test_one_held_out_picture_in_three_is_for_tuning():
    frame = images.captions()
    held_out, tuning, test = (images.of_split(frame, split) for split in ("heldout", "tuning", "test"))
    assert (len(tuning), len(test)) == (96, 192)
    keys = [set(zip(rows["concept"], rows["style"])) for rows in (held_out, tuning, test)]
    assert keys[1] | keys[2] == keys[0] and not keys[1] & keys[2]
    assert not set(tuning["concept"]) & set(test["concept"])


def test_the_two_parts_stay_what_they_are():
    """A figure of one version can be compared with another's only on the same pictures."""
    names = images.of_split(images.captions(), "tuning")[["concept", "style"]].agg("/".join, axis=1)
    assert list(names[:3]) == ["amphora/noto", "baby-bottle/emojione v1", "badger/fluent flat"]
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()
    assert digest == "4464cffb0ca3ed973545ea333d9548df347f09c9825dc8a15b42b8d6ddf0dfe6"


@pytest.mark.parametrize("part", images.PARTS)
def test_the_parts_do_not_depend_on_the_order_of_the_rows(part):
    frame = images.captions()
    shuffled = frame.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(images.of_split(shuffled, part), images.of_split(frame, part))


def test_the_parts_can_be_loaded():
    x, rows = images.load("tuning")
    assert checks.images("x", x, size=64).shape[0] == len(rows) == 96
    assert torch.equal(x[:1], images.example("amphora"))


@pytest.mark.parametrize("draw", [images.tuning, images.examples])
def test_drawn_pictures_are_distinct_seeded_and_nested(draw):
    x, labels = draw(8)
    assert checks.images("x", x, size=64).shape[0] == len(set(labels)) == 8
    fewer, first = draw(4)
    assert first == labels[:4] and torch.equal(fewer, x[:4])
    assert draw(8, seed=1)[1] != labels


def test_all_tuning_pictures_are_those_of_their_part():
    assert set(images.tuning(96)[1]) == set(images.of_split(images.captions(), "tuning")["label"])


@pytest.mark.parametrize("n", [0, 97, 1.5])
def test_tuning_pictures_of_an_impossible_number(n):
    with pytest.raises(ValueError, match="n: got .*, expected an integer"):
        images.tuning(n)


@pytest.mark.parametrize("name", ["ice cream", "Ice Cream ", "ice-cream"])
def test_example_by_label_or_slug(name):
    assert torch.equal(images.example(name), images.example("ice cream"))
    assert checks.images("x", images.example(name), size=64).shape == (1, 3, 64, 64)


@pytest.mark.parametrize("name, near", [("icecream", "ice cream"), ("rice", "cooked rice"), ("spagetti", "spaghetti")])
def test_example_suggests_close_matches(name, near):
    with pytest.raises(ValueError, match=f"name: got '{name}'.*close matches:.*'{near}'"):
        images.example(name)


@pytest.mark.parametrize("name", ["", "qqqqqqqq"])
def test_example_without_any_match(name):
    with pytest.raises(ValueError, match="close matches: none; see images.captions"):
        images.example(name)


def test_example_in_a_style():
    _, rows = images.load("heldout")
    (style,) = rows[rows["label"] == "ice cream"]["style"]
    assert torch.equal(images.example("ice cream", style), images.example("ice cream"))
    with pytest.raises(ValueError, match=f"style: got 'oil', expected for 'ice cream': '{style}'"):
        images.example("ice cream", "oil")


def test_an_example_is_the_same_alone():
    x, labels = images.examples(8)
    assert torch.equal(images.example(labels[0]), x[:1])


def test_examples_are_slices_of_one_shuffle():
    x, labels = images.examples(12)
    others, of_others = images.examples(4, first=8)
    assert torch.equal(others, x[8:]) and of_others == labels[8:]
    assert len(set(images.examples(288)[1])) == 288


@pytest.mark.parametrize("n", [0, 10**6, 1.5])
def test_examples_of_an_impossible_number(n):
    with pytest.raises(ValueError, match="n: got .*expected an integer from 1 to 288"):
        images.examples(n)
    with pytest.raises(ValueError, match="n: got 9, expected an integer from 1 to 8$"):
        images.examples(9, first=280)
    with pytest.raises(ValueError, match="first: got 288, expected an integer from 0 to 287$"):
        images.examples(1, first=288)


def test_missing_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TREG_EDU_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no .parquet file in .*TREG_EDU_DATA"):
        images.captions()


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"PAR1" + bytes(40), b"PAR1"])
def test_a_damaged_table_of_pictures_is_named(tmp_path, monkeypatch, content):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.parquet").write_bytes(content)
    monkeypatch.setenv("TREG_EDU_DATA", str(tmp_path))
    with pytest.raises(checks.ArgumentError, match="^data: got .*a.parquet', which is damaged .*, expected a whole file$"):
        images.captions()


def test_a_table_of_something_else_is_named(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    pd.DataFrame({"label": ["fox"], "image": ["fox.png"]}).to_parquet(tmp_path / "images" / "a.parquet")
    monkeypatch.setenv("TREG_EDU_DATA", str(tmp_path))
    with pytest.raises(checks.ArgumentError, match="^data: got .*a.parquet' without keywords, style, concept, group, split, licence"):
        images.captions()


def test_another_data_folder(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), BLUE).save(buffer, "PNG")
    row = {
        "image": {"bytes": buffer.getvalue(), "path": "a.png"},
        "label": "sea",
        "keywords": ["blue"],
        "style": "flat",
        "concept": "sea",
        "group": "nature",
        "split": "heldout",
        "licence": "CC0-1.0",
    }
    (tmp_path / "images").mkdir()
    pd.DataFrame([row]).to_parquet(tmp_path / "images" / "a.parquet")
    monkeypatch.setenv("TREG_EDU_DATA", str(tmp_path))
    assert colour(images.example("sea")) == pytest.approx([0, 0, 1])


def test_what_is_written_beside_takes_its_place_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.json"
    with files.written_beside(path) as beside:
        beside.write_text("one")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), files.written_beside(path) as beside:
        beside.write_text("tw")
        raise KeyboardInterrupt
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(images.ImageError, match="no regular file"):
        images.read(tmp_path / "pipe.png")
