"""Find the unit of intensity again, by measures that took no part in training.

``mddae calibrate`` asks the model's own encoder how strong an edit looks. Here others are asked,
in the same way: which raw values make validation faces without an attribute look, on average,
like reconstructions of faces without (0) and with it (1). These are the two judges that come with
the package, and a ridge regression on oriented gradients and coarse colours, fitted to
reconstructions of train faces and their labels. Prints how long each one's unit is in units of
the model.

    python tests/benchmarks/unit.py --data-dir DIR --model celeba64

Axes: N pictures, C channels, H, W image side, K attributes, F features.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import torch
from torch import Tensor

from mddae_cli import data, editing, metrics
from mddae_cli.calibration import Eye, calibrate
from mddae_cli.config import Sight
from mddae_cli.data.table import Table
from mddae_cli.editing import Model
from mddae_cli.evaluation.judge import load_or_train_judge
from mddae_cli.evaluation.verifier import face_features
from mddae_cli.images import Pixels
from mddae_cli.runtime import some_rows

RIDGES = (1e3, 1e4, 1e5)
BATCH = 250
NEAR = 0.25


def main() -> None:
    options = _parse()
    model = editing.load(options.model, device="cpu")
    own = model.header.calibration
    if own is None:
        raise SystemExit(f"model {options.model} has no calibration to compare with.")
    table = data.load_table("celeba", data_dir=options.data_dir)
    eyes = {sight.value: _judge(model, table, sight) for sight in Sight}
    measure, auroc = _measure(model, table, options.train)
    eyes["gradients and colours"] = lambda x: measure(face_features(x))
    ratios = {}
    for who, eye in eyes.items():
        unit = calibrate(model, table, eye=eye, max_images=options.images)
        ratios[who] = [unit.step(k) / own.step(k) for k in range(len(model.names))]
    for k, name in enumerate(model.names):
        print(f"{name:20}", *(f"{ratios[who][k]:6.2f}" for who in eyes))
    for who, found in ratios.items():
        near = sum(1 - NEAR <= ratio <= 1 + NEAR for ratio in found)
        figures = {"median_ratio": statistics.median(found), "within_a_quarter": near}
        print(json.dumps({"measure": who} | figures | {"of": len(found)}))
    print(json.dumps({"auroc of gradients and colours": auroc}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="where img_align_celeba is")
    parser.add_argument("--model", default="celeba64")
    parser.add_argument("--train", type=int, default=10_000, help="faces that the measure learns")
    parser.add_argument("--images", type=int, default=100, help="edited faces per attribute")
    return parser.parse_args()


def _judge(model: Model, table: Table, sight: Sight) -> Eye:
    judge = load_or_train_judge(table, sight=sight, device="cpu")
    low, high = model.header.preprocess.value_range
    return lambda x: judge.logits((x - low) / (high - low))


def _measure(model: Model, table: Table, count: int) -> tuple[Measure, float]:
    """Return the regression and its mean AUROC on validation faces."""
    train = some_rows(table.splits["train"], count, 0, "unit/train")
    val = table.splits["val"]
    measure = Measure(_features(model, table.images[train]), table.labels[train])
    has = torch.from_numpy(table.labels[val]) > 0  # (N, K)
    return measure, measure.choose(_features(model, table.images[val]), has)


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
def _features(model: Model, images: Pixels) -> Tensor:
    """Return the features (N, F) of pictures' reconstructions."""
    parts = []
    for start in range(0, len(images), BATCH):
        codes = model.encode(images[start : start + BATCH])
        parts.append(face_features(model.net.decode(codes.y_hat, codes.z)))
    return torch.cat(parts)


if __name__ == "__main__":
    main()
