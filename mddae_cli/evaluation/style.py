"""Style of digits: does a swapped digit keep slant, thickness and width of the handwriting?

Axes: N pictures, K classes, S = 3 measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mddae_cli.evaluation.swaps import Swaps

MEASURES = ("slant", "thickness", "width")
_FEWEST = 3


@dataclass(frozen=True)
class StyleScores:
    """How far each measure after the swap follows the same measure before.

    Attributes:
        measures: ``slant``, ``thickness`` and ``width``.
        swapped: Pearson's correlation between the real picture and its swaps, within pairs of
            own and wanted class (classes differ by themselves), mean over pairs weighted by
            their pictures. None where no pair has three pictures that differ.
        reconstructed: The same between real pictures and plain reconstructions, within classes:
            what a perfect swap could reach.
    """

    measures: tuple[str, ...]
    swapped: tuple[float | None, ...]
    reconstructed: tuple[float | None, ...]


def style_of(images: Tensor) -> Tensor:
    """Return slant, thickness and width of bright strokes on a dark ground, (N, 3).

    Slant is the shear: how many pixels to the left the ink moves per pixel downwards. Thickness is
    twice the ink divided by the length of its outline (total variation), in pixels; width that
    of an upright box of ink as wide as the strokes once their slant is taken out, in pixels.

    Args:
        images: Shape (N, C, H, W) in [0, 1]. A picture without ink gives zeros.
    """
    ink = images.double().mean(dim=1).cpu()  # (N, H, W)
    area = ink.sum(dim=(1, 2)).clamp_min(1e-9)
    y = torch.arange(ink.shape[1], dtype=torch.float64)[None, :, None]
    x = torch.arange(ink.shape[2], dtype=torch.float64)[None, None, :]

    def mean(of: Tensor) -> Tensor:
        return ((ink * of).sum(dim=(1, 2)) / area)[:, None, None]

    dx, dy = x - mean(x), y - mean(y)
    shear = mean(dx * dy) / mean(dy.square()).clamp_min(1e-9)
    upright = mean((dx - shear * dy).square())
    across = torch.nn.functional.pad(ink, (1, 1, 1, 1))
    steps = across.diff(dim=1)[:, :, 1:-1].square(), across.diff(dim=2)[:, 1:-1].square()
    outline = (steps[0][:, 1:] + steps[1][:, :, 1:]).sqrt().sum(dim=(1, 2)).clamp_min(1e-9)
    thickness, width = 2 * area / outline, (12 * upright).sqrt().flatten()
    inked = (area > 1e-6).double()
    return torch.stack([-shear.flatten(), thickness, width], dim=1) * inked[:, None]


def style_scores(swaps: Swaps, real: Tensor, y: Tensor) -> StyleScores:
    """Return how far swaps keep the style.

    What it cannot tell: three numbers are not a handwriting, and correlations do not see that all
    swaps are thicker by the same amount. A model that ignores the wanted class keeps them best:
    read them beside the success of the swaps.

    Args:
        swaps: With :func:`style_of` the decoded pictures under ``style``.
        real: :func:`style_of` the real pictures, (N, 3).
        y: Their classes, (N,).
    """
    num_classes = len(swaps.swapped["style"])
    own = [(real[y == i], swaps.plain["style"][y == i]) for i in range(num_classes)]
    pairs = [
        (real[y == i], swaps.swapped["style"][j][y == i])
        for i in range(num_classes)
        for j in range(num_classes)
        if i != j
    ]
    return StyleScores(MEASURES, _correlations(pairs), _correlations(own))


def _correlations(pairs: list[tuple[Tensor, Tensor]]) -> tuple[float | None, ...]:
    """Return the weighted mean of the correlations of each measure within each pair of (N, 3)."""
    total, weights = torch.zeros(len(MEASURES)).double(), torch.zeros(len(MEASURES)).double()
    for before, after in pairs:
        if len(before) < _FEWEST:
            continue
        a, b = before - before.mean(dim=0), after - after.mean(dim=0)
        scale = (a.square().sum(dim=0) * b.square().sum(dim=0)).sqrt()
        varies = (a.square().sum(dim=0) > 1e-12).double() * len(before)
        total += varies * (a * b).sum(dim=0) / scale.clamp_min(1e-12)
        weights += varies
    rows = zip(total.tolist(), weights.tolist(), strict=True)
    return tuple(sum_ / weight if weight else None for sum_, weight in rows)
