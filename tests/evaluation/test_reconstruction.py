"""Reconstruction figures of models whose error is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mddae_cli.config import TargetKind
from mddae_cli.errors import DatasetError, UsageError
from mddae_cli.evaluation import reconstruct_metrics

KIND = TargetKind.ATTRIBUTES


@pytest.fixture
def mid_table(pixel_table, attributes):
    """Noise between 0.2 and 0.8, so that an added error is not cut off."""
    table = pixel_table(attributes, KIND)
    images = np.random.default_rng(0).integers(51, 205, table.images.shape, dtype=np.uint8)
    return dataclasses.replace(table, images=images)


def test_a_constant_error_gives_its_own_size_and_no_spread(pixel_model, mid_table):
    scores = reconstruct_metrics(pixel_model(KIND, error=0.1), mid_table)
    assert scores.rmse_mean == pytest.approx(0.1, abs=1e-6)
    assert scores.rmse_std == pytest.approx(0.0, abs=1e-6)
    assert scores.psnr_db_mean == pytest.approx(20.0, abs=1e-4)
    assert 0.9 < scores.ssim_mean < 1.0
    assert (scores.name, scores.dataset, scores.part) == ("default", "pixels", "test")
    assert scores.num_images == 40


def test_the_spread_is_the_population_deviation_over_pictures(pixel_model, mid_table):
    images = mid_table.images.copy()
    images[mid_table.splits["val"][::2]] = 255  # cut off at 1: no error there
    table = dataclasses.replace(mid_table, images=images)
    scores = reconstruct_metrics(pixel_model(KIND, error=0.1), table, "val")
    assert scores.rmse_mean == pytest.approx(0.05, abs=1e-6)
    assert scores.rmse_std == pytest.approx(0.05, abs=1e-6)


def test_a_model_of_another_range_is_measured_on_the_unit_range(pixel_model, mid_table):
    model = pixel_model(KIND, error=0.1)
    model.net.paints = []  # the net keeps what it is given, here in [-1, 1]
    preprocess = dataclasses.replace(model.header.preprocess, value_range=(-1.0, 1.0))
    header = dataclasses.replace(model.header, preprocess=preprocess)
    scores = reconstruct_metrics(dataclasses.replace(model, header=header), mid_table)
    assert scores.rmse_mean == pytest.approx(0.05, abs=1e-6)


def test_a_picture_given_back_exactly_counts_a_hundred_decibels(pixel_model, mid_table):
    scores = reconstruct_metrics(pixel_model(KIND), mid_table)
    assert (scores.psnr_db_mean, scores.psnr_db_std) == (100.0, 0.0)
    assert (scores.rmse_mean, scores.ssim_mean) == pytest.approx((0.0, 1.0), abs=1e-6)


def test_reconstruction_figures_do_not_depend_on_the_batch_size(pixel_model, pixel_table):
    labels = np.random.default_rng(3).integers(0, 2, (200, 4)).astype(np.uint8)
    model, table = pixel_model(KIND, error=0.3), pixel_table(labels, KIND)
    whole = dataclasses.astuple(reconstruct_metrics(model, table, batch_size=40))
    parts = dataclasses.astuple(reconstruct_metrics(model, table, batch_size=7))
    assert whole[4:-1] == pytest.approx(parts[4:-1], rel=1e-5, abs=1e-7)


def test_the_conventions_name_window_scales_and_weights(pixel_model, mid_table):
    text = " ".join(reconstruct_metrics(pixel_model(KIND), mid_table).conventions)
    for part in ("[0, 1]", "population", "window 11", "MS-SSIM of 1 scale, window 7", "1.0000"):
        assert part in text


def test_a_row_can_be_named(pixel_model, mid_table):
    assert reconstruct_metrics(pixel_model(KIND), mid_table, name="ours").name == "ours"


def test_progress_is_reported_to_the_last_picture(pixel_model, mid_table, recorder):
    reconstruct_metrics(pixel_model(KIND), mid_table, batch_size=15, reporter=recorder)
    assert recorder.jobs == [("reconstruct", 40, "image")]
    assert (recorder.steps, recorder.ended) == (40, 1)


def test_pictures_of_another_side_are_refused(pixel_model, mid_table):
    table = dataclasses.replace(mid_table, images=mid_table.images[:, :8, :8])
    with pytest.raises(UsageError, match=r"\(12, 12, 1\).*\(8, 8, 1\)"):
        reconstruct_metrics(pixel_model(KIND), table)


def test_an_unknown_part_is_refused_and_the_parts_named(pixel_model, mid_table):
    with pytest.raises(UsageError, match="'tset' does not exist: train, val, test"):
        reconstruct_metrics(pixel_model(KIND), mid_table, "tset")


def test_an_empty_part_is_refused(pixel_model, mid_table):
    mid_table.splits["val"] = np.empty(0, np.int64)
    with pytest.raises(DatasetError, match="has no pictures"):
        reconstruct_metrics(pixel_model(KIND), mid_table, "val")
