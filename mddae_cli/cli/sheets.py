"""What ``edit`` and ``swap-class`` share where they draw: options of sheets and animations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mddae_cli.align.options import DEFAULTS, AlignOptions
from mddae_cli.cli.options import parse_values
from mddae_cli.cli.pictures import (
    Plan,
    first_frames,
    plan,
    tell_all,
    write_options,
    write_result,
)
from mddae_cli.errors import UsageError, fold_name, resolve_name
from mddae_cli.formats import WRITE_DEFAULTS, ReadOptions, Subsampling, WriteOptions
from mddae_cli.header import Header

if TYPE_CHECKING:
    from mddae_cli.editing import Model
    from mddae_cli.figures import Cells, Figure, Style
    from mddae_cli.figures.flow import Write
    from mddae_cli.pipeline import Result

_PANEL = "Sheets"
Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="NAME=VALUES",
        help="A labelled row of original, reconstruction and values: FIRST:LAST:STEP or a list "
        "with commas. Given twice: a grid, the first down, the second across. What is set, added "
        "or removed besides is so in every swept cell.",
        rich_help_panel=_PANEL,
    ),
]
Animate = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="With one --sweep: its values forth and back, as .gif, .webp or .png, instead of -o.",
        rich_help_panel=_PANEL,
    ),
]
FrameMs = Annotated[
    int | None,
    typer.Option(
        min=20,
        max=60_000,
        metavar="MS",
        help="Milliseconds for each value of an animation. Default: 150.",
        rich_help_panel=_PANEL,
    ),
]
Scale = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=16,
        help="How many times cells are enlarged. Default: to 112 pixels or more.",
        rich_help_panel=_PANEL,
    ),
]
Pixelated = Annotated[
    bool,
    typer.Option(
        "--pixelated",
        help="Enlarge by repeating pixels, not bicubically.",
        rich_help_panel=_PANEL,
    ),
]
Named = tuple[str, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """What was asked of a sheet's look; ``animate`` is the file of an animation."""

    scale: int | None = None
    pixelated: bool = False
    animate: str | None = None
    frame_ms: int | None = None

    def refuse_alone(self, without: str) -> None:
        """Refuse options of sheets where none is drawn.

        Raises:
            UsageError: If there is one; it says what to add.
        """
        given = {
            "--animate": self.animate is not None,
            "--frame-ms": self.frame_ms is not None,
            "--scale": self.scale is not None,
            "--pixelated": self.pixelated,
        }
        for option in (name for name, is_given in given.items() if is_given):
            raise UsageError(f"{option} is for sheets: add {without}.")

    def place(self, output: str | None) -> str | None:
        """Return where sheets go: what ``-o`` says, or ``--animate``.

        Raises:
            UsageError: If both do, or a frame's time is given and no animation.
        """
        if self.animate is None:
            if self.frame_ms is not None:
                raise UsageError("--frame-ms is for animations: add --animate FILE.")
            return output
        if output is not None:
            raise UsageError("--animate names the file by itself: leave out -o.")
        if self.animate == "-":
            raise UsageError("--animate - has no suffix: name a file, such as smile.gif.")
        return self.animate

    def write_options(
        self,
        quality: int | None,
        subsampling: Subsampling | None,
        targets: Iterable[Path | None],
    ) -> WriteOptions:
        """Return how sheets are compressed.

        Raises:
            UsageError: If no sheet is of a format that has the option; no animation is.
        """
        if self.animate is None:
            return write_options(quality, subsampling, targets)
        if quality is not None or subsampling is not None:
            raise UsageError(
                "--quality and --subsampling are of sheets: leave them out with --animate."
            )
        return WRITE_DEFAULTS

    @property
    def style(self) -> Style:
        """How cells are enlarged."""
        from mddae_cli.figures import Style

        return Style(self.scale, self.pixelated)


def parse_sweeps(sweeps: Sequence[str], known: Sequence[str]) -> list[Named]:
    """Return what ``--sweep Name=VALUES`` options ask for, under the model's own names.

    Raises:
        UsageError: If one is malformed or its values are.
        UnknownNameError: If a name does not exist.
    """
    parsed = []
    for text in sweeps:
        given, equals, values = text.rpartition("=")
        if not equals or not fold_name(given):
            raise UsageError(
                f"--sweep {text!r} is no Name=VALUES: write --sweep Smiling=0:2:0.5, or =0,1,2."
            )
        name = resolve_name("attribute", given.strip(), known)
        parsed.append((name, tuple(parse_values(values, f"--sweep {text!r}"))))
    return parsed


def plan_sheets(
    named: Sequence[str],
    output: str | None,
    label: str,
    figure: Figure,
    header: Header,
    look: Look,
    shard: str | None,
) -> Plan:
    """Return each picture with the place of its sheet, one for all where ``output`` is a file.

    Raises:
        ImageError: If a folder or pattern holds no picture.
        UsageError: If the places cannot be used, or a sheet would be too large.
    """
    from mddae_cli import figures

    place = look.place(output)
    check = None if look.animate is None else figures.animation_format
    planned = plan(named, place, label, shard, together=True, check=check)
    pictures = len(planned.jobs) if len(set(planned.targets)) == 1 else 1
    side = header.preprocess.image_size
    if look.animate is not None and isinstance(figure, figures.SweepFigure):
        figures.check_animation(figure, pictures, side, look.style)
    else:
        figures.check_size(figure, pictures, side, look.style)
    return planned


def draw_all(
    model: Model,
    planned: Plan,
    figure: Figure,
    look: Look,
    *,
    overwrite: bool,
    batch_size: int,
    as_json: bool,
    quiet: bool,
    read: ReadOptions,
    write: WriteOptions,
    faces: AlignOptions = DEFAULTS,
) -> Iterator[Result]:
    """Draw and write every sheet, say what became of each picture, leave with 1 if one failed."""
    from mddae_cli import figures, runtime

    results = figures.draw_sources(
        model,
        planned.jobs,
        figure,
        overwrite=overwrite,
        batch_size=batch_size,
        read=read,
        faces=faces,
        write=_writer(figure, look, write),
    )
    with runtime.many_pictures():
        yield from tell_all(
            first_frames(results, quiet=quiet),
            model.names,
            many=len(planned.jobs) > 1,
            others=planned.others,
            as_json=as_json,
            quiet=quiet,
        )


def _writer(figure: Figure, look: Look, options: WriteOptions) -> Write:
    """Return what draws and writes one sheet or animation."""
    from mddae_cli import figures, images

    style = look.style

    def write_sheet(target: Path | None, pictures: Sequence[Cells]) -> None:
        write_result(target, figures.draw(figure, pictures, style), options)

    if look.animate is None or not isinstance(figure, figures.SweepFigure):
        return write_sheet
    sweep, frame_ms = figure, look.frame_ms or figures.FRAME_MS

    def write_animation(target: Path | None, pictures: Sequence[Cells]) -> None:
        if target is not None:
            images.make_folder(target)
            figures.draw_frames(sweep, pictures, style, frame_ms).save(target)

    return write_animation
