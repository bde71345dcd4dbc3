"""A sweep as an animation, forth and back: GIF, WebP or animated PNG.

Axes: F frames; H, W, C as everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from PIL import Image

from mddae_cli import editing
from mddae_cli.editing import Model
from mddae_cli.errors import ImageError, UsageError
from mddae_cli.figures.cells import Cells, SweepFigure, resolve_sweeps
from mddae_cli.figures.layout import Row, Style, measure, paint
from mddae_cli.figures.sheets import check_size, read_cells
from mddae_cli.header import DEFAULT_FACES
from mddae_cli.images import Pixels, write_encoded

FRAME_MS = 150
_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}


@dataclass(frozen=True)
class Animation:
    """Frames (F of uint8 (H, W, C)), each shown for ``frame_ms`` milliseconds, endlessly."""

    frames: tuple[Pixels, ...]
    frame_ms: int = FRAME_MS

    def save(self, path: str | Path) -> None:
        """Write the animation; the suffix decides the format.

        Raises:
            UsageError: If the suffix is none of an animation.
            ImageError: If a frame does not fit the format, or the disk refuses.
        """
        write_encoded(path, self.to_bytes(animation_format(path)))

    def to_bytes(self, format: str = "GIF") -> bytes:
        """Return the bytes of a file in ``GIF``, ``WEBP`` or ``PNG``.

        Raises:
            ImageError: If a frame does not fit the format.
        """
        first, *others = (_image(frame) for frame in self.frames)
        buffer = io.BytesIO()
        lossless = {"lossless": True} if format == "WEBP" else {}
        try:
            first.save(
                buffer,
                format=format,
                save_all=True,
                append_images=others,
                duration=self.frame_ms,
                loop=0,
                **lossless,
            )
        except (OSError, ValueError) as exc:
            raise ImageError(
                f"frames of {first.size} cannot be written as {format}: {exc}"
            ) from exc
        return buffer.getvalue()


def _image(frame: Pixels) -> Image.Image:
    return Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame)


def animation_format(path: str | Path) -> str:
    """Return the format that a file name asks for.

    Raises:
        UsageError: If an animation cannot be written so.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in _FORMATS:
        raise UsageError(
            f"{str(path)!r}: animations cannot be written as {suffix or 'a file without suffix'}. "
            f"Use {' '.join(_FORMATS)}."
        )
    return _FORMATS[suffix]


def animate(
    image: str | Path | Pixels,
    sweeps: Mapping[str, Sequence[float]],
    model: Model | str | Path = DEFAULT_FACES,
    *,
    changes: Mapping[str, float] | None = None,
    style: Style | None = None,
    frame_ms: int = FRAME_MS,
) -> Animation:
    """Return a picture whose attribute goes over values and back.

    Args:
        image: A file, or uint8 pixels (H, W, 3).
        sweeps: One attribute with two or more values, in the model's unit of intensity.
        model: A model, or what :func:`~mddae_cli.editing.load` takes.
        changes: Attributes set in every frame.
        style: How the picture is enlarged.
        frame_ms: Milliseconds for each value.

    Raises:
        ImageError: If the file cannot be read, or is a photograph that shows no face.
        ModelError: If the model is missing or damaged.
        UnknownNameError: If a name does not exist.
        UsageError: If the model has no attributes, or the sweeps do not make an animation.
    """
    loaded = model if isinstance(model, Model) else editing.load(model)
    figure = SweepFigure(resolve_sweeps(sweeps, loaded.names), dict(changes or {}))
    style = style or Style()
    check_animation(figure, 1, loaded.header.preprocess.image_size, style)
    return draw_frames(figure, [read_cells(image, loaded, figure)], style, frame_ms)


def check_animation(figure: SweepFigure, pictures: int, side: int, style: Style) -> None:
    """Refuse sweeps that do not make an animation, or one too large for memory.

    Raises:
        UsageError: If there are two sweeps, less than two values, or too many pixels.
    """
    if len(figure.sweeps) != 1 or len(figure.sweeps[0].values) < 2:
        raise UsageError("an animation takes one sweep with two values or more.")
    check_size(figure, pictures, side, style)


def draw_frames(
    figure: SweepFigure, pictures: Sequence[Cells], style: Style, frame_ms: int = FRAME_MS
) -> Animation:
    """Return the animation of one or more pictures side by side, forth and back."""
    rows = [
        Row([cells.variants[1 + number] for cells in pictures], [heading])
        for number, heading in enumerate(figure.sweeps[0].headings)
    ]
    widths = measure(rows, style)
    forth = [paint([row], style, widths) for row in rows]
    return Animation((*forth, *forth[-2:0:-1]), frame_ms)
