"""Encoding many pictures once and decoding their codes again and again, a batch at a time.

Axes: N rows, H and W side, C channels, K classes or attributes, D latent size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from mddae_cli.data.table import Indexes
from mddae_cli.editing import Codes, Model
from mddae_cli.evaluation.judge import Judge
from mddae_cli.images import Pixels


def batches(rows: Indexes, batch_size: int) -> Iterator[Indexes]:
    """Yield ``rows`` in slices of at most ``batch_size``."""
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def codes_of(model: Model, images: Pixels, rows: Indexes, batch_size: int = 250) -> Codes:
    """Return the codes of some pictures.

    Args:
        model: The model.
        images: uint8 (N, H, W, C) of the model's own side.
        rows: Which of them, shape (M,), at least one.
        batch_size: Pictures at a time.

    Returns:
        ``y_hat`` (M, K) and ``z`` (M, D).
    """
    parts = [model.encode(images[some]) for some in batches(rows, batch_size)]
    y_hat, z = torch.cat([p.y_hat for p in parts]), torch.cat([p.z for p in parts])
    return dataclasses.replace(parts[0], y_hat=y_hat, z=z)


def take(codes: Codes, rows: Tensor) -> Codes:
    """Return the codes of some rows, in that order."""
    rows = rows.to(codes.z.device)
    return dataclasses.replace(codes, y_hat=codes.y_hat[rows], z=codes.z[rows])


def with_entry(codes: Codes, column: int, value: float) -> Codes:
    """Return codes with an entry of ŷ replaced in every row: the paper's own scale of values."""
    y_hat = codes.y_hat.clone()
    y_hat[:, column] = value
    return dataclasses.replace(codes, y_hat=y_hat)


def judged(model: Model, judge: Judge, codes: Codes, batch_size: int = 250) -> Tensor:
    """Return the judge's logits (N, K) of what the codes decode to, on the CPU."""
    rows = torch.arange(len(codes.z)).split(batch_size)
    return torch.cat([judge.logits(model.decode(take(codes, some))).cpu() for some in rows])
