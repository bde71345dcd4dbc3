"""Distance correlation of codes whose dependence is known."""

from __future__ import annotations

import pytest
import torch

from mddae_cli import metrics
from mddae_cli.evaluation.dependence import dependence_scores

NAMES = ("Hat", "Smile", "Beard", "Scarf")


def codes(rows: int = 150) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    y_hat = (torch.rand(rows, 4, generator=rng) > 0.5).float()
    return y_hat, torch.randn(rows, 6, generator=rng)


def test_a_z_that_holds_a_label_is_found_at_that_label() -> None:
    y_hat, z = codes()
    z[:, 0] = 4 * y_hat[:, 1]
    told = dependence_scores(y_hat, z, NAMES, permutations=99)
    assert told.joint_p == told.per_name_p[1] == 0.01
    assert told.per_name[1] > 0.15
    assert max(told.per_name[0], *told.per_name[2:]) < 0.05
    assert min(told.per_name_p[0], *told.per_name_p[2:]) > 0.05


def test_an_independent_z_is_about_zero_and_not_significant() -> None:
    told = dependence_scores(*codes(), NAMES, permutations=99)
    assert abs(told.joint) < 0.05
    assert told.joint_p > 0.05


def test_the_figures_are_those_of_the_metrics() -> None:
    y_hat, z = codes(60)
    z[:, 2] += y_hat[:, 0]
    told = dependence_scores(y_hat, z, NAMES, permutations=1)
    assert told.joint == pytest.approx(float(metrics.distance_correlation2_u(y_hat, z)), abs=1e-5)
    each = metrics.distance_correlation2_per_column(y_hat, z).tolist()
    assert told.per_name == pytest.approx(each, abs=1e-5)


def test_an_entry_that_never_changes_depends_on_nothing() -> None:
    y_hat, z = codes(40)
    y_hat[:, 3] = 0.2
    told = dependence_scores(y_hat, z, NAMES, permutations=9)
    assert (told.per_name[3], told.per_name_p[3]) == (0.0, 1.0)


def test_rows_and_permutations_come_from_the_seed() -> None:
    y_hat, z = codes()
    first = dependence_scores(y_hat, z, NAMES, max_rows=50, permutations=19)
    assert first.num_rows == 50
    assert first == dependence_scores(y_hat, z, NAMES, max_rows=50, permutations=19)
    assert first != dependence_scores(y_hat, z, NAMES, max_rows=50, permutations=19, seed=1)


def test_three_rows_are_too_few() -> None:
    with pytest.raises(ValueError, match="3 rows are too few"):
        dependence_scores(torch.rand(3, 4), torch.rand(3, 2), NAMES)
