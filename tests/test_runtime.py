"""The machine: memory that is kept, arithmetic, cores that are shared."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mddae_cli import runtime, training
from mddae_cli.config import Precision, make_config

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


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_cpu_takes_bfloat16_by_itself_where_it_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, multiplies: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: multiplies)
    cpu = torch.device("cpu")
    taken = runtime.pick_autocast(Precision.AUTO, cpu)
    assert taken is (torch.bfloat16 if multiplies else None)
    assert runtime.pick_autocast(Precision.FP32, cpu) is None
    assert runtime.pick_autocast(Precision.BF16, cpu) is torch.bfloat16
    assert runtime.pick_autocast(Precision.AUTO, torch.device("mps")) is None


def test_a_version_that_cannot_say_so_takes_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert runtime.pick_autocast(Precision.AUTO, torch.device("cpu")) is None


def test_many_pictures_have_half_the_cores_and_keep_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(runtime, "keep_freed_memory", lambda: kept.append(True))
    former, thresholds = torch.get_num_threads(), gc.get_threshold()
    torch.set_num_threads(4)
    gc.set_threshold(400_000)
    rare = gc.get_threshold()
    try:
        with runtime.many_pictures():
            assert torch.get_num_threads() == 2
            assert gc.get_freeze_count() > 1000
            assert gc.get_threshold()[0] < 2000
            assert kept == [True]
        assert torch.get_num_threads() == 4
        assert gc.get_freeze_count() == 0
        assert gc.get_threshold() == rare
    finally:
        gc.set_threshold(*thresholds)
        torch.set_num_threads(former)
