"""How far the judge can be trusted, attribute by attribute, and where it is not asked.

Axes: N pictures, K attributes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mddae_cli.config import TargetKind
from mddae_cli.evaluation.judge import Judge, label_accuracy
from mddae_cli.images import Pixels

# Half-way between a coin (0.5) and the 0.7 that attributes with much disagreement between people
# reach: a judge below tells hardly more than the coin.
JUDGE_FLOOR = 0.6


@dataclass(frozen=True)
class Trust:
    """A judge's own figures, K of each.

    Attributes:
        names: The attributes.
        accuracies: Share of real test pictures whose label it gives back.
        balanced: Mean of sensitivity and specificity on real pictures; None where they do not
            have both labels. An attribute that is rare gives everybody a high accuracy, so this
            one decides.
        reconstructed: Share of plain reconstructions whose label it gives back.
        floor: An attribute with a lower balanced accuracy is not left to the judge.
    """

    names: tuple[str, ...]
    accuracies: tuple[float, ...]
    balanced: tuple[float | None, ...]
    reconstructed: tuple[float, ...]
    floor: float

    @property
    def trusted(self) -> Tensor:
        """Which attributes the judge is asked for, bool (K,)."""
        return torch.tensor([(share or 0.0) >= self.floor for share in self.balanced])

    @property
    def refused(self) -> dict[str, float | None]:
        """The attributes for which it is not, with its balanced accuracy."""
        rows = zip(self.names, self.balanced, self.trusted.tolist(), strict=True)
        return {name: share for name, share, trusted in rows if not trusted}


def trust_in(
    judge: Judge,
    real: tuple[Tensor, Pixels],
    plain: tuple[Tensor, Pixels],
    floor: float = JUDGE_FLOOR,
) -> Trust:
    """Return how far a judge of attributes can be trusted.

    What it cannot tell: the judge has learnt the same noisy labels that it is held against,
    and takes the same short cuts on edited pictures as on real ones.

    Args:
        judge: The judge.
        real: Its logits of real pictures, (N, K), and their labels, 0 or 1.
        plain: The same of plain reconstructions.
        floor: The balanced accuracy that it must reach.
    """
    y, seen = torch.tensor(real[1]).double(), (real[0] > 0).double()
    sensitivity = (seen * y).sum(dim=0) / y.sum(dim=0)
    specificity = ((1 - seen) * (1 - y)).sum(dim=0) / (1 - y).sum(dim=0)
    balanced = ((sensitivity + specificity) / 2).tolist()
    return Trust(
        names=judge.names,
        accuracies=judge.accuracies,
        balanced=tuple(None if math.isnan(share) else share for share in balanced),
        reconstructed=label_accuracy(*plain, TargetKind.ATTRIBUTES)[1],
        floor=floor,
    )
