"""Finding, reading, fitting and writing pictures: the only module that opens one.

A picture is a uint8 array (H, W, C), C = 3 for RGB or 1 for grey; S is the model's image side.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from mddae_cli.errors import ImageError, ModelError, UsageError
from mddae_cli.files import write_bytes
from mddae_cli.header import Preprocess

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
# Pillow warns above this size; its own limit for refusing is twice as large.
MAX_PIXELS = 89_478_485
# Rare plug-ins of Pillow had most of its security holes. Phone JPEGs (MPO) open as JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "PPM")
# .heic and .heif are pictures to everybody but Pillow: found, and then named as failures.
SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".gif",
        ".webp",
        ".avif",
        ".jp2",
        ".j2k",
        ".tif",
        ".tiff",
        ".bmp",
        ".ppm",
        ".pgm",
        ".pnm",
        ".heic",
        ".heif",
    ]
)
WRITTEN_AS = {
    "": "PNG",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
_SAVE_OPTIONS: dict[str, dict[str, int | bool]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
# How far width / height may be from the checkpoint's crop_aspect for its crop box to apply.
_ASPECT_TOLERANCE = 0.01


class FoundImage(NamedTuple):
    """A picture file: its path below the searched folder with ``/``, and what tells a change."""

    path: str
    size: int
    mtime_ns: int


def is_image_name(name: str) -> bool:
    """Return whether a file name ends like a picture's and is not hidden."""
    return not name.startswith(".") and PurePath(name).suffix.lower() in SUFFIXES


def find_images(folder: str | Path) -> list[FoundImage]:
    """Return the pictures below ``folder`` by their suffix, sorted by path.

    Folders are walked recursively; hidden entries and links to folders are not followed.

    Raises:
        ImageError: If a folder cannot be listed.
    """
    try:
        return sorted(_walk(str(folder), ""))
    except OSError as exc:
        raise ImageError(f"folder {exc.filename!r} cannot be listed: {exc.strerror}.") from exc


def _walk(folder: str, prefix: str) -> Iterator[FoundImage]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif is_image_name(entry.name) and entry.is_file():
                status = entry.stat()
                yield FoundImage(prefix + entry.name, status.st_size, status.st_mtime_ns)


