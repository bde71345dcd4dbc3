"""Full disks and real pipes: what failed is named, nothing is halved, the end is quiet."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SET = ("--set", "Smiling=1.5", "--device", "cpu")
Done = subprocess.CompletedProcess[bytes]


def smooth(path: Path, seed: int, colours: int = 4) -> None:
    """Write a picture of 64 by 64, the larger as a result the more colours it has."""
    small = np.random.default_rng(seed).integers(0, 256, (colours, colours, 3), dtype=np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(path)


def edit(*words: object, **more: Any) -> Done:
    """Run ``mddae edit`` as a process of its own."""
    command = [sys.executable, "-m", "mddae_cli", "edit", *SET, *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, **more)


def files(folder: str | Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too."""
    root = Path(folder)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_results_that_the_disk_refuses_are_named_and_nothing_stays_of_them(tmp_path: Path) -> None:
    for number in range(6):
        smooth(tmp_path / "in" / f"{number}.png", number, colours=1 + 3 * (number % 2))
    assert edit(tmp_path / "in", "-o", "whole").returncode == 0
    sizes = sorted(len(data) for data in files("whole").values())
    limit = (sizes[2] + sizes[3]) // 2

    def allow_little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = edit(tmp_path / "in", "-o", "out", preexec_fn=allow_little)
    assert done.returncode == 1
    said = done.stderr.decode().splitlines()
    assert [line.count("cannot be written: File too large") for line in said] == [1, 1, 1, 0]
    assert said[-1] == "edited 3, skipped 0, failed 3"
    small = {name: data for name, data in files("whole").items() if len(data) <= limit}
    assert files("out") == small
    assert edit(tmp_path / "in", "-o", "out").returncode == 0
    assert files("out") == files("whole")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "none", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"no small disk can be mounted: {exc}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_keeps_what_was_whole(tmp_path: Path, small_disk: Path) -> None:
    folder = tmp_path / "in"
    for number in range(8):
        smooth(folder / f"{number}.png", number)
    assert edit(folder, "-o", "whole").returncode == 0
    done = edit(folder, "-o", small_disk / "out")
    said = done.stderr.decode().splitlines()
    failed = [line for line in said if "cannot be written: No space left on device" in line]
    assert done.returncode == 1
    assert 0 < len(failed) < 8
    assert said[-1] == f"edited {8 - len(failed)}, skipped 0, failed {len(failed)}"
    there = files(small_disk / "out")
    assert len(there) == 8 - len(failed)
    assert there.items() <= files("whole").items()


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[str], Done]:
    """Return a function that runs a line of bash in which ``mddae`` is a command."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not there")
    command = tmp_path / "bin" / "mddae"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mddae_cli "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}"}

    def run(line: str) -> Done:
        words = ["bash", "-o", "pipefail", "-c", line]
        return subprocess.run(words, capture_output=True, check=False, env=env)

    return run


def test_a_list_of_find_goes_in_and_records_come_out(shell: Callable[[str], Done]) -> None:
    for tool in ("find", "jq", "sort", "uniq"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not there")
    for number in range(5):
        smooth(Path(f"photos/line\n{number}.jpg"), number)
    for number in range(2):
        Path(f"photos/broken {number}.jpg").write_bytes(b"no picture")
    done = shell(
        "find photos -name '*.jpg' -print0"
        " | mddae edit --from-file - -0 --set Smiling=1.5 -o out --json"
        " | jq -r .status | sort | uniq -c"
    )
    assert done.returncode == 1
    assert done.stdout.split() == [b"5", b"edited", b"2", b"failed"]
    assert len(files("out")) == 5


def test_a_picture_comes_in_by_a_pipe_and_goes_out_by_one(shell: Callable[[str], Done]) -> None:
    smooth(Path("a.jpg"), 3)
    done = shell("mddae edit - -o - --set Smiling=1.5 < a.jpg | head -c 8")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\x89PNG\r\n\x1a\n", b"")
    done = shell("mddae edit <(cat a.jpg) -o b.png --set Smiling=1.5")
    assert (done.returncode, done.stdout) == (0, b"b.png\n")


def test_a_pipe_that_is_closed_ends_the_run_quietly(shell: Callable[[str], Done]) -> None:
    for number in range(80):
        smooth(Path(f"in/{number}.png"), number)
    done = shell("mddae edit in -o out --set Smiling=1.5 --json | head -n 1 > /dev/null")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert all(data.endswith(b"IEND\xaeB`\x82") for data in files("out").values())
    done = shell("mddae edit in/1.png -o - --set Smiling=1.5 > /dev/full")
    assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")
