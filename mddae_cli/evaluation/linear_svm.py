"""Many linear support vector machines at once, each on its own rows of the same features.

Axes: N rows, D features, K machines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Of the gradient's norm, against what it was at the start.
_TOLERANCE = 5e-3
_MAX_STEPS, _MAX_NEWTON = 300, 30


@dataclass(frozen=True)
class _Problem:
    """What stays the same while the weights move; ``shares`` weighs each row's loss, (N, K)."""

    x: Tensor
    signs: Tensor
    shares: Tensor
    penalty: float

    def products(self, directions: Tensor) -> Tensor:
        """Return x · directions, (N, K).

        The narrow matrix stands left: the other way round some columns take ten times as long.
        """
        return (directions.T.contiguous() @ self.x.T).T

    def slopes(self, margins: Tensor) -> Tensor:
        """Return the derivative of each row's weighted loss by its score, (N, K)."""
        return -2 * self.shares * self.signs * (1 - self.signs * margins).clamp_min(0)

    def step(self, margins: Tensor, moved: Tensor, along: Tensor, square: Tensor) -> Tensor:
        """Return how far each machine goes along its direction: the exact minimum, (K,).

        The loss along a line is a parabola in pieces, so Newton's method ends after some steps.
        """
        t = torch.zeros_like(along)
        for _ in range(_MAX_NEWTON):
            scores = margins + t * moved
            inside = (self.signs * scores < 1).to(moved)
            first = (self.slopes(scores) * moved).sum(dim=0) + self.penalty * (along + t * square)
            second = (2 * self.shares * inside * moved.square()).sum(dim=0) + self.penalty * square
            change = first / second.clamp_min(torch.finfo(second.dtype).tiny)
            t = t - change
            if bool((change.abs() <= 1e-5 * t.abs()).all()):
                break
        return t


def fit_linear_svms(
    x: Tensor,
    y: Tensor,
    chosen: Tensor,
    penalty: float,
    settled: Callable[[int], None] = lambda machines: None,
) -> tuple[Tensor, Tensor]:
    r"""Return the machines that separate the chosen rows of each column.

    .. math:: \min_{w, b} \frac{\lambda}{2} |w|^2
        + \frac{1}{n} \sum_i \max(0, 1 - y_i (w \cdot x_i + b))^2

    This is scikit-learn's ``LinearSVC`` with :math:`C = 1 / (\lambda n)` and a constant that is
    not penalised. Solved by conjugate gradients with exact line search; all columns share the
    two passes over ``x`` that a step takes.

    Args:
        x: Features, shape (N, D), float32, about standardised.
        y: Labels, 0 or 1, shape (N, K).
        chosen: Which rows each machine learns from, bool, shape (N, K); each column holds both
            labels.
        penalty: λ.
        settled: Told, as it goes, of how many more machines are done.

    Returns:
        Weights (D, K) and constants (K,).
    """
    signs = y.to(x) * 2 - 1
    shares = chosen.to(x) / chosen.sum(dim=0)
    problem = _Problem(x, signs, shares, penalty)
    w, b = x.new_zeros(x.shape[1], y.shape[1]), x.new_zeros(y.shape[1])
    margins = torch.zeros_like(signs)
    before, direction, start = None, torch.zeros_like(w), None
    turn, still = torch.zeros_like(b), y.shape[1]
    for _ in range(_MAX_STEPS):
        slopes = problem.slopes(margins)
        gradient, constant = (slopes.T.contiguous() @ x).T + penalty * w, slopes.sum(dim=0)
        norm = gradient.square().sum(dim=0) + constant.square()
        start = norm if start is None else start
        going = norm > _TOLERANCE**2 * start  # (K,): the others stay where they are
        settled(still - int(going.sum()))
        still = int(going.sum())
        if not still:
            break
        if before is not None:
            kept = _kept_share(gradient, constant, *before)
            direction, turn = direction * kept - gradient, turn * kept - constant
        else:
            direction, turn = -gradient, -constant
        before = gradient, constant
        moved = problem.products(direction) + turn
        along, square = (w * direction).sum(dim=0), direction.square().sum(dim=0)
        t = problem.step(margins, moved, along, square) * going
        w, b, margins = w + t * direction, b + t * turn, margins + t * moved
    settled(still)
    return w, b


def _kept_share(gradient: Tensor, constant: Tensor, old: Tensor, old_constant: Tensor) -> Tensor:
    """Return how much of the last direction stays (Polak and Ribière, never below 0), (K,)."""
    change = (gradient * (gradient - old)).sum(dim=0) + constant * (constant - old_constant)
    before = old.square().sum(dim=0) + old_constant.square()
    return (change / before.clamp_min(torch.finfo(before.dtype).tiny)).clamp_min(0)
