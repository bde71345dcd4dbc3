"""Fitting a picture to what the model sees, and its transparency back.

A picture is a uint8 array (H, W, C): C = 3 for RGB or 1 for grey, and one more where it has alpha;
S is the model's image side.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from mddae_cli.errors import ModelError
from mddae_cli.formats import Fit
from mddae_cli.header import Preprocess
from mddae_cli.images.pixels import WHITE, Colour, Pixels

# How far width / height may be from the checkpoint's crop_aspect for its crop box to apply.
_ASPECT_TOLERANCE = 0.01


def fit(image: Pixels, preprocess: Preprocess, how: Fit = Fit.CROP) -> Pixels:
    """Return a picture as the model wants it: cropped, resized, grey or RGB.

    A picture with the proportions of ``preprocess.crop_aspect`` (within 1 %) gets the crop box; it
    may reach beyond the picture, where it is filled with black. Any other picture is fitted as
    ``how`` says. Bicubic resizing with anti-aliasing.

    Args:
        image: uint8 (H, W), (H, W, 1) or (H, W, 3).
        preprocess: The model's own preprocessing.
        how: What becomes of other proportions, by default the largest central square.

    Returns:
        uint8 array (S, S, C).

    Raises:
        ModelError: If the crop box of the checkpoint makes no sense.
    """
    side, channels = preprocess.image_size, preprocess.channels
    return _fitted(image, preprocess, how, "L" if channels == 1 else "RGB").reshape(
        side, side, channels
    )


def fit_alpha(alpha: Pixels, preprocess: Preprocess, how: Fit = Fit.CROP) -> Pixels:
    """Return the alpha (H, W) of a picture where :func:`fit` brings its pixels, uint8 (S, S).

    What lies beyond the picture is transparent.
    """
    return _fitted(alpha, preprocess, how, "L")


def _fitted(image: Pixels, preprocess: Preprocess, how: Fit, mode: str) -> Pixels:
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    side = preprocess.image_size
    height, width = image.shape[:2]
    box = crop_box(width, height, preprocess, how)
    left, top, right, bottom = box
    within = min(left, top, width - right, height - bottom) >= 0
    if within:
        image = np.ascontiguousarray(image[top:bottom, left:right])
    picture = Image.fromarray(image)
    if picture.mode != mode:
        picture = picture.convert(mode)
    if not within:
        picture = picture.crop(box)
    if picture.size != (side, side):
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    return np.array(picture)


def crop_box(
    width: int, height: int, preprocess: Preprocess, how: Fit = Fit.CROP
) -> tuple[int, int, int, int]:
    """Return what :func:`fit` cuts out of a picture: left, top, right, bottom in pixels."""
    if preprocess.crop is not None and preprocess.crop_aspect is not None:
        left, top, right, bottom = _checked_crop(preprocess.crop)
        aspect = width / height / preprocess.crop_aspect
        box = (
            round(left * width),
            round(top * height),
            round(right * width),
            round(bottom * height),
        )
        if abs(aspect - 1) <= _ASPECT_TOLERANCE and box[0] < box[2] and box[1] < box[3]:
            return box
    if how is Fit.STRETCH:
        return 0, 0, width, height
    side = max(width, height) if how is Fit.PAD else min(width, height)
    left_px, top_px = (width - side) // 2, (height - side) // 2
    return left_px, top_px, left_px + side, top_px + side


def _checked_crop(crop: tuple[float, ...]) -> tuple[float, float, float, float]:
    if len(crop) == 4 and all(math.isfinite(value) and -1 <= value <= 2 for value in crop):
        left, top, right, bottom = crop
        if left < right and top < bottom:
            return left, top, right, bottom
    raise ModelError(f"the model's crop box {list(crop)} is no box of fractions.")


def with_alpha(image: Pixels, alpha: Pixels, background: Colour = WHITE) -> Pixels:
    """Return a picture with its transparency back: on ``background`` it looks as ``image`` does.

    Args:
        image: uint8 (S, S, C), drawn as a model does, which saw the picture on the background.
        alpha: uint8 (S, S), of :func:`fit_alpha`.
        background: The colour behind; of a grey picture its first channel.

    Returns:
        uint8 (S, S, C + 1). Colours are taken back from the background, or edges that are half
        transparent would carry its light to any other one.
    """
    share = np.maximum(alpha[:, :, None], 1) / 255.0
    behind = np.asarray(background[: image.shape[2]], np.float64)
    colours = np.clip(np.rint((image - (1 - share) * behind) / share), 0, 255).astype(np.uint8)
    return np.concatenate([colours, alpha[:, :, None]], axis=2)
