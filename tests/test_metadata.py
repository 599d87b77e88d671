"""Metadata that cannot be read refuse no picture; where Pillow cannot read the pixels, its reason is told."""

import io
import struct
import zlib

import pytest
from picture_files import chunk, png, segment, tiff
from PIL import Image

from treg_edu import images
from treg_edu.bare_pictures import without_metadata

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the same metadata
BLUE = [0, 0, 1]
LARGE = zlib.compress(b"a" * 2**21)  # Pillow unpacks a mebibyte of text at most


def blue(kind, **options):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "blue").save(buffer, kind, **options)
    return buffer.getvalue()


def read(tmp_path, content):
    path = tmp_path / "picture"
    path.write_bytes(content)
    return images.read(path, 8)


PNG_CHUNKS = {
    "text, compressed, too large": chunk(b"zTXt", b"k\0\0" + LARGE),
    "text, no compression known": chunk(b"zTXt", b"k\0\7nonsense"),
    "text, compressed, nonsense": chunk(b"zTXt", b"k\0\0nonsense"),
    "text, compressed, empty": chunk(b"zTXt", b""),
    "international text, too large": chunk(b"iTXt", b"k\0\1\0\0\0" + LARGE),
    "international text, cut": chunk(b"iTXt", b"k\0"),
    "international text, no UTF-8": chunk(b"iTXt", b"k\0\0\0\xe9\0\xe9\0\xe9"),
    "text, empty": chunk(b"tEXt", b""),
    "text, too large": chunk(b"tEXt", b"k\0" + b"a" * (65 * 2**20)),
    "text, too much of it": chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 2**20)) * 65,
    "text, wrong checksum": chunk(b"tEXt", b"k\0v", crc=0),
    "XMP, no XML": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<no"),
    "profile, nonsense": chunk(b"iCCP", b"n\0\0nonsense"),
    "profile, empty": chunk(b"iCCP", b""),
    "profile, no compression known": chunk(b"iCCP", b"n\0\7nonsense"),
    "profile, too large": chunk(b"iCCP", b"n\0\0" + LARGE),
    "profile that is none": chunk(b"iCCP", b"n\0\0" + zlib.compress(b"no profile")),
    "gamma, cut": chunk(b"gAMA", b"\0"),
    "gamma of 0": chunk(b"gAMA", bytes(4)),
    "primaries, cut": chunk(b"cHRM", bytes(3)),
    "primaries of 0": chunk(b"cHRM", bytes(32)),
    "sRGB, empty": chunk(b"sRGB", b""),
    "size of pixels, cut": chunk(b"pHYs", b"\0"),
    "size of pixels 0": chunk(b"pHYs", bytes(9)),
    "EXIF, nonsense": chunk(b"eXIf", b"no"),
    "EXIF, empty": chunk(b"eXIf", b""),
    "animation, cut": chunk(b"acTL", b"\0"),
    "animation of 2 frames that are not there": chunk(b"acTL", struct.pack(">II", 2, 0)),
    "frame, cut": chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", b"\0"),
    "a chunk of no name": chunk(b"\0\1\2\3", b""),
    "an unknown chunk": chunk(b"abCd", b"x"),
}


@pytest.mark.parametrize("name", PNG_CHUNKS)
def test_a_chunk_refuses_no_png(tmp_path, name):
    for place in ({"before": [PNG_CHUNKS[name]]}, {"after": [PNG_CHUNKS[name]]}):
        assert read(tmp_path, png(8, 2, bytes([0, 0, 255]) * 8, **place)).mean((0, 2, 3)).tolist() == BLUE


def exif(*entries):
    directory = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4)


JPEG_SEGMENTS = {
    "EXIF, nonsense": segment(0xE1, b"Exif\0\0no"),
    "EXIF, empty": segment(0xE1, b"Exif\0\0"),
    "EXIF, more entries than there are": segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
    "EXIF that holds itself": segment(0xE1, exif((0x8769, 4, 1, b"\x08\0\0\0"))),
    "orientation, a text": segment(0xE1, exif((0x112, 2, 4, b"abc\0"))),
    "orientation, elsewhere": segment(0xE1, exif((0x112, 3, 9, b"\xff\xff\0\0"))),
    "orientation 99": segment(0xE1, exif((0x112, 3, 1, b"\x63\0\0\0"))),
    "XMP, no XML": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<no"),
    "profile, cut": segment(0xE2, b"ICC_PROFILE\0"),
    "profile, cut later": segment(0xE2, b"ICC_PROFILE\0\1"),
    "profile, part 9 of 1": segment(0xE2, b"ICC_PROFILE\0\x09\1xx"),
    "profile that is none": segment(0xE2, b"ICC_PROFILE\0\1\1no profile"),
    "more pictures, nonsense": segment(0xE2, b"MPF\0no"),
    "Photoshop, cut": segment(0xED, b"Photoshop 3.0\x008BIM"),
    "Photoshop, nonsense": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\xff" + b"a" * 3),
    "Adobe, cut": segment(0xEE, b"Adobe"),
    "JFIF, cut": segment(0xE0, b"JFIF\0"),
    "JFIF of 0": segment(0xE0, b"JFIF\0" + bytes(9)),
    "comment, no text": segment(0xFE, b"\xff\xfe\0"),
    "an unknown segment": segment(0xE5, b"x" * 65000),
    "a length of 0": b"\xff\xe5\0\0",
}


