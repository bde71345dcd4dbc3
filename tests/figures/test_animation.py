"""Animations: frames forth and back, in three formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from mddae_cli.editing import Model
from mddae_cli.errors import UsageError
from mddae_cli.figures import FRAME_MS, Animation, Style, animate

SWEEP = {"Smiling": [0.0, 5.0, 10.0, 15.0]}


@pytest.fixture
def picture() -> np.ndarray:
    return np.full((40, 30, 3), 200, np.uint8)


def shades(frames: object) -> list[int]:
    return [int(np.asarray(frame)[-10, -10, 0]) for frame in frames]  # type: ignore[attr-defined]


def test_values_go_forth_and_back_without_a_doubled_end(faces: Model, picture: np.ndarray) -> None:
    animation = animate(picture, SWEEP, faces, style=Style(4))
    assert shades(animation.frames) == [100, 150, 200, 250, 200, 150]
    small = animate(picture, SWEEP, faces, style=Style(1))  # narrower than some of its labels
    assert len({frame.shape for frame in small.frames}) == 1
    assert animation.frame_ms == FRAME_MS


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_every_format_holds_frames_time_and_loop(
    faces: Model, picture: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    animate(picture, SWEEP, faces, changes={"Bangs": 0}, style=Style(4), frame_ms=80).save(path)
    with Image.open(path) as image:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
        image.seek(1)
        image.load()
        assert (image.info["duration"], image.info["loop"]) == (80, 0)
    assert shades(frames) == [0, 50, 100, 150, 100, 50]


def test_grey_frames_can_be_written() -> None:
    frames = tuple(np.full((28, 28, 1), shade, np.uint8) for shade in (0, 90))
    for format in ("GIF", "WEBP", "PNG"):
        assert Animation(frames).to_bytes(format)


@pytest.mark.parametrize("sweeps", [{"Smiling": [1.0]}, {"Smiling": [0, 1], "Bangs": [0, 1]}])
def test_what_makes_no_animation_is_refused(
    faces: Model, picture: np.ndarray, sweeps: dict[str, list[float]]
) -> None:
    with pytest.raises(UsageError, match="one sweep with two values or more"):
        animate(picture, sweeps, faces)


def test_a_suffix_of_stills_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written as \.jpg. Use \.gif \.webp \.png"):
        Animation((np.zeros((2, 2, 1), np.uint8),)).save(tmp_path / "a.jpg")
