"""Codes of pictures as files: CSV, JSON Lines, NumPy, safetensors and Parquet.

Each holds the pictures' paths, the names of the soft target, ŷ and z. Text is written row by row;
of the others only the paths are in memory.

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
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import IO, BinaryIO

import numpy as np

from mddae_cli.config import CodesFormat
from mddae_cli.editing import Codes
from mddae_cli.errors import UsageError
from mddae_cli.files import write_atomically
from mddae_cli.pipeline.flow import Encoded, Failed
from mddae_cli.pipeline.sources import Source

INPUT = "input"
_FLOAT = np.dtype("<f4")
# Rows of a Parquet file that are in memory at a time.
_ROW_GROUP = 4096
Results = Iterable[Encoded | Failed]


@dataclass(frozen=True)
class Columns:
    """What a row of codes holds beside its path: K ``names`` of ŷ and ``latent_dim`` z."""

    names: tuple[str, ...]
    latent_dim: int

    @property
    def latent(self) -> list[str]:
        """The names of the columns of z in a table: z0, z1 and so on."""
        return [f"z{i}" for i in range(self.latent_dim)]

    @property
    def all(self) -> list[str]:
        """The headings of a table."""
        return [INPUT, *self.names, *self.latent]


def format_of(output: str | None, form: CodesFormat | None = None) -> CodesFormat:
    """Return the format that is asked for, else that of the output's suffix, else CSV.

    Raises:
        UsageError: If the suffix is of no format.
    """
    suffix = PurePath(output or "").suffix.lower()
    if form is not None or not suffix:
        return form or CodesFormat.CSV
    if suffix[1:] not in set(CodesFormat):
        known = ", ".join(CodesFormat)
        raise UsageError(f"-o {output!r}: {suffix} is no format of codes: add --format {known}.")
    return CodesFormat(suffix[1:])


def check_format(form: CodesFormat, columns: Columns) -> None:
    """Find out before any work whether codes can be written so.

    Raises:
        UsageError: If pyarrow is needed and missing, or two columns would have one name.
    """
    if form is CodesFormat.PARQUET:
        try:
            import pyarrow.parquet  # noqa: F401  # only whether it is there
        except ImportError as exc:
            raise UsageError(
                "parquet needs pyarrow, which is not installed: pip install 'mddae[parquet]'.\n"
                "npz and safetensors need nothing more."
            ) from exc
    if form in (CodesFormat.CSV, CodesFormat.PARQUET):
        for name in columns.names:
            if columns.all.count(name) > 1:
                raise UsageError(
                    f"{form} would have two columns {name!r}: take --format jsonl or npz."
                )


def writable(results: Results, form: CodesFormat) -> Iterator[Encoded | Failed]:
    """Yield the results, with a failure for each that the format cannot hold."""
    for result in results:
        if form is CodesFormat.PARQUET and isinstance(result, Encoded):
            try:
                result.source.name.encode()
            except UnicodeEncodeError:
                yield Failed(result.source, "its name is no UTF-8, which parquet cannot hold.")
                continue
        yield result


def write_codes(
    handle: BinaryIO,
    results: Results,
    columns: Columns,
    form: CodesFormat,
    *,
    heading: bool = True,
) -> None:
    """Write codes in the order they come; of failures JSON Lines alone keeps a trace.

    Args:
        handle: Where bytes go; it need not be seekable. Text is flushed after each row.
        results: What :func:`~mddae_cli.pipeline.encode_sources` yields.
        columns: The names of ŷ, and how many of z are written: D, or 0.
        form: How they are written.
        heading: Whether CSV begins with its headings.
    """
    if form.is_text:
        to_rows = _csv_rows if form is CodesFormat.CSV else _json_rows
        for row in itertools.islice(to_rows(results, columns), int(not heading), None):
            handle.write(row.encode("utf-8", "surrogateescape"))
            handle.flush()
    elif form is CodesFormat.PARQUET:
        _write_parquet(handle, results, columns)
    else:
        with tempfile.TemporaryFile() as y_hat, tempfile.TemporaryFile() as z:
            spool = _Spool(y_hat, z)
            spool.fill(results, columns)
            write = _write_npz if form is CodesFormat.NPZ else _write_safetensors
            write(handle, spool, columns)


def save_codes(
    path: str | Path, inputs: Sequence[str], codes: Codes, form: CodesFormat | None = None
) -> None:
    """Write codes to a file, as ``mddae encode`` does.

    Args:
        path: The file; its suffix decides the format where ``form`` does not.
        inputs: The pictures' paths, N of them.
        codes: ŷ (N, K) and z (N, D).
        form: How they are written.

    Raises:
        OSError: If the file cannot be written; what was there stays.
        UsageError: If the format cannot be used.
        ValueError: If there are not as many inputs as codes.
    """
    columns = Columns(codes.names, codes.z.shape[1])
    chosen = format_of(str(path), form)
    check_format(chosen, columns)
    y_hat, z = codes.y_hat.cpu().numpy(), codes.z.cpu().numpy()
    sources = (Source(name, PurePath(name).name) for name in inputs)
    results = [Encoded(s, y, d) for s, y, d in zip(sources, y_hat, z, strict=True)]
    write_atomically(path, lambda handle: write_codes(handle, results, columns, chosen))


def _numbers(result: Encoded, columns: Columns) -> list[str]:
    """Return ŷ and z of a picture, nine digits each, which give float32 back exactly."""
    return [f"{value:.9g}" for value in (*result.y_hat, *result.z[: columns.latent_dim])]


def _csv_rows(results: Results, columns: Columns) -> Iterator[str]:
    yield csv_line(columns.all)
    for result in results:
        if isinstance(result, Encoded):
            yield csv_line([result.source.name, *_numbers(result, columns)])


def csv_line(cells: Sequence[str]) -> str:
    """Return a line of CSV with its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _json_rows(results: Results, columns: Columns) -> Iterator[str]:
    """Yield an empty heading, and an object per picture, failures too."""
    yield ""
    for result in results:
        about: dict[str, object] = {INPUT: result.source.name}
        if isinstance(result, Failed):
            about |= {"status": "failed", "error": result.reason}
        else:
            numbers = [float(number) for number in _numbers(result, columns)]
            y_hat, z = numbers[: len(columns.names)], numbers[len(columns.names) :]
            about |= {"status": "encoded", "y_hat": dict(zip(columns.names, y_hat, strict=True))}
            about |= {"z": z} if columns.latent_dim else {}
        yield json.dumps(about, allow_nan=False, ensure_ascii=False) + "\n"


