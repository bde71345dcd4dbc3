"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: str | Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file beside its place and rename it when it is whole and on disk.

    Args:
        path: Where the file shall be; its folder must exist. An existing file is replaced.
        write: Called once with a binary handle to write to.

    Raises:
        OSError: If the disk refuses; what was there before stays.
    """
    path = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
        Path(name).chmod(0o666 & ~current_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically, as :func:`write_atomically` does."""

    def write(handle: BinaryIO) -> None:
        handle.write(data)

    write_atomically(path, write)


def current_umask() -> int:
    """Return the process's umask; mkstemp's 0600 would otherwise hide files from a group."""
    umask = os.umask(0o022)
    os.umask(umask)
    return umask
