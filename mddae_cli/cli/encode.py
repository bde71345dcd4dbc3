"""``mddae encode``: soft target and latent of any number of pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mddae_cli.cli import console
from mddae_cli.cli.align_options import AlignOption, FaceOption, one_face
from mddae_cli.cli.options import Device, ModelPath, Quiet, Verbose, model_or, parse_shard
from mddae_cli.cli.pictures import (
    BatchSize,
    FitOption,
    FromFile,
    Inputs,
    MaxPixels,
    Null,
    Shard,
    first_frames,
    named_inputs,
    summary,
)
from mddae_cli.config import CodesFormat
from mddae_cli.errors import UsageError
from mddae_cli.formats import READ_DEFAULTS, ReadOptions
from mddae_cli.header import DEFAULT_FACES, read_header

if TYPE_CHECKING:
    from mddae_cli.pipeline import Encoded, Failed, Source

SHORT_HELP = "Write soft targets and latents of pictures."
HELP = (
    "Example: mddae encode photos -o codes.parquet\n\n"
    "Writes a row for each picture: its path, its soft target by name, and its latent z. Folders "
    "are walked recursively; - reads one picture from standard input. A picture that cannot be "
    "read is named on standard error and the others are done; the exit code is 1 then. "
    "mddae edit --from-encoding decodes the rows again."
)


def command(
    inputs: Inputs = None,
    from_file: FromFile = None,
    null: Null = False,
    model: ModelPath = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where rows go; - is standard output, which is the default.",
        ),
    ] = None,
    form: Annotated[
        CodesFormat | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"{', '.join(CodesFormat)}; the last needs pyarrow. Default: what FILE ends in, "
            "or csv.",
        ),
    ] = None,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add rows to a CSV or JSON Lines FILE, of pictures that it lacks.",
        ),
    ] = False,
    soft_target_only: Annotated[
        bool, typer.Option("--soft-target-only", help="Leave z out.")
    ] = False,
    shard: Shard = None,
    fit: FitOption = READ_DEFAULTS.fit,
    max_pixels: MaxPixels = READ_DEFAULTS.max_pixels,
    align: AlignOption = "auto",
    face: FaceOption = "largest",
    batch_size: BatchSize = 64,
    device: Device = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Encode every picture and write the rows in the order of the inputs."""
    share = parse_shard(shard)
    named = named_inputs(inputs, from_file, null=null)
    where = model_or(model, DEFAULT_FACES)
    header = read_header(where)
    faces = one_face(align, face)

    from mddae_cli import editing, pipeline, runtime
    from mddae_cli.align import placement
    from mddae_cli.files import write_atomically

    placement.require_faces(header, faces)
    place = None if output in (None, pipeline.STDOUT) else output
    chosen = pipeline.format_of(place, form)
    columns = pipeline.Columns(header.names, 0 if soft_target_only else header.model.latent_dim)
    pipeline.check_format(chosen, columns)
    if place is None and not chosen.is_text and sys.stdout.isatty():
        raise UsageError(f"{chosen} is nothing for a terminal: add -o FILE, or redirect it.")
    if append and place is None:
        raise UsageError("--append adds to a file: add -o FILE.")
    found, others = pipeline.search(named)
    sources = found[share]
    counts = {"encoded": 0, "failed": 0}

    def rows(sources: Sequence[Source]) -> Iterator[Encoded | Failed]:
        net = editing.load(where, device=device or "auto")
        results = pipeline.encode_sources(
            net,
            sources,
            batch_size=batch_size,
            read=ReadOptions(fit, max_pixels),
            fit=placement.first_crop(header, faces, fit),
        )
        results = first_frames(results, quiet=quiet)
        return _counted(pipeline.writable(results, chosen), counts)

    with runtime.many_pictures():  # as edit: other threads could round differently
        if place is not None and append:
            with pipeline.appending(place, columns, chosen, str(where)) as file:
                todo = [source for source in sources if source.name not in file.inputs]
                counts["skipped"] = len(sources) - len(todo)
                pipeline.write_codes(file.handle, rows(todo), columns, chosen, heading=file.is_new)
        elif place is not None:
            every = rows(sources)
            write_atomically(place, lambda out: pipeline.write_codes(out, every, columns, chosen))
        else:
            pipeline.write_codes(sys.stdout.buffer, rows(sources), columns, chosen)
    _report(place, counts, others, quiet=quiet)


def _report(place: str | None, counts: Mapping[str, int], others: int, *, quiet: bool) -> None:
    """Print where rows are and how many, and leave with 1 if a picture failed."""
    if place is not None:
        console.say(place)
    if not quiet:
        console.note(summary(counts, others))
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
            console.note(console.in_one_line(f"error: {result.source.name}: {result.reason}"))
        yield result
