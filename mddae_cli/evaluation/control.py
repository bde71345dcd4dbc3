"""Controllability: does what is seen follow the value that was set?

Axes: N pictures, V values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mddae_cli.evaluation.sweeps import Sweep

_FEW, _MOST = 0.1, 0.9


@dataclass(frozen=True)
class ControlScores:
    """How one attribute follows its value, over the values tried in ascending order.

    Attributes:
        name: The attribute.
        num_images: Pictures without it.
        num_values: Different values tried.
        rank_correlation: Spearman's between value and the judge's logit in each picture, mean
            over pictures; a picture whose logit never moves counts 0.
        monotone: Share of the pictures in which the logit never falls and rises at least once.
        reaches_10: The value at which the judge sees it in 10 % of the pictures, by straight lines
            between the values tried; None where it never does.
        reaches_90: The same of 90 %.
        best_value: The value with the most successes, the lowest of equals.
        falls_by: How much of the success is lost again between there and the largest value.
    """

    name: str
    num_images: int
    num_values: int
    rank_correlation: float
    monotone: float
    reaches_10: float | None
    reaches_90: float | None
    best_value: float
    falls_by: float


def control_scores(sweep: Sweep) -> ControlScores | None:
    """Return how a sweep follows its values, None for fewer than two of them.

    What it cannot tell: the rank correlation says nothing about how much is seen, and hides that
    an attribute has long been as strong as it gets; the values between which success rises, and
    the fall beyond, say that. All of it is the judge's opinion, and of the values tried only.

    Args:
        sweep: With the judge's logits (N, K) under ``judge``.
    """
    values = torch.tensor(sweep.values, dtype=torch.float64)
    order = values.argsort()
    if len(values) < 2:
        return None
    values, logits = values[order], sweep.edited["judge"][order, :, sweep.column].double()
    success = (logits > 0).double().mean(dim=1).tolist()  # (V,)
    steps = logits.diff(dim=0)
    best = max(range(len(success)), key=lambda i: (success[i], -i))
    return ControlScores(
        name=sweep.name,
        num_images=logits.shape[1],
        num_values=len(values),
        rank_correlation=float(rank_correlation(values, logits).mean()),
        monotone=float(((steps >= 0).all(dim=0) & (steps > 0).any(dim=0)).double().mean()),
        reaches_10=_crossing(values.tolist(), success, _FEW),
        reaches_90=_crossing(values.tolist(), success, _MOST),
        best_value=float(values[best]),
        falls_by=success[best] - success[-1],
    )


def rank_correlation(values: Tensor, columns: Tensor) -> Tensor:
    """Return Spearman's rank correlation of values (V,) with each column of (V, N), shape (N,).

    Ties share their mean rank; a column without any order counts 0.
    """
    first, second = _ranks(values[:, None]), _ranks(columns)  # (V, 1), (V, N)
    first, second = first - first.mean(dim=0), second - second.mean(dim=0)
    scale = (first.square().sum(dim=0) * second.square().sum(dim=0)).sqrt()
    return torch.where(scale > 0, (first * second).sum(dim=0) / scale.clamp_min(1e-12), 0.0)


def _ranks(columns: Tensor) -> Tensor:
    """Return the mean rank of each entry within its column, (V, N)."""
    below = (columns[:, None] > columns[None, :]).double().sum(dim=1)
    equal = (columns[:, None] == columns[None, :]).double().sum(dim=1)
    return below + (equal - 1) / 2


def _crossing(values: Sequence[float], success: Sequence[float], level: float) -> float | None:
    """Return the first value at which ``success`` reaches ``level``."""
    if success[0] >= level:
        return values[0]
    for i in range(1, len(values)):
        if success[i] >= level:
            share = (level - success[i - 1]) / (success[i] - success[i - 1])
            return values[i - 1] + share * (values[i] - values[i - 1])
    return None
