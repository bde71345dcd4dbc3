"""``mddae edit``: attributes of pictures set to values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mddae_cli.align.options import Size, make_options
from mddae_cli.cli import console
from mddae_cli.cli.align_options import (
    AlignOption,
    FaceOption,
    ShowFaces,
    SizeOption,
    one_face,
    refuse_stretching,
    show_faces,
)
from mddae_cli.cli.attributes import say_attributes
from mddae_cli.cli.encodings import FromEncoding, decode_all, refuse_pictures
from mddae_cli.cli.options import (
    Device,
    Json,
    ModelPath,
    Quiet,
    Raw,
    Verbose,
    model_or,
    parse_changes,
)
from mddae_cli.cli.pictures import (
    BatchSize,
    FitOption,
    FromFile,
    Inputs,
    MaxPixels,
    Null,
    Output,
    Overwrite,
    Quality,
    Run,
    Shard,
    SubsamplingOption,
    change_all,
    named_inputs,
    plan,
    write_options,
)
from mddae_cli.cli.sheets import (
    Animate,
    FrameMs,
    Look,
    Named,
    Pixelated,
    Scale,
    Sweeps,
    draw_all,
    parse_sweeps,
    plan_sheets,
)
from mddae_cli.config import TargetKind
from mddae_cli.errors import UsageError
from mddae_cli.formats import READ_DEFAULTS, ReadOptions
from mddae_cli.header import DEFAULT_FACES, Header, read_header

if TYPE_CHECKING:
    from mddae_cli.editing import Codes, Model

SHORT_HELP = "Set attributes of pictures."
HELP = (
    "Example: mddae edit face.jpg --set Eyeglasses=1.7 -o out.png\n\n"
    "Writes pictures with attributes set to the given values: 0 is an average picture without, "
    "1 one with it, more is stronger; --add goes from what the picture has. --list shows the "
    "names; case, spaces, hyphens and underscores in them do not matter. Folders are walked "
    "recursively and mirrored; what is there already is skipped. Prints the paths of what was "
    "written; a picture that cannot be read is named, the others are done, and the exit code is 1."
)


def command(
    inputs: Inputs = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="NAME=VALUE", help="May be given several times."),
    ] = None,
    additions: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="NAME=DELTA", help="Added to what the picture has."),
    ] = None,
    removals: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="The same as NAME=0.")
    ] = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Change nothing: write the reconstruction.")
    ] = False,
    raw: Raw = False,
    from_encoding: FromEncoding = None,
    sweep: Sweeps = None,
    animate: Animate = None,
    frame_ms: FrameMs = None,
    scale: Scale = None,
    pixelated: Pixelated = False,
    align: AlignOption = "auto",
    face: FaceOption = "largest",
    size: SizeOption = None,
    preview: ShowFaces = None,
    listed: Annotated[
        bool,
        typer.Option("--list", help="Show the model's attributes and how far each can go."),
    ] = False,
    from_file: FromFile = None,
    null: Null = False,
    model: ModelPath = None,
    output: Output = None,
    overwrite: Overwrite = False,
    shard: Shard = None,
    fit: FitOption = READ_DEFAULTS.fit,
    max_pixels: MaxPixels = READ_DEFAULTS.max_pixels,
    quality: Quality = None,
    subsampling: SubsamplingOption = None,
    batch_size: BatchSize = 64,
    device: Device = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Edit every picture and print where the results are."""
    where = model_or(model, DEFAULT_FACES)
    if listed:
        beside = (inputs, from_file, from_encoding, settings, additions, removals, reset, sweep)
        if any(beside):
            raise UsageError("--list shows attributes: leave out pictures and changes.")
        say_attributes(where, raw=raw, as_json=as_json, quiet=quiet)
        return
    header = read_header(where)
    if from_encoding is None or settings or additions or removals:
        header.require_targets(TargetKind.ATTRIBUTES)
    faces = make_options(align, face, size)
    refuse_stretching(faces, fit)
    if preview is not None:
        show_faces(named_inputs(inputs, from_file, null=null), preview, faces, header, max_pixels)
        return
    removed = [f"{name}=0" for name in removals or ()]
    values = parse_changes([*(settings or ()), *removed], header.names)
    deltas = parse_changes(additions or (), header.names, "--add")
    sweeps = parse_sweeps(sweep or (), header.names)
    label = _label(values, deltas, sweeps, reset=reset, decode=from_encoding is not None)
    run = Run(overwrite=overwrite, batch_size=batch_size, as_json=as_json, quiet=quiet)
    look = Look(scale, pixelated, animate, frame_ms)
    read = ReadOptions(fit, max_pixels)

    def load() -> Model:
        from mddae_cli import editing

        return editing.load(where, device=device or "auto", raw=raw)

    def change(codes: Codes) -> Codes:
        return codes.set(values).add(deltas)

    if not raw and not quiet:
        _warn_of_range(header, values)
        _warn_of_range(header, {name: max(swept, key=abs) for name, swept in sweeps})
    if not sweeps:
        look.refuse_alone("--sweep NAME=VALUES")
    if from_encoding is not None:
        refuse_pictures(inputs, from_file, shard)
        if sweeps:
            raise UsageError("--from-encoding has no originals to sweep: leave out --sweep.")
        results = decode_all(
            from_encoding,
            where,
            header,
            change,
            raw=raw,
            output=output,
            label=label,
            device=device,
            quality=quality,
            subsampling=subsampling,
            **run,
        )
    elif sweeps:
        from mddae_cli import figures
        from mddae_cli.align.placement import require_faces

        if size is Size.NATIVE:
            raise UsageError("--size native is no size of a sheet: leave out --sweep or --size.")
        shown = one_face(align, face)
        require_faces(header, shown)
        named = named_inputs(inputs, from_file, null=null)
        figure = figures.SweepFigure(tuple(figures.Sweep(*one) for one in sweeps), values, deltas)
        planned = plan_sheets(named, output, label, figure, header, look, shard)
        write = look.write_options(quality, subsampling, planned.targets)
        results = draw_all(
            load(), planned, figure, look, read=read, write=write, faces=shown, **run
        )
    else:
        named = named_inputs(inputs, from_file, null=null)
        planned = plan(named, output, label, shard, keep_suffix=size is Size.NATIVE)
        write = write_options(quality, subsampling, planned.targets)

        from mddae_cli.align.placement import require_faces

        require_faces(header, faces)
        results = change_all(load(), planned, change, read=read, write=write, faces=faces, **run)
    for _ in results:
        pass


