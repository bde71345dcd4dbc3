"""Steps of the latent beyond 1, found on training pictures, and the unit with them.

Beyond what pictures have, more of ŷ shows less and less: at 1.7 of the unit an edit is 1.1 to 1.7
times as strong as at 1. So from a ŷ of 1 on the latent goes along, in the direction in which
edited pictures look more like the attribute, by the regression that finds the unit.
Axes: N pictures, K attributes, D latent size, R directions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mddae_cli.calibration.readout import BATCH, Readout, ridge_regression
from mddae_cli.calibration.unit import calibrate
from mddae_cli.data.table import Table
from mddae_cli.editing import Model
from mddae_cli.header import Calibration
from mddae_cli.model import QuadraticErasure, ridged
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.runtime import some_rows

# The strength at which a step is found, and whole: so many of the unit without it.
_WHOLE_AT = 2.5
# Of a whole step, in standard deviations of the latent.
_LENGTH = 6.0
# Pictures without an attribute that its step is found on, and for each number to be found at least.
_MOST, _LEAST_EACH = 1500, 3
# Of the regression, in parts of the variance; of the readings of others, of their mean square.
_RIDGE, _OTHERS_RIDGE = 0.1, 0.05
# What hardly depends on the latent at all has slopes below, and need not be held.
_NOISE = 1e-3
# A step whose reading rises by less of what the regression says is not taken: along the latents of
# pictures something else goes with the attribute then.
_KEPT = 0.5
# How wide the border of a picture is whose colour stays, in parts of its side.
_BORDER = 0.1


def calibrate_with_steps(
    model: Model,
    table: Table,
    part: str = "val",
    *,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Calibration:
    """Return the unit of a model that takes steps beyond 1, and give its network these steps.

    Where there is no erasure that was fitted, or too few pictures, it is the unit alone.

    Args:
        model: A model of attributes; the steps of its network are replaced.
        table: The data set that it was trained on.
        part: Where the unit is found; steps are found on the train part.
        seed: Of the choice of pictures.
        reporter: Told of the progress.

    Raises:
        UsageError: If the model has no attributes.
        DatasetError: If the part is empty.
    """
    erasure = model.net.erasure
    if erasure is not None:
        erasure.steps.clear()
    unit = calibrate(model, table, part, seed=seed, reporter=reporter)
    if erasure is None or not erasure.fitted:
        return unit
    _find_steps(model, erasure, table, part, unit, seed, reporter or Silent())
    return calibrate(model, table, part, seed=seed, reporter=reporter)


@torch.inference_mode()
def _find_steps(
    model: Model,
    erasure: QuadraticErasure,
    table: Table,
    part: str,
    unit: Calibration,
    seed: int,
    reporter: Reporter,
) -> None:
    """Give every attribute its step that has pictures enough."""
    readout = Readout(model, table, part, seed)
    rows = some_rows(table.splits["train"], 2 * _MOST, seed, "steps")
    starts = range(0, len(rows), BATCH)
    codes = [model.encode(table.images[rows[start : start + BATCH]]) for start in starts]
    y_hat, z = torch.cat([c.y_hat for c in codes]), torch.cat([c.z for c in codes])
    spread = y_hat.std(dim=0).clamp_min(1e-6)
    reporter.started("steps", len(model.names), "attribute")
    for k, name in enumerate(model.names):
        lacking = torch.from_numpy(table.labels[rows, k] == 0).nonzero()[:_MOST, 0]
        raw = unit.to_raw(k, _WHOLE_AT)
        if raw > 1 and len(lacking) >= _LEAST_EACH * (z.shape[1] + len(model.names)):
            edited, latents = y_hat[lacking], z[lacking]
            edited[:, k] = raw
            pictures = _drawn(model, edited, latents)
            readings = _read(readout, pictures)
            colours = torch.cat([_colours(x) for x in pictures])
            others = (edited / spread).index_fill(1, torch.tensor(k, device=z.device), 0)
            features = torch.cat([erasure.whitened(latents), others], dim=1).cpu().double()
            slopes = _slopes(features, readings)[: z.shape[1]]
            tints = _slopes(features, colours)[: z.shape[1]]
            held = torch.cat([erasure.steady(k).cpu().double(), tints], dim=1)
            step = _LENGTH * _direction(slopes, k, held)
            erasure.steps.put(k, step, raw)
            risen = (_read(readout, _drawn(model, edited, latents)) - readings)[:, k].mean()
            if risen < _KEPT * (step @ slopes[:, k]) * readings[:, k].std():
                erasure.steps.put(k, torch.zeros_like(step), raw)
        reporter.advanced(1, {"attribute": name})
    reporter.finished()


def _drawn(model: Model, y_hat: Tensor, z: Tensor) -> list[Tensor]:
    """Return what ŷ (N, K) and z (N, D) decode to, (N, C, H, W), in batches."""
    pairs = zip(y_hat.split(BATCH), z.split(BATCH), strict=True)
    return [model.net.decode(*pair) for pair in pairs]


def _read(readout: Readout, pictures: list[Tensor]) -> Tensor:
    """Return the readings (N, K) of pictures in batches."""
    return torch.cat([readout(x) for x in pictures])


def _colours(x: Tensor) -> Tensor:
    """Return the mean colour of pictures (N, C, H, W) and that of their border, (N, 2 C)."""
    edge = torch.ones_like(x[:1, :1])
    rim = round(_BORDER * x.shape[2])
    edge[:, :, rim:-rim, rim:-rim] = 0
    border = (x * edge).sum(dim=(2, 3)) / edge.sum()
    return torch.cat([x.mean(dim=(2, 3)), border], dim=1).cpu().double()


def _slopes(features: Tensor, readings: Tensor) -> Tensor:
    """Return the ridge regression (F, M) of standardised readings (N, M) on features (N, F)."""
    x = features - features.mean(dim=0)
    y = (readings - readings.mean(dim=0)) / readings.std(dim=0).clamp_min(1e-6)
    return ridge_regression(x, y, _RIDGE)


def _direction(slopes: Tensor, k: int, held: Tensor) -> Tensor:
    """Return the direction (D,) of a step, of length 1; zero where nothing is left to move.

    Half-way between the direction in which the reading of ``k`` rises most and what that has
    beside the directions of all others, so that little else is read.

    Args:
        slopes: How readings rise with the latent, (D, K).
        k: The attribute.
        held: Directions along which nothing moves, (D, H): those in which pictures with the
            attribute differ less than those without, and those that tint.
    """
    most = F.normalize(slopes[:, k], dim=0)
    others = slopes[:, torch.arange(slopes.shape[1]) != k]
    squares = ridged(others.T @ others, _OTHERS_RIDGE)
    alone = most - others @ torch.linalg.solve(squares, others.T @ most)
    basis, weights, _ = torch.linalg.svd(held, full_matrices=False)
    basis = basis[:, weights > _NOISE]
    direction = most + F.normalize(alone, dim=0)
    return F.normalize(direction - basis @ (basis.T @ direction), dim=0)
