"""``mddae edit``: attributes of pictures set to values."""

from __future__ import annotations

from typing import Annotated

import typer

from mddae_cli.cli.options import Device, Json, ModelPath, Quiet, Verbose, model_or, parse_changes
from mddae_cli.cli.pictures import (
    BatchSize,
    FromFile,
    Inputs,
    Null,
    Output,
    Overwrite,
    change_all,
    named_inputs,
    plan,
)
from mddae_cli.config import TargetKind
from mddae_cli.header import DEFAULT_FACES, read_header

SHORT_HELP = "Set attributes of pictures."
HELP = (
    "Example: mddae edit face.jpg --set Eyeglasses=1.7 -o out.png\n\n"
    "Writes pictures with attributes set to the given values: 0 is without, 1 is with, more "
    "is stronger. mddae info NAME lists the names; case, spaces, hyphens and underscores in them "
    "do not matter. Folders are walked recursively and mirrored; what is there already is skipped. "
    "Prints the paths of what was written; a picture that cannot be read is named, the others are "
    "done, and the exit code is 1."
)


def command(
    settings: Annotated[
        list[str],
        typer.Option("--set", "-s", metavar="NAME=VALUE", help="May be given several times."),
    ],
    inputs: Inputs = None,
    from_file: FromFile = None,
    null: Null = False,
    model: ModelPath = None,
    output: Output = None,
    overwrite: Overwrite = False,
    batch_size: BatchSize = 64,
    device: Device = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Edit every picture and print where the results are."""
    where = model_or(model, DEFAULT_FACES)
    header = read_header(where)
    header.require_targets(TargetKind.ATTRIBUTES)
    changes = parse_changes(settings, header.names)
    label = ",".join(f"{name}={value:g}" for name, value in changes.items())
    jobs = plan(named_inputs(inputs, from_file, null=null), output, label)

    from mddae_cli import editing

    net = editing.load(where, device=device or "auto")
    for _ in change_all(
        net,
        jobs,
        lambda codes: codes.set(changes),
        overwrite=overwrite,
        batch_size=batch_size,
        as_json=as_json,
        quiet=quiet,
    ):
        pass
