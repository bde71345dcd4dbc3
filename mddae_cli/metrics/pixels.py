"""How far pictures are apart, pixel by pixel.

Axes: N pictures, C channels, H, W side.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rmse(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the root mean squared error of each picture.

    Args:
        x: Images, shape (N, C, H, W), on any scale; Table 1 of the paper needs [0, 1].
        x_hat: Their reconstructions, same shape.

    Returns:
        Shape (N,), in the unit of ``x``.
    """
    return (x - x_hat).square().flatten(1).mean(dim=1).sqrt()


def psnr_db(x: Tensor, x_hat: Tensor, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio of each picture in decibels, shape (N,).

    Args:
        x: Images, shape (N, C, H, W).
        x_hat: Their reconstructions, same shape.
        data_range: Largest minus smallest possible value. Identical pictures give infinity.
    """
    return 20.0 * torch.log10(data_range / rmse(x, x_hat))
