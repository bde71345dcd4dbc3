"""Collateral: which other labels change with an edited one, as a matrix.

Axes: K attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mddae_cli.evaluation.edit_success import EditScores

Matrix = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class CollateralScores:
    """What every edited attribute does to every other label at one value.

    Attributes:
        value: What the attributes were set to.
        names: All K labels: the columns.
        edited: The edited attributes: the rows.
        changed: Share of the pictures in which the judge's label differs from that of the plain
            reconstruction; None for the attribute itself and where the judge is not trusted.
        logit_changes: Mean absolute change of the logit, with the same gaps.
        mean: Of ``changed``, over all entries.
        mean_logit_change: Of ``logit_changes``.
    """

    value: float
    names: tuple[str, ...]
    edited: tuple[str, ...]
    changed: Matrix
    logit_changes: Matrix
    mean: float
    mean_logit_change: float


def collateral_scores(
    edits: Sequence[EditScores], names: Sequence[str]
) -> tuple[CollateralScores, ...]:
    """Return the matrix at each value, ascending; nothing where nothing was edited.

    What it cannot tell: whether a change is the model's fault. Labels that go together in
    real faces change together for the judge although nobody sees them change, and its own
    indecision near the line counts as change.

    Args:
        edits: Of all edited attributes, base lines included.
        names: All K labels.
    """
    values = sorted({edit.value for edit in edits if edit.value is not None})
    return tuple(_at(value, [e for e in edits if e.value == value], names) for value in values)


def _at(value: float, edits: Sequence[EditScores], names: Sequence[str]) -> CollateralScores:
    return CollateralScores(
        value=value,
        names=tuple(names),
        edited=tuple(edit.name for edit in edits),
        changed=tuple(edit.changed for edit in edits),
        logit_changes=tuple(edit.logit_changes for edit in edits),
        mean=sum(edit.collateral for edit in edits) / len(edits),
        mean_logit_change=sum(edit.logit_change for edit in edits) / len(edits),
    )
