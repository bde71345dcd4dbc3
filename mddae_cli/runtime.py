"""The machine: device, precision, threads, and random generators derived from a seed."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from mddae_cli.config import Precision
from mddae_cli.errors import UsageError


def pick_device(name: str = "auto") -> torch.device:
    """Return the device that ``name`` means; ``auto`` prefers CUDA, then MPS, then the CPU.

    Raises:
        UsageError: If the name is unknown or the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise UsageError(f"device {name!r} is unknown: auto, cpu, cuda, cuda:N or mps.") from exc
    there = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise UsageError(f"device {name!r} is not there on this machine: use --device auto.")
    return device


def pick_autocast(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return the autocast type of the networks, or None for plain float32.

    ``auto`` takes bfloat16 on CUDA devices that have it and float32 elsewhere: CPUs differ too
    much. A Zen 5, with AVX-512 BF16, takes a step of faces in two thirds of the time; others
    measured were 1.2 to 17 times slower in bfloat16.
    """
    if precision is Precision.BF16:
        return torch.bfloat16
    if precision is Precision.AUTO and device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return None


def set_threads(threads: int | None) -> None:
    """Let torch use ``threads`` cores within an operation; None leaves its own choice."""
    if threads is not None:
        torch.set_num_threads(threads)


# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what is asked for next, where it is glibc.

    A step takes and frees the same arrays as the one before. By itself glibc gives large ones
    back to the system, which clears and maps every page anew: up to a fifth of a CPU's time.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def shared_cores() -> Iterator[None]:
    """Leave half the cores to threads that read and write pictures beside the model.

    Reading, fitting and compressing a picture of CelebA's size costs about two thirds of what
    the model costs, and torch's threads lose far more by waiting for a core than by being fewer.
    """
    former = torch.get_num_threads()
    torch.set_num_threads(max(1, former // 2))
    try:
        yield
    finally:
        torch.set_num_threads(former)


def derive_seed(seed: int, purpose: str, step: int = 0) -> int:
    """Return a 63-bit seed for one purpose and step, so that no two share a stream."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def some_rows(
    rows: npt.NDArray[np.int64], count: int | None, seed: int, purpose: str
) -> npt.NDArray[np.int64]:
    """Return ``rows``, or ``count`` of them by chance, in order; all where ``count`` is None."""
    if count is None or len(rows) <= count:
        return rows
    rng = np.random.default_rng(derive_seed(seed, purpose))
    chosen: npt.NDArray[np.int64] = np.sort(rng.choice(rows, count, replace=False))
    return chosen


def generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """Return a CPU generator that depends on nothing but its arguments.

    A resumed run therefore needs no saved generator state: step ``n`` draws the same numbers
    whether or not the process was restarted before it.
    """
    return torch.Generator().manual_seed(derive_seed(seed, purpose, step))
