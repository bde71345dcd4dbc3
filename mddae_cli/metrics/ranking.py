"""How well scores rank labels.

Axes: N rows, K columns.
"""

from __future__ import annotations

import torch
from torch import Tensor


def auroc(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the area under the receiver operating characteristic of each column.

    Args:
        scores: Larger means more positive, shape (N, K).
        labels: 0 or 1, shape (N, K).

    Returns:
        Shape (K,), in [0, 1], ties counted half; NaN for a column with one class only.
    """
    order = scores.double().sort(dim=0)
    ranks = torch.empty_like(order.values)
    for k in range(scores.shape[1]):
        _, inverse, counts = torch.unique(
            order.values[:, k], return_inverse=True, return_counts=True
        )
        last = counts.cumsum(0).double()
        middle = last - (counts.double() - 1) / 2
        ranks[order.indices[:, k], k] = middle[inverse]
    positive = labels.double()
    wins = (ranks * positive).sum(dim=0)
    count = positive.sum(dim=0)
    rest = labels.shape[0] - count
    return (wins - count * (count + 1) / 2) / (count * rest)
