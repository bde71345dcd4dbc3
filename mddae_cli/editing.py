"""Editing pictures: setting attributes and swapping classes in the soft target (section 3.5).

Axes: N images, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mddae_cli import checkpoint, runtime
from mddae_cli.config import TargetKind
from mddae_cli.errors import resolve_name
from mddae_cli.header import DEFAULT_FACES, Calibration, Header
from mddae_cli.images import Pixels, fit, read_image, write_image
from mddae_cli.model import AutoEncoder

# Products of matrices with other numbers of rows may add up in another order. In whole sixteens
# each row came out the same to the bit on the CPUs measured, whatever was in the others: a run
# that is interrupted, or shared out, writes the same files.
_EVEN = 16


@dataclass(frozen=True)
class Codes:
    """What pictures are made of: ``y_hat`` (N, K), named, and ``z`` (N, D).

    ``calibration`` is the unit in which :meth:`set` and :meth:`add` take values; None is raw ŷ.
    """

    y_hat: Tensor
    z: Tensor
    names: tuple[str, ...]
    calibration: Calibration | None = None

    def set(self, changes: Mapping[str, float] | None = None, **more: float) -> Codes:
        """Return codes with entries of ŷ replaced (case 2 of section 3.5).

        Args:
            changes: Attribute names and values; any real number, not only in [0, 1]. With a
                calibration 0 is an average picture without the attribute, 1 one with it.
            more: The same as keywords.

        Raises:
            UnknownNameError: If a name does not exist.
        """
        y_hat = self.y_hat.clone()
        for name, value in (dict(changes or {}) | more).items():
            k = self.names.index(resolve_name("attribute", name, self.names))
            y_hat[:, k] = value if self.calibration is None else self.calibration.to_raw(k, value)
        return dataclasses.replace(self, y_hat=y_hat)

    def add(self, changes: Mapping[str, float]) -> Codes:
        """Return codes with numbers added to entries of ŷ, by attribute name.

        Raises:
            UnknownNameError: If a name does not exist.
        """
        y_hat = self.y_hat.clone()
        for name, delta in changes.items():
            k = self.names.index(resolve_name("attribute", name, self.names))
            y_hat[:, k] += delta * (1.0 if self.calibration is None else self.calibration.step(k))
        return dataclasses.replace(self, y_hat=y_hat)

    def swap(self, name: str) -> Codes:
        """Return codes whose largest entry of ŷ and the named one are exchanged (case 1).

        The sum of each row stays what it was. A row whose largest entry is the named one stays.

        Raises:
            UnknownNameError: If the class does not exist.
        """
        wanted = self.names.index(resolve_name("class", name, self.names))
        return dataclasses.replace(self, y_hat=swap_entries(self.y_hat, wanted))

    def with_target(self, other: Codes) -> Codes:
        """Return codes with these z and the soft target of one other picture, ŷ (1, K)."""
        return dataclasses.replace(self, y_hat=other.y_hat.expand(len(self.z), -1))


def swap_entries(y_hat: Tensor, wanted: int) -> Tensor:
    """Return ŷ (N, K) with each row's largest entry and entry ``wanted`` exchanged."""
    rows = torch.arange(len(y_hat), device=y_hat.device)
    now = y_hat.argmax(dim=1)
    swapped = y_hat.clone()
    swapped[rows, now], swapped[rows, wanted] = y_hat[rows, wanted], y_hat[rows, now]
    return swapped


