"""The machine: memory that is kept between steps."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mddae_cli import runtime, training
from mddae_cli.config import make_config

# Faults are pages that the system had to clear and map.
_COUNT_FAULTS = """
import itertools, resource, sys, torch
from mddae_cli import runtime

if sys.argv[1] == "keep":
    runtime.keep_freed_memory()
faults = []
for _ in range(10):
    arrays = [torch.ones(count) for count in (2**24, 2**23, 2**22)]
    del arrays
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(min(after - before for before, after in itertools.pairwise(faults)))
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", _COUNT_FAULTS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_for_what_is_asked_for_next() -> None:
    by_itself = faults("leave")
    assert by_itself > 100
    assert faults("keep") < by_itself / 20


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: None) -> None:
        raise TypeError("no library without a name")

    monkeypatch.setattr(runtime.ctypes, "CDLL", refused)
    monkeypatch.setattr(sys, "platform", "win32")
    runtime.keep_freed_memory()


def test_training_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(runtime, "keep_freed_memory", lambda: kept.append(True))
    config = make_config("digits", limit=100, width=4, epochs=1, y_epochs=0)
    training.train(config, tmp_path / "run")
    assert len(kept) == 1
    training.resume(tmp_path / "run")
    assert len(kept) == 2
