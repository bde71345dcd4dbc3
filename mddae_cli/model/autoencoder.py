"""The auto-encoder of Figure 1: encoder, soft target ŷ beside latent z, and decoder.

Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mddae_cli.config import Arch, Encoder, TargetKind, Targets
from mddae_cli.header import ModelSpec
from mddae_cli.model.cdnet import CdnetDecoder
from mddae_cli.model.conv import ConvDecoder
from mddae_cli.model.encoders import Codes, SeparateEncoder, SharedEncoder
from mddae_cli.model.erasure import QuadraticErasure
from mddae_cli.model.flow import CouplingFlow, Flowed
from mddae_cli.model.norm import LatentNorm


class Output(NamedTuple):
    """One pass: ``logits`` (N, K), ``y_hat`` (N, K), ``z`` (N, D), ``x_hat`` (N, C, H, W)."""

    logits: Tensor
    y_hat: Tensor
    z: Tensor
    x_hat: Tensor


class AutoEncoder(nn.Module):
    """The encoder, the two middle parts and the decoder (equation 3).

    Args:
        spec: Kind, sizes and architecture.

    Raises:
        ValueError: If the architecture cannot be built at that image side.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder: SharedEncoder | SeparateEncoder
        self.decoder: ConvDecoder | CdnetDecoder
        shared = spec.encoder is Encoder.SHARED
        self.encoder = SharedEncoder(spec) if shared else SeparateEncoder(spec)
        self.decoder = CdnetDecoder(spec) if spec.arch is Arch.CDNET else ConvDecoder(spec)
        self.z_norm = LatentNorm(spec)
        self.flow = CouplingFlow(spec)
        self.erasure = QuadraticErasure(spec) if spec.erase_directions else None

    def encode(self, x: Tensor) -> Codes:
        """Return activation and latent of a batch.

        Args:
            x: Images, shape (N, C, H, W), floating point, in the model's own range.

        Returns:
            ``logits`` (N, K) and ``z`` (N, D).
        """
        logits, features = self.analyse(x)
        with torch.autocast(x.device.type, enabled=False):
            y_hat = self.decoder_target(self.soft_target(logits))
            return Codes(logits, self.to_latent(y_hat, features))

    def analyse(self, x: Tensor, logits: Tensor | None = None) -> Codes:
        """Return activation and what the decoder itself is given: z before erasure or flow.

        The two are the same where the model has neither.

        Args:
            x: Images, shape (N, C, H, W), floating point, in the model's own range.
            logits: Their activation (N, K) where it is known, for a separate encoder: half of
                the work.

        Returns:
            ``logits`` (N, K) and the latent's features (N, D).
        """
        codes: Codes = self.encoder(x) if logits is None else self.encoder(x, logits)
        with torch.autocast(x.device.type, enabled=False):
            logits = codes.logits.float()
            y_hat = self.soft_target(logits).detach()
            return Codes(logits, self.z_norm(codes.z.float(), y_hat))

    def activation(self, x: Tensor) -> Tensor:
        """Return the activation a (N, K) alone; a separate encoder has it at half the cost."""
        if isinstance(self.encoder, SharedEncoder):
            return self.encode(x).logits
        logits: Tensor = self.encoder.to_logits(x)
        return logits.float()

    @property
    def target_tower(self) -> nn.Module:
        """The network of ŷ alone, which a separate encoder has.

        Raises:
            ValueError: If ŷ and z leave one network.
        """
        if isinstance(self.encoder, SharedEncoder):
            raise ValueError("a shared encoder has no network of the soft target alone")
        return self.encoder.to_logits

    def soft_target(self, logits: Tensor) -> Tensor:
        r"""Return ŷ: softmax over classes (equation 4) or sigmoid per attribute (equation 5).

        Equation 4 is printed with :math:`e^{-a_i}` and equation 5 with :math:`e^{-a}` in the
        denominator. The sigmoid is the usual one; for the softmax the usual :math:`e^{+a_i}`
        is used here. Only the sign of a differs, and the last linear layer, which gives a,
        takes up either sign: the set of functions is the same.

        Args:
            logits: Activation a, shape (N, K).

        Returns:
            ŷ, shape (N, K), in [0, 1]; rows of classes add up to 1.
        """
        if self.spec.target_kind is TargetKind.CLASSES:
            return logits.softmax(dim=1)
        return logits.sigmoid()

    def decoder_target(self, y_hat: Tensor) -> Tensor:
        """Return what the decoder is given when no label is known.

        Args:
            y_hat: Soft target, shape (N, K).

        Returns:
            ``y_hat`` itself for soft targets; for discrete ones the nearest label vector.
        """
        if self.spec.targets is Targets.SOFT:
            return y_hat
        if self.spec.target_kind is TargetKind.CLASSES:
            return F.one_hot(y_hat.argmax(dim=1), y_hat.shape[1]).to(y_hat.dtype)
        return (y_hat > 0.5).to(y_hat.dtype)

    def decode(self, y_hat: Tensor, z: Tensor) -> Tensor:
        """Return the images that a soft target and a latent stand for (equation 3).

        Args:
            y_hat: Any real values, shape (N, K); ignored by a plain auto-encoder.
            z: Latent, shape (N, D).

        Returns:
            ``x_hat``, shape (N, C, H, W), in the model's own range.
        """
        return self.synthesise(y_hat, self.to_features(y_hat, z))

    def to_latent(self, y_hat: Tensor, features: Tensor) -> Tensor:
        """Return z (N, D) of ŷ (N, K) and what the decoder is given (N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            y_hat, z = y_hat.float(), features.float()
            if self.erasure is not None:
                z = self.erasure(z, y_hat)
            flowed: Flowed = self.flow(z, y_hat)
            return flowed.z

    def to_features(self, y_hat: Tensor, z: Tensor) -> Tensor:
        """Return what the decoder is given (N, D) of ŷ (N, K) and z (N, D)."""
        with torch.autocast(z.device.type, enabled=False):
            y_hat = y_hat.float()
            features = self.flow.inverse(z.float(), y_hat)
            if self.erasure is None:
                return features
            return self.erasure.inverse(features, y_hat)

    def synthesise(self, y_hat: Tensor, features: Tensor) -> Tensor:
        """Return the images (N, C, H, W) of a soft target (N, K) and features (N, D)."""
        x_hat: Tensor = self.decoder(y_hat, features)
        return x_hat

    def forward(self, x: Tensor) -> Output:
        """Return codes and reconstruction of a batch of shape (N, C, H, W)."""
        logits, z = self.encode(x)
        y_hat = self.soft_target(logits)
        return Output(logits, y_hat, z, self.decode(self.decoder_target(y_hat), z))
