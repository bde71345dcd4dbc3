"""Train the judges that come with the package, and write them where it looks for them.

    python tests/benchmarks/bundle_judge.py --data-dir DIR --judge sharp
    python tests/benchmarks/bundle_judge.py --data-dir DIR --judge soft --seeds 1729 11 12 13

Several seeds make a panel, which says the mean of their logits. Prints the mean accuracy over the
attributes on real test faces, and on the same softened.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from mddae_cli import data
from mddae_cli.config import Sight
from mddae_cli.data.table import Table
from mddae_cli.evaluation import Judge, train_judge
from mddae_cli.evaluation.bundled_judges import write_bundled
from mddae_cli.evaluation.judge import JUDGE_SEED, JudgePanel, label_accuracy
from mddae_cli.evaluation.softness import soften
from mddae_cli.header import WEIGHTS_FOLDER

BLURS = (0.0, 0.5, 1.0, 1.5)  # standard deviations in pixels
BATCH = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="where img_align_celeba is")
    parser.add_argument("--judge", type=Sight, choices=[*Sight], default=Sight.SHARP)
    parser.add_argument("--seeds", type=int, nargs="+", default=[JUDGE_SEED], metavar="SEED")
    parser.add_argument("--to", type=Path, default=WEIGHTS_FOLDER / "judges", help="a folder")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    table = data.load_table("celeba", data_dir=options.data_dir)
    how = {"sight": options.judge, "device": options.device}
    judges = [train_judge(table, seed=seed, **how) for seed in options.seeds]
    judge = judges[0]
    if len(judges) > 1:
        judge = dataclasses.replace(judge, net=JudgePanel(each.net for each in judges))
    options.to.mkdir(parents=True, exist_ok=True)
    print(write_bundled(judge.net, table, options.judge, options.to))
    for blur in BLURS:
        print(f"blurred by {blur} px: {softened_accuracy(judge, table, blur):.4f}")


def softened_accuracy(judge: Judge, table: Table, blur: float) -> float:
    """Return the mean accuracy over attributes on test faces blurred by a Gaussian."""
    rows, logits = table.splits["test"], []
    for start in range(0, len(rows), BATCH):
        pixels = torch.from_numpy(table.images[rows[start : start + BATCH]])
        x = pixels.permute(0, 3, 1, 2).float() / 255
        logits.append(judge.logits(soften(x, torch.full((len(x),), blur))).cpu())
    return label_accuracy(torch.cat(logits), table.labels[rows], table.kind)[0]


if __name__ == "__main__":
    main()
