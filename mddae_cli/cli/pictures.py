"""What commands that change one picture share: its argument, and where the result goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mddae_cli.cli import console
from mddae_cli.errors import UsageError

if TYPE_CHECKING:
    from mddae_cli.images import Pixels

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to change.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="The file to write, or a folder. Default: NAME.edited.png here.",
    ),
]


def read_picture(image: Path, output: Path | None) -> tuple[Pixels, Path]:
    """Return the picture and the file that the result goes to.

    Args:
        image: The picture to change.
        output: What ``-o`` says: a file, an existing folder, or nothing for this folder.

    Returns:
        The pixels, uint8 (H, W, 3), and the path.

    Raises:
        ImageError: If ``image`` cannot be read.
        UsageError: If the result would replace ``image``, or its suffix cannot be written.
    """
    from mddae_cli import images

    pixels = images.read_image(image)
    target = Path() if output is None else output
    if target.is_dir():
        target = target / f"{image.stem}.edited.png"
    images.format_of(target)
    if target.exists() and target.samefile(image):
        raise UsageError(f"-o {str(target)!r} is the picture itself: name another file.")
    return pixels, target


def write_picture(target: Path, pixels: Pixels) -> None:
    """Write the result, its folder made where needed, and print its path."""
    from mddae_cli import images

    target.parent.mkdir(parents=True, exist_ok=True)
    images.write_image(target, pixels)
    console.say(str(target))
