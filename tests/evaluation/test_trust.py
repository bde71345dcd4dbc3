"""Where the judge is asked, and where not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mddae_cli.config import TargetKind
from mddae_cli.evaluation.collateral import collateral_scores
from mddae_cli.evaluation.edit_success import edit_scores
from mddae_cli.evaluation.trust import trust_in


def test_a_rare_attribute_does_not_flatter_the_judge(pixel_judge):
    labels = np.zeros((100, 4), np.uint8)
    labels[:10, 0] = 1
    labels[:50, 1] = 1
    labels[:, 3] = 1
    real = torch.full((100, 4), -1.0)
    real[:50, 1] = 1.0
    told = trust_in(pixel_judge(TargetKind.ATTRIBUTES), *[(real, labels)] * 2, floor=0.6)
    assert told.balanced == (0.5, 1.0, None, None)
    assert told.trusted.tolist() == [False, True, False, False]
    assert told.refused == {"Hat": 0.5, "Beard": None, "Scarf": None}
    assert told.reconstructed[:2] == pytest.approx((0.9, 1.0))


def test_labels_without_trust_are_no_collateral(judged_sweep, trust):
    plain = np.full((4, 4), -1.0)
    edited = np.full((1, 4, 4), 1.0)  # every label changes, by 2
    edited[0, :2, 1] = -1.0  # Smile in half of the pictures
    base, edit = edit_scores(judged_sweep(plain, edited, [1.0]), trust)
    assert edit.changed == (None, 0.5, None, 1.0)
    assert edit.logit_changes == (None, 1.0, None, 2.0)
    assert (edit.collateral, edit.logit_change) == (0.75, 1.5)
    assert base.changed == (None, 0.0, None, 0.0)


def test_the_matrix_has_a_row_for_each_edit_at_each_value(judged_sweep, trust):
    plain, edited = np.full((4, 4), -1.0), np.full((2, 4, 4), -1.0)
    edited[1, :, 3] = 1.0  # at the second value a scarf comes along
    edits = [
        *edit_scores(judged_sweep(plain, edited, [1.0, 2.0], column=0), trust),
        *edit_scores(judged_sweep(plain, edited[[0, 0]], [1.0, 2.0], column=1), trust),
    ]
    first, second = collateral_scores(edits, trust.names)
    assert (first.value, first.mean) == (1.0, 0.0)
    assert second.edited == ("Hat", "Smile")
    assert second.changed == ((None, 0.0, None, 1.0), (0.0, None, None, 0.0))
    assert second.mean == 0.25
    assert second.mean_logit_change == pytest.approx(0.5)
