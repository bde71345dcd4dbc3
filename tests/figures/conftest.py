"""A model whose pictures tell what was asked of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from mddae_cli.config import TargetKind
from mddae_cli.editing import Codes, Model
from mddae_cli.header import Header
from mddae_cli.images import Pixels
from mddae_cli.model import AutoEncoder

SIDE = 28


@dataclass(frozen=True)
class Shades(Model):
    """Stands in for a model: a decoded picture is of one shade, 10 ŷ₀ + 100 ŷ₁.

    Every picture has ŷ = (1, 1, 0) and its mean shade as z.
    """

    batches: list[int] = field(default_factory=list)

    def encode(self, pixels: Pixels) -> Codes:
        z = torch.from_numpy(pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float32))
        y_hat = torch.tensor([[1.0, 1.0, 0.0]]).repeat(len(pixels), 1)
        return Codes(y_hat, z[:, None], self.names)

    def decode(self, codes: Codes) -> torch.Tensor:
        self.batches.append(len(codes.z))
        shade = 10 * codes.y_hat[:, 0] + 100 * codes.y_hat[:, 1]
        channels = self.header.preprocess.channels
        return (shade / 255)[:, None, None, None].expand(-1, channels, SIDE, SIDE)


def make_shades(header: Header, kind: TargetKind, names: tuple[str, ...], channels: int) -> Shades:
    spec = dataclasses.replace(
        header.model, num_targets=len(names), target_kind=kind, channels=channels
    )
    pre = dataclasses.replace(header.preprocess, channels=channels)
    more = {"model": spec, "preprocess": pre, "names": names, "base_rates": (0.5,) * len(names)}
    described = dataclasses.replace(header, **more)
    return Shades(AutoEncoder(described.model), described, torch.device("cpu"))


@pytest.fixture
def faces(tiny_header: Header) -> Shades:
    return make_shades(tiny_header, TargetKind.ATTRIBUTES, ("Smiling", "Bangs", "Young"), 3)


@pytest.fixture
def digits(tiny_header: Header) -> Shades:
    return make_shades(tiny_header, TargetKind.CLASSES, ("0", "1", "2"), 1)
