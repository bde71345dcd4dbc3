"""Faces in photographs of any size, found exactly enough to be aligned by their eyes.

MTCNN finds faces and five points of each in the picture made small. By these the face is brought to
the template, and there, upright and always of one size, the last network looks again, at several
squares and at their mirror images; the mean of what it says corrects the place. So a face turned,
scaled or shifted gets the same place as the same face upright, to some hundredths of the
distance between the eyes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mddae_cli.align import template
from mddae_cli.align.similarity import Points, Similarity, fit_similarity
from mddae_cli.align.warp import cut
from mddae_cli.images import Pixels

# Faces are searched in a picture of at most this side, and are at least so large in it.
_LONGEST, _SMALLEST = 1280, 24.0
# A candidate of the search, and what the looks at the aligned face say of it on average.
_CANDIDATE, _CERTAIN = 0.5, 0.7
_LOOKS = 3
# The squares of the aligned frame that are looked at: where MTCNN's own boxes lie in CelebA.
_CENTRE = (88.5, 122.0)
_SIDES = (112.0, 124.0, 136.0)
_SHIFTS = ((0.0, 0.0), (-4.0, 0.0), (4.0, 0.0), (0.0, -4.0), (0.0, 4.0))
_SQUARES = np.array(
    [
        (x + dx - side / 2, y + dy - side / 2, x + dx + side / 2, y + dy + side / 2)
        for x, y in [_CENTRE]
        for side in _SIDES
        for dx, dy in _SHIFTS
    ]
)
# Left and right change places in a mirror: eyes, nose, corners of the mouth.
_MIRRORED = [1, 0, 2, 4, 3]


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    ``to_picture`` goes from the aligned frame to the picture. ``points`` (5, 2) are the left
    and the right eye (to the onlooker), nose and corners of the mouth, in pixels of the picture;
    only the eyes where somebody gave them. ``score`` is how certain the detector is, in [0, 1].
    """

    to_picture: Similarity
    points: Points
    score: float = 1.0

    @property
    def eye_distance(self) -> float:
        """The distance between the eyes in pixels, by the template's scale."""
        return self.to_picture.scale * template.EYE_DISTANCE


def face_at(eyes: Points) -> Face:
    """Return the face whose eyes (2, 2) are at two points of a picture.

    Raises:
        ValueError: If the points are the same.
    """
    return Face(fit_similarity(template.POINTS[:2], eyes), eyes)


def find_faces(image: Pixels) -> list[Face]:
    """Return the faces of a picture, largest first.

    Where there is none upright, the picture is turned by quarters: a photograph may have lost its
    orientation. Faces below a fiftieth of the longest side are not searched for.

    Args:
        image: uint8 (H, W, 3).

    Raises:
        UsageError: If the detector is not installed.
    """
    for quarters in (0, 1, 3, 2):
        turned = np.ascontiguousarray(np.rot90(image, quarters))
        if faces := _upright_faces(turned):
            back = _turned_back(quarters, *image.shape[:2])
            return [Face(back.after(f.to_picture), back.apply(f.points), f.score) for f in faces]
    return []


def _turned_back(quarters: int, height: int, width: int) -> Similarity:
    """Return from a picture that ``np.rot90`` has turned to the one before."""
    corner = {0: 0j, 1: complex(width, 0), 2: complex(width, height), 3: complex(0, height)}
    return Similarity(1j**quarters, corner[quarters])


def _upright_faces(image: Pixels) -> list[Face]:
    by = max(1, math.ceil(max(image.shape[:2]) / _LONGEST))
    small = np.asarray(Image.fromarray(image).reduce(by)) if by > 1 else image
    certain: list[Face] = []
    for points in _candidates(small):
        face = _settled(image, points * by)
        if face is not None and all(not _same(face, other) for other in certain):
            certain.append(face)
    return sorted(certain, key=lambda face: -face.eye_distance)


def _candidates(image: Pixels) -> list[Points]:
    """Return five points (5, 2) of each face that MTCNN sees, most certain first."""
    from mddae_cli.align import mtcnn  # imports torch: not for pictures that are fitted alone

    boxes = mtcnn.find_boxes(image, _SMALLEST)
    if not len(boxes):
        return []
    scores, shares, moves = mtcnn.points_of(mtcnn.crop_squares(image, boxes, 48))
    points = boxes[:, None, :2] + shares * (boxes[:, None, 2:4] - boxes[:, None, :2])
    rows = np.concatenate([mtcnn.moved_boxes(boxes, moves, scores), points.reshape(-1, 10)], axis=1)
    kept = mtcnn.distinct(rows[scores > _CANDIDATE], 0.7, of_smaller=True)
    return list(kept[:, 5:].reshape(-1, 5, 2))


def _settled(image: Pixels, points: Points) -> Face | None:
    """Return the face after looking again at its aligned picture, None where there is none."""
    score = 0.0
    try:
        to_picture = fit_similarity(template.POINTS, points)
        for _ in range(_LOOKS):
            aligned = cut(image, to_picture, template.WIDTH, template.HEIGHT)
            found, score = look(aligned)
            points = to_picture.apply(found)
            to_picture = fit_similarity(template.POINTS, points)
            if score < _CERTAIN:
                return None
    except ValueError:  # the points have fallen together or left the picture
        return None
    return Face(to_picture, points, score)


def look(aligned: Pixels) -> tuple[Points, float]:
    """Return the five points (5, 2) of an aligned face and how certain it is one.

    Args:
        aligned: uint8 (218, 178, 3).
    """
    from mddae_cli.align import mtcnn

    mirror = np.ascontiguousarray(aligned[:, ::-1])
    crops = [mtcnn.crop_squares(picture, _SQUARES, 48) for picture in (aligned, mirror)]
    scores, shares, _ = mtcnn.points_of(np.concatenate(crops))
    sides = (_SQUARES[:, 2:] - _SQUARES[:, :2])[:, None]
    plain, mirrored = (shares.reshape(2, -1, 5, 2) * sides + _SQUARES[:, None, :2]).mean(axis=1)
    back = mirrored[_MIRRORED] * (-1, 1) + (template.WIDTH, 0)
    return (plain + back) / 2, float(scores.mean())


def _same(face: Face, other: Face) -> bool:
    apart = float(np.hypot(*(face.points[2] - other.points[2])))
    return apart < max(face.eye_distance, other.eye_distance) / 2
