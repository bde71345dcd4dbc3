"""Pictures as soft as reconstructions are (N batch, C channels, H, W image side, S side)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_MOST = 1.5  # pixels
_LEAST = 0.05  # next to a pixel's own width: nothing is blurred


def some_softness(count: int, rng: np.random.Generator) -> Tensor:
    """Return standard deviations (N,) in pixels, 0 for about half of the pictures."""
    sigma = rng.uniform(0, _MOST, count) * (rng.random(count) < 0.5)
    return torch.from_numpy(sigma).float()


def soften(x: Tensor, sigma: Tensor) -> Tensor:
    """Return pictures blurred by a Gaussian each, whose edges keep their brightness.

    Args:
        x: Shape (N, C, H, W).
        sigma: Standard deviations in pixels, shape (N,); 0 leaves a picture as it is.
    """
    down, across = (_blur(side, sigma.clamp_min(_LEAST)) for side in x.shape[2:])
    return down[:, None] @ x @ across[:, None].transpose(2, 3)


def _blur(side: int, sigma: Tensor) -> Tensor:
    """Return matrices (N, S, S) that blur a column of S pixels."""
    place = torch.arange(side, device=sigma.device, dtype=sigma.dtype)
    distance = (place[:, None] - place) / sigma[:, None, None]
    return (-0.5 * distance.square()).softmax(dim=2)
