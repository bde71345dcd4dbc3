"""``mddae swap-class``: pictures given another class (case 1 of the paper)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mddae_cli.cli import console
from mddae_cli.cli.options import Device, Json, ModelPath, Quiet, Verbose, model_or
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
from mddae_cli.cli.sheets import Look, Pixelated, Scale, draw_all, plan_sheets
from mddae_cli.config import TargetKind
from mddae_cli.errors import ImageError, UsageError, fold_name, resolve_name
from mddae_cli.formats import READ_DEFAULTS, ReadOptions, Subsampling
from mddae_cli.header import DEFAULT_DIGITS, Header, read_header

if TYPE_CHECKING:
    from mddae_cli.editing import Codes, Model

# What --to takes for a sheet, where no class is called so.
ALL = "all"

SHORT_HELP = "Turn pictures into another class."
HELP = (
    "Example: mddae swap-class three.png --to 7 -o seven.png\n\n"
    "Exchanges two entries of the soft target, that of the class which the picture shows and that "
    "of the wanted one: their sum stays 1 and the style stays as it was. A picture of that class "
    "comes back as its reconstruction, and that is said. --to all draws every class: a sheet with "
    "a row per picture, or with -o FOLDER a row for each. --style-from and --class-from join the "
    "style of one picture with the class of another. Folders are walked recursively and "
    "mirrored. Prints the paths of what was written."
)


def command(
    inputs: Inputs = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="CLASS", help="The wanted class, or all for a sheet."),
    ] = None,
    style_from: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep the style (z) of this picture."),
    ] = None,
    class_from: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Take the class (soft target) of this picture."),
    ] = None,
    scale: Scale = None,
    pixelated: Pixelated = False,
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
    """Swap the class of every picture and print where the results are."""
    pair = _pair(style_from, class_from, others=bool(to or inputs or from_file))
    if to is None and not pair:
        raise UsageError(
            "no class is given: add --to CLASS, --to all, or --style-from and --class-from."
        )
    where = model_or(model, DEFAULT_DIGITS)
    header = read_header(where)
    header.require_targets(TargetKind.CLASSES)
    drawn = to is not None and fold_name(to) == ALL and ALL not in map(fold_name, header.names)
    wanted = None if to is None or drawn else resolve_name("class", to, header.names)
    look = Look(scale, pixelated)
    asked = _Asked(
        named=named_inputs(pair or inputs, from_file, null=null),
        output=output,
        shard=shard,
        quality=quality,
        subsampling=subsampling,
        read=ReadOptions(fit, max_pixels),
        run=Run(overwrite=overwrite, batch_size=batch_size, as_json=as_json, quiet=quiet),
    )

    def load() -> Model:
        from mddae_cli import editing

        return editing.load(where, device=device or "auto")

    if drawn:
        _draw(load, header, look, asked)
        return
    look.refuse_alone("--to all")
    if wanted is None:
        _combine(load, asked)
    else:
        _swap(load, wanted, asked)


class _Asked(NamedTuple):
    """What all ways to swap are told."""

    named: list[str]
    output: str | None
    shard: str | None
    quality: int | None
    subsampling: Subsampling | None
    read: ReadOptions
    run: Run


def _pair(style_from: str | None, class_from: str | None, *, others: bool) -> list[str]:
    """Return the pictures of ``--style-from`` and ``--class-from``, none where neither is given.

    Args:
        style_from: The one option.
        class_from: The other.
        others: Whether a class or other pictures are given.

    Raises:
        UsageError: If one is missing, or ``others`` are given besides.
    """
    pair = [name for name in (style_from, class_from) if name is not None]
    if len(pair) == 1:
        raise UsageError("--style-from and --class-from go together: give both.")
    if pair and others:
        raise UsageError(
            "--style-from and --class-from name both pictures: leave out --to and others."
        )
    return pair


def _swap(load: Callable[[], Model], wanted: str, asked: _Asked) -> None:
    planned = plan(asked.named, asked.output, wanted, asked.shard)
    write = write_options(asked.quality, asked.subsampling, planned.targets)

    from mddae_cli.pipeline import Edited

    for result in change_all(
        load(), planned, lambda codes: codes.swap(wanted), read=asked.read, write=write, **asked.run
    ):
        same = isinstance(result, Edited) and bool((result.before == result.after).all())
        if same and not asked.run["quiet"]:
            console.note(f"{result.source.name}: shows {wanted} already, so it is reconstructed.")


def _draw(load: Callable[[], Model], header: Header, look: Look, asked: _Asked) -> None:
    from mddae_cli import figures

    figure = figures.ClassFigure(header.names)
    planned = plan_sheets(asked.named, asked.output, ALL, figure, header, look, asked.shard)
    write = look.write_options(asked.quality, asked.subsampling, planned.targets)
    for _ in draw_all(load(), planned, figure, look, read=asked.read, write=write, **asked.run):
        pass


def _combine(load: Callable[[], Model], asked: _Asked) -> None:
    style, shown = asked.named
    planned = plan([style], asked.output, "combined", asked.shard)
    write = write_options(asked.quality, asked.subsampling, planned.targets)
    model = load()
    target = _codes_of(shown, model, asked.read)
    for _ in change_all(
        model,
        planned,
        lambda codes: codes.with_target(target),
        read=asked.read,
        write=write,
        **asked.run,
    ):
        pass


def _codes_of(name: str, model: Model, read: ReadOptions) -> Codes:
    """Return the codes of one picture.

    Raises:
        ImageError: If it cannot be read.
        UsageError: If ``name`` stands for several.
    """
    from mddae_cli import pipeline

    sources = pipeline.find_sources([name])
    if len(sources) != 1:
        raise UsageError(f"--class-from {name!r} stands for {len(sources)} pictures: name one.")
    (found,) = pipeline.encode_sources(model, sources, read=read)
    if isinstance(found, pipeline.Failed):
        raise ImageError(f"{name}: {found.reason}")
    return found.codes(model)
