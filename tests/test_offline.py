"""Everything that ships works with no network, and importing it is cheap."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]

OFFLINE = """
import socket

class NoSocket(socket.socket):
    def __init__(self, *arguments, **settings):
        raise RuntimeError("a socket was opened")

def no_address(*arguments, **settings):
    raise RuntimeError("a name was looked up")

socket.socket, socket.getaddrinfo, socket.create_connection = NoSocket, no_address, no_address

import torch
import treg_edu as te

prior, judge = te.load_prior(), te.load_judge()
for step in te.diffusion.sample(prior, "fox", steps=2):
    pass
operator = te.operators.SuperResolution(factor=16)
y = operator.measure(te.images.example("ice cream"), sigma=0.005, generator=torch.Generator().manual_seed(0))
x_hat = te.solve(te.treg, prior, operator, y, prompt="ice cream", steps=2, progress=False)
print(tuple(step.x_hat.shape), tuple(x_hat.shape), te.metrics.similarity(judge, x_hat, "ice cream").isfinite().all().item())
"""

HEAVY = ["accelerate", "deepinv", "diffusers", "ipywidgets", "matplotlib", "pandas", "resvg", "torchmetrics", "transformers"]


def python(code, **environment):
    variables = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env={**variables, **environment}, capture_output=True, text=True)


def test_the_course_runs_without_a_network():
    done = python(OFFLINE, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 3, 64, 64) (1, 3, 64, 64) True"


def test_only_training_needs_accelerate():
    """Where it is not installed, everything else runs, and says nothing about it; a training says what brings it."""
    hidden = 'import sys\nsys.modules["accelerate"] = sys.modules["peft"] = None\n'  # peft, of the extra lcm, asks for it
    done = python(hidden + OFFLINE, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 3, 64, 64) (1, 3, 64, 64) True" and "accelerate" not in done.stderr
    command = 'sys.argv = ["treg-edu", "train", "vae", "--out", "nowhere", "--minutes", "0"]\nfrom treg_edu.cli import app\napp()'
    done = python(hidden + command)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: accelerate is not installed"), done.stderr
    assert "treg_edu[train]" in done.stderr and not (ROOT / "nowhere").exists()


def test_import_is_light():
    done = python(f"import sys, treg_edu; print([name for name in {HEAVY} if name in sys.modules])")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