@dataclass
class _Spool:
    """Codes on disk, until how many there are is known: float32, little endian, row by row."""

    y_hat: IO[bytes]
    z: IO[bytes]
    inputs: list[str] = field(default_factory=list)

    def fill(self, results: Results, columns: Columns) -> None:
        """Take everything in, and go back to the beginning."""
        for result in results:
            if isinstance(result, Encoded):
                self.inputs.append(result.source.name)
                self.y_hat.write(result.y_hat.astype(_FLOAT).tobytes())
                self.z.write(result.z[: columns.latent_dim].astype(_FLOAT).tobytes())
        self.y_hat.seek(0)
        self.z.seek(0)


def _write_npz(handle: BinaryIO, spool: _Spool, columns: Columns) -> None:
    """Write an archive of the arrays ``input``, ``names``, ``y_hat`` and ``z``; no pickle."""
    count = len(spool.inputs)
    tables = {"y_hat": (spool.y_hat, len(columns.names)), "z": (spool.z, columns.latent_dim)}
    with zipfile.ZipFile(handle, "w") as archive:
        for name, texts in (("input", spool.inputs), ("names", columns.names)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, np.array(texts, dtype=np.str_))
        for name, (table, width) in tables.items():
            about = {"descr": _FLOAT.str, "fortran_order": False, "shape": (count, width)}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, about)
                shutil.copyfileobj(table, member)


def _write_safetensors(handle: BinaryIO, spool: _Spool, columns: Columns) -> None:
    """Write the tensors ``y_hat``, ``z``, ``names`` and ``input``.

    Texts are bytes (uint8), a NUL behind each, since the format has tensors of numbers only and
    its header may not grow with N.
    """
    count = len(spool.inputs)
    texts = {
        name: _joined(items) for name, items in (("names", columns.names), ("input", spool.inputs))
    }
    shapes = {"y_hat": [count, len(columns.names)], "z": [count, columns.latent_dim]}
    header: dict[str, object] = {}
    end = 0
    for name, shape, dtype, size in (
        *((name, shape, "F32", 4) for name, shape in shapes.items()),
        *((name, [len(text)], "U8", 1) for name, text in texts.items()),
    ):
        start, end = end, end + int(np.prod(shape)) * size
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    blob = json.dumps(header).encode()
    blob += b" " * (-len(blob) % 8)
    handle.write(struct.pack("<Q", len(blob)) + blob)
    shutil.copyfileobj(spool.y_hat, handle)
    shutil.copyfileobj(spool.z, handle)
    handle.writelines(texts.values())


def _joined(items: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(item) + b"\0" for item in items)


def _write_parquet(handle: BinaryIO, results: Results, columns: Columns) -> None:
    """Write a table with a column for the path and one for each number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = [(name, pa.float32()) for name in columns.all[1:]]
    schema = pa.schema([(INPUT, pa.string()), *numbers])
    rows = (result for result in results if isinstance(result, Encoded))
    with pq.ParquetWriter(handle, schema) as writer:
        while group := list(itertools.islice(rows, _ROW_GROUP)):
            table = np.stack([np.concatenate([r.y_hat, r.z[: columns.latent_dim]]) for r in group])
            arrays = [pa.array([r.source.name for r in group]), *map(pa.array, table.T)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
