"""The latents that probes learn from and are measured on.

Axes: N pictures of the part, M of the train part, K classes or attributes, D latent size, H and W
side, C channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mddae_cli.data.table import Indexes
from mddae_cli.editing import Codes
from mddae_cli.evaluation.codes import codes_of, load_or_encode
from mddae_cli.evaluation.subject import Subject
from mddae_cli.model import QuadraticErasure
from mddae_cli.runtime import generator


class Readable(NamedTuple):
    """``z`` (M, D) and ``labels`` (M, K) to learn from, and ``z_new`` (N, D) of the part.

    ``refitted``: whether z is that of an erasure which was fitted for this purpose.
    """

    z: Tensor
    labels: Tensor
    z_new: Tensor
    refitted: bool


def readable(subject: Subject, rows: Indexes) -> Readable:
    """Return what probes learn from and are measured on.

    From the pictures that a quadratic erasure was fitted to it has taken more than from others:
    probes that learnt from them would hardly find anything. So it is fitted again, to one half of
    them (and its mirror images, where the model has learnt from those), and probes learn from the
    other half (and its mirror images: as many rows as before).

    Args:
        subject: The model and the pictures that are measured.
        rows: Of the table, from which to learn, (M,).
    """
    model, table = subject.model, subject.table
    codes = load_or_encode(model, table, rows, subject.batch_size, subject.reporter)
    labels = torch.from_numpy(table.labels[rows])
    erasure = model.net.erasure if model.header.model.erase_directions else None
    if erasure is None or not erasure.fitted:
        return Readable(codes.z, labels, subject.codes.z, False)
    parts = [codes]
    if model.header.config.get("flip"):
        parts.append(codes_of(model, table.images[:, :, ::-1], rows, subject.batch_size))
    order = torch.randperm(len(rows), generator=generator(subject.seed, "probe/erasure"))
    fitted, unseen = order.tensor_split(2)
    other = QuadraticErasure(model.header.model).to(model.device)
    features = [(_features(subject, part), part.y_hat) for part in parts]
    other.fit(
        torch.cat([h[fitted] for h, _ in features]),
        torch.cat([y_hat[fitted] for _, y_hat in features]),
        torch.arange(len(fitted)).repeat(len(parts)),
    )
    z = torch.cat([other(h[unseen], y_hat[unseen]) for h, y_hat in features])
    new = subject.codes
    z_new = other(_features(subject, new), new.y_hat)
    return Readable(z, labels[unseen].repeat(len(parts), 1), z_new, True)


def _features(subject: Subject, codes: Codes) -> Tensor:
    """Return what the decoder is given of codes, (N, D)."""
    with torch.no_grad():
        return subject.model.net.to_features(codes.y_hat, codes.z)
