"""The files that `tools/fuzz.py` tries: measurements, JSON, weights and folders of models, each changed at random.

Every function takes a `random.Random`, and what it returns depends on nothing else.
"""

import copy
import io
import json
import os
import pickle
import struct
from pathlib import Path
from random import Random

import numpy as np

GIT_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 14877576\n"

# Bytes


def cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def flip_bits(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 8, 64])):
        place = random.randrange(len(changed)) if random.random() < 0.5 else random.randrange(min(len(changed), 128))
        changed[place] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, data: bytes) -> bytes:
    """A number that is at the edge of its type, somewhere, mostly near the start."""
    width, order = random.choice([1, 2, 4, 8]), random.choice("<>")
    value = random.choice([0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), random.randrange(2 ** (8 * width))])
    place = random.randrange(min(len(data), random.choice([32, 128, len(data)])))
    return data[:place] + struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[width], value) + data[place + width :]


def delete_slice(random: Random, data: bytes) -> bytes:
    first = random.randrange(len(data))
    return data[:first] + data[first + random.randrange(1, 64) :]


def repeat_slice(random: Random, data: bytes) -> bytes:
    first = random.randrange(len(data))
    return data[:first] + data[first : first + random.randrange(1, 64)] * random.choice([2, 3, 100]) + data[first:]


def append(random: Random, data: bytes) -> bytes:
    return data + random.randbytes(random.randrange(1, 200))


def replace_all(random: Random, data: bytes) -> bytes:
    return random.choice([b"", b"\0", GIT_LFS, random.randbytes(200), b"<html><body>404 Not Found</body></html>", data[::-1], b"\0" * 4096])


CHANGES_OF_BYTES = (cut, flip_bits, flip_bits, overwrite, overwrite, delete_slice, repeat_slice, append, replace_all)


def changed_bytes(random: Random, data: bytes) -> bytes:
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        data = random.choice(CHANGES_OF_BYTES)(random, data) if data else data
    return data


# Measurements


