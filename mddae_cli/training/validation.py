"""What is measured after each epoch, on the validation part.

Axes: N images, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mddae_cli import metrics
from mddae_cli.config import ModelKind, TargetKind
from mddae_cli.data.table import Table
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder
from mddae_cli.training.batches import to_model_range, to_unit_range

_BATCH = 250
_MAX_IMAGES = 2000
_MAX_PROBE = 4000
_MAX_DCOR = 1000


class Encoded(NamedTuple):
    """The codes of many images: ``logits`` (N, K), ``y_hat`` (N, K), ``z`` (N, D)."""

    logits: Tensor
    y_hat: Tensor
    z: Tensor


@torch.no_grad()
def encode_rows(net: AutoEncoder, table: Table, rows: np.ndarray, device: torch.device) -> Encoded:
    """Return the codes of some rows of a table, computed in batches with ``net`` as it is."""
    logits, z = [], []
    for start in range(0, len(rows), _BATCH):
        pixels = table.images[rows[start : start + _BATCH]]
        codes = net.encode(to_model_range(pixels, table.preprocess.value_range, device))
        logits.append(codes.logits)
        z.append(codes.z)
    joined = torch.cat(logits)
    return Encoded(joined, net.soft_target(joined), torch.cat(z))


def y_accuracy(logits: Tensor, y: Tensor, kind: TargetKind) -> float:
    """Return the accuracy of ŷ: of the largest class, or averaged over attributes.

    Args:
        logits: Activation, shape (N, K).
        y: Labels, shape (N, K), 0 or 1.
        kind: Classes or attributes.
    """
    if kind is TargetKind.CLASSES:
        return float((logits.argmax(dim=1) == y.argmax(dim=1)).double().mean())
    return float(((logits > 0) == (y > 0)).double().mean())


def linear_leak(z: Tensor, y: Tensor, z_held_out: Tensor, y_held_out: Tensor) -> float:
    """Return the mean AUROC of a ridge regression from z to each label on held-out codes.

    A quick look during training; ``evaluation.probes`` measures with stronger ones.

    Args:
        z: Latents to fit on, shape (N, D).
        y: Their labels, shape (N, K).
        z_held_out: Latents to score, shape (M, D).
        y_held_out: Their labels, shape (M, K).

    Returns:
        Mean over the labels that have both values; 0.5 is chance.
    """
    mean, std = z.mean(dim=0), z.std(dim=0).clamp_min(1e-6)
    inputs = torch.nn.functional.pad((z - mean) / std, (0, 1), value=1.0).double()
    held_out = torch.nn.functional.pad((z_held_out - mean) / std, (0, 1), value=1.0).double()
    ridge = 1e-3 * len(z) * torch.eye(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    weights = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ y.double())
    return float(metrics.auroc(held_out @ weights, y_held_out).nanmean())


class Validator:
    """Measures a model on the validation part.

    Args:
        table: The data set.
        header: The model's description.
        device: Where the model is.
    """

    def __init__(self, table: Table, header: Header, device: torch.device) -> None:
        self.table, self.header, self.device = table, header, device
        self.rows = table.splits["val"][:_MAX_IMAGES]
        self.probe_rows = table.splits["train"][:_MAX_PROBE]

    def labels(self, rows: np.ndarray) -> Tensor:
        """Return the labels of some rows, shape (N, K), float32."""
        return torch.from_numpy(np.asarray(self.table.labels[rows])).to(self.device).float()

    @torch.no_grad()
    def measure(self, net: AutoEncoder) -> dict[str, float]:
        """Return the figures of a model.

        Returns:
            ``val_rmse``, ``val_psnr_db``, ``val_ms_ssim``, ``y_accuracy``, ``dcor2`` (of ŷ and z,
            bias-corrected), ``z_std``, ``leak_auroc``.
        """
        was_training = net.training
        net.eval()
        codes = encode_rows(net, self.table, self.rows, self.device)
        figures = self._reconstruction(net, codes)
        figures["z_std"] = float(codes.z.std(dim=0).mean())
        if self.header.model.kind is not ModelKind.AE:
            y = self.labels(self.rows)
            figures["y_accuracy"] = y_accuracy(codes.logits, y, self.header.model.target_kind)
            some = slice(_MAX_DCOR)
            dcor2 = metrics.distance_correlation2_u(codes.y_hat[some], codes.z[some])
            figures["dcor2"] = float(dcor2)
        figures["leak_auroc"] = self._leak(net, codes.z)
        net.train(was_training)
        return figures

    @torch.no_grad()
    def measure_target(self, net: AutoEncoder) -> dict[str, float]:
        """Return ``y_accuracy`` alone, for the epochs in which only ŷ is learnt."""
        was_training = net.training
        net.eval()
        logits = encode_rows(net, self.table, self.rows, self.device).logits
        net.train(was_training)
        kind = self.header.model.target_kind
        return {"y_accuracy": y_accuracy(logits, self.labels(self.rows), kind)}

    def _reconstruction(self, net: AutoEncoder, codes: Encoded) -> dict[str, float]:
        value_range = self.table.preprocess.value_range
        rows: dict[str, list[Tensor]] = {"val_rmse": [], "val_psnr_db": [], "val_ms_ssim": []}
        for start in range(0, len(self.rows), _BATCH):
            part = slice(start, start + _BATCH)
            pixels = self.table.images[self.rows[part]]
            x = to_unit_range(to_model_range(pixels, value_range, self.device), value_range)
            x_hat = net.decode(net.decoder_target(codes.y_hat[part]), codes.z[part])
            x_hat = to_unit_range(x_hat, value_range)
            rows["val_rmse"].append(metrics.rmse(x, x_hat))
            rows["val_psnr_db"].append(metrics.psnr_db(x, x_hat))
            rows["val_ms_ssim"].append(metrics.ms_ssim(x, x_hat, self.header.ssim))
        return {key: float(torch.cat(values).mean()) for key, values in rows.items()}

    def _leak(self, net: AutoEncoder, z: Tensor) -> float:
        fit = encode_rows(net, self.table, self.probe_rows, self.device)
        return linear_leak(fit.z, self.labels(self.probe_rows), z, self.labels(self.rows))
