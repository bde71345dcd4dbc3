"""Codes read back from files, and decoded to pictures.

A file may have been changed in between: rows taken out, numbers moved, columns in another order.
What it is, its first bytes say, so that it may also come through a pipe.

Axes: N pictures, K classes or attributes, D latent size.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import shutil
import struct
import sys
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from mddae_cli.config import CodesFormat
from mddae_cli.editing import Codes, Model, to_pixels
from mddae_cli.errors import ImageError, UnknownNameError, UsageError, fold_name
from mddae_cli.images import Pixels
from mddae_cli.pipeline.encodings import INPUT, Columns, check_format
from mddae_cli.pipeline.flow import Edited, Encoded, Failed, Result, Skipped
from mddae_cli.pipeline.sources import STDIN, Source

# Columns that pandas adds for the numbers of rows.
_INDEX = ("", "__index_level_0__")
# Results that may wait to be written, in batches.
_AHEAD = 2
_GROUP = 1024
Row = Encoded | Failed


class CodesFile:
    """Codes in a file, or from standard input, which is kept on disk to be read twice.

    Args:
        name: The file, or ``-``.
        columns: What the model needs.
        model: The model's name, for errors.

    Raises:
        UsageError: If the file cannot be read.
    """

    def __init__(self, name: str, columns: Columns, model: str) -> None:
        self.name = name
        self.label = "standard input" if name == STDIN else name
        self.title = self.label if name == STDIN else f"codes {name!r}"
        self.columns = columns
        self.model = model
        self._handle = _opened(name)
        self.form = _sniff(self._handle)

    def __enter__(self) -> CodesFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def rows(self) -> Iterator[Row]:
        """Yield each row's codes, or what is wrong with it and in which line, from the start.

        Raises:
            UsageError: If the file as a whole cannot be used: it is damaged, has no paths, other
                names than the model, or another number of z.
        """
        self._handle.seek(0)
        readers: dict[CodesFormat, Callable[[CodesFile, BinaryIO], Iterator[Row]]] = {
            CodesFormat.CSV: _csv_rows,
            CodesFormat.JSONL: _json_rows,
            CodesFormat.NPZ: _npz_rows,
            CodesFormat.SAFETENSORS: _safetensors_rows,
            CodesFormat.PARQUET: _parquet_rows,
        }
        return readers[self.form](self, self._handle)

    def sources(self) -> list[Source]:
        """Return where the pictures of all good rows were, below the folder that holds them all.

        Raises:
            UsageError: As :meth:`rows`.
        """
        return _mirrored([row.source.name for row in self.rows() if isinstance(row, Encoded)])

    def refuse(self, fact: str) -> UsageError:
        """Return the error that the file cannot be used, and why."""
        return UsageError(f"{self.title}: {fact}")

    def require_latent(self, found: int) -> None:
        """Raise where a row has another number of z than the model."""
        wanted = self.columns.latent_dim
        if found != wanted:
            origin = "is of another model" if found else "was written with --soft-target-only"
            raise self.refuse(
                f"{found} values of z, but model {self.model!r} has {wanted}: it {origin}."
            )

    def order(self, found: Sequence[str], wanted: Sequence[str]) -> list[int]:
        """Return where each wanted column is among those found; case and hyphens are forgiven.

        Raises:
            UsageError: If one is missing, unknown or there twice.
        """
        places = {fold_name(name): place for place, name in enumerate(found)}
        known = {fold_name(name) for name in wanted}
        for name in found:
            if fold_name(name) not in known:
                kind = f"{self.title}: column"
                raise UnknownNameError(kind, name, self.columns.names)
        for name in wanted:
            if fold_name(name) not in places:
                raise self.refuse(f"column {name!r} of model {self.model!r} is missing.")
        if len(found) > len(places):
            raise self.refuse("a column is there twice.")
        return [places[fold_name(name)] for name in wanted]

    def row(self, where: str, name: object, numbers: Sequence[object]) -> Row:
        """Return the codes of one row, K + D numbers in the model's order, or what is wrong."""
        if not isinstance(name, str) or not name or "\0" in name:
            return Failed(Source(self.name, self.name), f"{where}: the input has no path.")
        source = Source(name, os.path.basename(name))  # noqa: PTH119  # may be no path of this system
        values = np.array([_number(value) for value in numbers], dtype=np.float64)
        with np.errstate(over="ignore"):
            codes = values.astype(np.float32)
        if not np.isfinite(codes).all():
            bad = int(np.flatnonzero(~np.isfinite(codes))[0])
            column, value = self.columns.all[1 + bad], numbers[bad]
            fact = "missing" if value in ("", None) else f"{value!r}, which is no finite number"
            return Failed(source, f"{where} of {self.label}: {column} is {fact}.")
        count = len(self.columns.names)
        return Encoded(source, codes[:count], codes[count:])


