"""Compare mddae's training loop with a plain one on CelebA at 64 px, in one run on one machine.

Both train the same model from the same weights on the same batches with the same optimiser.
The plain loop decodes, crops and resizes a JPEG per picture in a Dataset behind a DataLoader,
keeps the contiguous memory format and takes MS-SSIM from pytorch-msssim as it stands, where ours
estimates its finest scale from every second window. With --plain-layers the decoder repeats pixels
and convolves them by a layer each, with --by-attribute the distance correlation is taken attribute
by attribute. Each loop has a process of its own, and blocks alternate, so that whatever else the
machine does hits all.

Training is chaotic: rounding alone parts two curves after some tens of steps. How far is shown
by a third loop, ours from weights that are changed by one part in a million.

    python tests/benchmarks/train_step.py --data-dir DIR --steps 60 --threads 2

Axes: N batch, C channels, H, W image side, K attributes, D latent size.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from PIL import Image
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mddae_cli import data, losses, metrics, runtime
from mddae_cli.config import Precision, Reg, TrainConfig, make_config
from mddae_cli.data.table import Table
from mddae_cli.header import SsimSpec
from mddae_cli.model import ResizeConv
from mddae_cli.reporting import Silent
from mddae_cli.training import make_header
from mddae_cli.training.batches import Batch
from mddae_cli.training.beside import in_turn
from mddae_cli.training.loop import Trainer
from mddae_cli.training.runfolder import RunFolder

WORKERS = (0, 2)
SYNTHETIC = 1500
PAGE = os.sysconf("SC_PAGE_SIZE")

Sample = tuple[Tensor, Tensor]


class Picture(NamedTuple):
    """What the plain Dataset is asked for: a row of the table and how it is changed."""

    row: int
    mirrored: bool
    top: int
    left: int


class Jpegs(Dataset[Sample]):
    """A picture at a time: decode, crop, resize, scale."""

    def __init__(self, table: Table, folder: Path, reach: int) -> None:
        self.table, self.folder, self.reach = table, folder, reach

    def __getitem__(self, picture: Picture) -> Sample:
        preprocess = self.table.preprocess
        side, (low, high) = preprocess.image_size, preprocess.value_range
        with Image.open(self.folder / self.table.files[picture.row]) as image:
            image = image.convert("RGB")
            if preprocess.crop is not None:
                sizes = image.size * 2
                image = image.crop(
                    [round(f * s) for f, s in zip(preprocess.crop, sizes, strict=True)]
                )
            pixels = np.array(image.resize((side, side), Image.Resampling.BICUBIC))
        if picture.mirrored:
            pixels = pixels[:, ::-1]
        pixels = np.pad(pixels, ((self.reach,) * 2, (self.reach,) * 2, (0, 0)), mode="edge")
        pixels = pixels[picture.top :, picture.left :][:side, :side]
        x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()  # (C, H, W)
        y = torch.from_numpy(self.table.labels[picture.row].astype(np.float32))
        return x / 255.0 * (high - low) + low, y


def plan(trainer: Trainer, table: Table) -> Iterator[list[Picture]]:
    """Yield what mddae's own batches consist of, by the same draws."""
    config, batches = trainer.config, trainer.batches
    for step in itertools.count(trainer.position.step):
        epoch, within = divmod(step, len(batches))
        order = torch.randperm(
            len(batches.rows), generator=runtime.generator(config.seed, "shuffle", epoch)
        )
        size = batches.batch_size
        rows = batches.rows[order[within * size : (within + 1) * size].numpy()]
        rng = runtime.generator(config.seed, "augment", step)
        mirrored = [False] * size
        if config.flip:
            mirrored = (torch.rand(size, generator=rng) < 0.5).tolist()
        top, left = 0, 0
        if config.shift:
            top, left = torch.randint(2 * config.shift + 1, (2,), generator=rng).tolist()
        yield [Picture(int(r), m, top, left) for r, m in zip(rows, mirrored, strict=True)]


