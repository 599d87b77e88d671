"""How fast, as ratios: two things timed in turn, A B A B …, in one process, so that a busy machine slows both alike.

TReg is compared with plain sampling, an operator with deepinv's of the same kind where deepinv can be imported, a closed form with
conjugate gradient.
"""

import importlib
import inspect
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from . import checks, diffusion
from .costs import COUNTED, cost
from .operators import GaussianBlur, Inpainting, LinearOperator, SuperResolution
from .priors import LatentDiffusion, load_prior
from .solvers import SOLVERS, solve, treg

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Row", "import_deepinv", "ratio", "run", "seconds", "table"]

STEPS, BATCH = 20, 4
SHORT, GUIDANCE, SIGMA = 10, 2.5, 0.005  # of the table of solvers
IMAGES = (16, 3, 64, 64)
GAMMA = 10.0  # of prox_l2
Call = Callable[[], object]


class Row(NamedTuple):
    """One line of the table.  value: a ratio, or seconds where `unit` says so.  target: the most it may be, or None."""

    what: str
    value: float
    target: float | None = None
    unit: str = ""

    @property
    def ok(self) -> bool | None:
        return None if self.target is None else self.value <= self.target


def seconds(function: Call) -> float:
    """Wall time of one call; what it left running on a GPU is waited for."""
    started = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def ratio(a: Call, b: Call, repetitions: int = 5, calls: int = 1) -> float:
    """median seconds of a / median seconds of b: each called once to warm up, then timed in turn, `calls` calls a timing."""
    repetitions, calls = checks.integer("repetitions", repetitions), checks.integer("calls", calls)
    a(), b()
    times = [(seconds(lambda: _repeat(a, calls)), seconds(lambda: _repeat(b, calls))) for _ in range(repetitions)]
    of_a, of_b = zip(*times)
    return statistics.median(of_a) / statistics.median(of_b)


def _repeat(function: Call, calls: int) -> None:
    for _ in range(calls):
        function()


# Sampling and solving


def sampling(prior: LatentDiffusion, batch: int, steps: int, **settings: Any) -> Call:
    """A function that draws `batch` pictures by plain guided DDIM, and throws them away."""

    def run() -> None:
        for _ in diffusion.sample(prior, ["fox"] * batch, steps=steps, **settings):
            pass

    return run


def sampling_rows(prior: LatentDiffusion, repetitions: int) -> list[Row]:
    """What TReg costs over plain sampling; what a batch saves; how long sixteen pictures take.

    TReg as published reconciles at every third of the first 85 % of the steps; a prior may recommend more.
    """
    guidance = prior.recommended["treg"].get("guidance_scale", 7.5)
    operator = SuperResolution(16)
    y = operator.measure(torch.rand(BATCH, 3, 64, 64), sigma=0.005)
    settings = {**prior.recommended["treg"], "steps": STEPS}
    published = {name: value for name, value in settings.items() if name not in ("every", "until")}

    def reconstructing(settings: dict[str, Any]) -> Call:
        return lambda: solve(treg, prior, operator, y, "fox", progress=False, **settings)

    plain = sampling(prior, BATCH, STEPS, guidance_scale=guidance)
    many, one = sampling(prior, 16, STEPS // 4, guidance_scale=guidance), sampling(prior, 1, STEPS // 4, guidance_scale=guidance)
    return [
        Row(f"TReg / DDIM, {STEPS} steps, batch {BATCH}, Γ as published", ratio(reconstructing(published), plain, repetitions), 1.25),
        Row(f"TReg / DDIM, {STEPS} steps, batch {BATCH}, Γ as recommended", ratio(reconstructing(settings), plain, repetitions), 1.25),
        Row("one image in a batch of 16 / one image alone", ratio(many, one, repetitions) / 16, 0.6),
        Row("16 images, 50 guided steps", seconds(sampling(prior, 16, 50, guidance_scale=guidance)), unit=" s"),
    ]


# What each solver costs


def unit_seconds(prior: LatentDiffusion, operator: Any, repetitions: int) -> dict[str, float]:
    """Seconds of one pass of each kind that `costs.Cost` counts, for one image: the median of several, each on BATCH images."""
    x, null = torch.rand(BATCH, *IMAGES[1:]), prior.embed_text([""] * BATCH)
    z = torch.randn(BATCH, *prior.latent_shape())
    passes: dict[str, tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]] = {
        "unet": (z, lambda z: prior.predict_noise(z, 500, null)),
        "decoder": (z, prior.decode),
        "encoder": (x, prior.encode),
        "clip": (x, prior.embed_images),
        "products": (x, operator.A),
    }

    def there(function: Callable[[torch.Tensor], torch.Tensor], argument: torch.Tensor) -> None:
        with torch.no_grad():
            function(argument)

    def and_back(function: Callable[[torch.Tensor], torch.Tensor], argument: torch.Tensor) -> None:
        with torch.enable_grad():
            function(argument.requires_grad_()).sum().backward()

    found = {}
    for name, (argument, function) in passes.items():
        there(function, argument)
        found[name] = median_seconds(lambda: there(function, argument), repetitions) / BATCH  # noqa: B023
        if name in ("unet", "decoder", "encoder"):
            both = median_seconds(lambda: and_back(function, argument), repetitions) / BATCH  # noqa: B023
            found[f"{name}_backward"] = both - found[name]
    return found


