"""What an attribute does to the maps of a network that looks at pictures.

How strong an edit is one logit says; what it looks like, and where, hundreds of feature maps say.
Edits are asked to move them along directions in which pictures with an attribute differ from
those without it, the idea of deep feature interpolation (Upchurch et al. 2017, arXiv 1611.05507).
There a direction is a difference of means, so that glasses bring along the age of those who wear
them; here it is a partial effect, the coefficient of a regression on all labels together.
Axes: N batch, K classes or attributes, C channels, H, W side of a map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the mean variance of channels: one that varies less would drown the others.
_LEAST_VARIANCE = 0.01


class Effects:
    """Partial effects of labels on maps.

    Args:
        directions: How far each label moves the maps, shape (K, C, H, W).
        scale: Standard deviation of what labels leave unexplained, shape (C, 1, 1).
    """

    def __init__(self, directions: Tensor, scale: Tensor) -> None:
        self.directions, self.scale = directions, scale

    def distance(self, maps: Tensor, before: Tensor, change: Tensor) -> Tensor:
        """Return how far maps are from where a change of the labels would have moved them.

        Args:
            maps: Of the edited pictures, shape (N, C, H, W).
            before: Of the pictures themselves, same shape.
            change: By how much each label was changed, shape (N, K).

        Returns:
            Huber loss in standard deviations, the mean over pictures, channels and places.
        """
        moved = (change @ self.directions.flatten(1)).view(len(change), *self.directions.shape[1:])
        off = (maps.float() - before.float() - moved) / self.scale
        return F.smooth_l1_loss(off, torch.zeros_like(off))


class EffectSums:
    """Adds up, batch by batch, what the regression of maps on labels needs.

    Args:
        labels: K.
    """

    def __init__(self, labels: int) -> None:
        self.gram = torch.zeros(labels + 1, labels + 1, dtype=torch.float64)
        self.cross: Tensor | None = None
        self.squares: Tensor | None = None
        self.shape = torch.Size()

    def add(self, maps: Tensor, y: Tensor) -> None:
        """Take in maps (N, C, H, W) of pictures with labels ``y`` (N, K)."""
        self.shape, flat = maps.shape[1:], maps.float().flatten(1)
        rows = torch.cat([torch.ones_like(y[:, :1]), y], dim=1).float()
        cross, squares = (rows.T @ flat).cpu().double(), flat.square().sum(dim=0).cpu().double()
        self.gram += (rows.T @ rows).cpu().double()
        self.cross = cross if self.cross is None else self.cross + cross
        self.squares = squares if self.squares is None else self.squares + squares

    def solve(self, device: torch.device) -> Effects:
        """Return the partial effects, on a device.

        The ridge is as heavy as one picture: a label that no picture has, has no effect, and
        exclusive classes have one although they add up to 1.

        Raises:
            ValueError: If nothing was added.
        """
        if self.cross is None or self.squares is None:
            raise ValueError("effects need maps of at least one batch")
        ridge = torch.eye(len(self.gram), dtype=torch.float64)
        ridge[0, 0] = 0  # not of the mean
        weights = torch.linalg.solve(self.gram + ridge, self.cross)
        unexplained = (self.squares - (weights * self.cross).sum(dim=0)) / self.gram[0, 0]
        variance = unexplained.view(self.shape).mean(dim=(1, 2), keepdim=True)
        variance = variance.clamp_min(_LEAST_VARIANCE * float(variance.mean()))
        directions = weights[1:].view(-1, *self.shape)
        return Effects(directions.float().to(device), variance.sqrt().float().to(device))
