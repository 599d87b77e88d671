"""`treg-edu solve`: a picture or a stored measurement, an instrument and a text in; pictures and numbers out."""

import inspect
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..checks import ArgumentError, expect
from ..files import json_text, write_text, written_folder
from ..priors.loading import PIXEL, RECOMMENDED
from ..solvers import SOLVERS
from ..solvers.common import WITHOUT_NOISE
from .errors import naming, one_line_errors, without_native_messages
from .measured import LARGEST_VALUE, OPTIONS_OF, make_operator, read_measurement
from .options import Device, check_device
from .results import RESULTS, check_out, finite_ones, grade, load_grader, print_grades, write_pictures

SIGMA = 0.005
NOISE_SEED = 10_000
LARGEST_SIDE = 4096
MOST_PIXELS = 2**21
"""Of all reconstructions together, on a CPU, where a prior as small as the bundled one then takes some 3 GiB."""
MOST_ITERATIONS = 10_000
DTYPES = ("float32", "bfloat16", "float16")
EMPTY_WORDS = {"a", "an", "and", "in", "of", "on", "the", "with"}
HUB_NAME = r"\w[\w.-]*/\w[\w.-]*"


def solver_settings(solver: Callable[..., Any], recommended: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a solver by name: its own defaults, under what the prior recommends, under what the user gave.

    given: {name: value, None where not given}; what the solver does not take is an error, what is merely recommended is dropped, and told.
    """
    parameters = inspect.signature(solver).parameters.values()
    settings = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ("seed", "sigma")}
    for name, value in given.items():
        takes = f"none: solver {solver.__name__!r} does not take it, but {', '.join(settings)}"
        expect(value is None or name in settings, name, repr(value), takes)
    foreign = [name for name in recommended if name not in settings]
    if foreign:
        warnings.warn(f"prior: its {RECOMMENDED} has {', '.join(foreign)}, which solver {solver.__name__!r} does not take", stacklevel=2)
    settings |= {name: value for name, value in recommended.items() if name in settings}
    return settings | {name: value for name, value in given.items() if value is not None}


@contextmanager
def told_of_recommended(recommended: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[None]:
    """An error about a setting that is the prior's and not the user's names the file that it comes from."""
    try:
        yield
    except ArgumentError as error:
        name = str(error).partition(":")[0]
        if name in recommended and given.get(name) is None:
            raise ArgumentError(f"prior: {RECOMMENDED}: {error}") from error
        raise


def assigned(assignments: Sequence[str], elsewhere: Collection[str]) -> dict[str, Any]:
    """{name: value} of NAME=VALUE texts: a number, true, false, or a text; none is None.  elsewhere: names with an option of their own."""
    found: dict[str, Any] = {}
    for each in assignments:
        name, equals, text = each.partition("=")
        expect(name.isidentifier() and equals, "set", repr(each), "NAME=VALUE")
        expect(name not in {*elsewhere, *found}, "set", f"{name} again", "a setting once, by its own option where it has one")
        try:
            value = None if text.lower() == "none" else json.loads(text)
        except (ValueError, RecursionError):
            value = text
        small = not isinstance(value, int) or abs(value) <= MOST_ITERATIONS
        expect(small, "set", repr(each[:80]), f"a number of at most {MOST_ITERATIONS} where it is whole")
        found[name] = value
    return found


def check_noise(sigma: float | None, noise_seed: int | None, measurement: Path | None, needed: bool) -> tuple[float, int]:
    """(sigma, noise_seed) of the noise that is added to the measurement of IMAGE; a stored measurement has its noise already.

    needed: whether the solver asks how large it is.
    """
    stored = measurement is not None
    expect(not stored or noise_seed is None, "noise_seed", f"{noise_seed}, which a stored measurement does not take", "it with IMAGE alone")
    if needed:
        told = not stored or sigma is not None
        expect(told, "sigma", "none", "the deviation of the noise in the stored measurement, which this solver needs")
    else:
        expect(not stored or sigma is None, "sigma", f"{sigma}, which a stored measurement does not take", "it with IMAGE alone")
    return SIGMA if sigma is None else sigma, NOISE_SEED if noise_seed is None else noise_seed


def check_numbers(seeds: int, seed: int, noise_seed: int, sigma: float, iterations: int | None) -> None:
    """The ranges that no library function checks, or checks only after minutes."""
    expect(1 <= seeds <= MOST_PIXELS, "seeds", seeds, "at least 1, and few enough for the memory")
    expect(0 <= seed < 2**32, "seed", seed, "0 to 2³² − 1")
    expect(0 <= noise_seed < 2**32, "noise-seed", noise_seed, "0 to 2³² − 1")
    expect(0 <= sigma <= LARGEST_VALUE, "sigma", sigma, f"a number from 0 to {LARGEST_VALUE:g}")
    expect(iterations is None or 1 <= iterations <= MOST_ITERATIONS, "iterations", iterations, f"1 to {MOST_ITERATIONS}")


def check_size(name: str, size: int, seeds: int, device: str) -> None:
    """A side of images, and how many of them: what the memory holds.  name: what gave the side."""
    expect(1 <= size <= LARGEST_SIDE, name, f"images of side {size}" if name != "size" else size, f"1 to {LARGEST_SIDE}")
    fits = seeds * size**2 <= MOST_PIXELS or not device.startswith("cpu")
    expect(fits, f"seeds, {name}", f"{seeds} images of {size}×{size}", f"at most {MOST_PIXELS} pixels together on a CPU")


def check_prior(prior: str | None) -> None:
    """None, "pixel", a diffusers folder, or what may be the name of a model on the hub, before anything is fetched."""
    if prior is not None and prior != PIXEL:
        with naming("prior"):
            there = (Path(prior) / "model_index.json").is_file() or (not Path(prior).exists() and re.fullmatch(HUB_NAME, prior))
        expect(there, "prior", repr(prior), "pixel, a diffusers folder, with model_index.json in it, or a hub name, owner/model")


def warn_of_words(prompt: str) -> None:
    """The bundled prior guesses at words that no caption of its training has, and the picture does not tell."""
    from treg_edu import images

    def words(text: str) -> set[str]:
        return set(re.findall(r"[^\W_]+", text.lower())) - EMPTY_WORDS

    captions = images.captions()
    known = words(" ".join(captions["label"])).union(*(words(" ".join(keywords)) for keywords in captions["keywords"]))
    if words(prompt) and not words(prompt) & known:
        warnings.warn(f"prompt: no word of {prompt!r} is in the captions that the bundled prior learnt from; it will guess", stacklevel=2)


def bytes_of_results(size: int, values: int, seeds: int) -> int:
    """What the files of a run take at most.  values: of one measurement.

    Twelve bytes a pixel hold the PNG of an image, and four bytes a value the measurement as floats or as a PNG.
    """
    image = 12 * size**2
    measured = max(image, 4 * values)  # its picture is enlarged to the image's sides
    return (seeds + 1) * image + (seeds + 2) * measured


@one_line_errors
def solve(
    out: Annotated[Path, typer.Option(help="Folder for the results, new or empty.")],
    assignments: Annotated[
        list[str],
        typer.Option("--set", default_factory=list, show_default=False, help="Any other setting of the solver, NAME=VALUE; repeatable."),
    ],
    image: Annotated[Path | None, typer.Argument(help="A picture to measure and reconstruct; its central square is taken.")] = None,
    operator: Annotated[str, typer.Option(help=f"What is measured: {', '.join(OPTIONS_OF)}.")] = "sr",
    measurement: Annotated[Path | None, typer.Option(help="A stored measurement, .safetensors (tensor y) or .npy.")] = None,
    sigma: Annotated[
        float | None, typer.Option(help=f"Noise added to the measurement of IMAGE, in units of [0, 1] images; {SIGMA} if not given.")
    ] = None,
    noise_seed: Annotated[
        int | None, typer.Option(help=f"Seed of that noise, apart from the seeds of the solver; {NOISE_SEED} if not given.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the image in pixels; what the prior was trained on, if not given.")] = None,
    factor: Annotated[int | None, typer.Option(help="sr: the factor, 16 if not given.")] = None,
    kernel_size: Annotated[int | None, typer.Option(help="blur: taps of the kernel, odd, 61 if not given.")] = None,
    blur_sigma: Annotated[float | None, typer.Option(help="blur: width in pixels, 5 if not given.")] = None,
    box: Annotated[str | None, typer.Option(help="inpaint: the hidden box, as top,left,height,width.")] = None,
    mask: Annotated[Path | None, typer.Option(help="inpaint: a picture, white where measured.")] = None,
    oversampling: Annotated[int | None, typer.Option(help="phase: zero-padding of each side, 2 if not given.")] = None,
    exponent: Annotated[float | None, typer.Option(help="gamma: the exponent, 2.2 if not given.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the picture shows; treg needs it, the others go without if not given.")] = None,
    solver: Annotated[str, typer.Option(help=f"The solver: {', '.join(SOLVERS)}.")] = "treg",
    null_prompt: Annotated[str | None, typer.Option(help="What to move away from.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many reconstructions; 4 if not given, 1 where the solver draws no noise.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first; the others count up from it.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Timesteps; as with the next four, the prior's choice if not given.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="ω of classifier-free guidance.")] = None,
    lam: Annotated[float | None, typer.Option(help="λ of the pixel step.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Iterations of the pixel step.")] = None,
    negation: Annotated[str | None, typer.Option(help="Adaptive negation: hidden, projected or none.")] = None,
    prior: Annotated[str | None, typer.Option(help="A diffusers folder, a hub name, or pixel; the bundled prior if not given.")] = None,
    clip: Annotated[
        str | None, typer.Option(help="The CLIP of that prior, a folder or hub name; its own or ViT-L/14 if not given.")
    ] = None,
    dtype: Annotated[str, typer.Option(help=f"Of the networks: {', '.join(DTYPES)}.")] = "float32",
    device: Device = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results in --out.")] = False,
) -> None:
    """Measure a picture, or take a stored measurement, and reconstruct it with a text."""
    expect((image is None) != (measurement is None), "IMAGE, measurement", "neither" if image is None else "both", "one of them")
    expect(solver in SOLVERS, "solver", repr(solver), f"one of {', '.join(SOLVERS)}")
    takes = inspect.signature(SOLVERS[solver]).parameters
    sigma, noise_seed = check_noise(sigma, noise_seed, measurement, needed="sigma" in takes)
    told = prompt is not None or takes["prompt"].default is not inspect.Parameter.empty
    expect(told, "prompt", "none", f"what the picture shows, which solver {solver!r} needs")
    prompt = prompt or ""
    seeds = seeds if seeds is not None else 1 if solver in WITHOUT_NOISE else 4
    check_numbers(seeds, seed, noise_seed, sigma, iterations)
    expect(negation in (None, "hidden", "projected", "none"), "negation", repr(negation), "hidden, projected or none")
    out = check_out(out, overwrite, most_bytes=0)

    import torch

    import treg_edu as te

    expect(dtype in DTYPES, "dtype", repr(dtype), f"one of {', '.join(DTYPES)}")
    check_device(device)
    check_prior(prior)
    if size is None:
        with naming("prior"):
            size = min(te.priors.training_size(prior))
        check_size("prior", size, seeds, device)
    else:
        check_size("size", size, seeds, device)
    options = dict(
        factor=factor, kernel_size=kernel_size, blur_sigma=blur_sigma, box=box, mask=mask, oversampling=oversampling, exponent=exponent
    )
    physics = make_operator(operator, size, options)
    shape = physics.A(torch.zeros(1, 3, size, size)).shape  # also where a factor or mask that does not fit is found
    x = None
    if measurement is not None:
        y = read_measurement(measurement, shape)
    elif image is not None:
        with naming("IMAGE"), without_native_messages():
            x = te.images.read(image, size)
        y = physics.measure(x, sigma, torch.Generator().manual_seed(noise_seed))

    with naming("prior", *(["clip"] if clip else [])):
        model = te.load_prior(prior, device=device, dtype=getattr(torch, dtype), clip=clip)
    model.latent_shape((size, size))  # a size the networks do not take is found here
    given = dict(steps=steps, guidance_scale=guidance_scale, lam=lam, iterations=iterations, negation=negation, null_prompt=null_prompt)
    given |= assigned(assignments, elsewhere=given)
    settings = solver_settings(te.SOLVERS[solver], model.recommended[solver], given)
    if settings.get("negation") == "none":
        settings["negation"] = None
    if "sigma" in takes:
        settings["sigma"] = sigma
    if prompt and prior is None and (te.files.data_folder() / "images").is_dir():
        warn_of_words(prompt)
    all_seeds = list(range(seed, seed + seeds))
    grader = load_grader()
    check_out(out, overwrite, most_bytes=bytes_of_results(size, shape.numel(), seeds))

    with written_folder(out, RESULTS) as folder:
        with told_of_recommended(model.recommended[solver], given):
            x_hat = te.solve(te.SOLVERS[solver], model, physics, y.repeat(seeds, 1, 1, 1), prompt, seed=all_seeds, **settings)
        x_hat, all_seeds = finite_ones(x_hat.float().cpu(), all_seeds)
        write_pictures(folder, physics, x, y, x_hat, all_seeds)
        grades, bugs = grade(physics, x, y, x_hat, prompt, all_seeds, grader)
        source = {"image": image and image.name, "measurement": measurement and measurement.name, "size": size, "prior": prior or "bundled"}
        operator_options = {name: str(value) if isinstance(value, Path) else value for name, value in options.items() if value is not None}
        noise = {"sigma": sigma, "noise_seed": noise_seed} if measurement is None else {}
        problem = {"operator": operator, **operator_options, **noise}
        report = {"settings": source | problem | {"solver": solver, "prompt": prompt, **settings}} | grades
        write_text(folder / "metrics.json", json_text(report))
    print_grades(grades, out)
    if bugs:  # the results stand
        raise bugs[0]
