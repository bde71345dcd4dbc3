"""The cache: reused, rebuilt, safe between processes, and clean after every failure."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import platformdirs
import pytest

from mddae_cli.data import cache as module
from mddae_cli.data import load_table
from mddae_cli.data.cache import Blocks, Recipe, cache_folder, cached
from mddae_cli.errors import DatasetError
from mddae_cli.header import Preprocess
from mddae_cli.images import FoundImage, read_image
from mddae_cli.reporting import Silent


def recipe_of(tmp_path: Path, rows: int = 6, size: int = 1) -> Recipe:
    files = tuple(FoundImage(f"{i}.png", size, 0) for i in range(rows))
    return Recipe("folder", tmp_path, files, Preprocess(4, 3, (-1.0, 1.0)), rows)


def blocks_of(value: int, rows: int = 6) -> Callable[[], Blocks]:
    def blocks() -> Blocks:
        for _ in range(0, rows, 2):
            yield np.full((2, 4, 4, 3), value, np.uint8), []

    return blocks


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by a name with every picture that is opened."""
    names: list[str] = []

    def counted(path: Path, *, name: str) -> np.ndarray:
        names.append(name)
        return read_image(path, name=name)

    monkeypatch.setattr(module, "read_image", counted)
    return names


def test_cache_folder_is_the_environments_or_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDDAE_CACHE", "somewhere")
    assert cache_folder() == Path("somewhere")
    monkeypatch.delenv("MDDAE_CACHE")
    assert cache_folder() == platformdirs.user_cache_path("mddae", appauthor=False)


