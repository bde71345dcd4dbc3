"""What commands over many pictures share: their inputs, where results go, what is said of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mddae_cli.cli import console
from mddae_cli.errors import UsageError

if TYPE_CHECKING:
    from mddae_cli.editing import Codes, Model
    from mddae_cli.images import Pixels
    from mddae_cli.pipeline import Result, Source

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="IMAGE", help="Pictures, folders, patterns, or -."),
]
FromFile = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="A file of paths, a line each; - is standard input."),
]
Null = Annotated[
    bool, typer.Option("--null", "-0", help="Paths in the list end with NUL, not newline.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures that the model takes at a time.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="A file, a folder, - for standard output, or a template such as "
        "'out/{stem}-{edit}.png'. Default, for one picture: NAME.edited.png here.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make results again that are there already.")
]


def named_inputs(inputs: Sequence[str] | None, from_file: str | None, *, null: bool) -> list[str]:
    """Return what was named on the line and in a list; names that are no UTF-8 come through.

    Raises:
        UsageError: If nothing was, the list cannot be read, or standard input is read twice.
    """
    given = list(inputs or [])
    if given.count("-") + (from_file == "-") > 1:
        raise UsageError("standard input can be read once: give - a single time.")
    if from_file is not None:
        given += _listed(from_file, null=null)
    if not given:
        raise UsageError("no picture is given: name files or folders, or - for standard input.")
    return given


def _listed(from_file: str, *, null: bool) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if from_file == "-" else Path(from_file).read_bytes()
    except OSError as exc:
        raise UsageError(f"list {from_file!r} cannot be read: {exc.strerror}.") from exc
    lines = data.split(b"\0") if null else data.splitlines()
    return [os.fsdecode(line) for line in lines if line]


def plan(named: Sequence[str], output: str | None, label: str) -> list[tuple[Source, Path | None]]:
    """Return each picture with the place of its result, before any work is done.

    Raises:
        ImageError: If a folder or pattern holds no picture.
        UsageError: If the places cannot be used, or picture bytes would go to a terminal.
    """
    from mddae_cli import pipeline

    if output == pipeline.STDOUT and sys.stdout.isatty():
        raise UsageError("-o - would write a picture onto the terminal: redirect it.")
    sources = pipeline.find_sources(named, outside=pipeline.output_folder(output))
    mirrored = any(Path(name).is_dir() for name in named)
    targets = pipeline.plan_targets(sources, output, label=label, mirrored=mirrored)
    return list(zip(sources, targets, strict=True))


def change_all(
    model: Model,
    jobs: Sequence[tuple[Source, Path | None]],
    change: Callable[[Codes], Codes],
    *,
    overwrite: bool,
    batch_size: int,
    as_json: bool,
    quiet: bool,
) -> Iterator[Result]:
    """Change and write every picture, say what became of each, and leave with 1 if one failed."""
    from mddae_cli import pipeline

    results = pipeline.edit_sources(
        model, jobs, change, overwrite=overwrite, batch_size=batch_size, write=write_result
    )
    return tell_all(results, model.names, many=len(jobs) > 1, as_json=as_json, quiet=quiet)


def tell_all(
    results: Iterator[Result], names: Sequence[str], *, many: bool, as_json: bool, quiet: bool
) -> Iterator[Result]:
    """Pass results on, say what became of each, and leave with 1 if one failed.

    Args:
        results: What the pipeline yields.
        names: The names of ŷ.
        many: Whether a line with counts ends it in any case.
        as_json: Whether a record is printed for each.
        quiet: Whether there is no line with counts.
    """
    counts = {"edited": 0, "skipped": 0, "failed": 0}
    for result in results:
        status = type(result).__name__.lower()
        counts[status] += 1
        _say(result, status, names, as_json=as_json)
        yield result
    if not quiet and (many or counts["skipped"]):
        console.note(", ".join(f"{status} {count}" for status, count in counts.items()))
    if counts["failed"]:
        raise typer.Exit(1)


def write_result(target: Path | None, pixels: Pixels) -> None:
    """Write one result; None is standard output."""
    from mddae_cli import images
    from mddae_cli.errors import ImageError

    if target is None:
        sys.stdout.buffer.write(images.image_bytes(pixels))
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ImageError(f"folder {str(target.parent)!r}: {exc.strerror}.") from exc
    images.write_image(target, pixels)


def _say(result: Result, status: str, names: Sequence[str], *, as_json: bool) -> None:
    """Print the path of a result or its record, and on standard error why there is none."""
    from mddae_cli.pipeline import Edited, Failed

    if isinstance(result, Failed):
        console.note(f"error: {result.source.name}: {result.reason}")
    target = None if isinstance(result, Failed) else result.target
    if not as_json:
        if isinstance(result, Edited) and target is not None:
            console.say(str(target))
        return
    record: dict[str, Any] = {
        "input": result.source.name,
        "output": None if target is None else str(target),
        "status": status,
        "error": result.reason if isinstance(result, Failed) else None,
    }
    if isinstance(result, Edited):
        record["y_hat_before"] = dict(zip(names, map(float, result.before), strict=True))
        record["y_hat_after"] = dict(zip(names, map(float, result.after), strict=True))
    console.say_json(record, indent=None)
    sys.stdout.flush()
