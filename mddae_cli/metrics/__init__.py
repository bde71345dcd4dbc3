"""Measures of pictures, of dependence and of scores: pure functions of tensors."""

from mddae_cli.metrics.dependence import (
    center_double,
    center_u,
    distance_correlation2_per_column,
    distance_correlation2_u,
    distance_covariance2,
    distance_covariance2_u,
    mean_distance_correlation2,
    pairwise_distances,
)
from mddae_cli.metrics.pixels import psnr_db, rmse
from mddae_cli.metrics.ranking import auroc
from mddae_cli.metrics.similarity import PUBLISHED_WEIGHTS, default_ssim_spec, ms_ssim, ssim

__all__ = [
    "PUBLISHED_WEIGHTS",
    "auroc",
    "center_double",
    "center_u",
    "default_ssim_spec",
    "distance_correlation2_per_column",
    "distance_correlation2_u",
    "distance_covariance2",
    "distance_covariance2_u",
    "mean_distance_correlation2",
    "ms_ssim",
    "pairwise_distances",
    "psnr_db",
    "rmse",
    "ssim",
]
