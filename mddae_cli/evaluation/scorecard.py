"""The score card: everything that is measured of one model, joined.

Axes: N pictures, K names, D latent size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mddae_cli.config import ModelKind, TargetKind
from mddae_cli.data.table import Indexes, Table
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import UsageError
from mddae_cli.evaluation.codes import codes_of, judged
from mddae_cli.evaluation.edit_success import EditScores, edit_success
from mddae_cli.evaluation.judge import Judge, label_accuracy
from mddae_cli.evaluation.probes import LeakScores, Probe, probe_leak, shuffled_leak
from mddae_cli.evaluation.reconstruction import (
    ReconstructionScores,
    check_part,
    reconstruct_metrics,
)
from mddae_cli.evaluation.swaps import SwapScores, swap_success
from mddae_cli.header import Header
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.runtime import derive_seed

MAX_PROBE_ROWS = 50_000


@dataclass(frozen=True)
class TargetScores:
    """How well ŷ gives back the labels.

    ``accuracy`` is the mean over attributes or the share of right classes; ``balanced`` the mean
    of sensitivity and specificity over attributes, or of the recall over classes; names whose
    pictures do not define it are left out.
    """

    accuracy: float
    balanced_accuracy: float
    per_name: tuple[float, ...]


@dataclass(frozen=True)
class ScoreCard:
    """One model's figures; ``edits`` for attributes, ``swaps`` for classes.

    A plain auto-encoder has reconstruction and leak alone. ``judge_accuracy`` is the judge's on
    all real test pictures, ``judge_accuracy_reconstructed`` on the reconstructions of all
    pictures measured; both are None where no judge looked.
    """

    reconstruction: ReconstructionScores
    targets: TargetScores | None
    leaks: tuple[LeakScores, ...]
    edits: tuple[EditScores, ...] = ()
    swaps: SwapScores | None = None
    judge_accuracy: float | None = None
    judge_accuracy_reconstructed: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return dataclasses.asdict(self)


def score_card(
    model: Model,
    table: Table,
    judge: Judge | None,
    part: str = "test",
    *,
    values: Sequence[float] = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0),
    names: Iterable[str] | None = None,
    leak_probes: Sequence[Probe | str] = (Probe.LINEAR,),
    max_images: int | None = None,
    batch_size: int = 250,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> ScoreCard:
    """Return every measure of a model on a part of a data set.

    Args:
        model: The model.
        table: The data set that it was trained on; probes are fitted on its train part.
        judge: An independent judge of the same names; None leaves edits and swaps out.
        part: What is measured on: ``test`` or ``val``.
        values: What attributes are set to; classes are swapped instead.
        names: Which attributes are edited; all if None.
        leak_probes: Any of ``linear``, ``mlp`` and ``small-mlp``.
        max_images: At most so many pictures per edited attribute, or for the swaps.
        batch_size: Pictures at a time; it does not change the figures.
        seed: Of probes and choices.
        reporter: Told of the progress.

    Raises:
        UsageError: If model, table and judge do not belong together.
        UnknownNameError: If a name does not exist.
        DatasetError: If the part is empty.
    """
    rows = check_table(model.header, table, part)
    reporter = reporter or Silent()
    images, labels = table.images[rows], table.labels[rows]
    codes = codes_of(model, images, np.arange(len(rows)), batch_size)
    shared: dict[str, Any] = {"batch_size": batch_size, "reporter": reporter}
    plain = model.header.model.kind is ModelKind.AE
    card = ScoreCard(
        reconstruction=reconstruct_metrics(model, table, part, **shared),
        targets=None if plain else target_scores(codes.y_hat.cpu(), labels, table.kind),
        leaks=measure_leaks(model, table, codes, labels, leak_probes, seed, **shared),
    )
    if plain or judge is None:
        return card
    shared |= {"max_images": max_images, "seed": seed}
    seen = judged(model, judge, codes, batch_size)
    return dataclasses.replace(
        card,
        judge_accuracy=judge.accuracy,
        judge_accuracy_reconstructed=label_accuracy(seen, labels, table.kind)[0],
        **_control(model, judge, images, labels, values, names, shared),
    )


def check_table(header: Header, table: Table, part: str) -> Indexes:
    """Return the rows of a part, once it is sure that the model was trained on such a table.

    Raises:
        UsageError: If shapes or names differ or there is no such part.
        DatasetError: If the part is empty.
    """
    rows = check_part(header, table, part)
    if table.names != header.names:
        raise UsageError(
            f"the model was trained on {header.dataset}; data set {table.name!r} has different "
            "names: use the one it was trained on."
        )
    return rows


def _control(
    model: Model,
    judge: Judge,
    images: Pixels,
    labels: Pixels,
    values: Sequence[float],
    names: Iterable[str] | None,
    shared: dict[str, Any],
) -> dict[str, Any]:
    """Return the field of the card that says what edits do."""
    if model.header.model.target_kind is TargetKind.CLASSES:
        return {"swaps": swap_success(model, judge, images, labels, **shared)}
    return {"edits": edit_success(model, judge, images, labels, values, names=names, **shared)}


def target_scores(y_hat: Tensor, labels: Pixels, kind: TargetKind) -> TargetScores:
    """Return how well soft targets (N, K) give back labels (N, K)."""
    y = torch.tensor(labels).double()
    if kind is TargetKind.CLASSES:
        seen = one_hot(y_hat.argmax(dim=1), y.shape[1]).double()
    else:
        seen = (y_hat > 0.5).double()
    sensitivity = (seen * y).sum(dim=0) / y.sum(dim=0)  # (K,), NaN where there are none
    specificity = ((1 - seen) * (1 - y)).sum(dim=0) / (1 - y).sum(dim=0)
    if kind is TargetKind.CLASSES:
        accuracy, per_name = float((seen * y).sum() / len(y)), sensitivity.nan_to_num()
        balanced = sensitivity
    else:
        per_name = (seen == y).double().mean(dim=0)
        accuracy, balanced = float(per_name.mean()), (sensitivity + specificity) / 2
    return TargetScores(accuracy, float(balanced.nanmean()), tuple(per_name.tolist()))


def measure_leaks(
    model: Model,
    table: Table,
    codes: Codes,
    labels: Pixels,
    probes: Sequence[Probe | str],
    seed: int = 0,
    batch_size: int = 250,
    reporter: Reporter | None = None,
) -> tuple[LeakScores, ...]:
    """Return what each probe, fitted on the train part, reads from the z of ``codes``.

    Args:
        model: The model.
        table: Its data set; at most 50,000 rows of the train part are used, drawn by ``seed``.
        codes: Of the pictures to measure on, N rows.
        labels: Of the same pictures, (N, K).
        probes: Any of ``linear``, ``mlp`` and ``small-mlp``.
        seed: Of the rows and of the probes.
        batch_size: Pictures at a time.
        reporter: Told of the progress.
    """
    reporter = reporter or Silent()
    reporter.started("leak", len(probes), "probe")
    rows = _probe_rows(table.splits["train"], seed)
    z = codes_of(model, table.images, rows, batch_size).z if probes else codes.z
    leaks = []
    for probe in probes:
        known: dict[str, Any] = {"probe": probe, "seed": seed, "names": table.names}
        fitting = z, table.labels[rows], codes.z, labels, table.kind
        leak = shuffled_leak(probe_leak(*fitting, **known), *fitting, **known)
        leaks.append(leak)
        reporter.advanced(1, {leak.measure: leak.mean})
    reporter.finished()
    return tuple(leaks)


def _probe_rows(train: Indexes, seed: int) -> Indexes:
    if len(train) <= MAX_PROBE_ROWS:
        return train
    rng = np.random.default_rng(derive_seed(seed, "probe/rows"))
    return rng.choice(train, MAX_PROBE_ROWS, replace=False)
