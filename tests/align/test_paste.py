"""Differences put back into a picture: where, how smoothly, and how far."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mddae_cli.align.paste import FEATHER, change_at, difference_of
from mddae_cli.align.similarity import Similarity

SIDE = 64


def constant(value: float = 0.2, channels: int = 3) -> np.ndarray:
    return np.full((SIDE, SIDE, channels), value, np.float32)


def turned(degrees: float, scale: float, shift: complex) -> Similarity:
    return Similarity(scale * complex(np.exp(1j * math.radians(degrees))), shift)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.7, 20.0])
def test_inside_the_difference_is_added_whole_and_at_the_border_nothing(scale: float) -> None:
    size = round(100 * scale)
    change = change_at(constant(), turned(0, scale, (10 + 10j) * scale), size, size)
    whole = np.zeros((size, size))
    whole[change.rows, change.columns] = change.values[:, :, 0]
    assert whole[round(42 * scale), round(42 * scale)] == pytest.approx(51, abs=0.5)
    outside = np.ones((size, size), bool)
    low, high = math.floor(10 * scale), math.ceil(74 * scale)
    outside[low:high, low:high] = False
    assert not whole[outside].any()


@pytest.mark.parametrize("degrees", [0, 30])
def test_the_border_is_no_steeper_than_fading_needs(degrees: float) -> None:
    change = change_at(constant(1.0), turned(degrees, 6, 300 + 100j), 1000, 1000)
    rows, columns = np.gradient(change.values[:, :, 0])
    steepest = np.hypot(rows, columns).max()
    fading = SIDE * FEATHER * 6  # pixels from 255 to 0, along 3t² − 2t³
    assert steepest < 1.2 * 1.5 * 255 / fading


def test_a_place_in_the_model_s_picture_is_that_place_in_the_photograph() -> None:
    difference = constant(0)
    difference[20:24, 40:44] = 1
    to_picture = turned(25, 5, 200 + 50j)
    change = change_at(difference, to_picture, 800, 700)
    weights = np.clip(change.values[:, :, 0], 0, None)
    y, x = (np.average(at + 0.5, weights=weights) for at in np.indices(weights.shape))
    wanted = to_picture.apply(np.array([[42.0, 22.0]]))[0]
    np.testing.assert_allclose([change.left + x, change.top + y], wanted, atol=0.3)


def test_no_difference_is_no_change() -> None:
    assert not change_at(constant(0), turned(10, 3, 20), 300, 300).values.any()


def test_a_square_over_the_border_changes_what_is_there() -> None:
    change = change_at(constant(), turned(0, 2, -60 - 60j), 50, 40)
    assert (change.left, change.top, change.values.shape) == (0, 0, (40, 50, 3))
    assert change.values[0, 0, 0] == pytest.approx(51, abs=0.5)


def test_a_square_beside_the_picture_changes_nothing() -> None:
    change = change_at(constant(channels=1), turned(0, 1, 500), 50, 40)
    assert change.values.size == 0


def test_small_faces_average_the_difference() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE, 1)).astype(np.float32)
    change = change_at(noise, turned(0, 1 / 8, 0), 8, 8)
    assert np.abs(change.values[2:6, 2:6]).max() < 255 * 4 / 8


def test_a_weak_edit_is_the_difference_alone_and_a_strong_one_the_edit_itself() -> None:
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    before = np.full((64, 64, 3), 0.2, np.float32)
    after = before.copy()
    after[:10] += 0.01
    after[40:] += 0.6
    added = difference_of(crop, before, after)
    np.testing.assert_allclose(added[:6], 0.01, atol=0.02)
    shown = crop / 255 + added
    np.testing.assert_allclose(shown[50:], 0.8, atol=1e-5)


def test_an_edit_that_changes_nothing_adds_nothing() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    same = np.full((32, 32, 1), 0.7, np.float32)
    assert not difference_of(crop, same, same).any()


def test_between_weak_and_strong_there_is_no_step() -> None:
    crop = np.zeros((64, 64, 1), np.uint8)
    before = np.full((64, 64, 1), 0.5, np.float32)
    after = before + np.linspace(0, 0.4, 64, dtype=np.float32)[None, :, None]
    added = difference_of(crop, before, after)[32, :, 0]
    assert np.abs(np.diff(added)).max() < 0.06
