"""What of a picture the model is shown, and what is said where that is nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import skimage.data
from PIL import Image

from mddae_cli import images
from mddae_cli.align import detector, mtcnn, placement, template
from mddae_cli.align.options import Align, AlignOptions
from mddae_cli.align.placement import place, require_faces
from mddae_cli.align.preview import draw_faces
from mddae_cli.align.similarity import Similarity
from mddae_cli.align.warp import cut
from mddae_cli.data.celeba import ASPECT, AUTHORS_CROP
from mddae_cli.errors import ImageError, UsageError
from mddae_cli.header import Header

EYES = AlignOptions(Align.ALWAYS, (204.0, 101.0, 248.0, 103.0))


@pytest.fixture
def faces_header(tiny_header: Header) -> Header:
    preprocess = dataclasses.replace(
        tiny_header.preprocess, image_size=64, channels=3, crop=AUTHORS_CROP, crop_aspect=ASPECT
    )
    return dataclasses.replace(tiny_header, preprocess=preprocess, dataset="celeba")


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def aligned(astronaut: np.ndarray) -> np.ndarray:
    """A picture like CelebA's: 178×218, the eyes in their places."""
    face = detector.face_at(np.array(EYES.eyes).reshape(2, 2))
    return cut(astronaut, face.to_picture, template.WIDTH, template.HEIGHT)


def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "find_faces", lambda image: pytest.fail("was searched"))


@pytest.mark.parametrize("size", [(178, 218), (356, 436), (60, 50), (64, 64)])
def test_auto_leaves_celeba_s_proportions_and_small_pictures_alone(
    faces_header: Header, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_search(monkeypatch)
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    (placed,) = place(picture, faces_header, AlignOptions())
    np.testing.assert_array_equal(placed.crop, images.fit(picture, faces_header.preprocess))
    assert placed.face is None


def test_models_of_other_pictures_are_never_aligned(
    tiny_header: Header, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_search(monkeypatch)
    (placed,) = place(astronaut, tiny_header, AlignOptions())
    assert placed.crop.shape == (28, 28, 1)
    with pytest.raises(UsageError, match="this one is of digits"):
        require_faces(tiny_header, AlignOptions(Align.ALWAYS))


def test_a_fitted_square_lies_where_it_was_cut_out(faces_header: Header) -> None:
    picture = np.zeros((436, 356, 3), np.uint8)
    never = AlignOptions(Align.NEVER)
    corner = np.array([[0.0, 0.0], [64.0, 64.0]])
    (placed,) = place(picture, faces_header, never)
    np.testing.assert_allclose(placed.to_picture.apply(corner), [[30, 80], [326, 376]])
    (square,) = place(picture[:200], faces_header, never)
    np.testing.assert_allclose(square.to_picture.apply(corner), [[78, 0], [278, 200]])


def test_given_eyes_show_the_model_what_the_aligned_picture_does(
    faces_header: Header, astronaut: np.ndarray, aligned: np.ndarray
) -> None:
    (placed,) = place(astronaut, faces_header, EYES)
    wanted = images.fit(aligned, faces_header.preprocess)
    assert np.abs(placed.crop.astype(int) - wanted).mean() < 2
    eyes = placed.to_picture.inverse().apply(np.array(EYES.eyes).reshape(2, 2))
    inside = (template.POINTS[:2] - (15, 40)) * 64 / 148
    np.testing.assert_allclose(eyes, inside)


@pytest.mark.parametrize(("degrees", "scale"), [(-30, 0.5), (30, 1.0), (10, 4.0)])
@pytest.mark.parametrize("given", [True, False])
def test_a_turned_scaled_copy_shows_the_model_the_same(
    faces_header: Header, aligned: np.ndarray, degrees: float, scale: float, given: bool
) -> None:
    factor = scale * complex(np.exp(1j * np.radians(degrees)))
    to_copy = Similarity(factor, complex(500, 400) - factor * (89 + 120j))
    copy = cut(aligned, to_copy.inverse(), 1000, 800)
    always = AlignOptions(Align.ALWAYS)
    eyes = to_copy.apply(template.POINTS[:2]).ravel().tolist()
    options = AlignOptions(Align.ALWAYS, tuple(eyes)) if given else always
    (placed,) = place(copy, faces_header, options)
    reference = AlignOptions() if given else always
    (wanted,) = place(aligned, faces_header, reference)
    difference = (placed.crop.astype(float) - wanted.crop) / 255
    assert np.sqrt((difference**2).mean()) < 0.02


def test_eyes_outside_or_too_close_are_named(faces_header: Header, astronaut: np.ndarray) -> None:
    with pytest.raises(ImageError, match="512×512, and an eye at 600,10 lies outside"):
        place(astronaut, faces_header, AlignOptions(Align.ALWAYS, (600, 10, 620, 10)))
    with pytest.raises(ImageError, match=r"eyes 2\.0 pixels apart"):
        place(astronaut, faces_header, AlignOptions(Align.ALWAYS, (100, 10, 102, 10)))


def test_no_face_says_what_to_do(faces_header: Header) -> None:
    with pytest.raises(ImageError, match=r"no face that is found.*--align eyes:.*--align never"):
        place(skimage.data.coffee(), faces_header, AlignOptions())


def test_faces_are_chosen_by_size(faces_header: Header, astronaut: np.ndarray) -> None:
    head = Image.fromarray(astronaut[20:220, 130:330])
    canvas = Image.new("RGB", (420, 260), (128, 128, 128))
    canvas.paste(head.resize((110, 110)), (20, 30))
    canvas.paste(head, (180, 30))
    picture = np.asarray(canvas)
    largest, second = place(picture, faces_header, AlignOptions(face=None))
    (alone,) = place(picture, faces_header, AlignOptions(face=2))
    np.testing.assert_array_equal(alone.crop, second.crop)
    assert largest.to_picture.scale > 1.5 * second.to_picture.scale
    with pytest.raises(ImageError, match="--face 3 is not there: 2 found"):
        place(picture, faces_header, AlignOptions(face=3))


def test_a_missing_detector_is_said_before_work_or_of_the_picture_that_needs_it(
    faces_header: Header, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mtcnn, "is_installed", lambda: False)
    with pytest.raises(UsageError, match=r"mddae\[align\]"):
        require_faces(faces_header, AlignOptions(Align.ALWAYS))
    require_faces(faces_header, EYES)
    require_faces(faces_header, AlignOptions())
    mtcnn.weights_of.cache_clear()
    with pytest.raises(ImageError, match=r"mddae\[align\]"):
        place(astronaut, faces_header, AlignOptions())
    assert place(astronaut, faces_header, EYES)


def test_the_preview_draws_the_face_and_nothing_else(
    faces_header: Header, astronaut: np.ndarray
) -> None:
    drawn = draw_faces(astronaut, AlignOptions(), faces_header.preprocess)
    changed = (drawn != astronaut).any(axis=2)
    assert 500 < changed.sum() < 10_000
    assert tuple(drawn[101, 204]) == tuple(drawn[103, 247]) == (255, 23, 68)
    assert not changed[300:].any()
