"""The latent between encoder and decoder: standardised, and freed of what is linear in ŷ.

Axes: N batch, K classes or attributes, D latent size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mddae_cli.config import ZNorm
from mddae_cli.header import ModelSpec


class Regression(NamedTuple):
    """z becomes (z - (ŷ - mean_y) slopes - mean) / scale: (K,), (K, D), (D,) and (D,)."""

    mean_y: Tensor
    slopes: Tensor
    mean: Tensor
    scale: Tensor


def ridged(covariance: Tensor, share: float) -> Tensor:
    """Return a covariance (K, K) to divide by, its diagonal raised by a share of its mean.

    Attributes that hardly vary stay solvable.
    """
    level = share * covariance.diagonal().mean()
    return covariance + level * torch.eye(len(covariance)).to(covariance)


class LatentNorm(nn.Module):
    r"""What happens to z between encoder and decoder, by :class:`~mddae_cli.config.ZNorm`.

    ``batch`` standardises each coordinate, so that a decorrelation loss cannot be lowered by
    shrinking z. ``residual`` first takes away what a linear regression on ŷ explains,

    .. math:: z - \Sigma_{zy} \Sigma_{yy}^{-1} (\hat y - \bar y),

    with moments averaged over past batches. The result has no covariance with ŷ; together
    with ŷ, which the decoder has, it holds as much as before.

    References:
        Belrose et al. (2023), LEACE, arXiv 2306.03819, for erasure by least squares.
    """

    mean_y: Tensor
    mean_z: Tensor
    covariance_yy: Tensor
    covariance_yz: Tensor
    seen: Tensor

    def __init__(self, spec: ModelSpec, *, decay: float = 0.98, ridge: float = 1e-3) -> None:
        super().__init__()
        self.decay, self.ridge = decay, ridge
        self.residual = spec.z_norm is ZNorm.RESIDUAL
        plain = spec.z_norm is ZNorm.NONE
        self.standardise: nn.Identity | nn.BatchNorm1d = nn.Identity()
        if not plain:
            self.standardise = nn.BatchNorm1d(spec.latent_dim, affine=False)
        if self.residual:
            k, d = spec.num_targets, spec.latent_dim
            self.register_buffer("mean_y", torch.zeros(k))
            self.register_buffer("mean_z", torch.zeros(d))
            self.register_buffer("covariance_yy", torch.eye(k))
            self.register_buffer("covariance_yz", torch.zeros(k, d))
            self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor, y_hat: Tensor) -> Tensor:
        """Return the latent that the decoder gets, (N, D), from z (N, D) and ŷ (N, K)."""
        if self.residual:
            if self.training:
                self._update(z.detach(), y_hat)
            z = z - (y_hat - self.mean_y) @ self.slopes()  # (N, K) @ (K, D)
        standard: Tensor = self.standardise(z)
        return standard

    def slopes(self) -> Tensor:
        """Return the regression's coefficients, (K, D)."""
        slopes: Tensor = torch.linalg.solve(self._ridged(self.covariance_yy), self.covariance_yz)
        return slopes

    def _ridged(self, covariance: Tensor) -> Tensor:
        return ridged(covariance, self.ridge)

    def regression(self) -> Regression:
        """Return what a residual norm makes of z after training, in float64 on the CPU."""
        mean, variance = (self.get_buffer(f"standardise.running_{of}") for of in ("mean", "var"))
        parts = self.mean_y, self.slopes(), mean, variance
        mean_y, slopes, mean, variance = (part.cpu().double() for part in parts)
        return Regression(mean_y, slopes, mean, (variance + self._eps()).sqrt())

    def _eps(self) -> float:
        return self.standardise.eps if isinstance(self.standardise, nn.BatchNorm1d) else 0.0

    @torch.no_grad()
    def assign(self, regression: Regression, mean_z: Tensor, covariance_yy: Tensor) -> None:
        """Do from now on what a regression says.

        Args:
            regression: What becomes of z.
            mean_z: Mean of z (D,), from which averages go on.
            covariance_yy: Of ŷ, (K, K). The other covariance becomes that which leads to the
                slopes in spite of the ridge.
        """
        new = {
            "mean_y": regression.mean_y,
            "mean_z": mean_z,
            "covariance_yy": covariance_yy,
            "covariance_yz": self._ridged(covariance_yy) @ regression.slopes,
            "standardise.running_mean": regression.mean,
            "standardise.running_var": regression.scale.square() - self._eps(),
        }
        for name, value in new.items():
            buffer = self.get_buffer(name)
            buffer.copy_(value.to(buffer.dtype))

    @torch.no_grad()
    def _update(self, z: Tensor, y_hat: Tensor) -> None:
        """Take a batch into the averages; the first batches count in full."""
        seen = int(self.seen)
        share = 1 - min(self.decay, seen / (seen + 1))
        self.mean_y.lerp_(y_hat.mean(dim=0), share)
        self.mean_z.lerp_(z.mean(dim=0), share)
        centered = y_hat - self.mean_y
        self.covariance_yy.lerp_(centered.T @ centered / len(z), share)
        self.covariance_yz.lerp_(centered.T @ (z - self.mean_z) / len(z), share)
        self.seen += 1
