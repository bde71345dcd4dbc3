"""Find the unit of intensity a second time, by a measure that knows neither encoder nor judge.

``mddae calibrate`` asks the model's own encoder how strong an edit looks. Here a ridge regression
on oriented gradients and coarse colours, fitted to reconstructions of train faces and their
labels, is asked instead, in the same way: which raw values make validation faces without an
attribute look, on average, like reconstructions of faces without (0) and with it (1). Prints
both units and how far they lie apart.

    python tests/benchmarks/unit.py --data-dir DIR --model celeba64

Axes: N pictures, K attributes, F features, V raw values.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mddae_cli import data, editing, metrics
from mddae_cli.calibration import RAW_VALUES
from mddae_cli.editing import Model
from mddae_cli.evaluation.verifier import face_features
from mddae_cli.images import Pixels
from mddae_cli.runtime import some_rows

RIDGES = (1e3, 1e4, 1e5)
BATCH = 250
NEAR = 0.25


def main() -> None:
    options = _parse()
    model = editing.load(options.model, device="cpu")
    table = data.load_table("celeba", data_dir=options.data_dir)
    train = some_rows(table.splits["train"], options.train, 0, "unit/train")
    val = table.splits["val"]
    measure = Measure(_features(model, *_codes(model, table.images[train])), table.labels[train])
    y_hat, z = _codes(model, table.images[val])
    labels = torch.from_numpy(table.labels[val]) > 0  # (N, K)
    auroc = measure.choose(_features(model, y_hat, z), labels)
    scores = measure(_features(model, y_hat, z))  # (N, K)
    own = model.header.calibration
    if own is None:
        raise SystemExit(f"model {options.model} has no calibration to compare with.")
    ratios = {}
    for k, name in enumerate(model.names):
        has = labels[:, k]
        without = np.flatnonzero(~has.numpy())
        some = torch.from_numpy(some_rows(without, options.images, 0, f"calibration/{name}"))
        curve = [
            float(measure(_features(model, _with(y_hat[some], k, value), z[some]))[:, k].mean())
            for value in RAW_VALUES
        ]
        ends = (float(scores[mask, k].mean()) for mask in (~has, has))
        rising = np.maximum.accumulate(curve)
        zero, one = (float(np.interp(end, rising, RAW_VALUES)) for end in ends)
        ratios[name] = (one - zero) / (own.one[k] - own.zero[k])
        print(f"{name}: {own.zero[k]:.2f} to {own.one[k]:.2f}, here {zero:.2f} to {one:.2f}")
    near = sum(1 - NEAR <= ratio <= 1 + NEAR for ratio in ratios.values())
    figures = {"auroc": auroc, "median_ratio": statistics.median(ratios.values())}
    print(json.dumps(figures | {"within_a_quarter": near, "of": len(ratios)}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="where img_align_celeba is")
    parser.add_argument("--model", default="celeba64")
    parser.add_argument("--train", type=int, default=10_000, help="faces that the measure learns")
    parser.add_argument("--images", type=int, default=100, help="edited faces per attribute")
    return parser.parse_args()


class Measure:
    """A ridge regression from features (N, F) to labels (N, K)."""

    def __init__(self, features: Tensor, labels: Pixels) -> None:
        self.mean = features.mean(dim=0)
        self.scale = features.std(dim=0).clamp_min(1e-6)
        x = self._standard(features)
        y = torch.from_numpy(labels).double()
        self.squares, self.products = x.T @ x, x.T @ (y - y.mean(dim=0))
        self.weights = torch.zeros_like(self.products)

    def choose(self, features: Tensor, labels: Tensor) -> float:
        """Take the ridge that tells ``labels`` best; return its mean AUROC."""
        found = []
        for ridge in RIDGES:
            self.weights = self._solved(ridge)
            found.append((float(metrics.auroc(self(features), labels.double()).mean()), ridge))
        best, ridge = max(found)
        self.weights = self._solved(ridge)
        return best

    def _solved(self, ridge: float) -> Tensor:
        weight = ridge * torch.eye(len(self.squares), dtype=torch.double)
        return torch.linalg.solve(self.squares + weight, self.products)

    def __call__(self, features: Tensor) -> Tensor:
        """Return scores (N, K)."""
        return self._standard(features) @ self.weights

    def _standard(self, features: Tensor) -> Tensor:
        return ((features - self.mean) / self.scale).double()


@torch.inference_mode()
def _codes(model: Model, images: Pixels) -> tuple[Tensor, Tensor]:
    """Return what the decoder is given of pictures: ŷ (N, K) and z (N, D)."""
    codes = [model.encode(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return torch.cat([c.y_hat for c in codes]), torch.cat([c.z for c in codes])


def _with(y_hat: Tensor, k: int, value: float) -> Tensor:
    changed = y_hat.clone()
    changed[:, k] = value
    return changed


@torch.inference_mode()
def _features(model: Model, y_hat: Tensor, z: Tensor) -> Tensor:
    """Return the features (N, F) of decoded codes."""
    starts = range(0, len(z), BATCH)
    return torch.cat(
        [face_features(model.net.decode(y_hat[i : i + BATCH], z[i : i + BATCH])) for i in starts]
    )


if __name__ == "__main__":
    main()
