"""Options about faces in photographs, and the preview that shows them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mddae_cli.align.options import AlignOptions, Size, make_options
from mddae_cli.cli import console
from mddae_cli.errors import ImageError, UsageError
from mddae_cli.formats import Fit

if TYPE_CHECKING:
    from mddae_cli.header import Header

_PANEL = "Faces"

AlignOption = Annotated[
    str,
    typer.Option(
        "--align",
        metavar="WHEN",
        help="auto, never, always or eyes:x1,y1,x2,y2 (the left eye in the picture first, in "
        "pixels). auto leaves pictures of CelebA's proportions, and those no larger than the "
        "model's, as they are.",
        rich_help_panel=_PANEL,
    ),
]
FaceOption = Annotated[
    str,
    typer.Option(
        "--face",
        metavar="WHICH",
        help="largest, all, or 2 for the second largest and so on.",
        rich_help_panel=_PANEL,
    ),
]
SizeOption = Annotated[
    Size | None,
    typer.Option(
        "--size",
        help="native: the photograph itself with the edit in it; model: the decoder's own "
        "picture. Default: native where a face was aligned.",
        rich_help_panel=_PANEL,
    ),
]
ShowFaces = Annotated[
    Path | None,
    typer.Option(
        "--show-faces",
        metavar="FILE",
        help="Edit nothing: draw the faces of one picture, numbered, with their eyes and what "
        "the model sees of them.",
        rich_help_panel=_PANEL,
    ),
]


def one_face(align: str, face: str) -> AlignOptions:
    """Return what ``--align`` and ``--face`` say where each picture gives one face.

    Raises:
        UsageError: If one of them is malformed, or all faces are wanted.
    """
    options = make_options(align, face, None)
    if options.face is None:
        raise UsageError("--face all: each picture gives one face here: largest, 2, 3 and so on.")
    return options


def refuse_stretching(options: AlignOptions, fit: Fit) -> None:
    """Refuse to put back what was made square.

    Raises:
        UsageError: If the photograph is wanted whole and fitted by stretching.
    """
    if options.size is Size.NATIVE and fit is Fit.STRETCH:
        raise UsageError("--size native cannot put back what --fit stretch made square.")


def show_faces(
    named: Sequence[str], target: Path, options: AlignOptions, header: Header, max_pixels: int
) -> None:
    """Write the preview of one picture and print its path.

    Raises:
        ImageError: If the picture cannot be read or shows no face.
        UsageError: If there are several pictures, or the detector is missing.
    """
    from mddae_cli import images
    from mddae_cli.align.preview import draw_faces
    from mddae_cli.pipeline import STDIN, find_sources

    sources = find_sources(named)
    if len(sources) != 1:
        raise UsageError(f"--show-faces takes one picture, and {len(sources)} are given.")
    images.format_of(target)
    name = sources[0].name
    data = sys.stdin.buffer.read() if name == STDIN else Path(name)
    picture = images.read_image(data, name=name, max_pixels=max_pixels)
    try:
        images.write_image(target, draw_faces(picture, options, header.preprocess))
    except ImageError as exc:
        raise ImageError(f"{name}: {exc}") from exc
    console.say(str(target))
