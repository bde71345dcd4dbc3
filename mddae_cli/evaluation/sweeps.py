"""Edited pictures, decoded once and looked at by everybody who has to judge them.

Axes: N pictures, V values, F what a viewer says of a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mddae_cli.editing import Codes, Model
from mddae_cli.evaluation.codes import take

View = Callable[[Tensor], Tensor]
Views = Mapping[str, View]
Seen = dict[str, Tensor]


@dataclass(frozen=True)
class Sweep:
    """One attribute set to several values in the same pictures.

    Attributes:
        name: The attribute; ``column`` is its number among the model's.
        column: See there.
        rows: Which pictures were edited, int64 (N,), ascending.
        values: What ŷ was set to, V of them.
        plain: What each viewer says of the plain reconstructions, (N, F).
        edited: The same of the edits, (V, N, F).
    """

    name: str
    column: int
    rows: Tensor
    values: tuple[float, ...]
    plain: Seen
    edited: Seen


def look(model: Model, codes: Codes, views: Views, batch_size: int = 250) -> Seen:
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
    views: Views,
    name: str,
    values: Sequence[float],
    plain: Seen,
    rows: Tensor,
    *,
    batch_size: int = 250,
    advanced: Callable[[int], None] = lambda steps: None,
) -> Sweep:
    """Return an attribute's sweep.

    Args:
        model: The model.
        codes: Of all pictures.
        views: Who looks.
        name: The attribute, one of the model's.
        values: What it is set to.
        plain: What the viewers say of the plain reconstructions of all pictures.
        rows: Which pictures are edited, (N,).
        batch_size: Pictures at a time.
        advanced: Told of how many pictures are done.
    """
    chosen = take(codes, rows)
    seen: dict[str, list[Tensor]] = {view: [] for view in views}
    for value in values:
        for view, told in look(model, chosen.set({name: value}), views, batch_size).items():
            seen[view].append(told)
        advanced(len(rows))
    return Sweep(
        name=name,
        column=model.names.index(name),
        rows=rows,
        values=tuple(values),
        plain={view: plain[view][rows] for view in views},
        edited={view: torch.stack(told) for view, told in seen.items() if told},
    )
