"""Fixtures that tests share: small data sets made on the spot, and where the real ones are."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mddae_cli.config import (
    Arch,
    Encoder,
    Inject,
    ModelKind,
    TargetKind,
    Targets,
    Upsample,
    ZNorm,
)
from mddae_cli.header import Header, ModelSpec, Preprocess, SsimSpec
from mddae_cli.reporting import Figures

# Read before any test changes the environment.
_DATA_ROOT = Path(
    os.environ.get("MDDAE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
CELEBA_NAMES = ("Bald", "Bangs", "Eyeglasses", "No_Beard", "Smiling")
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture
def data_root() -> Path:
    """The folder with the real MNIST and CelebA: ``MDDAE_DATA``, or beside the repository."""
    if not (_DATA_ROOT / "celeba").is_dir() or not (_DATA_ROOT / "mnist").is_dir():
        pytest.skip(f"no mnist/ and celeba/ in {_DATA_ROOT}: set MDDAE_DATA")
    return _DATA_ROOT


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, session_cache: Path) -> None:
    """Keep every test away from the user's own data and cache."""
    monkeypatch.delenv("MDDAE_DATA", raising=False)
    monkeypatch.setenv("MDDAE_CACHE", str(session_cache))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MDDAE_CACHE", str(folder))
    return folder


class Recorder:
    """A reporter that keeps what it was told."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, int | None, str]] = []
        self.steps = 0
        self.rows: list[Figures] = []
        self.lines: list[str] = []
        self.ended = 0

    def started(self, job: str, total: int | None, unit: str) -> None:
        self.jobs.append((job, total, unit))

    def advanced(self, steps: int, figures: Figures) -> None:
        self.steps += steps

    def measured(self, figures: Figures) -> None:
        self.rows.append(figures)

    def noted(self, line: str) -> None:
        self.lines.append(line)

    def finished(self) -> None:
        self.ended += 1


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def save_picture(path: Path, seed: int, size: tuple[int, int] = (178, 218)) -> None:
    """Write a picture of smooth colours (width, height) that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def make_picture() -> Callable[..., None]:
    return save_picture


@pytest.fixture
def make_celeba(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes CelebA's layout with ``count`` small synthetic pictures.

    Labels are drawn by a fixed seed; the official parts are 60 %, 20 % and 20 %, in order.
    """

    def make(count: int = 20, *, partition: bool = True) -> Path:
        folder = tmp_path / "celeba"
        values = np.random.default_rng(0).choice(["1", "-1"], (count, len(CELEBA_NAMES)))
        names = [f"{number:06}.jpg" for number in range(1, count + 1)]
        for seed, name in enumerate(names):
            save_picture(folder / "img_align_celeba" / name, seed)
        lines = [str(count), " ".join(CELEBA_NAMES) + " "]
        lines += [f"{name} {'  '.join(row)}" for name, row in zip(names, values, strict=True)]
        (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
        if partition:
            parts = [
                0 if 5 * i < 3 * count else 1 if 5 * i < 4 * count else 2 for i in range(count)
            ]
            text = "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
            (folder / "list_eval_partition.txt").write_text(text)
        return folder

    return make


def idx_bytes(array: npt.NDArray[np.uint8]) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def make_mnist(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the four IDX files: noise, row i of class i % 10."""

    def make(
        where: str = "mnist", *, train: int = 60, test: int = 10, gzipped: bool = True
    ) -> Path:
        folder = tmp_path / where
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        arrays = []
        for count in (train, test):
            arrays.append(rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
            arrays.append((np.arange(count) % 10).astype(np.uint8))
        for name, array in zip(IDX_NAMES, arrays, strict=True):
            data = idx_bytes(array)
            path = folder / (f"{name}.gz" if gzipped else name)
            path.write_bytes(gzip.compress(data, mtime=0) if gzipped else data)
        return folder

    return make


@pytest.fixture
def make_classes(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes class sub-folders, each with ``count`` pictures."""

    def make(*classes: str, count: int = 10) -> Path:
        folder = tmp_path / "pictures"
        for number, name in enumerate(classes or ("cat", "dog")):
            for i in range(count):
                save_picture(folder / name / f"{i}.png", 100 * number + i, (40, 30))
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_header() -> Header:
    """What a very small model of ten classes of grey 28-pixel pictures says about itself."""
    model = ModelSpec(
        kind=ModelKind.MDDAE,
        arch=Arch.CONV,
        image_size=28,
        channels=1,
        num_targets=10,
        target_kind=TargetKind.CLASSES,
        targets=Targets.SOFT,
        latent_dim=4,
        width=4,
        depth=2,
        inject=Inject.ALL,
        upsample=Upsample.RESIZE,
        z_norm=ZNorm.BATCH,
        encoder=Encoder.SEPARATE,
        dropout=0.0,
    )
    return Header(
        model=model,
        preprocess=Preprocess(image_size=28, channels=1, value_range=(0.0, 1.0)),
        ssim=SsimSpec(7, 1.5, (0.5, 0.5)),
        names=tuple("0123456789"),
        base_rates=(0.1,) * 10,
        dataset="digits",
        split="random",
        split_seed=0,
        config={},
        package_version="0",
    )
