"""Does an edit show? An independent judge looks at edited pictures.

The share of pictures without an attribute in which the judge sees it after ŷ was set, and what
else changed. The judge has learnt the same noisy labels as the model and may be fooled: its own
accuracy on real pictures and on plain reconstructions stands beside every figure. Axes: N
pictures, K names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mddae_cli.config import TargetKind
from mddae_cli.editing import Model
from mddae_cli.errors import UsageError, resolve_name
from mddae_cli.evaluation.codes import codes_of
from mddae_cli.evaluation.judge import Judge
from mddae_cli.evaluation.sweeps import Sweep, Viewers, look, sweep, with_label
from mddae_cli.evaluation.trust import Trust, trust_in
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent


@dataclass(frozen=True)
class EditScores:
    """One attribute set to one value, on pictures whose label says that they lack it.

    ``value`` None is the plain reconstruction, the base line. ``seen`` is the share in which the
    judge sees the attribute. ``collateral`` is the share of the judge's other labels that differ
    from those of the plain reconstruction, ``logit_change`` the mean absolute change of their
    logits; both are averaged over pictures and labels. ``changed`` and ``logit_changes`` hold
    the same for each label, None for the attribute itself and where the judge is not trusted.
    ``judge_accuracy`` is the judge's on all real test pictures, ``judge_accuracy_reconstructed``
    on the plain reconstructions of the pictures given, both for this attribute.
    """

    name: str
    value: float | None
    num_images: int
    seen: float
    collateral: float
    logit_change: float
    judge_accuracy: float
    judge_accuracy_reconstructed: float
    changed: tuple[float | None, ...] = ()
    logit_changes: tuple[float | None, ...] = ()


def edit_success(
    model: Model,
    judge: Judge,
    images: Pixels,
    labels: Pixels,
    values: Sequence[float],
    *,
    names: Iterable[str] | None = None,
    batch_size: int = 250,
    max_images: int | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> tuple[EditScores, ...]:
    """Return, per attribute, the base line and the scores of each value, by a judge trusted fully.

    Args:
        model: A model of attributes.
        judge: Of the same attributes.
        images: Real pictures, uint8 (N, H, W, C) of the model's side.
        labels: 0 or 1, (N, K).
        values: What the attribute is set to.
        names: Which attributes; all if None.
        batch_size: Pictures at a time; it does not change the figures.
        max_images: At most so many pictures per attribute, drawn by ``seed``; all if None.
        seed: Of that choice.
        reporter: Told of the progress.

    Returns:
        Attributes in the order of the model, for each the base line and then the values in the
        order given. An attribute that every picture has is left out.

    Raises:
        UsageError: If the model or the judge is not one of attributes, or they differ.
        UnknownNameError: If a name is no attribute of the model.
    """
    check_judge(model, judge, TargetKind.ATTRIBUTES)
    reporter = reporter or Silent()
    wanted = {resolve_name("attribute", n, model.names) for n in names or model.names}
    codes = codes_of(model, images, np.arange(len(images)), batch_size)
    viewers = Viewers({"judge": judge.logits})
    plain = look(model, codes, viewers.all(), batch_size)
    shown = plain["judge"], labels
    trust = trust_in(judge, shown, shown, floor=0.0)
    chosen = {
        name: with_label(labels[:, k], 0, max_images, seed, name)
        for k, name in enumerate(model.names)
        if name in wanted
    }
    reporter.started("edits", len(values) * sum(map(len, chosen.values())), "image")
    scores: list[EditScores] = []
    shared: dict[str, Any] = {"batch_size": batch_size, "reporter": reporter}
    for name, rows in chosen.items():
        if len(rows):
            swept = sweep(model, codes, viewers, name, values, plain, rows, **shared)
            scores += edit_scores(swept, trust)
    reporter.finished()
    return tuple(scores)


def edit_scores(sweep: Sweep, trust: Trust) -> tuple[EditScores, ...]:
    """Return the scores of a sweep: the base line, then each value.

    What they cannot tell: an edit may fool the judge unseen, and one that is far too strong is
    rewarded; attributes that go together in real faces look like collateral; binary labels hide
    what drifts without crossing the line, for which the change of the logits stands beside.

    Args:
        sweep: With the judge's logits (N, K) under ``judge``.
        trust: In the judge; labels for which there is none are left out of the collateral.
    """
    k, base = sweep.column, sweep.plain["judge"]
    other = trust.trusted & (torch.arange(base.shape[1]) != k)
    return tuple(_compare(sweep, v, told, other, trust) for v, told in sweep.pairs("judge"))


def check_judge(model: Model, judge: Judge, kind: TargetKind) -> None:
    """Raise where model and judge are not of this kind and of the same names.

    Raises:
        UsageError: If they are not.
    """
    if model.header.model.target_kind is not kind or judge.kind is not kind:
        raise UsageError(f"this measure needs a model and a judge of {kind.value}.")
    if tuple(model.names) != judge.names:
        raise UsageError("model and judge were trained on different names: use the same data set.")


def _compare(
    sweep: Sweep, value: float | None, edited: Tensor, other: Tensor, trust: Trust
) -> EditScores:
    """Return the scores of edited logits (N, K); of labels, those of ``other`` (K,) count."""
    k, plain = sweep.column, sweep.plain["judge"]
    changed = ((edited > 0) != (plain > 0)).double().mean(dim=0)  # (K,)
    moved = (edited.double() - plain.double()).abs().mean(dim=0)
    alone = not bool(other.any())
    return EditScores(
        name=sweep.name,
        value=value,
        num_images=len(edited),
        seen=float((edited[:, k] > 0).double().mean()),
        collateral=0.0 if alone else float(changed[other].mean()),
        logit_change=0.0 if alone else float(moved[other].mean()),
        judge_accuracy=trust.accuracies[k],
        judge_accuracy_reconstructed=trust.reconstructed[k],
        changed=_only(changed, other),
        logit_changes=_only(moved, other),
    )


def _only(values: Tensor, kept: Tensor) -> tuple[float | None, ...]:
    rows = zip(values.tolist(), kept.tolist(), strict=True)
    return tuple(value if keep else None for value, keep in rows)


def best_edit(
    scores: Iterable[EditScores], name: str, *, max_value: float, max_collateral: float
) -> EditScores | None:
    """Return the edit of ``name`` that shows most often within both limits, or None."""
    fitting = [
        s
        for s in scores
        if s.name == name
        and s.value is not None
        and s.value <= max_value
        and s.collateral <= max_collateral
    ]
    return max(fitting, key=lambda s: s.seen, default=None)


def count_reached(
    scores: Sequence[EditScores], *, seen: float, max_value: float, max_collateral: float
) -> int:
    """Return how many attributes show at least as often as ``seen`` within both limits."""
    names = {s.name for s in scores}
    limits = {"max_value": max_value, "max_collateral": max_collateral}
    best = [best_edit(scores, name, **limits) for name in names]
    return sum(edit is not None and edit.seen >= seen for edit in best)
