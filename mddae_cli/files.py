"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_PROC = "/proc/self/fd"


def write_atomically(path: str | Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file beside its place and let it appear when it is whole and on disk.

    Where the system has files without a name (Linux, most of its file systems), an unfinished
    file leaves nothing behind, whatever ends the process.

    Args:
        path: Where the file shall be; its folder must exist. An existing file is replaced.
        write: Called once with a binary handle to write to.

    Raises:
        OSError: If the disk refuses; what was there before stays.
    """
    path = Path(path)
    descriptor, beside = _open_beside(path)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
            if beside is None and not _named(handle.fileno(), path):
                beside = _temporary(path)
                _named(handle.fileno(), beside)
        if beside is not None:
            beside.replace(path)
    except BaseException:
        if beside is not None:
            beside.unlink(missing_ok=True)
        raise


def _open_beside(path: Path) -> tuple[int, Path | None]:
    """Return a new file in the folder of ``path``: its descriptor, and its name if it has one.

    The system applies the umask to both kinds: mkstemp's 0600 would hide files from a group, and
    asking for the umask changes it for a moment, under the feet of other threads.
    """
    nameless = getattr(os, "O_TMPFILE", None)
    if nameless is not None and os.access(_PROC, os.X_OK):
        with contextlib.suppress(OSError):  # not on every file system
            return os.open(path.parent, nameless | os.O_WRONLY, 0o666), None
    beside = _temporary(path)
    return os.open(beside, _NEW, 0o666), beside


def _temporary(path: Path) -> Path:
    """Return a hidden name beside ``path`` that nobody has; 40 letters fit with any script."""
    return path.with_name(f".{path.name[:40]}.{os.urandom(4).hex()}")


def _named(descriptor: int, path: Path) -> bool:
    """Give a file without a name one; return False where the name is taken."""
    try:
        # A folder's descriptor is given to make Python follow the link that /proc shows.
        os.link(f"{_PROC}/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
    except FileExistsError:
        return False
    return True


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically, as :func:`write_atomically` does."""

    def write(handle: BinaryIO) -> None:
        handle.write(data)

    write_atomically(path, write)


def current_umask() -> int:
    """Return the process's umask; it is set for a moment, so no other thread may make files."""
    umask = os.umask(0o022)
    os.umask(umask)
    return umask
