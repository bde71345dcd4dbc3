"""The picture of an epoch: the same few validation images, reconstructed and edited.

Axes: R rows (images), M columns, H, W image side, C channels, K classes or attributes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mddae_cli.config import ModelKind, TargetKind
from mddae_cli.data.table import Table
from mddae_cli.header import Header
from mddae_cli.images import write_image
from mddae_cli.model import AutoEncoder
from mddae_cli.training.batches import to_model_range, to_unit_range

_IMAGES = 8
_EDIT_VALUE = 1.5
# The attributes of Figure 5 and some more; a data set without them shows its first ones.
_SHOWN = ("Eyeglasses", "Smiling", "Bangs", "Blond_Hair", "Mustache", "Pale_Skin", "Male", "Young")
_MAX_COLUMNS = 10


class SampleSheet:
    """Draws originals, reconstructions and edits side by side.

    Args:
        table: The data set; its first validation images are shown.
        header: The model's description.
        device: Where the model is.
    """

    def __init__(self, table: Table, header: Header, device: torch.device) -> None:
        self.header = header
        pixels = table.images[table.splits["val"][:_IMAGES]]
        self.x = to_model_range(pixels, header.preprocess.value_range, device)
        known = [table.names.index(name) for name in _SHOWN if name in table.names]
        is_classes = header.model.target_kind is TargetKind.CLASSES
        columns = known if known and not is_classes else list(range(len(table.names)))
        self.columns = columns[:_MAX_COLUMNS]

    def write_example(self, path: Path) -> None:
        """Write the first of the images by itself, for trying ``edit`` or ``swap-class``."""
        write_image(path, tile(self.x[:1, None], self.header.preprocess.value_range))

    @torch.no_grad()
    def write(self, net: AutoEncoder, path: Path) -> None:
        """Write the sheet of a model in evaluation mode: a row per image."""
        was_training = net.training
        net.eval()
        logits, z = net.encode(self.x)
        y_hat = net.decoder_target(net.soft_target(logits))
        strips = [self.x, net.decode(y_hat, z)]
        if self.header.model.kind is not ModelKind.AE:
            strips += [net.decode(self._changed(y_hat, column), z) for column in self.columns]
        net.train(was_training)
        write_image(path, tile(torch.stack(strips, dim=1), self.header.preprocess.value_range))

    def _changed(self, y_hat: Tensor, column: int) -> Tensor:
        changed = y_hat.clone()
        if self.header.model.target_kind is TargetKind.CLASSES:
            changed[:] = 0.0
            changed[:, column] = 1.0
        else:
            changed[:, column] = _EDIT_VALUE
        return changed


def tile(x: Tensor, value_range: tuple[float, float]) -> np.ndarray:
    """Return a grid of images as one picture.

    Args:
        x: Images, shape (R, M, C, H, W), in ``value_range``.
        value_range: What becomes 0 and 255.

    Returns:
        uint8, shape (R·H, M·W, C).
    """
    r, m, c, h, w = x.shape
    grid = to_unit_range(x, value_range).clamp(0, 1).mul(255).round().byte().cpu()
    return grid.permute(0, 3, 1, 4, 2).reshape(r * h, m * w, c).numpy()  # (R·H, M·W, C)