def plain_dssim(
    x: Tensor, x_hat: Tensor, spec: SsimSpec, value_range: tuple[float, float], *, stride: int = 1
) -> Tensor:
    """Multi-scale SSIM from pytorch-msssim's pieces, which know no stride.

    Its own ms_ssim refuses 64 px.
    """
    low, high = value_range
    x, x_hat = (x - low) / (high - low), (x_hat - low) / (high - low)
    window = _fspecial_gauss_1d(spec.window, spec.sigma).repeat([x.shape[1], 1, 1, 1])
    terms = []
    for scale in range(len(spec.weights)):
        if scale:
            odd = [side % 2 for side in x.shape[2:]]
            x, x_hat = (nn.functional.avg_pool2d(v, 2, padding=odd) for v in (x, x_hat))
        similarity, contrast = _ssim(x, x_hat, win=window, data_range=1.0, size_average=False)
        last = scale == len(spec.weights) - 1
        terms.append(torch.relu(similarity if last else contrast))
    weights = x.new_tensor(spec.weights).view(-1, 1, 1)
    return (0.5 * (1 - (torch.stack(terms) ** weights).prod(dim=0).mean(dim=1))).mean()


def plain_decorrelation(reg: Reg, y_hat: Tensor, z: Tensor) -> Tensor:
    """The distance correlation of each attribute with z by itself."""
    if reg is not Reg.DCOR_ATTR:
        return _ours_decorrelation(reg, y_hat, z)
    columns = range(y_hat.shape[1])
    each = [metrics.distance_correlation2_u(y_hat[:, k : k + 1], z) for k in columns]
    return torch.stack(each).mean()


_ours_decorrelation = losses.decorrelation


def plain_resize_conv(self: ResizeConv, x: Tensor) -> Tensor:
    """Pixels repeated, then the convolution, on the large grid."""
    repeated = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    return nn.functional.conv2d(repeated, self.weight, self.bias, padding=1)


class Plainness(NamedTuple):
    """What is plain beyond the loop itself."""

    layers: bool
    by_attribute: bool

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(losses, "dssim", plain_dssim))
            if self.by_attribute:
                stack.enter_context(mock.patch.object(losses, "decorrelation", plain_decorrelation))
            if self.layers:
                stack.enter_context(mock.patch.object(ResizeConv, "forward", plain_resize_conv))
            yield


class Recorder(Silent):
    """Keeps the losses of each step."""

    def __init__(self) -> None:
        self.curve: list[dict[str, float]] = []

    def advanced(self, steps: int, figures: Any) -> None:
        self.curve.append(dict(figures))


class Loop(ABC):
    """A training loop that runs in blocks of steps; each step's seconds are kept."""

    def __init__(self, config: TrainConfig, table: Table, work: Path, y_steps: int, steps: int):
        self.table, self.recorder = table, Recorder()
        header, run = make_header(config, table), RunFolder(work / "run")
        self.trainer = Trainer(config, table, header, run, self.recorder, lambda: False)
        self.trainer.timetable.y_steps = y_steps
        self.trainer.timetable.total_steps = y_steps + steps
        self.seconds: list[float] = []
        # Of the steps that learn all: what all threads of this process have worked.
        self.processor: list[float] = []
        self.once_s = 0.0

    @abstractmethod
    def batches(self, steps: int) -> Iterator[Batch]:
        """Yield the next batches; what differs between the loops."""

    def block(self, steps: int) -> None:
        trainer = self.trainer
        learns_target = trainer.timetable.learns_target(trainer.position)
        start = time.perf_counter()
        trainer._prepare(learns_target)
        self.once_s += time.perf_counter() - start
        batches = self.batches(steps)
        # What starts an epoch, such as worker processes, is not a step's.
        following = next(batches)
        for left in range(steps, 0, -1):
            start, worked = time.perf_counter(), time.process_time()
            trainer._step(following, learns_target)
            trainer.position.step += 1
            if left > 1:
                following = next(batches)
            if left < steps:  # the first step had its batch before
                self.seconds.append(time.perf_counter() - start)
                if not learns_target:
                    self.processor.append(time.process_time() - worked)
        batches.close()
        if not trainer.config.ema:
            trainer._follow(trainer.position.step)  # as at the end of an epoch


