"""Batches straight from the uint8 table: an index, a flip, a cast.

Axes: N batch, H, W image side, C channels, K classes or attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mddae_cli.config import TrainConfig
from mddae_cli.data.table import Table
from mddae_cli.runtime import generator


def to_model_range(
    pixels: np.ndarray, value_range: tuple[float, float], device: torch.device
) -> Tensor:
    """Return uint8 pixels as the model's input.

    Args:
        pixels: uint8, shape (N, H, W, C).
        value_range: What 0 and 255 become.
        device: Where the result shall be.

    Returns:
        float32, shape (N, C, H, W), in channels-last order.
    """
    low, high = value_range
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(device, non_blocking=True)
    return x.permute(0, 3, 1, 2).float().mul_((high - low) / 255.0).add_(low)


def to_unit_range(x: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Return images of the model's range in [0, 1], float32, same shape."""
    low, high = value_range
    return (x.float() - low) / (high - low)


class Batch(NamedTuple):
    """What a step learns from.

    ``x`` (N, C, H, W) in the model's range and ``y`` (N, K), float32; ``picture`` (N,), int64,
    the place of each picture in the training part, plus their number where it is mirrored.
    """

    x: Tensor
    y: Tensor
    picture: Tensor


class Batches:
    """The training part in an order that depends on seed and epoch alone.

    Args:
        table: The data set.
        config: Batch size, seed, and augmentation.
        device: Where batches go.
    """

    def __init__(self, table: Table, config: TrainConfig, device: torch.device) -> None:
        self.table, self.config, self.device = table, config, device
        self.rows = table.splits["train"]
        self.batch_size = min(config.batch_size, len(self.rows))

    def __len__(self) -> int:
        """Return the number of steps in an epoch; a last, smaller batch is dropped."""
        return len(self.rows) // self.batch_size

    def epoch(self, epoch: int, first_step: int = 0, *, moved: bool = False) -> Iterator[Batch]:
        """Yield the batch of each step of an epoch from ``first_step`` on.

        Args:
            epoch: Which one; it decides the order.
            first_step: Steps to leave out.
            moved: Whether pictures are moved by up to ``config.shift`` pixels.
        """
        order = torch.randperm(
            len(self.rows), generator=generator(self.config.seed, "shuffle", epoch)
        )
        for step in range(first_step, len(self)):
            picture = order[step * self.batch_size : (step + 1) * self.batch_size]
            rng = generator(self.config.seed, "augment", epoch * len(self) + step)
            if self.config.flip:
                mirrored = torch.rand(len(picture), generator=rng) < 0.5
                picture = picture + len(self.rows) * mirrored
            pixels = self._pixels(picture)
            if moved and self.config.shift:
                pixels = _moved(pixels, self.config.shift, rng)
            x = to_model_range(pixels, self.table.preprocess.value_range, self.device)
            labels = self.table.labels[self.rows[picture.numpy() % len(self.rows)]]
            yield Batch(x, torch.from_numpy(labels).to(self.device).float(), picture)

    def every_picture(self, *, mirrored: bool = True) -> Iterator[Tensor]:
        """Yield in batches every ``x`` that an epoch without movement can hold, in order.

        Args:
            mirrored: Whether mirrored ones follow, where epochs have them.
        """
        count = len(self.rows) * (2 if mirrored and self.config.flip else 1)
        for picture in torch.arange(count).split(self.batch_size):
            value_range = self.table.preprocess.value_range
            yield to_model_range(self._pixels(picture), value_range, self.device)

    def every_label(self) -> Tensor:
        """Return the labels (pictures, K) of every ``x`` of :meth:`every_picture`, float32."""
        labels = torch.from_numpy(self.table.labels[self.rows]).to(self.device).float()
        return labels.repeat(2 if self.config.flip else 1, 1)

    def _pixels(self, picture: Tensor) -> np.ndarray:
        mirrored, place = np.divmod(picture.numpy(), len(self.rows))
        pixels = self.table.images[self.rows[place]]
        pixels[mirrored == 1] = pixels[mirrored == 1, :, ::-1]
        return pixels


def _moved(pixels: np.ndarray, reach: int, rng: torch.Generator) -> np.ndarray:
    """Return a batch (N, H, W, C), all of it moved by the same up to ``reach`` pixels."""
    top, left = torch.randint(2 * reach + 1, (2,), generator=rng).tolist()
    side = pixels.shape[1]
    pixels = np.pad(pixels, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    return pixels[:, top : top + side, left : left + side]
