"""Finding, reading, fitting and writing pictures: the only module that opens one.

A picture is a uint8 array (H, W, C): C = 3 for RGB or 1 for grey, and one more where it has alpha;
S is the model's image side.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from mddae_cli.errors import ImageError, ModelError, UsageError
from mddae_cli.files import write_bytes
from mddae_cli.formats import READ_DEFAULTS, WRITE_DEFAULTS, Fit, WriteOptions
from mddae_cli.header import Preprocess

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
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
HOLDS_ALPHA = ("PNG", "WEBP", "TIFF")
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


class Walk(NamedTuple):
    """What lies below a folder: pictures, the paths of ``others``, and folders that are closed.

    A folder is closed that cannot be listed; each comes with the error. Paths are below the
    searched folder, with ``/``; the top itself is ``""``.
    """

    images: list[FoundImage]
    others: list[str]
    closed: list[tuple[str, OSError]]


def find_images(folder: str | Path) -> list[FoundImage]:
    """Return the pictures that :func:`walk_folder` finds, sorted by path.

    Raises:
        ImageError: If a folder cannot be listed.
    """
    walk = walk_folder(folder)
    for _, error in walk.closed:
        raise ImageError(f"folder {error.filename!r} cannot be listed: {error.strerror}.")
    return walk.images


def walk_folder(folder: str | Path) -> Walk:
    """Return what lies below ``folder``, pictures by their suffix and sorted by path.

    Folders are walked recursively; hidden entries and links to folders are left out. A link
    with a picture's name that leads nowhere counts as one, which then fails to be read.
    """
    walk = Walk([], [], [])
    _walk(str(folder), "", walk)
    walk.images.sort()
    return walk


def _walk(folder: str, prefix: str, walk: Walk) -> None:
    try:
        with os.scandir(folder) as entries:
            seen = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as exc:
        walk.closed.append((prefix.removesuffix("/"), exc))
        return
    for entry in seen:
        place = prefix + entry.name
        status = _status(entry)
        if stat.S_ISDIR(status.st_mode):
            if not entry.is_symlink():
                _walk(entry.path, f"{place}/", walk)
        elif is_image_name(entry.name) and stat.S_IFMT(status.st_mode) in (
            stat.S_IFREG,
            stat.S_IFLNK,
        ):
            walk.images.append(FoundImage(place, status.st_size, status.st_mtime_ns))
        else:
            walk.others.append(place)


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    """Return the status of a file, of the link itself where it leads nowhere or in a circle."""
    try:
        return entry.stat()
    except OSError:
        return entry.stat(follow_symlinks=False)


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


def fit(image: Pixels, preprocess: Preprocess, how: Fit = Fit.CROP) -> Pixels:
    """Return a picture as the model wants it: cropped, resized, grey or RGB.

    A picture with the proportions of ``preprocess.crop_aspect`` (within 1 %) gets the crop box; it
    may reach beyond the picture, where it is filled with black. Any other picture is fitted as
    ``how`` says. Bicubic resizing with anti-aliasing.

    Args:
        image: uint8 (H, W), (H, W, 1) or (H, W, 3).
        preprocess: The model's own preprocessing.
        how: What becomes of other proportions, by default the largest central square.

    Returns:
        uint8 array (S, S, C).

    Raises:
        ModelError: If the crop box of the checkpoint makes no sense.
    """
    side, channels = preprocess.image_size, preprocess.channels
    return _fitted(image, preprocess, how, "L" if channels == 1 else "RGB").reshape(
        side, side, channels
    )


def fit_alpha(alpha: Pixels, preprocess: Preprocess, how: Fit = Fit.CROP) -> Pixels:
    """Return the alpha (H, W) of a picture where :func:`fit` brings its pixels, uint8 (S, S).

    What lies beyond the picture is transparent.
    """
    return _fitted(alpha, preprocess, how, "L")


def _fitted(image: Pixels, preprocess: Preprocess, how: Fit, mode: str) -> Pixels:
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    side = preprocess.image_size
    height, width = image.shape[:2]
    box = crop_box(width, height, preprocess, how)
    left, top, right, bottom = box
    within = min(left, top, width - right, height - bottom) >= 0
    if within:
        image = np.ascontiguousarray(image[top:bottom, left:right])
    picture = Image.fromarray(image)
    if picture.mode != mode:
        picture = picture.convert(mode)
    if not within:
        picture = picture.crop(box)
    if picture.size != (side, side):
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    return np.array(picture)


def crop_box(
    width: int, height: int, preprocess: Preprocess, how: Fit = Fit.CROP
) -> tuple[int, int, int, int]:
    """Return what :func:`fit` cuts out of a picture: left, top, right, bottom in pixels."""
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
    if how is Fit.STRETCH:
        return 0, 0, width, height
    side = max(width, height) if how is Fit.PAD else min(width, height)
    left_px, top_px = (width - side) // 2, (height - side) // 2
    return left_px, top_px, left_px + side, top_px + side


def _checked_crop(crop: tuple[float, ...]) -> tuple[float, float, float, float]:
    if len(crop) == 4 and all(math.isfinite(value) and -1 <= value <= 2 for value in crop):
        left, top, right, bottom = crop
        if left < right and top < bottom:
            return left, top, right, bottom
    raise ModelError(f"the model's crop box {list(crop)} is no box of fractions.")


def with_alpha(image: Pixels, alpha: Pixels, background: Colour = WHITE) -> Pixels:
    """Return a picture with its transparency back: on ``background`` it looks as ``image`` does.

    Args:
        image: uint8 (S, S, C), drawn as a model does, which saw the picture on the background.
        alpha: uint8 (S, S), of :func:`fit_alpha`.
        background: The colour behind; of a grey picture its first channel.

    Returns:
        uint8 (S, S, C + 1). Colours are taken back from the background, or edges that are half
        transparent would carry its light to any other one.
    """
    share = np.maximum(alpha[:, :, None], 1) / 255.0
    behind = np.asarray(background[: image.shape[2]], np.float64)
    colours = np.clip(np.rint((image - (1 - share) * behind) / share), 0, 255).astype(np.uint8)
    return np.concatenate([colours, alpha[:, :, None]], axis=2)


def opaque(image: Image.Image) -> Image.Image:
    """Return a picture laid on white, for formats that hold no alpha."""
    canvas = Image.new("RGBA", image.size, (*WHITE, 255))
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("L" if image.mode == "LA" else "RGB")


def image_bytes(
    array: Pixels, format: str = "PNG", options: WriteOptions = WRITE_DEFAULTS
) -> bytes:
    """Return a picture as the bytes of a file.

    Args:
        array: uint8 (H, W), or (H, W, C) with C = 1 or 3, and one more for alpha, which is laid on
            white in a format that has none.
        format: A value of :data:`WRITTEN_AS`.
        options: How JPEG and WebP are compressed.

    Raises:
        UsageError: If the format is not written here.
        ImageError: If the picture does not fit the format, such as its side limit.
    """
    if format not in WRITTEN_AS.values():
        known = ", ".join(sorted(set(WRITTEN_AS.values())))
        raise UsageError(f"picture format {format!r} cannot be written. Known: {known}.")
    plane = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    image = Image.fromarray(plane)
    if image.mode in ("LA", "RGBA") and format not in HOLDS_ALPHA:
        image = opaque(image)
    buffer = io.BytesIO()
    try:
        image.save(buffer, format=format, **save_options(format, options))
    except (OSError, ValueError) as exc:
        raise ImageError(
            f"a picture of {plane.shape} cannot be written as {format}: {exc}"
        ) from exc
    return buffer.getvalue()


def save_options(format: str, options: WriteOptions) -> dict[str, int | bool | str]:
    """Return what Pillow is told of the compression."""
    match format, options.quality:
        case "JPEG", quality:
            return {"quality": quality or 95, "subsampling": options.subsampling.value}
        case "WEBP", None:
            return {"lossless": True}
        case "WEBP", quality:
            return {"quality": quality or 95}
        case "PNG", _:
            # Runs alone take half the time of a search for matches, and photographs of a model's
            # size come out no larger.
            return {"compress_type": zlib.Z_RLE}
    return {}


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


def write_image(path: str | Path, array: Pixels, options: WriteOptions = WRITE_DEFAULTS) -> None:
    """Write a picture atomically in the format of its name; see :func:`image_bytes`.

    Raises:
        UsageError: If the suffix is none that can be written.
        ImageError: If the disk refuses; a file that was there before stays.
    """
    write_encoded(path, image_bytes(array, format_of(path), options))


def make_folder(target: Path) -> None:
    """Make the folder of a result.

    Raises:
        ImageError: If the disk refuses.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ImageError(f"folder {str(target.parent)!r}: {exc.strerror}.") from exc


def write_encoded(path: str | Path, data: bytes) -> None:
    """Write a picture that is encoded already, atomically.

    Raises:
        ImageError: If the disk refuses; a file that was there before stays.
    """
    try:
        write_bytes(path, data)
    except OSError as exc:
        raise ImageError(f"{str(path)!r} cannot be written: {exc.strerror or exc}.") from exc
