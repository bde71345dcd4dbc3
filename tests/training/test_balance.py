"""Weights of labels: what tells of another label counts less, what goes against it more."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mddae_cli.training.balance import Balance


def smiles_and_mouths(n: int = 4000) -> Tensor:
    """Labels (n, 3): of those with the first nine tenths have the second; the third is apart."""
    rng = torch.Generator().manual_seed(0)
    first = torch.rand(n, generator=rng) < 0.4
    second = torch.rand(n, generator=rng) < torch.where(first, 0.9, 0.2)
    third = torch.rand(n, generator=rng) < 0.4
    return torch.stack([first, second, third], dim=1).float()


def told(labels: Tensor, k: int, other: int, weights: Tensor) -> float:
    """How much more often pictures with label k have another one than those without it."""
    shares = [
        float((weights * labels[:, other])[side].sum() / weights[side].sum())
        for side in (labels[:, k] == 0, labels[:, k] == 1)
    ]
    return shares[1] - shares[0]


def test_under_the_weights_no_label_tells_of_another() -> None:
    labels = smiles_and_mouths()
    weights = Balance(labels, largest=100).weights(labels)
    for k, other in [(0, 1), (1, 0)]:
        assert told(labels, k, other, torch.ones(len(labels))) > 0.5
        assert abs(told(labels, k, other, weights[:, k])) < 0.02


def test_what_goes_with_nothing_counts_as_before() -> None:
    labels = smiles_and_mouths()
    weights = Balance(labels, largest=100).weights(labels)[:, 2]
    torch.testing.assert_close(weights, torch.ones_like(weights), rtol=0, atol=0.1)


@pytest.mark.parametrize("largest", [1.2, 6.0])
def test_a_label_stays_as_frequent_as_it_is(largest: float) -> None:
    labels = smiles_and_mouths()
    weights = Balance(labels, largest).weights(labels)
    for side in (0, 1):
        kept = torch.where(labels == side, weights, 0).sum(dim=0) / (labels == side).sum(dim=0)
        torch.testing.assert_close(kept, torch.ones(3))


def test_weights_are_cut_off() -> None:
    """What goes against the rest counts for the less, and the rest tells for the more."""
    labels = smiles_and_mouths()
    most, told_by = [], []
    for largest in (1.5, 2.0, 100.0):
        weights = Balance(labels, largest).weights(labels)[:, 0]
        most.append(float(weights.max()))
        told_by.append(told(labels, 0, 1, weights))
    assert most == sorted(most)
    assert told_by == sorted(told_by, reverse=True)
    assert told_by[0] > 0.2


def test_labels_that_all_pictures_have_or_none_are_not_weighed() -> None:
    labels = smiles_and_mouths()
    labels[:, 0], labels[:, 2] = 1, 0
    weights = Balance(labels, largest=6).weights(labels)
    torch.testing.assert_close(weights[:, [0, 2]], torch.ones(len(labels), 2))
    assert bool(weights.isfinite().all())


def test_one_label_alone_is_told_by_nothing() -> None:
    labels = smiles_and_mouths()[:, :1]
    torch.testing.assert_close(Balance(labels, 6).weights(labels), torch.ones_like(labels))
