"""Reconstruction quality as in Table 1: RMSE, PSNR, SSIM and multi-scale SSIM per picture.

Axes: N pictures, C channels, H and W side. None of it says anything about control.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mddae_cli import metrics
from mddae_cli.data.table import Indexes, Table
from mddae_cli.editing import Model
from mddae_cli.errors import DatasetError, UsageError
from mddae_cli.evaluation.codes import batches
from mddae_cli.header import Header, SsimSpec
from mddae_cli.reporting import Reporter, Silent

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
MAX_PSNR_DB = 100.0


@dataclass(frozen=True)
class ReconstructionScores:
    """A row of Table 1: mean and standard deviation over pictures, and the conventions used."""

    name: str
    dataset: str
    part: str
    num_images: int
    rmse_mean: float
    rmse_std: float
    psnr_db_mean: float
    psnr_db_std: float
    ssim_mean: float
    ssim_std: float
    ms_ssim_mean: float
    ms_ssim_std: float
    conventions: tuple[str, ...]


def reconstruct_metrics(
    model: Model,
    table: Table,
    part: str = "test",
    *,
    name: str | None = None,
    batch_size: int = 250,
    reporter: Reporter | None = None,
) -> ReconstructionScores:
    """Return how well a model reconstructs a part of a data set.

    Args:
        model: The model.
        table: Pictures at the model's side, with its channels.
        part: ``train``, ``val`` or ``test``.
        name: What the row is called; the model's preset if None.
        batch_size: Pictures at a time; it does not change the figures.
        reporter: Told of the progress.

    Raises:
        UsageError: If the table's pictures do not have the model's shape, or there is no such
            part.
        DatasetError: If the part is empty.
    """
    rows = check_part(model.header, table, part)
    reporter = reporter or Silent()
    spec = model.header.ssim
    reporter.started("reconstruct", len(rows), "image")
    measured = []
    for some in batches(rows, batch_size):
        images = table.images[some]
        x = torch.from_numpy(images).permute(0, 3, 1, 2).to(model.device).float() / 255
        measured.append(_measure(x, model.reconstruct(images), spec))
        reporter.advanced(len(some), {"rmse": float(measured[-1][0].mean())})
    reporter.finished()
    columns = torch.cat(measured, dim=1).double()  # (4, N)
    means = columns.mean(dim=1).tolist()
    stds = columns.std(dim=1, correction=0).tolist()
    return ReconstructionScores(
        name=name or str(model.header.config.get("preset", "model")),
        dataset=table.name,
        part=part,
        num_images=len(rows),
        rmse_mean=means[0],
        rmse_std=stds[0],
        psnr_db_mean=means[1],
        psnr_db_std=stds[1],
        ssim_mean=means[2],
        ssim_std=stds[2],
        ms_ssim_mean=means[3],
        ms_ssim_std=stds[3],
        conventions=conventions(spec),
    )


def check_part(header: Header, table: Table, part: str) -> Indexes:
    """Return the rows of a part, once it is sure that the model can take them.

    Raises:
        UsageError: If the shapes differ or there is no such part.
        DatasetError: If the part is empty.
    """
    wanted = (header.preprocess.image_size,) * 2 + (header.preprocess.channels,)
    if table.images.shape[1:] != wanted:
        raise UsageError(
            f"the model takes pictures of {wanted}, data set {table.name!r} has "
            f"{table.images.shape[1:]}: load it with the model's image_size."
        )
    if part not in table.splits:
        raise UsageError(f"part {part!r} does not exist: {', '.join(table.splits)}.")
    if not len(table.splits[part]):
        raise DatasetError(f"part {part!r} of data set {table.name!r} has no pictures.")
    return table.splits[part]


@torch.inference_mode()
def _measure(x: Tensor, x_hat: Tensor, spec: SsimSpec) -> Tensor:
    """Return RMSE, PSNR, SSIM and MS-SSIM of pictures in [0, 1], shape (4, N), on the CPU."""
    x_hat = x_hat.to(x)
    single = metrics.ssim(x, x_hat, window=SSIM_WINDOW, sigma=SSIM_SIGMA)
    psnr_db = metrics.psnr_db(x, x_hat).clamp_max(MAX_PSNR_DB)
    columns = [metrics.rmse(x, x_hat), psnr_db, single]
    return torch.stack([*columns, metrics.ms_ssim(x, x_hat, spec)]).cpu()


def conventions(spec: SsimSpec) -> tuple[str, ...]:
    """Return what the figures mean, in lines for under a table."""
    weights = ", ".join(f"{weight:.4f}" for weight in spec.weights)
    return (
        "All on pictures in [0, 1], each picture by itself, then mean and population standard "
        "deviation over pictures; PSNR is not computed from the mean RMSE, and a picture given "
        f"back exactly counts {MAX_PSNR_DB:.0f} dB.",
        f"SSIM: Gaussian window {SSIM_WINDOW}, sigma {SSIM_SIGMA}, valid part, averaged over "
        "channels.",
        f"{spec.name}, sigma {spec.sigma}, weights {weights}: not the published five scales "
        "with window 11, which need 161 px; never to be compared across variants.",
    )