@pytest.mark.parametrize("name", JPEG_SEGMENTS)
def test_a_segment_refuses_no_jpeg(tmp_path, name):
    whole = blue("JPEG", quality=95)
    assert read(tmp_path, whole[:2] + JPEG_SEGMENTS[name] + whole[2:]).mean((0, 2, 3)).tolist() == pytest.approx(BLUE, abs=0.01)


TIFF_TAGS = {
    "resolution elsewhere": (282, 5, 1, b"\xff\xff\0\0"),
    "resolution, a text": (282, 2, 4, b"abc\0"),
    "XMP elsewhere": (700, 1, 40000, b"\xff\xff\0\0"),
    "profile elsewhere": (34675, 7, 4000, b"\xff\xff\0\0"),
    "profile that is none": (34675, 7, 4, b"no\0\0"),
    "EXIF elsewhere": (34665, 4, 1, b"\xff\xff\0\0"),
    "EXIF that holds itself": (34665, 4, 1, b"\x08\0\0\0"),
    "position, nonsense": (34853, 4, 1, b"\x03\0\0\0"),
    "orientation 9": (274, 3, 1, b"\x09\0\0\0"),
    "orientation, a text": (274, 2, 4, b"abc\0"),
    "another type": (40000, 99, 1, bytes(4)),
    "more values than bytes": (40000, 4, 2**31, b"\x08\0\0\0"),
    "description, no text": (270, 2, 4, b"\xe9\xe9\xe9\0"),
    "Photoshop, cut": (34377, 1, 4, b"8BIM"),
}


@pytest.mark.parametrize("name", TIFF_TAGS)
def test_a_tag_refuses_no_tiff(tmp_path, name):
    assert read(tmp_path, tiff(8, 2, bytes([0, 0, 255]), 3, tags=[TIFF_TAGS[name]])).mean((0, 2, 3)).tolist() == BLUE


@pytest.mark.parametrize("flag, kind, body", [(8, b"EXIF", b"no"), (8, b"EXIF", b""), (4, b"XMP ", b"<no"), (32, b"ICCP", b"no")])
def test_a_chunk_refuses_no_webp(tmp_path, flag, kind, body):
    def chunk(kind, body):
        return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    pixels, extended = blue("WEBP", lossless=True)[12:], chunk(b"VP8X", bytes([flag, 0, 0, 0, 7, 0, 0, 7, 0, 0]))
    more = chunk(kind, body)
    content = b"WEBP" + extended + (more + pixels if kind == b"ICCP" else pixels + more)
    assert read(tmp_path, b"RIFF" + struct.pack("<I", len(content)) + content).mean((0, 2, 3)).tolist() == BLUE


# Where it is not the metadata


@pytest.mark.parametrize(
    "content, reason",
    [
        (png(8, 2, bytes([0, 0, 255]) * 8, before=[chunk(b"tRNS", b"\0")]), "Truncated tRNS chunk"),
        (png(8, 2, bytes([0, 0, 255]) * 8, before=[chunk(b"gAMA", b"")])[:60], "gAMA"),  # no pixels at all
        (tiff(8, 2, bytes([0, 0, 255]), 3, tags=[(338, 3, 1, b"\x4d\0\0\0")]), "TIFF: unknown pixel mode"),
        (tiff(16, 1, bytes(4), 2, extra=2), "TIFF: unknown pixel mode"),
        (blue("GIF")[:20], "GIF: "),
        (blue("JPEG")[:200], "Truncated File Read"),
    ],
)
def test_pillows_reason_is_told(tmp_path, content, reason):
    with pytest.raises(images.ImageError, match=f"^path: .*picture' is damaged.*({reason}).*expected a complete image"):
        read(tmp_path, content)


def test_a_turned_picture_is_turned_without_its_other_metadata(tmp_path):
    """Red above blue, taken upside down; its profile is damaged."""
    picture = Image.new("RGB", (8, 8), "red")
    picture.paste("blue", (0, 4, 8, 8))
    turned = Image.Exif()
    turned[0x0112] = 3
    for kind, at, damaged in (("PNG", 33, chunk(b"gAMA", b"")), ("JPEG", 2, segment(0xE2, b"ICC_PROFILE\0"))):
        buffer = io.BytesIO()
        picture.save(buffer, kind, exif=turned, quality=95)
        whole = buffer.getvalue()
        x = read(tmp_path, whole[:at] + damaged + whole[at:])
        assert x[:, :, :3].mean((0, 2, 3)).tolist() == pytest.approx(BLUE, abs=0.1)


def test_what_is_left_out_and_what_is_kept():
    whole = png(8, 3, bytes(8), [chunk(b"PLTE", bytes(3)), chunk(b"tRNS", b"\0"), chunk(b"tEXt", b"k\0v")])
    assert without_metadata(whole) == whole.replace(chunk(b"tEXt", b"k\0v"), b"")
    assert without_metadata(whole[:-14]) == whole[:-14].replace(chunk(b"tEXt", b"k\0v"), b"")  # what is cut stays cut
    jpeg = blue("JPEG")
    assert without_metadata(jpeg) == jpeg
    assert without_metadata(jpeg[:2] + segment(0xFE, b"note") + segment(0xE2, b"x") + jpeg[2:]) == jpeg
    assert without_metadata(b"GIF89a") is None and without_metadata(b"") is None
    for cut in range(0, len(jpeg), 7):
        assert without_metadata(jpeg[:cut]) is None or jpeg[:cut].startswith(without_metadata(jpeg[:cut]))
