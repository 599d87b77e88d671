"""Rows on a disk, so that a killed study goes on where it stopped: none is lost, none stands there twice.

    out/accuracy.rows/3f09….parquet     the rows of one batch, as soon as it is solved
    out/accuracy.parquet                all of them, in one file, when the last is there

A batch is written beside its place, brought to the disk, and renamed, so that no reader ever sees half a file.  It is named by what it
holds, so that a batch that two processes solve is one file.  Several processes and machines may write into one folder, which all of them
see; one at a time merges.
"""

import hashlib
import io
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow

from .. import files

__all__ = ["Store"]


class Store:
    """The rows of one study.

    folder: where they are.  name: of the study.  key: the columns by which a row is told from every other.
    """

    def __init__(self, folder: str | Path, name: str, key: Sequence[str]) -> None:
        self.key = list(key)
        self.whole, self.parts = Path(folder) / f"{name}.parquet", Path(folder) / f"{name}.rows"
        self.seen: dict[str, pd.DataFrame] = {}

    def add(self, rows: pd.DataFrame) -> None:
        """The rows of a batch; on the disk when this returns."""
        name = f"{hashlib.sha256(rows[self.key].to_csv(index=False).encode()).hexdigest()[:24]}.parquet"
        try:
            write(rows, self.parts / name)
        except FileNotFoundError:  # another process has merged, and removed the folder, in this instant
            write(rows, self.parts / name)
        self.seen[name] = rows

    def read(self) -> pd.DataFrame:
        """All rows that there are, each once; also those that other processes have written since.  A damaged file is told of, and left out.

        The batches come first: one that is merged meanwhile is then in the whole.
        """
        names = sorted(path.name for path in self.parts.glob("*.parquet"))
        for name in names:
            if name not in self.seen:
                rows = readable(self.parts / name)
                if rows is not None:
                    self.seen[name] = rows
        whole = readable(self.whole)
        found = ([] if whole is None else [whole]) + [self.seen[name] for name in sorted(self.seen)]
        if not found:
            return pd.DataFrame({name: [] for name in self.key})
        return pd.concat(found, ignore_index=True).drop_duplicates(self.key, ignore_index=True)

    def merge(self) -> pd.DataFrame:
        """All rows in one file; the small ones that it holds, and what killed runs left, are removed.  It loses none when it is killed."""
        from filelock import FileLock

        with FileLock(self.whole.with_name(f".{self.whole.stem}.lock")):
            rows = self.read()
            if self.seen or not self.whole.exists():
                write(rows, self.whole)
            old = [path for folder in (self.parts, self.whole.parent) for path in folder.glob(".*.part") if is_left(path)]
            for path in [*(self.parts / name for name in self.seen), *old]:
                path.unlink(missing_ok=True)
            if self.parts.is_dir():
                files.remove_empty([self.parts])
        self.seen = {}
        return rows


def write(rows: pd.DataFrame, path: Path) -> None:
    """A parquet file, on the disk before it takes its place."""
    content = io.BytesIO()
    rows.to_parquet(content, index=False)
    with files.written_beside(path) as beside, beside.open("wb") as file:
        file.write(content.getvalue())
        file.flush()
        os.fsync(file.fileno())


def is_left(path: Path) -> bool:
    """Whether an unfinished file is of a run that was killed: it has not grown for an hour."""
    try:
        return files.is_leftover(path) and time.time() - path.stat().st_mtime > 3600
    except FileNotFoundError:  # its writer has finished
        return False


def readable(path: Path) -> pd.DataFrame | None:
    """The rows of a file; None where there is none, or where the disk has damaged it."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        warnings.warn(f"out: {str(path)!r} is damaged ({reason}); its rows are computed again", stacklevel=3)
        return None
