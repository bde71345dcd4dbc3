"""The area under the receiver operating characteristic."""

from __future__ import annotations

import numpy as np
import torch

from mddae_cli import metrics


def test_auroc_agrees_with_scikit_learn_also_with_ties():
    from sklearn.metrics import roc_auc_score

    rng = torch.Generator().manual_seed(0)
    labels = (torch.randn(200, 4, generator=rng) > torch.tensor([0.0, 1.0, -1.0, 2.0])).to(
        torch.uint8
    )
    scores = torch.randn(200, 4, generator=rng) + labels
    scores[:, 1] = scores[:, 1].round()
    scores[:, 2] = 0.0
    got = metrics.auroc(scores, labels)
    expected = [roc_auc_score(labels[:, k].numpy(), scores[:, k].numpy()) for k in range(4)]
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-12)


def test_auroc_of_a_single_class_is_not_a_number():
    labels = torch.tensor([[1, 0], [1, 1]])
    area = metrics.auroc(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), labels)
    assert area[0].isnan()
    assert float(area[1]) == 1.0
