"""Fitting pictures to what a model sees."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mddae_cli.errors import ModelError
from mddae_cli.formats import Fit
from mddae_cli.header import Preprocess
from mddae_cli.images import fit, fit_alpha

RGB64 = Preprocess(64, 3, (-1.0, 1.0))
GREY28 = Preprocess(28, 1, (0.0, 1.0))
AUTHORS = Preprocess(
    64, 3, (-1.0, 1.0), crop=(15 / 178, 40 / 218, 163 / 178, 188 / 218), crop_aspect=178 / 218
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_fit_cuts_the_authors_square_out_of_a_celeba_picture() -> None:
    pixels = noise(218, 178, 3)
    wanted = Image.fromarray(pixels[40:188, 15:163]).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(fit(pixels, AUTHORS), np.asarray(wanted))


def test_fit_applies_the_crop_box_as_fractions_to_other_sizes() -> None:
    pixels = noise(436, 356, 3)
    wanted = Image.fromarray(pixels[80:376, 30:326]).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(fit(pixels, AUTHORS), np.asarray(wanted))


@pytest.mark.parametrize("shape", [(100, 160, 3), (160, 100, 3)])
def test_fit_takes_the_central_square_of_other_proportions(shape: tuple[int, int, int]) -> None:
    pixels = noise(*shape)
    square = pixels[:, 30:130] if shape[1] > shape[0] else pixels[30:130]
    wanted = Image.fromarray(square).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(fit(pixels, AUTHORS), np.asarray(wanted))
    np.testing.assert_array_equal(fit(pixels, RGB64), np.asarray(wanted))


@pytest.mark.parametrize("shape", [(100, 160, 3), (160, 100, 3)])
def test_fit_pads_and_stretches_other_proportions(shape: tuple[int, int, int]) -> None:
    pixels = noise(*shape)
    squeezed = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(fit(pixels, AUTHORS, Fit.STRETCH), np.asarray(squeezed))
    square = np.zeros((160, 160, 3), np.uint8)
    square[
        (slice(30, 130), slice(None)) if shape[0] < shape[1] else (..., slice(30, 130), slice(None))
    ] = pixels
    padded = Image.fromarray(square).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(fit(pixels, AUTHORS, Fit.PAD), np.asarray(padded))


@pytest.mark.parametrize("how", Fit)
def test_the_checkpoints_own_proportions_get_its_crop_whatever_the_rule(how: Fit) -> None:
    pixels = noise(218, 178, 3)
    np.testing.assert_array_equal(fit(pixels, AUTHORS, how), fit(pixels, AUTHORS))
    np.testing.assert_array_equal(fit(noise(90, 90, 3), RGB64, how), fit(noise(90, 90, 3), RGB64))


@pytest.mark.parametrize("how", Fit)
def test_alpha_is_fitted_as_the_pixels_are(how: Fit) -> None:
    plane = noise(100, 160)
    for preprocess in (RGB64, AUTHORS):
        wanted = fit(np.repeat(plane[:, :, None], 3, 2), preprocess, how)[:, :, 0]
        np.testing.assert_array_equal(fit_alpha(plane, preprocess, how), wanted)


def test_fit_returns_grey_unchanged_where_nothing_is_to_do() -> None:
    plane = noise(28, 28)
    np.testing.assert_array_equal(fit(plane, GREY28)[:, :, 0], plane)
    np.testing.assert_array_equal(fit(plane[:, :, None], GREY28)[:, :, 0], plane)
    np.testing.assert_array_equal(fit(np.repeat(plane[:, :, None], 3, 2), GREY28)[:, :, 0], plane)


def test_fit_turns_colours_into_luma_and_grey_into_rgb() -> None:
    red = np.zeros((28, 28, 3), np.uint8)
    red[:, :, 0] = 255
    assert set(fit(red, GREY28).ravel().tolist()) == {76}  # 0.299 · 255
    assert fit(noise(64, 64), RGB64).shape == (64, 64, 3)


def test_fit_fills_a_box_beyond_the_picture_with_black() -> None:
    box = (-2 / 28, -2 / 28, 30 / 28, 30 / 28)
    x = fit(noise(28, 28), Preprocess(32, 1, (0.0, 1.0), crop=box, crop_aspect=1.0))[:, :, 0]
    np.testing.assert_array_equal(x[2:30, 2:30], noise(28, 28))
    assert x[:2].max() == x[-2:].max() == x[:, :2].max() == x[:, -2:].max() == 0


def test_fit_survives_a_picture_of_one_pixel_or_one_row() -> None:
    assert fit(noise(1, 1, 3), AUTHORS).shape == (64, 64, 3)
    assert fit(noise(1, 500, 3), AUTHORS).shape == (64, 64, 3)


@pytest.mark.parametrize("crop", [(0.5, 0.0, 0.5, 1.0), (0.0, 0.0, 1e9, 1.0), (0.0, float("nan"))])
def test_fit_refuses_a_crop_box_that_is_none(crop: tuple[float, float, float, float]) -> None:
    preprocess = Preprocess(8, 3, (0.0, 1.0), crop=crop, crop_aspect=1.0)
    with pytest.raises(ModelError, match="no box of fractions"):
        fit(noise(8, 8, 3), preprocess)
