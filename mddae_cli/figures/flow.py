"""Many pictures into sheets: one for each, or one for all, in order and in bounded memory."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from mddae_cli.align.options import DEFAULTS, AlignOptions
from mddae_cli.align.placement import first_crop
from mddae_cli.editing import Model
from mddae_cli.errors import ImageError
from mddae_cli.figures.cells import Cells, Figure, decode_variants
from mddae_cli.formats import READ_DEFAULTS, ReadOptions
from mddae_cli.pipeline import Drawn, Failed, Job, Seen, Skipped, encode_sources, leave_out_done

# Sheets that wait to be drawn and written, for each core.
_WAITING = 2
Write = Callable[[Path | None, Sequence[Cells]], None]


def draw_sources(
    model: Model,
    jobs: Sequence[Job],
    figure: Figure,
    *,
    overwrite: bool = False,
    batch_size: int = 64,
    read: ReadOptions = READ_DEFAULTS,
    faces: AlignOptions = DEFAULTS,
    write: Write,
) -> Iterator[Drawn | Skipped | Failed]:
    """Draw pictures into sheets and yield what became of each, in the order of ``jobs``.

    Neighbours with the same target come into one sheet. A picture that cannot be read is yielded
    as :class:`~mddae_cli.pipeline.Failed` and missing in its sheet; where a sheet cannot be
    written, all its pictures have failed.

    Args:
        model: The model.
        jobs: What to read, and where its sheet goes; None is standard output.
        figure: What is drawn of each picture.
        overwrite: Whether sheets that are there are made again.
        batch_size: Pictures that are encoded at a time.
        read: How pictures are read and fitted; transparent parts are white.
        faces: Which face of a photograph is drawn, as large as the model's picture of it.
        write: Draws and writes one sheet, called in a thread; an
            :class:`~mddae_cli.errors.ImageError` of it is a failure.
    """
    crop = first_crop(model.header, faces, read.fit)

    def work(todo: Sequence[Job]) -> Iterator[Drawn | Failed]:
        sources = [source for source, _ in todo]
        seen = encode_sources(model, sources, batch_size=batch_size, read=read, fit=crop)
        return _draw(todo, _with_cells(model, seen, figure), write, figure.labels)

    return leave_out_done(jobs, work, overwrite=overwrite)


class _Ready(NamedTuple):
    seen: Seen
    cells: Cells


def _with_cells(
    model: Model, seen: Iterator[Seen | Failed], figure: Figure
) -> Iterator[_Ready | Failed]:
    for result in seen:
        if isinstance(result, Failed):
            yield result
            continue
        variants = decode_variants(model, result.codes(model), figure)
        yield _Ready(result, Cells(result.source.below, result.pixels, variants))


def _draw(
    jobs: Sequence[Job], ready: Iterator[_Ready | Failed], write: Write, labels: tuple[str, ...]
) -> Iterator[Drawn | Failed]:
    cores = os.cpu_count() or 1
    waiting: deque[tuple[Path | None, list[_Ready | Failed], Future[None]]] = deque()
    with ThreadPoolExecutor(cores) as writers:
        for target, group in itertools.groupby(jobs, key=itemgetter(1)):
            members = [next(ready) for _ in group]
            sheet = [member.cells for member in members if isinstance(member, _Ready)]
            waiting.append((target, members, writers.submit(_write_some, write, target, sheet)))
            if len(waiting) > _WAITING * cores:
                yield from _settle(*waiting.popleft(), labels)
        while waiting:
            yield from _settle(*waiting.popleft(), labels)


def _write_some(write: Write, target: Path | None, sheet: Sequence[Cells]) -> None:
    if sheet:
        write(target, sheet)


def _settle(
    target: Path | None,
    members: Sequence[_Ready | Failed],
    written: Future[None],
    labels: tuple[str, ...],
) -> Iterator[Drawn | Failed]:
    """Wait until a sheet is on disk, and say of each of its pictures that it is, or why not."""
    failure = None
    try:
        written.result()
    except ImageError as exc:
        failure = str(exc)
    for member in members:
        if isinstance(member, Failed):
            yield member
        elif failure is not None:
            yield Failed(member.seen.source, failure)
        else:
            seen = member.seen
            yield Drawn(seen.source, target, seen.y_hat, labels, seen.elapsed_s, seen.animated)
