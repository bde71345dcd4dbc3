"""What is asked about the training pictures once, not at each step.

What networks say of them that no longer learn, and how fine they are.
Axes: N batch, C channels, H, W image side, K classes or attributes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mddae_cli.model import AutoEncoder
from mddae_cli.training import pixels
from mddae_cli.training.batches import Batches, to_unit_range
from mddae_cli.training.effects import EffectSums
from mddae_cli.training.observer import Observer


class Known(NamedTuple):
    """What networks that no longer learn say of pictures.

    ``logits`` (N, K) is ŷ's activation, ``observed`` what each observer says, (N, K) each.
    """

    logits: Tensor
    observed: list[Tensor]

    def of(self, pictures: Tensor) -> Known:
        """Return what they say of some of the pictures."""
        return Known(self.logits[pictures], [each[pictures] for each in self.observed])


@torch.no_grad()
def know_pictures(
    net: AutoEncoder,
    observers: list[Observer],
    batches: Batches,
    autocast: torch.dtype | None,
    *,
    effects: bool = False,
) -> Known:
    """Ask about every training picture; observers take their lines of strengths from it.

    Args:
        net: The model, with a separate encoder.
        observers: Those that look at practised edits.
        batches: The training part.
        autocast: The networks' arithmetic, None for float32.
        effects: Whether observers learn what labels do to their maps, too.
    """
    labels = batches.every_label()
    sums = [[EffectSums(labels.shape[1]) for _ in observer.levels] for observer in observers]
    parts = []
    pairs = zip(batches.every_picture(), labels.split(batches.batch_size), strict=True)
    for x, y in pairs:
        with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
            logits = net.target_tower(x).float()
            views = [observer.view(x) for observer in observers]
        parts.append([logits, *(view.logits for view in views)])
        if effects:
            for own, view in zip(sums, views, strict=True):
                for each, maps in zip(own, view.maps, strict=True):
                    each.add(maps, y)
    logits, *observed = (torch.cat(each) for each in zip(*parts, strict=True))
    for observer, seen, own in zip(observers, observed, sums, strict=True):
        observer.draw_line(seen, labels)
        if effects:
            observer.effects = [each.solve(labels.device) for each in own]
    return Known(logits, observed)


def finer_by_labels(batches: Batches) -> Tensor:
    """Return how far each label moves the fineness of the training pictures, (K,).

    Partial effects: a regression of :func:`pixels.fineness` on all labels together.
    """
    labels = batches.every_label()[: len(batches.rows)]
    sums, value_range = EffectSums(labels.shape[1]), batches.table.preprocess.value_range
    pairs = zip(
        batches.every_picture(mirrored=False), labels.split(batches.batch_size), strict=True
    )
    for x, y in pairs:
        sums.add(pixels.fineness(to_unit_range(x, value_range)).view(-1, 1, 1, 1), y)
    return sums.solve(labels.device).directions.flatten()
