"""The uint8 table that every data set becomes, and how its rows are parted.

Axes: N rows, H and W pixels, C channels, K classes or attributes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mddae_cli.config import Crop, Split, TargetKind
from mddae_cli.errors import DatasetError, UsageError, resolve_name
from mddae_cli.header import Preprocess
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter

Indexes = npt.NDArray[np.int64]
Splits = dict[str, Indexes]
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Framing:
    """How pictures become rows where a model, not the data set, decides.

    ``apply`` brings a picture, uint8 (H, W, 3), to a row as ``preprocess`` says, uint8 (S, S, C);
    one for which it raises an ImageError is left out with that reason. Equal ``key`` and
    ``preprocess`` must mean equal rows: decoded pictures are kept under them.
    """

    preprocess: Preprocess
    key: str
    apply: Callable[[Pixels], Pixels] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Request:
    """What the caller of :func:`mddae_cli.data.load_table` asked for."""

    data_dir: Path | None
    split: Split
    split_seed: int
    attrs: tuple[str, ...] | None
    csv: Path | None
    image_size: int
    crop: Crop
    framing: Framing | None
    reporter: Reporter


@dataclass(frozen=True)
class Table:
    """A data set in memory or memory-mapped, ready to be indexed.

    Attributes:
        name: The data set's name.
        images: uint8 (N, H, W, C), read-only.
        labels: uint8 (N, K): one-hot for classes, 0 or 1 for attributes.
        splits: ``train``, ``val`` and ``test``: disjoint int64 row indexes.
        names: The K names.
        kind: Whether the K names exclude each other.
        split: ``official`` or ``random``.
        split_seed: What random parts were drawn with.
        preprocess: How a picture becomes a row.
        files: A path per row, relative to the data folder; empty where rows are no files.
        skipped: (path, reason) of the pictures that were left out.
    """

    name: str
    images: Pixels
    labels: Pixels
    splits: Splits
    names: tuple[str, ...]
    kind: TargetKind
    split: str
    split_seed: int
    preprocess: Preprocess
    files: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def base_rates(self) -> tuple[float, ...]:
        """The mean of each label over the training part, K numbers in [0, 1]."""
        rates = self.labels[self.splits["train"]].mean(axis=0, dtype=np.float64)
        return tuple(float(rate) for rate in rates)

    def narrowed(self, part: str, wanted: Mapping[str, int]) -> Table:
        """Return the table with only those rows of one part whose labels are as wanted.

        Args:
            part: ``train``, ``val`` or ``test``; the others stay.
            wanted: Names, and 0 or 1.

        Raises:
            UnknownNameError: If a name does not exist.
            DatasetError: If no row is left.
        """
        rows = self.splits[part]
        for name, label in wanted.items():
            k = self.names.index(resolve_name("label", name, self.names))
            rows = rows[self.labels[rows, k] == label]
        if not len(rows):
            asked = ", ".join(f"{name}={label}" for name, label in wanted.items())
            raise DatasetError(f"no picture of the {part} part has {asked}.")
        return dataclasses.replace(self, splits={**self.splits, part: rows})


def random_split(rows: int, seed: int, val: int, test: int) -> Splits:
    """Return a random partition; the order within each part is random too.

    Args:
        rows: How many rows there are.
        seed: What the permutation is drawn with.
        val: How many rows go to validation, at least one.
        test: How many rows go to the test part, at least one.

    Raises:
        DatasetError: If nothing would be left to train on.
    """
    val, test = max(val, 1), max(test, 1)
    train = rows - val - test
    if train < 1:
        raise DatasetError(f"{rows} pictures are too few to be parted: at least 3 are needed.")
    order = np.random.default_rng(seed).permutation(rows)
    return {"train": order[:train], "val": order[train : train + val], "test": order[-test:]}


def tenths_split(rows: int, seed: int) -> Splits:
    """Return the random partition into 80 %, 10 % and 10 %."""
    return random_split(rows, seed, rows // 10, rows // 10)


def one_hot(classes: npt.NDArray[np.integer], num_classes: int) -> Pixels:
    """Return class numbers (N,) as labels (N, K)."""
    hot: Pixels = (classes[:, None] == np.arange(num_classes)).astype(np.uint8)
    return hot


def refuse_options(dataset: str, request: Request, *names: str) -> None:
    """Raise :class:`UsageError` where an option was given that the data set has no use for."""
    for name in names:
        if getattr(request, name) is not None:
            raise UsageError(f"{name} has no meaning for the data set {dataset}: leave it out.")


def select_attributes(wanted: Sequence[str] | None, known: Sequence[str]) -> list[int]:
    """Return the columns of the wanted attributes in the wanted order; all for None.

    Raises:
        UnknownNameError: If one does not exist; it names the nearest.
        UsageError: If none is wanted, or one twice.
    """
    if wanted is None:
        return list(range(len(known)))
    names = [resolve_name("attribute", name, known) for name in wanted]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"attribute {twice[0]} is given twice.")
    if not names:
        raise UsageError("attrs is empty: name at least one attribute, or leave it out.")
    return [list(known).index(name) for name in names]


def tell_left_out(skipped: Sequence[tuple[str, str]], found: int, reporter: Reporter) -> None:
    """Note in one line how many pictures are left out, and the first three with their reasons."""
    if skipped:
        first = "; ".join(f"{path}: {reason.rstrip('.')}" for path, reason in skipped[:3])
        more = "; …" if len(skipped) > 3 else "."
        reporter.noted(f"{len(skipped):,} of {found:,} pictures are left out: {first}{more}")
