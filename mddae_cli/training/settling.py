"""The exact regression of the latent on ŷ, late in a run.

While weights move, the regression of :class:`~mddae_cli.model.LatentNorm` is an average over few
batches, or it would lag behind them. It is a little off, therefore, and what it misses a linear
probe reads from z. Here it is worked out over all training pictures, and the decoder's first layer,
which is linear in z and ŷ, makes up for the difference: reconstructions stay what they were. Edits
do not: to change ŷ now moves what the decoder took for z, until it has practised that.

Axes: N pictures, K attributes or classes, D latent size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from mddae_cli.config import ModelKind, Targets, ZNorm
from mddae_cli.header import ModelSpec
from mddae_cli.model import AutoEncoder, Regression, ridged

# Of the mean variance of ŷ.
_RIDGE = 1e-6
# Pictures for each entry of ŷ, at least: with fewer a regression says little about others.
LEAST = 10
# Of z's standard deviation: a smaller part of it that goes with ŷ is what float32 leaves.
_ROUNDING = 1e-3


def can_settle(spec: ModelSpec) -> bool:
    """Return whether a model has a regression on ŷ that its decoder can make up for.

    A flow has learnt the latent as it is, and a decoder of discrete targets is not given the ŷ
    that the regression uses.
    """
    residual = spec.z_norm is ZNorm.RESIDUAL and spec.kind is not ModelKind.AE
    return residual and spec.targets is Targets.SOFT and not spec.flow_layers


class _Moments(NamedTuple):
    """Of ŷ and h of so many pictures: means (K,), (D,), covariances (K, K), (K, D), float64."""

    pictures: int
    mean_y: Tensor
    mean_h: Tensor
    yy: Tensor
    yh: Tensor


@torch.no_grad()
def settle(net: AutoEncoder, pictures: Iterable[Tensor]) -> bool:
    r"""Replace the averaged regression of the latent on ŷ by the exact one.

    The encoder's h becomes :math:`z = (h - (\hat y - \bar y) B - m) / s`. With other B' and m' the
    former z is :math:`z' + \hat y (B' - B) / s`, if m' is chosen so that no constant is left, and
    the factor of ŷ goes into the weights of the decoder's first layer.

    Args:
        net: A model that :func:`can_settle`; changed in place, and left in evaluation mode.
        pictures: Images (N, C, H, W) in the model's range, in batches: all it has learnt from.

    Returns:
        Whether anything changed: not where it was exact already, nor with so few pictures that
        a regression of each would say little about others.
    """
    net.eval()
    moments = _moments(net, pictures)
    old = net.z_norm.regression()
    slopes = torch.linalg.solve(ridged(moments.yy, _RIDGE), moments.yh)
    mean = old.mean + moments.mean_y @ slopes - old.mean_y @ old.slopes
    change = (slopes - old.slopes) / old.scale
    missed = (change * (moments.yy @ change)).sum(dim=0).clamp_min(0).sqrt()  # (D,)
    if moments.pictures < LEAST * len(slopes) or float(missed.max()) < _ROUNDING:
        return False
    new = Regression(moments.mean_y, slopes, mean, old.scale)
    net.z_norm.assign(new, moments.mean_h, moments.yy)
    layer = net.decoder.first_layer
    of_z, of_y = layer.weight.cpu().double().split([len(mean), len(slopes)], dim=1)
    layer.weight.copy_(torch.cat([of_z, of_y + of_z @ change.T], dim=1).float())
    return True


def _moments(net: AutoEncoder, pictures: Iterable[Tensor]) -> _Moments:
    """Return the moments of all pictures, added up in float64."""
    count, size = 0, net.spec.num_targets
    sums, products = (torch.zeros(()).double() for _ in range(2))
    for x in pictures:
        logits, h = net.encoder(x)
        codes = torch.cat([net.soft_target(logits.float()), h.float()], dim=1).cpu().double()
        count, sums, products = count + len(codes), sums + codes.sum(0), products + codes.T @ codes
    mean = sums / count
    covariance = products / count - mean[:, None] * mean
    of_y, of_h = slice(None, size), slice(size, None)
    return _Moments(count, mean[of_y], mean[of_h], covariance[of_y, of_y], covariance[of_y, of_h])