def median_seconds(function: Call, repetitions: int) -> float:
    """The median wall time of several calls."""
    return statistics.median(seconds(function) for _ in range(repetitions))


def solver_rows(prior: LatentDiffusion, repetitions: int) -> list[dict[str, Any]]:
    """What each solver that runs on this prior costs on one batch of measurements, at SHORT steps: a row a solver.

    DDIM: its seconds in units of plain guided sampling.  explained: that ratio over the one of the seconds that the counted passes of both
    take by themselves, about 1 where nothing but the passes costs time.
    """
    operator = SuperResolution(16)
    y = operator.measure(torch.rand(BATCH, *IMAGES[1:]), SIGMA)
    plain = sampling(prior, BATCH, SHORT, guidance_scale=GUIDANCE)
    unit = unit_seconds(prior, operator, repetitions)
    rows = []
    for name, solver in SOLVERS.items():
        takes = inspect.signature(solver).parameters
        offered = {"steps": SHORT, "sigma": SIGMA, "guidance_scale": GUIDANCE, "seed": 0}
        settings = {argument: value for argument, value in offered.items() if argument in takes}
        try:
            solver(prior, operator, y, "fox", **settings)
        except checks.ArgumentError:  # it wants a prior of pixels, or another operator
            continue
        found, ddim = cost(solver, prior, operator, y, "fox", **settings), median_seconds(plain, repetitions)
        counts = {each: getattr(found, each) for each in COUNTED}
        of_passes = sum(counts[each] * unit.get(each, 0.0) for each in counts) / (2 * SHORT * unit["unet"])
        to_ddim = found.seconds / ddim
        rows.append({"solver": name} | counts | {"MiB": found.kept / 2**20, "DDIM": to_ddim, "explained": to_ddim / of_passes})
    return rows


def solver_table(rows: list[dict[str, Any]]) -> "Table":
    """The rows of `solver_rows` as a rich table."""
    from rich.table import Table

    titles = [
        "solver",
        "U-Net",
        "back",
        "decoder",
        "back",
        "encoder",
        "back",
        "CLIP",
        "products with A",
        "MiB kept",
        "time / DDIM",
        "/ counted",
    ]
    view = Table(*titles, title=f"{SHORT} steps, ω = {GUIDANCE}, {BATCH} images ×16: passes for one image")
    for row in rows:
        name, *numbers, memory, ratio_to_ddim, explained = row.values()
        view.add_row(name, *(f"{number:g}" for number in numbers), f"{memory:.0f}", f"{ratio_to_ddim:.2f}", f"{explained:.2f}")
    return view


# Operators


def import_deepinv() -> ModuleType | None:
    """deepinv, None where it is not there, or where the torchvision that it imports is not there or not built for this torch."""
    try:
        return importlib.import_module("deepinv")
    except (ImportError, RuntimeError, OSError):
        return None


def operator_pairs(deepinv: ModuleType) -> list[tuple[str, LinearOperator, Any]]:
    """[(name, ours, deepinv's), …] for images of the shape IMAGES, with one and the same mask, kernel size and factor."""
    physics, side = deepinv.physics, IMAGES[-1]
    box = Inpainting.box(side, 16, 16, 32, 32)
    gaussian = physics.functional.gaussian_blur
    paper, mild = (gaussian(psf_size=(size, size), sigma=(sigma, sigma)) for sigma, size in [(5.0, 61), (1.5, 9)])
    return [
        *[
            (f"SuperResolution({f}) / Downsampling", SuperResolution(f), physics.Downsampling(IMAGES[1:], filter="bicubic", factor=f))
            for f in (4, 16)
        ],
        ("GaussianBlur(1.5, 9) / Blur", GaussianBlur(1.5, 9), physics.Blur(mild, padding="reflect")),
        ("GaussianBlur(1.5, 9) / BlurFFT", GaussianBlur(1.5, 9), physics.BlurFFT(IMAGES[1:], filter=mild)),
        ("GaussianBlur(5, 61) / BlurFFT", GaussianBlur(5.0, 61), physics.BlurFFT(IMAGES[1:], filter=paper)),
        ("Inpainting / Inpainting", box, physics.Inpainting(IMAGES[1:], mask=box.mask[0].float())),
    ]


