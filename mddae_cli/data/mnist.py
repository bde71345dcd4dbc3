"""MNIST from its four IDX files, gzipped or not; downloaded where they are nowhere.

Axes: N digits, H and W pixels.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import os
import socket
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mddae_cli.config import Split, TargetKind
from mddae_cli.data.cache import Blocks, Recipe, cache_folder, cached
from mddae_cli.data.table import Request, Splits, Table, one_hot, random_split, refuse_options
from mddae_cli.errors import DatasetError
from mddae_cli.header import Preprocess
from mddae_cli.images import FoundImage, Pixels, fit
from mddae_cli.reporting import Reporter

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# A box that reaches 2 pixels beyond 28 on every side: 32 without resampling.
_PADDED = (-2 / 28, -2 / 28, 30 / 28, 30 / 28)
_BLOCK_ROWS = 2048
_DOWNLOAD_TIMEOUT_S = 30.0


def load_mnist(request: Request) -> Table:
    """Return MNIST: all 70,000 pooled and parted 5:1:1 by the seed, or in its official parts.

    The official training part is parted 5:1 into training and validation by the seed.

    Raises:
        DatasetError: If a file is missing and cannot be downloaded, or is damaged.
    """
    refuse_options("mnist", request, "attrs", "csv", "framing")
    files = _find_files(request.data_dir) or _refuse_or_download(request)
    train, test = (read_idx(files[1], axes=1), read_idx(files[3], axes=1))
    classes = np.concatenate([train, test])
    if len(train) < 2 or len(test) < 1 or classes.max() > 9:
        raise DatasetError(f"{files[1]} and {files[3]} do not hold labels 0 to 9.")
    recipe = _recipe(files, len(classes), request.image_size)

    def blocks() -> Blocks:
        yield from _digit_blocks(files[0], len(train), recipe.preprocess)
        yield from _digit_blocks(files[2], len(test), recipe.preprocess)

    official = request.split is Split.OFFICIAL
    split = _official_split if official else _pooled_split
    return Table(
        name="mnist",
        images=cached(recipe, blocks, request.reporter).images,
        labels=one_hot(classes, 10),
        splits=split(len(train), len(test), request.split_seed),
        names=tuple("0123456789"),
        kind=TargetKind.CLASSES,
        split=(Split.OFFICIAL if official else Split.RANDOM).value,
        split_seed=request.split_seed,
        preprocess=recipe.preprocess,
    )


def _pooled_split(train: int, test: int, seed: int) -> Splits:
    rows = train + test
    return random_split(rows, seed, rows // 7, rows // 7)


def _official_split(train: int, test: int, seed: int) -> Splits:
    order = np.random.default_rng(seed).permutation(train)
    kept = train - max(train // 6, 1)
    return {
        "train": order[:kept],
        "val": order[kept:],
        "test": np.arange(train, train + test, dtype=np.int64),
    }


def _recipe(files: tuple[Path, ...], rows: int, image_size: int) -> Recipe:
    padded = image_size == 32
    preprocess = Preprocess(
        image_size=image_size,
        channels=1,
        value_range=(0.0, 1.0),
        crop=_PADDED if padded else None,
        crop_aspect=1.0 if padded else None,
    )
    states = (file.stat() for file in files)
    found = tuple(
        FoundImage(file.name, state.st_size, state.st_mtime_ns)
        for file, state in zip(files, states, strict=True)
    )
    return Recipe("mnist", files[0].parent, found, preprocess, rows)


def _digit_blocks(file: Path, rows: int, preprocess: Preprocess) -> Blocks:
    images = read_idx(file, axes=3)
    if len(images) != rows:
        raise DatasetError(f"{file} holds {len(images)} images, but there are {rows} labels.")
    for start in range(0, rows, _BLOCK_ROWS):
        yield np.stack([fit(x, preprocess) for x in images[start : start + _BLOCK_ROWS]]), []


def read_idx(path: Path, axes: int) -> Pixels:
    """Return the array of an IDX file of unsigned bytes, gzipped or not.

    The format: two zero bytes, the type (8), the number of axes, each length as a big-endian
    32-bit number, then the values; see http://yann.lecun.com/exdb/mnist/.

    Args:
        path: The file; ``.gz`` at its end says that it is compressed.
        axes: How many axes it must have.

    Returns:
        uint8 array with that many axes, read-only.

    Raises:
        DatasetError: If the file cannot be read, or is damaged or of another kind.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        magic, *lengths = struct.unpack_from(f">{1 + axes}I", data)
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror or exc}.") from exc
    except (EOFError, zlib.error, struct.error) as exc:
        raise DatasetError(f"{path} is damaged or truncated: {exc}. Fetch it again.") from exc
    offset = 4 * (1 + axes)
    if magic != 0x0800 + axes or math.prod(lengths) != len(data) - offset:
        raise DatasetError(
            f"{path} is damaged: it is no IDX file of {axes} axes, or has the wrong length. "
            "Fetch it again."
        )
    return np.frombuffer(data, np.uint8, offset=offset).reshape(lengths)


def _places(data_dir: Path | None) -> Iterator[Path]:
    """Yield the folders that may hold the files, the first choice first."""
    if data_dir is not None:
        roots = [data_dir]
    else:
        given = os.environ.get("MDDAE_DATA")
        roots = [*([Path(given)] if given else []), cache_folder()]
    for root in roots:
        yield from (root, root / "mnist", root / "MNIST" / "raw", root / "mnist" / "MNIST" / "raw")


def _find_files(data_dir: Path | None) -> tuple[Path, ...] | None:
    for folder in _places(data_dir):
        found = [_either(folder / name) for name in IDX_FILES]
        if all(found):
            return tuple(file for file in found if file is not None)
    return None


def _either(path: Path) -> Path | None:
    """Return the file as it is or gzipped, whichever exists."""
    packed = path.with_name(path.name + ".gz")
    return path if path.is_file() else packed if packed.is_file() else None


def _refuse_or_download(request: Request) -> tuple[Path, ...]:
    if request.data_dir is not None:
        raise DatasetError(_what_to_put("MNIST was not found", request.data_dir))
    _download(cache_folder(), request.reporter)
    files = _find_files(None)
    if files is None:
        raise DatasetError(_what_to_put("MNIST was not found after downloading", cache_folder()))
    return files


def _what_to_put(fact: str, folder: Path) -> str:
    names = ", ".join(f"{name}.gz" for name in IDX_FILES)
    return (
        f"{fact}. Put these four files, gzipped or not, into {str(folder)!r}\n"
        f"(or any folder that data_dir or MDDAE_DATA names): {names}."
    )


def _download(cache: Path, reporter: Reporter) -> None:
    """Fetch MNIST into ``cache/MNIST``; two processes may do so at once."""
    reporter.noted(f"MNIST is not here yet: downloading it into {str(cache)!r}.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=cache) as work:
            _fetch(Path(work))
            raw = cache / "MNIST" / "raw"
            raw.mkdir(parents=True, exist_ok=True)
            for name in IDX_FILES:  # the same bytes from every process, and never half of them
                (Path(work) / "MNIST" / "raw" / name).replace(raw / name)
    except Exception as exc:  # torchvision raises what its mirrors, sockets and archives raise
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise DatasetError(_what_to_put(f"MNIST cannot be downloaded ({reason})", cache)) from exc


def _fetch(folder: Path) -> None:
    # Not at the top: torchvision takes seconds to import, and only a download needs it.
    from torchvision.datasets import MNIST

    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)  # a silent firewall would hold it for minutes
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            MNIST(str(folder), download=True)
    finally:
        socket.setdefaulttimeout(waited)
