"""How far an attribute's intensity can be turned: where it shows, what it costs, where it breaks.

Read off the curves of :func:`mddae_cli.evaluation.edit_success.edit_success`. What the judge
cannot see is not in them: it has learnt noisy labels, and takes some artefacts for attributes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mddae_cli.evaluation.edit_success import EditScores

# By how much success must fall behind its peak for the attribute to count as falling.
_FALL = 0.05


def working_ranges(scores: Sequence[EditScores]) -> dict[str, dict[str, float | None]]:
    """Return the working range of each attribute that was measured at two values or more.

    Args:
        scores: What ``edit_success`` returned; base lines are passed over.

    Returns:
        For each name, in the unit of the values: ``first`` and ``last`` measured, ``seen_50``
        and ``seen_90``, where the judge's success first reaches 50 and 90 %, ``collateral_5`` and
        ``collateral_8``, where the share of other labels first passes 5 and 8 %, and ``falls``, the
        value beyond which success falls by more than 5 points. None: not within the measured.
        Between measured values lines are drawn.
    """
    names = dict.fromkeys(score.name for score in scores)
    curves = {name: _curve(scores, name) for name in names}
    return {name: _range(curve) for name, curve in curves.items() if len(curve) > 1}


def _curve(scores: Sequence[EditScores], name: str) -> list[EditScores]:
    own = [s for s in scores if s.name == name and s.value is not None]
    return sorted(own, key=lambda score: score.value or 0.0)


def _range(curve: Sequence[EditScores]) -> dict[str, float | None]:
    values = [float(score.value or 0.0) for score in curve]
    seen = [score.seen for score in curve]
    collateral = [score.collateral for score in curve]
    peak = int(np.argmax(seen))
    falls = min(seen[peak:]) < seen[peak] - _FALL
    return {
        "first": values[0],
        "last": values[-1],
        "seen_50": _reaches(values, seen, 0.5),
        "seen_90": _reaches(values, seen, 0.9),
        "collateral_5": _reaches(values, collateral, 0.05),
        "collateral_8": _reaches(values, collateral, 0.08),
        "falls": values[peak] if falls else None,
    }


def _reaches(values: Sequence[float], curve: Sequence[float], level: float) -> float | None:
    """Return the first value at which the curve is at ``level``; None if it never is."""
    for index, height in enumerate(curve):
        if height < level:
            continue
        if index == 0:
            return values[0]
        share = (level - curve[index - 1]) / (height - curve[index - 1])
        return round(values[index - 1] + share * (values[index] - values[index - 1]), 3)
    return None