def _warn_of_range(header: Header, values: Mapping[str, float]) -> None:
    """Say which values lie far outside what was measured of their attribute."""
    for name, value in values.items():
        measured = (header.working_ranges or {}).get(name, {})
        first, last = measured.get("first"), measured.get("last")
        if first is None or last is None or first - 1 <= value <= last + 1:
            continue
        console.note(
            f"warning: {name}={value:g} lies far outside {first:g} to {last:g}, where it was "
            "measured: expect more than one thing to change."
        )


def _label(
    values: Mapping[str, float],
    deltas: Mapping[str, float],
    sweeps: Sequence[Named],
    *,
    reset: bool,
    decode: bool,
) -> str:
    """Return what ``{edit}`` stands for; codes that are decoded need no change.

    Raises:
        UsageError: If there is no change, a change beside ``--reset``, or two of one attribute.
    """
    if twice := sorted(values.keys() & deltas.keys()):
        raise UsageError(f"{twice[0]} is both set and added to: give one of the two.")
    if reset and (values or deltas or sweeps):
        raise UsageError("--reset changes nothing: leave out --set, --add, --remove and --sweep.")
    if not (values or deltas or sweeps or reset or decode):
        raise UsageError("no change is given: add --set NAME=VALUE, --add, --remove or --reset.")
    parts = [f"{name}={swept[0]:g}..{swept[-1]:g}" for name, swept in sweeps]
    parts += [f"{name}={value:g}" for name, value in values.items()]
    parts += [f"{name}{delta:+g}" for name, delta in deltas.items()]
    return ",".join(parts) or ("reset" if reset else "decoded")
