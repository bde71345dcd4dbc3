"""What commands over many pictures share: their inputs, where results go, what is said of each."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypedDict

import typer

from mddae_cli.align.options import FITTED
from mddae_cli.cli import console
from mddae_cli.cli.options import parse_shard
from mddae_cli.errors import UsageError
from mddae_cli.formats import (
    READ_DEFAULTS,
    WRITE_DEFAULTS,
    Fit,
    ReadOptions,
    Subsampling,
    WriteOptions,
)

if TYPE_CHECKING:
    from mddae_cli.align.detector import Face
    from mddae_cli.align.options import AlignOptions
    from mddae_cli.align.photograph import Photograph
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
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Take every N-th picture, from the I-th on: 1/8 to 8/8 share a folder.",
    ),
]
FitOption = Annotated[
    Fit,
    typer.Option(
        "--fit",
        help="A picture whose proportions are not the model's: crop takes the largest central "
        "square, pad puts black beside it, stretch makes it square.",
    ),
]
MaxPixels = Annotated[
    int, typer.Option(min=1, metavar="N", help="Refuse a picture with more pixels, unread.")
]
Quality = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=100,
        help="Of JPEG and WebP. Default: 95 for JPEG, WebP without loss.",
    ),
]
SubsamplingOption = Annotated[
    Subsampling | None,
    typer.Option("--subsampling", help="Colour that a JPEG keeps. Default: all of it, 4:4:4."),
]
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


class Run(TypedDict):
    """What all ways to change pictures are told by options."""

    overwrite: bool
    batch_size: int
    as_json: bool
    quiet: bool


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


class Plan(NamedTuple):
    """Each picture with the place of its result, and how many files were no pictures by suffix."""

    jobs: list[tuple[Source, Path | None]]
    others: int

    @property
    def targets(self) -> list[Path | None]:
        """Where results go; None is standard output."""
        return [target for _, target in self.jobs]


def plan(
    named: Sequence[str],
    output: str | None,
    label: str,
    shard: str | None = None,
    *,
    together: bool = False,
    check: Callable[[Path], object] | None = None,
    keep_suffix: bool = False,
) -> Plan:
    """Return what is to be done, before any of it is.

    Names that collide are refused in the whole list, of which a shard takes its share.

    Args:
        named: What was named as input.
        output: What ``-o`` says.
        label: What ``{edit}`` stands for.
        shard: What ``--shard`` says.
        together: Whether all results come into one place where ``output`` is a file.
        check: Raises where a file name cannot be written to; by default pictures can.
        keep_suffix: Whether names that are made up keep the picture's own suffix.

    Raises:
        ImageError: If a folder or pattern holds no picture.
        UsageError: If the places cannot be used, or picture bytes would go to a terminal.
    """
    share = parse_shard(shard)
    from mddae_cli import pipeline

    if output == pipeline.STDOUT and sys.stdout.isatty():
        raise UsageError("-o - would write a picture onto the terminal: redirect it.")
    sources, others = pipeline.search(named, outside=pipeline.output_folder(output))
    if together and output is not None and pipeline.is_one_file(output):
        if shard is not None:
            raise UsageError("--shard shares many results: name a folder with -o.")
        # A sheet that an earlier run left in the folder that is walked now.
        own = [s for s in sources if s.name in named or s.name != os.path.normpath(output)]
        places = [pipeline.plan_targets([s], output, label=label, check=check)[0] for s in own]
        return Plan(list(zip(own, places, strict=True)), others)
    mirrored = any(Path(name).is_dir() for name in named)
    targets = pipeline.plan_targets(
        sources, output, label=label, mirrored=mirrored, check=check, keep_suffix=keep_suffix
    )
    return Plan(list(zip(sources, targets, strict=True))[share], others)


def write_options(
    quality: int | None, subsampling: Subsampling | None, targets: Iterable[Path | None]
) -> WriteOptions:
    """Return how results are compressed.

    Raises:
        UsageError: If no result is of a format that has the option.
    """
    from mddae_cli import images

    formats = {"PNG" if target is None else images.format_of(target) for target in targets}
    if quality is not None and formats and not formats & {"JPEG", "WEBP"}:
        raise UsageError(_of_no_use("--quality", "JPEG and WebP"))
    if subsampling is not None and formats and "JPEG" not in formats:
        raise UsageError(_of_no_use("--subsampling", "JPEG"))
    return WriteOptions(quality, subsampling or WRITE_DEFAULTS.subsampling)


def _of_no_use(option: str, formats: str) -> str:
    return (
        f"{option} is of {formats}, and no result is one: name them so, such as "
        "-o 'out/{folder}/{stem}.jpg'."
    )


def change_all(
    model: Model,
    planned: Plan,
    change: Callable[[Codes], Codes],
    *,
    overwrite: bool,
    batch_size: int,
    as_json: bool,
    quiet: bool,
    read: ReadOptions = READ_DEFAULTS,
    write: WriteOptions = WRITE_DEFAULTS,
    faces: AlignOptions = FITTED,
) -> Iterator[Result]:
    """Change and write every picture, say what became of each, and leave with 1 if one failed."""
    from mddae_cli import pipeline, runtime
    from mddae_cli.workers import start_workers

    with (
        runtime.many_pictures(),
        start_workers(len(planned.jobs), model.header, faces, read, write) as workers,
    ):
        results = pipeline.edit_photographs(
            model,
            planned.jobs,
            change,
            faces,
            overwrite=overwrite,
            batch_size=batch_size,
            read=read,
            write=functools.partial(write_result, options=write),
            workers=workers,
        )
        yield from tell_all(
            first_frames(results, quiet=quiet),
            model.names,
            many=len(planned.jobs) > 1,
            others=planned.others,
            as_json=as_json,
            quiet=quiet,
        )


def tell_all(
    results: Iterator[Result],
    names: Sequence[str],
    *,
    many: bool,
    others: int = 0,
    as_json: bool,
    quiet: bool,
) -> Iterator[Result]:
    """Pass results on, say what became of each, and leave with 1 if one failed.

    Args:
        results: What the pipeline yields.
        names: The names of ŷ.
        many: Whether a line with counts ends it in any case.
        others: How many files were left out by their suffix.
        as_json: Whether a record is printed for each.
        quiet: Whether there is no line with counts.
    """
    from mddae_cli.pipeline import Drawn, Edited, Failed

    counts = {"edited": 0, "skipped": 0, "failed": 0}
    said: Path | None = None
    for result in results:
        status = "edited" if isinstance(result, Edited | Drawn) else type(result).__name__.lower()
        counts[status] += 1
        if isinstance(result, Failed):
            console.note(console.in_one_line(f"error: {result.source.name}: {result.reason}"))
        if as_json:
            _say_record(result, status, names)
        elif isinstance(result, Edited | Drawn) and result.target not in (None, said):
            # Many pictures may have come into one sheet.
            said = result.target
            console.say(str(said))
        yield result
    if not quiet and (many or counts["skipped"] or others):
        console.note(summary(counts, others))
    if counts["failed"]:
        raise typer.Exit(1)


def first_frames(results: Iterator[Any], *, quiet: bool) -> Iterator[Any]:
    """Pass results on and say at the first animated picture that its first frame is taken."""
    said = quiet
    for result in results:
        if getattr(result, "animated", False) and not said:
            said = True
            name = console.in_one_line(result.source.name)
            console.note(f"{name}: has several frames, of which the first is taken (said once).")
        yield result


def summary(counts: Mapping[str, int], others: int) -> str:
    """Return the line that ends a run: how many of each, and files that no picture's name had."""
    line = ", ".join(f"{status} {count}" for status, count in counts.items())
    return f"{line}; left out by suffix {others}" if others else line


