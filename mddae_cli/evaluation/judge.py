"""The judge: an independent CNN that has seen real pictures only and says what a picture shows.

It shares nothing with the model that it judges: 3×3 kernels, max pooling and residual blocks
instead of strided 4×4 ones, and another seed. Axes: N batch, C channels, H, W side, K names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mddae_cli.config import DATASET_DEFAULTS, Precision, Sight, TargetKind
from mddae_cli.data.table import Indexes, Table
from mddae_cli.errors import DatasetError
from mddae_cli.evaluation.bundled_judges import bundled_judge, file_digest
from mddae_cli.evaluation.content import kept_path, table_digest
from mddae_cli.evaluation.softness import soften, some_softness
from mddae_cli.files import write_bytes
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.runtime import (
    derive_seed,
    generator,
    keep_freed_memory,
    pick_autocast,
    pick_device,
    place,
)

JUDGE_VERSION = 1
JUDGE_SEED = 1729
_METADATA_KEY = "mddae-judge"
_WIDTH, _MAX_WIDTH, _LAST_SIDE, _RESIDUAL_SIDE = 24, 192, 4, 8
_BATCH_SIZE, _LEARNING_RATE, _WEIGHT_DECAY, _WARMUP = 128, 3e-3, 2e-2, 0.1
_DROPOUT, _AVERAGING, _SHIFT = 0.3, 0.995, 2
_IMAGES_TO_SEE, _EPOCHS = 250_000, (4, 40)


class JudgeNet(nn.Module):
    """Convolutions and max pooling down to a grid of at most 4, then one linear layer.

    The grid is not averaged: in aligned pictures the place of a feature matters.

    Args:
        image_size: Side H = W of the pictures in pixels.
        channels: C.
        num_targets: K.
    """

    def __init__(self, image_size: int, channels: int, num_targets: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        side, features, out = image_size, channels, _WIDTH
        while side >= 2 * _LAST_SIDE - 1:
            side //= 2
            stages.append(_stage(features, out, residual=side <= _RESIDUAL_SIDE))
            features, out = out, min(2 * out, _MAX_WIDTH)
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(_DROPOUT)
        self.to_logits = nn.Linear(features * side * side, num_targets)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, K) of pictures (N, C, H, W) in [0, 1]."""
        h = self.stages((x - 0.5) * 4)  # (N, F, h, w)
        logits: Tensor = self.to_logits(self.dropout(h.flatten(1)))
        return logits


class JudgePanel(nn.Module):
    """Several judges who differ in their seeds and say the mean of their logits.

    What one of them calls a face on the fence, another does not: together they are right more
    often, and fewer of their labels turn over by chance when a picture is edited.

    References:
        Lakshminarayanan et al. (2017), deep ensembles, arXiv 1612.01474.
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, K) of pictures (N, C, H, W)."""
        return torch.stack([member(x) for member in self.members]).mean(dim=0)


def _stage(channels: int, out: int, *, residual: bool) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(channels, out, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    ]
    return nn.Sequential(*layers, *([_Residual(out)] if residual else []))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, h: Tensor) -> Tensor:
        return h + F.relu(self.norm(self.conv(h)))