def load_codes(path: str | Path, model: Model) -> tuple[list[str], Codes]:
    """Return the pictures' paths and their codes, as ``mddae encode`` or a script wrote them.

    Args:
        path: A file of any format that :func:`~mddae_cli.pipeline.save_codes` writes.
        model: The model whose names and z the file has.

    Raises:
        UsageError: If the file or a row of it cannot be used.
    """
    columns = Columns(model.names, model.header.model.latent_dim)
    with CodesFile(str(path), columns, model.header.dataset) as file:
        rows = list(file.rows())
    good = [row for row in rows if isinstance(row, Encoded)]
    if bad := next((row for row in rows if isinstance(row, Failed)), None):
        raise UsageError(f"codes {str(path)!r}: {bad.reason}")
    return [row.source.name for row in good], _stack(good, model)


def decode_rows(
    model: Model,
    rows: Iterable[Row],
    targets: Sequence[Path | None],
    change: Callable[[Codes], Codes],
    *,
    overwrite: bool = False,
    batch_size: int = 64,
    write: Callable[[Path | None, Pixels], None],
) -> Iterator[Result]:
    """Decode codes, write the pictures, and yield what became of each row, in order.

    Args:
        model: The model.
        rows: What :meth:`CodesFile.rows` yields.
        targets: Where the picture of each good row goes.
        change: From the codes of a batch to those that are decoded.
        overwrite: Whether results that are there are made again.
        batch_size: Codes that go through the model at a time.
        write: Writes one result, uint8 (S, S, C); None is standard output. An
            :class:`~mddae_cli.errors.ImageError` of it is that picture's failure.
    """
    places = iter(targets)
    waiting: deque[Result | tuple[Edited, Future[None]]] = deque()
    every = iter(rows)
    with ThreadPoolExecutor(os.cpu_count()) as writers:
        while batch := list(itertools.islice(every, batch_size)):
            planned = [_planned(row, places, overwrite=overwrite) for row in batch]
            todo = [job for job in planned if isinstance(job, tuple)]
            decoded = _decode(model, change, [row for row, _ in todo])
            for job in planned:
                if isinstance(job, tuple):
                    pixels, before, after = next(decoded)
                    done = Edited(job[0].source, job[1], before, after)
                    waiting.append((done, writers.submit(write, job[1], pixels)))
                else:
                    waiting.append(job)
            while len(waiting) > _AHEAD * batch_size:
                yield _settled(waiting.popleft())
        while waiting:
            yield _settled(waiting.popleft())


def _planned(
    row: Row, places: Iterator[Path | None], *, overwrite: bool
) -> tuple[Encoded, Path | None] | Skipped | Failed:
    if isinstance(row, Failed):
        return row
    target = next(places)
    if target is not None and target.exists() and not overwrite:
        return Skipped(row.source, target)
    return row, target


def _settled(job: Result | tuple[Edited, Future[None]]) -> Result:
    """Wait until a picture is on disk, or say why it is not."""
    if not isinstance(job, tuple):
        return job
    try:
        job[1].result()
    except ImageError as exc:
        return Failed(job[0].source, str(exc))
    return job[0]


def _decode(
    model: Model, change: Callable[[Codes], Codes], rows: Sequence[Encoded]
) -> Iterator[tuple[Pixels, Any, Any]]:
    if not rows:
        return iter(())
    codes = _stack(rows, model)
    changed = change(codes)
    before, after = codes.y_hat.cpu().numpy(), changed.y_hat.cpu().numpy()
    return zip(to_pixels(model.decode(changed)), before, after, strict=True)


