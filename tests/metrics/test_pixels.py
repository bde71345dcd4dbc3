"""Pixel errors per picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mddae_cli import metrics


def test_rmse_and_psnr_are_per_picture(images):
    x, x_hat = images(8, n=4)
    for i in range(4):
        error = math.sqrt(np.mean((x[i].numpy() - x_hat[i].numpy()) ** 2))
        assert float(metrics.rmse(x, x_hat)[i]) == pytest.approx(error, rel=1e-12)
        decibels = -20 * math.log10(error)
        assert float(metrics.psnr_db(x, x_hat)[i]) == pytest.approx(decibels, rel=1e-12)


def test_psnr_takes_the_data_range_and_is_infinite_for_identical_pictures(images):
    x, x_hat = images(8)
    double = metrics.psnr_db(2 * x - 1, 2 * x_hat - 1, data_range=2.0)
    torch.testing.assert_close(double, metrics.psnr_db(x, x_hat), rtol=1e-12, atol=0)
    assert metrics.psnr_db(x, x).isinf().all()
