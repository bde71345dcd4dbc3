"""Similarity transforms and pictures that go through them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from mddae_cli.align.similarity import Similarity, fit_similarity
from mddae_cli.align.warp import cut

POINTS = np.array([[10.0, 20.0], [30.0, 25.0], [17.0, 44.0]])


def turned(degrees: float, scale: float, shift: complex = 3 - 2j) -> Similarity:
    angle = math.radians(degrees)
    return Similarity(scale * complex(math.cos(angle), math.sin(angle)), shift)


def smooth(height: int = 80, width: int = 120, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("degrees", [-170, -30, 0, 90])
def test_a_similarity_is_found_again_from_where_points_went(degrees: float) -> None:
    made = turned(degrees, 1.7)
    found = fit_similarity(POINTS, made.apply(POINTS))
    assert (found.scale, found.degrees) == pytest.approx((1.7, degrees))
    np.testing.assert_allclose(found.inverse().apply(found.apply(POINTS)), POINTS)


def test_a_turn_goes_from_x_to_y_and_two_transforms_are_one() -> None:
    quarter = Similarity(1j, 0)
    np.testing.assert_allclose(quarter.apply(np.array([[1.0, 0.0]])), [[0.0, 1.0]], atol=1e-12)
    both = turned(20, 2).after(turned(40, 3))
    np.testing.assert_allclose(both.apply(POINTS), turned(20, 2).apply(turned(40, 3).apply(POINTS)))


def test_least_squares_of_noisy_points_is_that_of_a_linear_solver() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(7, 2)), rng.normal(size=(7, 2))
    # x' = a x - b y + c and y' = b x + a y + d
    rows = [[x, -y, 1, 0] for x, y in source] + [[y, x, 0, 1] for x, y in source]
    a, b, c, d = np.linalg.lstsq(np.array(rows), target.T.ravel(), rcond=None)[0]
    found = fit_similarity(source, target)
    np.testing.assert_allclose([found.factor, found.shift], [complex(a, b), complex(c, d)])


@pytest.mark.parametrize("same", [0, 1])
def test_points_that_fall_together_fix_nothing(same: int) -> None:
    pairs = [POINTS, POINTS]
    pairs[same] = np.ones((3, 2))
    with pytest.raises(ValueError, match="fall together"):
        fit_similarity(*pairs)


def test_cutting_without_a_transform_gives_the_pixels() -> None:
    picture = smooth()
    np.testing.assert_array_equal(cut(picture, Similarity(1, 0), 120, 80), picture)
    np.testing.assert_array_equal(
        cut(picture, Similarity(1, 10 + 20j), 30, 40), picture[20:60, 10:40]
    )


def test_a_quarter_turn_and_grey_pictures_are_exact() -> None:
    picture = smooth()[:, :, :1]
    back = cut(picture, Similarity(1j, 120 + 0j), 80, 120)
    np.testing.assert_array_equal(back, np.rot90(picture))


@pytest.mark.parametrize("scale", [2.0, 3.3, 7.9])
def test_fine_patterns_are_averaged_where_a_large_piece_becomes_small(scale: float) -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    piece = cut(stripes, turned(17, scale, 60 + 20j), 30, 30)
    assert abs(piece.astype(int) - 127.5).max() < 43  # three pixels hold one or two of the stripes


def test_beyond_the_border_the_edge_is_repeated_however_far_it_goes() -> None:
    picture = smooth()
    piece = cut(picture, Similarity(1, -50 - 30j), 60, 40)
    assert (piece[:, :50] == piece[:, 50:51]).all()
    np.testing.assert_array_equal(piece[30:, 50:], picture[:10, :10])
    far = cut(picture, Similarity(1000, -50_000 - 50_000j), 100, 100)
    assert far.shape == (100, 100, 3)


def test_a_piece_beside_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the picture"):
        cut(smooth(), Similarity(1, 500 + 0j), 10, 10)
