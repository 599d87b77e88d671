"""What is transparent is white, in every mode and every kind of file that Pillow reads."""

import io
import struct

import numpy as np
import pytest
from picture_files import chunk, ico, png, tga, tiff
from PIL import Image

from treg_edu import images

WHITE, BLACK, RED, BLUE, HALF_RED, GREY = [1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0.5, 0.5], [0.2, 0.2, 0.2]
RED_AND_BLUE = bytes([255, 0, 0, 0, 0, 255])
TIFF_COLOURS = [65535, *[0] * 255, *[0] * 256, 0, 65535, *[0] * 254]  # the same, channel by channel


def mean(x):
    return x.mean((0, 2, 3)).tolist()


def key(*values):
    return [chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))]


def palette(alphas):
    return [chunk(b"PLTE", RED_AND_BLUE), chunk(b"tRNS", bytes(alphas))]


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def filled(mode, colour):
    return Image.new(mode, (8, 8), colour)


def two(kind, first, second, **options):
    return saved(first, kind, save_all=True, append_images=[second], **options)


INDEXED = filled("P", 1)
INDEXED.putpalette(RED_AND_BLUE)
GREY_16, COLOUR_16 = struct.pack(">H", 13107) * 8, struct.pack(">HHH", 0x1234, 0xFF00, 3) * 8

