"""Which pictures a command line means: files, folders, patterns, standard input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mddae_cli import images
from mddae_cli.errors import ImageError

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """A picture to read: ``name`` is its path, ``-`` for standard input.

    ``below`` is its path below the folder that was named, with ``/``; else its file name.
    """

    name: str
    below: str


class Search(NamedTuple):
    """The pictures found, and how many files beside them have no picture's suffix."""

    sources: list[Source]
    others: int


def find_sources(inputs: Iterable[str], *, outside: Path | None = None) -> list[Source]:
    """Return the pictures that :func:`search` finds."""
    return search(inputs, outside=outside).sources


def search(inputs: Iterable[str], *, outside: Path | None = None) -> Search:
    """Return the pictures that files, folders and patterns stand for, in the order given.

    A folder is walked recursively by suffix, sorted; links to folders are not followed. A pattern
    that the shell did not expand is expanded here. What does not exist, and a folder below that
    cannot be listed, stays in the list and fails when it is read, so that the others are done.

    Args:
        inputs: Paths of files and folders, patterns, or ``-``.
        outside: A folder whose pictures are left out where a folder above it is walked: results
            of an earlier run are not read again.

    Raises:
        ImageError: If a pattern or folder holds no picture.
    """
    found = [_expand(text, outside) for text in inputs]
    sources = [source for search in found for source in search.sources]
    return Search(sources, sum(search.others for search in found))


def _expand(text: str, outside: Path | None) -> Search:
    path = Path(text)
    if text != STDIN and path.is_dir():
        return _walked(text, outside)
    if text != STDIN and glob.has_magic(text) and not os.path.lexists(text):
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  # patterns may be absolute
        if not matches:
            raise ImageError(f"pattern {text!r} matches nothing.")
        return search(matches, outside=outside)
    return Search([Source(text, path.name)], 0)


def _walked(folder: str, outside: Path | None) -> Search:
    path = Path(folder)
    walk = images.walk_folder(path)
    if not walk.images and not walk.closed:
        raise ImageError(f"folder {folder!r} holds no picture.")
    results = outside if outside is not None and _is_within(outside, path) else None

    def is_input(below: str) -> bool:
        return results is None or not _is_within(path / below, results)

    found = sorted([*(image.path for image in walk.images), *(below for below, _ in walk.closed)])
    sources = [Source(str(path / below), below or path.name) for below in found if is_input(below)]
    return Search(sources, sum(map(is_input, walk.others)))


def _is_within(path: Path, folder: Path) -> bool:
    place, root = path.absolute(), folder.absolute()
    return place != root and place.is_relative_to(root)
