"""Edited pictures, decoded once and looked at by everybody who has to judge them.

Axes: N pictures, V values, F what a viewer says of a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mddae_cli.editing import Codes, Model
from mddae_cli.evaluation.codes import take
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter
from mddae_cli.runtime import some_rows

View = Callable[[Tensor], Tensor]
Seen = dict[str, Tensor]


@dataclass(frozen=True)
class Viewers:
    """Who looks at decoded pictures (N, C, H, W) in [0, 1], and says (N, F) of them.

    ``common`` look at every picture under their names; ``own`` at those of one attribute, under
    the name ``svm``.
    """

    common: Mapping[str, View]
    own: Mapping[str, View] = field(default_factory=dict)

    def of(self, attribute: str) -> dict[str, View]:
        """Return who looks at the edits of an attribute."""
        own = {"svm": self.own[attribute]} if attribute in self.own else {}
        return {**self.common, **own}

    def all(self) -> dict[str, View]:
        """Return who looks at plain reconstructions."""
        return {**self.common, **{f"svm/{name}": view for name, view in self.own.items()}}

    def seen_of(self, attribute: str, plain: Seen) -> Seen:
        """Return, of what :meth:`all` have seen, what :meth:`of` an attribute would have."""
        own = {"svm": plain[f"svm/{attribute}"]} if attribute in self.own else {}
        return {**{name: plain[name] for name in self.common}, **own}


@dataclass(frozen=True)
class Sweep:
    """One attribute set to several values in the same pictures.

    Attributes:
        name: The attribute; ``column`` is its number among the model's.
        column: See there.
        rows: Which pictures were edited, int64 (N,), ascending.
        values: What it was set to, V of them.
        plain: What each viewer says of the plain reconstructions, (N, F).
        edited: The same of the edits, (V, N, F); without any value, no viewer.
    """

    name: str
    column: int
    rows: Tensor
    values: tuple[float, ...]
    plain: Seen
    edited: Seen

    def pairs(self, view: str) -> Iterator[tuple[float | None, Tensor]]:
        """Yield what a viewer says: None and the plain reconstruction, then each value."""
        yield None, self.plain[view]
        yield from zip(self.values, self.edited.get(view, ()), strict=True)


def look(model: Model, codes: Codes, views: Mapping[str, View], batch_size: int = 250) -> Seen:
    """Return what each viewer says, (N, F) on the CPU, of what the codes decode to."""
    parts: dict[str, list[Tensor]] = {name: [] for name in views}
    for some in torch.arange(len(codes.z)).split(batch_size):
        images = model.decode(take(codes, some))
        for name, view in views.items():
            parts[name].append(view(images).cpu())
    return {name: torch.cat(seen) for name, seen in parts.items()}


def sweep(
    model: Model,
    codes: Codes,
    viewers: Viewers,
    name: str,
    values: Sequence[float],
    plain: Seen,
    rows: Tensor,
    *,
    batch_size: int = 250,
    reporter: Reporter,
) -> Sweep:
    """Return an attribute's sweep over some pictures.

    Args:
        model: The model.
        codes: Of all pictures.
        viewers: Who looks.
        name: The attribute, one of the model's.
        values: What it is set to, in the unit of the codes.
        plain: What :meth:`Viewers.all` say of the plain reconstructions of all pictures.
        rows: Which pictures are edited, (N,).
        batch_size: Pictures at a time.
        reporter: Told of each value that is done.
    """
    chosen, views = take(codes, rows), viewers.of(name)
    seen: dict[str, list[Tensor]] = {view: [] for view in views}
    for value in values:
        for view, told in look(model, chosen.set({name: value}), views, batch_size).items():
            seen[view].append(told)
        reporter.advanced(len(rows), {"attribute": name, "value": value})
    return Sweep(
        name=name,
        column=model.names.index(name),
        rows=rows,
        values=tuple(values),
        plain={view: told[rows] for view, told in viewers.seen_of(name, plain).items()},
        edited={view: torch.stack(told) for view, told in seen.items() if told},
    )


def with_label(label: Pixels, wanted: int, max_images: int | None, seed: int, name: str) -> Tensor:
    """Return the rows with a label, in order, at most ``max_images`` of them by chance.

    Args:
        label: 0 or 1, (N,).
        wanted: Which.
        max_images: At most so many; all if None.
        seed: Of the choice.
        name: Of the attribute: another one is another choice.
    """
    purpose = f"edits/{name}" if wanted == 0 else f"removals/{name}"
    return torch.from_numpy(some_rows(np.flatnonzero(label == wanted), max_images, seed, purpose))
