"""Reading pictures: what Pillow does with each kind, held by a test."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mddae_cli.errors import ImageError
from mddae_cli.images import decode, read_image


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_read_image_returns_the_pixels_of_a_png_from_a_path_and_from_bytes(tmp_path: Path) -> None:
    pixels = noise(5, 7, 3)
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(pixels)))
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), encoded(Image.fromarray(pixels))):
        x = read_image(source)
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(x, pixels)


def test_read_image_goes_by_the_content_and_not_the_suffix(tmp_path: Path) -> None:
    pixels = noise(5, 7, 3)
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(pixels)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), pixels)


def test_read_image_applies_the_exif_orientation() -> None:
    pixels = noise(4, 6, 3)
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees clockwise
    x = read_image(encoded(Image.fromarray(pixels), exif=exif))
    np.testing.assert_array_equal(x, np.rot90(pixels, k=-1))


def test_read_image_ignores_a_damaged_exif_block() -> None:
    pixels = noise(4, 6, 3)
    data = encoded(Image.fromarray(pixels), exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff")
    np.testing.assert_array_equal(read_image(data), pixels)


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_read_image_scales_16_bit_grey(dtype: str) -> None:
    values = np.array([[0, 257 * 128, 65535]], dtype=np.uint16)
    mode = "I;16" if dtype == "<u2" else "I;16B"
    image = Image.frombytes(mode, (3, 1), values.astype(dtype).tobytes())
    x = read_image(encoded(image, "TIFF"))
    np.testing.assert_array_equal(x, np.array([[[0] * 3, [128] * 3, [255] * 3]]))


def test_read_image_scales_a_16_bit_grey_png() -> None:
    image = Image.fromarray(np.array([[0, 257 * 10, 65535]], dtype=np.uint16))
    assert read_image(encoded(image))[0, :, 0].tolist() == [0, 10, 255]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 200.0], [0, 100, 200]),
        ([-10.0, 0.0, 10.0], [0, 128, 255]),
        ([np.nan, 0.5, 1.0], [0, 128, 255]),
        ([-7.0, -7.0, -7.0], [0, 0, 0]),
    ],
)
def test_read_image_scales_float_grey_by_its_range(values: list[float], wanted: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert read_image(encoded(image, "TIFF"))[0, :, 0].tolist() == wanted


def test_read_image_lays_alpha_on_the_background() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200  # red is hidden under alpha 0
    rgba[0, :, 3] = [0, 128, 255]
    data = encoded(Image.fromarray(rgba))
    assert read_image(data)[0, 0].tolist() == [255, 255, 255]
    assert read_image(data)[0, 2].tolist() == [200, 0, 0]
    assert read_image(data, background=(0, 0, 255))[0, 0].tolist() == [0, 0, 255]
    half = read_image(data, background=(0, 0, 0))[0, 1]
    assert abs(int(half[0]) - 100) <= 1


def test_read_image_composites_grey_with_alpha() -> None:
    la = np.array([[[90, 0], [90, 255]]], np.uint8)
    assert read_image(encoded(Image.fromarray(la)))[0, :, 1].tolist() == [255, 90]


def test_read_image_composites_a_palette_with_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    x = read_image(encoded(image, transparency=0))
    assert x[0].tolist() == [[255, 255, 255], [0, 255, 0]]


def test_read_image_composites_a_transparent_colour_of_rgb() -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    x = read_image(encoded(Image.fromarray(pixels), transparency=(1, 2, 3)))
    assert x[0].tolist() == [[255, 255, 255], [4, 5, 6]]


def test_read_image_converts_cmyk() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = read_image(encoded(image, "JPEG", quality=95))[8, 8]
    assert red[0] > 240
    assert red[1] < 15
    assert red[2] < 15


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr", "LAB"])
def test_read_image_reads_every_plain_mode(mode: str) -> None:
    grey = Image.new("RGB", (4, 4), (255, 255, 255))
    source = grey.convert("L") if mode == "1" else grey
    x = read_image(encoded(source.convert(mode), "TIFF"))
    assert x.shape == (4, 4, 3)
    assert x.min() >= 254


def swapped_profile() -> bytes:
    """sRGB with the red and the green primary exchanged: a profile whose effect is plain."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    for i in range(count):
        tag = slice(132 + 12 * i, 136 + 12 * i)
        names = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
        data[tag] = names.get(bytes(data[tag]), bytes(data[tag]))
    return bytes(data)


def test_read_image_applies_an_icc_profile() -> None:
    image = Image.new("RGB", (4, 4), (255, 0, 0))
    x = read_image(encoded(image, icc_profile=swapped_profile()))[0, 0]
    assert x[1] > 250
    assert x[0] < 5


