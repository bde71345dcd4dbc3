"""The latent freed of what its spread tells of ŷ: quadratic erasure, in closed form.

Axes: N pictures, K attributes or classes, D latent size, R directions, F folds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mddae_cli.header import ModelSpec
from mddae_cli.model.norm import ridged
from mddae_cli.model.steps import LatentSteps

_FOLDS = 5
# Pictures with an attribute, and without, from which directions can be found.
_LEAST = 50
# Of the largest variance: directions with less of it are rounding, and stay as they are.
_ROUNDING = 1e-8
# Of the mean variance of ŷ.
_RIDGE = 1e-6
# From so far beyond 1 of ŷ on, log-variances are below what they are without the attribute by so
# many times the square of what the attribute adds.
_TYPICAL_FROM, _TYPICAL = 0.4, 4.0


class QuadraticErasure(nn.Module):
    r"""An invertible map of the latent to z whose mean and covariance are the same for every ŷ.

    A regression on ŷ takes away what is linear. What an MLP still reads is, for the most part,
    spread: whoever smiles differs from others of his kind along other lines than whoever does not.
    On whitened latents, freed of their regression on ŷ, the variance :math:`v` along R orthonormal
    directions :math:`U_k` is evened out, for one attribute after another. Its logarithm follows
    ŷ from what it is without the attribute to what it is with it:

    .. math:: h \leftarrow h + U_k (\operatorname{diag}(v_k(\hat y_k)^{-1/2}) - 1) \, U_k^T h.

    Then whitening is undone. The decoder is given the inverse with the ŷ that is wanted, so
    nothing is lost and the reconstruction is the same. In the regression and below 0, ŷ is held
    to [0, 1]: intensities beyond are the decoder's.

    An intensity beyond 1 asks for more of an attribute than pictures have, not for just any of
    those that have it, thin rims included. So there the inverse draws latents together along the
    directions in which pictures with it differ more than those without, and takes a step of
    :attr:`steps`, in whitened coordinates, where there is one.

    Nothing is learnt by descent. Until :meth:`fit` it is the identity.

    References:
        Belrose et al. (2023), LEACE, arXiv 2306.03819, for what is linear; the same with
        covariances is the quadratic eraser of its code.
        Brock et al. (2019), arXiv 1809.11096, draw latents together for typical pictures, too.
        Lam (2016), Nonparametric eigenvalue-regularized precision or covariance matrix
        estimator, Annals of Statistics 44, for variances from pictures that the directions
        were not found in.
    """

    fitted: Tensor
    mean: Tensor
    axes: Tensor
    spread: Tensor
    order: Tensor
    mean_y: Tensor
    slopes: Tensor
    directions: Tensor
    log_variances: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        k, d = spec.num_targets, spec.latent_dim
        r = min(spec.erase_directions, d)
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("axes", torch.eye(d))
        self.register_buffer("spread", torch.ones(d))
        self.register_buffer("order", torch.arange(k))
        self.register_buffer("mean_y", torch.zeros(k))
        self.register_buffer("slopes", torch.zeros(k, d))
        self.register_buffer("directions", torch.eye(d)[:, :r].repeat(k, 1, 1))
        # Without the attribute, and with it.
        self.register_buffer("log_variances", torch.zeros(k, 2, r))
        self.steps = LatentSteps(k, d)

    def forward(self, features: Tensor, y_hat: Tensor) -> Tensor:
        """Return z (N, D) from the latent (N, D) and ŷ (N, K)."""
        if not self.fitted:
            return features
        y = y_hat.clamp(0, 1)  # a picture's own; to undo what is drawn together would lose digits
        h = self.whitened(features) - self._explained(y)
        for k in self.order.tolist():
            h = _scaled(h, self.directions[k], self._scales(k, y))
        return self._coloured(h)

    def inverse(self, z: Tensor, y_hat: Tensor) -> Tensor:
        """Return the latent (N, D) that z (N, D) stands for beside ŷ (N, K)."""
        if not self.fitted:
            return z
        h = self.whitened(z) + self.steps(y_hat)
        for k in reversed(self.order.tolist()):
            h = _scaled(h, self.directions[k], 1 / self._scales(k, y_hat))
        return self._coloured(h + self._explained(y_hat.clamp(0, 1)))

    def whitened(self, features: Tensor) -> Tensor:
        """Return a latent (N, D) in the coordinates of the directions, (N, D)."""
        return (features - self.mean) @ self.axes / self.spread

    def _coloured(self, h: Tensor) -> Tensor:
        return (h * self.spread) @ self.axes.T + self.mean

    def _explained(self, y: Tensor) -> Tensor:
        """Return what the regression makes of ŷ (N, K), (N, D)."""
        return (y - self.mean_y) @ self.slopes

    def steady(self, k: int) -> Tensor:
        """Return the directions (D, R) along which pictures with attribute ``k`` differ less."""
        without, with_it = self.log_variances[k]
        return self.directions[k][:, with_it < without]

    def _scales(self, k: int, y: Tensor) -> Tensor:
        """Return what is multiplied by for attribute ``k``, (N, R), from ŷ (N, K)."""
        without, with_it = self.log_variances[k]
        of = y[:, k, None]
        added = (with_it - without).clamp_min(0)
        beyond = ((of - 1) / _TYPICAL_FROM).clamp(0, 1)
        logs = torch.lerp(without, with_it, of.clamp(0, 1))
        scales: Tensor = (-0.5 * (logs - beyond * (added + _TYPICAL * added.square()))).exp()
        return scales

    @torch.no_grad()
    def fit(self, features: Tensor, y_hat: Tensor, picture: Tensor) -> None:
        """Find regression, directions and variances, the attributes that decide most first.

        Directions are the eigenvectors of the difference of the two covariances; those R are
        taken whose variances differ most. Variances are those of held-out pictures along
        directions that were found without them: along its own directions a sample of few
        pictures looks more different than others are.

        Args:
            features: Latents, shape (N, D).
            y_hat: Their soft targets, shape (N, K).
            picture: Which picture each row shows, shape (N,): a mirror image has its number.
        """
        fold = picture.to(features.device) % _FOLDS
        rows = fold.argsort(stable=True)
        counts = torch.bincount(fold, minlength=_FOLDS).tolist()
        y = y_hat[rows].to(features.dtype).clamp(0, 1)
        h = self._fit_linear(features[rows], y)
        self.order.copy_(_strengths(h, y).argsort(descending=True, stable=True))
        for k in self.order.tolist():
            parts = zip(h.split(counts), y[:, k].split(counts), strict=True)
            found = _difference([_moments(*part) for part in parts], self.directions.shape[2])
            if found is not None:
                self.directions[k], self.log_variances[k] = found
                h = _scaled(h, self.directions[k], self._scales(k, y))
        self.fitted.fill_(True)

    def _fit_linear(self, features: Tensor, y: Tensor) -> Tensor:
        """Find whitening and regression, and return what they leave of the latents (N, D)."""
        rows, targets = features.double(), y.double()
        mean, mean_y = rows.mean(dim=0), targets.mean(dim=0)
        variances, axes = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        told = variances > _ROUNDING * variances.max()
        self.mean.copy_(mean)
        self.axes.copy_(axes)
        self.spread.copy_(torch.where(told, variances, 1).sqrt())
        h, centered = self.whitened(features), targets - mean_y
        products = centered.T @ centered
        self.mean_y.copy_(mean_y)
        self.slopes.copy_(torch.linalg.solve(ridged(products, _RIDGE), centered.T @ h.double()))
        return h - self._explained(y)


def _scaled(h: Tensor, directions: Tensor, scales: Tensor) -> Tensor:
    """Return h (N, D) with its parts along orthonormal directions (D, R) scaled by (N, R)."""
    return h + ((h @ directions) * (scales - 1)) @ directions.T


class _Moments(NamedTuple):
    """Without the attribute and with it: weights (2,), sums (2, D), products (2, D, D)."""

    weights: Tensor
    sums: Tensor
    products: Tensor

    def means(self) -> Tensor:
        """Return the mean without and with the attribute, (2, D)."""
        return self.sums / self.weights[:, None]

    def about(self, means: Tensor) -> Tensor:
        """Return the sums of squares and products about some means (2, D), (2, D, D)."""
        crossed = self.sums[:, :, None] * means[:, None]
        squares = means[:, :, None] * means[:, None]
        weights = self.weights[:, None, None]
        return self.products - crossed - crossed.mT + weights * squares

    def covariances(self) -> Tensor:
        """Return the covariance without and with the attribute, (2, D, D)."""
        return self.about(self.means()) / self.weights[:, None, None]


def _moments(h: Tensor, y: Tensor) -> _Moments:
    """Return the moments of latents (N, D) weighed by 1 − ŷ and by ŷ (N,), in float64."""
    weights = torch.stack([1 - y, y])
    products = torch.stack([(h * some[:, None]).T @ h for some in weights])
    return _Moments(weights.double().sum(dim=1), (weights @ h).double(), products.double())


def _added(moments: list[_Moments]) -> _Moments:
    return _Moments(*(torch.stack(parts).sum(dim=0) for parts in zip(*moments, strict=True)))


def _strengths(h: Tensor, y: Tensor) -> Tensor:
    """Return how much of the covariance each attribute decides, (K,), from h (N, D), ŷ (N, K).

    The square of the Frobenius norm of the difference that it makes, and as much as it varies.
    """
    strengths = []
    for of in y.T:
        moments, share = _moments(h, of), of.mean()
        without, with_it = moments.covariances()
        strengths.append(share * (1 - share) * (with_it - without).square().sum())
    return torch.stack(strengths).nan_to_num(0.0)


def _difference(folds: list[_Moments], most: int) -> tuple[Tensor, Tensor] | None:
    """Return directions (D, R) and log-variances (2, R), or None for too few pictures."""
    total = _added(folds)
    others = [_added(folds[:index] + folds[index + 1 :]) for index in range(len(folds))]
    if min(float(other.weights.min()) for other in others) < _LEAST:
        return None
    held_out = torch.zeros_like(total.sums)
    for fold, other in zip(folds, others, strict=True):
        seen = _directions(other)
        held_out += torch.einsum("dr,sde,er->sr", seen, fold.about(total.means()), seen)
    directions = _directions(total)
    variances = held_out / total.weights[:, None]
    log_variances = variances.clamp_min(_ROUNDING).log()
    differing = (log_variances[1] - log_variances[0]).abs().argsort(descending=True)[:most]
    return directions[:, differing], log_variances[:, differing]


def _directions(moments: _Moments) -> Tensor:
    """Return the eigenvectors (D, D) of the covariance with the attribute less that without."""
    without, with_it = moments.covariances()
    directions: Tensor = torch.linalg.eigh(with_it - without).eigenvectors
    return directions
