"""Where in a picture the model looks: at faces brought to CelebA's template, or as it is fitted.

S is the model's side, C its channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mddae_cli import images
from mddae_cli.align import template
from mddae_cli.align.detector import Face, face_at, find_faces
from mddae_cli.align.options import Align, AlignOptions
from mddae_cli.align.similarity import Similarity
from mddae_cli.align.warp import cut
from mddae_cli.errors import ImageError, UsageError
from mddae_cli.formats import Fit
from mddae_cli.header import Header, Preprocess
from mddae_cli.images import Pixels

# Of the eyes: below it a face has hardly more pixels than it has features.
_NEAREST_EYES = 4.0
_FINEST = 8  # pixels of the aligned picture for one of the template
_ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Placement:
    """A square of a picture as the model sees it.

    ``crop`` is uint8 (S, S, C). ``to_picture`` goes from its pixels to the picture's. ``face`` is
    None where the picture was fitted without looking for one.
    """

    crop: Pixels
    to_picture: Similarity
    face: Face | None


def require_faces(header: Header, options: AlignOptions) -> None:
    """Refuse what cannot work with any picture, before the first is read.

    Raises:
        UsageError: If the model knows no aligned faces, or the detector is missing.
    """
    if options.align is not Align.ALWAYS:
        return
    if not knows_faces(header):
        raise UsageError(
            f"--align is for models of CelebA's aligned faces, and this one is of {header.dataset}."
        )
    from mddae_cli.align import mtcnn  # imports torch

    if options.eyes is None and not mtcnn.is_installed():
        raise UsageError(mtcnn.MISSING)


def knows_faces(header: Header) -> bool:
    """Return whether a model has learnt faces that were brought to CelebA's template."""
    return header.dataset == "celeba"


def place(
    image: Pixels, header: Header, options: AlignOptions, how: Fit = Fit.CROP
) -> list[Placement]:
    """Return the squares of a picture that the model is shown, those of larger faces first.

    With ``auto`` a picture of CelebA's proportions (within 1 %) is taken as aligned already, and
    one no larger than the model's side as cut out already: both are fitted as the checkpoint says.

    Args:
        image: uint8 (H, W, 3), sRGB, upright.
        header: The model's.
        options: Which faces.
        how: How a picture of other proportions is fitted where no face is looked for.

    Raises:
        ImageError: If there is no such face, or it is too small.
    """
    if not is_searched(image, header, options):
        return [_fitted(image, header.preprocess, how)]
    return [_aligned(image, face, header.preprocess) for face in choose_faces(image, options)]


def first_crop(
    header: Header, options: AlignOptions, how: Fit = Fit.CROP
) -> Callable[[Pixels], Pixels]:
    """Return what brings a picture, uint8 (H, W, 3), to the first square that :func:`place` finds.

    What is returned gives uint8 (S, S, C), and raises as :func:`place` does.
    """

    def crop(image: Pixels) -> Pixels:
        return place(image, header, options, how)[0].crop

    return crop


def is_searched(image: Pixels, header: Header, options: AlignOptions) -> bool:
    """Return whether :func:`place` looks for faces in a picture, uint8 (H, W, 3)."""
    if options.align is Align.NEVER or not knows_faces(header):
        return False
    if options.align is Align.ALWAYS:
        return True
    height, width = image.shape[:2]
    aspect = width / height / (template.WIDTH / template.HEIGHT)
    small = max(height, width) <= header.preprocess.image_size
    return not small and abs(aspect - 1) > _ASPECT_TOLERANCE


def choose_faces(image: Pixels, options: AlignOptions) -> list[Face]:
    """Return the faces that are meant, larger ones first; at least one.

    Raises:
        ImageError: If there is none, fewer than were asked for, or one is too small or outside.
    """
    if options.eyes is not None:
        return [_given(image, options.eyes)]
    try:
        found = find_faces(image)
    except UsageError as exc:  # the detector is missing: these pictures fail, others do not
        raise ImageError(str(exc)) from exc
    if not found:
        raise ImageError(
            "shows no face that is found: say where the eyes are, --align eyes:x1,y1,x2,y2, "
            "or take the picture as it is, --align never."
        )
    if options.face is None:
        return found
    if options.face > len(found):
        raise ImageError(f"--face {options.face} is not there: {len(found)} found.")
    return [found[options.face - 1]]


def _given(image: Pixels, eyes: tuple[float, float, float, float]) -> Face:
    height, width = image.shape[:2]
    points = np.array(eyes).reshape(2, 2)
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise ImageError(f"is {width}×{height}, and an eye at {x:g},{y:g} lies outside.")
    face = face_at(points)
    if face.eye_distance < _NEAREST_EYES:
        raise ImageError(
            f"has eyes {face.eye_distance:.1f} pixels apart: {_NEAREST_EYES:g} are needed."
        )
    return face


def _aligned(image: Pixels, face: Face, preprocess: Preprocess) -> Placement:
    left, top, side = template.crop_square(preprocess)
    fine = min(max(1, math.ceil(face.to_picture.scale)), _FINEST)
    to_picture = face.to_picture.after(Similarity(1 / fine, 0))
    aligned = cut(image, to_picture, template.WIDTH * fine, template.HEIGHT * fine)
    square = Similarity(side / preprocess.image_size, complex(left, top))
    return Placement(images.fit(aligned, preprocess), face.to_picture.after(square), face)


def _fitted(image: Pixels, preprocess: Preprocess, how: Fit) -> Placement:
    left, top, right, _ = images.crop_box(image.shape[1], image.shape[0], preprocess, how)
    square = Similarity((right - left) / preprocess.image_size, complex(left, top))
    return Placement(images.fit(image, preprocess, how), square, None)
