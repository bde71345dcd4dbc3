"""Rows of codes added to a file that is there, so that an interrupted job can go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mddae_cli.config import CodesFormat
from mddae_cli.errors import UsageError
from mddae_cli.pipeline.decodings import CodesFile
from mddae_cli.pipeline.encodings import Columns, csv_line

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Existing:
    """A file opened behind its last whole row, and the paths of the pictures in it."""

    handle: BinaryIO
    inputs: frozenset[str]
    is_new: bool


@contextmanager
def appending(path: str, columns: Columns, form: CodesFormat, model: str) -> Iterator[Existing]:
    """Open a file of rows to add to it; half a row at its end is cut off.

    Args:
        path: A CSV or JSON Lines file, or where one shall be.
        columns: What rows hold.
        form: How they are written.
        model: The model's name, for errors.

    Raises:
        OSError: If the file cannot be written.
        UsageError: If the format takes no more rows, or the file is another one.
    """
    if not form.is_text:
        raise UsageError(f"--append adds to csv or jsonl; {form} is written as a whole.")
    inputs: frozenset[str] = frozenset()
    if is_old := Path(path).exists() and bool(Path(path).stat().st_size):
        _require_same(path, columns, form, model)
        with CodesFile(path, columns, model) as file:
            inputs = frozenset(source.name for source in file.sources())
    with Path(path).open("r+b" if is_old else "wb") as handle:
        handle.truncate(_whole(handle))
        handle.seek(0, os.SEEK_END)
        yield Existing(handle, inputs, not is_old)


def _require_same(path: str, columns: Columns, form: CodesFormat, model: str) -> None:
    with CodesFile(path, columns, model) as file:
        found = file.form
    with Path(path).open("rb") as handle:
        heading = handle.readline()
    same = form is CodesFormat.JSONL or heading == csv_line(columns.all).encode()
    if found is not form or not same:
        raise UsageError(f"{path!r} has other columns than {form} rows of model {model!r}.")


def _whole(handle: BinaryIO) -> int:
    """Return where the last whole line ends."""
    end = handle.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _CHUNK)
        handle.seek(start)
        if (place := handle.read(end - start).rfind(b"\n")) >= 0:
            return start + place + 1
        end = start
    return 0
