"""Pictures read, with what the model is shown of them, and put together again after it.

Axes: F faces of a photograph, S the model's side, C its channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mddae_cli import images
from mddae_cli.align.options import AlignOptions, Size
from mddae_cli.align.paste import change_at, difference_of
from mddae_cli.align.photograph import Photograph, read_photograph
from mddae_cli.align.placement import Placement, place
from mddae_cli.errors import ImageError
from mddae_cli.formats import READ_DEFAULTS, ReadOptions
from mddae_cli.header import Header
from mddae_cli.images import Pixels

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """A picture with what the model is shown of it.

    ``photograph`` is None where the model's own picture is the result; ``alpha``, uint8 (S, S),
    is the transparency of that one, and None where there is none or a face was aligned.
    """

    placements: list[Placement]
    photograph: Photograph | None
    alpha: Pixels | None
    animated: bool

    def result(self, before: Floats, after: Floats) -> Photograph | Pixels:
        """Return the photograph with every face changed, or the model's own picture.

        Args:
            before: Reconstructions, float32 (F, S, S, C) in [0, 1].
            after: Edits, the same.
        """
        if self.photograph is None:
            pixels: Pixels = np.rint(after[0] * 255).astype(np.uint8)
            return pixels if self.alpha is None else images.with_alpha(pixels, self.alpha)
        return put_back(self.photograph, self.placements, before, after)


def crops_of(placements: Sequence[Placement]) -> Pixels:
    """Return what the model is shown, uint8 (F, S, S, C)."""
    return np.stack([placement.crop for placement in placements])


def put_back(
    photograph: Photograph, placements: Sequence[Placement], before: Floats, after: Floats
) -> Photograph:
    """Return a photograph with what changed in the model's pictures added where they lie.

    Args:
        photograph: Where the faces are from.
        placements: Where they lie in it, F.
        before: Reconstructions, float32 (F, S, S, C) in [0, 1].
        after: Edits, the same.
    """
    height, width = photograph.pixels.shape[:2]
    return photograph.changed(
        [
            change_at(difference_of(at.crop, plain, edit), at.to_picture, width, height)
            for at, plain, edit in zip(placements, before, after, strict=True)
        ]
    )


def prepare(
    source: str | Path | bytes,
    header: Header,
    options: AlignOptions,
    read: ReadOptions = READ_DEFAULTS,
    *,
    name: str | None = None,
) -> Prepared:
    """Read a picture and find what the model is shown of it.

    Args:
        source: A path, or the bytes of a file.
        header: The model's.
        options: Which faces, and whether the photograph is wanted back.
        read: How pictures are read, and fitted where no face is looked for.
        name: How errors call the picture; by default its path.

    Raises:
        ImageError: If it cannot be read, or shows no such face; ``name: reason``.
    """
    photograph = read_photograph(source, max_pixels=read.max_pixels, name=name)
    try:
        return prepared_of(photograph, header, options, read)
    except ImageError as exc:
        raise ImageError(f"{name or images.name_of(source)}: {exc}") from exc


def prepared_of(
    photograph: Photograph, header: Header, options: AlignOptions, read: ReadOptions
) -> Prepared:
    """Return what the model is shown of a photograph.

    Args:
        photograph: As it was read.
        header: The model's.
        options: Which faces, and whether the photograph is wanted back.
        read: How it is fitted where no face is looked for.

    Raises:
        ImageError: If it shows no such face; without the picture's name.
    """
    placements = place(photograph.pixels, header, options, read.fit)
    aligned = placements[0].face is not None
    native = options.size is Size.NATIVE or (options.size is None and aligned)
    alpha = None if native or aligned else photograph.alpha
    if alpha is not None:
        alpha = images.fit_alpha(alpha, header.preprocess, read.fit)
    kept = photograph if native else None
    return Prepared(placements, kept, alpha, photograph.animated)
