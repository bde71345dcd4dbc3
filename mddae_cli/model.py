"""The auto-encoder of Figure 1: encoder, soft target ŷ beside latent z, and decoder.

Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mddae_cli.config import Arch, Encoder, Inject, ModelKind, TargetKind, Targets, Upsample
from mddae_cli.erasure import QuadraticErasure
from mddae_cli.header import ModelSpec
from mddae_cli.latent import CouplingFlow, Flowed, LatentNorm

_SLOPE = 0.2
# Along a side of a grid on which ŷ adds a bias to each place.
_MOST_PLACES = 8


class Codes(NamedTuple):
    """What the encoder finds: ``logits`` (N, K), the activation a; ``z`` (N, D)."""

    logits: Tensor
    z: Tensor


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


def default_depth(image_size: int) -> int:
    """Return how many halvings leave a grid of about 4 (7 for 28 px).

    Raises:
        ValueError: If the side is none that the networks are built for.
    """
    depths = {28: 2, 32: 3, 64: 4, 128: 5}
    if image_size not in depths:
        raise ValueError(f"image_size {image_size} is none of {sorted(depths)}")
    return depths[image_size]


def _halvings(spec: ModelSpec) -> tuple[list[int], int]:
    """Return the width of each level and the side of the last grid."""
    if spec.image_size % 2**spec.depth:
        raise ValueError(f"depth {spec.depth} does not divide image_size {spec.image_size}")
    widths = [min(spec.width * 2**level, spec.width * 8) for level in range(spec.depth)]
    return widths, spec.image_size // 2**spec.depth


def _hidden(spec: ModelSpec) -> int:
    """Return the width of the fully connected layer between grid and codes, 0 for none.

    Up to 32 px there are two or three convolutions, whose windows do not reach across the
    picture; this layer joins what they see.
    """
    return 16 * spec.width if spec.image_size <= 32 else 0


def _connected(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, outputs, bias=False),
        nn.BatchNorm1d(outputs),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )


def _down(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )


def _up(channels: int, out: int, how: Upsample, *, bias: bool) -> nn.Module:
    """Return a layer that doubles the side.

    The windows of a transposed convolution overlap in a checkerboard, by which strong edits show
    as dots and which they use to please the encoder rather than the eye (Odena et al. 2016,
    Deconvolution and Checkerboard Artifacts).
    """
    if how is Upsample.TRANSPOSED:
        return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=bias)
    return ResizeConv(channels, out, bias=bias)


class ResizeConv(nn.Conv2d):
    """Every pixel repeated 2×2, then a 3×3 convolution, at the cost of the small side.

    Repeating pixels and convolving is one transposed convolution whose 4×4 window is the 3×3
    window spread by the repetition, so the large grid of repeated pixels is never made.

    Args:
        channels: Of the small grid.
        out: Of the large grid.
        bias: Whether a number per channel is added.
    """

    def __init__(self, channels: int, out: int, *, bias: bool) -> None:
        super().__init__(channels, out, 3, padding=1, bias=bias)
        side = torch.zeros(3, 4)
        for row in range(3):  # a transposed convolution turns its window round
            side[2 - row, row : row + 2] = 1
        self.spread: Tensor
        self.register_buffer("spread", torch.kron(side, side), persistent=False)  # (9, 16)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out, 2H, 2W) from (N, channels, H, W)."""
        out, channels = self.weight.shape[:2]
        with torch.autocast(x.device.type, enabled=False):  # sums of weights keep their digits
            window = self.weight.reshape(out * channels, -1) @ self.spread
        window = window.view(out, channels, 4, 4).transpose(0, 1)
        return F.conv_transpose2d(x, window, self.bias, stride=2, padding=1)


