"""The encoders: what gives the activation of ŷ and the latent z.

Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from mddae_cli.config import Arch
from mddae_cli.header import ModelSpec
from mddae_cli.model.cdnet import CdnetTower
from mddae_cli.model.conv import ConvTower


class Codes(NamedTuple):
    """What the encoder finds: ``logits`` (N, K), the activation a; ``z`` (N, D)."""

    logits: Tensor
    z: Tensor


class SharedEncoder(nn.Module):
    """One tower whose output is split into a and z, as in Figure 1."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.sizes = [spec.num_targets, spec.latent_dim]
        self.tower = _tower(spec, sum(self.sizes), spec.dropout)

    def forward(self, x: Tensor) -> Codes:
        """Return logits (N, K) and z (N, D) of images (N, C, H, W)."""
        return Codes(*self.tower(x).split(self.sizes, dim=1))


class SeparateEncoder(nn.Module):
    """A tower for a and a tower for z, of the same shape, as in the authors' later code."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.to_logits = _tower(spec, spec.num_targets, spec.dropout)
        self.to_z = _tower(spec, spec.latent_dim, 0.0)

    def forward(self, x: Tensor, logits: Tensor | None = None) -> Codes:
        """Return logits (N, K), unless they are given, and z (N, D) of images (N, C, H, W)."""
        return Codes(self.to_logits(x) if logits is None else logits, self.to_z(x))


def _tower(spec: ModelSpec, outputs: int, dropout: float) -> nn.Module:
    if spec.arch is Arch.CDNET:
        return CdnetTower(spec, outputs)
    return ConvTower(spec, outputs, dropout)
