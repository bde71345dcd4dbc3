"""Sheets of few pictures in one call: sweeps, and every class in one style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mddae_cli import editing
from mddae_cli.align.options import DEFAULTS
from mddae_cli.align.placement import first_crop
from mddae_cli.editing import Model, Picture
from mddae_cli.errors import ImageError, UsageError
from mddae_cli.figures.cells import (
    Cells,
    ClassFigure,
    Figure,
    SweepFigure,
    decode_variants,
    resolve_sweeps,
)
from mddae_cli.figures.layout import Style, cell_size, measure, paint
from mddae_cli.header import DEFAULT_FACES
from mddae_cli.images import Pixels, read_image

# About 300 MB in colour: a figure is drawn in memory as a whole.
MAX_PIXELS = 100_000_000
Image = str | Path | Pixels


def sweep(
    images: Image | Sequence[Image],
    sweeps: Mapping[str, Sequence[float]],
    model: Model | str | Path = DEFAULT_FACES,
    *,
    changes: Mapping[str, float] | None = None,
    style: Style | None = None,
) -> Picture:
    """Return pictures with attributes over values: ``sweep("a.png", {"Smiling": [0, 1, 2]})``.

    Original, reconstruction and the values, labelled; a row per picture, or of two sweeps a grid
    per picture, the first's values down and the second's across.

    Args:
        images: One or more files, or uint8 pixels (H, W, 3); of a photograph the largest face.
        sweeps: One or two attributes with their values, in the model's unit of intensity.
        model: A model, or what :func:`~mddae_cli.editing.load` takes.
        changes: Attributes set in every swept cell.
        style: How cells are enlarged.

    Raises:
        ImageError: If a file cannot be read, or is a photograph that shows no face.
        ModelError: If the model is missing or damaged.
        UnknownNameError: If a name does not exist.
        UsageError: If the model has no attributes, sweeps contradict each other or the changes, or
            the sheet would be too large.
    """
    loaded = model if isinstance(model, Model) else editing.load(model)
    figure = SweepFigure(resolve_sweeps(sweeps, loaded.names), dict(changes or {}))
    return _sheet(images, loaded, figure, style or Style())


def class_sheet(
    images: Image | Sequence[Image], model: Model | str | Path, *, style: Style | None = None
) -> Picture:
    """Return every picture and its style in every class (Figure 3 of the paper), a row each.

    Args:
        images: One or more files, or uint8 pixels (H, W, 3).
        model: A model of classes, or what :func:`~mddae_cli.editing.load` takes.
        style: How cells are enlarged.

    Raises:
        ImageError: If a file cannot be read.
        ModelError: If the model is missing or damaged.
        UsageError: If the model has no classes, or the sheet would be too large.
    """
    loaded = model if isinstance(model, Model) else editing.load(model)
    return _sheet(images, loaded, ClassFigure(loaded.names), style or Style())


def _sheet(images: Image | Sequence[Image], model: Model, figure: Figure, style: Style) -> Picture:
    several = [images] if isinstance(images, str | Path | np.ndarray) else list(images)
    if not several:
        raise UsageError("no picture is given: name one or more.")
    check_size(figure, len(several), model.header.preprocess.image_size, style)
    return Picture(draw(figure, [read_cells(image, model, figure) for image in several], style))


def read_cells(image: Image, model: Model, figure: Figure) -> Cells:
    """Return a picture, read, aligned and fitted where needed, with its variants.

    Raises:
        ImageError: If the file cannot be read, or is a photograph that shows no face.
        UsageError: If the model has nothing of the figure's kind.
    """
    model.header.require_targets(figure.kind)
    pixels = read_image(image) if isinstance(image, str | Path) else image
    name = Path(image).name if isinstance(image, str | Path) else ""
    try:
        original = first_crop(model.header, DEFAULTS)(pixels)
    except ImageError as exc:
        raise ImageError(f"{image if name else 'the picture'}: {exc}") from exc
    variants = decode_variants(model, model.encode(original[None]), figure)
    return Cells(name, original, variants)


def draw(figure: Figure, pictures: Sequence[Cells], style: Style) -> Pixels:
    """Return the sheet of one or more pictures, uint8 (H, W, C); of several with their names."""
    several = len(pictures) > 1
    rows = [row for cells in pictures for row in figure.rows(cells, cells.name if several else "")]
    return paint(rows, style, measure(rows, style))


def check_size(figure: Figure, pictures: int, side: int, style: Style) -> None:
    """Refuse a sheet that is too large to be drawn in memory.

    Args:
        figure: What is drawn of each picture.
        pictures: How many come into one sheet.
        side: The model's image side.
        style: How cells are enlarged.

    Raises:
        UsageError: If it would have more than :data:`MAX_PIXELS`.
    """
    rows, columns = figure.shape
    width, height = cell_size(side, figure.headings, style)
    pixels = pictures * rows * columns * width * height
    if pixels > MAX_PIXELS:
        folder = ", or -o FOLDER for a sheet per picture" if pictures > 1 else ""
        raise UsageError(
            f"a sheet of {pictures * rows:,} rows and {columns:,} columns is too large "
            f"({pixels / 1e6:,.0f} million pixels, at most {MAX_PIXELS / 1e6:.0f}):\n"
            f"take fewer values or a smaller --scale{folder}."
        )
