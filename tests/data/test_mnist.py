"""MNIST: where its files are looked for, how they are read and parted, what offline says."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import socket
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mddae_cli.config import Split, TargetKind
from mddae_cli.data import Table, load_table
from mddae_cli.data.mnist import IDX_FILES, read_idx
from mddae_cli.errors import DatasetError, UsageError


def sizes(table: Table) -> dict[str, int]:
    return {name: len(part) for name, part in table.splits.items()}


def test_mnist_pools_both_files_and_parts_them_5_1_1(make_mnist: Callable[..., Path]) -> None:
    table = load_table("mnist", data_dir=make_mnist(train=60, test=10))
    assert table.images.shape == (70, 28, 28, 1)
    assert sizes(table) == {"train": 50, "val": 10, "test": 10}
    assert sorted(np.concatenate(list(table.splits.values())).tolist()) == list(range(70))
    assert table.split == "random"
    assert table.kind is TargetKind.CLASSES
    assert table.preprocess.value_range == (0.0, 1.0)
    assert not table.images.flags.writeable


def test_mnist_official_keeps_the_test_file_apart(make_mnist: Callable[..., Path]) -> None:
    folder = make_mnist(train=60, test=10)
    table = load_table("mnist", data_dir=folder, split=Split.OFFICIAL)
    assert sizes(table) == {"train": 50, "val": 10, "test": 10}
    assert table.splits["test"].tolist() == list(range(60, 70))
    assert table.split == "official"
    other = load_table("mnist", data_dir=folder, split=Split.OFFICIAL, split_seed=1)
    assert other.splits["val"].tolist() != table.splits["val"].tolist()


@pytest.mark.parametrize("gzipped", [True, False])
def test_mnist_rows_are_the_files_own_pixels_and_labels(
    make_mnist: Callable[..., Path], gzipped: bool
) -> None:
    table = load_table("mnist", data_dir=make_mnist(gzipped=gzipped))
    wanted = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(table.images[:60, :, :, 0], wanted)
    assert table.labels[:60].argmax(axis=1).tolist() == [i % 10 for i in range(60)]
    assert (table.labels.sum(axis=1) == 1).all()


def test_mnist_at_32_is_padded_and_at_64_resized(make_mnist: Callable[..., Path]) -> None:
    folder = make_mnist()
    plain = load_table("mnist", data_dir=folder).images
    padded = load_table("mnist", data_dir=folder, image_size=32).images
    np.testing.assert_array_equal(padded[:, 2:30, 2:30], plain)
    assert padded.sum(dtype=np.int64) == plain.sum(dtype=np.int64)
    assert load_table("mnist", data_dir=folder, image_size=64).images.shape == (70, 64, 64, 1)


@pytest.mark.parametrize("where", ["here", "here/mnist", "here/MNIST/raw", "here/mnist/MNIST/raw"])
def test_mnist_is_found_below_the_data_dir_and_the_environment(
    make_mnist: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    make_mnist(where)
    assert len(load_table("mnist", data_dir=tmp_path / "here").images) == 70
    monkeypatch.setenv("MDDAE_DATA", str(tmp_path / "here"))
    assert len(load_table("mnist").images) == 70


def test_mnist_missing_in_a_given_folder_says_which_files_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load_table("mnist", data_dir=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert all(f"{name}.gz" in str(caught.value) for name in IDX_FILES)
    assert caught.value.exit_code == 2


def test_mnist_with_one_file_missing_is_not_taken(make_mnist: Callable[..., Path]) -> None:
    folder = make_mnist()
    (folder / f"{IDX_FILES[3]}.gz").unlink()
    with pytest.raises(DatasetError, match="MNIST was not found"):
        load_table("mnist", data_dir=folder)


def fake_torchvision(monkeypatch: pytest.MonkeyPatch, download: Callable[..., None]) -> None:
    module = types.ModuleType("torchvision.datasets")
    module.MNIST = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


def test_mnist_offline_says_which_files_to_put_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch, recorder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(root: str, download: bool) -> None:
        print("Failed to download")
        raise RuntimeError("Error downloading train-images:\nTried http://mirror, got:\nno route")

    fake_torchvision(monkeypatch, fail)
    with pytest.raises(DatasetError) as caught:
        load_table("mnist", reporter=recorder)
    text = str(caught.value)
    assert "cannot be downloaded (Error downloading train-images: Tried" in text
    assert all(f"{name}.gz" in text for name in IDX_FILES)
    assert str(cache) in text
    assert text.count("\n") <= 2
    assert list(cache.iterdir()) == []
    assert "downloading" in recorder.lines[0]
    assert capsys.readouterr().out == ""
    assert socket.getdefaulttimeout() is None


def test_mnist_downloads_into_the_cache_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch, make_mnist: Callable[..., Path]
) -> None:
    source = make_mnist("elsewhere", gzipped=False)
    calls: list[str] = []

    def download(root: str, download: bool) -> None:
        calls.append(root)
        shutil.copytree(source, Path(root) / "MNIST" / "raw")

    fake_torchvision(monkeypatch, download)
    (cache / "MNIST" / "raw").mkdir(parents=True)  # what a broken attempt may have left
    assert len(load_table("mnist").images) == 70
    assert len(load_table("mnist").images) == 70
    assert len(calls) == 1
    assert sorted(p.name for p in (cache / "MNIST" / "raw").iterdir()) == sorted(IDX_FILES)


@pytest.mark.slow
def test_mnist_offline_holds_with_the_real_torchvision(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    with pytest.raises(DatasetError, match="cannot be downloaded"):
        load_table("mnist")


def test_mnist_names_a_damaged_file(make_mnist: Callable[..., Path]) -> None:
    folder = make_mnist()
    for name, data, reason in [
        (IDX_FILES[1], gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x3c"), "wrong length"),
        (IDX_FILES[1], gzip.compress(b"\x00"), "damaged or truncated"),
        (IDX_FILES[1], b"\x1f\x8b\x08\x00 not gzip", "damaged or truncated"),
        (IDX_FILES[1], b"plain text", "cannot be read: Not a gzipped file"),
        (IDX_FILES[1], (folder / f"{IDX_FILES[0]}.gz").read_bytes(), "no IDX file of 1 axes"),
        (IDX_FILES[3], (folder / f"{IDX_FILES[1]}.gz").read_bytes(), "holds 10 images, but"),
    ]:
        path = folder / f"{name}.gz"
        whole = path.read_bytes()
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=reason):
            load_table("mnist", data_dir=folder)
        path.write_bytes(whole)


def test_mnist_refuses_labels_beyond_nine(make_mnist: Callable[..., Path]) -> None:
    folder = make_mnist(gzipped=False)
    path = folder / IDX_FILES[1]
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(DatasetError, match="do not hold labels 0 to 9"):
        load_table("mnist", data_dir=folder)


def test_mnist_notices_changed_images(make_mnist: Callable[..., Path]) -> None:
    folder = make_mnist(gzipped=False)
    before = load_table("mnist", data_dir=folder).images
    path = folder / IDX_FILES[0]
    path.write_bytes(path.read_bytes()[:-784] + bytes(784))
    after = load_table("mnist", data_dir=folder).images
    assert before[59].any()
    assert not after[59].any()


def test_mnist_has_classes_and_no_attributes(make_mnist: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="attrs has no meaning"):
        load_table("mnist", data_dir=make_mnist(), attrs=["7"])


@pytest.mark.data
def test_mnist_files_have_the_published_contents(data_root: Path) -> None:
    wanted = [
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ]
    for name, md5 in zip(IDX_FILES, wanted, strict=True):
        data = gzip.decompress((data_root / "mnist" / f"{name}.gz").read_bytes())
        assert hashlib.md5(data).hexdigest() == md5


@pytest.mark.data
def test_mnist_has_its_counts_and_parts(data_root: Path) -> None:
    table = load_table("mnist", data_dir=data_root)
    assert sizes(table) == {"train": 50_000, "val": 10_000, "test": 10_000}
    train = read_idx(data_root / "mnist" / f"{IDX_FILES[0]}.gz", axes=3)
    np.testing.assert_array_equal(table.images[:60_000, :, :, 0], train)
    # The counts of the digits 0 to 9 in all 70,000, as published.
    counts = [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
    assert table.labels.sum(axis=0, dtype=np.int64).tolist() == counts
    official = load_table("mnist", data_dir=data_root, split=Split.OFFICIAL)
    assert sizes(official) == {"train": 50_000, "val": 10_000, "test": 10_000}
