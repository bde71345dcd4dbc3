"""A picture of what was found in a photograph: faces, eyes, and what the model sees of them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mddae_cli.align import template
from mddae_cli.align.detector import Face
from mddae_cli.align.options import AlignOptions
from mddae_cli.align.placement import choose_faces
from mddae_cli.align.similarity import Similarity
from mddae_cli.align.warp import corners
from mddae_cli.header import Preprocess
from mddae_cli.images import Pixels

_FRAME, _SEEN, _POINT = (255, 200, 0), (0, 230, 118), (255, 23, 68)


def draw_faces(image: Pixels, options: AlignOptions, preprocess: Preprocess) -> Pixels:
    """Return a picture with its faces drawn in, numbered as ``--face`` counts them.

    Yellow is CelebA's frame, green the part that the model sees and changes, red the points.

    Args:
        image: uint8 (H, W, 3).
        options: Which faces; of the detector's, all are drawn.
        preprocess: The model's.

    Raises:
        ImageError: If there is none.
    """
    picture = Image.fromarray(image)
    square = template.crop_square(preprocess)
    everything = AlignOptions(options.align, options.eyes, face=None)
    for number, face in enumerate(choose_faces(image, everything), 1):
        unit = max(1, round(max(face.eye_distance / 25, max(picture.size) / 800)))
        _draw(ImageDraw.Draw(picture), face, square, str(number), unit)
    return np.asarray(picture)


def _draw(
    pen: ImageDraw.ImageDraw, face: Face, square: tuple[float, float, float], label: str, unit: int
) -> None:
    """Draw one face with lines that are ``unit`` pixels wide."""
    left, top, side = square
    frame = corners(face.to_picture, template.WIDTH, template.HEIGHT)
    seen = corners(face.to_picture.after(Similarity(1, complex(left, top))), side, side)
    for box, colour in ((frame, _FRAME), (seen, _SEEN)):
        pen.line([(x, y) for x, y in (*box, *box[:2])], colour, unit, "curve")
    for x, y in face.points:
        pen.circle((x, y), 1.5 * unit, _POINT)
    font = ImageFont.load_default(max(10, unit * 8))
    pen.text((seen[0, 0] + 2 * unit, seen[0, 1] + unit), label, _SEEN, font)
