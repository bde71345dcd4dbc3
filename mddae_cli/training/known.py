"""What networks that no longer learn say of the training pictures: asked once, not at each step.

Axes: N batch, C channels, H, W image side, K classes or attributes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mddae_cli.model import AutoEncoder
from mddae_cli.training.batches import Batches
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
