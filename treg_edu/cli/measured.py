"""What `treg-edu solve` measures: the operator of its options, and a stored measurement."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import ArgumentError, expect
from .errors import naming, without_native_messages

if TYPE_CHECKING:
    import torch

    from ..operators import Inpainting, Operator

OPTIONS_OF = {
    "sr": ("factor",),
    "blur": ("kernel_size", "blur_sigma"),
    "inpaint": ("box", "mask"),
    "phase": ("oversampling",),
    "gamma": ("exponent",),
}

MOST_MEASURED = 2048
"""Pixels of a side of a zero-padded image, for `FourierMagnitude`."""
LARGEST_VALUE = 1e6
"""Of a measurement, and of its noise: far from where the squares of float32 overflow."""


def make_operator(name: str, size: int, options: Mapping[str, Any]) -> "Operator":
    """The operator of `OPTIONS_OF` by its name.  options: {option: value, None where not given}, of all operators together."""
    from treg_edu import operators

    expect(name in OPTIONS_OF, "operator", repr(name), f"one of {', '.join(OPTIONS_OF)}")
    given = {option: value for option, value in options.items() if value is not None}
    for option in given.keys() - set(OPTIONS_OF[name]):
        owner = next(owner for owner, taken in OPTIONS_OF.items() if option in taken)
        raise ArgumentError(f"{option}: got {given[option]}, which operator {name!r} does not take; expected with {owner!r} alone")
    if name == "sr":
        return operators.SuperResolution(given.get("factor", 16))
    if name == "inpaint":
        expected = "one of them with operator 'inpaint', such as --box 16,16,32,32"
        expect(len(given) == 1, "box, mask", " and ".join(given) or "neither", expected)
        return operators.Inpainting.box(size, *parse_box(given["box"])) if "box" in given else read_mask(given["mask"], size)
    most = {"kernel_size": 4 * size + 1, "oversampling": max(MOST_MEASURED // size, 1)}  # of these the memory grows with the value
    for option in given.keys() & most.keys():
        expect(given[option] <= most[option], option, given[option], f"at most {most[option]} for images of side {size}")
    if "blur_sigma" in given:
        given["sigma"] = given.pop("blur_sigma")
    return operators.OPERATORS[name](**given)


def parse_box(text: str) -> list[int]:
    """ "top,left,height,width" → four ints."""
    parts = text.split(",")
    expect(len(parts) == 4 and all(part.strip().isdecimal() for part in parts), "box", repr(text), "top,left,height,width, in pixels")
    return [int(part) for part in parts]


def read_mask(path: Path, size: int) -> "Inpainting":
    """The inpainting operator of a picture that is white where the image is measured, black where it is hidden."""
    from treg_edu import images, operators

    with naming("mask"), without_native_messages():
        grey = images.read(path, size).mean(1, keepdim=True)
    return operators.Inpainting(grey > 0.5)


def read_measurement(path: str | Path, shape: Sequence[int]) -> "torch.Tensor":
    """The measurement y, of exactly the given shape, from a .safetensors file with a tensor "y", or from a .npy file."""
    path = Path(path)
    readers = {".safetensors": read_safetensors, ".npy": read_npy}
    expect(path.suffix in readers, "measurement", repr(str(path)), "a file ending in .safetensors or .npy")
    with naming("measurement"):
        expect(path.is_file(), "path", repr(str(path)), "a file that exists")
    y = readers[path.suffix](path, tuple(shape))
    hidden = int((~y.isfinite()).sum())
    expect(not hidden, "measurement", f"{hidden} NaN or infinite values in {y.numel()}", "finite values")
    largest = y.abs().max().item()
    expect(largest <= LARGEST_VALUE, "measurement", f"values up to {largest:.4g}", f"at most {LARGEST_VALUE:g}, as images lie in [0, 1]")
    return y


def read_safetensors(path: Path, shape: tuple[int, ...]) -> "torch.Tensor":
    """Tensor "y" of the file, (1, C, h, w), as float32; its shape and dtype are checked before its values are read."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            expect("y" in set(file.keys()), "measurement", f"tensors {sorted(file.keys())} in {str(path)!r}", "a tensor 'y'")
            expect_shape(tuple(file.get_slice("y").get_shape()), shape)
            y = file.get_tensor("y").clone()  # of a view of the file, which Windows would not let anyone replace
    except SafetensorError as error:
        raise ArgumentError(f"measurement: {str(path)!r} is damaged or no safetensors file ({error})") from error
    expect(y.is_floating_point(), "measurement", f"dtype {y.dtype}", "floating point")
    return y.to(torch.float32)


def read_npy(path: Path, shape: tuple[int, ...]) -> "torch.Tensor":
    """The array of the file, (1, C, h, w), as a float32 tensor; no pickles, and nothing is read before its shape is checked."""
    import numpy as np
    import torch

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy has Python parse the header, whose errors are of many types
        raise ArgumentError(f"measurement: {str(path)!r} is damaged or no plain .npy array ({error})") from error
    expect_shape(array.shape, shape)
    expect(np.issubdtype(array.dtype, np.floating), "measurement", f"dtype {array.dtype}", "floating point")
    return torch.from_numpy(array.astype(np.float32))


def expect_shape(came: tuple[int, ...], expected: tuple[int, ...]) -> None:
    expect(came == expected, "measurement", f"shape {came}", f"{expected}, what the operator makes of one image of this --size")
