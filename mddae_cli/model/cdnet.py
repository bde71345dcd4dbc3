"""The networks of the authors' later code, CDNet (arXiv 2001.08572).

Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mddae_cli.config import Inject, ModelKind
from mddae_cli.header import ModelSpec
from mddae_cli.model.layers import SLOPE, halving


class CdnetTower(nn.Module):
    """One encoder of the authors' later code: convolutions, two hidden layers, one output.

    The dimensions are those of CDNet (arXiv 2001.08572): 28 px: 32-64, 1000; 64 px:
    64-128-256, 4000-2000.
    """

    def __init__(self, spec: ModelSpec, outputs: int) -> None:
        super().__init__()
        widths, hidden, side = _cdnet_sizes(spec)
        self.convs = nn.Sequential(
            *(halving(c, o) for c, o in zip([spec.channels, *widths], widths, strict=False))
        )
        sizes = [widths[-1] * side * side, *hidden]
        layers: list[nn.Module] = []
        for size, out in zip(sizes, hidden, strict=False):
            layers += [nn.Linear(size, out), nn.LeakyReLU(SLOPE, inplace=True), nn.Dropout(0.5)]
        self.hidden = nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs) from images (N, C, H, W)."""
        out: Tensor = self.hidden(self.convs(x).flatten(1))
        return out


class CdnetDecoder(nn.Module):
    """The towers in reverse, ŷ joined to the input of every layer or of the first."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        widths, hidden, side = _cdnet_sizes(spec)
        self.takes_y = spec.kind is not ModelKind.AE
        self.y_everywhere = self.takes_y and spec.inject is not Inject.FIRST
        extra = spec.num_targets if self.takes_y else 0
        later = spec.num_targets if self.y_everywhere else 0
        sizes = [*hidden[::-1], widths[-1] * side * side]
        ins = [spec.latent_dim + extra, *(size + later for size in sizes)]
        self.linears = nn.ModuleList(nn.Linear(i, o) for i, o in zip(ins, sizes, strict=False))
        self.linear_norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes)
        self.grid = (widths[-1], side, side)
        outs = [*widths[-2::-1], spec.channels]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(c + later, o, 4, stride=2, padding=1)
            for c, o in zip([widths[-1], *outs], outs, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in outs[:-1])
        self.squash = nn.Sigmoid() if spec.channels == 1 else nn.Tanh()

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that is given z (N, D) joined to ŷ (N, K)."""
        return cast(nn.Linear, self.linears[0])

    def forward(self, y_hat: Tensor, z: Tensor) -> Tensor:
        """Return images (N, C, H, W) from ŷ (N, K) and z (N, D)."""
        h = z
        for level, (linear, norm) in enumerate(zip(self.linears, self.linear_norms, strict=True)):
            joined = self.takes_y if level == 0 else self.y_everywhere
            h = torch.cat([h, y_hat], dim=1) if joined else h  # (N, size + K)
            h = F.relu(norm(linear(h)), inplace=True)
        h = h.unflatten(1, self.grid)  # (N, F, h, w)
        for level, up in enumerate(self.ups):
            if self.y_everywhere:
                maps = y_hat.to(h.dtype)[:, :, None, None].expand(-1, -1, *h.shape[2:])
                h = torch.cat([h, maps], dim=1)  # (N, F + K, h, w)
            h = up(h)
            if level < len(self.norms):
                h = F.relu(self.norms[level](h), inplace=True)
        x_hat: Tensor = self.squash(h.float())
        return x_hat


def _cdnet_sizes(spec: ModelSpec) -> tuple[list[int], list[int], int]:
    match spec.image_size:
        case 28:
            return [32, 64], [1000], 7
        case 64:
            return [64, 128, 256], [4000, 2000], 8
    raise ValueError(f"arch cdnet has dimensions for 28 and 64 px, not for {spec.image_size}")
