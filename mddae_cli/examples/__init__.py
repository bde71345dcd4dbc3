"""A few pictures that may be redistributed, so that every command can be tried without a data set.

``photograph.jpg`` is NASA's photograph of the astronaut Eileen Collins, in the public domain, and
``portrait.jpg`` is cut from it and aligned as CelebA's pictures are: 178×218, the eyes level. The
digits are scikit-learn's, with MNIST's margin.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mddae_cli import data, images
from mddae_cli.files import write_bytes

_PHOTOGRAPHS = ("photograph.jpg", "portrait.jpg")
# MNIST's digits are 20 pixels high in the middle of 28.
_DIGIT_SIDE, _MARGIN = 20, 4


def write_examples(folder: str | Path, *, overwrite: bool = False) -> tuple[list[Path], list[Path]]:
    """Write two photographs and a digit of each class into a folder, which is made where needed.

    Args:
        folder: Where the pictures go.
        overwrite: Whether pictures of these names are replaced; else they stay as they are.

    Returns:
        The paths that were written, and those that were there and stayed.

    Raises:
        OSError: If the folder cannot be made or written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = data.load_table("digits", image_size=_DIGIT_SIDE)
    firsts = table.labels.argmax(axis=0)  # the first row of each class
    photographs = [folder / name for name in _PHOTOGRAPHS]
    digits = [folder / f"digit-{name}.png" for name in table.names]
    places = [*photographs, *digits]
    kept = [place for place in places if place.exists() and not overwrite]
    for place in photographs:
        if place not in kept:
            write_bytes(place, Path(__file__).with_name(place.name).read_bytes())
    for place, row in zip(digits, firsts, strict=True):
        if place not in kept:
            framed = np.pad(table.images[row], ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)))
            images.write_image(place, framed)
    return [place for place in places if place not in kept], kept
