"""Does a swap show? An independent judge looks at pictures of every class turned into every other.

Two entries of ŷ are exchanged (case 1 of section 3.5 of the paper). Axes: N pictures, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mddae_cli.config import TargetKind
from mddae_cli.editing import Codes, Model
from mddae_cli.evaluation.codes import codes_of
from mddae_cli.evaluation.edit_success import check_judge
from mddae_cli.evaluation.judge import Judge
from mddae_cli.evaluation.sweeps import Seen, View, look
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.runtime import some_rows


@dataclass(frozen=True)
class SwapScores:
    """Every picture turned into every other class by exchanging two entries of ŷ.

    ``matrix[i][j]`` is the share of the pictures of class i, turned into j, in which the judge
    sees j; on the diagonal stand the plain reconstructions. ``success`` is the mean over all
    swaps (the diagonal left out), ``per_wanted`` the same for each wanted class, ``worst`` the
    least of them. A picture whose ŷ already has its maximum at the wanted class counts too.
    """

    names: tuple[str, ...]
    num_images: int
    success: float
    per_wanted: tuple[float, ...]
    worst: float
    worst_name: str
    matrix: tuple[tuple[float | None, ...], ...]
    y_accuracy: float
    judge_accuracy: float
    judge_accuracy_reconstructed: float


def swap_success(
    model: Model,
    judge: Judge,
    images: Pixels,
    labels: Pixels,
    *,
    batch_size: int = 250,
    max_images: int | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> SwapScores:
    """Return how often the judge sees the wanted class after a swap.

    Args:
        model: A model of classes.
        judge: Of the same classes.
        images: Real pictures, uint8 (N, H, W, C) of the model's side.
        labels: One-hot, (N, K).
        batch_size: Pictures at a time; it does not change the figures.
        max_images: At most so many pictures, drawn by ``seed``; all if None.
        seed: Of that choice.
        reporter: Told of the progress.

    Raises:
        UsageError: If the model or the judge is not one of classes, or they differ.
    """
    check_judge(model, judge, TargetKind.CLASSES)
    rows = some_rows(np.arange(len(images)), max_images, seed, "swaps")
    codes = codes_of(model, images, rows, batch_size)
    shared: dict[str, Any] = {"batch_size": batch_size, "reporter": reporter or Silent()}
    swaps = swap_all(model, codes, {"judge": judge.logits}, **shared)
    return swap_scores(swaps, judge, torch.from_numpy(labels[rows].argmax(axis=1)))


@dataclass(frozen=True)
class Swaps:
    """Every picture turned into every class.

    Attributes:
        y_hat: The soft targets before, (N, K).
        plain: What each viewer says of the plain reconstructions, (N, F).
        swapped: The same of the swaps, (K, N, F), by wanted class.
    """

    y_hat: Tensor
    plain: Seen
    swapped: Seen


def swap_all(
    model: Model,
    codes: Codes,
    views: Mapping[str, View],
    *,
    batch_size: int = 250,
    reporter: Reporter,
) -> Swaps:
    """Return what viewers say of every picture turned into every class.

    Args:
        model: A model of classes.
        codes: Of the pictures.
        views: Who looks at decoded pictures, at least one.
        batch_size: Pictures at a time.
        reporter: Told of the progress.
    """
    plain = look(model, codes, views, batch_size)
    reporter.started("swaps", len(codes.z) * len(model.names), "image")
    seen: dict[str, list[Tensor]] = {view: [] for view in views}
    for name in model.names:
        for view, told in look(model, codes.swap(name), views, batch_size).items():
            seen[view].append(told)
        reporter.advanced(len(codes.z), {"class": name})
    reporter.finished()
    swapped = {view: torch.stack(told) for view, told in seen.items()}
    return Swaps(codes.y_hat.cpu(), plain, swapped)


def swap_scores(swaps: Swaps, judge: Judge, y: Tensor) -> SwapScores:
    """Return the scores of swaps.

    What they cannot tell: whether it is the same handwriting (see the style), and whether a digit
    that the judge takes for the wanted class would be taken for one by people.

    Args:
        swaps: With the judge's logits (N, K) under ``judge``.
        judge: The judge.
        y: The classes of the pictures, (N,).
    """
    wanted = torch.arange(len(swaps.swapped["judge"]))[:, None]
    seen = (swaps.swapped["judge"].argmax(dim=2) == wanted).double().T.contiguous()  # (N, K)
    plain = swaps.plain["judge"].argmax(dim=1)
    seen[torch.arange(len(y)), y] = (plain == y).double()
    y_accuracy = float((swaps.y_hat.argmax(dim=1) == y).double().mean())
    return _swap_scores(judge, seen, y, y_accuracy)


def _swap_scores(judge: Judge, seen: Tensor, y: Tensor, y_accuracy: float) -> SwapScores:
    """Return the scores of ``seen`` (N, K): the base line in the column of the own class y (N,)."""
    own = torch.nn.functional.one_hot(y, seen.shape[1]).double()  # (N, K)
    matrix = (own.T @ seen) / own.sum(dim=0)[:, None]  # (K, K), a row of NaN without pictures
    per_wanted = (seen * (1 - own)).sum(dim=0) / (1 - own).sum(dim=0)
    worst = int(per_wanted.nan_to_num(nan=2.0).argmin())
    return SwapScores(
        names=judge.names,
        num_images=len(y),
        success=float((seen * (1 - own)).sum() / (1 - own).sum()),
        per_wanted=tuple(per_wanted.tolist()),
        worst=float(per_wanted[worst]),
        worst_name=judge.names[worst],
        matrix=tuple(tuple(None if v != v else v for v in row) for row in matrix.tolist()),
        y_accuracy=y_accuracy,
        judge_accuracy=judge.accuracy,
        judge_accuracy_reconstructed=float((seen * own).sum() / len(y)),
    )
