"""A photograph that is changed in places and otherwise stays as it was.

Kept are its size, mode, transparency, colour profile, EXIF block (upright, so that no viewer turns
it again) and format.

Axes: H, W the photograph's own, h, w of a part that changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from mddae_cli import images
from mddae_cli.align.paste import Change, Floats
from mddae_cli.errors import ImageError
from mddae_cli.files import write_bytes
from mddae_cli.formats import READ_DEFAULTS, WRITE_DEFAULTS, WriteOptions
from mddae_cli.images import Pixels

# What is changed in its own colours; everything else is changed and written as sRGB.
_OWN_MODES = ("L", "LA", "RGB", "RGBA")
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Photograph:
    """A picture with everything that is kept.

    ``image`` is upright and in its own colours: mode L, LA, RGB or RGBA. ``pixels`` are the same
    as sRGB without transparency, uint8 (H, W, 3). ``format`` is what it was read from; ``animated``
    says that this is the first of several frames.
    """

    image: Image.Image
    pixels: Pixels
    format: str
    profile: bytes | None = None
    exif: bytes | None = None
    animated: bool = False

    def changed(self, changes: Sequence[Change]) -> Photograph:
        """Return the photograph with changes added, one after the other.

        Outside their parts, and wherever a change rounds to nothing, no bit differs.
        """
        image, srgb = self.image.copy(), self.pixels.copy()
        image.info.clear()  # what is kept of it has been read
        for change in changes:
            rows, columns = change.rows, change.columns
            if not change.values.size:
                continue
            before = srgb[rows, columns]
            after = np.clip(np.rint(before + change.values), 0, 255).astype(np.uint8)
            box = (columns.start, rows.start, columns.stop, rows.stop)
            own = _in_own_colours(np.asarray(image.crop(box)), before, after, self.profile)
            image.paste(Image.fromarray(own), box)
            srgb[rows, columns] = after
        return dataclasses.replace(self, image=image, pixels=srgb)

    @property
    def alpha(self) -> Pixels | None:
        """The transparency, uint8 (H, W), None where there is none."""
        return np.array(self.image.getchannel("A")) if "A" in self.image.mode else None

    def to_bytes(self, format: str | None = None, options: WriteOptions = WRITE_DEFAULTS) -> bytes:
        """Return the photograph as the bytes of a file, by default in the format it had.

        Args:
            format: A value of :data:`mddae_cli.images.WRITTEN_AS`.
            options: How JPEG and WebP are compressed.

        Raises:
            ImageError: If it does not fit the format, such as its side limit.
        """
        wanted = format or (self.format if self.format in images.WRITTEN_AS.values() else "PNG")
        image = self.image
        if image.mode in ("LA", "RGBA") and wanted not in images.HOLDS_ALPHA:
            image = images.opaque(image)
        kept = {"exif": self.exif, "icc_profile": self.profile}
        more = {key: value for key, value in kept.items() if value and wanted != "BMP"}
        buffer = io.BytesIO()
        try:
            image.save(buffer, format=wanted, **images.save_options(wanted, options), **more)
        except (OSError, ValueError) as exc:
            size = f"{image.width}×{image.height}"
            raise ImageError(f"{size} pixels cannot be written as {wanted}: {exc}") from exc
        return buffer.getvalue()

    def save(self, path: str | Path, options: WriteOptions = WRITE_DEFAULTS) -> None:
        """Write the photograph atomically in the format of the file's name.

        Raises:
            UsageError: If the suffix is none that can be written.
            ImageError: If the disk refuses; a file that was there before stays.
        """
        data = self.to_bytes(images.format_of(path), options)
        try:
            write_bytes(path, data)
        except OSError as exc:
            raise ImageError(f"{str(path)!r} cannot be written: {exc.strerror or exc}.") from exc


def read_photograph(
    source: str | Path | bytes,
    *,
    max_pixels: int = READ_DEFAULTS.max_pixels,
    name: str | None = None,
) -> Photograph:
    """Return a picture file with everything that is kept.

    CMYK, palettes and pictures of more than 8 bits become 8 bits of sRGB or grey.

    Args:
        source: A path, or the bytes of a file.
        max_pixels: Refuse a picture with more; nothing is decoded before the check.
        name: How errors call the picture; by default its path.

    Raises:
        ImageError: If the file is missing, no picture, damaged or too large; ``name: reason``.
    """
    with images.named_errors(source, name):
        image, animated = images.load(source, max_pixels)
        format = "JPEG" if image.format == "MPO" else image.format or "PNG"
        own, profile = _own(image)
        plain = own.mode == "RGB" and profile is None
        srgb = np.asarray(own) if plain else images.parts_of(own)[0]
        return Photograph(own, srgb, format, profile, _exif(image), animated)


def photograph_of(pixels: Pixels) -> Photograph:
    """Return pixels, uint8 (H, W, 3), sRGB, as a photograph; PNG by default."""
    return Photograph(Image.fromarray(pixels), pixels, "PNG")


def _own(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    """Return a picture in a mode that can be changed, and its profile where it still holds."""
    profile = image.info.get("icc_profile") or None
    if image.mode in _OWN_MODES and "transparency" not in image.info:
        return image, profile
    if image.mode in ("P", "PA", "RGB", "L"):  # the others have a colour that is transparent
        own = image.convert("RGBA" if image.has_transparency_data else "RGB")
        if profile:
            own.info["icc_profile"] = profile
        return own, profile
    srgb = Image.fromarray(images.parts_of(image)[0])
    return srgb.convert("L") if image.mode in ("1", "F") or image.mode[0] == "I" else srgb, None


def _exif(image: Image.Image) -> bytes | None:
    """Return the EXIF block as bytes; one that is damaged is left out."""
    with contextlib.suppress(Exception):
        exif = image.getexif()
        return exif.tobytes() if exif else None
    return None


def _in_own_colours(own: Pixels, before: Pixels, after: Pixels, profile: bytes | None) -> Pixels:
    """Return a part in the photograph's own colours, changed as its sRGB version was.

    Args:
        own: uint8 (h, w), (h, w, 2), (h, w, 3) or (h, w, 4).
        before: The same part as sRGB, uint8 (h, w, 3).
        after: What it has become.
        profile: The photograph's ICC profile.
    """
    if own.ndim == 2 or own.shape[2] == 2:
        step = (after.astype(np.float32) - before) @ _LUMA
        step = step[:, :, None] if own.ndim == 3 else step
    else:
        step = _from_srgb(after, profile) - _from_srgb(before, profile)
    result = own.copy()
    colours = result if own.ndim == 2 else result[:, :, : step.shape[2]]
    colours[...] = np.clip(np.rint(colours + step), 0, 255).astype(np.uint8)
    return result


def _from_srgb(pixels: Pixels, profile: bytes | None) -> Floats:
    """Return sRGB in the colours of a profile; one that cannot be used is taken for sRGB."""
    if profile is not None:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            into = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                Image.fromarray(pixels), ImageCms.createProfile("sRGB"), into, outputMode="RGB"
            )
            if converted is not None:
                return np.asarray(converted).astype(np.float32)
    return pixels.astype(np.float32)
