"""What a practised edit does to pixels: how far and unevenly they move, how fine and colourful.

Axes: N batch, C channels, H, W image side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Keeps the gradient of a length finite where nothing has moved.
_TINY = 1e-6
# A row of the binomial window: what it takes away of a picture is fine detail.
_WINDOW = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
# Side of the places whose colours are compared, in pixels.
_PATCH = 4
# Energies of what hardly shows: 0.5 % of the range of a pixel of detail, 3 % of colour, squared.
_UNSEEN_DETAIL, _UNSEEN_COLOUR = 2.5e-5, 9e-4


def length(moved: Tensor) -> Tensor:
    """Return how far changes (N, C, H, W) move a pixel in the mean.

    Lengths are added, not squares: few pixels may move far, not all of them a little.
    """
    return _mean_root(moved.square())


def variation(moved: Tensor) -> Tensor:
    """Return the total variation of changes (N, C, H, W), per pixel.

    Rudin, Osher, Fatemi (1992). Dots and stripes have much of it for what they move, a shape has
    it along its outline alone.
    """
    down = moved[:, :, 1:, :-1] - moved[:, :, :-1, :-1]
    right = moved[:, :, :-1, 1:] - moved[:, :, :-1, :-1]
    return _mean_root(down.square() + right.square())


def fineness(x: Tensor) -> Tensor:
    """Return the logarithm of the energy of the fine detail of pictures (N, C, H, W), (N,).

    Detail is what a binomial window of 5×5 pixels takes away, its energy the mean square over
    channels and places. Pictures are in a range of length 1.
    """
    return (_detail(x) + _UNSEEN_DETAIL).log()


def detail_error(x_edit: Tensor, x_hat: Tensor, natural: Tensor | None = None) -> Tensor:
    """Return how far the fine detail of edited pictures is from what it should be.

    They shall be at least as much finer than the plain reconstruction as their change is known to
    make pictures, and may be as much finer as their contrast grows, where that is more.

    Args:
        x_edit: Edited pictures, shape (N, C, H, W), in a range of length 1.
        x_hat: Their plain reconstructions, same shape.
        natural: By how much the change should move their :func:`fineness`, shape (N,). Where it is
            not known, contrast alone counts, and less detail costs nothing.

    Returns:
        The logarithm of the ratio of the energies, beyond or short of what is allowed, the mean
        over pictures: a scalar tensor.
    """
    edit, plain = _detail(x_edit), _detail(x_hat)
    most = _contrast(x_edit).log() - _contrast(x_hat).log()
    if natural is None:
        return _excess(edit, plain * most.exp(), _UNSEEN_DETAIL)
    too_much = _excess(edit, plain * torch.maximum(most, natural).exp(), _UNSEEN_DETAIL)
    return too_much + _excess(plain * natural.exp(), edit, _UNSEEN_DETAIL)


def _detail(x: Tensor) -> Tensor:
    """Return what :func:`fineness` is the logarithm of."""
    row = torch.tensor(_WINDOW, dtype=x.dtype, device=x.device)
    channels, edge = x.shape[1], len(_WINDOW) // 2
    window = torch.outer(row, row).expand(channels, 1, -1, -1)
    coarse = F.conv2d(F.pad(x, (edge,) * 4, mode="reflect"), window, groups=channels)
    return (x - coarse).square().mean(dim=(1, 2, 3))


def _contrast(x: Tensor) -> Tensor:
    """Return the variance of the pixels of pictures (N, C, H, W), (N,), never 0."""
    return x.var(dim=(2, 3)).mean(dim=1) + _UNSEEN_DETAIL


def added_colour(x_edit: Tensor, *references: Tensor) -> Tensor:
    """Return how much more colourful edited pictures are, place by place, than all references.

    What is asked for of hair or a hat is cheapest to show by colours that nothing else has: blue
    gleams, yellow rooms, red noses. Colour is how far the channels of a patch of 4×4 pixels are
    from their mean; its energy is the mean square. A place that loses colour costs nothing.

    Args:
        x_edit: Edited pictures, shape (N, C, H, W), in a range of length 1.
        references: Pictures of the same shape, whose colours may be kept.

    Returns:
        The logarithm of the ratio of energies where it is above 0, the mean over pictures and
        places: a scalar tensor, 0 for pictures with one channel.
    """
    allowed = torch.stack([_colour(reference) for reference in references]).amax(dim=0)
    return _excess(_colour(x_edit), allowed, _UNSEEN_COLOUR)


def _colour(x: Tensor) -> Tensor:
    """Return the energy of the colour of the patches of pictures (N, C, H, W)."""
    patches = F.avg_pool2d(x, min(_PATCH, *x.shape[-2:]))
    return (patches - patches.mean(dim=1, keepdim=True)).square().mean(dim=1)


def _excess(energy: Tensor, allowed: Tensor, unseen: float) -> Tensor:
    """Return the logarithm of the ratio of energies where it is above 0, the mean."""
    return ((energy + unseen).log() - (allowed + unseen).log()).relu().mean()


def _mean_root(squares: Tensor) -> Tensor:
    """Return the mean over places of the root of the mean over channels (N, C, H, W)."""
    return (squares.mean(dim=1) + _TINY).sqrt().mean()
