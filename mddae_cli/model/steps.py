"""What the latent does beside a ŷ beyond 1: a step for each attribute.

Axes: N pictures, K attributes or classes, D latent size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LatentSteps(nn.Module):
    """A step of the latent for each attribute, from where ŷ passes 1.

    Up to 1 there is none, so that reconstructions are what they were. From there on it grows with
    ŷ, until it is whole. At first every step is zero.
    """

    steps: Tensor
    whole_at: Tensor

    def __init__(self, num_targets: int, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(num_targets, latent_dim))
        self.register_buffer("whole_at", torch.full((num_targets,), 2.0))

    def forward(self, y_hat: Tensor) -> Tensor:
        """Return what ŷ (N, K) adds to the latent, (N, D)."""
        shares = ((y_hat - 1) / (self.whole_at - 1)).clamp(0, 1)
        return shares @ self.steps

    @torch.no_grad()
    def put(self, k: int, step: Tensor, whole_at: float) -> None:
        """Give attribute ``k`` a step (D,) that is whole at a ŷ beyond 1."""
        self.steps[k] = step.to(self.steps)
        self.whole_at[k] = whole_at

    def clear(self) -> None:
        """Take all steps away."""
        self.steps.zero_()
