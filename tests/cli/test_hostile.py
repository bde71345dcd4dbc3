"""A folder with pictures of every kind and files that only look like one; and SIGKILL."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

KILLS = int(os.environ.get("MDDAE_KILLS", "3"))
SET = ("--set", "Smiling=1.5", "--device", "cpu")
Done = subprocess.CompletedProcess[bytes]
# More pixels than the limit that the tests give, in some hundred bytes.
MAX_PIXELS = 10_000
_SIZE = (24, 20)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def noise(seed: int, mode: str = "RGB", size: tuple[int, int] = _SIZE) -> Image.Image:
    """Return a picture of smooth colours that differs from seed to seed."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def _turned(seed: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = 1 + seed % 8
    return encoded(noise(seed), "JPEG", exif=exif)


def _with_broken_exif(seed: int) -> bytes:
    return encoded(noise(seed), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff")


def _sixteen_bits(seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 65536, (20, 24), dtype=np.uint16)
    return encoded(Image.fromarray(values), "PNG")


def _float(seed: int) -> bytes:
    values = np.random.default_rng(seed).random((20, 24), dtype=np.float32)
    values[0, 0] = np.nan
    return encoded(Image.fromarray(values), "TIFF")


def _animated(seed: int) -> bytes:
    frames = [noise(seed + i) for i in range(3)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def _profiled(seed: int) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    return encoded(noise(seed), "PNG", icc_profile=profile if seed % 2 else b"no profile at all")


GOOD: Sequence[tuple[str, Callable[[int], bytes]]] = (
    (".jpg", lambda seed: encoded(noise(seed), "JPEG")),
    (".JPG", _turned),
    (".jpg", _with_broken_exif),
    (".png", _sixteen_bits),
    (".tif", _float),
    (".gif", _animated),
    (".png", _profiled),
    (".png", lambda seed: encoded(noise(seed, "P"), "PNG", transparency=0)),
    (".png", lambda seed: encoded(noise(seed, "RGBA"), "PNG")),
    (".webp", lambda seed: encoded(noise(seed, "RGBA"), "WEBP")),
    (".jpeg", lambda seed: encoded(noise(seed, "CMYK"), "JPEG")),
    (".bmp", lambda seed: encoded(noise(seed, "L"), "BMP")),
    (".jpg", lambda seed: encoded(noise(seed), "PNG")),  # another format than the name says
    (".ppm", lambda seed: encoded(noise(seed, "1"), "PPM")),
    (".png", lambda seed: encoded(noise(seed, size=(1, 500)), "PNG")),
)


def _half(format: str) -> Callable[[int], bytes]:
    def cut(seed: int) -> bytes:
        data = encoded(noise(seed), format)
        return data[: len(data) // 2]

    return cut


HOSTILE: Sequence[tuple[str, Callable[[int], bytes]]] = (
    (".jpg", _half("JPEG")),
    (".png", _half("PNG")),
    (".webp", _half("WEBP")),
    (".tif", _half("TIFF")),
    (".gif", _half("GIF")),
    (".jpg", lambda seed: b""),
    (".jpg", lambda seed: b"this is a text\n" * seed),
    (".png", lambda seed: b"<html><body>404 Not Found</body></html>"),
    (".png", lambda seed: encoded(Image.new("1", (200, 200)), "PNG")),
    (".png", lambda seed: encoded(Image.new("1", (12_000, 10_000)), "PNG")),
    (".png", lambda seed: encoded(Image.new("1", (20_000, 10_000)), "PNG")),
    (".heic", lambda seed: b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"),
    (".jpg", lambda seed: encoded(noise(seed), "PCX")),  # a format that is not read
    (".jpg", lambda seed: encoded(noise(seed), "JPEG")[:2] + bytes(200)),
)


def fill(folder: Path, *, good: int, hostile: int) -> tuple[list[str], list[str]]:
    """Write pictures and what is none into some folders below; return the names of both.

    Names have spaces, brackets, line ends and bytes that are no UTF-8. The last three of the
    hostile ones are links that lead nowhere, in a circle, and to a file that may not be read.
    """
    odd = ["a b", "[1]", "ü", "line\nend", os.fsdecode(b"\xff\xfe"), "plain"]
    made: tuple[list[str], list[str]] = ([], [])
    for names, kinds, count in ((made[0], GOOD, good), (made[1], HOSTILE, hostile - 3)):
        for number in range(count):
            suffix, make = kinds[number % len(kinds)]
            word = "good" if kinds is GOOD else "bad"
            name = f"{number % 3}/{word} {number} {odd[number % len(odd)]}{suffix}"
            _write(folder / name, make(number))
            names.append(name)
    links = {"gone.jpg": "nowhere", "circle.png": "circle.png", "memory.jpg": "/proc/self/mem"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
        made[1].append(name)
    return made


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def edit(*words: object, **more: Any) -> Done:
    """Run ``mddae edit`` as a process of its own; there is no face in its pictures."""
    plain = [*SET, "--align", "never"]
    command = [sys.executable, "-m", "mddae_cli", "edit", *plain, *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, **more)


def files(folder: str | Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too."""
    root = Path(folder)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_hostile_folder_is_done_but_for_what_is_no_picture(tmp_path: Path) -> None:
    good, bad = fill(tmp_path / "in", good=200, hostile=60)
    words = (tmp_path / "in", "-o", "out", "--max-pixels", MAX_PIXELS, "--json")
    done = edit(*words)
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.decode(errors="surrogateescape").splitlines()]
    named = {status: [r for r in rows if r["status"] == status] for status in ("edited", "failed")}
    assert {r["input"] for r in named["edited"]} == {str(tmp_path / "in" / n) for n in good}
    assert {r["input"] for r in named["failed"]} == {str(tmp_path / "in" / n) for n in bad}
    assert (len(named["edited"]), len(named["failed"]), len(rows)) == (200, 60, 260)
    assert all(row["error"] for row in named["failed"])
    said = done.stderr.decode(errors="surrogateescape").splitlines()
    assert sum(line.startswith(f"error: {tmp_path / 'in'}") for line in said) == 60
    assert sum("several frames" in line for line in said) == 1
    assert said[-1] == "edited 200, skipped 0, failed 60"
    assert len(said) == 62
    written = files("out")
    assert set(written) == {str(Path(row["output"]).relative_to("out")) for row in named["edited"]}
    assert all(data.endswith(b"IEND\xaeB`\x82") for data in written.values())
    again = edit(*words[:-1])
    assert again.returncode == 1
    assert again.stderr.decode(errors="replace").splitlines()[-1] == (
        "edited 0, skipped 200, failed 60"
    )
    assert files("out") == written


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork processes")
@pytest.mark.parametrize("fewest", [1000, 1], ids=["threads", "processes"])
def test_a_killed_run_that_is_repeated_ends_with_the_same_bytes(
    tmp_path: Path, fewest: int
) -> None:
    """``MDDAE_KILLS=50`` kills at fifty moments."""
    fill(tmp_path / "in", good=60, hostile=3)
    script = Path(__file__).with_name("kill_and_repeat.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "in"), str(KILLS), str(fewest)],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == KILLS
    assert all(row["same"] and row["intact"] and row["whole"] == 60 for row in rows), rows
    assert any(0 < row["at_kill"] < 60 for row in rows), rows
