"""Which faces of a picture are meant, and at what size the result is: plain values, no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from mddae_cli.errors import UsageError

Eyes = tuple[float, float, float, float]


class Align(StrEnum):
    """When faces are searched for and aligned."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class Size(StrEnum):
    """What a result is: the model's own picture, or the whole photograph."""

    MODEL = "model"
    NATIVE = "native"


@dataclass(frozen=True)
class AlignOptions:
    """How the face in a picture is found, and what is given back.

    ``eyes`` (x and y of the left and of the right one to the onlooker, in pixels) take the place
    of the detector. ``face`` counts from 1, the largest; None means all. ``size`` None is native
    where a face was aligned, and model elsewhere.
    """

    align: Align = Align.AUTO
    eyes: Eyes | None = None
    face: int | None = 1
    size: Size | None = None


DEFAULTS = AlignOptions()
# No face is looked for, and the model's own picture is the result.
FITTED = AlignOptions(Align.NEVER, size=Size.MODEL)


def make_options(align: str, face: str, size: Size | None) -> AlignOptions:
    """Return what ``--align``, ``--face`` and ``--size`` say.

    Raises:
        UsageError: If one of them is malformed, or several faces should become one small picture.
    """
    number = _face(face)
    if number is None and size is Size.MODEL:
        raise UsageError(
            "--face all changes one picture in several places: leave out --size model."
        )
    kind, colon, rest = align.strip().lower().partition(":")
    if kind == "eyes" and colon:
        if number != 1:
            raise UsageError("--align eyes:… names one face: leave out --face.")
        return AlignOptions(Align.ALWAYS, _eyes(align, rest), 1, size)
    if align.strip().lower() not in list(Align):
        raise UsageError(f"--align {align!r} is none of auto, never, always, eyes:x1,y1,x2,y2.")
    return AlignOptions(Align(align.strip().lower()), None, number, size)


def _face(text: str) -> int | None:
    folded = text.strip().lower()
    if folded == "all":
        return None
    if folded == "largest":
        return 1
    if folded.isascii() and folded.isdigit() and int(folded) > 0:
        return int(folded)
    raise UsageError(f"--face {text!r} is none of largest, all, 1, 2, 3 and so on.")


def _eyes(option: str, text: str) -> Eyes:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise UsageError(f"--align {option!r}: four numbers are needed, eyes:x1,y1,x2,y2.")
    x1, y1, x2, y2 = numbers
    if math.hypot(x2 - x1, y2 - y1) < 1:
        raise UsageError(f"--align {option!r}: the eyes are less than a pixel apart.")
    return x1, y1, x2, y2
