"""Codes instead of pictures: the option ``--from-encoding`` and what follows from it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from mddae_cli.cli.pictures import tell_all, write_options, write_result
from mddae_cli.errors import UsageError
from mddae_cli.formats import Subsampling
from mddae_cli.header import Header

if TYPE_CHECKING:
    from mddae_cli.editing import Codes
    from mddae_cli.pipeline import Result, Source

FromEncoding = Annotated[
    str | None,
    typer.Option(
        "--from-encoding",
        metavar="FILE",
        help="Codes of mddae encode, changed or not, to decode instead of pictures; - is standard "
        "input.",
    ),
]


def refuse_pictures(inputs: Sequence[str] | None, from_file: str | None, shard: str | None) -> None:
    """Raise where pictures, or a share of them, are named beside codes.

    Raises:
        UsageError: If there are any.
    """
    if shard is not None:
        raise UsageError("--shard takes a share of pictures, not of codes: leave it out.")
    if inputs or from_file is not None:
        raise UsageError("--from-encoding names its pictures itself: leave out IMAGE and lists.")


def decode_all(
    encoding: str,
    where: Path,
    header: Header,
    change: Callable[[Codes], Codes],
    *,
    raw: bool,
    output: str | None,
    label: str,
    device: str | None,
    overwrite: bool,
    quality: int | None,
    subsampling: Subsampling | None,
    batch_size: int,
    as_json: bool,
    quiet: bool,
) -> Iterator[Result]:
    """Decode and write every row of a file of codes, say what became of each.

    Leaves with 1 if a row failed.

    Args:
        encoding: The file, or ``-``.
        where: The model's place.
        header: The model's own description.
        change: From the codes of a batch to those that are decoded.
        raw: Whether values are raw ŷ, not calibrated.
        output: ``-o``: where pictures go, by the rules for pictures.
        label: What ``{edit}`` stands for.
        device: What ``--device`` says.
        overwrite: Whether results that are there are made again.
        quality: Of JPEG and WebP.
        subsampling: Of JPEG.
        batch_size: Codes that the model takes at a time.
        as_json: Whether a record is printed for each.
        quiet: Whether there is no line with counts.

    Raises:
        UsageError: If the codes are not of this model, or their places cannot be used.
    """
    from mddae_cli import editing, pipeline, runtime

    if output == pipeline.STDOUT and sys.stdout.isatty():
        raise UsageError("-o - would write a picture onto the terminal: redirect it.")
    columns = pipeline.Columns(header.names, header.model.latent_dim)
    with pipeline.CodesFile(encoding, columns, str(where)) as file:
        sources = file.sources()
        targets = _targets(sources, output, label)
        write = write_options(quality, subsampling, targets)
        net = editing.load(where, device=device or "auto", raw=raw)
        results = pipeline.decode_rows(
            net,
            file.rows(),
            targets,
            change,
            overwrite=overwrite,
            batch_size=batch_size,
            write=functools.partial(write_result, options=write),
        )
        many = len(sources) > 1
        with runtime.many_pictures():
            yield from tell_all(results, net.names, many=many, as_json=as_json, quiet=quiet)


def _targets(sources: Sequence[Source], output: str | None, label: str) -> list[Path | None]:
    """Return where pictures go; a folder unless one picture is given a file's name."""
    from mddae_cli import images, pipeline

    if not sources:
        return []
    alone = len(sources) == 1
    name = PurePath(output or "").suffix.lower()
    is_file = alone and (output in (None, pipeline.STDOUT) or (name and name in images.WRITTEN_AS))
    return pipeline.plan_targets(sources, output, label=label, mirrored=not is_file)
