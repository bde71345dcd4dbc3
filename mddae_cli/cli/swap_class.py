"""``mddae swap-class``: one picture given another class (case 1 of the paper)."""

from __future__ import annotations

from typing import Annotated

import typer

from mddae_cli.cli.options import Device, ModelPath, Quiet, Verbose, model_or
from mddae_cli.cli.pictures import Image, Output, read_picture, write_picture
from mddae_cli.config import TargetKind
from mddae_cli.errors import resolve_name
from mddae_cli.header import DEFAULT_DIGITS, read_header

SHORT_HELP = "Turn a picture into another class."
HELP = (
    "Example: mddae swap-class three.png --to 7 -o seven.png\n\n"
    "Exchanges two entries of the soft target, that of the class which the picture shows and that "
    "of the wanted one: their sum stays 1 and the style stays as it was. Prints the path of "
    "what was written."
)


def command(
    image: Image,
    to: Annotated[str, typer.Option("--to", metavar="CLASS", help="The wanted class.")],
    model: ModelPath = None,
    output: Output = None,
    device: Device = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Swap the class of one picture and print where it is."""
    where = model_or(model, DEFAULT_DIGITS)
    header = read_header(where)
    header.require_targets(TargetKind.CLASSES)
    wanted = resolve_name("class", to, header.names)
    picture, target = read_picture(image, output)

    from mddae_cli import editing

    net = editing.load(where, device=device or "auto")
    write_picture(target, editing.swap_class(net, picture, wanted))
