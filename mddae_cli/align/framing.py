"""A table of photographs whose rows are what a model of faces is shown of them."""

from __future__ import annotations

from mddae_cli.align import mtcnn
from mddae_cli.align.options import DEFAULTS, AlignOptions
from mddae_cli.align.placement import first_crop, require_faces
from mddae_cli.data import Framing
from mddae_cli.header import Header


def frame_faces(header: Header, options: AlignOptions = DEFAULTS) -> Framing:
    """Return what ``load_table("folder", framing=...)`` wants, to cut pictures as an edit does.

    Args:
        header: The model's.
        options: Which face of a picture becomes its row: the first of those that are meant.

    Raises:
        UsageError: If faces must be found and the model knows none, or the detector is missing.
    """
    require_faces(header, options)
    # Without the detector the pictures that need it are left out: not so once it is there.
    key = repr((str(options.align), options.eyes, options.face, mtcnn.is_installed()))
    return Framing(header.preprocess, key, first_crop(header, options))
