"""Photographs through a model: their faces are found in threads, edited in batches and put back.

Axes: N faces of a batch, F faces of a photograph, K attributes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch

from mddae_cli import images, photographs
from mddae_cli.align.options import AlignOptions
from mddae_cli.align.photograph import Photograph
from mddae_cli.align.prepared import Prepared, crops_of, prepare
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import ImageError
from mddae_cli.formats import READ_DEFAULTS, ReadOptions
from mddae_cli.header import Header
from mddae_cli.images import Pixels
from mddae_cli.pipeline.flow import (
    Edited,
    Failed,
    Floats,
    Job,
    Result,
    leave_out_done,
)
from mddae_cli.pipeline.sources import STDIN
from mddae_cli.workers import GROUP, Outbox, Read, Workers

# Photographs are held decoded, before and after the model, up to this many pixels in all (and at
# least one), so that memory depends neither on how many there are nor on how large they are.
_MOST_PIXELS = 32_000_000
# Writers wait for the disk most of the time: more of them than cores.
_WRITERS = 16

Written = Photograph | Pixels
Waiting = Callable[[], Edited | Failed]


class _Read(NamedTuple):
    """What became of a job's picture, and the seconds that reading it and finding faces took."""

    job: Job
    prepared: Prepared | str
    elapsed_s: float
    by_worker: bool = False


def edit_photographs(
    model: Model,
    jobs: Sequence[Job],
    change: Callable[[Codes], Codes],
    options: AlignOptions,
    *,
    overwrite: bool = False,
    batch_size: int = 64,
    read: ReadOptions = READ_DEFAULTS,
    write: Callable[[Path | None, Written], None],
    workers: Workers | None = None,
) -> Iterator[Result]:
    """Change faces of pictures, write them, and yield what became of each, in order of ``jobs``.

    What cannot be read or written, or shows no face, is yielded as :class:`Failed` and the rest
    is done.

    Args:
        model: The model.
        jobs: What to read, and where its result goes.
        change: From the codes of a batch to those that are decoded.
        options: Which faces, and how large the results are.
        overwrite: Whether results that are there are made again.
        batch_size: Faces that go through the model at a time.
        read: How pictures are read, and fitted where no face is looked for.
        write: Writes one result; None is standard output. An ImageError of it is that
            picture's failure.
        workers: Processes that read pictures that no face is looked for in, and write their
            results; by default threads do.
    """

    def work(todo: Sequence[Job]) -> Iterator[Edited | Failed]:
        asked = _asked(workers, todo, ahead=2 * batch_size)
        ready = _read_ahead(model, asked, options, read, most=2 * batch_size)
        return _edited(model, ready, change, batch_size, write, workers)

    return leave_out_done(jobs, work, overwrite=overwrite)


def _edited(
    model: Model,
    ready: Iterator[_Read],
    change: Callable[[Codes], Codes],
    batch_size: int,
    write: Callable[[Path | None, Written], None],
    workers: Workers | None,
) -> Iterator[Edited | Failed]:
    waiting: deque[tuple[int, Waiting]] = deque()
    running: deque[Future[list[tuple[int, Waiting]]]] = deque()
    at_once = _model_threads(model)
    with ThreadPoolExecutor(_WRITERS) as writers, ThreadPoolExecutor(at_once) as thinkers:

        def think(batch: Sequence[_Read]) -> list[tuple[int, Waiting]]:
            return list(_changed(model, change, batch, writers, write, workers))

        for batch in _batches(ready, batch_size):
            running.append(thinkers.submit(think, batch))
            if len(running) == at_once:
                waiting += running.popleft().result()
            while len(waiting) > 2 * batch_size or sum(p for p, _ in waiting) > _MOST_PIXELS:
                yield waiting.popleft()[1]()
        for rest in running:
            waiting += rest.result()
        while waiting:
            yield waiting.popleft()[1]()


def _asked(
    workers: Workers | None, jobs: Sequence[Job], *, ahead: int
) -> Iterator[tuple[Job, Read]]:
    """Yield jobs with what workers have read of each, in order."""
    if workers is None:
        yield from ((job, Read(None)) for job in jobs)
        return
    waiting: deque[tuple[Sequence[Job], Callable[[], list[Read]]]] = deque()
    # One for each worker to be at, and as many as the model may take at once.
    groups = workers.count + math.ceil(ahead / GROUP)
    for first in range(0, len(jobs), GROUP):
        group = jobs[first : first + GROUP]
        waiting.append((group, workers.read([source.name for source, _ in group])))
        if len(waiting) > groups:
            done, results = waiting.popleft()
            yield from zip(done, results(), strict=True)
    for done, results in waiting:
        yield from zip(done, results(), strict=True)