FILES = {
    # PNG: a grey or a colour that is transparent, by the file's own depth
    "png grey 1": (png(1, 0, b"\0", key(0)), WHITE),
    "png grey 1, white": (png(1, 0, b"\0", key(1)), BLACK),
    "png grey 2": (png(2, 0, b"\x55\x55", key(1)), WHITE),
    "png grey 2, another": (png(2, 0, b"\x55\x55", key(2)), [1 / 3] * 3),
    "png grey 4": (png(4, 0, b"\x33" * 4, key(3)), WHITE),
    "png grey 4, another": (png(4, 0, b"\x33" * 4, key(0x33)), GREY),
    "png grey 8": (png(8, 0, b"\x33" * 8, key(0x33)), WHITE),
    "png grey 8, another": (png(8, 0, b"\x33" * 8, key(0x34)), GREY),
    "png grey 16": (png(16, 0, GREY_16, key(13107)), WHITE),
    "png grey 16, the next": (png(16, 0, GREY_16, key(13108)), GREY),
    "png colour 8": (png(8, 2, b"\xff\0\0" * 8, key(255, 0, 0)), WHITE),
    "png colour 8, another": (png(8, 2, b"\xff\0\0" * 8, key(255, 0, 1)), RED),
    "png colour 16": (png(16, 2, COLOUR_16, key(0x1234, 0xFF00, 3)), WHITE),
    "png colour 16, another": (png(16, 2, COLOUR_16, key(0x1334, 0xFF00, 3)), [0x12 / 255, 1, 0]),
    # PNG: palettes and alpha
    "png palette 8": (png(8, 3, b"\1" * 8, palette([255, 0])), WHITE),
    "png palette 8, half": (png(8, 3, b"\0" * 8, palette([128, 255])), HALF_RED),
    "png palette 8, fewer alphas": (png(8, 3, b"\1" * 8, palette([0])), BLUE),
    "png palette 4": (png(4, 3, b"\x11" * 4, palette([255, 0])), WHITE),
    "png palette 1": (png(1, 3, b"\xff", palette([255, 0])), WHITE),
    "png grey and alpha 8": (png(8, 4, b"\0\x80" * 8), [0.5] * 3),
    "png grey and alpha 16": (png(16, 4, struct.pack(">HH", 0, 32768) * 8), [0.5] * 3),
    "png grey and alpha 16, opaque": (png(16, 4, struct.pack(">HH", 13107, 65535) * 8), GREY),
    "png colour and alpha 16": (png(16, 6, struct.pack(">4H", 65535, 0, 0, 32768) * 8), HALF_RED),
    "apng": (two("PNG", filled("RGBA", (255, 0, 0, 0)), filled("RGBA", "red")), WHITE),
    # TIFF: extra samples that are alpha, multiplied in before (1) or not (2), or something else (0)
    "tiff grey, associated": (tiff(8, 1, b"\x40\x80", 2, extra=1), [0.25 + 0.5] * 3),
    "tiff grey, associated, nothing": (tiff(8, 1, b"\0\0", 2, extra=1), WHITE),
    "tiff grey, unassociated": (tiff(8, 1, b"\0\0", 2, extra=2), WHITE),
    "tiff grey, unspecified": (tiff(8, 1, b"\0\0", 2, extra=0), BLACK),
    "tiff colour, associated": (tiff(8, 2, b"\x80\0\0\x80", 4, extra=1), HALF_RED),
    "tiff colour, unassociated": (tiff(8, 2, b"\xff\0\0\x80", 4, extra=2), HALF_RED),
    "tiff colour, unspecified": (tiff(8, 2, b"\xff\0\0\0", 4, extra=0), RED),
    "tiff colour 16, associated": (tiff(16, 2, struct.pack("<4H", 32768, 0, 0, 32768), 4, extra=1), HALF_RED),
    "tiff colour 16, unassociated": (tiff(16, 2, struct.pack("<4H", 65535, 0, 0, 32768), 4, extra=2), HALF_RED),
    "tiff palette, alpha": (tiff(8, 3, b"\1\0", 2, extra=2, colours=TIFF_COLOURS), WHITE),
    "tiff palette, unspecified": (tiff(8, 3, b"\1\0", 2, extra=0, colours=TIFF_COLOURS), BLUE),
    # GIF: an index
    "gif": (saved(INDEXED, "GIF", transparency=1), WHITE),
    "gif, another index": (saved(filled("RGB", "red"), "GIF", transparency=200), RED),
    **{f"gif, disposal {n}": (two("GIF", INDEXED, filled("RGB", "red"), transparency=1, disposal=n), WHITE) for n in range(4)},
    # others
    "webp": (saved(filled("RGBA", (255, 0, 0, 128)), "WEBP", lossless=True), HALF_RED),
    "webp, exact": (saved(filled("RGBA", (255, 0, 0, 0)), "WEBP", lossless=True, exact=True), WHITE),
    "webp, animated": (two("WEBP", filled("RGBA", (255, 0, 0, 0)), filled("RGBA", "red"), lossless=True), WHITE),
    "ico 24, its mask": (ico(24, b"\0\0\xff", hidden=True), WHITE),
    "ico 24, opaque": (ico(24, b"\0\0\xff", hidden=False), RED),
    "ico 32": (ico(32, b"\0\0\xff\x80", hidden=False), HALF_RED),
    "ico of a png": (saved(filled("RGBA", (255, 0, 0, 128)), "ICO", sizes=[(8, 8)]), HALF_RED),
    "tga colour": (tga(2, 32, b"\0\0\xff\x80", flags=0x28), HALF_RED),
    "tga grey": (tga(3, 16, b"\0\0", flags=0x28), WHITE),
    "tga palette": (tga(1, 8, b"\1", colours=b"\0\0\xff\xff" + b"\xff\0\0\0", colour_depth=32), WHITE),
    "tga palette, opaque": (tga(1, 8, b"\1", colours=b"\0\0\xff" + b"\xff\0\0", colour_depth=24), BLUE),
    "dds": (saved(filled("RGBA", (255, 0, 0, 128)), "DDS"), HALF_RED),
    "qoi": (saved(filled("RGBA", (255, 0, 0, 128)), "QOI"), HALF_RED),
    "sgi": (saved(filled("RGBA", (255, 0, 0, 128)), "SGI"), HALF_RED),
    "xpm": (b'/* XPM */\nstatic char *a[] = {\n"2 2 2 1",\n"a c None",\n"b c #ff0000",\n"aa",\n"aa"\n};\n', WHITE),
    "xpm, opaque": (b'/* XPM */\nstatic char *a[] = {\n"2 2 2 1",\n"a c None",\n"b c #ff0000",\n"bb",\n"bb"\n};\n', RED),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_transparent_in_a_file_is_white(tmp_path, name):
    content, expected = FILES[name]
    path = tmp_path / "picture"
    path.write_bytes(content)
    assert mean(images.read(path, 8)) == pytest.approx(expected, abs=0.005)


def told(mode, colour, transparency):
    picture = filled(mode, colour)
    picture.info["transparency"] = transparency
    return picture


MODES = {
    "L": (told("L", 51, 51), WHITE),
    "1": (told("1", 0, 0), WHITE),
    "I": (told("I", 13107, 13107), WHITE),
    "I, another": (told("I", 13107, 13106), GREY),
    "I;16": (told("I;16", 13107, 13107), WHITE),
    "I;16B": (told("I;16B", 13107, 13107), WHITE),
    "RGB": (told("RGB", (255, 0, 0), (255, 0, 0)), WHITE),
    "P, an index": (told("P", 0, 0), WHITE),
    "P, alphas": (told("P", 0, b"\0"), WHITE),
    "LA": (filled("LA", (0, 128)), [0.5] * 3),
    "La": (filled("LA", (0, 128)).convert("La"), [0.5] * 3),
    "PA": (filled("PA", (0, 0)), WHITE),
    "RGBA": (filled("RGBA", (255, 0, 0, 128)), HALF_RED),
    "RGBa": (filled("RGBA", (255, 0, 0, 128)).convert("RGBa"), HALF_RED),
    "RGBX": (filled("RGBX", (255, 0, 0, 0)), RED),
    "a palette with alpha": (filled("RGBA", (255, 0, 0, 128)).quantize(), HALF_RED),
}


@pytest.mark.parametrize("name", MODES)
def test_what_is_transparent_in_a_mode_is_white(name):
    picture, expected = MODES[name]
    before = picture.copy(), dict(picture.info)
    assert mean(images.from_pil(picture, 8)) == pytest.approx(expected, abs=0.005)
    assert (picture, dict(picture.info)) == before  # the caller's picture is as it was


def test_a_transparent_value_among_others():
    """Pixel by pixel, at 16 bits, where the neighbour of the transparent value is not transparent."""
    values = np.full((8, 8), 13107, np.uint16)
    values[:, 4:] = 13108
    picture = Image.fromarray(values)
    picture.info["transparency"] = 13108
    x = images.from_pil(picture, 8)
    assert x[..., :4].mean() == pytest.approx(0.2, abs=0.002) and x[..., 4:].eq(1).all()
