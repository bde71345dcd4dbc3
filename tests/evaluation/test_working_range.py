"""Working ranges are read off curves whose crossings are known."""

from __future__ import annotations

import pytest

from mddae_cli.evaluation import EditScores, working_ranges


def curve(name: str, points: list[tuple[float | None, float, float]]) -> list[EditScores]:
    return [
        EditScores(name, value, 10, seen, collateral, 0.0, 1.0, 1.0)
        for value, seen, collateral in points
    ]


def test_crossings_are_interpolated_between_measured_values() -> None:
    scores = curve(
        "Smiling", [(None, 0.9, 0), (0, 0, 0), (1, 0.4, 0.04), (2, 0.9, 0.06), (3, 1, 0.1)]
    )
    found = working_ranges(scores)["Smiling"]
    assert (found["first"], found["last"], found["falls"]) == (0, 3, None)
    assert found["seen_50"] == pytest.approx(1.2)
    assert found["seen_90"] == pytest.approx(2.0)
    assert found["collateral_5"] == pytest.approx(1.5)
    assert found["collateral_8"] == pytest.approx(2.5)


def test_what_is_not_reached_is_none_and_a_fall_is_told() -> None:
    scores = curve("Bald", [(2, 0.4, 0.01), (1, 0.1, 0), (3, 0.3, 0.02)])
    found = working_ranges(scores)["Bald"]
    assert found["seen_50"] is None and found["collateral_5"] is None
    assert found["falls"] == 2


def test_a_small_dip_is_no_fall() -> None:
    scores = curve("Bald", [(1, 0.9, 0), (2, 0.99, 0), (3, 0.96, 0)])
    assert working_ranges(scores)["Bald"]["falls"] is None


def test_an_attribute_measured_at_one_value_has_no_range() -> None:
    assert working_ranges(curve("Bald", [(None, 0, 0), (1, 0.5, 0)])) == {}