class Ours(Loop):
    """mddae's loop as :mod:`mddae_cli.training.loop` runs it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        runtime.keep_freed_memory()

    def batches(self, steps: int) -> Iterator[Batch]:
        done = self.trainer.position.step
        while True:
            epoch, within = divmod(done, len(self.trainer.batches))
            for batch in self.trainer.batches.epoch(epoch, within):
                done += 1
                yield batch


class Nudged(Ours):
    """The same from weights changed by one part in a million: how far rounding parts curves."""

    @torch.no_grad()
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        rng = torch.Generator().manual_seed(0)
        for weight in self.trainer.net.parameters():
            weight *= 1 + 1e-6 * torch.randn(weight.shape, generator=rng)


class Plain(Loop):
    """The same model, optimiser and batches, everything else plain."""

    def __init__(self, *args: Any, folder: Path, workers: int, how: Plainness) -> None:
        super().__init__(*args)
        self.folder, self.workers, self.how = folder, workers, how
        self.trainer._know_pictures = self._know_nothing
        self.trainer.both = in_turn
        net = self.trainer.net.to(memory_format=torch.contiguous_format)
        self.trainer.objective.to(memory_format=torch.contiguous_format)
        self.trainer.optimiser = plain_optimiser(self.trainer)
        self.trainer.average.to(memory_format=torch.contiguous_format)
        # The decoder itself asks for channels-last before this layer.
        net.decoder.first_norm.register_forward_pre_hook(lambda _, args: (_contiguous(args[0]),))

    def _know_nothing(self) -> None:
        """Observers need their line of strengths; what a picture is like is asked at each step."""
        Trainer._know_pictures(self.trainer)

    def batches(self, steps: int) -> Iterator[Batch]:
        wanted = list(itertools.islice(plan(self.trainer, self.table), steps))
        pictures = Jpegs(self.table, self.folder, self.trainer.config.shift)
        loader = DataLoader(pictures, batch_sampler=wanted, num_workers=self.workers)
        for x, y in loader:
            yield Batch(x, y, torch.empty(0))

    def block(self, steps: int) -> None:
        with self.how.applied():
            super().block(steps)


def plain_optimiser(trainer: Trainer) -> torch.optim.AdamW:
    """The same optimiser as torch makes it where nothing else is asked for."""
    given = trainer.optimiser.defaults
    same = {name: given[name] for name in ("lr", "betas", "weight_decay")}
    (learning,) = (group["params"] for group in trainer.optimiser.param_groups)
    return torch.optim.AdamW(learning, **same)


def _contiguous(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.contiguous_format)


class Cost(NamedTuple):
    """Seconds on the clock, and seconds that the threads of the process have worked together."""

    clock: float
    processor: float


def cost_of(call: Callable[[], Any], repeats: int = 10) -> Cost:
    """Return the median cost of a call."""
    call()
    costs = []
    for _ in range(repeats):
        start, worked = time.perf_counter(), time.process_time()
        call()
        costs.append(Cost(time.perf_counter() - start, time.process_time() - worked))
    return Cost(*(statistics.median(each) for each in zip(*costs, strict=True)))


def loss_costs(loop: Loop) -> dict[str, Cost]:
    """Return what MS-SSIM and the regulariser take, forward and backward, in one step.

    They get as many threads as the half of a step that they belong to: all in the plain loop.
    """
    trainer = loop.trainer

    def cost(call: Callable[[], Any]) -> Cost:
        return trainer.both(lambda: cost_of(call), lambda: None)[0]

    batches = loop.batches(1)
    x = next(batches).x
    batches.close()
    with torch.no_grad():
        logits, z = trainer.net.encode(x)
        y_hat = trainer.net.soft_target(logits)
        x_hat = trainer.net.decode(trainer.net.decoder_target(y_hat), z)
    x_hat, z = x_hat.requires_grad_(), z.requires_grad_()
    spec, value_range = trainer.header.ssim, trainer.header.preprocess.value_range
    regulariser = copy.deepcopy(trainer.objective.decorrelation)
    stride = trainer.config.ssim_stride
    dssim = cost(lambda: losses.dssim(x, x_hat, spec, value_range, stride=stride).backward())
    if trainer.config.reg is Reg.NONE:
        return {"ms_ssim": dssim, "regulariser": Cost(0.0, 0.0)}
    return {
        "ms_ssim": dssim,
        "regulariser": cost(lambda: regulariser(y_hat, z).backward()),
    }


@contextlib.contextmanager
def memory_watch() -> Iterator[list[int]]:
    """Yield a list that ends up with the peak of memory that is mapped from no file, in bytes."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            resident, shared = Path("/proc/self/statm").read_text().split()[1:3]
            peak[0] = max(peak[0], (int(resident) - int(shared)) * PAGE)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def file_bytes() -> int:
    """Return the resident memory that is mapped from files: libraries, before the cache is."""
    return int(Path("/proc/self/statm").read_text().split()[2]) * PAGE


