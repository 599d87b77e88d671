"""Picture files byte by byte, for what Pillow does not write."""

import struct
import zlib


def chunk(kind, body, crc=None):
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)


def png(depth, kind, row, before=(), after=()):
    """8×8 pixels, eight equal rows.  kind: 0 grey, 2 colour, 3 palette, 4 grey and alpha, 6 colour and alpha."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + pixels + b"".join(after) + chunk(b"IEND", b"")


def tiff(bits, photometric, pixel, samples, extra=None, colours=None, tags=()):
    """8×8 equal pixels, uncompressed, little-endian.  extra: what samples beyond the colours are.  tags: (tag, type, count, 4 bytes)."""
    short = {256: [8], 257: [8], 258: [bits] * samples, 259: [1], 262: [photometric], 277: [samples], 278: [8]}
    if extra is not None:
        short[338] = [extra]
    if colours is not None:
        short[320] = colours
    entries = {tag: (3, len(values), struct.pack(f"<{len(values)}H", *values)) for tag, values in short.items()}
    entries |= {273: (4, 1, None), 279: (4, 1, struct.pack("<I", 64 * len(pixel)))}
    entries |= {tag: (kind, count, value) for tag, kind, count, value in tags}
    far = 8 + 2 + 12 * len(entries) + 4
    start = far + sum(len(value) for _, _, value in entries.values() if value is not None and len(value) > 4)
    directory, values = b"", b""
    for tag, (kind, count, value) in sorted(entries.items()):
        value = struct.pack("<I", start) if value is None else value
        if len(value) > 4:
            value, values = struct.pack("<I", far + len(values)), values + value
        directory += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4) + values + pixel * 64


def tga(kind, depth, pixel, flags=0x20, colours=b"", colour_depth=0):
    """8×8 equal pixels.  kind: 1 palette, 2 colour, 3 grey."""
    count = len(colours) * 8 // colour_depth if colours else 0
    return struct.pack("<BBBHHBHHHHBB", 0, bool(colours), kind, 0, count, colour_depth, 0, 0, 8, 8, depth, flags) + colours + pixel * 64


def ico(depth, pixel, hidden):
    """One icon of 8×8 equal pixels as a bitmap.  hidden: whether its mask hides them."""
    bitmap = struct.pack("<IiiHHIIiiII", 40, 8, 16, 1, depth, 0, 0, 0, 0, 0, 0) + pixel * 64 + (b"\xff\0\0\0" if hidden else bytes(4)) * 8
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 8, 8, 0, 0, 1, depth, len(bitmap), 22) + bitmap


def segment(marker, body):
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
