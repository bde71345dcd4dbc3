"""``mddae edit``: attributes of one picture set to values."""

from __future__ import annotations

from typing import Annotated

import typer

from mddae_cli.cli.options import (
    Device,
    ModelPath,
    Quiet,
    Verbose,
    model_or,
    parse_changes,
)
from mddae_cli.cli.pictures import Image, Output, read_picture, write_picture
from mddae_cli.config import TargetKind
from mddae_cli.header import DEFAULT_FACES, read_header

SHORT_HELP = "Set attributes of a picture."
HELP = (
    "Example: mddae edit face.jpg --set Eyeglasses=1.7 -o out.png\n\n"
    "Writes the picture with attributes set to the given values: 0 is without, 1 is with, more "
    "is stronger. mddae info RUN lists the names; case, spaces, hyphens and underscores in them "
    "do not matter. Prints the path of what was written."
)


def command(
    image: Image,
    settings: Annotated[
        list[str],
        typer.Option("--set", "-s", metavar="NAME=VALUE", help="May be given several times."),
    ],
    model: ModelPath = None,
    output: Output = None,
    device: Device = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Edit one picture and print where it is."""
    where = model_or(model, DEFAULT_FACES)
    header = read_header(where)
    header.require_targets(TargetKind.ATTRIBUTES)
    changes = parse_changes(settings, header.names)
    picture, target = read_picture(image, output)

    from mddae_cli import editing

    net = editing.load(where, device=device or "auto")
    write_picture(target, editing.edit_image(net, picture, changes))