def _stack(rows: Sequence[Encoded], model: Model) -> Codes:
    """Return rows as the codes of a batch, ŷ (N, K) and z (N, D), on the model's device."""
    shapes = ((-1, len(model.names)), (-1, model.header.model.latent_dim))
    tables = ([row.y_hat for row in rows], [row.z for row in rows])
    y_hat, z = (
        torch.from_numpy(np.array(table, dtype=np.float32).reshape(shape)).to(model.device)
        for table, shape in zip(tables, shapes, strict=True)
    )
    return Codes(y_hat, z, model.names, model.calibration)


def _opened(name: str) -> BinaryIO:
    """Return a file, or what a pipe holds, ready to be read more than once."""
    try:
        if name == STDIN:
            return _kept(sys.stdin.buffer)
        file = Path(name).open("rb")  # noqa: SIM115  # closed by the caller
        if file.seekable():
            return file
        with file:
            return _kept(file)
    except OSError as exc:
        raise UsageError(f"codes {name!r} cannot be read: {exc.strerror}.") from exc


def _kept(pipe: BinaryIO) -> BinaryIO:
    kept = tempfile.TemporaryFile()  # noqa: SIM115  # closed by the caller
    shutil.copyfileobj(pipe, kept)
    kept.seek(0)
    return kept


def _sniff(handle: BinaryIO) -> CodesFormat:
    """Return the format that the first bytes show."""
    head = handle.read(64)
    if head.startswith(b"PK"):
        return CodesFormat.NPZ
    if head.startswith(b"PAR1"):
        return CodesFormat.PARQUET
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32:
        return CodesFormat.SAFETENSORS
    return CodesFormat.JSONL if head.lstrip().startswith(b"{") else CodesFormat.CSV


def _text(handle: BinaryIO) -> io.TextIOWrapper:
    """Return the lines of a file, with the bytes of names that are no UTF-8."""
    copy = io.FileIO(os.dup(handle.fileno()))
    copy.seek(0)
    return io.TextIOWrapper(copy, "utf-8-sig", errors="surrogateescape", newline="")


def _csv_rows(file: CodesFile, handle: BinaryIO) -> Iterator[Row]:
    with _text(handle) as text:
        lines = csv.reader(text)
        try:
            heading = next(lines, [])
            used = [place for place, name in enumerate(heading) if name not in _INDEX]
            found = [heading[place] for place in used]
            if INPUT not in found:
                raise file.refuse(f"its first line has no column {INPUT!r}.")
            file.require_latent(_count_latent(found, file.columns))
            order = [used[place] for place in file.order(found, file.columns.all)]
            for cells in lines:
                if cells:
                    yield _csv_row(file, f"line {lines.line_num}", cells, order, len(heading))
        except csv.Error as exc:
            raise file.refuse(f"line {lines.line_num}: {exc}.") from exc


def _csv_row(
    file: CodesFile, where: str, cells: list[str], order: Sequence[int], width: int
) -> Row:
    name, *numbers = (cells[place] if place < len(cells) else "" for place in order)
    if name and len(cells) > width:
        fact = f"{where} of {file.label}: {len(cells)} columns instead of {width}."
        return Failed(Source(name, name), fact)
    return file.row(where, name, numbers)


def _count_latent(found: Iterable[str], columns: Columns) -> int:
    """Return how many columns are z: z0, z1 and so on that are no name of ŷ."""
    names = {fold_name(name) for name in columns.names}
    folded = [fold_name(name) for name in found]
    return sum(n[:1] == "z" and n[1:].isdecimal() and n not in names for n in folded)


def _json_rows(file: CodesFile, handle: BinaryIO) -> Iterator[Row]:
    with _text(handle) as text:
        first = True
        for number, line in enumerate(text, 1):
            if line.strip():
                row = _json_row(file, f"line {number}", line, first=first)
                first = first and isinstance(row, Failed)
                yield row


def _json_row(file: CodesFile, where: str, line: str, *, first: bool) -> Row:
    try:
        about = json.loads(line)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        return Failed(Source(file.name, file.name), f"{where}: no JSON object.")
    name = about.get(INPUT)
    source = Source(name, name) if isinstance(name, str) and name else Source(file.name, file.name)
    place = f"{where} of {file.label}"
    if about.get("status") == "failed":
        return Failed(source, f"{place}: it was not encoded: {about.get('error')}")
    y_hat, z = about.get("y_hat"), about.get("z", [])
    if not isinstance(y_hat, dict) or not isinstance(z, list):
        return Failed(source, f"{place}: y_hat is no object, or z no list.")
    if first:
        file.require_latent(len(z))
    try:
        order = file.order(list(y_hat), file.columns.names)
    except UsageError as exc:
        return Failed(source, f"{place}: {str(exc).removeprefix(f'{file.title}: ')}")
    if len(z) != file.columns.latent_dim:
        return Failed(source, f"{place}: {len(z)} values of z.")
    values = list(y_hat.values())
    return file.row(where, name, [*(values[i] for i in order), *z])


