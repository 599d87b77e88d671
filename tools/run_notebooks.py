"""Execute notebooks from the top and save their outputs, so that running one twice gives the same file.

    python tools/run_notebooks.py notebooks/*.ipynb

A notebook that raises is left as it was, and the exit status is 1.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = {"tags", "jupyter", "slideshow", "alt"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def stabilise(notebook):
    """Drop what changes from run to run: timestamps, interpreter version, widget models, random cell ids."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA})
        for output in cell.get("outputs", []):
            # A view without its saved model shows an error; the text and image beside it are what a reader needs.
            output.get("data", {}).pop(WIDGET_VIEW, None)
            if "alt" in cell.metadata and "image/png" in output.get("data", {}):  # a cell may say better what its picture shows
                output.metadata.setdefault("image/png", nbformat.NotebookNode())["alt"] = cell.metadata.alt
    return notebook


def execute(notebook, folder, timeout):
    """Run every cell in a fresh kernel whose working directory is `folder`, as JupyterLab and nbval do."""
    client = NotebookClient(
        notebook,
        kernel_name=KERNEL["name"],
        timeout=timeout,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    return client.execute()


def write(notebook, path):
    """Write beside `path`, then rename: an interrupted run never leaves half a notebook."""
    beside = path.with_suffix(".ipynb.tmp")
    nbformat.write(notebook, beside)
    os.replace(beside, path)


def run(path, timeout):
    """Execute one notebook in place."""
    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    write(stabilise(execute(stabilise(notebook), path.parent, timeout)), path)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--timeout", type=int, default=1800, help="seconds a cell may take (default: %(default)s)")
    arguments = parser.parse_args(argv)

    failed = 0
    for path in arguments.notebooks:
        print(f"{path} … ", end="", flush=True)
        start = time.perf_counter()
        try:
            run(path, arguments.timeout)
            print(f"{time.perf_counter() - start:.0f} s")
        except (CellExecutionError, CellTimeoutError, DeadKernelError, FileNotFoundError) as error:
            failed += 1
            print(f"failed\n{error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
