"""The latent between encoder and decoder: standardised, and freed of what ŷ tells.

Axes: N batch, K classes or attributes, D latent size, L layers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mddae_cli.config import ZNorm
from mddae_cli.header import ModelSpec

_HIDDEN = 128


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


class Flowed(NamedTuple):
    """``z`` (N, D), and ``log_det`` (N,): the log of the volume that the map gives a point."""

    z: Tensor
    log_det: Tensor


class CouplingFlow(nn.Module):
    r"""An invertible map of the latent to z, another one for each ŷ: a conditional RealNVP.

    Fitted by maximum likelihood to a standard normal distribution, it makes z look the same
    whatever ŷ is, so also what is not linear in the latent no longer tells the class, and the
    decoder, which is given the inverse with the ŷ that is wanted, sees only latents that belong
    to that ŷ. Nothing is lost: the reconstruction is the same as without the map. Each of the L
    layers leaves half of the coordinates as they are and scales and shifts the others by what a
    small network makes of the first half and of ŷ, held to [0, 1]: intensities beyond are
    the decoder's.

    With no layers it is the identity.

    References:
        Dinh et al. (2017), Density estimation using Real NVP, arXiv 1605.08803.
        Winkler et al. (2019), Learning Likelihoods with Conditional Normalizing Flows,
        arXiv 1912.00042.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        halves = _halves(spec.latent_dim, spec.flow_layers)
        self.layers = nn.ModuleList(Coupling(kept, spec.num_targets) for kept in halves)

    def _in_order(self) -> list[Coupling]:
        return [layer for layer in self.layers if isinstance(layer, Coupling)]

    def forward(self, features: Tensor, y_hat: Tensor) -> Flowed:
        """Return z (N, D) and its log-determinant (N,) from the latent (N, D) and ŷ (N, K)."""
        z, log_det = features, features.new_zeros(len(features))
        y_hat = y_hat.clamp(0, 1)
        for layer in self._in_order():
            z, more = layer(z, y_hat)
            log_det = log_det + more
        return Flowed(z, log_det)

    def inverse(self, z: Tensor, y_hat: Tensor) -> Tensor:
        """Return the latent (N, D) that z (N, D) stands for beside ŷ (N, K)."""
        y_hat = y_hat.clamp(0, 1)
        for layer in reversed(self._in_order()):
            z = layer.inverse(z, y_hat)
        return z

    def loss(self, flowed: Flowed, features: Tensor, y_hat: Tensor, pull: float) -> Tensor:
        r"""Return what the flow learns from: its likelihood, and that it moves little.

        Many maps make z normal for each ŷ, and most of them turn one handwriting into
        another. Of the latents that pictures get with the targets of others the mean square
        distance from their own is held small, as an optimal transport would:

        .. math:: \mathrm{NLL} + \lambda \, \overline{(T^{-1}_{\hat y'}(T_{\hat y}(h)) - h)^2}.

        The likelihood is in nats per coordinate, without the constant of the normal
        distribution.

        Args:
            flowed: What the flow makes of the latents.
            features: The latents h, shape (N, D).
            y_hat: Their soft targets, shape (N, K).
            pull: λ.
        """
        z, log_det = flowed
        likelihood = (0.5 * z.square().sum(dim=1) - log_det).mean() / z.shape[1]
        if not pull:
            return likelihood
        moved = self.inverse(z, y_hat.roll(1, 0)) - features
        return likelihood + pull * moved.square().mean()


def _halves(latent_dim: int, layers: int) -> list[Tensor]:
    """Return for each layer which coordinates stay, (D,) of 0 and 1: in pairs of opposites."""
    rng = torch.Generator().manual_seed(0)
    halves: list[Tensor] = []
    while len(halves) < layers:
        kept = torch.zeros(latent_dim)
        kept[torch.randperm(latent_dim, generator=rng)[: latent_dim // 2]] = 1
        halves += [kept, 1 - kept]
    return halves[:layers]


class Coupling(nn.Module):
    """One layer: the coordinates that ``kept`` (D,) marks decide how the others are moved."""

    kept: Tensor

    def __init__(self, kept: Tensor, num_targets: int) -> None:
        super().__init__()
        self.register_buffer("kept", kept)
        size = len(kept)
        moves = nn.Linear(_HIDDEN, 2 * size)
        nn.init.zeros_(moves.weight)
        nn.init.zeros_(moves.bias)
        self.net: nn.Sequential = nn.Sequential(
            nn.Linear(size + num_targets, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            moves,
        )

    def _moves(self, z: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-scale and shift, (N, D) each, 0 for the coordinates that stay."""
        scale, shift = self.net(torch.cat([z * self.kept, y_hat], dim=1)).chunk(2, dim=1)
        moved = 1 - self.kept
        return scale.tanh() * moved, shift * moved

    def forward(self, z: Tensor, y_hat: Tensor) -> Flowed:
        """Return z moved and the log-determinant (N,)."""
        scale, shift = self._moves(z, y_hat)
        return Flowed(z * scale.exp() + shift, scale.sum(dim=1))

    def inverse(self, z: Tensor, y_hat: Tensor) -> Tensor:
        """Undo :meth:`forward`."""
        scale, shift = self._moves(z, y_hat)
        return (z - shift) * (-scale).exp()