def write_result(
    target: Path | None, picture: Pixels | Photograph, options: WriteOptions = WRITE_DEFAULTS
) -> None:
    """Write one result; None is standard output."""
    from mddae_cli import images
    from mddae_cli.align.photograph import Photograph

    if target is None:
        if isinstance(picture, Photograph):
            sys.stdout.buffer.write(picture.to_bytes(options=options))
        else:
            sys.stdout.buffer.write(images.image_bytes(picture))
        return
    images.make_folder(target)
    if isinstance(picture, Photograph):
        picture.save(target, options)
    else:
        images.write_image(target, picture, options)


def _say_record(result: Result, status: str, names: Sequence[str]) -> None:
    """Print what became of a picture as a JSON object in a line."""
    from mddae_cli.pipeline import Drawn, Edited, Failed, Skipped

    target = None if isinstance(result, Failed) else result.target
    record: dict[str, Any] = {
        "input": result.source.name,
        "output": None if target is None else str(target),
        "status": status,
        "error": result.reason if isinstance(result, Failed) else None,
        "elapsed_s": None if isinstance(result, Skipped) else round(result.elapsed_s, 6),
    }
    if isinstance(result, Edited | Drawn):
        record["animated"] = result.animated
        record["y_hat_before"] = dict(zip(names, map(float, result.before), strict=True))
    if isinstance(result, Drawn):
        record["cells"] = result.cells
    if isinstance(result, Edited):
        record["y_hat_after"] = dict(zip(names, map(float, result.after), strict=True))
        record |= {"faces": [_about(face) for face in result.faces]} if result.faces else {}
    console.say_json(record, indent=None)
    sys.stdout.flush()


def _about(face: Face) -> dict[str, Any]:
    """Return a face as it stands in JSON: the eyes in pixels of the picture."""
    left, right = face.points[:2].round(2).tolist()
    return {
        "left_eye": left,
        "right_eye": right,
        "eye_distance": round(face.eye_distance, 2),
        "degrees": round(face.to_picture.degrees, 2),
        "score": round(face.score, 4),
    }
