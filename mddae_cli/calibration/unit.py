"""The unit of intensity: what 0 and 1 of ``--set`` mean in raw ŷ, found on validation pictures.

The same raw value means different strengths in different attributes and models. A calibrated 1
is the strength that an average picture with the attribute has, 0 that of an average one without
it. No judge is needed: the model's own frozen encoder looks at the edited picture again. By its
logit of the attribute alone it would be content too early: it knows what the decoder has learnt
to show it, and a face that looks old usually has grey hair, too. So a regression reads the
attribute from all logits together; independent judges find nearly the same unit.
Axes: N pictures, C channels, H, W image side, K attributes, V raw values.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from mddae_cli.calibration.readout import BATCH, Eye, Readout, scores_of
from mddae_cli.config import TargetKind
from mddae_cli.data.table import Table
from mddae_cli.editing import Model
from mddae_cli.errors import DatasetError
from mddae_cli.header import Calibration
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.runtime import some_rows

Curve = npt.NDArray[np.float64]
# Raw values whose effect is measured; strengths between them are interpolated.
RAW_VALUES = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
# An attribute whose 0 and 1 would lie closer together keeps the raw scale: it is not drawn at all.
_SMALLEST_STEP = 0.1


def calibrate(
    model: Model,
    table: Table,
    part: str = "val",
    *,
    eye: Eye | None = None,
    max_images: int = 100,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Calibration:
    """Return the raw ŷ at which edits look like average pictures with and without an attribute.

    Pictures without an attribute are edited to each of :data:`RAW_VALUES` and looked at. Their
    mean score, as a function of the value, is compared with the mean scores of the
    reconstructions of pictures with the attribute (1) and without it (0): like with like, for
    edits are as soft as reconstructions.

    Args:
        model: A model of attributes.
        table: The data set that it was trained on.
        part: Where the pictures come from; the test part stays unseen.
        eye: Who looks; by default a regression on the logits of the model's own encoder.
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
    eye = eye or Readout(model, table, part, seed)
    scores = scores_of(model, images, eye)  # (N, K)
    reporter = reporter or Silent()
    reporter.started("calibration", len(model.names), "attribute")
    zero, one = [], []
    for k, name in enumerate(model.names):
        has = labels[:, k] > 0
        chosen = some_rows(np.flatnonzero(~has), max_images, seed, f"calibration/{name}")
        ends = 0.0, 1.0
        if has.any() and len(chosen):
            curve = _curve(model, images[chosen], k, eye)
            ends = _ends(curve, float(scores[~has, k].mean()), float(scores[has, k].mean()))
        zero.append(ends[0])
        one.append(ends[1])
        reporter.advanced(1, {"attribute": name})
    reporter.finished()
    return Calibration(tuple(zero), tuple(one))


@torch.inference_mode()
def _curve(model: Model, images: Pixels, k: int, eye: Eye) -> Curve:
    """Return the mean score of attribute ``k`` at each of :data:`RAW_VALUES`, (V,)."""
    sums = torch.zeros(len(RAW_VALUES), dtype=torch.float64)
    for start in range(0, len(images), BATCH):
        logits, z = model.net.encode(model.to_input(images[start : start + BATCH]))
        y_hat = model.net.decoder_target(model.net.soft_target(logits))
        for index, value in enumerate(RAW_VALUES):
            y_hat[:, k] = value
            sums[index] += eye(model.net.decode(y_hat, z))[:, k].double().sum().cpu()
    return np.asarray((sums / len(images)).numpy())


def _ends(curve: Curve, without: float, having: float) -> tuple[float, float]:
    """Return the raw values at which a curve reaches the scores of strength 0 and 1.

    Who does not tell pictures with the attribute from those without it leaves the raw scale.
    """
    if having <= without:
        return 0.0, 1.0
    rising = np.maximum.accumulate(curve)
    zero, one = (float(np.interp(level, rising, RAW_VALUES)) for level in (without, having))
    return (zero, one) if one - zero >= _SMALLEST_STEP else (0.0, 1.0)
