"""What must not matter to ŷ: where a face lies to the pixel, noise, and how colourful it is.

Edits are practised against the network of ŷ. One that has seen each picture as it is takes dots
and patches of a strange colour for an edit; one that has seen it disturbed asks for shapes.
Axes: N batch, C channels, H, W image side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mddae_cli.config import TrainConfig

# How much more colourful than it is a picture becomes, and how far its white is shifted (in parts
# of the range of a pixel), for a ``colour`` of 1.
_MORE_COLOUR, _TINT = 0.25, 0.1


def disturbed(
    x: Tensor, config: TrainConfig, value_range: tuple[float, float], rng: torch.Generator
) -> Tensor:
    """Return images (N, C, H, W) as ŷ has to know them again: ``colour`` and ``noise`` of a run."""
    x = recoloured(x, config.colour, value_range, rng)
    return noisy(x, config.noise, value_range, rng)


def moved(x: Tensor, reach: int, rng: torch.Generator) -> Tensor:
    """Return images (N, C, H, W), all of them moved by the same up to ``reach`` pixels."""
    if not reach:
        return x
    top, left = torch.randint(2 * reach + 1, (2,), generator=rng).tolist()
    height, width = x.shape[2:]
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    return padded[:, :, top : top + height, left : left + width]


def noisy(x: Tensor, most: float, value_range: tuple[float, float], rng: torch.Generator) -> Tensor:
    """Return images (N, C, H, W) with white noise, of another strength each.

    Args:
        x: Images in the model's range.
        most: The largest standard deviation, in parts of that range.
        value_range: The model's range.
        rng: Draws strengths and noise.
    """
    if not most:
        return x
    low, high = value_range
    strength = torch.rand(len(x), 1, 1, 1, generator=rng)
    noise = torch.randn(x.shape, generator=rng) * strength
    return x + (high - low) * most * noise.to(x.device)


def recoloured(
    x: Tensor, colour: float, value_range: tuple[float, float], rng: torch.Generator
) -> Tensor:
    """Return images (N, C, H, W) less colourful, or a little more, and tinted; grey ones as is.

    Args:
        x: Images in the model's range.
        colour: How far colour may be taken away: 0 not at all, 1 down to grey.
        value_range: The model's range.
        rng: Draws how far, and the tint.
    """
    if not colour or x.shape[1] == 1:
        return x
    low, high = value_range
    share = torch.rand(len(x), 1, 1, 1, generator=rng).to(x.device)
    kept = 1 - colour + (1 + _MORE_COLOUR) * colour * share
    tint = 2 * torch.rand(len(x), x.shape[1], 1, 1, generator=rng).to(x.device) - 1
    grey = x.mean(1, keepdim=True)
    return grey + kept * (x - grey) + (high - low) * _TINT * colour * tint
