"""Which pictures a command line means: files, folders, patterns, standard input."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

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


def find_sources(inputs: Iterable[str], *, outside: Path | None = None) -> list[Source]:
    """Return the pictures that files, folders and patterns stand for, in the order given.

    A folder is walked recursively by suffix, sorted; links to folders are not followed. A pattern
    that the shell did not expand is expanded here. What does not exist stays in the list and
    fails when it is read, so that the others are done.

    Args:
        inputs: Paths of files and folders, patterns, or ``-``.
        outside: A folder whose pictures are left out where a folder above it is walked: results
            of an earlier run are not read again.

    Raises:
        ImageError: If a folder cannot be listed, or a pattern or folder holds no picture.
    """
    return list(itertools.chain.from_iterable(_expand(text, outside) for text in inputs))


def _expand(text: str, outside: Path | None) -> Iterator[Source]:
    path = Path(text)
    if text == STDIN or path.is_file():
        yield Source(text, path.name)
    elif path.is_dir():
        found = images.find_images(path)
        if not found:
            raise ImageError(f"folder {text!r} holds no picture.")
        results = outside if outside is not None and _is_within(outside, path) else None
        for image in found:
            place = path / image.path
            if results is None or not _is_within(place, results):
                yield Source(str(place), image.path)
    elif glob.has_magic(text) and not os.path.lexists(text):
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  # patterns may be absolute
        if not matches:
            raise ImageError(f"pattern {text!r} matches nothing.")
        for match in matches:
            yield from _expand(match, outside)
    else:
        yield Source(text, path.name)


def _is_within(path: Path, folder: Path) -> bool:
    place, root = path.absolute(), folder.absolute()
    return place != root and place.is_relative_to(root)
