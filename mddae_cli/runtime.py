"""The machine: device, precision, threads, and random generators derived from a seed."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from mddae_cli.config import Precision
from mddae_cli.errors import UsageError

Module = TypeVar("Module", bound=torch.nn.Module)


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
    """Return the autocast type of the networks while they learn, or None for plain float32.

    ``auto`` takes bfloat16 where the processor itself multiplies it: CUDA devices that have it,
    and CPUs with AVX-512 BF16, where a step of faces takes two thirds of the time. CPUs without
    were 1.2 to 17 times slower in bfloat16.
    """
    if precision is Precision.BF16:
        return torch.bfloat16
    has_it = {"cuda": torch.cuda.is_bf16_supported, "cpu": _cpu_multiplies_bf16}
    if precision is Precision.AUTO and has_it.get(device.type, bool)():
        return torch.bfloat16
    return None


def _cpu_multiplies_bf16() -> bool:
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)  # has no public name yet
    return bool(asked())


def place(module: Module, device: torch.device) -> Module:
    """Return the module on a device, the weights of its convolutions with channels last.

    So lie the maps that go through them; in another order each call lays the weights out anew.
    """
    return module.to(device).to(memory_format=torch.channels_last)


def set_threads(threads: int | None) -> None:
    """Let torch use ``threads`` cores within an operation; None leaves its own choice."""
    if threads is not None:
        torch.set_num_threads(threads)


# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
# New objects, and rounds of each generation, until garbage is looked for: Python's own values.
_OFTEN = 700, 10, 10


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
def many_pictures() -> Iterator[None]:
    """Ready the process for pictures that are read, changed and written beside each other.

    Half the cores are left to threads that read and write: reading, fitting and compressing a
    picture of CelebA's size costs about two thirds of what the model costs, and torch's threads
    lose far more by waiting for a core than by being fewer. Freed memory is kept; garbage is
    looked for often, as pictures may hang on it, but not among what is loaded by now. Every command
    that shows pictures to a model does so under it: other threads could round differently.
    """
    threads, thresholds = torch.get_num_threads(), gc.get_threshold()
    torch.set_num_threads(max(1, threads // 2))
    keep_freed_memory()
    gc.freeze()
    gc.set_threshold(*_OFTEN)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        torch.set_num_threads(threads)


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