@torch.no_grad()
def operator_rows(deepinv: ModuleType, repetitions: int) -> list[Row]:
    """A, A_adjoint and prox_l2 of each of our operators against deepinv's of the same kind."""
    rows = []
    for name, *pair in operator_pairs(deepinv):
        calls = zip(*map(operator_calls, pair))
        rows += [Row(f"{name}: {what}", ratio(a, b, repetitions, calls=5), 1.0) for what, (a, b) in zip(TIMED, calls)]
    return rows


TIMED = ("A", "A_adjoint", "prox_l2")


def operator_calls(operator: Any) -> list[Call]:
    """The methods of TIMED, each as a call without arguments."""
    x, z = torch.rand(IMAGES), torch.rand(IMAGES)
    y = operator.A(x)
    return [lambda: operator.A(x), lambda: operator.A_adjoint(y), lambda: operator.prox_l2(z, y, GAMMA)]


@torch.no_grad()
def closed_form_rows(repetitions: int) -> list[Row]:
    """prox_l2 by the singular value decomposition against prox_l2 by conjugate gradient, which stops at a residual of 1e-6."""
    operators = {"SuperResolution(4)": SuperResolution(4), "GaussianBlur(5, 61)": GaussianBlur(5.0, 61)}
    return [closed_form_row(name, operator, repetitions) for name, operator in operators.items()]


def closed_form_row(name: str, operator: LinearOperator, repetitions: int) -> Row:
    """The accuracy of both, the largest difference to the closed form in float64, is told with the ratio."""
    x, z = torch.rand(IMAGES), torch.rand(IMAGES)
    y = operator.A(x)
    exact = operator.prox_l2(z.double(), y.double(), GAMMA)
    closed, iterated = lambda: operator.prox_l2(z, y, GAMMA), lambda: LinearOperator.prox_l2(operator, z, y, GAMMA)
    errors = " / ".join(f"{(prox() - exact).abs().max().item():.0e}" for prox in (closed, iterated))
    return Row(f"{name}.prox_l2: SVD / conjugate gradient (errors {errors})", ratio(closed, iterated, repetitions, calls=5), 1.0)


# Import


def import_rows(repetitions: int) -> list[Row]:
    """A fresh process that imports treg_edu against one that imports torch."""

    def importing(module: str) -> Call:
        return lambda: subprocess.run([sys.executable, "-c", f"import {module}"], cwd=Path(__file__).resolve().parents[1], check=True)

    return [Row("import treg_edu / import torch", ratio(importing("treg_edu"), importing("torch"), repetitions), 1.5)]


# The table


def run(repetitions: int = 5, deepinv: ModuleType | None = None) -> list[Row]:
    """Measure everything, print one table, and return its rows.

    deepinv: the module, where it cannot be imported by itself; `tools/bench_with_deepinv.py` passes it.
    """
    from rich.console import Console

    repetitions = checks.integer("repetitions", repetitions)
    console = Console()
    deepinv = deepinv or import_deepinv()
    rows = import_rows(repetitions) + closed_form_rows(repetitions)
    if deepinv is None:
        console.print("not compared with deepinv, which cannot be imported; in a checkout, `make bench` imports it without torchvision")
    else:
        rows += operator_rows(deepinv, repetitions)
    prior = load_prior()
    rows += sampling_rows(prior, repetitions)
    console.print(table(rows))
    console.print(solver_table(solver_rows(prior, repetitions)))
    console.print(f"{torch.get_num_threads()} threads; medians of {repetitions} timings in turn; operators on images of shape {IMAGES}")
    return rows


def table(rows: list[Row]) -> "Table":
    """The rows as a rich table: what, ratio, target, ok."""
    from rich.table import Table

    view = Table("what", "ratio", "target", "ok")
    for row in rows:
        target = "" if row.target is None else f"≤ {row.target:g}"
        view.add_row(row.what, f"{row.value:.2f}{row.unit}", target, {True: "yes", False: "no", None: ""}[row.ok])
    return view
