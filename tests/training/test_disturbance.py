"""Pictures moved, noisy and recoloured."""

from __future__ import annotations

import pytest
import torch

from mddae_cli.training import disturbance

UNIT = (0.0, 1.0)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def test_nothing_asked_changes_nothing() -> None:
    x = torch.rand(6, 3, 28, 28)
    assert disturbance.moved(x, 0, rng()) is x
    assert disturbance.noisy(x, 0.0, UNIT, rng()) is x
    assert disturbance.recoloured(x, 0.0, UNIT, rng()) is x


def test_all_pictures_are_moved_by_the_same_pixels() -> None:
    x = torch.rand(6, 1, 28, 28)
    moved = disturbance.moved(x, 3, rng())
    places = [
        (top, left)
        for top in range(-3, 4)
        for left in range(-3, 4)
        if torch.equal(moved[:, :, 3:-3, 3:-3], x.roll((top, left), (2, 3))[:, :, 3:-3, 3:-3])
    ]
    assert len(places) == 1
    assert places != [(0, 0)]


@pytest.mark.parametrize("value_range", [UNIT, (-1.0, 1.0)])
def test_noise_has_a_strength_for_each_picture(value_range: tuple[float, float]) -> None:
    x = torch.zeros(50, 1, 28, 28)
    deviations = disturbance.noisy(x, 0.2, value_range, rng()).std(dim=(1, 2, 3))
    most = 0.2 * (value_range[1] - value_range[0])
    assert 0.7 * most < deviations.max() < 1.05 * most
    assert deviations.min() < 0.2 * most


def chroma(x: torch.Tensor) -> torch.Tensor:
    """Return what of (N, C, H, W) is neither grey nor the same in all places."""
    x = x - x.mean(1, keepdim=True)
    return x - x.mean((2, 3), keepdim=True)


def test_colour_is_taken_away_and_brightness_stays() -> None:
    x = torch.rand(200, 3, 8, 8)
    y = disturbance.recoloured(x, 1.0, UNIT, rng())
    kept = (chroma(y) * chroma(x)).sum((1, 2, 3)) / chroma(x).square().sum((1, 2, 3))
    torch.testing.assert_close(chroma(y), kept[:, None, None, None] * chroma(x))
    assert 0 <= kept.min() < 0.1
    assert 1.1 < kept.max() <= 1.25
    # A tint alone may change how bright a picture is, and the same everywhere in it.
    shift = (y - x).mean(1)
    assert shift.std(dim=(1, 2)).max() < 1e-6
    assert 0.02 < shift.abs().max() < 0.1


def test_grey_pictures_have_no_colour_to_lose() -> None:
    x = torch.rand(6, 1, 28, 28)
    assert disturbance.recoloured(x, 1.0, UNIT, rng()) is x
