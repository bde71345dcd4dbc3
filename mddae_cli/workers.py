"""Processes that read, fit and write pictures of an ordinary size beside the model.

Threads do so as well, but a picture takes Python's lock some forty times: with a model beside
them, thousands of pictures wait for it and for each other. A process costs half a second to
start, and pixels have to be sent; so they are for many pictures, and for such as are small
enough or become so. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import stat
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple, TypeVar

from mddae_cli import images
from mddae_cli.align.options import Align, AlignOptions, Size
from mddae_cli.align.photograph import read_photograph
from mddae_cli.align.placement import is_searched
from mddae_cli.align.prepared import Prepared, prepared_of
from mddae_cli.errors import ImageError
from mddae_cli.formats import ReadOptions, WriteOptions
from mddae_cli.header import Header
from mddae_cli.images import Pixels

# Fewer pictures are done before processes would have started.
WORTH_IT = 1000
# Pictures that are sent at a time.
GROUP = 16
_MOST_WORKERS = 16
# Larger files are photographs that are given back whole: no pixels to send to and fro.
_ORDINARY_BYTES = 1_000_000


class Read(NamedTuple):
    """What became of a picture, and the seconds that it took.

    ``prepared`` is a reason where it cannot be read, and None where it is none for a worker: a
    face has to be found in it, or it is large, or no file.
    """

    prepared: Prepared | str | None
    elapsed_s: float = 0.0


class Written(NamedTuple):
    """Why a picture could not be written, or None; and the seconds that it took."""

    error: str | None
    elapsed_s: float


Item = TypeVar("Item")
Done = TypeVar("Done", Read, Written)


class _Task(NamedTuple):
    """What is the same for all pictures."""

    header: Header
    options: AlignOptions
    read: ReadOptions
    write: WriteOptions


class Workers:
    """A pool of processes, as :func:`start_workers` gives it.

    Where they are gone, ended by the system for lack of memory, nothing is read by them, and what
    they should write this process writes.
    """

    def __init__(self, pool: ProcessPoolExecutor, count: int, write: WriteOptions) -> None:
        self.count = count
        self._pool = pool
        self._write = write

    def read(self, names: Sequence[str]) -> Callable[[], list[Read]]:
        """Have pictures read; what is returned waits for them."""
        return self._submit(_read_all, list(names), lambda: [Read(None)] * len(names))

    def write(self, results: Sequence[tuple[Path, Pixels]]) -> Callable[[], list[Written]]:
        """Have pictures, uint8 (S, S, C), written; what is returned waits for them."""
        return self._submit(_write_all, list(results), lambda: _write_each(results, self._write))

    def _submit(
        self,
        work: Callable[[list[Item]], list[Done]],
        items: list[Item],
        otherwise: Callable[[], list[Done]],
    ) -> Callable[[], list[Done]]:
        try:
            future = self._pool.submit(work, items)
        except BrokenExecutor:
            return functools.cache(otherwise)

        @functools.cache
        def wait_for() -> list[Done]:
            try:
                return future.result()
            except BrokenExecutor:
                return otherwise()

        return wait_for


class Outbox:
    """Results that become files, sent to workers in groups."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._group: list[tuple[Path, Pixels]] = []
        self._sent: list[Callable[[], list[Written]]] = []

    def add(self, target: Path, pixels: Pixels) -> Callable[[], float]:
        """Have a result written once its group is full or :meth:`send` is called.

        Returns:
            What waits for the file and returns the seconds that it took, or raises an ImageError.
        """
        number, place = len(self._sent), len(self._group)
        self._group.append((target, pixels))
        if len(self._group) == GROUP:
            self.send()

        def wait_for() -> float:
            error, elapsed_s = self._sent[number]()[place]
            if error is not None:
                raise ImageError(error)
            return elapsed_s

        return wait_for

    def send(self) -> None:
        """Send what is left."""
        if self._group:
            self._sent.append(self._workers.write(self._group))
            self._group = []


@contextlib.contextmanager
def start_workers(
    count: int, header: Header, options: AlignOptions, read: ReadOptions, write: WriteOptions
) -> Iterator[Workers | None]:
    """Yield processes for ``count`` pictures, or None where they are of no use.

    Args:
        count: How many pictures there are.
        header: The model's.
        options: Which faces are looked for, and how large results are.
        read: How pictures are read and fitted.
        write: How they are compressed.
    """
    useless = options.size is Size.NATIVE or options.align is Align.ALWAYS or count < WORTH_IT
    workers = min(os.cpu_count() or 1, _MOST_WORKERS)
    pool = None if useless else _pool(workers, _Task(header, options, read, write))
    if pool is None:
        yield None
        return
    try:
        yield Workers(pool, workers, write)
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int, task: _Task) -> ProcessPoolExecutor | None:
    """Return the pool, or None where the system has no semaphores for it."""
    try:
        return ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(task,),
        )
    except (ImportError, NotImplementedError, OSError):
        return None


_task: _Task


def _begin(task: _Task) -> None:
    """Ready a worker: it ends with the process that it works for, which a signal asks first."""
    global _task
    _task = task
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _read_all(names: list[str]) -> list[Read]:
    return [_read(name) for name in names]


def _read(name: str) -> Read:
    start = time.perf_counter()
    prepared: Prepared | str | None
    try:
        prepared = _prepared(name)
    except ImageError as exc:
        prepared = images.reason_of(exc, name)
    return Read(prepared, time.perf_counter() - start)


def _prepared(name: str) -> Prepared | None:
    try:
        about = Path(name).stat()
    except OSError:  # standard input, or an error that is to be told
        return None
    if not stat.S_ISREG(about.st_mode) or about.st_size > _ORDINARY_BYTES:
        return None
    photograph = read_photograph(Path(name), max_pixels=_task.read.max_pixels, name=name)
    if is_searched(photograph.pixels, _task.header, _task.options):
        return None
    prepared = prepared_of(photograph, _task.header, _task.options, _task.read)
    return prepared if prepared.photograph is None else None


def _write_all(results: list[tuple[Path, Pixels]]) -> list[Written]:
    return _write_each(results, _task.write)


def _write_each(results: Sequence[tuple[Path, Pixels]], options: WriteOptions) -> list[Written]:
    return [_write(target, pixels, options) for target, pixels in results]


def _write(target: Path, pixels: Pixels, options: WriteOptions) -> Written:
    start = time.perf_counter()
    error = None
    try:
        images.make_folder(target)
        images.write_image(target, pixels, options)
    except ImageError as exc:
        error = str(exc)
    return Written(error, time.perf_counter() - start)
