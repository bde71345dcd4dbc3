"""Reading a picture: upright, as sRGB of 8 bits, and its transparency apart.

A picture is a uint8 array (H, W, C): C = 3 for RGB or 1 for grey.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from mddae_cli.errors import ImageError
from mddae_cli.formats import READ_DEFAULTS
from mddae_cli.images.pixels import WHITE, Colour, Pixels

# Rare plug-ins of Pillow had most of its security holes. Phone JPEGs (MPO) open as JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "PPM")


class Decoded(NamedTuple):
    """A picture file as it was read.

    ``pixels`` is uint8 (H, W, 3) without transparency; ``alpha`` uint8 (H, W), None where the
    picture is opaque; ``animated`` says that there are frames beyond this first one.
    """

    pixels: Pixels
    alpha: Pixels | None
    animated: bool


def read_image(
    source: str | Path | bytes,
    *,
    background: Colour = WHITE,
    max_pixels: int = READ_DEFAULTS.max_pixels,
    name: str | None = None,
) -> Pixels:
    """Return the pixels, uint8 (H, W, 3), of what :func:`decode` reads."""
    return decode(source, background=background, max_pixels=max_pixels, name=name).pixels


def decode(
    source: str | Path | bytes,
    *,
    background: Colour = WHITE,
    max_pixels: int = READ_DEFAULTS.max_pixels,
    name: str | None = None,
) -> Decoded:
    """Return a picture as sRGB, upright, and its transparency apart.

    The EXIF orientation is applied, an ICC profile converted to sRGB, 16-bit and float greys are
    scaled, transparency is laid on ``background``; of several frames the first is read.

    Args:
        source: A path, or the bytes of a file.
        background: The colour behind transparent parts, 0 to 255 each.
        max_pixels: Refuse a picture with more; nothing is decoded before the check. A value
            above Pillow's own limit raises that limit for the process.
        name: How errors call the picture; by default its path.

    Raises:
        ImageError: If the file is missing, no picture, damaged or too large; ``name: reason``.
    """
    with named_errors(source, name):
        image, animated = load(source, max_pixels)
        return Decoded(*parts_of(image, background), animated)


@contextlib.contextmanager
def named_errors(source: str | Path | bytes, name: str | None = None) -> Iterator[None]:
    """Turn whatever decoders raise on broken bytes into an :class:`ImageError` with its name."""
    try:
        yield
    except Exception as exc:
        raise ImageError(f"{name or name_of(source)}: {_reason(exc)}") from exc


def name_of(source: str | Path | bytes) -> str:
    """Return how errors call a picture: by its path, if it has one."""
    return "picture" if isinstance(source, bytes) else str(source)


def load(source: str | Path | bytes, max_pixels: int) -> tuple[Image.Image, bool]:
    """Return the first frame of a picture, upright and in its own colours, and if there are more.

    Called within :func:`named_errors`: decoders raise nearly anything.
    """
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels
    with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as handle:
        # A pipe, such as a shell's <(command), cannot be wound back.
        whole = handle if handle.seekable() else io.BytesIO(handle.read())
        image = _open(whole, max_pixels)
        animated = _is_animated(image)
        return _upright(image), animated


def reason_of(error: ImageError, name: str) -> str:
    """Return what is wrong in an error of :func:`decode` without the picture's name."""
    return str(error).removeprefix(f"{name}: ")


def parts_of(image: Image.Image, background: Colour = WHITE) -> tuple[Pixels, Pixels | None]:
    """Return a picture as sRGB on a background, uint8 (H, W, 3), and its alpha (H, W) or None."""
    if _is_deep(image) or not image.has_transparency_data:
        return np.array(_to_rgb(image)), None
    # Also palettes: convert("RGB") would show the colours hidden under alpha 0.
    layer = _to_srgb(image.convert("RGBA"))
    alpha = np.array(layer.getchannel("A"))
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(layer)
    return np.array(canvas.convert("RGB")), None if alpha.min() == 255 else alpha


def _open(handle: BinaryIO, max_pixels: int) -> Image.Image:
    """Return a picture whose pixels are not decoded yet."""
    head = handle.read(12)
    if not head:
        raise ImageError("is empty (0 bytes).")
    handle.seek(0)
    try:
        image: Image.Image = Image.open(handle, formats=FORMATS)
    except UnidentifiedImageError as exc:
        if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif"):
            raise ImageError("HEIC cannot be read: convert it to JPEG or PNG.") from exc
        raise ImageError("is no picture in a known format, or its beginning is damaged.") from exc
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f"has {width}×{height} pixels, more than the limit of {max_pixels}.")
    return image


def _is_animated(image: Image.Image) -> bool:
    """Return whether there are frames to see; those of phone JPEGs (MPO) are depth and light."""
    with contextlib.suppress(Exception):  # a later frame may be broken where the first is whole
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return True


def _upright(image: Image.Image) -> Image.Image:
    """Return the first frame, decoded, as its EXIF orientation says."""
    image.load()
    # A damaged EXIF block is no reason to lose a picture whose pixels are whole.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _reason(exc: Exception) -> str:
    match exc:
        case ImageError():
            return str(exc)
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return "has more pixels than the limit."
        case FileNotFoundError():
            return "does not exist."
        case IsADirectoryError():
            return "is a folder, no picture, or one that may not be listed."
        case OSError(errno=number, strerror=str(text)) if number is not None:
            return f"cannot be read: {text}."
        case _:
            return f"is damaged or truncated ({str(exc).rstrip('.') or type(exc).__name__})."


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return an opaque picture as sRGB."""
    if _is_deep(image):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    image = _to_srgb(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_srgb(image: Image.Image) -> Image.Image:
    """Return the picture with its ICC profile applied; an unusable profile is ignored."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if image.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return image if converted is None else converted


def _is_deep(image: Image.Image) -> bool:
    """Return whether a grey picture has more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def _eight_bits(grey: npt.NDArray[np.generic]) -> Pixels:
    """Return a grey plane of more than 8 bits as uint8; Pillow would clip it at 255."""
    values = np.nan_to_num(grey.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if grey.dtype.kind == "u" or (grey.dtype.kind == "i" and high > 255):
        low, high = 0.0, max(high, 65535.0)
    elif low >= 0 and high <= 1 and grey.dtype.kind == "f":
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    scaled = (values - low) * (255.0 / (high - low or 1.0))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