@dataclass(frozen=True)
class Judge:
    """A trained judge and how far it can be trusted.

    ``accuracies`` holds, per name, the share of real test pictures whose label it gives back;
    for classes the share of that class's pictures. ``accuracy`` is the mean over attributes, or
    the share of all pictures whose class is right. ``sight`` is what it has learnt from.
    """

    net: nn.Module
    names: tuple[str, ...]
    kind: TargetKind
    accuracy: float
    accuracies: tuple[float, ...]
    device: torch.device
    sight: Sight = Sight.SHARP

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Return what the judge sees.

        Args:
            images: Shape (N, C, H, W), floating point in [0, 1], on any device.

        Returns:
            Logits (N, K) on the judge's device: above 0 an attribute is seen; the largest one
            is the class.
        """
        x = images.to(self.device, torch.float32).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.net(x)
        return logits


def default_epochs(num_images: int) -> int:
    """Return how many epochs of ``num_images`` make a well-trained judge in some minutes."""
    low, high = _EPOCHS
    return min(max(round(_IMAGES_TO_SEE / max(num_images, 1)), low), high)


def load_or_train_judge(
    table: Table,
    *,
    seed: int = JUDGE_SEED,
    epochs: int | None = None,
    sight: Sight = Sight.SHARP,
    bundled: bool = True,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Judge:
    """Return the judge of a table: the bundled one if it fits, else one trained once and kept.

    The cached file is found by content: names, pictures, labels, split, preprocessing, seed,
    epochs and the version of this code. A damaged file is replaced.

    Args:
        table: Real pictures; only its train part is learnt from.
        seed: Initialisation, order and augmentation.
        epochs: Passes over the train part; None decides by its size.
        sight: Whether it learns from softened pictures too. Reconstructions are soft, and a judge
            that has seen none such is harsh with them.
        bundled: Whether the judge that comes with the package is taken, where ``seed`` and
            ``epochs`` are the usual ones and it was made for such a table.
        device: As in :func:`mddae_cli.runtime.pick_device`.
        reporter: Told of the training.

    Raises:
        DatasetError: If the table has no train or no test pictures.
    """
    reporter = reporter or Silent()
    usual = bundled and epochs is None and seed == JUDGE_SEED
    file = bundled_judge(table, sight) if usual else None
    epochs = epochs or default_epochs(len(table.splits["train"]))
    path = judge_path(table, seed=seed, epochs=epochs, sight=sight, file=file)
    if path.is_file():
        try:
            return _load(path, table, sight, pick_device(device))
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError):
            reporter.noted(f"judge {path} is damaged: it is made again.")
    elif file is None:
        reporter.noted(f"{table.name} has no judge yet: one is trained, and kept as {path}.")
    if file is not None:
        net = _read_net(table, file, pick_device(device))
        judge = _measured(net, table, pick_device(device), sight)
    else:
        more: dict[str, Any] = {"device": device, "reporter": reporter}
        judge = train_judge(table, seed=seed, epochs=epochs, sight=sight, **more)
    try:
        _save(judge, path)
    except OSError as exc:
        reporter.noted(f"the judge cannot be kept in {str(path.parent)!r}: {exc.strerror}.")
    return judge


def judge_path(
    table: Table,
    *,
    seed: int,
    epochs: int,
    sight: Sight = Sight.SHARP,
    file: Path | None = None,
) -> Path:
    """Return where the cache keeps the judge of a table, trained or from a bundled ``file``."""
    names = table.name, table.names, table.kind.value
    about: tuple[object, ...] = (JUDGE_VERSION, seed, epochs, _mirrors(table), *names)
    if sight is not Sight.SHARP:
        about += (sight.value,)
    if file is not None:
        about += (file_digest(file),)
    digest = table_digest(table, *about, parts=("train", "test"))
    return kept_path("judges", table, digest)


def train_judge(
    table: Table,
    *,
    seed: int = JUDGE_SEED,
    epochs: int | None = None,
    sight: Sight = Sight.SHARP,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Judge:
    """Train a judge on the train part of a table and measure it on the test part.

    AdamW on one warm-up and a cosine, small shifts, horizontal flips where the data set's recipe
    has them, and an exponential average of the weights. A soft-sighted judge sees every second
    picture blurred, and takes twice the epochs. Arguments and errors as for
    :func:`load_or_train_judge`; the cache is neither read nor written.
    """
    train = table.splits["train"]
    if len(train) < 2 or not len(table.splits["test"]):
        raise DatasetError(
            f"data set {table.name!r} is too small for a judge: {len(train)} train and "
            f"{len(table.splits['test'])} test pictures. Give it more, or a larger --limit."
        )
    where = pick_device(device)
    keep_freed_memory()
    epochs = epochs or default_epochs(len(train))
    devices = [where] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, "judge"))
        net = _new_net(table, where)
        passes = 2 * epochs if sight is Sight.SOFT else epochs
        _fit(net, table, seed, passes, sight, reporter or Silent())
    return _measured(net, table, where, sight)


def _mirrors(table: Table) -> bool:
    """Return whether a mirrored picture of this data set still has its labels."""
    return bool(DATASET_DEFAULTS.get(table.name, {}).get("flip", False))


def _new_net(table: Table, device: torch.device) -> JudgeNet:
    size, channels = table.preprocess.image_size, table.preprocess.channels
    return place(JudgeNet(size, channels, len(table.names)), device)


def _fit(
    net: JudgeNet, table: Table, seed: int, epochs: int, sight: Sight, reporter: Reporter
) -> None:
    """Train ``net`` in place; at the end it holds the averaged weights."""
    train = table.splits["train"]
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=_WEIGHT_DECAY)
    autocast = pick_autocast(Precision.AUTO, net.to_logits.weight.device)
    average = {k: v.clone() for k, v in net.state_dict().items() if v.is_floating_point()}
    batches = max(len(train) // _BATCH_SIZE, 1)
    reporter.started("judge", epochs * len(train), "image")
    net.train()
    for epoch in range(epochs):
        order = torch.randperm(len(train), generator=generator(seed, "judge/order", epoch)).numpy()
        rng = np.random.default_rng(derive_seed(seed, "judge/augment", epoch))
        for batch, chosen in enumerate(np.array_split(order, batches)):
            _set_learning_rate(optimiser, (epoch * batches + batch) / (epochs * batches))
            x = _augment(table.images[train[chosen]], rng, flip=_mirrors(table))
            softness = some_softness(len(chosen), rng) if sight is Sight.SOFT else None
            y = table.labels[train[chosen]]
            loss = _step(net, optimiser, x, y, table.kind, autocast, softness)
            _follow(average, net, epoch * batches + batch)
            reporter.advanced(len(chosen), {"epoch": epoch + 1, "loss": loss})
    net.load_state_dict(average, strict=False)
    net.eval()
    reporter.finished()


def _set_learning_rate(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Set the rate after ``share`` of the steps: up along a line, down along a cosine."""
    down = 0.5 + 0.5 * math.cos(math.pi * max(share - _WARMUP, 0.0) / (1 - _WARMUP))
    for group in optimiser.param_groups:
        group["lr"] = _LEARNING_RATE * (share / _WARMUP if share < _WARMUP else down)


