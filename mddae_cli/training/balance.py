"""Weights of labels under which no label tells of another.

Most who smile have their mouths open, so a network that learns both labels may take either for
half of the other. Where the pictures that go against it count for more, it has to look at each
attribute by itself. Axes: N pictures, K attributes.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_STEPS = 1000


class Balance:
    """Stabilised inverse propensity weights (Robins et al. 2000, Epidemiology 11:550).

    The weight of label k of a picture is how common its value is, over how probable the other
    labels make it (its propensity, by a logistic regression). It is cut off at ``largest``: what
    hardly ever occurs is often mislabelled. Scaled to a mean of 1 over the pictures with either
    value, so that a label stays as frequent as it is.

    Args:
        labels: Of all training pictures, shape (N, K), 0 or 1. A label that all pictures have, or
            none, is not weighed.
        largest: Where weights are cut off, before they are scaled; more than 1.
    """

    def __init__(self, labels: Tensor, largest: float) -> None:
        self.largest = largest
        self.common = labels.mean(dim=0)
        self.slopes, self.offsets = _regressions(labels)
        weights = self._unscaled(labels)
        self.means = torch.stack(
            [
                (weights * side).sum(dim=0) / side.sum(dim=0).clamp_min(1)
                for side in (1 - labels, labels)
            ]
        )

    def weights(self, labels: Tensor) -> Tensor:
        """Return the weight of each label of pictures with labels (N, K)."""
        return self._unscaled(labels) / torch.where(labels == 1, self.means[1], self.means[0])

    def _unscaled(self, labels: Tensor) -> Tensor:
        propensity = torch.sigmoid(labels @ self.slopes + self.offsets)
        ratio = torch.where(
            labels == 1, self.common / propensity, (1 - self.common) / (1 - propensity)
        )
        return ratio.clamp_max(self.largest)


def _regressions(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return slopes (K, K) and offsets (K,) of logistic regressions of each label on the others.

    ``labels @ slopes + offsets`` are logits; a slope on itself is 0.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second, and few runs need it

    y = labels.cpu().double().numpy()
    slopes = torch.zeros(y.shape[1], y.shape[1], dtype=torch.float64)
    offsets = torch.logit(labels.mean(dim=0)).double()
    for k in range(y.shape[1]):
        others = [j for j in range(y.shape[1]) if j != k]
        if not others or not 0 < y[:, k].mean() < 1:
            continue
        fit = LogisticRegression(max_iter=_MAX_STEPS).fit(y[:, others], y[:, k])
        slopes[others, k] = torch.from_numpy(fit.coef_[0])
        offsets[k] = float(fit.intercept_[0])
    return slopes.to(labels), offsets.to(labels)
