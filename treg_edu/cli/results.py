"""What `treg-edu solve` writes and prints."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import expect
from ..files import check_writable, is_leftover
from .errors import naming

if TYPE_CHECKING:
    import torch

    from ..judge import Judge

RESULTS = ("truth.png", "measurement.png", "measurement.safetensors", "reconstruction-*.png", "remeasured-*.png", "metrics.json")


def check_out(out: Path, overwrite: bool, most_bytes: int) -> Path:
    """The folder to write to, as an absolute path; nothing of it is left there yet.  most_bytes: what the results may take."""
    with naming("out"):
        out = Path(out).resolve()
        expect(not out.exists() or out.is_dir(), "out", f"{str(out)!r}, which is a file", "a folder, new or empty")
        held = out.is_dir() and not all(is_leftover(each) for each in out.iterdir())
        expect(overwrite or not held, "out", f"{str(out)!r}, which is not empty", "a new or empty folder, or --overwrite")
        for path in (path for pattern in RESULTS for path in out.glob(pattern)):
            expect(path.is_symlink() or not path.is_dir(), "out", f"{str(out)!r} with a folder {path.name!r}", "a file or nothing there")
        check_writable("out", out, most_bytes)
    return out


def enlarge(x: "torch.Tensor", size: int) -> "torch.Tensor":
    """Each pixel repeated, so that the sides come to about `size`; what is larger already stays.  x: (1, 3, h, w)."""
    return x.repeat_interleave(max(size // x.shape[-2], 1), -2).repeat_interleave(max(size // x.shape[-1], 1), -1)


def spectrum_picture(y: "torch.Tensor") -> "torch.Tensor":
    """A Fourier magnitude as log(1 + y / ȳ) over its maximum, the zero frequency in the middle.  y: (1, 3, h, w)."""
    import torch

    y = y.clamp(min=0)
    bright = (y / y.mean().clamp(min=1e-12)).log1p()
    return torch.fft.fftshift(bright / bright.max().clamp(min=1e-12), dim=(-2, -1))


def finite_ones(x_hat: "torch.Tensor", seeds: list[int]) -> tuple["torch.Tensor", list[int]]:
    """The reconstructions without NaN and infinity, and their seeds, with a warning about the others; where none is left it is an error."""
    finite = [bool(one.isfinite().all()) for one in x_hat]
    expect(any(finite), "seeds", "no reconstruction that is finite", "some: a smaller guidance_scale, or dtype float32, may give them")
    lost = [str(seed) for seed, holds in zip(seeds, finite) if not holds]
    if lost:
        warnings.warn(f"seeds: what {', '.join(lost)} gave has values that are NaN or infinite; left out", stacklevel=2)
    return x_hat[finite], [seed for seed, holds in zip(seeds, finite) if holds]


def write_pictures(
    folder: Path, operator: Any, x: "torch.Tensor | None", y: "torch.Tensor", x_hat: "torch.Tensor", seeds: Sequence[int]
) -> None:
    """Everything but the numbers: what was there, what was measured, what was found, and what it would measure as."""
    from safetensors.torch import save

    from treg_edu import images
    from treg_edu.operators import FourierMagnitude

    def picture(y: "torch.Tensor") -> "torch.Tensor":
        seen = spectrum_picture(y) if isinstance(operator, FourierMagnitude) else y.clamp(0, 1)
        return enlarge(seen, x_hat.shape[-1])

    if x is not None:
        images.save(x, folder / "truth.png")
    images.save(picture(y), folder / "measurement.png")
    (folder / "measurement.safetensors").write_bytes(save({"y": y.contiguous()}))  # not save_file, which takes no name that is no text
    for seed, one in zip(seeds, x_hat.split(1)):
        images.save(one, folder / f"reconstruction-{seed}.png")
        images.save(picture(operator.A(one)), folder / f"remeasured-{seed}.png")


def load_grader() -> "tuple[Judge | None, list[str]]":
    """(judge, labels), to say what a reconstruction shows; (None, []) where no judge ships."""
    from treg_edu import files, images, judge

    if not (files.data_folder() / "judge").is_dir():
        return None, []
    with naming("judge"):
        return judge.load_judge(), sorted(set(images.captions()["label"]))


def grade(
    operator: Any,
    x: "torch.Tensor | None",
    y: "torch.Tensor",
    x_hat: "torch.Tensor",
    prompt: str,
    seeds: Sequence[int],
    grader: "tuple[Judge | None, list[str]]",
) -> tuple[dict[str, Any], list[Exception]]:
    """(grades, bugs): the numbers of metrics.json, and the errors of metrics that no input explains.

    grades: {"per_seed": [one dict a seed], "pixel_variance": over the seeds, None for one seed}.  A metric that cannot be computed is
    None, with a warning: the pictures stand without it.  grader: `load_grader`'s.
    """
    from treg_edu import metrics

    judge, labels = grader
    wanted: dict[str, Callable[[], list[Any]]] = {"misfit": lambda: metrics.misfit(operator, x_hat, y).tolist()}
    if x is not None:
        wanted |= {"psnr": lambda: metrics.psnr(x_hat, x).tolist(), "ssim": lambda: metrics.ssim(x_hat, x).tolist()}
    if judge is not None:
        wanted["similarity"] = lambda: metrics.similarity(judge, x_hat, prompt).tolist()
        wanted["top5"] = lambda: metrics.top_k(judge, x_hat, labels)[0]
    bugs: list[Exception] = []
    columns = {name: computed(name, compute, bugs) or [None] * len(seeds) for name, compute in wanted.items()}
    rows = [{"seed": seed} | dict(zip(columns, values)) for seed, *values in zip(seeds, *columns.values())]
    variance = computed("pixel_variance", lambda: metrics.pixel_variance(x_hat).item(), bugs) if len(seeds) > 1 else None
    return {"per_seed": rows, "pixel_variance": variance}, bugs


def computed(name: str, compute: Callable[[], Any], bugs: list[Exception]) -> Any:
    """What `compute` returns, or None with a warning.  An error that is no matter of sizes, values or memory is added to `bugs`."""
    try:
        return compute()
    except Exception as error:
        warnings.warn(f"{name}: could not be computed ({type(error).__name__}: {error}); it is null in metrics.json", stacklevel=2)
        if not isinstance(error, (ValueError, RuntimeError, MemoryError)):  # torch and torchmetrics raise these for what they are given
            bugs.append(error)
        return None


def print_grades(grades: Mapping[str, Any], out: Path) -> None:
    """The same numbers as a table."""
    from rich.console import Console
    from rich.table import Table

    rows = grades["per_seed"]
    formats = {"seed": "{}", "misfit": "{:.4f}", "psnr": "{:.2f}", "ssim": "{:.3f}", "similarity": "{:.3f}"}
    table = Table(*[name for name in formats if name in rows[0]], *(["looks most like"] if "top5" in rows[0] else []))
    for row in rows:
        cells = ["—" if row[name] is None else form.format(row[name]) for name, form in formats.items() if name in row]
        table.add_row(*cells, *(row["top5"] or ["—"])[:1] if "top5" in row else [])
    console = Console()
    console.print(table)
    if grades["pixel_variance"] is not None:
        console.print(f"pixel variance over {len(rows)} seeds: {grades['pixel_variance']:.2e}")
    console.print(f"written to {out}", soft_wrap=True, highlight=False, markup=False)