def _npz_rows(file: CodesFile, handle: BinaryIO) -> Iterator[Row]:
    try:
        with np.load(handle, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as exc:
        raise file.refuse(f"no readable npz file: {exc}.") from exc
    for name in ("input", "names"):
        if name in arrays:
            arrays[name] = np.array([str(text) for text in arrays[name].ravel()], dtype=object)
    return _array_rows(file, arrays)


def _safetensors_rows(file: CodesFile, handle: BinaryIO) -> Iterator[Row]:
    import safetensors
    import safetensors.numpy

    try:
        arrays = dict(safetensors.numpy.load(handle.read()))
    except (safetensors.SafetensorError, KeyError, ValueError) as exc:
        raise file.refuse(f"no readable safetensors file: {exc}.") from exc
    for name in ("input", "names"):
        if name in arrays:
            texts = arrays[name].astype(np.uint8).tobytes().split(b"\0")[:-1]
            arrays[name] = np.array([os.fsdecode(text) for text in texts], dtype=object)
    return _array_rows(file, arrays)


def _array_rows(file: CodesFile, arrays: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of the arrays ``input`` (N,), ``names`` (K,), ``y_hat`` (N, K), ``z``."""
    for name in ("input", "names", "y_hat", "z"):
        if name not in arrays:
            raise file.refuse(f"array {name!r} is missing.")
    inputs, names, y_hat, z = (arrays[name] for name in ("input", "names", "y_hat", "z"))
    order = file.order(list(names), file.columns.names)
    for name, table in (("y_hat", y_hat), ("z", z)):
        if table.ndim != 2 or len(table) != len(inputs) or table.dtype.kind not in "fiu":
            raise file.refuse(
                f"{name} is {table.dtype} {table.shape} for {len(inputs)} paths: a row of numbers "
                "for each path is needed."
            )
    if y_hat.shape[1] != len(names):
        raise file.refuse(f"y_hat has {y_hat.shape[1]} columns for {len(names)} names.")
    file.require_latent(z.shape[1])
    for number, (name, y, d) in enumerate(zip(inputs, y_hat[:, order], z, strict=True), 1):
        yield file.row(f"row {number}", name, [*y.tolist(), *d.tolist()])


def _parquet_rows(file: CodesFile, handle: BinaryIO) -> Iterator[Row]:
    check_format(CodesFormat.PARQUET, file.columns)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(handle)
        found = [name for name in table.schema_arrow.names if name not in _INDEX]
        file.require_latent(_count_latent(found, file.columns))
        file.order(found, file.columns.all)
        number = itertools.count(1)
        for batch in table.iter_batches(_GROUP, columns=found):
            values = batch.to_pydict()
            order = file.order(list(values), file.columns.all)
            columns = list(values.values())
            for name, *numbers in zip(*(columns[place] for place in order), strict=True):
                yield file.row(f"row {next(number)}", name, numbers)
    except (pa.ArrowException, OSError) as exc:
        raise file.refuse(f"no readable parquet file: {exc}.") from exc


def _number(value: object) -> float:
    """Return a number that text or JSON holds, NaN for what is none."""
    if isinstance(value, str):
        value = "nan" if "_" in value else value
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return np.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return np.nan


def _mirrored(names: Sequence[str]) -> list[Source]:
    """Return the sources of paths, each below the folder that holds all of them."""
    # Resolved as text: a path may climb, or be of another machine.
    places = {name: os.path.abspath(name) for name in names if name != STDIN}  # noqa: PTH100
    folders = [os.path.dirname(place) for place in places.values()]  # noqa: PTH120
    root = Path(os.path.commonpath(folders)) if folders else Path()
    below = {name: Path(place).relative_to(root).as_posix() for name, place in places.items()}
    return [Source(name, below.get(name, STDIN)) for name in names]
