"""Partial effects of labels on maps, against maps whose effects are known."""

from __future__ import annotations

import pytest
import torch

from mddae_cli.training.effects import Effects, EffectSums


def correlated_labels(count: int) -> torch.Tensor:
    """Two labels that mostly come together, like grey hair and glasses."""
    rng = torch.Generator().manual_seed(0)
    first = torch.rand(count, generator=rng) < 0.3
    second = torch.where(torch.rand(count, generator=rng) < 0.9, first, ~first)
    return torch.stack([first, second], dim=1).float()


def fitted(maps: torch.Tensor, y: torch.Tensor, size: int = 64) -> Effects:
    sums = EffectSums(y.shape[1])
    for some, labels in zip(maps.split(size), y.split(size), strict=True):
        sums.add(some, labels)
    return sums.solve(torch.device("cpu"))


def test_an_effect_is_that_of_its_label_alone_and_not_of_what_comes_with_it() -> None:
    y = correlated_labels(3000)
    truth = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(3000, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    noise *= torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1)
    effects = fitted(torch.einsum("nk,kchw->nchw", y, truth) + 4.0 + noise, y)
    torch.testing.assert_close(effects.directions, truth, rtol=0, atol=0.15)
    torch.testing.assert_close(
        effects.scale.flatten(), torch.tensor([0.2, 0.5, 1.0]), rtol=0.05, atol=0
    )


def test_labels_without_a_picture_and_exclusive_ones_have_finite_effects() -> None:
    classes = torch.eye(4)[torch.arange(200) % 3]  # no picture of the last one
    maps = torch.rand(200, 2, 3, 3, generator=torch.Generator().manual_seed(3))
    effects = fitted(maps + classes[:, :1, None, None], classes)
    assert bool(effects.directions.isfinite().all())
    assert float(effects.directions[3].abs().max()) < 1e-6
    apart = effects.directions[0] - effects.directions[1]
    torch.testing.assert_close(apart, torch.ones(2, 3, 3), rtol=0, atol=0.3)


def test_the_distance_is_0_where_the_maps_have_moved_as_the_labels_were_changed() -> None:
    directions = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(4))
    effects = Effects(directions, torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1))
    before, change = torch.rand(5, 3, 2, 2), torch.zeros(5, 2)
    change[:, 1] = 1.5
    moved = before + 1.5 * directions[1]
    assert float(effects.distance(moved, before, change)) < 1e-10
    far = moved + 8.0 * torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    assert float(effects.distance(far, before, change)) == pytest.approx((8.0 - 0.5) / 3)
    far = moved + 8.0 * torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)
    assert float(effects.distance(far, before, change)) == pytest.approx((2.0 - 0.5) / 3)


def test_a_channel_that_hardly_varies_does_not_drown_the_others() -> None:
    maps = torch.rand(100, 2, 2, 2, generator=torch.Generator().manual_seed(5))
    maps[:, 1] = 0.5
    y = correlated_labels(100)
    scale = fitted(maps, y).scale.flatten()
    assert float(scale[1]) == pytest.approx(float(scale[0]) * (0.005 / 0.995) ** 0.5, rel=0.01)


def test_without_a_batch_there_are_no_effects() -> None:
    with pytest.raises(ValueError, match="at least one batch"):
        EffectSums(2).solve(torch.device("cpu"))
