"""Pictures in rows with labels: the drawing of every sheet.

Axes: S the model's image side, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mddae_cli.images import Pixels

_FONT_PX = 12
_GAP = 6
_MARGIN = 6
_LONGEST_LABEL = 28
# Cells at least this wide hold most labels and can be seen on a screen.
_SMALLEST_CELL = 112


@dataclass(frozen=True)
class Style:
    """How cells are enlarged: ``scale`` times (None: until they can be seen well).

    Bicubic, or with ``pixelated`` by repeating pixels, so that each of the model's can be told.
    """

    scale: int | None = None
    pixelated: bool = False

    def factor(self, side: int) -> int:
        """Return how many times a cell of that many pixels is enlarged."""
        return self.scale or max(1, math.ceil(_SMALLEST_CELL / side))


@dataclass(frozen=True)
class Row:
    """Pictures side by side, uint8 (S, S, C), each below its heading; ``label`` stands before."""

    cells: Sequence[Pixels]
    headings: Sequence[str] = ()
    label: str = ""


class Widths(NamedTuple):
    """Pixels from one column to the next, and before the first one."""

    pitch: int
    left: int


def cell_size(side: int, headings: Iterable[str], style: Style) -> tuple[int, int]:
    """Return the width and height in pixels that a cell below one of ``headings`` takes."""
    enlarged = side * style.factor(side)
    font = _font()
    widest = max((font.getlength(_drawable(text)) for text in headings), default=0)
    return max(enlarged, math.ceil(widest)) + _GAP, enlarged + _GAP


def measure(rows: Sequence[Row], style: Style) -> Widths:
    """Return the widths with which all labels of ``rows`` fit."""
    headings = {text for row in rows for text in row.headings}
    pitch, _ = cell_size(rows[0].cells[0].shape[0], headings, style)
    left = max(_font().getlength(_short(row.label)) for row in rows)
    return Widths(pitch, math.ceil(left) + _GAP if left else 0)


def paint(rows: Sequence[Row], style: Style, widths: Widths) -> Pixels:
    """Return rows drawn one below the other on white.

    Headings are drawn where they differ from those drawn last.

    Args:
        rows: At least one, with cells of one shape.
        style: How cells are enlarged.
        widths: What :func:`measure` returned, for these rows or for more.

    Returns:
        uint8 (H, W, C).
    """
    first = rows[0].cells[0]
    side = first.shape[0] * style.factor(first.shape[0])
    tops = list(_tops(rows, side))
    columns = max(len(row.cells) for row in rows)
    width = 2 * _MARGIN + widths.left + columns * widths.pitch - _GAP
    height = tops[-1].cells + side + _MARGIN
    canvas = Image.new("L" if first.shape[2] == 1 else "RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(canvas), _font()
    for row, top in zip(rows, tops, strict=True):
        middle = top.cells + side // 2
        pen.text((_MARGIN, middle), _short(row.label), "black", font, anchor="lm")
        for number, cell in enumerate(row.cells):
            x = _MARGIN + widths.left + number * widths.pitch + (widths.pitch - _GAP) // 2
            canvas.paste(_enlarged(cell, side, style), (x - side // 2, top.cells))
            if top.headings is not None and number < len(row.headings):
                heading = _drawable(row.headings[number])
                pen.text((x, top.headings), heading, "black", font, anchor="ma")
    return np.array(canvas).reshape(height, width, first.shape[2])


class _Top(NamedTuple):
    """Where a row's headings begin, None without, and where its cells do."""

    headings: int | None
    cells: int


def _tops(rows: Sequence[Row], side: int) -> Iterator[_Top]:
    ascent, descent = _font().getmetrics()
    y = _MARGIN
    drawn: tuple[str, ...] = ()
    for row in rows:
        shown = y if row.headings and tuple(row.headings) != drawn else None
        if shown is not None:
            y, drawn = y + ascent + descent + _GAP // 3, tuple(row.headings)
        yield _Top(shown, y)
        y += side + _GAP


def _enlarged(cell: Pixels, side: int, style: Style) -> Image.Image:
    image = Image.fromarray(cell[:, :, 0] if cell.shape[2] == 1 else cell)
    how = Image.Resampling.NEAREST if style.pixelated else Image.Resampling.BICUBIC
    return image if image.width == side else image.resize((side, side), how)


def _short(label: str) -> str:
    """Return a label, or its end where it is long."""
    over = len(label) > _LONGEST_LABEL
    return _drawable(f"...{label[3 - _LONGEST_LABEL :]}" if over else label)


def _drawable(text: str) -> str:
    """Return text in one line; names of files and classes may hold anything."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(_FONT_PX)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("labels need a Pillow that was built with FreeType.")
    return font