def read_image(
    source: str | Path | bytes,
    *,
    background: Colour = WHITE,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Pixels:
    """Return a picture as sRGB, upright, without transparency.

    The EXIF orientation is applied, an ICC profile converted to sRGB, 16-bit and float greys are
    scaled, transparency is laid on ``background``; of several frames the first is read.

    Args:
        source: A path, or the bytes of a file.
        background: The colour behind transparent parts, 0 to 255 each.
        max_pixels: Refuse a picture with more; nothing is decoded before the check. A value
            above Pillow's own limit raises that limit for the process.
        name: How errors call the picture; by default its path.

    Returns:
        uint8 array (H, W, 3).

    Raises:
        ImageError: If the file is missing, no picture, damaged or too large; ``name: reason``.
    """
    if name is None:
        name = "picture" if isinstance(source, bytes) else str(source)
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as handle:
            return np.array(_to_rgb(_load(handle, max_pixels), background))
    except Exception as exc:  # decoders raise nearly anything on broken bytes
        raise ImageError(f"{name}: {_reason(exc)}") from exc


def reason_of(error: ImageError, name: str) -> str:
    """Return what is wrong in an error of :func:`read_image` without the picture's name."""
    return str(error).removeprefix(f"{name}: ")


def _load(handle: BinaryIO, max_pixels: int) -> Image.Image:
    """Return the first frame, decoded and upright."""
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
    image.load()
    # A damaged EXIF block is no reason to lose a picture whose pixels are whole.
    with contextlib.suppress(Exception):
        image = ImageOps.exif_transpose(image)
    return image


def _reason(exc: Exception) -> str:
    match exc:
        case ImageError():
            return str(exc)
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return "has more pixels than the limit."
        case FileNotFoundError():
            return "does not exist."
        case OSError(errno=number, strerror=str(text)) if number is not None:
            return f"cannot be read: {text}."
        case _:
            return f"is damaged or truncated ({str(exc).rstrip('.') or type(exc).__name__})."


def _to_rgb(image: Image.Image, background: Colour) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        # Also palettes: convert("RGB") would show the colours hidden under alpha 0.
        canvas = Image.new("RGBA", image.size, (*background, 255))
        canvas.alpha_composite(_to_srgb(image.convert("RGBA")))
        return canvas.convert("RGB")
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    return _to_srgb(image).convert("RGB")


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


def fit(image: Pixels, preprocess: Preprocess) -> Pixels:
    """Return a picture as the model wants it: cropped, resized, grey or RGB.

    A picture with the proportions of ``preprocess.crop_aspect`` (within 1 %) gets the crop box; it
    may reach beyond the picture, where it is filled with black. Any other picture gets the
    largest central square. Bicubic resizing with anti-aliasing.

    Args:
        image: uint8 (H, W), (H, W, 1) or (H, W, 3).
        preprocess: The model's own preprocessing.

    Returns:
        uint8 array (S, S, C).

    Raises:
        ModelError: If the crop box of the checkpoint makes no sense.
    """
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    side = preprocess.image_size
    picture = Image.fromarray(image).convert("L" if preprocess.channels == 1 else "RGB")
    picture = picture.crop(_crop_box(*picture.size, preprocess))
    if picture.size != (side, side):
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    return np.array(picture).reshape(side, side, preprocess.channels)


def _crop_box(width: int, height: int, preprocess: Preprocess) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) in pixels."""
    if preprocess.crop is not None and preprocess.crop_aspect is not None:
        left, top, right, bottom = _checked_crop(preprocess.crop)
        aspect = width / height / preprocess.crop_aspect
        box = (
            round(left * width),
            round(top * height),
            round(right * width),
            round(bottom * height),
        )
        if abs(aspect - 1) <= _ASPECT_TOLERANCE and box[0] < box[2] and box[1] < box[3]:
            return box
    side = min(width, height)
    left_px, top_px = (width - side) // 2, (height - side) // 2
    return left_px, top_px, left_px + side, top_px + side


def _checked_crop(crop: tuple[float, ...]) -> tuple[float, float, float, float]:
    if len(crop) == 4 and all(math.isfinite(value) and -1 <= value <= 2 for value in crop):
        left, top, right, bottom = crop
        if left < right and top < bottom:
            return left, top, right, bottom
    raise ModelError(f"the model's crop box {list(crop)} is no box of fractions.")


def image_bytes(array: Pixels, format: str = "PNG") -> bytes:
    """Return a picture as the bytes of a file.

    Args:
        array: uint8 (H, W), (H, W, 1) or (H, W, 3).
        format: A value of :data:`WRITTEN_AS`. JPEG is written with quality 95 and full colour
            resolution, WebP without loss.

    Raises:
        UsageError: If the format is not written here.
        ImageError: If the picture does not fit the format, such as its side limit.
    """
    if format not in WRITTEN_AS.values():
        known = ", ".join(sorted(set(WRITTEN_AS.values())))
        raise UsageError(f"picture format {format!r} cannot be written. Known: {known}.")
    plane = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    buffer = io.BytesIO()
    try:
        Image.fromarray(plane).save(buffer, format=format, **_SAVE_OPTIONS.get(format, {}))
    except (OSError, ValueError) as exc:
        raise ImageError(
            f"a picture of {plane.shape} cannot be written as {format}: {exc}"
        ) from exc
    return buffer.getvalue()


def format_of(path: str | Path) -> str:
    """Return the format that a file name asks for: PNG without a suffix.

    Raises:
        UsageError: If the suffix is none that can be written.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in WRITTEN_AS:
        known = " ".join(key for key in WRITTEN_AS if key)
        raise UsageError(f"{str(path)!r}: pictures cannot be written as {suffix}. Use {known}.")
    return WRITTEN_AS[suffix]


def write_image(path: str | Path, array: Pixels) -> None:
    """Write a picture atomically in the format of its name; see :func:`image_bytes`.

    Raises:
        UsageError: If the suffix is none that can be written.
        ImageError: If the disk refuses; a file that was there before stays.
    """
    data = image_bytes(array, format_of(path))
    try:
        write_bytes(path, data)
    except OSError as exc:
        raise ImageError(f"{str(path)!r} cannot be written: {exc.strerror or exc}.") from exc
