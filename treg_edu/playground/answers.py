"""What a page shows of the answers: a table for each solver that fills as x̂ forms, the map of variances, and the files to keep."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from .. import figures, images
from .pictures import image_tag, seen, text_of
from .question import Question

__all__ = ["downloads", "given", "in_line", "table", "variances"]


def in_line(place: int) -> str:
    """Where a question is in the line."""
    return "it is your turn" if place == 0 else f"in the queue, with {place} before you"


def given(question: Question) -> tuple[str, str]:
    """PNGs of x and of y, in base64."""
    y = seen(question.operator(), question.y()[:1])
    return text_of(question.x()[0]), text_of(y[0])


def table(question: Question, x_and_y: tuple[str, str], event: Mapping[str, Any], answer: Mapping[str, Any] | None = None) -> str:
    """HTML of a run at one step: x and y, and beside them x̂, A(x̂) and the misfit of each seed; at the end the judge's guesses and the cost.

    x_and_y: of `given`.  event, answer: of the worker.
    """
    seeds = range(question.seed, question.seed + question.batch)
    x, y = x_and_y
    of = f"of {question.solver}, seed"
    rows = {
        "": ["given", *(f"seed {seed}" for seed in seeds)],
        "x, x̂": [image_tag(x, "x, the truth"), *(image_tag(png, f"x̂ {of} {seed}") for seed, png in zip(seeds, event["x_hat"]))],
        "y, A(x̂)": [image_tag(y, "y, the measurement"), *(image_tag(png, f"A(x̂) {of} {seed}") for seed, png in zip(seeds, event["seen"]))],
        "misfit": ["", *(f"{value:.2f} σ" for value in event["misfit"])],
    }
    title = f"{question.solver}: step {event['step']} of {event['of']}"
    if answer:
        rows["the judge<br>sees"] = ["", *("<br>".join(map(html.escape, guesses)) for guesses in answer["guesses"])]
        title = f"{question.solver}: {answer['seconds']:.1f} s, {answer['passes']:.0f} passes through networks for each x̂"
    body = "".join(f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for name, cells in rows.items())
    return f'<table class="answer"><caption>{title}</caption>{body}</table>'


def variances(found: Mapping[str, Sequence[str]]) -> str:
    """HTML of the mean and the deviation over seeds of each solver that drew several, "" if none did.  found: {solver: PNGs of x̂}."""
    several = {solver: torch.cat([picture_of(png) for png in pngs]) for solver, pngs in found.items() if len(pngs) > 1}
    if not several:
        return ""
    figure = figures.variance_maps(several)
    png = base64.b64encode(figure._repr_png_()).decode()
    return f'<img src="data:image/png;base64,{png}" alt="{html.escape(figure.alt)}" style="max-width:100%;width:{figure.width}px">'


def downloads(x: str, found: Mapping[str, Sequence[str]], lines: Mapping[str, str]) -> str:
    """HTML of the links that save x, every x̂ and the lines, and of the lines themselves.  lines: {solver: Python}."""
    links = [link("picture.png", "image/png", x)]
    links += [link(f"{solver}-{number}.png", "image/png", png) for solver, pngs in found.items() for number, png in enumerate(pngs)]
    links += [link(f"{solver}.py", "text/x-python", base64.b64encode(text.encode()).decode()) for solver, text in lines.items()]
    shown = "".join(f"<h4>{solver}</h4><pre>{html.escape(text)}</pre>" for solver, text in lines.items())
    return f"<p>Save: {' · '.join(links)}</p><details><summary>The Python lines that repeat it</summary>{shown}</details>"


def link(name: str, kind: str, content: str) -> str:
    """HTML of a link that saves a file.  content: in base64."""
    return f'<a download="{name}" href="data:{kind};base64,{content}">{name}</a>'


def picture_of(png: str) -> torch.Tensor:
    """The picture of a worker's PNG in base64, (1, 3, H, W)."""
    return images.from_pil(Image.open(io.BytesIO(base64.b64decode(png))))
