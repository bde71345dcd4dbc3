"""scikit-learn's 1,797 handwritten digits: they come with a dependency and need no download."""

from __future__ import annotations

import numpy as np

from mddae_cli.config import Split, TargetKind
from mddae_cli.data.table import Request, Table, one_hot, refuse_options, tenths_split
from mddae_cli.errors import UsageError
from mddae_cli.header import Preprocess
from mddae_cli.images import fit

_GREATEST = 16  # the digits count 4×4 blocks of bits: 0 to 16


def load_digits_table(request: Request) -> Table:
    """Return the digits, enlarged from 8×8, in random parts of 80 %, 10 % and 10 %.

    Raises:
        UsageError: If the official partition is asked for, which does not exist.
    """
    # Not at the top: scikit-learn takes seconds to import, and no other data set needs it.
    from sklearn.datasets import load_digits

    refuse_options("digits", request, "data_dir", "attrs", "csv", "framing")
    if request.split is Split.OFFICIAL:
        raise UsageError("digits has no official split: use split random.")
    planes, classes = load_digits(return_X_y=True)
    planes = np.rint(planes.reshape(-1, 8, 8) * (255 / _GREATEST)).astype(np.uint8)
    preprocess = Preprocess(request.image_size, 1, (0.0, 1.0))
    images = np.stack([fit(plane, preprocess) for plane in planes])
    images.setflags(write=False)
    return Table(
        name="digits",
        images=images,
        labels=one_hot(classes, 10),
        splits=tenths_split(len(images), request.split_seed),
        names=tuple("0123456789"),
        kind=TargetKind.CLASSES,
        split=Split.RANDOM.value,
        split_seed=request.split_seed,
        preprocess=preprocess,
    )
