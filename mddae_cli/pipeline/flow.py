"""Many pictures through a model: found, decoded in threads while the model works, in order.

Axes: N pictures of a batch, K classes or attributes, D latent size, S image side, C channels.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from mddae_cli import images
from mddae_cli.align.detector import Face
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import ImageError
from mddae_cli.formats import READ_DEFAULTS, ReadOptions
from mddae_cli.header import Preprocess
from mddae_cli.images import Pixels
from mddae_cli.pipeline.sources import STDIN, Source

Floats = npt.NDArray[np.float32]
# Pictures are decoded this many batches ahead of the model, so memory does not grow with inputs.
_AHEAD = 2


@dataclass(frozen=True)
class Encoded:
    """The codes of one picture: ``y_hat`` (K,) and ``z`` (D,), float32.

    ``elapsed_s`` is what was spent on it: reading, and its share of the batch in the model.
    ``animated`` says that it is the first of several frames.
    """

    source: Source
    y_hat: Floats
    z: Floats
    elapsed_s: float = 0.0
    animated: bool = False

    def codes(self, model: Model) -> Codes:
        """Return them as a batch of one, ready to be changed and decoded by the same model."""
        y_hat, z = (torch.from_numpy(row)[None].to(model.device) for row in (self.y_hat, self.z))
        return Codes(y_hat, z, model.names, model.calibration)


@dataclass(frozen=True, kw_only=True)
class Seen(Encoded):
    """The codes of a picture with ``pixels``, uint8 (S, S, C), as the model saw it."""

    pixels: Pixels


@dataclass(frozen=True)
class Failed:
    """A picture that could not be read or written, and why, without its name."""

    source: Source
    reason: str
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Edited:
    """A picture that was changed and written.

    ``target`` is its file, None for standard output; ``before`` and ``after`` are the soft
    targets (K,) that the picture had and was given. ``elapsed_s`` is what was spent on it:
    reading, its share of the batch in the model, writing. ``animated`` as in :class:`Encoded`.
    Where there are ``faces``, ``before`` and ``after`` are of the first of them.
    """

    source: Source
    target: Path | None
    before: Floats
    after: Floats
    elapsed_s: float = 0.0
    animated: bool = False
    faces: tuple[Face, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """A picture that was drawn into a sheet.

    ``target`` is the sheet's file, None for standard output; ``before`` is the soft target (K,)
    that the picture had, ``cells`` says what was drawn of it. ``elapsed_s`` is what was spent on
    it before its sheet was drawn. ``animated`` as in :class:`Encoded`.
    """

    source: Source
    target: Path | None
    before: Floats
    cells: tuple[str, ...]
    elapsed_s: float = 0.0
    animated: bool = False


@dataclass(frozen=True)
class Skipped:
    """A picture whose result was there already."""

    source: Source
    target: Path


Job = tuple[Source, Path | None]
Result = Edited | Drawn | Skipped | Failed
Done = TypeVar("Done")
Fitting = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class _Ready:
    """A picture at the model's side: ``pixels`` (S, S, C)."""

    source: Source
    pixels: Pixels
    animated: bool
    elapsed_s: float


def leave_out_done(
    jobs: Sequence[Job], work: Callable[[Sequence[Job]], Iterator[Done]], *, overwrite: bool
) -> Iterator[Done | Skipped]:
    """Yield what becomes of each job, in order: those whose result is there already are skipped.

    Args:
        jobs: What to read, and where its result goes.
        work: Called once with the others; yields a result for each.
        overwrite: Whether no job is skipped.
    """
    skipped = [target is not None and target.exists() and not overwrite for _, target in jobs]
    finished = work([job for job, skip in zip(jobs, skipped, strict=True) if not skip])
    for (source, target), skip in zip(jobs, skipped, strict=True):
        yield Skipped(source, target) if skip and target is not None else next(finished)


def encode_sources(
    model: Model,
    sources: Sequence[Source],
    *,
    batch_size: int = 64,
    read: ReadOptions = READ_DEFAULTS,
    fit: Fitting | None = None,
) -> Iterator[Seen | Failed]:
    """Yield the codes of each picture, or why it has none, in the order of ``sources``.

    Pictures are fitted to the model as its checkpoint says. A picture's codes do not depend on
    which others are in its batch.

    Args:
        model: The model.
        sources: What :func:`find_sources` returned.
        batch_size: Pictures that go through the model at a time.
        read: How pictures are read and fitted.
        fit: Brings a picture, uint8 (H, W, 3), to the model's side or raises an ImageError; by
            default as checkpoint and ``read`` say.
    """
    decoded = _decoded(model, sources, read, ahead=_AHEAD * batch_size, fit=fit)
    while batch := list(itertools.islice(decoded, batch_size)):
        whole = [ready for ready in batch if isinstance(ready, _Ready)]
        codes = iter(_encode(model, whole) if whole else ())
        for ready in batch:
            yield ready if isinstance(ready, Failed) else next(codes)


def _encode(model: Model, batch: Sequence[_Ready]) -> Iterator[Seen]:
    start = time.perf_counter()
    codes = model.encode(np.stack([ready.pixels for ready in batch]))
    y_hat, z = codes.y_hat.cpu().numpy(), codes.z.cpu().numpy()
    share = (time.perf_counter() - start) / len(batch)
    for ready, y_row, z_row in zip(batch, y_hat, z, strict=True):
        elapsed_s = ready.elapsed_s + share
        yield Seen(ready.source, y_row, z_row, elapsed_s, ready.animated, pixels=ready.pixels)


def _decoded(
    model: Model,
    sources: Sequence[Source],
    read: ReadOptions,
    *,
    ahead: int,
    fit: Fitting | None = None,
) -> Iterator[_Ready | Failed]:
    """Yield each picture at the model's side, or what is wrong with it, in order."""
    waiting: deque[Future[_Ready | Failed]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for source in sources:
                waiting.append(pool.submit(_read, source, model.header.preprocess, read, fit))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read(
    source: Source, preprocess: Preprocess, read: ReadOptions, fit: Fitting | None
) -> _Ready | Failed:
    start = time.perf_counter()
    try:
        data = sys.stdin.buffer.read() if source.name == STDIN else Path(source.name)
        picture = images.decode(data, name=source.name, max_pixels=read.max_pixels)
        if fit is None:
            pixels = images.fit(picture.pixels, preprocess, read.fit)
        else:
            pixels = fit(picture.pixels)
    except ImageError as exc:
        reason = images.reason_of(exc, source.name)
        return Failed(source, reason, time.perf_counter() - start)
    return _Ready(source, pixels, picture.animated, time.perf_counter() - start)
