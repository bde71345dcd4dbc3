"""Signals as the command line wants them: a first one asks, a second one ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], None]


@contextmanager
def stop_flag(notice: str) -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a flag and the second into KeyboardInterrupt.

    Args:
        notice: Written to standard error at the first signal; "" says nothing.

    Yields:
        A function that tells whether a signal has come.
    """
    stopped = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        # A handler may interrupt a print that is under way: no buffered stream here.
        os.write(2, notice.encode())

    with _handlers(handle, _SIGNALS):
        yield stopped.is_set


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt, so that ``finally`` clauses clean up."""

    def handle(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handlers(handle, (signal.SIGTERM,)):
        yield


@contextmanager
def _handlers(handle: _Handler, signums: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Install ``handle`` and put the former handlers back; only the main thread may do so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {signum: signal.signal(signum, handle) for signum in signums}
    try:
        yield
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)
