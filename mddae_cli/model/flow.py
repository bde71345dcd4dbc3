"""A flow that takes out of the latent what else tells ŷ.

Axes: N batch, K classes or attributes, D latent size, L layers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mddae_cli.header import ModelSpec

_HIDDEN = 128


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