class ConvTower(nn.Module):
    """Strided convolutions, for small pictures a connected layer, and a linear one."""

    def __init__(self, spec: ModelSpec, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        widths, side = _halvings(spec)
        self.convs = nn.Sequential(
            *(_down(c, o) for c, o in zip([spec.channels, *widths], widths, strict=False))
        )
        features, hidden = widths[-1] * side * side, _hidden(spec)
        self.hidden = _connected(features, hidden) if hidden else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden or features, outputs)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return what each convolution gives, (N, F, H, W), of images (N, C, H, W)."""
        maps = []
        for convolution in self.convs:
            x = convolution(x)
            maps.append(x)
        return maps

    def join(self, maps: Tensor) -> Tensor:
        """Return what the last layer is given, (N, F), from the last convolution's maps."""
        features: Tensor = self.hidden(maps.flatten(1))
        return features

    def features(self, x: Tensor) -> Tensor:
        """Return what the last layer is given, (N, F), of images (N, C, H, W)."""
        return self.join(self.convs(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs) from images (N, C, H, W)."""
        out: Tensor = self.out(self.dropout(self.features(x)))
        return out


class SharedEncoder(nn.Module):
    """One tower whose output is split into a and z, as in Figure 1."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.sizes = [spec.num_targets, spec.latent_dim]
        self.tower = _tower(spec, sum(self.sizes), spec.dropout)

    def forward(self, x: Tensor) -> Codes:
        """Return logits (N, K) and z (N, D) of images (N, C, H, W)."""
        return Codes(*self.tower(x).split(self.sizes, dim=1))


class SeparateEncoder(nn.Module):
    """A tower for a and a tower for z, of the same shape, as in the authors' later code."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.to_logits = _tower(spec, spec.num_targets, spec.dropout)
        self.to_z = _tower(spec, spec.latent_dim, 0.0)

    def forward(self, x: Tensor, logits: Tensor | None = None) -> Codes:
        """Return logits (N, K), unless they are given, and z (N, D) of images (N, C, H, W)."""
        return Codes(self.to_logits(x) if logits is None else logits, self.to_z(x))


class TargetBias(nn.Module):
    """ŷ joined to a layer as constant maps, and where asked for as maps of its own.

    A convolution over a map that is constant adds the same number everywhere but at the
    border, so a linear layer from ŷ to a bias per channel does the same for far less. In pictures
    that all show the same thing in the same place, glasses belong to the eyes: there a bias per
    channel and place is what ŷ adds.

    Args:
        num_targets: K.
        channels: F.
        grid: Places along a side, laid over the layer by bilinear interpolation; 0 for none. They
            begin at 0, so that ŷ adds the same everywhere until more is learnt.
    """

    def __init__(self, num_targets: int, channels: int, grid: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(num_targets, channels, bias=False)
        self.places = nn.Linear(num_targets, grid * grid * channels, bias=False) if grid else None
        self.shape = (grid, grid, channels)
        if self.places is not None:
            nn.init.zeros_(self.places.weight)

    def forward(self, h: Tensor, y_hat: Tensor) -> Tensor:
        """Return ``h`` (N, F, H, W) with what ŷ (N, K) adds to it."""
        bias: Tensor = self.linear(y_hat)[:, :, None, None]  # (N, F, 1, 1)
        if self.places is not None:
            maps = self.places(y_hat).unflatten(1, self.shape).permute(0, 3, 1, 2)
            bias = bias + maps  # (N, F, grid, grid)
            if maps.shape[2:] != h.shape[2:]:
                bias = F.interpolate(bias, size=h.shape[2:], mode="bilinear", align_corners=False)
        return h + bias


class ConvDecoder(nn.Module):
    """Linear layers from (ŷ, z) and growing convolutions, ŷ joined at each or only the first."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        widths, side = _halvings(spec)
        outs = [*widths[-2::-1], spec.channels]
        self.takes_y = spec.kind is not ModelKind.AE
        self.y_everywhere = self.takes_y and spec.inject is not Inject.FIRST
        self.grid = (widths[-1], side, side)
        joined, hidden = spec.latent_dim + self.takes_y * spec.num_targets, _hidden(spec)
        self.hidden = _connected(joined, hidden) if hidden else nn.Identity()
        later = hidden + self.y_everywhere * spec.num_targets if hidden else joined
        self.from_codes = nn.Linear(later, widths[-1] * side * side, bias=False)
        self.first_norm = nn.BatchNorm2d(widths[-1])
        self.ups = nn.ModuleList(
            _up(c, o, spec.upsample, bias=o == spec.channels)
            for c, o in zip([widths[-1], *outs], outs, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in outs[:-1])
        biased = outs if self.y_everywhere else []
        most = _MOST_PLACES if spec.inject is Inject.PLACES else 0
        self.biases = nn.ModuleList(
            TargetBias(spec.num_targets, o, min(most, 2 * side * 2**level))
            for level, o in enumerate(biased)
        )
        self.squash = nn.Sigmoid() if spec.channels == 1 else nn.Tanh()

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that is given z (N, D) joined to ŷ (N, K)."""
        joined = self.hidden[0] if isinstance(self.hidden, nn.Sequential) else self.from_codes
        return cast(nn.Linear, joined)

    def forward(self, y_hat: Tensor, z: Tensor) -> Tensor:
        """Return images (N, C, H, W) from ŷ (N, K) and z (N, D)."""
        codes = torch.cat([z, y_hat], dim=1) if self.takes_y else z  # (N, D + K)
        codes = self.hidden(codes)
        if self.y_everywhere and not isinstance(self.hidden, nn.Identity):
            codes = torch.cat([codes, y_hat], dim=1)  # (N, hidden + K)
        h = self.from_codes(codes).unflatten(1, self.grid)  # (N, F, h, w)
        h = h.contiguous(memory_format=torch.channels_last)
        h = F.leaky_relu(self.first_norm(h), _SLOPE, inplace=True)
        for level, up in enumerate(self.ups):
            h = up(h)  # (N, F / 2, 2h, 2w)
            if self.y_everywhere:
                h = self.biases[level](h, y_hat)
            if level < len(self.norms):
                h = F.leaky_relu(self.norms[level](h), _SLOPE, inplace=True)
        x_hat: Tensor = self.squash(h.float())
        return x_hat


class CdnetTower(nn.Module):
    """One encoder of the authors' later code: convolutions, two hidden layers, one output.

    The dimensions are those of CDNet (arXiv 2001.08572): 28 px: 32-64, 1000; 64 px:
    64-128-256, 4000-2000.
    """

    def __init__(self, spec: ModelSpec, outputs: int) -> None:
        super().__init__()
        widths, hidden, side = _cdnet_sizes(spec)
        self.convs = nn.Sequential(
            *(_down(c, o) for c, o in zip([spec.channels, *widths], widths, strict=False))
        )
        sizes = [widths[-1] * side * side, *hidden]
        layers: list[nn.Module] = []
        for size, out in zip(sizes, hidden, strict=False):
            layers += [nn.Linear(size, out), nn.LeakyReLU(_SLOPE, inplace=True), nn.Dropout(0.5)]
        self.hidden = nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs) from images (N, C, H, W)."""
        out: Tensor = self.hidden(self.convs(x).flatten(1))
        return out


def _tower(spec: ModelSpec, outputs: int, dropout: float) -> nn.Module:
    if spec.arch is Arch.CDNET:
        return CdnetTower(spec, outputs)
    return ConvTower(spec, outputs, dropout)


def _cdnet_sizes(spec: ModelSpec) -> tuple[list[int], list[int], int]:
    match spec.image_size:
        case 28:
            return [32, 64], [1000], 7
        case 64:
            return [64, 128, 256], [4000, 2000], 8
    raise ValueError(f"arch cdnet has dimensions for 28 and 64 px, not for {spec.image_size}")


class CdnetDecoder(nn.Module):
    """The towers in reverse, ŷ joined to the input of every layer or of the first."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        widths, hidden, side = _cdnet_sizes(spec)
        self.takes_y = spec.kind is not ModelKind.AE
        self.y_everywhere = self.takes_y and spec.inject is not Inject.FIRST
        extra = spec.num_targets if self.takes_y else 0
        later = spec.num_targets if self.y_everywhere else 0
        sizes = [*hidden[::-1], widths[-1] * side * side]
        ins = [spec.latent_dim + extra, *(size + later for size in sizes)]
        self.linears = nn.ModuleList(nn.Linear(i, o) for i, o in zip(ins, sizes, strict=False))
        self.linear_norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes)
        self.grid = (widths[-1], side, side)
        outs = [*widths[-2::-1], spec.channels]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(c + later, o, 4, stride=2, padding=1)
            for c, o in zip([widths[-1], *outs], outs, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in outs[:-1])
        self.squash = nn.Sigmoid() if spec.channels == 1 else nn.Tanh()

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that is given z (N, D) joined to ŷ (N, K)."""
        return cast(nn.Linear, self.linears[0])

    def forward(self, y_hat: Tensor, z: Tensor) -> Tensor:
        """Return images (N, C, H, W) from ŷ (N, K) and z (N, D)."""
        h = z
        for level, (linear, norm) in enumerate(zip(self.linears, self.linear_norms, strict=True)):
            joined = self.takes_y if level == 0 else self.y_everywhere
            h = torch.cat([h, y_hat], dim=1) if joined else h  # (N, size + K)
            h = F.relu(norm(linear(h)), inplace=True)
        h = h.unflatten(1, self.grid)  # (N, F, h, w)
        for level, up in enumerate(self.ups):
            if self.y_everywhere:
                maps = y_hat.to(h.dtype)[:, :, None, None].expand(-1, -1, *h.shape[2:])
                h = torch.cat([h, maps], dim=1)  # (N, F + K, h, w)
            h = up(h)
            if level < len(self.norms):
                h = F.relu(self.norms[level](h), inplace=True)
        x_hat: Tensor = self.squash(h.float())
        return x_hat
