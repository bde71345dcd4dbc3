"""Draw how strong ten edits look over raw ŷ and over calibrated values, before and after.

Strength is that of a judge which took no part in finding the unit: its mean logit of validation
faces without the attribute that are edited to a value, on the line from reconstructions of faces
without the attribute (0) to those with it (1). Prints at which value each is as strong as 1.

    python tests/benchmarks/unit_curves.py --data-dir DIR --model celeba64 -o unit.png

Axes: N pictures, K attributes, V values.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mddae_cli import data, editing
from mddae_cli.config import Sight
from mddae_cli.data.table import Table
from mddae_cli.editing import Model
from mddae_cli.evaluation.judge import Judge, load_or_train_judge
from mddae_cli.runtime import some_rows

NAMES = (
    "Smiling",
    "Male",
    "High_Cheekbones",
    "Mouth_Slightly_Open",
    "Black_Hair",
    "Wearing_Hat",
    "Bangs",
    "Eyeglasses",
    "Bushy_Eyebrows",
    "Wearing_Lipstick",
)
VALUES = np.arange(0, 4.01, 0.25)
BATCH = 250


def main() -> None:
    options = _parse()
    calibrated = editing.load(options.model, device="cpu")
    raw = dataclasses.replace(calibrated, raw=True)
    table = data.load_table("celeba", data_dir=options.data_dir)
    judge = load_or_train_judge(table, sight=Sight(options.judge), device="cpu")
    logits = _reconstructed(raw, judge, table)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    reached = {}
    for panel, model, what in zip(panels, (raw, calibrated), ("raw ŷ", "calibrated"), strict=True):
        for name in NAMES:
            curve = _strengths(model, judge, table, logits, name, options.images)
            panel.plot(VALUES, curve, label=name, linewidth=1.2)
            reached[what, name] = np.interp(1, np.maximum.accumulate(curve), VALUES)
        panel.axhline(1, color="black", linestyle=":", linewidth=0.8)
        panel.axvline(1, color="black", linestyle=":", linewidth=0.8)
        panel.set_xlabel(f"value, {what}")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"strength to the {options.judge} judge")
    panels[0].set_ylim(-0.3, 3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    figure.savefig(options.output, dpi=110)
    for name in NAMES:
        print(
            f"{name:20}", *(f"{what} {reached[what, name]:.2f}" for what in ("raw ŷ", "calibrated"))
        )
    for what in ("raw ŷ", "calibrated"):
        each = np.log([reached[what, name] for name in NAMES])
        print(f"{what}: a factor of {np.exp(each.max() - each.min()):.2f} between them")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="where img_align_celeba is")
    parser.add_argument("--model", default="celeba64")
    parser.add_argument("--judge", choices=[*Sight], default=Sight.SOFT)
    parser.add_argument("--images", type=int, default=100, help="edited faces per attribute")
    parser.add_argument("-o", "--output", type=Path, default=Path("unit.png"))
    return parser.parse_args()


@torch.inference_mode()
def _reconstructed(model: Model, judge: Judge, table: Table) -> Tensor:
    """Return what the judge says of reconstructed validation faces, (N, K)."""
    images = table.images[table.splits["val"]]
    parts = []
    for start in range(0, len(images), BATCH):
        codes = model.encode(images[start : start + BATCH])
        parts.append(judge.logits(model.decode(codes)))
    return torch.cat(parts)


@torch.inference_mode()
def _strengths(
    model: Model, judge: Judge, table: Table, logits: Tensor, name: str, count: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the mean strength of an attribute at each of VALUES, (V,)."""
    rows, k = table.splits["val"], table.names.index(name)
    has = table.labels[rows][:, k] > 0
    low, high = (float(logits[torch.from_numpy(mask), k].mean()) for mask in (~has, has))
    chosen = rows[some_rows(np.flatnonzero(~has), count, 0, f"calibration/{name}")]
    codes = model.encode(table.images[chosen])
    edits = (model.decode(codes.set({name: float(value)})) for value in VALUES)
    means = [float(judge.logits(edit)[:, k].mean()) for edit in edits]
    return (np.array(means) - low) / (high - low)


if __name__ == "__main__":
    main()
