"""Writing pictures, whole or not at all."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mddae_cli.errors import ImageError, UsageError
from mddae_cli.formats import Subsampling, WriteOptions
from mddae_cli.images import decode, image_bytes, read_image, with_alpha, write_image


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a", "a.webp", "a.tif", "a.bmp"])
def test_write_image_is_lossless_but_for_jpeg(tmp_path: Path, name: str) -> None:
    pixels = noise(6, 5, 3)
    write_image(tmp_path / name, pixels)
    np.testing.assert_array_equal(read_image(tmp_path / name), pixels)


def test_write_image_follows_the_suffix(tmp_path: Path) -> None:
    for name, start in [("a", b"\x89PNG"), ("a.JPG", b"\xff\xd8"), ("a.webp", b"RIFF")]:
        write_image(tmp_path / name, noise(6, 5, 1))
        assert (tmp_path / name).read_bytes().startswith(start)


def test_image_bytes_keeps_one_pixel_colour_in_jpeg() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, ::2, 0] = 255
    x = read_image(image_bytes(pixels, "JPEG"))
    assert np.abs(x.astype(int) - pixels).mean() < 6


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_kept_and_over_white_the_picture_looks_as_drawn(
    format: str, channels: int
) -> None:
    alpha = np.array([[0, 40, 128, 255]] * 4, np.uint8)
    share = alpha[:, :, None] / 255
    drawn = np.rint(90 * share + 255 * (1 - share)).astype(np.uint8).repeat(channels, axis=2)
    again = decode(image_bytes(with_alpha(drawn, alpha), format))
    assert again.alpha is not None
    np.testing.assert_array_equal(again.alpha, alpha)
    assert np.abs(again.pixels[:, :, :channels].astype(int) - drawn).max() <= 1


def test_half_transparent_edges_carry_no_white_to_another_background() -> None:
    alpha = np.full((4, 4), 128, np.uint8)
    red = np.array([200, 0, 0])
    drawn = np.rint(red * 128 / 255 + 255 * 127 / 255).astype(np.uint8) * np.ones((4, 4, 1))
    data = image_bytes(with_alpha(drawn.astype(np.uint8), alpha))
    on_black = read_image(data, background=(0, 0, 0))[0, 0]
    assert np.abs(on_black - red * 128 / 255).max() <= 1.5
    assert np.abs(read_image(data)[0, 0] - drawn[0, 0]).max() <= 1


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_format_without_alpha_gets_the_picture_on_white(format: str, channels: int) -> None:
    rgba = np.zeros((16, 16, channels + 1), np.uint8)
    with Image.open(io.BytesIO(image_bytes(rgba, format))) as image:
        assert image.mode == ("L" if channels == 1 else "RGB")
        assert image.getpixel((3, 3)) == (255 if channels == 1 else (255, 255, 255))


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_quality_decides_size(format: str) -> None:
    pixels = noise(64, 64, 3)
    sizes = [len(image_bytes(pixels, format, WriteOptions(quality))) for quality in (5, 50, None)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] / 2 < sizes[2] / 2


def test_subsampling_decides_how_much_colour_a_jpeg_keeps() -> None:
    sampled = []
    for subsampling in Subsampling:
        data = image_bytes(noise(32, 32, 3), "JPEG", WriteOptions(90, subsampling))
        with Image.open(io.BytesIO(data)) as image:
            sampled.append(image.layer[0][1:3])
    assert sampled == [(1, 1), (2, 1), (2, 2)]


def test_write_image_refuses_an_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written as \.heic"):
        write_image(tmp_path / "a.heic", noise(4, 4, 3))
    with pytest.raises(UsageError, match="'PDF' cannot be written"):
        image_bytes(noise(4, 4, 3), "PDF")
    assert not list(tmp_path.iterdir())


def test_image_bytes_names_a_picture_too_large_for_its_format() -> None:
    with pytest.raises(ImageError, match="cannot be written as WEBP"):
        image_bytes(np.zeros((1, 20000, 3), np.uint8), "WEBP")


def test_write_image_keeps_the_old_file_when_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ImageError, match=r"a\.png' cannot be written: No space left"):
        write_image(path, noise(4, 4, 3))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_image_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file or directory"):
        write_image(tmp_path / "nowhere" / "a.png", noise(4, 4, 3))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_write_image_respects_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_image(tmp_path / "a.png", noise(4, 4, 3))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640
