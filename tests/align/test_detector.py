"""Faces in photographs: found, found again when turned, and not seen where there are none."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw

from mddae_cli.align import mtcnn, template
from mddae_cli.align.detector import face_at, find_faces, look
from mddae_cli.align.similarity import Similarity
from mddae_cli.align.warp import cut
from mddae_cli.errors import UsageError

# Read off the pictures by eye.
ASTRONAUT = [[204, 101], [248, 103]]
CAMERA = [[239, 147], [264, 155]]


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


def test_the_astronaut_is_found_with_her_eyes(astronaut: np.ndarray) -> None:
    (face,) = find_faces(astronaut)
    np.testing.assert_allclose(face.points[:2], ASTRONAUT, atol=2.5)
    assert face.score > 0.9
    assert face.eye_distance == pytest.approx(43, abs=3)


def test_a_grey_profile_is_found() -> None:
    grey = skimage.data.camera()
    (face,) = find_faces(np.stack([grey] * 3, axis=2))
    np.testing.assert_allclose(face.points[:2], CAMERA, atol=4)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "page", "brick", "moon"])
def test_what_is_no_face_is_not_found(name: str) -> None:
    picture = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    assert find_faces(np.asarray(picture)) == []


@pytest.mark.parametrize(("degrees", "scale"), [(-30, 1.0), (30, 0.5), (12, 3.0)])
def test_a_face_turned_and_scaled_is_found_at_the_same_place(
    astronaut: np.ndarray, degrees: float, scale: float
) -> None:
    factor = scale * np.exp(1j * math.radians(degrees))
    size = 900
    to_turned = Similarity(complex(factor), complex(450, 430) - complex(factor) * (226 + 130j))
    picture = cut(astronaut, to_turned.inverse(), size, size)
    upright, again = find_faces(astronaut)[0], find_faces(picture)[0]
    off = to_turned.inverse().apply(again.points[:2]) - upright.points[:2]
    assert np.hypot(*off.T).max() < 0.004 * upright.eye_distance  # 0.0054 after one look
    assert again.to_picture.degrees - upright.to_picture.degrees == pytest.approx(degrees, abs=2)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_picture_that_lost_its_orientation_is_turned(
    astronaut: np.ndarray, quarters: int
) -> None:
    side = len(astronaut)
    eyes = np.array(ASTRONAUT, float)
    for _ in range(quarters):
        eyes = np.stack([eyes[:, 1], side - eyes[:, 0]], axis=1)
    (face,) = find_faces(np.ascontiguousarray(np.rot90(astronaut, quarters)))
    np.testing.assert_allclose(face.points[:2], eyes, atol=3)


def test_larger_faces_come_first(astronaut: np.ndarray) -> None:
    head = astronaut[20:220, 130:330]
    small = np.asarray(Image.fromarray(head).resize((110, 110), Image.Resampling.LANCZOS))
    canvas = np.full((260, 420, 3), 128, np.uint8)
    canvas[30:140, 20:130] = small
    canvas[30:230, 180:380] = head
    distances = [face.eye_distance for face in find_faces(canvas)]
    assert len(distances) == 2
    assert distances[0] > 1.5 * distances[1]


def test_twenty_faces_are_all_found(astronaut: np.ndarray) -> None:
    head = Image.fromarray(astronaut[20:220, 130:330])
    canvas = Image.new("RGB", (1000, 800), (120, 140, 130))
    for i in range(20):
        side = 110 + 10 * (i % 5)
        canvas.paste(head.resize((side, side)), (20 + i % 5 * 195, 20 + i // 5 * 195))
    assert len(find_faces(np.asarray(canvas))) == 20


def test_a_drawing_half_a_face_and_a_face_of_12_pixels_are_none(astronaut: np.ndarray) -> None:
    drawing = Image.new("RGB", (400, 400), "white")
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((80, 60, 320, 340), outline="black", width=4)
    for left in (140, 230):
        pen.ellipse((left, 150, left + 30, 180), fill="black")
    pen.arc((150, 200, 250, 290), 20, 160, fill="black", width=4)
    assert find_faces(np.asarray(drawing)) == []
    assert find_faces(np.ascontiguousarray(astronaut[:400, 226:])) == []
    small = Image.fromarray(astronaut).resize((70, 70), Image.Resampling.LANCZOS)
    assert find_faces(np.asarray(small)) == []


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (40, 40), (3000, 2)])
def test_pictures_without_room_for_a_face_hold_none(size: tuple[int, int]) -> None:
    assert find_faces(np.zeros((*size, 3), np.uint8)) == []


def test_eyes_that_are_given_are_brought_to_the_template() -> None:
    eyes = np.array([[100.0, 50.0], [180.0, 90.0]])
    face = face_at(eyes)
    np.testing.assert_allclose(face.to_picture.apply(template.POINTS[:2]), eyes)
    assert face.eye_distance == pytest.approx(math.hypot(80, 40))


def test_without_the_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "mtcnn" else real(name)
    )
    mtcnn.weights_of.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'mddae\[align\]'"):
        find_faces(astronaut)


@pytest.fixture(autouse=True)
def _fresh_weights() -> Iterator[None]:
    yield
    mtcnn.weights_of.cache_clear()


@pytest.mark.data
def test_the_template_is_where_celeba_has_its_eyes(data_root: Path) -> None:
    folder = data_root / "celeba" / "img_align_celeba"
    paths = sorted(folder.iterdir())[::150]
    points = np.median([look(np.asarray(Image.open(path)))[0] for path in paths], axis=0)
    np.testing.assert_allclose(points[:2], template.POINTS[:2], atol=0.8)
