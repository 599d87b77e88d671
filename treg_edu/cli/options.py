"""Options that several commands share."""

import re
from typing import Annotated

import typer

from ..checks import ArgumentError, expect

Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]


def check_device(device: str) -> None:
    """cpu, cuda or mps, with a number or not, that torch has here."""
    import torch

    expect(re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", device), "device", repr(device), "cpu, cuda or mps")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ArgumentError(
            f"device: got {device!r}, expected one that torch has here, such as cpu ({str(error).splitlines()[0]})"
        ) from error