@dataclass(frozen=True)
class Model:
    """A trained model, ready to use: what :func:`load` returns.

    ``raw`` leaves its calibration unused, so that intensities are the paper's own raw ŷ.
    """

    net: AutoEncoder
    header: Header
    device: torch.device
    raw: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The class or attribute names, K."""
        return self.header.names

    @property
    def calibration(self) -> Calibration | None:
        """The unit of intensity; None where it is raw ŷ."""
        return None if self.raw else self.header.calibration

    def to_input(self, images: Pixels) -> Tensor:
        """Return pictures as the network's input.

        Args:
            images: uint8, shape (N, H, W, C), already at the model's side.

        Returns:
            float32, shape (N, C, H, W), in the model's range.

        Raises:
            ValueError: If shape or type differ.
        """
        spec = self.header.model
        wanted = (spec.image_size, spec.image_size, spec.channels)
        if images.dtype != np.uint8 or images.shape[1:] != wanted:
            raise ValueError(f"uint8 (N, {wanted}) is needed, not {images.dtype} {images.shape}")
        low, high = self.header.preprocess.value_range
        owned = np.require(images, requirements=["C", "W"])
        x = torch.from_numpy(owned).to(self.device)
        return x.permute(0, 3, 1, 2).float().mul_((high - low) / 255.0).add_(low)

    @torch.inference_mode()
    def encode(self, images: Pixels) -> Codes:
        """Return the codes of pictures, uint8 (N, H, W, C)."""
        count = len(images)
        logits, z = self.net.encode(self.to_input(images[_even_rows(count)]))
        y_hat = self.net.decoder_target(self.net.soft_target(logits))
        return Codes(y_hat[:count], z[:count], self.names, self.calibration)

    @torch.inference_mode()
    def decode(self, codes: Codes) -> Tensor:
        """Return the pictures of codes, float32 (N, C, H, W) in [0, 1]."""
        low, high = self.header.preprocess.value_range
        rows = _even_rows(len(codes.z))
        x = self.net.decode(codes.y_hat[rows], codes.z[rows])[: len(codes.z)]
        return (x - low).div_(high - low).clamp_(0, 1)

    def reconstruct(self, images: Pixels) -> Tensor:
        """Return the reconstructions of pictures uint8 (N, H, W, C), float32 (N, C, H, W)."""
        return self.decode(self.encode(images))


def _even_rows(count: int) -> list[int]:
    """Return the rows of a batch, the last one repeated up to a number that sixteen divides."""
    return [*range(count), *[count - 1] * (-count % _EVEN)]


def load(where: str | Path, device: str = "auto", *, raw: bool = False) -> Model:
    """Return the model of a file or a run folder.

    Args:
        where: A ``.safetensors`` file, a run folder or the name of a bundled model.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        raw: Take intensities as raw ŷ, the paper's own scale, instead of calibrated ones.

    Raises:
        ModelError: If it is missing, damaged, hostile or too new.
        UsageError: If the device is not there.
    """
    target = runtime.pick_device(device)
    net, header = checkpoint.load(where)
    return Model(net.to(target), header, target, raw)


def to_pixels(x: Tensor) -> Pixels:
    """Return pictures float (N, C, H, W) in [0, 1] as uint8 (N, H, W, C)."""
    pixels: Pixels = x.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


@dataclass(frozen=True)
class Picture:
    """An edited picture: uint8 ``pixels`` (H, W, C)."""

    pixels: Pixels

    def save(self, path: str | Path) -> None:
        """Write the picture; the suffix decides the format."""
        write_image(path, self.pixels)


def edit(
    image: str | Path | Pixels, model: Model | str | Path = DEFAULT_FACES, **changes: float
) -> Picture:
    """Return a picture with attributes set to values: ``edit("a.png", Smiling=1.5)``.

    Args:
        image: A file, or uint8 pixels (H, W, 3).
        model: A model, or what :func:`load` takes; by default the bundled faces.
        changes: Attribute names and values, in the model's unit of intensity.

    Raises:
        ImageError: If the file cannot be read.
        ModelError: If the model is missing or damaged.
        UnknownNameError: If a name does not exist.
    """
    pixels = read_image(image) if isinstance(image, str | Path) else image
    loaded = model if isinstance(model, Model) else load(model)
    return Picture(edit_image(loaded, pixels, changes))


def edit_image(model: Model, image: Pixels, changes: Mapping[str, float]) -> Pixels:
    """Return a picture with attributes set to values.

    Args:
        model: A model of attributes.
        image: uint8, shape (H, W, 3), any size; fitted by the model's preprocessing.
        changes: Attribute names and values, in the model's unit. None gives the reconstruction.

    Returns:
        uint8, shape (S, S, C), S the model's side.

    Raises:
        UnknownNameError: If a name does not exist.
        UsageError: If the model has classes, or no soft target at all.
    """
    model.header.require_targets(TargetKind.ATTRIBUTES)
    codes = model.encode(fit(image, model.header.preprocess)[None])
    edited: Pixels = to_pixels(model.decode(codes.set(changes)))[0]
    return edited


def swap_class(model: Model, image: Pixels, to: str) -> Pixels:
    """Return a picture of another class in the same style (case 1 of section 3.5).

    Args:
        model: A model of classes.
        image: uint8, shape (H, W, 3), any size; fitted by the model's preprocessing.
        to: The class that is wanted.

    Returns:
        uint8, shape (S, S, C), S the model's side.

    Raises:
        UnknownNameError: If the class does not exist.
        UsageError: If the model has attributes, or no soft target at all.
    """
    model.header.require_targets(TargetKind.CLASSES)
    codes = model.encode(fit(image, model.header.preprocess)[None])
    swapped: Pixels = to_pixels(model.decode(codes.swap(to)))[0]
    return swapped


def combine(
    style: str | Path | Pixels, shown: str | Path | Pixels, model: Model | str | Path
) -> Picture:
    """Return a picture with the style (z) of one and the class (ŷ) of another.

    Args:
        style: A file, or uint8 pixels (H, W, 3), any size.
        shown: The picture that shows the class, as ``style``.
        model: A model of classes, or what :func:`load` takes.

    Raises:
        ImageError: If a file cannot be read.
        ModelError: If the model is missing or damaged.
        UsageError: If the model has attributes, or no soft target at all.
    """
    loaded = model if isinstance(model, Model) else load(model)
    loaded.header.require_targets(TargetKind.CLASSES)
    first, second = (
        fit(read_image(image) if isinstance(image, str | Path) else image, loaded.header.preprocess)
        for image in (style, shown)
    )
    codes = loaded.encode(first[None]).with_target(loaded.encode(second[None]))
    return Picture(to_pixels(loaded.decode(codes))[0])
