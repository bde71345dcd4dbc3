"""Sweeps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from mddae_cli.evaluation.control import control_scores, rank_correlation


def logits(curves: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return plain and edited logits of pictures whose first attribute follows the curves."""
    edited = np.zeros((len(curves[0]), len(curves), 4))
    edited[:, :, 0] = np.array(curves).T
    return np.full((len(curves), 4), -1.0), edited


def test_a_model_that_follows_the_value_in_every_picture(judged_sweep):
    told = control_scores(judged_sweep(*logits([[-2, -1, 3, 4]] * 10), [0, 1, 2, 3]))
    assert (told.rank_correlation, told.monotone, told.falls_by) == (1.0, 1.0, 0.0)
    assert told.reaches_10 == pytest.approx(1.1)
    assert told.reaches_90 == pytest.approx(1.9)
    assert told.best_value == 2


def test_a_model_that_ignores_the_value(judged_sweep):
    told = control_scores(judged_sweep(*logits([[-2, -2, -2]] * 5), [0, 1, 2]))
    assert (told.rank_correlation, told.monotone) == (0.0, 0.0)
    assert (told.reaches_10, told.reaches_90) == (None, None)


def test_a_model_that_does_the_opposite(judged_sweep):
    told = control_scores(judged_sweep(*logits([[2, 1, -1]] * 5), [0, 1, 2]))
    assert (told.rank_correlation, told.monotone, told.falls_by) == (-1.0, 0.0, 1.0)
    assert told.reaches_10 == told.reaches_90 == told.best_value == 0


def test_a_fall_beyond_the_best_value_is_told(judged_sweep):
    curves = [[-1, 1, 1]] * 3 + [[-1, 1, -1]]
    told = control_scores(judged_sweep(*logits(curves), [0, 1, 4]))
    assert (told.best_value, told.falls_by, told.monotone) == (1, 0.25, 0.75)


def test_the_order_in_which_values_are_given_does_not_matter(judged_sweep):
    plain, edited = logits([[-2, -1, 3], [-1, 1, 0]])
    first = control_scores(judged_sweep(plain, edited, [0, 1, 2]))
    assert first == control_scores(judged_sweep(plain, edited[[2, 0, 1]], [2, 0, 1]))


def test_one_value_has_no_order(judged_sweep):
    assert control_scores(judged_sweep(*logits([[1.0]]), [1])) is None


def test_ranks_are_scipy_s_also_where_there_are_ties():
    values = torch.tensor([0.0, 1, 1, 2, 5]).double()
    columns = torch.randint(0, 3, (5, 20), generator=torch.Generator().manual_seed(1)).double()
    columns = columns[:, (columns != columns[0]).any(dim=0)]
    expected = [spearmanr(values, column).statistic for column in columns.T]
    assert rank_correlation(values, columns).tolist() == pytest.approx(expected)
