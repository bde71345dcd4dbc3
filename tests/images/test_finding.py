"""Finding pictures below a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mddae_cli.errors import ImageError
from mddae_cli.images import find_images


def test_find_images_walks_recursively_and_sorts(
    tmp_path: Path, make_picture: Callable[..., None]
) -> None:
    for name in ("b.png", "a/c.JPG", "a/.hidden.jpg", ".git/d.png"):
        make_picture(tmp_path / name, 0, (4, 4))
    (tmp_path / "notes.txt").write_text("no picture")
    found = find_images(tmp_path)
    assert [file.path for file in found] == ["a/c.JPG", "b.png"]
    assert found[1].size == (tmp_path / "b.png").stat().st_size
    assert found[1].mtime_ns == (tmp_path / "b.png").stat().st_mtime_ns


def test_find_images_does_not_follow_links_to_folders(
    tmp_path: Path, make_picture: Callable[..., None]
) -> None:
    make_picture(tmp_path / "a" / "b.png", 0, (4, 4))
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert [file.path for file in find_images(tmp_path)] == ["a/b.png"]


def test_find_images_names_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere.*No such file"):
        find_images(tmp_path / "nowhere")
