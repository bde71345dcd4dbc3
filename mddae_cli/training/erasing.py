"""The quadratic erasure of a trained model, fitted to what it makes of its training pictures.

Axes: N pictures, K attributes or classes, D latent size.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mddae_cli.config import ModelKind
from mddae_cli.header import ModelSpec
from mddae_cli.model import AutoEncoder
from mddae_cli.training.settling import LEAST


def can_erase(spec: ModelSpec) -> bool:
    """Return whether a model has an erasure and a ŷ that its latent could tell of."""
    return spec.erase_directions > 0 and spec.kind is not ModelKind.AE


@torch.no_grad()
def erase(net: AutoEncoder, pictures: Iterable[Tensor], count: int) -> bool:
    """Fit a model's erasure, once.

    Args:
        net: A model that :func:`can_erase`; changed in place, and left in evaluation mode.
        pictures: Images (N, C, H, W) in the model's range, in batches: all it has learnt from.
        count: How many there are before they are repeated in the same order, mirrored.

    Returns:
        Whether anything changed: not where it was fitted before, nor with so few pictures that
        a regression of each would say little about others.
    """
    erasure = net.eval().erasure
    if erasure is None or erasure.fitted or count < LEAST * net.spec.num_targets:
        return False
    features, targets = [], []
    for x in pictures:
        logits, found = net.analyse(x)
        features.append(found)
        targets.append(net.decoder_target(net.soft_target(logits)))
    of_pictures, of_targets = torch.cat(features), torch.cat(targets)
    erasure.fit(of_pictures, of_targets, torch.arange(len(of_pictures)) % count)
    return True
