"""Pictures decoded once into a memory-mapped array on disk (N rows, S image side, C channels).

An entry is a folder with ``images.npy`` and ``entry.json``; its name holds a hash of everything
that decides its contents. It is built beside its place and renamed, so that nobody sees half of one
and two processes may build the same at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import platformdirs

from mddae_cli.data.table import Framing
from mddae_cli.errors import DatasetError, ImageError
from mddae_cli.files import current_umask
from mddae_cli.header import Preprocess
from mddae_cli.images import FoundImage, Pixels, fit, read_image, reason_of
from mddae_cli.reporting import Reporter

# Raised whenever reading or fitting changes what an entry would hold.
CACHE_VERSION = 1
Skipped = tuple[str, str]
Block = tuple[Pixels, list[Skipped]]
Blocks = Generator[Block, None, None]
_BLOCK_ROWS = 256
_STALE_AFTER_S = 24 * 3600.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides an entry: where the files are, what they were, how they are fitted.

    ``rows`` is how many rows there are at most; ``variant`` tells apart selections of one folder;
    ``framing`` takes the place of plain fitting.
    """

    dataset: str
    folder: Path
    files: tuple[FoundImage, ...]
    preprocess: Preprocess
    rows: int
    variant: str = ""
    framing: Framing | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a row: (S, S, C)."""
        side = self.preprocess.image_size
        return side, side, self.preprocess.channels


@dataclass(frozen=True)
class Cached:
    """The rows of an entry, read-only uint8 (N, S, S, C), and the pictures that became none."""

    images: Pixels
    skipped: tuple[Skipped, ...]


def cache_folder() -> Path:
    """Return where decoded data sets are kept: ``MDDAE_CACHE``, or the platform's user cache."""
    given = os.environ.get("MDDAE_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("mddae", appauthor=False)


def cached(recipe: Recipe, blocks: Callable[[], Blocks], reporter: Reporter) -> Cached:
    """Return the entry of ``recipe``, building it where it is missing or damaged.

    Args:
        recipe: What is wanted.
        blocks: Called to build: the rows in order, in slices that fit in memory.
        reporter: Told about the progress.

    Raises:
        DatasetError: If the cache cannot be written, or not a single picture can be read.
    """
    entry = cache_folder() / _entry_name(recipe)
    for _ in range(2):  # another process may clear an entry between building and opening it
        found = _open(entry, recipe)
        if found is not None:
            return found
        _build(entry, recipe, blocks, reporter)
    found = _open(entry, recipe)
    if found is None:
        raise DatasetError(f"the cache {str(entry)!r} cannot be read. Delete it and try again.")
    return found


def picture_blocks(recipe: Recipe) -> Blocks:
    """Yield the fitted pictures of ``recipe.files`` in order, decoded by threads.

    Decoding and resizing release the interpreter's lock. A block holds at most 256 pictures.
    """
    workers = min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(recipe.files), _BLOCK_ROWS):
            yield _decode_block(recipe, recipe.files[start : start + _BLOCK_ROWS], pool)


def _decode_block(recipe: Recipe, files: Sequence[FoundImage], pool: Executor) -> Block:
    def decode(file: FoundImage) -> Pixels | Skipped:
        try:
            image = read_image(recipe.folder / file.path, name=file.path)
            if recipe.framing is not None:
                return recipe.framing.apply(image)
            return fit(image, recipe.preprocess)
        except ImageError as exc:
            return file.path, reason_of(exc, file.path)

    results = list(pool.map(decode, files))
    skipped = [result for result in results if isinstance(result, tuple)]
    rows = [result for result in results if not isinstance(result, tuple)]
    return np.stack(rows) if rows else np.empty((0, *recipe.shape), np.uint8), skipped