class Ran:
    """Unpickled, it leaves a file: nothing may unpickle it."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def array(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    """A measurement, or one of another shape, another dtype, or with values that are none."""
    if random.random() < 0.4:
        shape = random.choice([(), (0,), shape[1:], (2, *shape[1:]), (*shape, 1), shape[::-1], (1, 3, 0, 4), (1, 1, *shape[2:]), (4,) * 12])
    values = np.array([random.uniform(0, 1) for _ in range(int(np.prod(shape)))] if np.prod(shape) < 10_000 else 0.5)
    values = np.broadcast_to(values.reshape(shape) if values.ndim else values, shape).copy()
    if random.random() < 0.4 and values.size:
        values.flat[random.randrange(values.size)] = random.choice([np.nan, np.inf, -np.inf, 1e300, -1e38, 3.4e38, -0.0, 1e-320])
    return values


def npy(random: Random, shape: tuple[int, ...]) -> bytes:
    values = array(random, shape)
    dtype = random.choice(["<f4", "<f4", "<f8", ">f4", "<f2", "<i8", "?", "<c8", "U3", "O", "M8[s]", "<f4,<f4", "V7", "g"])
    if dtype == "O":
        values = np.array([Ran(), {"a": 1}], dtype=object)
    with np.errstate(all="ignore"):
        values = values if dtype in "O" else values.astype(dtype) if dtype not in ("M8[s]", "V7") else np.zeros(values.shape, dtype)
    stream = io.BytesIO()
    np.save(stream, values if random.random() < 0.8 else np.asfortranarray(values), allow_pickle=True)
    data = stream.getvalue()
    way = random.randrange(8)
    if way == 0:
        header = random.choice(
            [
                f"{{'descr': '<f4', 'fortran_order': False, 'shape': {(2 ** random.randrange(8, 62),)} }}",
                f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, 'more': {'[' * 900}{']' * 900} }}",
                f"{{'descr': [('a', '<f4')] , 'fortran_order': 0, 'shape': {shape} }}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3, 4, 4)}",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3, 4, 4)}",
                "__import__('os').mkdir('ran')",
                "(" * 200,
                " " * 20_000,
                "",
            ]
        ).encode("latin-1")
        return b"\x93NUMPY\x02\x00" + struct.pack("<I", random.choice([len(header), len(header), 2**32 - 1, 5])) + header + data[128:]
    if way == 1:
        return pickle.dumps(Ran())
    return data if way < 4 else changed_bytes(random, data)


def safetensors(random: Random, shape: tuple[int, ...]) -> bytes:
    values = array(random, shape)
    name = random.choice(["F32", "F32", "F64", "F16", "BF16", "I64", "BOOL", "U8", "F8_E4M3", "C64", "F4", "F99", ""])
    kinds = {"F64": "<f8", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "BOOL": "?", "U8": "u1", "F8_E4M3": "u1", "C64": "<c8"}
    with np.errstate(all="ignore"):
        content = np.nan_to_num(values).astype(kinds.get(name, "<f4")).tobytes() if name != "F32" else values.astype("<f4").tobytes()
    header = {"y": {"dtype": name, "shape": list(values.shape), "data_offsets": [0, len(content)]}}
    if random.random() < 0.2:
        header[random.choice(["", "x", "y\0", "é" * 300])] = header["y"]
    if random.random() < 0.2:
        header["__metadata__"] = random.choice([{}, {"a": "b"}, {"a": 1}, None, []])
    if random.random() < 0.4:
        header = changed_json(random, header)
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + content
    return data if random.random() < 0.6 else changed_bytes(random, data)


# JSON

VALUES = (
    *(None, True, False, "", "x", "é\ud800"[:1], "none", "../..", [], {}, [[]], [None], [1, 2], {"a": 1}, "1", "a" * 5000),
    *(0, 1, -1, 2, 3, 7, 1000, 65537, 10**6, 2**31 - 1, 2**31, 2**63, 10**30, 0.5, -0.5, 1e308, 1e-300, float("nan"), float("inf")),
)


def changed_json(random: Random, value):
    """The same tree with one to three entries dropped, replaced by another type, or made negative or huge."""
    value = json.loads(json.dumps(value))
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        holder, places = value, list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return value
        place = random.choice(places)
        while isinstance(holder[place], (dict, list)) and holder[place] and random.random() < 0.75:
            holder = holder[place]
            place = random.choice(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
        old, way = holder[place], random.randrange(6)
        number = isinstance(old, (int, float)) and not isinstance(old, bool)
        if way == 0:
            del holder[place]
        elif way == 1 and number:
            holder[place] = random.choice([-old, old * 2, old + 1, old - 1, old * 10**6, old / 2, str(old), [old], [old, old]])
        elif way == 2 and isinstance(old, list):
            holder[place] = random.choice([old[:-1], old * 2, old[::-1], [old], old[0] if old else None, [str(each) for each in old]])
        elif way == 3 and isinstance(old, str):
            holder[place] = random.choice([old.upper(), old[:-1], old + "x", [old], {old: old}, "DDPMScheduler", "gelu", "epsilon"])
        else:
            holder[place] = copy.deepcopy(random.choice(VALUES))
    return value


def changed_json_file(random: Random, data: bytes) -> bytes:
    way = random.randrange(12)
    if way == 0:
        return replace_all(random, data)
    if way == 1:
        return random.choice(
            [b"[]", b"{}", b"null", b"3", b'"x"', b"NaN", b"[" * 100_000, b'{"a":' * 50_000, b"\xef\xbb\xbf" + data, b"\xff" + data]
        )
    if way == 2:
        return cut(random, data)
    if way == 3:
        return changed_bytes(random, data)
    return json.dumps(changed_json(random, json.loads(data))).encode()


def changed_weights(random: Random, data: bytes) -> bytes:
    """A safetensors file cut short, with another header, or with other values."""
    length = int.from_bytes(data[:8], "little")
    header, content = data[8 : 8 + length], data[8 + length :]
    way = random.randrange(7)
    if way == 0:
        return replace_all(random, data[:5000])
    if way == 1:
        return cut(random, data) if random.random() < 0.5 else data[: random.randrange(length)]
    if way == 2:
        return struct.pack("<Q", random.choice([0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1])) + header + content
    if way == 3:
        return data[:8] + flip_bits(random, header) + content
    if way == 4:
        changed = json.dumps(changed_json(random, json.loads(header))).encode()
        return struct.pack("<Q", len(changed)) + changed + content
    if way == 5:  # numbers that are none, or huge ones
        place = random.randrange(0, len(content) - 4, 4)
        return (
            data[: 8 + length + place]
            + random.choice([b"\xff\xff\xff\x7f", b"\0\0\x80\x7f", b"\xff\x7b\xff\x7b"])
            + content[place + 4 :]
            + b""
        )
    return data[: 8 + length] + content + random.randbytes(random.randrange(1, 9))


def linked(source: Path, target: Path) -> Path:
    """The folders of `source` made anew under `target`, each file a link to its own."""
    for folder, _, names in os.walk(source):
        here = target / Path(folder).relative_to(source)
        here.mkdir(parents=True, exist_ok=True)
        for name in names:
            (here / name).symlink_to(Path(folder) / name)
    return target


def damage(random: Random, file: Path) -> None:
    """Replace a linked file by a changed copy, by nothing, or by a folder."""
    data = file.read_bytes()
    file.unlink()
    way = random.randrange(24)
    if way == 0:
        return
    if way == 1:
        file.mkdir()
        return
    if file.suffix == ".json":
        file.write_bytes(changed_json_file(random, data))
    elif file.suffix == ".safetensors":
        file.write_bytes(changed_weights(random, data))
    else:
        file.write_bytes(changed_bytes(random, data))
