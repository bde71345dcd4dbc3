"""The gradients of a step whose parts are worked out beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mddae_cli.training.beside import Both
from mddae_cli.training.objective import Part, StepLosses, add_up

# A part's losses, and its gradients for its weights.
_Found = tuple[StepLosses, Sequence[Tensor | None]]


def descend(parts: Sequence[Part], both: Both) -> StepLosses:
    """Add to each weight's gradient those of the parts of a step.

    Every second part is left to the second function of ``both``. Gradients are added in the order
    of the parts, so that the result does not depend on who was first.

    Args:
        parts: At least one.
        both: Calls two functions.

    Returns:
        The losses, without gradient.
    """
    halves = [parts[::2], parts[1::2]]
    even, odd = both(partial(_work_out, halves[0]), partial(_work_out, halves[1]))
    found = [(odd if place % 2 else even)[place // 2] for place in range(len(parts))]
    for part, (_, gradients) in zip(parts, found, strict=True):
        for weight, gradient in zip(part.weights, gradients, strict=True):
            if gradient is not None:
                _add(weight, gradient)
    return add_up(losses for losses, _ in found)


def _work_out(parts: Sequence[Part]) -> list[_Found]:
    """Return the losses of each part, and its gradients for its weights."""
    return [_of_one(part) for part in parts]


def _of_one(part: Part) -> _Found:
    losses = part.losses()
    gradients = torch.autograd.grad(losses.total, part.weights, allow_unused=True)
    return StepLosses(*(term.detach() for term in losses)), gradients


def _add(weight: nn.Parameter, gradient: Tensor) -> None:
    """Add to a weight's gradient, which lies in memory as the weight does: fused optimisers ask."""
    if weight.grad is not None:
        weight.grad += gradient
    elif gradient.stride() == weight.stride():
        weight.grad = gradient
    else:
        weight.grad = torch.empty_like(weight).copy_(gradient)
