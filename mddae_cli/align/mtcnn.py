"""MTCNN in torch: three small networks that find faces and their eyes, noses and mouths.

The weights are those inside the package ``mtcnn`` (MIT), which itself runs them by TensorFlow;
here only its files are read. Boxes are float64 (N, 5): left, top, right, bottom in pixels, score.

Axes: N boxes, C channels, H, W the picture's own.

References:
    Zhang et al. (2016), Joint Face Detection and Alignment using Multitask Cascaded Convolutional
    Networks, IEEE Signal Processing Letters 23(10).
"""

from __future__ import annotations

import functools
import importlib.util
import math
from pathlib import Path

import joblib
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mddae_cli.align.similarity import Points
from mddae_cli.errors import UsageError
from mddae_cli.images import Pixels

Boxes = npt.NDArray[np.float64]

MISSING = (
    "faces are found by the package mtcnn, which is not installed: pip install 'mddae[align]', "
    "or say where the eyes are, --align eyes:x1,y1,x2,y2, or leave pictures as they are, "
    "--align never."
)
_CELL, _STRIDE = 12, 2  # of the first network: the side of what it sees, and its step
_PYRAMID = 0.709  # each picture of the pyramid has half the pixels of the one before
_FIRST, _SECOND, _THIRD = 0.6, 0.7, 0.8  # scores below which a stage drops a box
_MOST = 1000  # boxes that a stage hands on


def is_installed() -> bool:
    """Return whether the weights are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("mtcnn", "lz4"))


@functools.cache
def weights_of(net: str) -> tuple[Tensor, ...]:
    """Return the weights of a network in torch's order: kernels, biases, slopes and so on.

    Raises:
        UsageError: If the package is not there.
    """
    found = importlib.util.find_spec("mtcnn")
    if found is None or found.origin is None or not is_installed():
        raise UsageError(MISSING)
    arrays = joblib.load(Path(found.origin).with_name("assets") / "weights" / f"{net}.lz4")
    return tuple(_for_torch(torch.from_numpy(array)) for array in arrays)


def _for_torch(array: Tensor) -> Tensor:
    match array.ndim:
        case 4:
            return array.permute(3, 2, 0, 1).contiguous()  # (H, W, in, out) → (out, in, H, W)
        case 3:
            return array.flatten()  # a slope for each channel
        case 2:
            return array.T.contiguous()
    return array


def _convolved(x: Tensor, weights: tuple[Tensor, ...], pools: tuple[int, ...]) -> Tensor:
    """Return the maps after convolution, PReLU and pooling (0 is none) for each of ``pools``."""
    for i, pool in enumerate(pools):
        kernel, bias, slope = weights[3 * i : 3 * i + 3]
        x = F.prelu(F.conv2d(x, kernel, bias), slope)
        if pool:
            x = F.max_pool2d(x, pool, 2, ceil_mode=True)
    return x


def _dense(x: Tensor, weights: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the outputs of a hidden layer's heads; the weights were learnt with x before y."""
    hidden, shift, slope, *heads = weights
    flat = F.prelu(F.linear(x.permute(0, 3, 2, 1).flatten(1), hidden, shift), slope)
    pairs = zip(heads[::2], heads[1::2], strict=True)
    return [F.linear(flat, kernel, bias) for kernel, bias in pairs]


def _to_input(crops: Pixels) -> Tensor:
    """Return pictures uint8 (N, H, W, 3) as float32 (N, 3, H, W) in about [-1, 1]."""
    x = torch.from_numpy(np.require(crops, requirements=["C", "W"]))
    return x.permute(0, 3, 1, 2).float().sub_(127.5).div_(128)


@torch.inference_mode()
def points_of(crops: Pixels) -> tuple[npt.NDArray[np.float64], Points, Boxes]:
    """Return what the last network says of crops, uint8 (N, 48, 48, 3).

    Args:
        crops: Squares around faces, as :func:`crop_squares` gives them.

    Returns:
        The scores (N,); left eye, right eye, nose, left and right corner of the mouth (to the
        onlooker) as (N, 5, 2), and how far the box's sides should move, (N, 4), both as
        shares of the crop.
    """
    weights = weights_of("onet")
    maps = _convolved(_to_input(crops), weights[:12], (3, 3, 2, 0))
    moves, points, logits = _dense(maps, weights[12:])
    scores = logits.softmax(dim=1)[:, 1]
    pairs = points.view(-1, 2, 5).transpose(1, 2)  # all x, then all y
    return scores.double().numpy(), pairs.double().numpy(), moves.double().numpy()