def _entry_name(recipe: Recipe) -> str:
    """Return ``dataset-<hash of the source>-<hash of its contents>``."""
    p = recipe.preprocess
    fitting = [p.image_size, p.channels, p.crop, p.crop_aspect]
    framing = [] if recipe.framing is None else [recipe.framing.key]
    source = [CACHE_VERSION, str(recipe.folder.resolve()), recipe.variant, fitting, *framing]
    return f"{recipe.dataset}-{_digest(source)}-{_digest([recipe.files, recipe.rows])}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _open(entry: Path, recipe: Recipe) -> Cached | None:
    """Return the entry, or None where it is missing, incomplete or damaged."""
    try:
        about = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
        images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
        skipped = tuple((str(path), str(reason)) for path, reason in about["skipped"])
        rows = int(about["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if images.dtype != np.uint8 or images.shape != (rows, *recipe.shape):
        return None
    return Cached(np.asarray(images), skipped)


def _build(entry: Path, recipe: Recipe, blocks: Callable[[], Blocks], reporter: Reporter) -> None:
    cache = entry.parent
    needed = recipe.rows * int(np.prod(recipe.shape))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(cache)
        free = shutil.disk_usage(cache).free
        if free < needed:
            raise DatasetError(_no_room(cache, needed, f"only {_megabytes(free)} are free"))
        work = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
        try:
            _fill(work, recipe, blocks(), reporter)
            work.chmod(0o777 & ~current_umask())
            _publish(work, entry, recipe)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as exc:
        raise DatasetError(_no_room(cache, needed, exc.strerror or str(exc))) from exc
    _remove_outdated(entry)


def _fill(work: Path, recipe: Recipe, blocks: Blocks, reporter: Reporter) -> None:
    """Write the rows and what is known about them into ``work``."""
    skipped: list[Skipped] = []
    rows = 0
    reporter.started(f"decode {recipe.dataset}", recipe.rows, "image")
    try:
        # Written, not mapped: on a full disk a mapped page kills the process with SIGBUS.
        with contextlib.closing(blocks), (work / "images.npy").open("wb") as handle:
            _write_header(handle, recipe.rows, recipe)
            for images, left_out in blocks:
                handle.write(np.ascontiguousarray(images).data)
                rows += len(images)
                skipped += left_out
                reporter.advanced(len(images) + len(left_out), {"skipped": len(skipped)})
            handle.seek(0)
            _write_header(handle, rows, recipe)
            handle.flush()
            os.fsync(handle.fileno())
    finally:
        reporter.finished()
    if rows == 0:
        example = ": ".join(skipped[0]) if skipped else "there is none."
        raise DatasetError(
            f"none of the pictures in {str(recipe.folder)!r} can be used. The first: {example}"
        )
    about = json.dumps({"rows": rows, "skipped": skipped})
    (work / "entry.json").write_text(about, encoding="utf-8")


def _write_header(handle: BinaryIO, rows: int, recipe: Recipe) -> None:
    """Write the .npy header; numpy leaves room for the row count, so its length never changes."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (rows, *recipe.shape)}
    np.lib.format.write_array_header_1_0(handle, header)


def _publish(work: Path, entry: Path, recipe: Recipe) -> None:
    """Rename the finished folder into place, unless another process was faster."""
    for _ in range(2):
        try:
            work.rename(entry)
            return
        except OSError:
            if _open(entry, recipe) is not None:
                return
            if not entry.exists():
                raise
            shutil.rmtree(entry)


def _remove_outdated(entry: Path) -> None:
    """Delete older states of the same source. Who has one mapped keeps it on POSIX."""
    source = entry.name.rsplit("-", 1)[0]
    for other in entry.parent.glob(f"{source}-*"):
        if other != entry:
            shutil.rmtree(other, ignore_errors=True)


def _remove_abandoned(cache: Path) -> None:
    """Delete what killed processes left behind, once it is old enough to be nobody's."""
    for work in cache.glob(".building-*"):
        with contextlib.suppress(OSError):
            if time.time() - work.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(work, ignore_errors=True)


def _no_room(cache: Path, needed: int, fact: str) -> str:
    return (
        f"the cache in {str(cache)!r} cannot be written: {fact}. It needs {_megabytes(needed)}.\n"
        "Make room there, or set MDDAE_CACHE to another folder."
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
