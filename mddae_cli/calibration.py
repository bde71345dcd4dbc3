"""The unit of intensity: what 0 and 1 of ``--set`` mean in raw ŷ, found on validation pictures.

The same raw value means different strengths in different attributes and models. A calibrated 1
is the strength that an average picture with the attribute has, 0 that of an average one without
it. No judge is needed: the model's own frozen encoder looks at the edited picture again, and with
it the observers of the run. The encoder sees in an edit what the decoder has learnt from it, and
takes it for more than it is; observers overlook fine shapes, and take it for less. Independent
judges are nearer to the mean of both than to either.
Axes: N pictures, C channels, H, W image side, K attributes, V raw values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mddae_cli.config import TargetKind
from mddae_cli.data.table import Table
from mddae_cli.editing import Model
from mddae_cli.errors import DatasetError
from mddae_cli.header import Calibration, Eyes
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.runtime import some_rows

Curve = npt.NDArray[np.float64]
# Returns logits (N, K) of images (N, C, H, W) in the model's range.
Eye = Callable[[Tensor], Tensor]
# Raw values whose effect is measured; strengths between them are interpolated.
RAW_VALUES = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
# An attribute whose 0 and 1 would lie closer together keeps the raw scale: it is not drawn at all.
_SMALLEST_STEP = 0.1
_BATCH = 250


def calibrate(
    model: Model,
    table: Table,
    part: str = "val",
    *,
    observers: Sequence[Eye] = (),
    encoder: bool = True,
    max_images: int = 100,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Calibration:
    """Return the raw ŷ at which edits look like average pictures with and without an attribute.

    Pictures without an attribute are edited to each of :data:`RAW_VALUES` and looked at. The
    mean logit of the attribute, as a function of the value, is compared with the mean logits of
    the reconstructions of pictures with it (1) and without it (0): like with like, for edits are
    as soft as reconstructions. The strength is what the model's own encoder finds or, where there
    are observers, the mean of that and of what they find in the mean.

    Args:
        model: A model of attributes.
        table: The data set that it was trained on.
        part: Where the pictures come from; the test part stays unseen.
        observers: Who looks beside the model's own encoder.
        encoder: Whether that looks at all.
        max_images: At most so many pictures per attribute, drawn by ``seed``.
        seed: Of that choice.
        reporter: Told of the progress.

    Returns:
        For each attribute the raw 0 and 1. One that no picture of the part has, or that the
        model does not draw, keeps the raw scale.

    Raises:
        UsageError: If the model has no attributes.
        DatasetError: If the part is empty.
    """
    model.header.require_targets(TargetKind.ATTRIBUTES)
    rows = table.splits[part]
    if not len(rows):
        raise DatasetError(f"the {part} part is empty: there is nothing to calibrate on.")
    images, labels = table.images[rows], table.labels[rows]
    own = [model.net.activation] if encoder else []
    eyes = [*own, *observers]
    logits = _logits_again(model, images, eyes)  # (E, N, K)
    reporter = reporter or Silent()
    reporter.started("calibration", len(model.names), "attribute")
    zero, one = [], []
    for k, name in enumerate(model.names):
        has = labels[:, k] > 0
        chosen = some_rows(np.flatnonzero(~has), max_images, seed, f"calibration/{name}")
        ends = 0.0, 1.0
        if has.any() and len(chosen):
            curves = _curves(model, images[chosen], k, eyes)
            lines = logits[:, ~has, k].mean(axis=1), logits[:, has, k].mean(axis=1)
            ends = _ends(_strength(curves, *lines, len(own)))
        zero.append(ends[0])
        one.append(ends[1])
        reporter.advanced(1, {"attribute": name})
    reporter.finished()
    return Calibration(tuple(zero), tuple(one), Eyes.OBSERVERS if observers else Eyes.ENCODER)


@torch.inference_mode()
def _logits_again(model: Model, images: Pixels, eyes: Sequence[Eye]) -> Curve:
    """Return what each of E eyes says of the reconstructions of pictures, (E, N, K)."""
    parts = []
    for start in range(0, len(images), _BATCH):
        logits, z = model.net.encode(model.to_input(images[start : start + _BATCH]))
        y_hat = model.net.decoder_target(model.net.soft_target(logits))
        x_hat = model.net.decode(y_hat, z)
        parts.append(torch.stack([eye(x_hat).double().cpu() for eye in eyes]))
    return np.asarray(torch.cat(parts, dim=1).numpy())


@torch.inference_mode()
def _curves(model: Model, images: Pixels, k: int, eyes: Sequence[Eye]) -> Curve:
    """Return each eye's mean logit of attribute ``k`` at each of :data:`RAW_VALUES`, (E, V)."""
    sums = torch.zeros(len(eyes), len(RAW_VALUES), dtype=torch.float64)
    for start in range(0, len(images), _BATCH):
        logits, z = model.net.encode(model.to_input(images[start : start + _BATCH]))
        y_hat = model.net.decoder_target(model.net.soft_target(logits))
        for index, value in enumerate(RAW_VALUES):
            y_hat[:, k] = value
            x_edit = model.net.decode(y_hat, z)
            for which, eye in enumerate(eyes):
                sums[which, index] += eye(x_edit)[:, k].double().sum().cpu()
    return np.asarray((sums / len(images)).numpy())


def _strength(curves: Curve, without: Curve, having: Curve, own: int) -> Curve:
    """Return the strength (V,) from logits (E, V) and those of strength 0 and 1, (E,).

    The first ``own`` have as much weight as all others together. Who does not tell pictures with
    the attribute from those without it is not asked; the strength is 0 where nobody does.
    """
    tells = having > without
    gaps = np.where(tells, having - without, 1.0)
    each = (curves - without[:, None]) / gaps[:, None]  # (E, V)
    groups = [each[part][tells[part]] for part in (slice(own), slice(own, None))]
    means = [group.mean(axis=0) for group in groups if len(group)]
    return np.mean(means, axis=0) if means else np.zeros(curves.shape[1])


def _ends(strength: Curve) -> tuple[float, float]:
    """Return the raw values at which a curve over :data:`RAW_VALUES` reaches 0 and 1."""
    rising = np.maximum.accumulate(strength)
    zero, one = (float(np.interp(level, rising, RAW_VALUES)) for level in (0.0, 1.0))
    return (zero, one) if one - zero >= _SMALLEST_STEP else (0.0, 1.0)
