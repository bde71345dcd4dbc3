"""The field's Acc and Err: thirteen attributes turned over in every picture (AttGAN, STGAN).

Axes: N pictures, V values, K attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mddae_cli.evaluation.sweeps import Sweep
from mddae_cli.evaluation.trust import Trust

THIRTEEN = (
    "Bald",
    "Bangs",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Eyeglasses",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "No_Beard",
    "Pale_Skin",
    "Young",
)


@dataclass(frozen=True)
class ExchangeScores:
    """Acc and Err at one value v: set to v where a face lacks it, to 1 − v where it has it.

    Attributes:
        value: v; the mirror of with is without, and of twice as much is as much below.
        names: Which of the thirteen were edited, and the judge trusted with.
        accuracies: Of each, the share of all faces in which the judge then sees the opposite of
            the label.
        accuracy: Acc, their mean.
        error: Err, the share of the judge's labels of the other of the thirteen that differ from
            those of the plain reconstruction.
    """

    value: float
    names: tuple[str, ...]
    accuracies: tuple[float, ...]
    accuracy: float
    error: float


def mirrored(values: Sequence[float]) -> tuple[float, ...]:
    """Return what faces with an attribute are set to where those without are set to values."""
    return tuple(1 - value for value in values)


def exchange_scores(
    pairs: Sequence[tuple[Sweep, Sweep]], trust: Trust, rates: Sequence[float]
) -> tuple[ExchangeScores, ...]:
    """Return Acc and Err at each value.

    What they cannot tell: they are the judge's opinion, whose errors are in both; most published
    figures count Err against labels and not, as here, against the reconstruction, and are at 1.5
    or 2 times the strength seen in training, so a figure at one value compares with nobody.

    Args:
        pairs: For each attribute the sweep of the faces without it and, over mirrored values, of
            those with it; the judge's logits (N, K) under ``judge``.
        trust: In the judge.
        rates: The share of all faces that has each of these attributes, so that a choice of faces
            weighs as all do.
    """
    if not pairs:
        return ()
    columns = [trust.names.index(name) for name in THIRTEEN if name in trust.names]
    others = [column for column in columns if bool(trust.trusted[column])]
    scores = []
    for i, value in enumerate(pairs[0][0].values):
        found = [
            _turned(adding, removing, i, others, rate)
            for (adding, removing), rate in zip(pairs, rates, strict=True)
        ]
        right = tuple(accuracy for accuracy, _ in found)
        wrong = sum(error for _, error in found) / len(found)
        names = tuple(adding.name for adding, _ in pairs)
        scores.append(ExchangeScores(value, names, right, sum(right) / len(right), wrong))
    return tuple(scores)


def _turned(
    adding: Sweep, removing: Sweep, i: int, others: Sequence[int], rate: float
) -> tuple[float, float]:
    """Return the accuracy and the error of one attribute at value number ``i``."""
    k = adding.column
    kept = [column for column in others if column != k]
    seen, gone = adding.edited["judge"][i], removing.edited["judge"][i]
    right = (1 - rate) * _share(seen[:, k] > 0) + rate * _share(gone[:, k] <= 0)
    if not kept:
        return right, 0.0
    added = _share((seen > 0)[:, kept] != (adding.plain["judge"] > 0)[:, kept])
    removed = _share((gone > 0)[:, kept] != (removing.plain["judge"] > 0)[:, kept])
    return right, (1 - rate) * added + rate * removed


def _share(hits: Tensor) -> float:
    """Return the share of hits; 0 of none, which then weigh nothing."""
    return float(hits.double().mean()) if hits.numel() else 0.0