def test_unchanged_pictures_are_decoded_once(
    cache: Path, make_classes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, decoded = make_classes(count=3), count_decoded(monkeypatch)
    first = load_table("folder", data_dir=folder)
    assert len(decoded) == 6
    again = load_table("folder", data_dir=folder, split_seed=5)
    assert len(decoded) == 6
    np.testing.assert_array_equal(first.images, again.images)
    assert not again.images.flags.writeable
    assert isinstance(again.images.base, np.memmap)


@pytest.mark.parametrize("change", ["touched", "replaced", "added", "removed", "renamed"])
def test_a_change_of_the_files_rebuilds_and_clears_the_old_entry(
    cache: Path,
    make_classes: Callable[..., Path],
    make_picture: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    folder = make_classes(count=3)
    old = load_table("folder", data_dir=folder)
    kept = old.images.copy()
    decoded = count_decoded(monkeypatch)
    path = folder / "cat" / "1.png"
    match change:
        case "touched":
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        case "replaced":
            make_picture(path, 99, (40, 30))
        case "added":
            make_picture(folder / "cat" / "9.png", 99, (40, 30))
        case "removed":
            path.unlink()
        case "renamed":
            path.rename(folder / "dog" / "1b.png")
    new = load_table("folder", data_dir=folder)
    assert len(decoded) == len(new.files)
    assert len(entries(cache)) == 1
    np.testing.assert_array_equal(old.images, kept)  # who has the old one mapped keeps it
    if change == "replaced":
        assert (new.images[1] != kept[1]).any()


def test_other_preprocessing_is_another_entry(
    cache: Path, make_classes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, decoded = make_classes(count=3), count_decoded(monkeypatch)
    for size in (8, 16, 8, 16):
        assert load_table("folder", data_dir=folder, image_size=size).images.shape[1] == size
    assert len(decoded) == 12
    assert len(entries(cache)) == 2


def test_a_new_cache_version_is_another_entry(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path)
    cached(recipe, blocks_of(1), Silent())
    monkeypatch.setattr(module, "CACHE_VERSION", module.CACHE_VERSION + 1)
    assert (cached(recipe, blocks_of(2), Silent()).images == 2).all()


def test_rows_keep_their_order_across_blocks(
    cache: Path, make_classes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_classes(count=7)
    whole = load_table("folder", data_dir=folder).images.copy()
    shutil.rmtree(cache)
    (folder / "cat" / "2.png").write_bytes(b"")
    monkeypatch.setattr(module, "_BLOCK_ROWS", 3)
    table = load_table("folder", data_dir=folder)
    np.testing.assert_array_equal(table.images, np.delete(whole, 2, axis=0))


def test_building_reports_every_picture(
    cache: Path, make_celeba: Callable[..., Path], recorder: Any
) -> None:
    folder = make_celeba(10)
    (folder / "img_align_celeba" / "000003.jpg").write_bytes(b"")
    load_table("celeba", data_dir=folder, reporter=recorder)
    assert recorder.jobs == [("decode celeba", 10, "image")]
    assert (recorder.steps, recorder.ended) == (10, 1)
    load_table("celeba", data_dir=folder, reporter=recorder)
    assert len(recorder.jobs) == 1


def test_the_array_is_a_plain_npy_file_that_others_may_read(cache: Path, tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        images = cached(recipe_of(tmp_path), blocks_of(7), Silent()).images
    finally:
        os.umask(old)
    (name,) = entries(cache)
    np.testing.assert_array_equal(np.load(cache / name / "images.npy"), images)
    assert stat.S_IMODE((cache / name).stat().st_mode) == 0o755


def break_array(entry: Path) -> None:
    os.truncate(entry / "images.npy", 200)


def break_about(entry: Path) -> None:
    (entry / "entry.json").write_text("{")


def break_shape(entry: Path) -> None:
    np.save(entry / "images.npy", np.zeros((6, 2, 2, 3), np.uint8))


@pytest.mark.parametrize("damage", [break_array, break_about, break_shape])
def test_a_damaged_entry_is_rebuilt(
    cache: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    recipe = recipe_of(tmp_path)
    cached(recipe, blocks_of(1), Silent())
    damage(cache / entries(cache)[0])
    assert (cached(recipe, blocks_of(2), Silent()).images == 2).all()
    assert len(entries(cache)) == 1


def test_who_builds_slower_takes_what_the_faster_one_published(cache: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)

    def overtaken() -> Blocks:
        yield from blocks_of(1, rows=2)()
        cached(recipe, blocks_of(2), Silent())
        yield from blocks_of(1, rows=4)()

    assert (cached(recipe, overtaken, Silent()).images == 2).all()
    assert len(entries(cache)) == 1


def test_processes_that_build_at_once_are_all_right(
    cache: Path, make_celeba: Callable[..., Path]
) -> None:
    folder = make_celeba(30)
    code = (
        "import sys, hashlib; from mddae_cli.data import load_table; "
        "print('ready', flush=True); sys.stdin.readline(); "
        f"t = load_table('celeba', data_dir={str(folder)!r}); "
        "print(t.images.shape, hashlib.sha256(t.images.tobytes()).hexdigest())"
    )
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
        for _ in range(3)
    ]
    for process in running:  # imports take a while: wait until all of them are over
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(outputs) == 1
    assert len(entries(cache)) == 1
    assert "(30, 64, 64, 3)" in outputs.pop()


def assert_clear_refusal(cache: Path, error: DatasetError, fact: str) -> None:
    text = str(error)
    assert str(cache) in text
    assert fact in text
    assert "It needs 0.0 MB" in text
    assert "MDDAE_CACHE" in text
    assert text.count("\n") == 1
    assert entries(cache) == []


def test_a_full_disk_leaves_nothing_and_says_what_is_needed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DatasetError) as caught:
            cached(recipe_of(tmp_path), blocks_of(1), Silent())
    assert_clear_refusal(cache, caught.value, "No space left on device")
    assert (cached(recipe_of(tmp_path), blocks_of(1), Silent()).images == 1).all()


def test_a_write_that_the_system_refuses_midway_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recipe = recipe_of(tmp_path, rows=400)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DatasetError) as caught:
            cached(recipe, blocks_of(1, rows=400), Silent())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_clear_refusal(cache, caught.value, "File too large")


def test_too_little_free_space_is_said_before_anything_is_decoded(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))

    def never() -> Blocks:
        pytest.fail("decoded")

    with pytest.raises(DatasetError) as caught:
        cached(recipe_of(tmp_path), never, Silent())
    assert_clear_refusal(cache, caught.value, "only 0.0 MB are free")


def test_a_cache_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MDDAE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DatasetError, match=r"Not a directory[\s\S]*MDDAE_CACHE"):
        cached(recipe_of(tmp_path), blocks_of(1), Silent())


def test_an_interruption_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    def interrupted() -> Blocks:
        yield from blocks_of(1, rows=2)()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(recipe_of(tmp_path), interrupted, Silent())
    assert entries(cache) == []


def test_what_a_killed_process_left_is_cleared_after_a_day(cache: Path, tmp_path: Path) -> None:
    for name, age_s in [(".building-old", 2 * 86400), (".building-new", 60)]:
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (time.time() - age_s,) * 2)
    cached(recipe_of(tmp_path), blocks_of(1), Silent())
    assert [name for name in entries(cache) if name.startswith(".")] == [".building-new"]
