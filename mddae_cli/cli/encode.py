"""``mddae encode``: soft target and latent of any number of pictures."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from mddae_cli.cli import console
from mddae_cli.cli.options import Device, ModelPath, Quiet, Verbose, model_or
from mddae_cli.cli.pictures import BatchSize, FromFile, Inputs, Null, named_inputs
from mddae_cli.header import DEFAULT_FACES, Header, read_header

if TYPE_CHECKING:
    from mddae_cli.pipeline import Encoded, Failed

SHORT_HELP = "Write soft targets and latents of pictures."
HELP = (
    "Example: mddae encode photos --format jsonl -o codes.jsonl\n\n"
    "Writes a row for each picture: its soft target by name, and its latent z. Folders are walked "
    "recursively; - reads one picture from standard input. A picture that cannot be read is named "
    "on standard error and the others are done; the exit code is 1 then."
)


class Format(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"


def command(
    inputs: Inputs = None,
    from_file: FromFile = None,
    null: Null = False,
    model: ModelPath = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where rows go. Default: standard output."
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How rows are written.")] = Format.CSV,
    soft_target_only: Annotated[
        bool, typer.Option("--soft-target-only", help="Leave z out.")
    ] = False,
    batch_size: BatchSize = 64,
    device: Device = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Encode every picture and write the rows in the order of the inputs."""
    named = named_inputs(inputs, from_file, null=null)
    where = model_or(model, DEFAULT_FACES)
    header = read_header(where)

    from mddae_cli import editing, pipeline
    from mddae_cli.files import write_atomically

    sources = pipeline.find_sources(named)
    net = editing.load(where, device=device or "auto")
    results = pipeline.encode_sources(net, sources, batch_size=batch_size)
    to_rows = _csv_rows if form is Format.CSV else _json_rows
    counts = {"encoded": 0, "failed": 0}
    rows = to_rows(header, _counted(results, counts), with_z=not soft_target_only)
    if output is None:
        for row in rows:
            sys.stdout.write(row)
            sys.stdout.flush()
    else:
        write_atomically(output, _writer(rows))
        console.say(str(output))
    if not quiet:
        console.note(f"encoded {counts['encoded']}, failed {counts['failed']}")
    if counts["failed"]:
        raise typer.Exit(1)


def _counted(
    results: Iterator[Encoded | Failed], counts: dict[str, int]
) -> Iterator[Encoded | Failed]:
    """Pass results on, count them, and name the failures."""
    from mddae_cli.pipeline import Failed

    for result in results:
        failed = isinstance(result, Failed)
        counts["failed" if failed else "encoded"] += 1
        if isinstance(result, Failed):
            console.note(f"error: {result.source.name}: {result.reason}")
        yield result


def _csv_rows(
    header: Header, results: Iterator[Encoded | Failed], *, with_z: bool
) -> Iterator[str]:
    """Yield a heading and a line per encoded picture: input, the names, z0, z1 and so on."""
    latent = [f"z{i}" for i in range(header.model.latent_dim)] if with_z else []
    yield _csv_line(["input", *header.names, *latent])
    for result in results:
        if record := _record(result, with_z=with_z):
            yield _csv_line([result.source.name, *record])


def _json_rows(
    header: Header, results: Iterator[Encoded | Failed], *, with_z: bool
) -> Iterator[str]:
    """Yield an object per picture, failures too."""
    for result in results:
        about: dict[str, object] = {"input": result.source.name}
        record = _record(result, with_z=with_z)
        if record is None:
            about |= {"status": "failed", "error": getattr(result, "reason", "")}
        else:
            names = header.names
            about |= {
                "status": "encoded",
                "y_hat": dict(zip(names, map(float, record), strict=False)),
            }
            about |= {"z": [float(v) for v in record[len(names) :]]} if with_z else {}
        yield json.dumps(about, allow_nan=False, ensure_ascii=False) + "\n"


def _record(result: Encoded | Failed, *, with_z: bool) -> list[str] | None:
    """Return the numbers of a picture, nine digits each, which give float32 back exactly."""
    y_hat, z = getattr(result, "y_hat", None), getattr(result, "z", None)
    if y_hat is None or z is None:
        return None
    return [f"{value:.9g}" for value in (*y_hat, *(z if with_z else ()))]


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _writer(rows: Iterator[str]) -> Callable[[BinaryIO], None]:
    def write(handle: BinaryIO) -> None:
        for row in rows:
            handle.write(row.encode("utf-8", "surrogateescape"))

    return write
