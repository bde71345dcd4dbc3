"""Photographs: what is kept when a part of them changes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mddae_cli import images
from mddae_cli.align.paste import Change
from mddae_cli.align.photograph import photograph_of, read_photograph
from mddae_cli.errors import ImageError, UsageError

ORIENTATION, MAKE = 0x0112, 0x010F


def encoded(image: Image.Image, format: str = "PNG", **more: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **more)
    return buffer.getvalue()


def noise(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (size[1], size[0], bands) if bands > 1 else size[::-1]
    return Image.fromarray(np.random.default_rng(0).integers(40, 215, shape, dtype=np.uint8), mode)


def step(value: float = 20.0) -> Change:
    return Change(10, 5, np.full((8, 12, 3), value, np.float32))


def wide_gamut() -> bytes:
    """A profile that is not sRGB: the same primaries with a gamma of 1.8, by its curves."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    for entry in range(count):
        place = 132 + 12 * entry
        if profile[place + 1 : place + 4] == b"TRC":
            offset = int.from_bytes(profile[place + 4 : place + 8], "big")
            profile[offset : offset + 16] = (
                b"para" + bytes(4) + bytes(4) + (117965).to_bytes(4, "big")
            )
    return bytes(profile)


def test_outside_the_part_no_bit_differs_and_inside_the_change_is_added() -> None:
    before = read_photograph(encoded(noise()))
    after = before.changed([step()])
    own = before.pixels.astype(int)
    own[5:13, 10:22] = np.clip(own[5:13, 10:22] + 20, 0, 255)
    np.testing.assert_array_equal(after.pixels, own)
    np.testing.assert_array_equal(images.read_image(after.to_bytes()), own)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_mode_and_transparency_are_kept(mode: str) -> None:
    before = read_photograph(encoded(noise(mode)))
    after = Image.open(io.BytesIO(before.changed([step()]).to_bytes()))
    assert after.mode == mode
    was, now = np.asarray(noise(mode)).astype(int), np.asarray(after).astype(int)
    colours = [slice(None)] * 2 + ([slice(0, 3 if "RGB" in mode else 1)] if was.ndim == 3 else [])
    moved = np.abs((now - was)[tuple(colours)])
    assert moved[5:13, 10:22].max() <= 20
    assert moved[5:13, 10:22].max() > 0
    moved[5:13, 10:22] = 0
    assert not moved.any()
    if mode.endswith("A"):
        np.testing.assert_array_equal(now[:, :, -1], was[:, :, -1])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_the_format_is_kept(format: str) -> None:
    before = read_photograph(encoded(noise(), format))
    assert Image.open(io.BytesIO(before.changed([step()]).to_bytes())).format == format


def test_a_format_that_is_not_written_becomes_png() -> None:
    before = read_photograph(encoded(noise(), "GIF"))
    assert Image.open(io.BytesIO(before.to_bytes())).format == "PNG"


def test_exif_is_kept_and_the_orientation_applied_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = 6, "Camera"
    smooth = noise(size=(6, 4)).resize((60, 40), Image.Resampling.BICUBIC)
    before = read_photograph(encoded(smooth, "JPEG", exif=exif))
    assert before.pixels.shape == (60, 40, 3)
    before.changed([]).save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as after:
        assert after.size == (40, 60)
        assert after.getexif().get(ORIENTATION, 1) == 1
        assert after.getexif()[MAKE] == "Camera"
    np.testing.assert_allclose(
        images.read_image(tmp_path / "out.jpg").astype(int), before.pixels, atol=8
    )


def test_a_colour_profile_is_kept_and_the_change_is_made_as_it_looks() -> None:
    profile = wide_gamut()
    before = read_photograph(encoded(noise(), icc_profile=profile))
    assert np.abs(before.pixels.astype(int) - np.asarray(noise())).max() > 5
    written = before.changed([step()]).to_bytes()
    after = Image.open(io.BytesIO(written))
    assert after.info["icc_profile"] == profile
    own = np.asarray(after).astype(int) - np.asarray(noise())
    own[5:13, 10:22] = 0
    assert not own.any()
    seen = images.read_image(written).astype(int) - before.pixels
    np.testing.assert_allclose(seen[5:13, 10:22], 20, atol=3)


def test_no_change_leaves_every_bit_even_with_a_profile() -> None:
    before = read_photograph(encoded(noise(), icc_profile=wide_gamut()))
    after = before.changed([step(0.0)])
    np.testing.assert_array_equal(np.asarray(after.image), np.asarray(before.image))


def test_cmyk_palettes_and_deep_greys_become_eight_bits() -> None:
    cmyk = read_photograph(encoded(noise("RGB").convert("CMYK"), "JPEG"))
    assert (cmyk.image.mode, cmyk.profile, cmyk.format) == ("RGB", None, "JPEG")
    palette = noise().convert("P")
    assert read_photograph(encoded(palette)).image.mode == "RGB"
    palette.info["transparency"] = 3
    assert read_photograph(encoded(palette, transparency=3)).image.mode == "RGBA"
    deep = Image.fromarray((np.arange(2400).reshape(40, 60) * 27).astype(np.uint16))
    assert read_photograph(encoded(deep)).image.mode == "L"


def test_transparency_is_laid_on_white_where_the_format_has_none() -> None:
    clear = Image.new("RGBA", (9, 9), (10, 20, 30, 0))
    image = Image.open(io.BytesIO(read_photograph(encoded(clear)).to_bytes("JPEG")))
    assert (image.mode, image.getpixel((4, 4))) == ("RGB", (255, 255, 255))


def test_a_broken_exif_block_and_profile_lose_no_picture() -> None:
    data = encoded(noise(), "JPEG", exif=b"Exif\0\0nonsense", icc_profile=b"nonsense")
    photograph = read_photograph(data)
    assert photograph.changed([step()]).to_bytes()


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.jpg: does not exist"):
        read_photograph(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="more than the limit"):
        read_photograph(encoded(noise()), max_pixels=100)
    wide = photograph_of(np.zeros((1, 70_000, 3), np.uint8))
    with pytest.raises(ImageError, match="70000×1 pixels cannot be written as JPEG"):
        wide.to_bytes("JPEG")
    with pytest.raises(UsageError, match="cannot be written as"):
        wide.save(tmp_path / "x.xyz")
    with pytest.raises(ImageError, match="cannot be written"):
        wide.save(tmp_path / "nowhere" / "x.png")
