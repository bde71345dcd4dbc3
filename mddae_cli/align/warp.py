"""Pictures through similarity transforms, without aliasing and without decoding them anew.

Axes: H, W a picture's own, h, w of the piece that is cut out, C channels.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from mddae_cli.align.similarity import Points, Similarity
from mddae_cli.images import Pixels

# Pixels around a piece that bicubic interpolation reads.
_MARGIN = 3


def cut(image: Pixels, to_image: Similarity, width: int, height: int) -> Pixels:
    """Return a turned and scaled piece of a picture; beyond its border the edge is repeated.

    A piece that is smaller than its place in the picture is averaged first, so that fine patterns
    do not alias; the rest is bicubic.

    Args:
        image: uint8 (H, W, C), C = 1 or 3.
        to_image: From the piece to the picture, both in pixels.
        width: Of the piece, in pixels.
        height: Of the piece, in pixels.

    Returns:
        uint8 (height, width, C).
    """
    by = max(1, math.floor(to_image.scale))
    box = corners(to_image, width, height) / by
    left, top = (math.floor(v) - _MARGIN for v in box.min(axis=0))
    right, bottom = (math.ceil(v) + _MARGIN for v in box.max(axis=0))
    piece = _reduced(image, by, (left, top, right, bottom))
    into = Similarity(1 / by, complex(-left, -top)).after(to_image)
    found = Image.fromarray(piece).transform(
        (width, height), Image.Transform.AFFINE, into.pillow(), Image.Resampling.BICUBIC
    )
    return np.asarray(found).reshape(height, width, image.shape[2])


def _reduced(image: Pixels, by: int, box: tuple[int, int, int, int]) -> Pixels:
    """Return a box of the picture at 1/``by`` of its size, edges repeated beyond the border.

    Args:
        image: uint8 (H, W, C).
        by: Each pixel of the result is the mean of so many squared.
        box: Left, top, right and bottom in reduced pixels.

    Raises:
        ValueError: If the box and the picture do not meet.
    """
    limits = [math.ceil(side / by) for side in (image.shape[1], image.shape[0])] * 2
    left, top, right, bottom = (min(max(v, 0), most) for v, most in zip(box, limits, strict=True))
    if left >= right or top >= bottom:
        raise ValueError(f"the box {box} lies outside the picture")
    piece = image[top * by : bottom * by, left * by : right * by]
    if piece.shape[2] == 1:
        piece = piece[:, :, 0]
    small = np.asarray(Image.fromarray(np.ascontiguousarray(piece)).reduce(by))
    beyond = [(top - box[1], box[3] - bottom), (left - box[0], box[2] - right)]
    return np.pad(small, beyond + [(0, 0)] * (small.ndim - 2), mode="edge")


def corners(to_image: Similarity, width: float, height: float) -> Points:
    """Return the four corners (4, 2) of a piece in the picture."""
    box = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    return to_image.apply(box)