def print_peak_memory(options: argparse.Namespace) -> None:
    """Run our loop alone and print its peak memory without the cache, in bytes."""
    libraries = file_bytes()
    with memory_watch() as peak, tempfile.TemporaryDirectory() as work:
        config, table = load(options)
        Ours(config, table, Path(work), 0, options.steps).block(min(options.steps, 10))
    print(peak[0] + libraries)


def peak_memory(options: argparse.Namespace) -> int | None:
    """Return the peak memory of our loop in a process of its own; None where /proc is not."""
    if not Path("/proc/self/statm").exists():
        return None
    command = [sys.executable, __file__, "--only-memory", "--data-dir", str(options.data_dir)]
    command += ["--steps", str(options.steps)]
    command += ["--threads", str(options.threads)] if options.threads else []
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(result.stdout.split()[-1])


def load(options: argparse.Namespace) -> tuple[TrainConfig, Table]:
    folder = str(options.data_dir)
    machine = {"device": "cpu", "threads": options.threads, "precision": options.precision}
    config = make_config("celeba", data_dir=folder, **machine)
    runtime.set_threads(config.threads)
    table = data.load_table("celeba", data_dir=folder, image_size=config.image_size)
    return config, table


def make_synthetic(folder: Path) -> None:
    """Write pictures of CelebA's size and names: smooth colours with some noise."""
    rng = np.random.default_rng(0)
    (folder / "img_align_celeba").mkdir(parents=True)
    lines = []
    for number in range(1, SYNTHETIC + 1):
        name = f"{number:06}.jpg"
        coarse = Image.fromarray(rng.integers(0, 256, (8, 6, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((178, 218), Image.Resampling.BICUBIC), dtype=np.float32)
        noisy = (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "img_align_celeba" / name, quality=90)
        lines.append(f"{name} {' '.join(rng.choice(['1', '-1'], 40))}")
    names = " ".join(f"Attribute_{k}" for k in range(40))
    text = "\n".join([str(SYNTHETIC), names, *lines])
    (folder / "list_attr_celeba.txt").write_text(text + "\n")


def picture_folder(data_dir: Path, table: Table) -> Path:
    """Return the folder that the table's file names start from."""
    return next(p for p in (data_dir, data_dir / "celeba") if (p / table.files[0]).exists())


def smoothed(curve: list[float]) -> np.ndarray:
    width = max(1, len(curve) // 10)
    return np.convolve(curve, np.ones(width) / width, mode="valid")


def compare_curves(ours: list[float], plain: list[float]) -> float:
    """Return the largest relative difference of the smoothed curves."""
    a, b = smoothed(ours), smoothed(plain)
    return float((np.abs(a - b) / np.abs(a)).max())


class Remote:
    """A loop in a process of its own, which none shares its memory's state with."""

    def __init__(self, name: str, options: argparse.Namespace, workers: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, options, workers))
        self.process.start()
        theirs.close()  # so that a process that dies is noticed
        self.ask("ready")

    def ask(self, what: str, *args: Any) -> Any:
        """Return what the process answers."""
        self.pipe.send((what, *args))
        return self.pipe.recv()

    def close(self) -> None:
        self.pipe.send(("close",))
        self.process.join()


def serve(pipe: Any, name: str, options: argparse.Namespace, workers: int) -> None:
    """Do in a process of its own what a :class:`Remote` asks for."""
    config, table = load(options)
    if name == "plain":
        config = dataclasses.replace(config, precision=Precision.FP32)
    how = Plainness(options.plain_layers, options.by_attribute)
    with tempfile.TemporaryDirectory() as work:
        sizes = (config, table, Path(work), y_steps_of(options, config), options.steps)
        loop: Loop
        if name == "plain":
            folder = picture_folder(options.data_dir, table)
            loop = Plain(*sizes, folder=folder, workers=workers, how=how)
        else:
            loop = {"ours": Ours, "nudged": Nudged}[name](*sizes)
        while (asked := pipe.recv())[0] != "close":
            match asked:
                case ("block", steps):
                    loop.seconds.clear()
                    loop.block(steps)
                    pipe.send(loop.seconds)
                case ("skip target",):
                    loop.trainer.position.step = loop.trainer.timetable.y_steps
                    pipe.send(None)
                case ("losses",):
                    with how.applied() if name == "plain" else contextlib.nullcontext():
                        pipe.send(loss_costs(loop))
                case ("processor",):
                    pipe.send(statistics.mean(loop.processor))
                case ("once",):
                    pipe.send(loop.once_s / (len(loop.trainer.batches) * config.epochs))
                case ("curve",):
                    pipe.send([row["total"] for row in loop.recorder.curve])
                case _:
                    pipe.send(None)


def y_steps_of(options: argparse.Namespace, config: TrainConfig) -> int:
    return options.y_steps if config.y_epochs else 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    config, table = load(options)
    y_steps = y_steps_of(options, config)
    workers = best_workers(options)
    loops = {name: Remote(name, options, workers) for name in ("ours", "plain", "nudged")}
    phases = {}
    for phase, steps in (("target", y_steps), ("all", options.steps)):
        if steps:
            phases[phase] = run_blocks(loops, steps, options.block, config.batch_size)
    for name, results in phases["all"].items():
        results["once_s"] = loops[name].ask("once")
    parts = {name: loops[name].ask("losses") for name in ("ours", "plain")}
    worked = loops["ours"].ask("processor")
    curves = {name: loop.ask("curve") for name, loop in loops.items()}
    for loop in loops.values():
        loop.close()
    shares = {
        name: {part: c.clock / phases["all"][name]["step_s"] for part, c in parts[name].items()}
        for name in parts
    }
    return {
        "pictures": len(table.images),
        "real": options.real,
        "threads": torch.get_num_threads(),
        "batch_size": config.batch_size,
        "plain_workers": workers,
        "phases": phases,
        "loss_s": {name: {part: c.clock for part, c in own.items()} for name, own in parts.items()},
        "share_of_step": shares,
        # The halves of a step of ours run beside each other, so a share of the clock counts what
        # the other half does meanwhile as the losses' own.
        "share_of_work": {part: c.processor / worked for part, c in parts["ours"].items()},
        "curves": curves,
        "plain_layers": options.plain_layers,
        "by_attribute": options.by_attribute,
        "largest_difference": {
            name: compare_curves(curves["ours"], curves[name]) for name in ("plain", "nudged")
        },
        "peak_bytes_without_cache": peak_memory(options),
    }


def best_workers(options: argparse.Namespace) -> int:
    """Return the number of DataLoader workers with which the plain loop is faster."""
    medians = {}
    for workers in WORKERS:
        trial = Remote("plain", options, workers)
        trial.ask("skip target")
        trial.ask("block", 2)  # whatever torch does at its first step is not measured
        medians[workers] = statistics.median(trial.ask("block", max(3, options.block // 2)))
        trial.close()
    return min(medians, key=lambda workers: medians[workers])


def run_blocks(
    loops: dict[str, Remote], steps: int, block: int, batch_size: int
) -> dict[str, dict[str, float]]:
    """Run the loops in turns and return the time per step and images per second of each."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for start in range(0, steps, block):
        count = min(block, steps - start)
        for name, loop in loops.items():
            seconds[name] += loop.ask("block", count)
            print(f"{name} {start + count}/{steps}", file=sys.stderr)
    results: dict[str, dict[str, float]] = {}
    for name, each in seconds.items():
        mean, median = statistics.mean(each), statistics.median(each)
        results[name] = {"step_s": mean, "median_s": median, "images_per_s": batch_size / mean}
    return results


def print_results(results: dict[str, Any]) -> None:
    kind = "real" if results["real"] else "SYNTHETIC"
    print(
        f"{results['pictures']} {kind} pictures, {results['threads']} threads, batches of", end=""
    )
    print(
        f" {results['batch_size']}; plain loop: DataLoader with {results['plain_workers']} workers"
    )
    names = {"target": "learning ŷ alone", "all": "learning all"}
    for phase, loops in results["phases"].items():
        ours, plain = loops["ours"], loops["plain"]
        print(f"\n{names[phase]:18s} images/s   ms/step (mean, median)")
        for name, loop in loops.items():
            print(f"  {name:16s} {loop['images_per_s']:8.1f}", end="")
            print(f"   {loop['step_s'] * 1e3:.0f}, {loop['median_s'] * 1e3:.0f}")
        by_mean = ours["images_per_s"] / plain["images_per_s"]
        by_median = plain["median_s"] / ours["median_s"]
        print(f"  ratio            {by_mean:8.2f}   {by_median:.2f} by median")
        if "once_s" in ours:
            once = {name: loops[name]["once_s"] for name in ("ours", "plain")}
            whole = (plain["step_s"] + once["plain"]) / (ours["step_s"] + once["ours"])
            print(f"  what is worked out once adds {once['ours'] * 1e3:.1f} ms to a step of ours")
            print(f"  over a whole run: ratio {whole:.2f}")
    print("\nforward and backward of the losses, and their share of a step")
    for name, parts in results["loss_s"].items():
        shares = results["share_of_step"][name]
        text = [f"{part} {s * 1e3:.1f} ms ({shares[part]:.1%})" for part, s in parts.items()]
        print(f"  {name:6s} {', '.join(text)}; together {sum(shares.values()):.1%}")
    work = results["share_of_work"]
    text = [f"{part} {share:.1%}" for part, share in work.items()]
    print(
        f"  of the processors' time of ours: {', '.join(text)}; together {sum(work.values()):.1%}"
    )
    print("\nloss         ours      plain     nudged")
    ours, plain, nudged = (results["curves"][name] for name in ("ours", "plain", "nudged"))
    for step in sorted({int(s) for s in np.linspace(0, len(ours) - 1, 10)}):
        print(f"  step {step + 1:4d} {ours[step]:9.5f}  {plain[step]:9.5f}  {nudged[step]:9.5f}")
    for name, difference in results["largest_difference"].items():
        print(f"largest difference of the smoothed curves, ours and {name}: {difference:.3%}")
    if results["peak_bytes_without_cache"]:
        peak = results["peak_bytes_without_cache"] / 1e9
        print(f"\npeak memory of our loop without the memory-mapped cache: {peak:.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="CelebA; else MDDAE_DATA, else synthetic")
    parser.add_argument("--steps", type=int, default=60, help="steps that learn all, of each loop")
    parser.add_argument("--y-steps", type=int, default=20, help="steps that learn ŷ alone before")
    parser.add_argument("--block", type=int, default=10, help="steps in a turn, at least 2")
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument(
        "--precision", choices=[*Precision], default=Precision.AUTO, help="of our loop alone"
    )
    parser.add_argument(
        "--plain-layers", action="store_true", help="pixels are repeated, then convolved"
    )
    parser.add_argument(
        "--by-attribute", action="store_true", help="regulariser attribute by attribute"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data_dir is None and os.environ.get("MDDAE_DATA"):
        options.data_dir = Path(os.environ["MDDAE_DATA"])
    if options.only_memory:
        print_peak_memory(options)
        return
    options.real = options.data_dir is not None
    with tempfile.TemporaryDirectory() as made:
        if not options.real:
            print(f"no CelebA is given: {SYNTHETIC} synthetic JPEGs are made", file=sys.stderr)
            options.data_dir = Path(made) / "celeba"
            os.environ["MDDAE_CACHE"] = str(Path(made) / "cache")
            make_synthetic(options.data_dir)
        results = measure(options)
    if options.json:
        print(json.dumps(results, indent=2, allow_nan=False))
    else:
        print_results(results)


if __name__ == "__main__":
    main()
