"""An edit put back where the face was: its difference, resampled smoothly, at full size.

What is added is the difference between the edited picture and the plain reconstruction, so that
everything the model cannot draw stays. Where the edit is strong, the photograph's own mouth or
eyes would show through it: there what the reconstruction misses at the model's side is taken out
too, and only finer detail stays. Towards the border of the model's square all fades to nothing.

Axes: S the model's side, C its channels, H, W the picture's own, h, w of the part that changes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from mddae_cli.align.similarity import Similarity
from mddae_cli.align.warp import corners
from mddae_cli.images import Pixels

Floats = npt.NDArray[np.float32]

# The share of the model's side over which the difference fades, at each border.
FEATHER = 1 / 6
# Enlarging beyond this many pixels for one of the model's adds nothing to see: bilinear from there.
_MOST_ENLARGED = 8


# A change of this much of the whole range, averaged around a pixel, is a strong one.
_STRONG = 0.12
_AROUND = 2  # pixels to each side


def difference_of(crop: Pixels, before: Floats, after: Floats) -> Floats:
    """Return what an edit adds to a picture at the model's side.

    Args:
        crop: The picture, uint8 (S, S, C).
        before: Its reconstruction, float32 (S, S, C) in [0, 1].
        after: The edit, the same.

    Returns:
        float32 (S, S, C): where little changes the edit less the reconstruction, where much does
        the edit less the picture, smoothly between; all 0 where the edit changes nothing.
    """
    change = after - before
    share = np.clip(_mean_around(np.abs(change).mean(axis=2)) / _STRONG, 0, 1)
    smooth = share * share * (3 - 2 * share)  # (S, S)
    missed = before - crop.astype(np.float32) / 255
    whole: Floats = change + smooth[:, :, None] * missed
    return whole


def _mean_around(plane: Floats) -> Floats:
    """Return the mean of each pixel (S, S) and those around it."""
    padded = np.pad(plane, _AROUND, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * _AROUND + 1,) * 2)
    mean: Floats = windows.mean(axis=(2, 3), dtype=np.float32)
    return mean


class Change(NamedTuple):
    """What is added to a part of a picture: float32 ``values`` (h, w, C), in units of 255."""

    left: int
    top: int
    values: Floats

    @property
    def rows(self) -> slice:
        """The rows of the picture that the part has."""
        return slice(self.top, self.top + self.values.shape[0])

    @property
    def columns(self) -> slice:
        """The columns of the picture that the part has."""
        return slice(self.left, self.left + self.values.shape[1])


def change_at(difference: Floats, to_picture: Similarity, width: int, height: int) -> Change:
    """Return a difference at the model's side as a change of the picture.

    Args:
        difference: What is added, float32 (S, S, C), pictures being in [0, 1].
        to_picture: From the model's square, in its pixels, to the picture.
        width: W of the picture.
        height: H of the picture.

    Returns:
        The change; its part lies within the picture and is empty where the square does not.
    """
    side = difference.shape[0]
    box = corners(to_picture, side, side)
    left, top = (max(0, math.floor(v)) for v in box.min(axis=0))
    right, bottom = (
        min(most, math.ceil(v)) for v, most in zip(box.max(axis=0), (width, height), strict=True)
    )
    size = (max(0, right - left), max(0, bottom - top))
    fine = min(max(round(side * to_picture.scale), 1), side * _MOST_ENLARGED)
    inverse = to_picture.inverse()
    into = Similarity(fine / side, 0).after(inverse).after(Similarity(1, complex(left, top)))
    faded = difference * _window(side)[:, :, None] * 255
    planes = [_warped(plane, fine, into, size) for plane in faded.transpose(2, 0, 1)]
    return Change(left, top, np.stack(planes, axis=2))


def _warped(plane: Floats, fine: int, into: Similarity, size: tuple[int, int]) -> Floats:
    """Return one channel enlarged (or reduced) to ``fine`` pixels squared and then turned."""
    if 0 in size:
        return np.zeros(size[::-1], np.float32)
    image = Image.fromarray(plane).resize((fine, fine), Image.Resampling.BICUBIC)
    turned = image.transform(size, Image.Transform.AFFINE, into.pillow(), Image.Resampling.BILINEAR)
    return np.asarray(turned)


def _window(side: int) -> Floats:
    """Return the weights (S, S): 1 inside, falling smoothly to 0 at the outermost pixels."""
    places = np.arange(side, dtype=np.float32)
    inwards = np.minimum(places, side - 1 - places) / max(side * FEATHER, 1)
    edge = np.clip(inwards, 0, 1)
    smooth = edge * edge * (3 - 2 * edge)
    return np.outer(smooth, smooth).astype(np.float32)