def test_read_image_keeps_alpha_right_under_an_icc_profile() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    x = read_image(encoded(image, icc_profile=swapped_profile()))
    assert x[0, 0].tolist() == [255, 255, 255]


def test_read_image_ignores_a_broken_icc_profile() -> None:
    pixels = noise(4, 4, 3)
    x = read_image(encoded(Image.fromarray(pixels), icc_profile=b"no profile at all"))
    np.testing.assert_array_equal(x, pixels)


def test_read_image_takes_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    x = read_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert x[0, 0].tolist() == [255, 0, 0]


def test_decode_tells_of_further_frames_but_not_of_those_in_phone_jpegs() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        several = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        assert decode(several).animated, format
        assert not decode(encoded(frames[0], format)).animated, format
    phone = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert not decode(phone).animated


def test_decode_gives_alpha_apart_and_none_where_all_is_opaque() -> None:
    rgba = np.full((2, 3, 4), 255, np.uint8)
    assert decode(encoded(Image.fromarray(rgba))).alpha is None
    assert decode(encoded(Image.fromarray(rgba[:, :, :3]))).alpha is None
    rgba[0, :, 3] = [0, 128, 255]
    alpha = decode(encoded(Image.fromarray(rgba))).alpha
    assert alpha is not None
    np.testing.assert_array_equal(alpha, rgba[:, :, 3])


def test_decode_turns_alpha_with_the_picture() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    rgba = noise(4, 6, 4)
    alpha = decode(encoded(Image.fromarray(rgba), exif=exif)).alpha
    assert alpha is not None
    np.testing.assert_array_equal(alpha, np.rot90(rgba[:, :, 3], k=-1))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_read_image_reads_a_pipe_that_cannot_be_wound_back(tmp_path: Path) -> None:
    pixels = noise(5, 7, 3)
    reading, writing = os.pipe()
    os.write(writing, encoded(Image.fromarray(pixels)))
    os.close(writing)
    np.testing.assert_array_equal(read_image(f"/dev/fd/{reading}"), pixels)
    os.close(reading)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF"])
def test_read_image_refuses_a_truncated_file(tmp_path: Path, format: str) -> None:
    image = Image.fromarray(noise(64, 64, 3))
    data = encoded(image, format)
    path = tmp_path / "half.img"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.img: (is|cannot)"):
        read_image(path)


def test_read_image_names_file_and_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00")
    for name, reason in [
        ("empty.jpg", r"is empty \(0 bytes\)"),
        ("text.jpg", "is no picture in a known format"),
        ("phone.heic", "HEIC cannot be read"),
        ("nowhere.jpg", "does not exist"),
        ("", "is a folder, no picture"),
    ]:
        with pytest.raises(ImageError, match=f"{name}: {reason}"):
            read_image(tmp_path / name)
    with pytest.raises(ImageError, match=r"^stdin: is empty"):
        read_image(b"", name="stdin")


def test_read_image_names_a_file_it_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"secret\.png: cannot be read: Permission denied"):
        read_image(tmp_path / "secret.png")


def test_read_image_refuses_rare_formats() -> None:
    with pytest.raises(ImageError, match="no picture in a known format"):
        read_image(encoded(Image.fromarray(noise(4, 4, 3)), "TGA"))
    with pytest.raises(ImageError, match="no picture in a known format"):
        read_image(encoded(Image.fromarray(noise(4, 4, 3)), "PCX"))


def test_read_image_checks_the_size_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.fromarray(noise(10, 20, 3)))
    assert read_image(data, max_pixels=200).shape == (10, 20, 3)
    decoded: list[object] = []
    monkeypatch.setattr(Image.Image, "load", lambda image: decoded.append(image))
    with pytest.raises(ImageError, match="20×10 pixels, more than the limit of 199"):
        read_image(data, max_pixels=199)
    assert not decoded


def test_read_image_names_a_decompression_bomb() -> None:
    data = encoded(Image.new("1", (20000, 10000)))  # 200 million pixels in some kilobytes
    with pytest.raises(ImageError, match=r"more( pixels)? than the limit"):
        read_image(data)


def test_read_image_lets_a_caller_raise_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = encoded(Image.new("L", (60, 60)))
    assert read_image(data, max_pixels=3600).shape == (60, 60, 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_read_image_raises_nothing_but_image_error_on_broken_bytes(format: str) -> None:
    whole = encoded(Image.fromarray(noise(24, 24, 3)), format)
    rng = np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 8):
            data[at] = rng.integers(0, 256)
        try:
            assert read_image(bytes(data), max_pixels=10**6).shape[2] == 3
        except ImageError as error:
            assert str(error).startswith("picture: ")
