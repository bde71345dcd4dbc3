"""Many pictures through a model: found, decoded in threads while the model works, in order.

Axes: N pictures of a batch, K classes or attributes, D latent size.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mddae_cli import images
from mddae_cli.editing import Codes, Model, to_pixels
from mddae_cli.errors import ImageError
from mddae_cli.images import Pixels
from mddae_cli.pipeline.sources import STDIN, Source

Floats = npt.NDArray[np.float32]
# Pictures are decoded this many batches ahead of the model, so memory does not grow with inputs.
_AHEAD = 2


@dataclass(frozen=True)
class Encoded:
    """The codes of one picture: ``y_hat`` (K,) and ``z`` (D,), float32."""

    source: Source
    y_hat: Floats
    z: Floats


@dataclass(frozen=True)
class Failed:
    """A picture that could not be read, and why, without its name."""

    source: Source
    reason: str


@dataclass(frozen=True)
class Edited:
    """A picture that was changed and written.

    ``target`` is its file, None for standard output; ``before`` and ``after`` are the soft
    targets (K,) that the picture had and was given.
    """

    source: Source
    target: Path | None
    before: Floats
    after: Floats


@dataclass(frozen=True)
class Skipped:
    """A picture whose result was there already."""

    source: Source
    target: Path


Job = tuple[Source, Path | None]
Result = Edited | Skipped | Failed


def edit_sources(
    model: Model,
    jobs: Sequence[Job],
    change: Callable[[Codes], Codes],
    *,
    overwrite: bool = False,
    batch_size: int = 64,
    write: Callable[[Path | None, Pixels], None],
) -> Iterator[Result]:
    """Change pictures, write them, and yield what became of each, in the order of ``jobs``.

    Decoding and writing go on in threads while the model works. What cannot be read or written
    is yielded as :class:`Failed` and the rest is done.

    Args:
        model: The model.
        jobs: What to read, and where its result goes.
        change: From the codes of a batch to those that are decoded.
        overwrite: Whether results that are there are made again.
        batch_size: Pictures that go through the model at a time.
        write: Writes one result, uint8 (S, S, C); None is standard output. An
            :class:`~mddae_cli.errors.ImageError` of it is that picture's failure.
    """
    skipped = [target is not None and target.exists() and not overwrite for _, target in jobs]
    todo = [job for job, skip in zip(jobs, skipped, strict=True) if not skip]
    finished = _edited(model, todo, change, batch_size, write)
    for (source, target), skip in zip(jobs, skipped, strict=True):
        yield Skipped(source, target) if skip and target is not None else next(finished)


def _edited(
    model: Model,
    jobs: Sequence[Job],
    change: Callable[[Codes], Codes],
    batch_size: int,
    write: Callable[[Path | None, Pixels], None],
) -> Iterator[Edited | Failed]:
    ready = _decoded(model, [source for source, _ in jobs], ahead=_AHEAD * batch_size)
    targets = (target for _, target in jobs)
    waiting: deque[Callable[[], Edited | Failed]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as writers:
        while batch := list(itertools.islice(ready, batch_size)):
            whole = [pixels for _, pixels in batch if not isinstance(pixels, str)]
            changed = iter(_change(model, change, np.stack(whole)) if whole else ())
            for (source, pixels), target in zip(batch, targets, strict=False):
                if isinstance(pixels, str):
                    waiting.append(_now(Failed(source, pixels)))
                    continue
                result, before, after = next(changed)
                done = Edited(source, target, before, after)
                waiting.append(_settled(done, writers.submit(write, target, result)))
            while len(waiting) > _AHEAD * batch_size:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


def _change(
    model: Model, change: Callable[[Codes], Codes], pixels: Pixels
) -> Iterator[tuple[Pixels, Floats, Floats]]:
    codes = model.encode(pixels)
    changed = change(codes)
    results = to_pixels(model.decode(changed))
    before, after = codes.y_hat.cpu().numpy(), changed.y_hat.cpu().numpy()
    return zip(results, before, after, strict=True)


def _now(result: Failed) -> Callable[[], Failed]:
    return lambda: result


def _settled(done: Edited, written: Future[None]) -> Callable[[], Edited | Failed]:
    """Return what waits until a result is on disk, or says why it is not."""

    def wait() -> Edited | Failed:
        try:
            written.result()
        except ImageError as exc:
            return Failed(done.source, str(exc))
        return done

    return wait


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


def _encode(model: Model, pixels: Pixels) -> Iterator[tuple[Floats, Floats]]:
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