@torch.inference_mode()
def find_boxes(image: Pixels, smallest: float) -> Boxes:
    """Return the squares that may hold a face, most certain first.

    Args:
        image: uint8 (H, W, 3).
        smallest: The side of the smallest face to look for, in pixels.
    """
    scales = [_CELL / smallest * _PYRAMID**i for i in range(_levels(image, smallest))]
    boxes = [_proposed(image, scale) for scale in scales]
    kept = distinct(np.concatenate([np.empty((0, 5)), *boxes]), 0.7)
    return _second_look(image, _squared(kept))


def _levels(image: Pixels, smallest: float) -> int:
    shorter = min(image.shape[:2]) * _CELL / smallest
    return max(0, 1 + math.floor(math.log(max(shorter, 1e-9) / _CELL, 1 / _PYRAMID)))


def _proposed(image: Pixels, scale: float) -> Boxes:
    """Return what the first network, a sliding window, finds at one scale."""
    size = (math.ceil(image.shape[1] * scale), math.ceil(image.shape[0] * scale))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    weights = weights_of("pnet")
    maps = _convolved(_to_input(small[None]), weights[:9], (2, 0, 0))
    scores = F.conv2d(maps, weights[11], weights[12]).softmax(dim=1)[0, 1]
    rows, columns = torch.nonzero(scores > _FIRST, as_tuple=True)
    moves = F.conv2d(maps, weights[9], weights[10])[0, :, rows, columns].T.double().numpy()
    corner = torch.stack([columns, rows], dim=1).double().numpy() * _STRIDE
    sides = np.concatenate([corner, corner + _CELL], axis=1) + moves * _CELL
    found = np.concatenate([sides / scale, scores[rows, columns, None].double().numpy()], axis=1)
    return distinct(found, 0.5)


def _second_look(image: Pixels, boxes: Boxes) -> Boxes:
    if not len(boxes):
        return boxes
    weights = weights_of("rnet")
    maps = _convolved(_to_input(crop_squares(image, boxes, 24)), weights[:9], (3, 3, 0))
    moves, logits = (head.double() for head in _dense(maps, weights[9:]))
    scores = logits.softmax(dim=1)[:, 1].numpy()
    moved = moved_boxes(boxes, moves.numpy(), scores)[scores > _SECOND]
    return _squared(distinct(moved, 0.7))


def moved_boxes(boxes: Boxes, moves: Boxes, scores: npt.NDArray[np.float64]) -> Boxes:
    """Return boxes whose sides were moved by shares of their own, with new scores."""
    sides = np.tile(boxes[:, 2:4] - boxes[:, :2], 2)
    return np.concatenate([boxes[:, :4] + moves * sides, scores[:, None]], axis=1)


def _squared(boxes: Boxes) -> Boxes:
    """Return boxes as squares around the same centres."""
    centres = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True, initial=1) / 2
    return np.concatenate([centres - half, centres + half, boxes[:, 4:]], axis=1)


def crop_squares(image: Pixels, boxes: Boxes, side: int) -> Pixels:
    """Return squares of a picture, uint8 (N, side, side, 3); black beyond its border."""
    picture = Image.fromarray(image)
    crops = []
    for left, top, right, bottom in boxes[:, :4]:
        x, y = math.floor(left), math.floor(top)
        piece = picture.crop((x, y, math.ceil(right), math.ceil(bottom)))
        box = (left - x, top - y, right - x, bottom - y)
        crops.append(np.asarray(piece.resize((side, side), Image.Resampling.BILINEAR, box)))
    return np.stack(crops)


def distinct(boxes: Boxes, most: float, *, of_smaller: bool = False) -> Boxes:
    """Return the boxes, best first, without those that overlap a better one by more than ``most``.

    Args:
        boxes: Candidates (N, 5).
        most: The share of both boxes' union, or of the smaller one, that they may have in common.
        of_smaller: Whether the share is that of the smaller one.
    """
    waiting = boxes[np.argsort(-boxes[:, 4], kind="stable")][: 4 * _MOST]
    kept: list[Boxes] = []
    while len(waiting) and len(kept) < _MOST:
        best, rest = waiting[0], waiting[1:]
        kept.append(best)
        waiting = rest[_overlap(best, rest, of_smaller=of_smaller) <= most]
    return np.array(kept).reshape(-1, boxes.shape[1])


def _overlap(box: Boxes, others: Boxes, *, of_smaller: bool) -> npt.NDArray[np.float64]:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    own, theirs = np.prod(box[2:4] - box[:2]), np.prod(others[:, 2:4] - others[:, :2], axis=1)
    whole = np.minimum(own, theirs) if of_smaller else own + theirs - common
    return common / np.maximum(whole, 1e-9)  # type: ignore[no-any-return]