def _model_threads(model: Model) -> int:
    """Return how many batches go through a model at once: all cores, torch's threads each.

    Several batches of one thread each lose less by waiting than one batch of several threads.
    """
    if model.device.type != "cpu":
        return 1
    return max(1, (os.cpu_count() or 1) // torch.get_num_threads())


def _read_ahead(
    model: Model,
    asked: Iterator[tuple[Job, Read]],
    options: AlignOptions,
    read: ReadOptions,
    *,
    most: int,
) -> Iterator[_Read]:
    """Yield what becomes of each job's picture, in order; large ones are read fewer at a time."""
    waiting: deque[Callable[[], _Read]] = deque()
    ahead = threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                some = itertools.islice(asked, max(0, ahead - len(waiting)))
                for job, (prepared, elapsed_s) in some:
                    if prepared is None:
                        reading = pool.submit(_prepared, job, model.header, options, read)
                        waiting.append(reading.result)
                    else:
                        waiting.append(functools.partial(_Read, job, prepared, elapsed_s, True))
                if not waiting:
                    return
                done = waiting.popleft()()
                weight = _weight(done.prepared)
                yield done
                del done  # or it would be held until the next is read
                ahead = max(1, min(most, _MOST_PIXELS // max(weight, 1)))
        finally:
            pool.shutdown(cancel_futures=True)


def _prepared(job: Job, header: Header, options: AlignOptions, read: ReadOptions) -> _Read:
    start, name = time.perf_counter(), job[0].name
    prepared: Prepared | str
    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name)
        prepared = prepare(data, header, options, read, name=name)
    except ImageError as exc:
        prepared = images.reason_of(exc, name)
    return _Read(job, prepared, time.perf_counter() - start)


def _batches(ready: Iterator[_Read], batch_size: int) -> Iterator[list[_Read]]:
    """Yield pictures that go through the model together."""
    batch: list[_Read] = []
    faces = pixels = 0
    for item in ready:
        batch.append(item)
        faces += 0 if isinstance(item.prepared, str) else len(item.prepared.placements)
        pixels += _weight(item.prepared)
        if faces >= batch_size or pixels > _MOST_PIXELS // 2:
            yield batch
            batch, faces, pixels = [], 0, 0
    if batch:
        yield batch


def _weight(prepared: Prepared | str) -> int:
    """Return how many pixels are held for a picture."""
    if isinstance(prepared, str) or prepared.photograph is None:
        return 0
    return prepared.photograph.pixels.size // 3


def _changed(
    model: Model,
    change: Callable[[Codes], Codes],
    batch: Sequence[_Read],
    writers: ThreadPoolExecutor,
    write: Callable[[Path | None, Written], None],
    workers: Workers | None,
) -> Iterator[tuple[int, Waiting]]:
    """Yield, in order, what waits for each picture's result, with the pixels that it holds."""
    start = time.perf_counter()
    read = [done.prepared for done in batch if not isinstance(done.prepared, str)]
    placements = [placement for prepared in read for placement in prepared.placements]
    native = any(prepared.photograph is not None for prepared in read)
    crops = crops_of(placements) if placements else None
    faces = None if crops is None else _Faces(model, change, crops, native=native)
    share = (time.perf_counter() - start) / max(len(read), 1)
    outbox = None if workers is None else Outbox(workers)
    first = 0
    for (source, target), prepared, elapsed_s, by_worker in batch:
        if isinstance(prepared, str) or faces is None:
            yield 0, functools.partial(Failed, source, str(prepared), elapsed_s)
            continue
        part = slice(first, first + len(prepared.placements))
        first = part.stop
        written: Callable[[], float]
        if by_worker and outbox is not None and target is not None:
            result = prepared.result(faces.reconstructed[part], faces.edited[part])
            written = outbox.add(target, cast("Pixels", result))  # nothing is put back
        else:
            written = writers.submit(_write, prepared, faces, part, target, write).result
        done = Edited(
            source,
            target,
            faces.before[part.start],
            faces.after[part.start],
            elapsed_s + share,
            prepared.animated,
            tuple(p.face for p in prepared.placements if p.face is not None),
        )
        yield _weight(prepared), functools.partial(_settled, done, written)
    if outbox is not None:
        outbox.send()


def _settled(done: Edited, written: Callable[[], float]) -> Edited | Failed:
    """Wait until a result is on disk, or say why it is not."""
    try:
        return dataclasses.replace(done, elapsed_s=done.elapsed_s + written())
    except ImageError as exc:
        return Failed(done.source, str(exc), done.elapsed_s)


class _Faces:
    """Faces before and after the model: pictures (N, S, S, C) and soft targets (N, K)."""

    def __init__(
        self, model: Model, change: Callable[[Codes], Codes], crops: Pixels, *, native: bool
    ) -> None:
        codes = model.encode(crops)
        changed = change(codes)
        self.edited = photographs.to_floats(model.decode(changed))
        # Only what is put back needs the plain reconstruction too.
        self.reconstructed = (
            photographs.to_floats(model.decode(codes)) if native else np.zeros_like(self.edited)
        )
        self.before: Floats = codes.y_hat.cpu().numpy()
        self.after: Floats = changed.y_hat.cpu().numpy()


def _write(
    prepared: Prepared,
    faces: _Faces,
    part: slice,
    target: Path | None,
    write: Callable[[Path | None, Written], None],
) -> float:
    """Put the faces back and write the result; return the seconds it took."""
    start = time.perf_counter()
    write(target, prepared.result(faces.reconstructed[part], faces.edited[part]))
    return time.perf_counter() - start
