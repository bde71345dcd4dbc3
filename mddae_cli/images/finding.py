"""Finding pictures below a folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath
from typing import NamedTuple

from mddae_cli.errors import ImageError

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
