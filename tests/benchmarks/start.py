"""Hold ``mddae edit`` of one picture, from start to result, against ``import torch`` alone.

Both are processes of their own and take turns, so that whatever else the machine does hits both.

    python tests/benchmarks/start.py --rounds 7
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import mddae_cli


class Run(NamedTuple):
    """A process: seconds on the clock and of the processor."""

    wall_s: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(mddae_cli.__file__).parent / "examples" / "portrait.jpg"
        edit = ["-m", "mddae_cli", "edit", str(picture), "--set", "Smiling=1.5", "--overwrite"]
        pairs = []
        for number in range(rounds + 1):
            pair = _run("-c", "import torch"), _run(*edit, "-o", f"{folder}/out.png")
            pairs += [pair] if number else []  # the first fills the machine's caches
    report = {
        f"{field}_{name}": statistics.median(getattr(pair[i], field) for pair in pairs)
        for i, name in enumerate(("torch", "edit"))
        for field in Run._fields
    }
    for field in Run._fields:
        ratios = [getattr(edit, field) / getattr(torch, field) for torch, edit in pairs]
        report[f"{field}_ratio"] = statistics.median(ratios)
    print(json.dumps({key: round(value, 3) for key, value in report.items()}, indent=2))


def _run(*words: str) -> Run:
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{words} ended with status {status}")
    return Run(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    main()
