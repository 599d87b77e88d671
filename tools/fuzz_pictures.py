"""Small pictures in the modes and formats that Pillow writes, and damaged ones, for `tools/fuzz.py`."""

import io
import struct
import zlib
from functools import cache
from random import Random

import numpy as np
from fuzz_inputs import changed_bytes, cut
from PIL import Image, ImageCms, PngImagePlugin, features

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/></x:xmpmeta>"


@cache
def pictures() -> dict[str, bytes]:
    """{name: bytes}: one small picture in the modes and formats that Pillow writes, with and without metadata."""
    noise = Random(0)
    pixels = np.array([noise.randrange(256) for _ in range(24 * 20 * 4)], dtype=np.uint8).reshape(20, 24, 4)
    rgba = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[274], exif[270] = 6, "turned"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "α" * 50)
    text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    metadata = {"exif": exif, "icc_profile": profile}
    grey = Image.fromarray(pixels[..., 0].astype(np.float32) / 255)
    frames = [rgba.convert("RGB").rotate(90), rgba.convert("RGB").rotate(180)]
    animated = {"save_all": True, "append_images": frames}
    plain = [("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    plain += [("PNG", "RGB", metadata), ("PNG", "RGB", {"pnginfo": text}), ("PNG", "RGB", {"transparency": (1, 2, 3)})]
    plain += [("PNG", "P", {"transparency": bytes(range(200))}), ("PNG", "L", {"transparency": 7}), ("PNG", "RGBA", animated)]
    plain += [("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")]
    plain += [("JPEG", "RGB", metadata | {"xmp": XMP}), ("JPEG", "RGB", {"progressive": True})]
    plain += [("GIF", "P", {}), ("GIF", "P", {"transparency": 3}), ("GIF", "RGB", animated)]
    plain += [("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I", "I;16", "YCbCr")]
    plain += [("TIFF", "RGB", {"compression": name}) for name in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits")]
    plain += [("TIFF", "1", {"compression": "group4"}), ("TIFF", "RGB", metadata), ("TIFF", "RGB", animated)]
    plain += [("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")] + [("DIB", "RGB", {})]
    plain += [("ICO", "RGBA", {"sizes": [(16, 16), (20, 20)]}), ("ICO", "RGBA", {"bitmap_format": "bmp"}), ("ICNS", "RGBA", {})]
    plain += [("PPM", mode, {}) for mode in ("1", "L", "RGB", "I;16")]
    plain += [("TGA", "RGBA", {}), ("TGA", "P", {"compression": "tga_rle"}), ("PCX", "RGB", {}), ("SGI", "RGB", {}), ("DDS", "RGBA", {})]
    plain += [("MSP", "1", {}), ("XBM", "1", {}), ("SPIDER", "F", {}), ("TIFF", "F", {}), ("PPM", "F", {})]
    if features.check("webp"):
        plain += [
            ("WEBP", "RGB", {}),
            ("WEBP", "RGBA", {"lossless": True}),
            ("WEBP", "RGB", metadata | {"xmp": XMP}),
            ("WEBP", "RGB", animated),
        ]
    if features.check("jpg_2000"):
        plain += [("JPEG2000", "RGB", {}), ("JPEG2000", "LA", {})]
    if features.check("avif"):
        plain += [("AVIF", "RGBA", {}), ("AVIF", "RGB", {"exif": exif})]
    saved = {}
    for number, (form, mode, options) in enumerate(plain):
        image = grey if mode == "F" else Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else rgba.convert("RGB")
        image = image if mode in ("F", "I;16") else rgba if mode == "RGBA" else rgba.convert("L").convert(mode) if mode == "I" else image
        if mode == "LAB":
            image = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
        stream = io.BytesIO()
        image.convert(mode).save(stream, form, **options)
        saved[f"{number:02d}-{mode.replace(';', '')}.{form.lower()}"] = stream.getvalue()
    return saved


@cache
def large(mode: str) -> bytes:
    """A PNG or TIFF of as many pixels as Pillow decodes without a word."""
    side = 9400
    stream = io.BytesIO()
    image = Image.new("F" if mode == "F" else mode, (side, side), 0)
    image.save(stream, "TIFF", compression="tiff_adobe_deflate") if mode == "F" else image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def inflated(content: bytes) -> bytes:
    """What a chunk's content unpacks to; itself where an earlier change has spoilt it."""
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


def changed_png(random: Random, data: bytes) -> bytes:
    """Other chunks, with checksums that fit, so that the decoder reads on."""
    chunks = png_chunks(data)
    for _ in range(random.choice([1, 1, 2])):
        place = random.randrange(len(chunks))
        name, content = chunks[place]
        way = random.randrange(6)
        if way == 0 and name == b"IHDR":
            sides = [random.choice([0, 1, 2, 19, 9400, 30_000, 2**31 - 1, 2**32 - 1]) for _ in range(2)]
            chunks[place] = (name, struct.pack(">II", *sides) + bytes(random.choice([0, 1, 2, 3, 4, 6, 8, 16]) for _ in range(5)))
        elif way == 1:
            del chunks[place]
        elif way == 2:
            chunks.insert(random.randrange(len(chunks)), chunks[place])
        elif way == 3 and name == b"IDAT":
            chunks[place] = (name, zlib.compress(cut(random, inflated(content))))
        elif way == 4:
            extra = random.choice(
                [b"eXIf", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"tRNS", b"PLTE", b"gAMA", b"cHRM", b"acTL", b"fcTL", b"pHYs"]
            )
            chunks.insert(1, (extra, random.randbytes(random.randrange(40))))
        else:
            chunks[place] = (name, changed_bytes(random, content) if content else random.randbytes(9))
        if not chunks:
            break
    parts = (len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big") for name, content in chunks)
    return data[:8] + b"".join(parts)


def picture(random: Random) -> tuple[str, bytes]:
    """(name, bytes) of a picture, most of them damaged in some way."""
    if random.random() < 0.01:
        mode = random.choice(["1", "L", "RGBA", "I;16", "F"])
        return f"large.{'tiff' if mode == 'F' else 'png'}", large(mode)
    name, data = random.choice(sorted(pictures().items()))
    if random.random() < 0.05:
        return name, data
    if name.endswith(".png") and random.random() < 0.6:
        return name, changed_png(random, data)
    if random.random() < 0.1:
        other = random.choice(sorted(pictures().values()))
        return name, data[: random.randrange(len(data))] + other[random.randrange(len(other)) :]
    return name, changed_bytes(random, data)
