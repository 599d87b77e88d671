"""treg_edu.memory: counted bytes against those by hand, and the table of docs/stable_diffusion.md."""

import gc
import re
from pathlib import Path

import pytest
import stable_diffusion as sd
import torch

import treg_edu as te
from treg_edu import memory

pytestmark = pytest.mark.once

PAGE = Path(__file__).parents[1] / "docs" / "stable_diffusion.md"


@pytest.fixture(scope="module")
def shapes(prior):
    """Stable Diffusion 1.5 and CLIP ViT-L/14 at their real widths, without a number in them."""
    with torch.device("meta"):
        parts = sd.networks(prior.tokenizer, sd.REAL)
    return memory.as_shapes(sd.prior_of(parts))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_peak_is_what_lives_at_one_time(device):
    a = torch.ones(1000, device=device)

    def chain():
        b = a + 1
        c = b * 2
        del b
        return c.relu()

    assert memory.peak(chain) == 2 * 4000
    assert memory.peak(lambda: (a + 1).view(10, 100).T) == 4000  # a view is no second storage
    assert memory.peak(lambda: (a + 1).half().float()) == 2000 + 4000
    assert memory.peak(lambda: [a + 1, (a + 2).half()]) == 4000 + 4000 + 2000
    assert memory.peak(lambda: torch.stack((a * 2).split(500))) == 8000
    assert memory.peak(lambda: a) == 0 or device == "meta"


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_autograd_keeps_lives(device):
    """Of three exponentials each keeps its result, although no name holds the first two."""

    def chain(requires_grad):
        a = torch.ones(1000, device=device, requires_grad=requires_grad)
        with torch.enable_grad():
            return a.exp().exp().exp()

    assert memory.peak(lambda: chain(True)) == 4 * 4000
    assert memory.peak(lambda: chain(False)) == 3 * 4000  # a itself, and two at a time


def test_nothing_is_left_behind():
    with memory._Live() as live:
        for _ in range(3):
            torch.ones(1000).exp()
        gc.collect()
    assert live.now == 0 and live.most == 8000


def test_weights_are_those_of_the_networks(shapes):
    assert memory.weights(shapes) == {name: 2 * count for name, count in sd.WEIGHTS.items()}
    assert memory.weights(shapes, 4)["unet"] == 4 * sd.WEIGHTS["unet"]


def test_shapes_count_as_numbers_do(prior):
    """The bundled prior, and its shape: the same bytes; attention on a CPU returns another layout, of which autograd keeps a copy more."""
    real, shape = memory.stages(prior), memory.stages(memory.as_shapes(prior, torch.float32))
    assert real.keys() == shape.keys() == set(memory.STAGES)
    for name, count in real.items():
        assert shape[name] == pytest.approx(count, rel=0.15 if name == "gradient" else 0.02), name
    assert prior.unet.device.type == "cpu"


def test_stages_grow_as_they_should(prior):
    shape = memory.as_shapes(prior)
    one, four, larger = memory.stages(shape), memory.stages(shape, batch=4), memory.stages(shape, 128)
    for name in ("decoder", "encoder", "guided noise", "gradient"):
        assert four[name] == pytest.approx(4 * one[name], rel=0.05) and larger[name] == pytest.approx(4 * one[name], rel=0.05)
    assert one["gradient"] > 4 * one["decoder"]


def test_slices_and_tiles_bound_the_decoder(shapes):
    def decoder(side, batch=1):
        return memory.peak(lambda: shapes.decode(torch.empty(batch, 4, side, side, device="meta", dtype=torch.float16)))

    whole, two = decoder(128), decoder(64, 2)
    shapes.vae.enable_tiling()
    tiled = decoder(128)
    shapes.vae.disable_tiling()
    shapes.vae.enable_slicing()
    sliced = decoder(64, 2)
    shapes.vae.disable_slicing()
    assert tiled < 0.4 * whole and sliced < 0.6 * two


def test_the_table_of_the_page_is_what_is_counted(shapes):
    """In GiB, with two digits after the point."""
    text = PAGE.read_text(encoding="utf-8")
    counted = {f"weights, {name}": count for name, count in memory.weights(shapes).items()} | memory.stages(shapes, 512)
    for name, count in counted.items():
        (row,) = re.findall(rf"^\| {re.escape(name)} \| ([\d.]+) \|", text, re.M)
        assert float(row) == pytest.approx(count / 2**30, abs=0.006), name


def test_without_a_clip(prior):
    alone = sd.prior_of(sd.networks(prior.tokenizer) | {"clip": None})
    shape = memory.as_shapes(alone)
    assert "clip" not in memory.weights(shape) and memory.stages(shape, 64)["clip"] == 0
    with pytest.raises(te.checks.ArgumentError, match="^batch: got 0"):
        memory.stages(shape, 64, batch=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_needs_what_was_counted_and_its_workspace(shapes, prior):
    with torch.device("cuda"):
        parts = sd.networks(prior.tokenizer, sd.REAL)
    real = sd.prior_of({name: part if name == "tokenizer" else part.half() for name, part in parts.items()})
    z = torch.zeros(1, 4, 64, 64, device="cuda", dtype=torch.float16)
    counted = memory.stages(shapes, 512)["decoder"]
    real.decode(z)  # libraries are loaded
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.no_grad():
        real.decode(z)
    measured = torch.cuda.max_memory_allocated() - before
    assert 0.9 * counted < measured < 4 * counted
