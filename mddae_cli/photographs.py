"""Editing photographs: faces found, aligned, edited at the model's side and put back at full size.

Axes: N pictures, S the model's side, C its channels.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import torch

from mddae_cli import editing
from mddae_cli.align.options import DEFAULTS, AlignOptions, Size
from mddae_cli.align.photograph import Photograph
from mddae_cli.align.placement import require_faces
from mddae_cli.align.prepared import Floats, crops_of, prepare
from mddae_cli.config import TargetKind
from mddae_cli.editing import Model
from mddae_cli.header import DEFAULT_FACES


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
    native = dataclasses.replace(options, size=Size.NATIVE)
    prepared = prepare(source, loaded.header, native)
    codes = loaded.encode(crops_of(prepared.placements))
    before, after = (to_floats(loaded.decode(c)) for c in (codes, codes.set(changes)))
    return cast("Photograph", prepared.result(before, after))  # as it is native
