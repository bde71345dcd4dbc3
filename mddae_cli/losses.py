"""Equations 2 to 15 of the paper: reconstruction, discriminative and decorrelation losses.

Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mddae_cli import metrics
from mddae_cli.config import Reduction, Reg, TargetKind
from mddae_cli.header import SsimSpec


def mse(x: Tensor, x_hat: Tensor, reduction: Reduction = Reduction.MEAN) -> Tensor:
    """Return the squared error per picture, averaged over the batch (equation 2).

    Args:
        x: Images, shape (N, C, H, W).
        x_hat: Their reconstructions, same shape.
        reduction: ``sum`` over pixels is the equation as printed; ``mean`` divides it by
            C·H·W, without which it is hundreds of times the other terms.

    Returns:
        Scalar tensor in the squared unit of ``x``.
    """
    squared = (x - x_hat).square()
    return squared.mean() if reduction is Reduction.MEAN else squared.flatten(1).sum(1).mean()


def dssim(
    x: Tensor,
    x_hat: Tensor,
    spec: SsimSpec,
    value_range: tuple[float, float],
    *,
    stride: int = 1,
) -> Tensor:
    """Return the structural dissimilarity, averaged over the batch (equation 6).

    Args:
        x: Images, shape (N, C, H, W), in ``value_range``.
        x_hat: Their reconstructions, same shape.
        spec: The variant of multi-scale SSIM.
        value_range: Smallest and largest possible value; mapped to [0, 1] first.
        stride: Of the windows of the finest scale; beyond 1 this is an estimate.

    Returns:
        Scalar tensor in [0, 0.5].
    """
    similarity = metrics.ms_ssim(
        x.float(), x_hat.float(), spec, value_range=value_range, stride=stride
    )
    return (0.5 * (1 - similarity)).mean()


def reconstruction(
    x: Tensor,
    x_hat: Tensor,
    *,
    alpha: float,
    reduction: Reduction,
    spec: SsimSpec,
    value_range: tuple[float, float],
    stride: int = 1,
) -> Tensor:
    """Return the total reconstruction loss, equation 7: ``mse + alpha * dssim``."""
    loss = mse(x, x_hat, reduction)
    if not alpha:
        return loss
    return loss + alpha * dssim(x, x_hat, spec, value_range, stride=stride)


def discriminative(
    logits: Tensor, y: Tensor, kind: TargetKind, weights: Tensor | None = None
) -> Tensor:
    """Return cross entropy (equation 8) or binary cross entropy (equation 9).

    Args:
        logits: Activation a, shape (N, K).
        y: Labels, shape (N, K): one-hot for classes, 0 or 1 for attributes.
        kind: Which of the two applies.
        weights: How much each attribute of each picture counts, shape (N, K); alike if None.

    Returns:
        Scalar tensor in nats; attributes are averaged, classes are not.
    """
    if kind is TargetKind.CLASSES:
        return F.cross_entropy(logits, y.to(logits.dtype))
    return F.binary_cross_entropy_with_logits(logits, y.to(logits.dtype), weights)


def xcov(y_hat: Tensor, z: Tensor) -> Tensor:
    r"""Return the cross covariance of Cheung et al. (2015), equation 15.

    .. math:: \frac{1}{2} \sum_{i,j} \Big[\frac{1}{N} \sum_n
        (\hat y_{n,i} - \bar y_i)(z_{n,j} - \bar z_j)\Big]^2

    Args:
        y_hat: Soft target, shape (N, K).
        z: Latent, shape (N, D).

    Returns:
        Scalar tensor; it grows with the square of the scale of ``z``.
    """
    covariance = (y_hat - y_hat.mean(0)).T @ (z - z.mean(0)) / y_hat.shape[0]  # (K, D)
    return 0.5 * covariance.square().sum()


def decorrelation(reg: Reg, y_hat: Tensor, z: Tensor) -> Tensor:
    """Return the decorrelation loss that ``reg`` names.

    Args:
        reg: The estimator: equation 14 (``dcov``), equation 15 (``xcov``), the unbiased
            ``dcov-u``, the bias-corrected squared distance correlation ``dcor``, or
            ``dcor-attr``, the same for each column of ``y_hat`` and averaged.
        y_hat: Soft target, shape (N, K).
        z: Latent, shape (N, D).

    Returns:
        Scalar tensor; unbiased estimates may lie below 0.
    """
    match reg:
        case Reg.NONE:
            return z.new_zeros(())
        case Reg.XCOV:
            return xcov(y_hat, z)
        case Reg.DCOV:
            return metrics.distance_covariance2(y_hat, z)
        case Reg.DCOV_U:
            return metrics.distance_covariance2_u(y_hat, z)
        case Reg.DCOR:
            return metrics.distance_correlation2_u(y_hat, z)
        case Reg.DCOR_ATTR:
            return metrics.mean_distance_correlation2(y_hat, z)


class Decorrelation(nn.Module):
    """The decorrelation loss, estimated with a memory of past batches.

    The memory makes the estimate that of a larger sample at little cost: statistics are taken
    over the batch and the ``memory`` codes before it. Gradients flow through the batch alone,
    and are as large as if the whole sample had been the batch.

    Args:
        reg: The estimator.
        num_targets: K.
        latent_dim: D.
        memory: How many past codes are kept; 0 for none.
    """

    memory_y: Tensor
    memory_z: Tensor
    filled: Tensor

    def __init__(self, reg: Reg, num_targets: int, latent_dim: int, *, memory: int = 0) -> None:
        super().__init__()
        self.reg, self.memory = reg, memory
        self.register_buffer("memory_y", torch.zeros(memory, num_targets))
        self.register_buffer("memory_z", torch.zeros(memory, latent_dim))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def forward(self, y_hat: Tensor, z: Tensor) -> Tensor:
        """Return the loss of a batch of codes, (N, K) and (N, D), and remember them."""
        filled = int(self.filled)
        growth = 1 + filled / z.shape[0]
        all_y = torch.cat([_amplified(y_hat, growth), self.memory_y[:filled]])
        all_z = torch.cat([_amplified(z, growth), self.memory_z[:filled]])
        if self.memory:
            self._remember(all_y, all_z)
        return decorrelation(self.reg, all_y, all_z)

    @torch.no_grad()
    def _remember(self, all_y: Tensor, all_z: Tensor) -> None:
        """Keep the newest codes, which come first."""
        count = min(self.memory, all_z.shape[0])
        self.memory_y[:count] = all_y[:count].detach()
        self.memory_z[:count] = all_z[:count].detach()
        self.filled.fill_(count)


def _amplified(x: Tensor, factor: float) -> Tensor:
    """Return ``x`` itself, whose gradient is ``factor`` times as large."""
    return x if factor == 1 else x.detach() + factor * (x - x.detach())
