"""`treg-edu playground`: a page for visitors, who need no notebook."""

import importlib.util
from typing import Annotated

import typer

from ..checks import expect
from .errors import one_line_errors


@one_line_errors
def playground(
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 is every one of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port.")] = 8866,
    base_url: Annotated[str, typer.Option(help="The path under which a proxy serves the page.")] = "/",
    visitors: Annotated[int, typer.Option(help="How many may be there at a time; each takes some 250 MB.")] = 24,
) -> None:
    """Serve the playground until interrupted."""
    there = all(importlib.util.find_spec(name) for name in ("voila", "ipycanvas"))
    expect(there, "playground", "an installation without Voilà and ipycanvas", 'its extra: pip install "treg_edu[playground]"')
    from ..playground.server import serve

    serve(host, port, base_url, visitors)
