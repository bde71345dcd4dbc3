"""What is drawn of a picture: its changed codes, and the rows that their pictures become.

Axes: S the model's image side, C channels, K classes or attributes, M variants of a picture.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from mddae_cli.config import TargetKind
from mddae_cli.editing import Codes, Model, to_pixels
from mddae_cli.errors import UsageError, resolve_name
from mddae_cli.figures.layout import Row
from mddae_cli.images import Pixels

_BATCH = 64


@dataclass(frozen=True)
class Cells:
    """A picture and its variants: ``original`` (S, S, C) and ``variants`` (M, S, S, C), uint8."""

    name: str
    original: Pixels
    variants: Pixels


class Figure(Protocol):
    """What is drawn of every picture."""

    @property
    def kind(self) -> TargetKind:
        """What the model must have."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What each of the M variants is called."""

    @property
    def headings(self) -> tuple[str, ...]:
        """What stands above columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that one picture takes."""

    def change(self, codes: Codes) -> Iterator[Codes]:
        """Yield the codes of the M variants of one picture."""

    def rows(self, cells: Cells, name: str = "") -> list[Row]:
        """Return the rows of one picture; ``name`` stands before the first."""


@dataclass(frozen=True)
class Sweep:
    """An attribute and the values that it is set to, in the model's unit of intensity."""

    name: str
    values: tuple[float, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """What stands above each value's column."""
        return tuple(f"{self.name}={value:g}" for value in self.values)


@dataclass(frozen=True)
class SweepFigure:
    """Original, reconstruction, and attributes over values (Figures 4 and 5 of the paper).

    One sweep is a row; of two the first goes down and the second across.

    Args:
        sweeps: One or two.
        values: Attributes set in every swept cell.
        deltas: Numbers added to attributes in every swept cell.

    Raises:
        UsageError: If there is another number of sweeps, one without values, or an attribute is
            named twice.
    """

    sweeps: tuple[Sweep, ...]
    values: Mapping[str, float] = field(default_factory=dict)
    deltas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.sweeps) <= 2:
            raise UsageError(f"{len(self.sweeps)} sweeps are given: one makes a row, two a grid.")
        names = [sweep.name for sweep in self.sweeps]
        for name in names:
            if names.count(name) > 1 or name in self.values or name in self.deltas:
                raise UsageError(f"{name} is swept and changed besides: give one of the two.")
        if not all(sweep.values for sweep in self.sweeps):
            raise UsageError("a sweep has no values: give one or more.")

    @property
    def kind(self) -> TargetKind:
        return TargetKind.ATTRIBUTES

    @property
    def labels(self) -> tuple[str, ...]:
        each = itertools.product(*(sweep.headings for sweep in self.sweeps))
        return ("reconstruction", *(",".join(headings) for headings in each))

    @property
    def headings(self) -> tuple[str, ...]:
        return ("original", "reconstruction", *self.sweeps[-1].headings)

    @property
    def shape(self) -> tuple[int, int]:
        if len(self.sweeps) == 1:
            return 1, 2 + len(self.sweeps[0].values)
        down, across = self.sweeps
        return 1 + len(down.values), max(2, len(across.values))

    def change(self, codes: Codes) -> Iterator[Codes]:
        yield codes
        fixed = codes.set(self.values).add(self.deltas)
        names = [sweep.name for sweep in self.sweeps]
        for values in itertools.product(*(sweep.values for sweep in self.sweeps)):
            yield fixed.set(dict(zip(names, values, strict=True)))

    def rows(self, cells: Cells, name: str = "") -> list[Row]:
        first = (cells.original, cells.variants[0])
        if len(self.sweeps) == 1:
            return [Row((*first, *cells.variants[1:]), self.headings, name)]
        plain, across = self.headings[:2], self.headings[2:]
        lines = np.split(cells.variants[1:], len(self.sweeps[0].values))
        swept = [
            Row(tuple(v), across, h) for v, h in zip(lines, self.sweeps[0].headings, strict=True)
        ]
        return [Row(first, plain, name), *swept]


@dataclass(frozen=True)
class ClassFigure:
    """The original and the same style in every class (Figure 3 of the paper)."""

    names: tuple[str, ...]

    @property
    def kind(self) -> TargetKind:
        return TargetKind.CLASSES

    @property
    def labels(self) -> tuple[str, ...]:
        return self.names

    @property
    def headings(self) -> tuple[str, ...]:
        return ("original", *self.names)

    @property
    def shape(self) -> tuple[int, int]:
        return 1, 1 + len(self.names)

    def change(self, codes: Codes) -> Iterator[Codes]:
        yield from map(codes.swap, self.names)

    def rows(self, cells: Cells, name: str = "") -> list[Row]:
        return [Row((cells.original, *cells.variants), self.headings, name)]


def resolve_sweeps(
    sweeps: Mapping[str, Sequence[float]], names: Sequence[str]
) -> tuple[Sweep, ...]:
    """Return sweeps under the model's own names.

    Raises:
        UnknownNameError: If a name does not exist.
    """
    return tuple(
        Sweep(resolve_name("attribute", name, names), tuple(values))
        for name, values in sweeps.items()
    )


def decode_variants(model: Model, codes: Codes, figure: Figure) -> Pixels:
    """Return the pictures of all variants of one picture, uint8 (M, S, S, C)."""
    each = figure.change(codes)
    parts = []
    while batch := list(itertools.islice(each, _BATCH)):
        y_hat, z = (
            torch.cat(tensors) for tensors in zip(*((c.y_hat, c.z) for c in batch), strict=True)
        )
        parts.append(to_pixels(model.decode(dataclasses.replace(codes, y_hat=y_hat, z=z))))
    return np.concatenate(parts)
