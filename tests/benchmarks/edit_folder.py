"""Hold ``mddae edit`` over a folder of JPEGs against its parts alone, in one run on one machine.

The parts are decoding, fitting and encoding the same pictures, by as many threads as there are
cores and without waiting for the disk; and the model on tensors that are ready, with the cores
that the command gives it and with all. The legs take turns, so that whatever else the machine
does hits all. What a process needs to start is measured on one picture, and the ratio is given
with it and without. Peak memory is compared with that of a folder of a tenth.

    python tests/benchmarks/edit_folder.py --data-dir DIR --count 10000

DIR holds CelebA's ``img_align_celeba``; fewer pictures than asked for are taken several times.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mddae_cli import editing, images, runtime

CHANGES = {"Smiling": 1.5}
BATCH = 64


class Run(NamedTuple):
    """A process: where its results are, seconds on the clock and of the processor, memory."""

    out: Path
    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    options = _parse()
    with tempfile.TemporaryDirectory(dir=options.work_dir) as name:
        work = Path(name)
        files = _copy(options.data_dir / "img_align_celeba", work / "in", options.count)
        tenth = _copy(options.data_dir / "img_align_celeba", work / "tenth", options.count // 10)
        one = _copy(options.data_dir / "img_align_celeba", work / "one", 1)
        report = _measure(work, files, options.rounds)
        report["peak_mb_of_tenth"] = _edit(work, tenth[0].parent).peak_mb
        report["start_s"] = min(_edit(work, one[0].parent).wall_s for _ in range(3))
    report["ratio_without_start"] = (report["edit_s"] - report["start_s"]) / report["larger_s"]
    report["peak_ratio"] = report["peak_mb"] / report["peak_mb_of_tenth"]
    print(json.dumps({key: round(value, 4) for key, value in report.items()}, indent=2))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="where img_align_celeba is")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work-dir", type=Path, help="where the folders go for a while")
    return parser.parse_args()


def _copy(source: Path, folder: Path, count: int) -> list[Path]:
    """Return ``count`` files of a new folder, copied from ``source`` in turn."""
    folder.mkdir()
    originals = sorted(source.glob("*.jpg"))
    files = [folder / f"{number:06}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        shutil.copyfile(originals[number % len(originals)], file)
    return files


def _measure(work: Path, files: Sequence[Path], rounds: int) -> dict[str, float]:
    model = editing.load("celeba64", device="cpu")
    x = np.stack([images.fit(images.read_image(f), model.header.preprocess) for f in files[:2048]])
    with runtime.many_pictures():
        threads = torch.get_num_threads()
    rows: list[dict[str, float]] = []
    for _ in range(rounds):
        edited = _edit(work, files[0].parent)
        results = [images.read_image(path) for path in sorted(edited.out.iterdir())]
        row = {
            "edit_s": edited.wall_s,
            "edit_cpu_s": edited.cpu_s,
            "peak_mb": edited.peak_mb,
        }
        row["codec_s"], row["codec_cpu_s"] = _codec(work, files, results, model)
        row["model_s"], row["model_cpu_s"] = _model(model, x, len(files), threads)
        row["model_all_cores_s"], _ = _model(model, x, len(files), torch.get_num_threads())
        row["larger_s"] = max(row["codec_s"], row["model_s"])
        row["ratio"] = row["edit_s"] / row["larger_s"]
        row["ratio_all_cores"] = row["edit_s"] / max(row["codec_s"], row["model_all_cores_s"])
        rows.append(row)
    middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    return {"count": len(files), "cores": len(os.sched_getaffinity(0)), **middle}


def _edit(work: Path, folder: Path) -> Run:
    """Return what ``mddae edit`` takes for a folder, as a process of its own."""
    out = _new_folder(work)
    changes = [word for name, value in CHANGES.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "mddae_cli", "edit", str(folder), *changes, "--device", "cpu"]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "-q", "-o", str(out)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"mddae edit ended with status {status}")
    return Run(out, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _new_folder(work: Path) -> Path:
    """Return a folder of its own for each leg.

    Files just removed would cost the next leg: ext4 does not take their places for some seconds,
    and searches past them for each new file.
    """
    return Path(tempfile.mkdtemp(dir=work))


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    """Return the seconds on the clock and of the processor."""
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _codec(
    work: Path, files: Sequence[Path], results: Sequence[images.Pixels], model: editing.Model
) -> tuple[float, float]:
    """Return the seconds of reading and fitting each picture and writing its result.

    As many threads as there are cores work on it.
    """
    plain = _new_folder(work)

    def one(file: Path, result: images.Pixels) -> None:
        images.fit(images.read_image(file), model.header.preprocess)
        (plain / f"{file.stem}.png").write_bytes(images.image_bytes(result))

    start = _clocks()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(one, files, results):
            pass
    return _since(start)


def _model(model: editing.Model, x: images.Pixels, count: int, threads: int) -> tuple[float, float]:
    """Return the seconds that the model takes for ``count`` pictures that are ready."""
    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    start = _clocks()
    for first in range(0, count, BATCH):
        some = x[first % len(x) : first % len(x) + BATCH]
        editing.to_pixels(model.decode(model.encode(some).set(CHANGES)))
    taken = _since(start)
    torch.set_num_threads(former)
    return taken


if __name__ == "__main__":
    main()