def _step(
    net: JudgeNet,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    labels: Pixels,
    kind: TargetKind,
    autocast: torch.dtype | None,
    softness: Tensor | None,
) -> float:
    """Learn from one batch, of pictures as soft as given; return its loss in nats."""
    device = net.to_logits.weight.device
    x = images.to(device).float() / 255
    x = x if softness is None else soften(x, softness.to(device))
    y = torch.from_numpy(labels).to(device).float()
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        logits = net(x.contiguous(memory_format=torch.channels_last))
    logits = logits.float()
    classes = kind is TargetKind.CLASSES
    loss = (F.cross_entropy if classes else F.binary_cross_entropy_with_logits)(logits, y)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def _augment(images: Pixels, rng: np.random.Generator, *, flip: bool) -> Tensor:
    """Return pictures (N, C, H, W), each moved by up to two pixels and perhaps mirrored."""
    n, height, width, _ = images.shape
    edge = ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0))
    windows = sliding_window_view(np.pad(images, edge, mode="edge"), (height, width), axis=(1, 2))
    down, right = rng.integers(0, 2 * _SHIFT + 1, size=(2, n))
    x = torch.from_numpy(windows[np.arange(n), down, right])  # (N, C, H, W)
    if not flip:
        return x
    mirrored = torch.from_numpy(rng.random(n) < 0.5)[:, None, None, None]
    return torch.where(mirrored, x.flip(3), x)


@torch.no_grad()
def _follow(average: dict[str, Tensor], net: JudgeNet, step: int) -> None:
    """Move the averaged weights and statistics towards those of ``net``."""
    decay = min(_AVERAGING, (1 + step) / (10 + step))
    for name, value in net.state_dict().items():
        if name in average:
            average[name].lerp_(value, 1 - decay)


def _measured(net: nn.Module, table: Table, device: torch.device, sight: Sight) -> Judge:
    """Return the judge with its accuracies on the real pictures of the test part."""
    rows = table.splits["test"]
    unmeasured = Judge(net, table.names, table.kind, 0.0, (), device, sight)
    logits = real_logits(unmeasured, table.images, rows)
    accuracy, accuracies = label_accuracy(logits, table.labels[rows], table.kind)
    return Judge(net, table.names, table.kind, accuracy, accuracies, device, sight)


def real_logits(judge: Judge, images: Pixels, rows: Indexes, batch_size: int = 250) -> Tensor:
    """Return the judge's logits of real pictures.

    Args:
        judge: Who looks.
        images: uint8 (N, H, W, C).
        rows: Which of them, shape (M,).
        batch_size: Pictures at a time.

    Returns:
        Shape (M, K) on the CPU.
    """
    batches = []
    for start in range(0, len(rows), batch_size):
        batch = torch.from_numpy(np.ascontiguousarray(images[rows[start : start + batch_size]]))
        batches.append(judge.logits(batch.permute(0, 3, 1, 2).float() / 255).cpu())
    return torch.cat(batches)


def label_accuracy(
    logits: Tensor, labels: Pixels, kind: TargetKind
) -> tuple[float, tuple[float, ...]]:
    """Return how often logits (M, K) give back labels (M, K).

    Returns:
        The mean over attributes or the share of right classes; and the same per name, which
        for classes is the share among the pictures of that class (0 where there are none).
    """
    y = torch.tensor(labels).bool()
    if kind is TargetKind.ATTRIBUTES:
        right = ((logits > 0) == y).double().mean(dim=0)  # (K,)
        return float(right.mean()), tuple(right.tolist())
    hit = y.gather(1, logits.argmax(dim=1, keepdim=True)).double()  # (M, 1)
    per_class = (y * hit).sum(dim=0) / y.sum(dim=0).clamp_min(1)
    return float(hit.mean()), tuple(per_class.tolist())


def _save(judge: Judge, path: Path) -> None:
    about = {"names": judge.names, "kind": judge.kind, "accuracy": judge.accuracy}
    text = json.dumps(about | {"accuracies": judge.accuracies}, sort_keys=True, allow_nan=False)
    state = {k: v.detach().cpu().contiguous() for k, v in judge.net.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save(state, metadata={_METADATA_KEY: text}))


def _load(path: Path, table: Table, sight: Sight, device: torch.device) -> Judge:
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()[_METADATA_KEY])
    net = _read_net(table, path, device)
    accuracies = tuple(float(value) for value in about["accuracies"])
    accuracy = float(about["accuracy"])
    return Judge(net, table.names, table.kind, accuracy, accuracies, device, sight)


def _read_net(table: Table, path: Path, device: torch.device) -> nn.Module:
    """Return the network, or the panel of several, whose weights a file holds, ready to judge."""
    state = load_file(path)
    members = {name.split(".")[1] for name in state if name.startswith("members.")}
    nets = [_new_net(table, device) for _ in members or "1"]
    net: nn.Module = JudgePanel(nets) if members else nets[0]
    net.load_state_dict(state)
    return net.eval()
