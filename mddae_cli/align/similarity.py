"""Similarity transforms of the plane: turning, scaling and shifting, as one complex product.

A point (x, y) is the complex number x + iy, in pixels from the picture's top left corner, so that
the centre of the first pixel is at (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """The transform ``p → factor · p + shift``.

    Example:
        >>> Similarity(2j, 1).apply(np.array([[1.0, 0.0]]))
        array([[1., 2.]])
    """

    factor: complex
    shift: complex

    @property
    def scale(self) -> float:
        """How much longer distances become."""
        return abs(self.factor)

    @property
    def degrees(self) -> float:
        """The angle of the turn, from x towards y: clockwise to the eye."""
        return math.degrees(math.atan2(self.factor.imag, self.factor.real))

    def apply(self, points: Points) -> Points:
        """Return points (N, 2) after the transform."""
        moved = self.factor * (points[:, 0] + 1j * points[:, 1]) + self.shift
        return np.stack([moved.real, moved.imag], axis=1)

    def inverse(self) -> Similarity:
        """Return the transform that takes this one back."""
        return Similarity(1 / self.factor, -self.shift / self.factor)

    def after(self, first: Similarity) -> Similarity:
        """Return ``first`` and then this one, as one transform."""
        return Similarity(self.factor * first.factor, self.factor * first.shift + self.shift)

    def pillow(self) -> tuple[float, float, float, float, float, float]:
        """Return what ``Image.transform`` wants, for a transform from result to source."""
        a, b = self.factor.real, self.factor.imag
        return a, -b, self.shift.real, b, a, self.shift.imag


def fit_similarity(source: Points, target: Points) -> Similarity:
    """Return the transform that brings ``source`` nearest to ``target``, by least squares.

    Args:
        source: Points (N, 2), at least two that differ.
        target: Where they should be, (N, 2).

    Raises:
        ValueError: If all points of ``source`` or of ``target`` are the same.
    """
    s, t = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    s_mean, t_mean = s.mean(), t.mean()
    spread = np.vdot(s - s_mean, s - s_mean).real
    product = np.vdot(s - s_mean, t - t_mean)
    if spread == 0 or product == 0:
        raise ValueError("points that fall together fix no similarity transform")
    factor = complex(product / spread)
    return Similarity(factor, complex(t_mean - factor * s_mean))
