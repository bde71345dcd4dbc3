"""What may be asked of a picture's way in and out: size, fitting, and how it is compressed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fit(StrEnum):
    """What becomes of a picture whose proportions are not the checkpoint's.

    ``crop`` takes the largest central square, ``pad`` the whole picture with black beside it (or
    transparent, where it has alpha), ``stretch`` the whole picture made square.
    """

    CROP = "crop"
    PAD = "pad"
    STRETCH = "stretch"


class Subsampling(StrEnum):
    """How much of the colour resolution a JPEG keeps: all, half, or a quarter."""

    FULL = "4:4:4"
    HALF = "4:2:2"
    QUARTER = "4:2:0"


@dataclass(frozen=True)
class ReadOptions:
    """How a picture is read: more pixels than ``max_pixels`` are refused before decoding."""

    fit: Fit = Fit.CROP
    # Pillow warns above this size; its own limit for refusing is twice as large.
    max_pixels: int = 89_478_485


@dataclass(frozen=True)
class WriteOptions:
    """How a picture is compressed.

    ``quality`` is 1 to 100; None writes JPEG with 95 and WebP without loss. ``subsampling`` is
    of JPEG alone.
    """

    quality: int | None = None
    subsampling: Subsampling = Subsampling.FULL


READ_DEFAULTS = ReadOptions()
WRITE_DEFAULTS = WriteOptions()
