"""Pictures that the tests of measures share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


@pytest.fixture
def images() -> Callable[..., Pair]:
    """Return a function that makes pictures (N, C, side, side) and versions with more noise."""
    return _images


def _images(side: int, n: int = 3, channels: int = 3, dtype: torch.dtype = torch.float64) -> Pair:
    """Return smooth pictures in [0, 1] and noisy versions of them, more noise each."""
    rng = torch.Generator().manual_seed(side)
    coarse = torch.rand(n, channels, 5, 5, generator=rng, dtype=torch.float64)
    x = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    noise = torch.randn(x.shape, generator=rng, dtype=torch.float64)
    strength = torch.linspace(0.02, 0.2, n, dtype=torch.float64)[:, None, None, None]
    return x.to(dtype), (x + strength * noise).clamp(0, 1).to(dtype)
