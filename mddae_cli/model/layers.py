"""Layers of the networks: the side halved and doubled, and what ŷ adds.

Axes: N batch, C and F channels, H, W image side, K classes or attributes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mddae_cli.config import Upsample

# Of leaky ReLUs, below 0.
SLOPE = 0.2


def connected(inputs: int, outputs: int) -> nn.Sequential:
    """Return a connected layer, normalised and rectified."""
    return nn.Sequential(
        nn.Linear(inputs, outputs, bias=False),
        nn.BatchNorm1d(outputs),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def halving(channels: int, out: int) -> nn.Sequential:
    """Return a layer that halves the side, normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def doubling(channels: int, out: int, how: Upsample, *, bias: bool) -> nn.Module:
    """Return a layer that doubles the side.

    The windows of a transposed convolution overlap in a checkerboard, by which strong edits show
    as dots and which they use to please the encoder rather than the eye (Odena et al. 2016,
    Deconvolution and Checkerboard Artifacts).
    """
    if how is Upsample.TRANSPOSED:
        return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=bias)
    return ResizeConv(channels, out, bias=bias)


class ResizeConv(nn.Conv2d):
    """Every pixel repeated 2×2, then a 3×3 convolution, at the cost of the small side.

    Repeating pixels and convolving is one transposed convolution whose 4×4 window is the 3×3
    window spread by the repetition, so the large grid of repeated pixels is never made.

    Args:
        channels: Of the small grid.
        out: Of the large grid.
        bias: Whether a number per channel is added.
    """

    def __init__(self, channels: int, out: int, *, bias: bool) -> None:
        super().__init__(channels, out, 3, padding=1, bias=bias)
        side = torch.zeros(3, 4)
        for row in range(3):  # a transposed convolution turns its window round
            side[2 - row, row : row + 2] = 1
        self.spread: Tensor
        self.register_buffer("spread", torch.kron(side, side), persistent=False)  # (9, 16)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out, 2H, 2W) from (N, channels, H, W)."""
        out, channels = self.weight.shape[:2]
        with torch.autocast(x.device.type, enabled=False):  # sums of weights keep their digits
            window = self.weight.reshape(out * channels, -1) @ self.spread
        window = window.view(out, channels, 4, 4).transpose(0, 1)
        return F.conv_transpose2d(x, window, self.bias, stride=2, padding=1)


class TargetBias(nn.Module):
    """ŷ joined to a layer as constant maps, and where asked for as maps of its own.

    A convolution over a map that is constant adds the same number everywhere but at the
    border, so a linear layer from ŷ to a bias per channel does the same for far less. In pictures
    that all show the same thing in the same place, glasses belong to the eyes: there a bias per
    channel and place is what ŷ adds.

    Args:
        num_targets: K.
        channels: F.
        grid: Places along a side, laid over the layer by bilinear interpolation; 0 for none. They
            begin at 0, so that ŷ adds the same everywhere until more is learnt.
    """

    def __init__(self, num_targets: int, channels: int, grid: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(num_targets, channels, bias=False)
        self.places = nn.Linear(num_targets, grid * grid * channels, bias=False) if grid else None
        self.shape = (grid, grid, channels)
        if self.places is not None:
            nn.init.zeros_(self.places.weight)

    def forward(self, h: Tensor, y_hat: Tensor) -> Tensor:
        """Return ``h`` (N, F, H, W) with what ŷ (N, K) adds to it."""
        bias: Tensor = self.linear(y_hat)[:, :, None, None]  # (N, F, 1, 1)
        if self.places is not None:
            maps = self.places(y_hat).unflatten(1, self.shape).permute(0, 3, 1, 2)
            bias = bias + maps  # (N, F, grid, grid)
            if maps.shape[2:] != h.shape[2:]:
                bias = F.interpolate(bias, size=h.shape[2:], mode="bilinear", align_corners=False)
        return h + bias
