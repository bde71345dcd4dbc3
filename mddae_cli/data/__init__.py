"""The data sets, and the uint8 table that each of them becomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from mddae_cli.config import DATASET_DEFAULTS, Crop, Split
from mddae_cli.data.celeba import load_celeba
from mddae_cli.data.digits import load_digits_table
from mddae_cli.data.folder import load_folder
from mddae_cli.data.mnist import load_mnist
from mddae_cli.data.table import Framing, Request, Table
from mddae_cli.errors import UnknownNameError, UsageError
from mddae_cli.reporting import Reporter, Silent

__all__ = ["Framing", "Table", "load_table"]

_LOADERS: dict[str, Callable[[Request], Table]] = {
    "digits": load_digits_table,
    "mnist": load_mnist,
    "celeba": load_celeba,
    "folder": load_folder,
}
_MAX_IMAGE_SIZE = 1024


def load_table(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    split: Split = Split.AUTO,
    split_seed: int = 0,
    attrs: Sequence[str] | None = None,
    csv: str | Path | None = None,
    image_size: int | None = None,
    crop: Crop = Crop.AUTHORS,
    framing: Framing | None = None,
    limit: int | None = None,
    reporter: Reporter | None = None,
) -> Table:
    """Return a data set as one uint8 table with its labels and parts.

    Args:
        dataset: ``digits``, ``mnist``, ``celeba`` or ``folder``.
        data_dir: Where its files are; else below ``MDDAE_DATA``, and for mnist in the cache.
        split: The data set's own partition, or a random one; by default what is usual for it.
        split_seed: What random parts are drawn with.
        attrs: The attributes to keep, in this order; all where it is None.
        csv: For ``folder``: a file with a path and 0/1 attributes in each line.
        image_size: The side of the rows in pixels; by default the data set's.
        crop: What is cut out of a CelebA picture.
        framing: For ``folder``: how pictures become rows, instead of ``image_size``.
        limit: Keep only the first ``limit`` indexes of the training part.
        reporter: Told about decoding and about pictures that are left out.

    Raises:
        UnknownNameError: If the data set or an attribute does not exist.
        UsageError: If an option cannot be used, or does not fit the data set.
        DatasetError: If files are missing or damaged, or the cache cannot be written.
    """
    if dataset not in _LOADERS:
        raise UnknownNameError("data set", dataset, _LOADERS)
    size = DATASET_DEFAULTS[dataset]["image_size"] if image_size is None else image_size
    if not 1 <= size <= _MAX_IMAGE_SIZE:
        raise UsageError(f"image_size = {size} must lie between 1 and {_MAX_IMAGE_SIZE}.")
    if limit is not None and limit < 1:
        raise UsageError(f"limit = {limit} cannot be used: give at least 1.")
    request = Request(
        data_dir=None if data_dir is None else Path(data_dir).expanduser(),
        split=split,
        split_seed=split_seed,
        attrs=None if attrs is None else tuple(attrs),
        csv=None if csv is None else Path(csv).expanduser(),
        image_size=size,
        crop=crop,
        framing=framing,
        reporter=reporter or Silent(),
    )
    table = _LOADERS[dataset](request)
    if limit is None:
        return table
    return dataclasses.replace(
        table, splits=table.splits | {"train": table.splits["train"][:limit]}
    )
