"""Encoding many pictures once and decoding their codes again and again, a batch at a time.

Axes: N rows, H and W side, C channels, K classes or attributes, D latent size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from mddae_cli.data.table import Indexes, Table
from mddae_cli.editing import Codes, Model
from mddae_cli.evaluation.content import (
    keep,
    kept,
    kept_path,
    model_digest,
    rows_digest,
    table_digest,
)
from mddae_cli.evaluation.judge import Judge
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter

CODES_VERSION = 1


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


def load_or_encode(
    model: Model, table: Table, rows: Indexes, batch_size: int, reporter: Reporter
) -> Codes:
    """Return the codes of rows of a table, encoded once and kept in the cache.

    Found by content: weights and header of the model, pictures, rows and kind of device. A model
    without weights has none to be found by and encodes each time.

    Args:
        model: The model.
        table: Pictures of the model's side.
        rows: Which of them, shape (M,), at least one.
        batch_size: Pictures at a time.
        reporter: Told of the encoding.
    """
    path = codes_path(model, table, rows)
    entry = kept(path) if path is not None else None
    if entry is not None:
        some = model.encode(table.images[rows[:1]])
        y_hat, z = (entry[0][name].to(model.device) for name in ("y_hat", "z"))
        return dataclasses.replace(some, y_hat=y_hat, z=z)
    codes = codes_of(model, table.images, rows, batch_size)
    if path is not None:
        keep(path, {"y_hat": codes.y_hat, "z": codes.z}, reporter)
    return codes


def codes_path(model: Model, table: Table, rows: Indexes, *about: object) -> Path | None:
    """Return where the cache keeps what was made of a model's codes of some rows.

    Args:
        model: The model.
        table: Its pictures.
        rows: Which of them.
        about: What else decides the result; without it, the codes themselves.
    """
    weights = model_digest(model)
    if weights is None:
        return None
    known = CODES_VERSION, weights, rows_digest(table, rows), table.names, model.device.type
    folder = "figures" if about else "codes"
    return kept_path(folder, table, table_digest(table, *known, *about))


def take(codes: Codes, rows: Tensor) -> Codes:
    """Return the codes of some rows, in that order."""
    rows = rows.to(codes.z.device)
    return dataclasses.replace(codes, y_hat=codes.y_hat[rows], z=codes.z[rows])


def judged(model: Model, judge: Judge, codes: Codes, batch_size: int = 250) -> Tensor:
    """Return the judge's logits (N, K) of what the codes decode to, on the CPU."""
    rows = torch.arange(len(codes.z)).split(batch_size)
    return torch.cat([judge.logits(model.decode(take(codes, some))).cpu() for some in rows])
