"""Models and judges whose figures are known beforehand: the labels are pixels.

Pictures are 12×12 grey ones; the first K = 4 pixels say what is there, the others are style.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mddae_cli.config import TargetKind
from mddae_cli.data.table import Table
from mddae_cli.editing import Model
from mddae_cli.evaluation.judge import Judge
from mddae_cli.evaluation.sweeps import Sweep
from mddae_cli.evaluation.trust import Trust
from mddae_cli.header import Header, Preprocess, SsimSpec

NAMES = ("Hat", "Smile", "Beard", "Scarf")
SIDE = 12
CPU = torch.device("cpu")


class PixelNet(nn.Module):
    """Reads ŷ from the first pixels and keeps every pixel in z.

    ``paints`` says which entries of ŷ the decoder puts into the picture; ``drags`` that the last
    attribute follows the first one; ``error`` is added to every pixel of the reconstruction.
    """

    def __init__(
        self, kind: TargetKind, paints: tuple[int, ...] = (), drags: bool = False, error: float = 0
    ) -> None:
        super().__init__()
        self.kind, self.paints, self.drags, self.error = kind, list(paints), drags, error

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = x.flatten(1)
        return (z[:, :4] - 0.5) * 100, z

    def soft_target(self, logits: Tensor) -> Tensor:
        return logits.softmax(1) if self.kind is TargetKind.CLASSES else logits.sigmoid()

    def decoder_target(self, y_hat: Tensor) -> Tensor:
        return y_hat

    def decode(self, y_hat: Tensor, z: Tensor) -> Tensor:
        pixels = z.clone()
        pixels[:, self.paints] = y_hat[:, self.paints]
        if self.drags:
            pixels[:, 3] = y_hat[:, 0]
        return (pixels + self.error).unflatten(1, (1, SIDE, SIDE))


class PixelJudge(nn.Module):
    """Sees what the first pixels say: logit 100 · (pixel − 0.5)."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1)[:, :4] - 0.5) * 100


@pytest.fixture
def pixel_model(tiny_header: Header) -> Callable[..., Model]:
    """Return a function that makes a model around a :class:`PixelNet` with the given options."""

    def make(kind: TargetKind, **options: Any) -> Model:
        spec = dataclasses.replace(
            tiny_header.model, image_size=SIDE, num_targets=4, target_kind=kind, latent_dim=SIDE**2
        )
        header = dataclasses.replace(
            tiny_header,
            model=spec,
            preprocess=Preprocess(SIDE, 1, (0.0, 1.0)),
            ssim=SsimSpec(7, 1.5, (1.0,)),
            names=NAMES,
            base_rates=(0.5,) * 4,
            config={"preset": "default"},
        )
        return Model(PixelNet(kind, **options), header, CPU)

    return make


@pytest.fixture
def pixel_judge() -> Callable[[TargetKind], Judge]:
    return lambda kind: Judge(PixelJudge(), NAMES, kind, 0.75, (0.9, 0.8, 0.7, 0.6), CPU)


def _pictures(labels: np.ndarray) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), SIDE**2), dtype=np.uint8)
    images[:, :4] = labels * 255
    return images.reshape(-1, SIDE, SIDE, 1)


@pytest.fixture
def pictures() -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from labels (N, 4) to pictures uint8 (N, 12, 12, 1) with random style."""
    return _pictures


@pytest.fixture
def pixel_table() -> Callable[..., Table]:
    """Return a function from labels (N, 4) to a table of such pictures."""
    return _pixel_table


def _pixel_table(labels: np.ndarray, kind: TargetKind) -> Table:
    rows, cuts = np.arange(len(labels)), (len(labels) * 3 // 5, len(labels) * 4 // 5)
    train, val, test = np.split(rows, cuts)
    return Table(
        name="pixels",
        images=_pictures(labels),
        labels=labels.astype(np.uint8),
        splits={"train": train, "val": val, "test": test},
        names=NAMES,
        kind=kind,
        split="random",
        split_seed=0,
        preprocess=Preprocess(SIDE, 1, (0.0, 1.0)),
    )


@pytest.fixture
def attributes() -> np.ndarray:
    """Labels (200, 4) of independent attributes."""
    return np.random.default_rng(1).integers(0, 2, (200, 4)).astype(np.uint8)


@pytest.fixture
def classes() -> np.ndarray:
    """One-hot labels (200, 4)."""
    return np.eye(4, dtype=np.uint8)[np.random.default_rng(2).integers(0, 4, 200)]


@pytest.fixture
def judged_sweep() -> Callable[..., Sweep]:
    """Return a function that makes a sweep of which nothing but the judge's logits is known.

    ``plain`` (N, K) and ``edited`` (V, N, K) are the logits of reconstructions and edits.
    """

    def make(plain: Any, edited: Any, values: Sequence[float], column: int = 0) -> Sweep:
        base, seen = torch.tensor(plain).float(), torch.tensor(edited).float()
        rows, name = torch.arange(len(base)), NAMES[column]
        return Sweep(name, column, rows, tuple(values), {"judge": base}, {"judge": seen})

    return make


@pytest.fixture
def trust() -> Trust:
    """A judge that is trusted with all but the third attribute."""
    return Trust(NAMES, (0.9,) * 4, (0.9, 0.8, 0.55, 0.7), (0.8,) * 4, 0.6)
