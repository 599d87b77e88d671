"""deepinv, the independent implementation that our operators are compared with: `from deepinv_reference import deepinv`.

deepinv imports torchvision at its top, which has no CPU build for our torch; nothing that our tests call uses it.
So stand-ins are there while deepinv is imported, and gone afterwards: transformers looks for torchvision and believes them.
"""

import importlib
import sys
from unittest.mock import MagicMock

import torchmetrics  # noqa: F401  asks, once, whether torchvision is installed: it has to ask before the stand-ins are there

STAND_INS = [
    "torchvision",
    "torchvision.utils",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.transforms.v2",
    "torchvision.datasets",
    "torchvision.datasets.folder",
    "torchvision.datasets.utils",
]


def has_torchvision():
    """A torchvision built for another torch raises RuntimeError or OSError, not ImportError."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        return False
    return True


def import_deepinv():
    if has_torchvision():
        return importlib.import_module("deepinv")
    sys.modules.update({name: MagicMock(__spec__=MagicMock(), __path__=[]) for name in STAND_INS})
    try:
        return importlib.import_module("deepinv")
    finally:
        for name in STAND_INS:
            del sys.modules[name]


deepinv = import_deepinv()
