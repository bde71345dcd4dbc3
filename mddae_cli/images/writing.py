"""Writing a picture in the format of its name, whole or not at all.

A picture is a uint8 array (H, W, C): C = 3 for RGB or 1 for grey, and one more where it has alpha.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path, PurePath

from PIL import Image

from mddae_cli.errors import ImageError, UsageError
from mddae_cli.files import write_bytes
from mddae_cli.formats import WRITE_DEFAULTS, WriteOptions
from mddae_cli.images.pixels import WHITE, Pixels

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
