"""Finding, reading, fitting and writing pictures: nobody else opens one."""

from mddae_cli.images.finding import FoundImage, find_images, walk_folder
from mddae_cli.images.fitting import crop_box, fit, fit_alpha, with_alpha
from mddae_cli.images.pixels import Pixels
from mddae_cli.images.reading import (
    Decoded,
    decode,
    load,
    name_of,
    named_errors,
    parts_of,
    read_image,
    reason_of,
)
from mddae_cli.images.writing import (
    HOLDS_ALPHA,
    WRITTEN_AS,
    format_of,
    image_bytes,
    make_folder,
    opaque,
    save_options,
    write_encoded,
    write_image,
)

__all__ = [
    "HOLDS_ALPHA",
    "WRITTEN_AS",
    "Decoded",
    "FoundImage",
    "Pixels",
    "crop_box",
    "decode",
    "find_images",
    "fit",
    "fit_alpha",
    "format_of",
    "image_bytes",
    "load",
    "make_folder",
    "name_of",
    "named_errors",
    "opaque",
    "parts_of",
    "read_image",
    "reason_of",
    "save_options",
    "walk_folder",
    "with_alpha",
    "write_encoded",
    "write_image",
]
