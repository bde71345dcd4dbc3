"""The convolutional networks of the default recipe: a tower and a decoder.

Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mddae_cli.config import Inject, ModelKind
from mddae_cli.header import ModelSpec
from mddae_cli.model.layers import SLOPE, TargetBias, connected, doubling, halving

# Along a side of a grid on which ŷ adds a bias to each place.
_MOST_PLACES = 8


def default_depth(image_size: int) -> int:
    """Return how many halvings leave a grid of about 4 (7 for 28 px).

    Raises:
        ValueError: If the side is none that the networks are built for.
    """
    depths = {28: 2, 32: 3, 64: 4, 128: 5}
    if image_size not in depths:
        raise ValueError(f"image_size {image_size} is none of {sorted(depths)}")
    return depths[image_size]


def _halvings(spec: ModelSpec) -> tuple[list[int], int]:
    """Return the width of each level and the side of the last grid."""
    if spec.image_size % 2**spec.depth:
        raise ValueError(f"depth {spec.depth} does not divide image_size {spec.image_size}")
    widths = [min(spec.width * 2**level, spec.width * 8) for level in range(spec.depth)]
    return widths, spec.image_size // 2**spec.depth


def _hidden(spec: ModelSpec) -> int:
    """Return the width of the fully connected layer between grid and codes, 0 for none.

    Up to 32 px there are two or three convolutions, whose windows do not reach across the
    picture; this layer joins what they see.
    """
    return 16 * spec.width if spec.image_size <= 32 else 0


class ConvTower(nn.Module):
    """Strided convolutions, for small pictures a connected layer, and a linear one."""

    def __init__(self, spec: ModelSpec, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        widths, side = _halvings(spec)
        self.convs = nn.Sequential(
            *(halving(c, o) for c, o in zip([spec.channels, *widths], widths, strict=False))
        )
        features, hidden = widths[-1] * side * side, _hidden(spec)
        self.hidden = connected(features, hidden) if hidden else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden or features, outputs)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return what each convolution gives, (N, F, H, W), of images (N, C, H, W)."""
        maps = []
        for convolution in self.convs:
            x = convolution(x)
            maps.append(x)
        return maps

    def join(self, maps: Tensor) -> Tensor:
        """Return what the last layer is given, (N, F), from the last convolution's maps."""
        features: Tensor = self.hidden(maps.flatten(1))
        return features

    def features(self, x: Tensor) -> Tensor:
        """Return what the last layer is given, (N, F), of images (N, C, H, W)."""
        return self.join(self.convs(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs) from images (N, C, H, W)."""
        out: Tensor = self.out(self.dropout(self.features(x)))
        return out


class ConvDecoder(nn.Module):
    """Linear layers from (ŷ, z) and growing convolutions, ŷ joined at each or only the first."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        widths, side = _halvings(spec)
        outs = [*widths[-2::-1], spec.channels]
        self.takes_y = spec.kind is not ModelKind.AE
        self.y_everywhere = self.takes_y and spec.inject is not Inject.FIRST
        self.grid = (widths[-1], side, side)
        joined, hidden = spec.latent_dim + self.takes_y * spec.num_targets, _hidden(spec)
        self.hidden = connected(joined, hidden) if hidden else nn.Identity()
        later = hidden + self.y_everywhere * spec.num_targets if hidden else joined
        self.from_codes = nn.Linear(later, widths[-1] * side * side, bias=False)
        self.first_norm = nn.BatchNorm2d(widths[-1])
        self.ups = nn.ModuleList(
            doubling(c, o, spec.upsample, bias=o == spec.channels)
            for c, o in zip([widths[-1], *outs], outs, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in outs[:-1])
        biased = outs if self.y_everywhere else []
        most = _MOST_PLACES if spec.inject is Inject.PLACES else 0
        self.biases = nn.ModuleList(
            TargetBias(spec.num_targets, o, min(most, 2 * side * 2**level))
            for level, o in enumerate(biased)
        )
        self.squash = nn.Sigmoid() if spec.channels == 1 else nn.Tanh()

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that is given z (N, D) joined to ŷ (N, K)."""
        joined = self.hidden[0] if isinstance(self.hidden, nn.Sequential) else self.from_codes
        return cast(nn.Linear, joined)

    def forward(self, y_hat: Tensor, z: Tensor) -> Tensor:
        """Return images (N, C, H, W) from ŷ (N, K) and z (N, D)."""
        codes = torch.cat([z, y_hat], dim=1) if self.takes_y else z  # (N, D + K)
        codes = self.hidden(codes)
        if self.y_everywhere and not isinstance(self.hidden, nn.Identity):
            codes = torch.cat([codes, y_hat], dim=1)  # (N, hidden + K)
        h = self.from_codes(codes).unflatten(1, self.grid)  # (N, F, h, w)
        h = h.contiguous(memory_format=torch.channels_last)
        h = F.leaky_relu(self.first_norm(h), SLOPE, inplace=True)
        for level, up in enumerate(self.ups):
            h = up(h)  # (N, F / 2, 2h, 2w)
            if self.y_everywhere:
                h = self.biases[level](h, y_hat)
            if level < len(self.norms):
                h = F.leaky_relu(self.norms[level](h), SLOPE, inplace=True)
        x_hat: Tensor = self.squash(h.float())
        return x_hat
