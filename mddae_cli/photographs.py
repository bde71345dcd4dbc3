"""Editing photographs: faces found, aligned, edited at the model's side and put back at full size.

Axes: F faces of a photograph, S the model's side, C its channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mddae_cli import editing, images
from mddae_cli.align.options import DEFAULTS, AlignOptions, Size
from mddae_cli.align.paste import change_at, difference_of
from mddae_cli.align.photograph import Photograph, read_photograph
from mddae_cli.align.placement import Placement, place, require_faces
from mddae_cli.config import TargetKind
from mddae_cli.editing import Model
from mddae_cli.errors import ImageError
from mddae_cli.formats import READ_DEFAULTS, ReadOptions
from mddae_cli.header import DEFAULT_FACES, Header
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
    photograph, placements = _read(source, header, options, read, name)
    aligned = placements[0].face is not None
    native = options.size is Size.NATIVE or (options.size is None and aligned)
    alpha = None if native or aligned else photograph.alpha
    if alpha is not None:
        alpha = images.fit_alpha(alpha, header.preprocess, read.fit)
    kept = photograph if native else None
    return Prepared(placements, kept, alpha, photograph.animated)


def _read(
    source: str | Path | bytes,
    header: Header,
    options: AlignOptions,
    read: ReadOptions,
    name: str | None,
) -> tuple[Photograph, list[Placement]]:
    photograph = read_photograph(source, max_pixels=read.max_pixels, name=name)
    try:
        return photograph, place(photograph.pixels, header, options, read.fit)
    except ImageError as exc:
        raise ImageError(f"{name or images.name_of(source)}: {exc}") from exc


def to_floats(x: torch.Tensor) -> Floats:
    """Return pictures float (N, C, H, W) in [0, 1] as float32 (N, H, W, C)."""
    pixels: Floats = x.float().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def edit_photograph(
    source: str | Path | bytes,
    model: Model | str | Path = DEFAULT_FACES,
    options: AlignOptions = DEFAULTS,
    **changes: float,
) -> Photograph:
    """Return a photograph with attributes of its faces set, at its full size.

    Example:
        >>> edit_photograph("photo.jpg", Smiling=1.5).save("out.jpg")  # doctest: +SKIP

    Args:
        source: A path, or the bytes of a file.
        model: A model of attributes, or the file, run folder or bundled name of one.
        options: Which faces are changed; the result has the photograph's size whatever they say.
        changes: Attribute names and values, in the model's unit of intensity.

    Raises:
        ImageError: If the file cannot be read or shows no such face.
        ModelError: If the model is missing or damaged.
        UnknownNameError: If a name does not exist.
        UsageError: If the model has classes, or the detector is missing.
    """
    loaded = model if isinstance(model, Model) else editing.load(model)
    loaded.header.require_targets(TargetKind.ATTRIBUTES)
    require_faces(loaded.header, options)
    photograph, placements = _read(source, loaded.header, options, READ_DEFAULTS, None)
    codes = loaded.encode(crops_of(placements))
    before, after = (to_floats(loaded.decode(c)) for c in (codes, codes.set(changes)))
    return put_back(photograph, placements, before, after)
