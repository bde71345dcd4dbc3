"""What a classifier of pictures may look at: raw pixels, oriented gradients, the judge's features.

Axes: N pictures, C channels, H and W side, F features, B directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from mddae_cli.errors import UsageError
from mddae_cli.evaluation.judge import Judge, JudgeNet

Extract = Callable[[Tensor], Tensor]
_DIRECTIONS, _CELL, _SOFT, _MOST = 12, 8, 0.02, 0.4


class Features(StrEnum):
    """Raw pixels as in the paper, histograms of oriented gradients, or the judge's last layer."""

    PIXELS = "pixels"
    HOG = "hog"
    JUDGE = "judge"


def extractor(features: Features, judge: Judge | None = None) -> Extract:
    """Return the function from pictures (N, C, H, W) in [0, 1] to features (N, F) on the CPU.

    Raises:
        UsageError: If the judge's features are wanted without a judge that has any.
    """
    if features is Features.PIXELS:
        return lambda images: images.float().flatten(1).cpu()
    if features is Features.HOG:
        return lambda images: oriented_gradients(images.float()).cpu()
    if judge is None or not isinstance(judge.net, JudgeNet):
        raise UsageError("features of the judge need a judge: measure edits too.")
    return judge_features(judge.net, judge.device)


def judge_features(net: JudgeNet, device: torch.device) -> Extract:
    """Return the function to what the judge's last layer sees."""

    @torch.inference_mode()
    def extract(images: Tensor) -> Tensor:
        features: Tensor = net.stages((images.to(device, torch.float32) - 0.5) * 4)
        return features.flatten(1).cpu()

    return extract


def oriented_gradients(images: Tensor) -> Tensor:
    """Return histograms of the directions of brightness gradients, (N, F).

    Twelve directions in cells of 8 px every 4 px; each cell is divided by its length (softly, so
    that flat cells stay small) and cut at 0.4.

    Args:
        images: Shape (N, C, H, W) in [0, 1], H and W at least 8.

    References:
        Dalal, Triggs (2005), CVPR.
    """
    grey = images.mean(dim=1, keepdim=True)
    across = F.pad(grey[..., 2:] - grey[..., :-2], (1, 1))
    down = F.pad(grey[..., 2:, :] - grey[..., :-2, :], (0, 0, 1, 1))
    strength = (across.square() + down.square()).sqrt()
    angle = torch.atan2(down, across).remainder(2 * math.pi) * (_DIRECTIONS / (2 * math.pi))
    low = angle.floor()
    share = angle - low
    first = low.long() % _DIRECTIONS
    votes = grey.new_zeros(len(grey), _DIRECTIONS, *grey.shape[2:])
    votes.scatter_add_(1, first, strength * (1 - share))
    votes.scatter_add_(1, (first + 1) % _DIRECTIONS, strength * share)
    cells = F.avg_pool2d(votes, _CELL, _CELL // 2)  # (N, B, h, w)
    cells = cells / (cells.square().sum(dim=1, keepdim=True).sqrt() + _SOFT)
    return cells.clamp_max(_MOST).flatten(1)
