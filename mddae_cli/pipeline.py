"""Many pictures through a model: found, decoded in threads while the model works, in order.

Axes: N pictures of a batch, K classes or attributes, D latent size.
"""

from __future__ import annotations

import glob
import itertools
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mddae_cli import images
from mddae_cli.editing import Model
from mddae_cli.errors import ImageError
from mddae_cli.images import Pixels

STDIN = "-"
# Pictures are decoded this many batches ahead of the model, so memory does not grow with inputs.
_AHEAD = 2


@dataclass(frozen=True)
class Source:
    """A picture to read: ``name`` is its path, ``-`` for standard input.

    ``below`` is its path below the folder that was named, with ``/``; else its file name.
    """

    name: str
    below: str


@dataclass(frozen=True)
class Encoded:
    """The codes of one picture: ``y_hat`` (K,) and ``z`` (D,), float32."""

    source: Source
    y_hat: npt.NDArray[np.float32]
    z: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Failed:
    """A picture that could not be read, and why, without its name."""

    source: Source
    reason: str


def find_sources(inputs: Iterable[str]) -> list[Source]:
    """Return the pictures that files, folders and patterns stand for, in the order given.

    A folder is walked recursively by suffix, sorted; links to folders are not followed. A pattern
    that the shell did not expand is expanded here. What does not exist stays in the list and
    fails when it is read, so that the others are done.

    Raises:
        ImageError: If a folder cannot be listed, or a pattern or folder holds no picture.
    """
    return list(itertools.chain.from_iterable(map(_expand, inputs)))


def _expand(text: str) -> Iterator[Source]:
    path = Path(text)
    if text == STDIN or path.is_file():
        yield Source(text, path.name)
    elif path.is_dir():
        found = images.find_images(path)
        if not found:
            raise ImageError(f"folder {text!r} holds no picture.")
        for image in found:
            yield Source(str(path / image.path), image.path)
    elif glob.has_magic(text) and not os.path.lexists(text):
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  # patterns may be absolute
        if not matches:
            raise ImageError(f"pattern {text!r} matches nothing.")
        for match in matches:
            yield from _expand(match)
    else:
        yield Source(text, path.name)


def encode_sources(
    model: Model, sources: Sequence[Source], *, batch_size: int = 64
) -> Iterator[Encoded | Failed]:
    """Yield the codes of each picture, or why it has none, in the order of ``sources``.

    Pictures are fitted to the model as its checkpoint says. A picture's codes do not depend on
    which others are in its batch, but for rounding.

    Args:
        model: The model.
        sources: What :func:`find_sources` returned.
        batch_size: Pictures that go through the model at a time.
    """
    ready = _decoded(model, sources, ahead=_AHEAD * batch_size)
    while batch := list(itertools.islice(ready, batch_size)):
        whole = [pixels for _, pixels in batch if not isinstance(pixels, str)]
        codes = iter(_encode(model, np.stack(whole)) if whole else ())
        for source, pixels in batch:
            if isinstance(pixels, str):
                yield Failed(source, pixels)
            else:
                yield Encoded(source, *next(codes))


def _encode(
    model: Model, pixels: Pixels
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    codes = model.encode(pixels)
    return zip(codes.y_hat.cpu().numpy(), codes.z.cpu().numpy(), strict=True)


def _decoded(
    model: Model, sources: Sequence[Source], *, ahead: int
) -> Iterator[tuple[Source, Pixels | str]]:
    """Yield each picture at the model's side, or what is wrong with it, in order."""

    def read(source: Source) -> Pixels | str:
        try:
            data = sys.stdin.buffer.read() if source.name == STDIN else Path(source.name)
            picture = images.read_image(data, name=source.name)
            return images.fit(picture, model.header.preprocess)
        except ImageError as exc:
            return images.reason_of(exc, source.name)

    waiting: deque[tuple[Source, Future[Pixels | str]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for source in sources:
                waiting.append((source, pool.submit(read, source)))
                if len(waiting) > ahead:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)
