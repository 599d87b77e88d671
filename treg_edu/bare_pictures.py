"""PNG and JPEG files without their metadata, for those that Pillow refuses because of it: the pixels are as good as before."""

from collections.abc import Iterator

__all__ = ["without_metadata"]

PNG = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf")
"""What the pixels are made of, and how they are turned."""

JPEG = b"\xff\xd8"
SCAN = 0xDA
APPLICATION = {0xE0: 14, 0xE1: 2, 0xEE: 12}
"""The application segments that say how pixels are read (JFIF, Adobe) or turned (Exif), and how long they are at least."""


def without_metadata(content: bytes) -> bytes | None:
    """The file without text, profiles and what else does not make its pixels; None where it is no PNG or JPEG."""
    if content.startswith(PNG):
        return PNG + b"".join(chunk for kind, chunk in _chunks(content) if kind in PNG_CHUNKS)
    if content.startswith(JPEG):
        return JPEG + b"".join(segment for marker, segment in _segments(content) if _makes_pixels(marker, segment))
    return None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, chunk) in turn: length, kind, data, checksum; the last one as far as it goes.  (PNG specification, §5.3)"""
    start = len(PNG)
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        yield content[start + 4 : start + 8], content[start:end]
        start = end


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, segment) in turn: 0xFF, marker, length, data; the scan and all after it are the last one.  (ITU T.81, annex B)"""
    start = len(JPEG)
    while start + 4 <= len(content):
        marker = content[start + 1]
        end = start + 2 + max(int.from_bytes(content[start + 2 : start + 4], "big"), 2)
        if content[start] != 0xFF or marker == SCAN:
            end = len(content)
        yield marker, content[start:end]
        start = end


def _makes_pixels(marker: int, segment: bytes) -> bool:
    """Not so comments, and application segments but for some of sufficient length."""
    if 0xE0 <= marker <= 0xEF:
        return len(segment) - 2 >= APPLICATION.get(marker, len(segment))
    return marker != 0xFE
