"""What intensities of a model mean and how far they go: unit, steps and working ranges, joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mddae_cli import editing
from mddae_cli.calibration import calibrate_with_steps
from mddae_cli.data.table import Table
from mddae_cli.editing import Model
from mddae_cli.evaluation.edit_success import edit_success
from mddae_cli.evaluation.judge import load_or_train_judge
from mddae_cli.evaluation.scorecard import check_table
from mddae_cli.evaluation.working_range import working_ranges
from mddae_cli.reporting import Reporter

_PART = "val"


def measure_intensity(
    where: str | Path,
    table: Table,
    *,
    values: Sequence[float],
    max_images: int,
    seed: int = 0,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Model:
    """Return a checkpoint with steps beyond 1, unit and working ranges, from validation images.

    Args:
        where: The checkpoint; it is not changed.
        table: The data set that it was trained on.
        values: The calibrated intensities at which a judge looks.
        max_images: At most so many pictures per attribute.
        seed: Of that choice.
        device: Where to compute.
        reporter: Told of the progress.

    Raises:
        UsageError: If the model has no attributes, or table and model do not belong together.
        DatasetError: If the validation part is empty.
    """
    model = editing.load(where, device)
    rows = check_table(model.header, table, _PART)
    unit = calibrate_with_steps(model, table, _PART, seed=seed, reporter=reporter)
    model = dataclasses.replace(model, header=dataclasses.replace(model.header, calibration=unit))
    judge = load_or_train_judge(table, device=device, reporter=reporter)
    scores = edit_success(
        model,
        judge,
        table.images[rows],
        table.labels[rows],
        values,
        max_images=max_images,
        seed=seed,
        reporter=reporter,
    )
    header = dataclasses.replace(model.header, working_ranges=working_ranges(scores))
    return dataclasses.replace(model, header=header)
