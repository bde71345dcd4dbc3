"""``mddae swap-class``: pictures given another class (case 1 of the paper)."""

from __future__ import annotations

from typing import Annotated

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
    Shard,
    SubsamplingOption,
    change_all,
    named_inputs,
    plan,
    write_options,
)
from mddae_cli.config import TargetKind
from mddae_cli.errors import resolve_name
from mddae_cli.formats import READ_DEFAULTS, ReadOptions
from mddae_cli.header import read_header

SHORT_HELP = "Turn pictures into another class."
HELP = (
    "Example: mddae swap-class three.png --model runs/digits --to 7 -o seven.png\n\n"
    "Exchanges two entries of the soft target, that of the class which the picture shows and that "
    "of the wanted one: their sum stays 1 and the style stays as it was. A picture of that class "
    "comes back as its reconstruction, and that is said. Folders are walked recursively and "
    "mirrored. Prints the paths of what was written."
)


def command(
    to: Annotated[str, typer.Option("--to", metavar="CLASS", help="The wanted class.")],
    inputs: Inputs = None,
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
    where = model_or(model)
    header = read_header(where)
    header.require_targets(TargetKind.CLASSES)
    wanted = resolve_name("class", to, header.names)
    planned = plan(named_inputs(inputs, from_file, null=null), output, wanted, shard)
    write = write_options(quality, subsampling, planned.targets)

    from mddae_cli import editing
    from mddae_cli.pipeline import Edited

    net = editing.load(where, device=device or "auto")
    for result in change_all(
        net,
        planned,
        lambda codes: codes.swap(wanted),
        overwrite=overwrite,
        batch_size=batch_size,
        as_json=as_json,
        quiet=quiet,
        read=ReadOptions(fit, max_pixels),
        write=write,
    ):
        if isinstance(result, Edited) and not quiet and (result.before == result.after).all():
            console.note(f"{result.source.name}: shows {wanted} already, so it is reconstructed.")
