"""Acc and Err of edits that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mddae_cli.evaluation import exchange
from mddae_cli.evaluation.exchange import exchange_scores, mirrored


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "THIRTEEN", ("Hat", "Smile", "Beard"))


def both(judged_sweep, hat_added: float, hat_removed: float, smile: float):
    """Return sweeps of Hat at one value; of what is seen, the logits after the edit are given."""
    lacking, having = np.full((4, 4), -1.0), np.full((2, 4), -1.0)
    having[:, 0] = 1
    added, removed = lacking.copy()[None], having.copy()[None]
    added[:, :, 0], removed[:, :, 0] = hat_added, hat_removed
    added[:, :, 1] = smile
    return judged_sweep(lacking, added, [2.0]), judged_sweep(having, removed, [-1.0])


def test_a_perfect_model_turns_everything_over_and_nothing_else(judged_sweep, trust):
    (told,) = exchange_scores([both(judged_sweep, 1, -1, -1)], trust, [0.25])
    assert (told.value, told.names, told.accuracy, told.error) == (2.0, ("Hat",), 1.0, 0.0)


def test_a_model_that_ignores_the_target_turns_nothing(judged_sweep, trust):
    (told,) = exchange_scores([both(judged_sweep, -1, 1, -1)], trust, [0.25])
    assert (told.accuracy, told.error) == (0.0, 0.0)


def test_both_directions_weigh_as_they_are_among_all_faces(judged_sweep, trust):
    (told,) = exchange_scores([both(judged_sweep, 1, 1, -1)], trust, [0.25])
    assert told.accuracies == (0.75,)


def test_what_is_dragged_along_counts_where_the_judge_is_trusted(judged_sweep, trust):
    # Smile is the only other one of the three with trust, and changes where a hat is added.
    (told,) = exchange_scores([both(judged_sweep, 1, -1, 1)], trust, [0.25])
    assert told.error == pytest.approx(0.75)
    trusted = dataclasses.replace(trust, balanced=(0.9,) * 4)
    (told,) = exchange_scores([both(judged_sweep, 1, -1, 1)], trusted, [0.25])
    assert told.error == pytest.approx(0.375)


def test_the_mirror_of_with_is_without():
    assert mirrored([0, 1, 1.5]) == (1, 0, -0.5)


def test_without_any_of_the_thirteen_there_is_no_figure(trust):
    assert exchange_scores([], trust, []) == ()
