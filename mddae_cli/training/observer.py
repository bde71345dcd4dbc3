"""A second network that knows the labels, for practised edits to be looked at by.

Edits are learnt from the gradient of whoever looks at them, and a network that has only learnt to
be right follows faint patterns that no eye sees. One that has learnt to be right under the worst
small perturbation of each picture has no use for these: what pleases it has a shape (Tsipras et
al. 2019, arXiv 1805.12152; Santurkar et al. 2019, arXiv 1906.09453). The larger the perturbations,
the bolder the shape, and the less it sees of fine ones. It is no part of the model.
Axes: N batch, C channels, H, W image side, K classes or attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from mddae_cli import losses
from mddae_cli.header import Header
from mddae_cli.model import ConvTower
from mddae_cli.training.effects import Effects

# Its maps that say what an edit looks like: of the last convolutions, the coarsest ones.
_LEVELS = 2
_STEPS = 2
# Of the radius: two steps reach the edge from wherever they begin.
_STRIDE = 0.75
# In logits: what it cannot tell apart has no strength.
_SHORTEST = 0.1


class View(NamedTuple):
    """What an observer sees: ``logits`` (N, K), and coarser and coarser ``maps`` (N, F, H, W)."""

    logits: Tensor
    maps: list[Tensor]


class Observer(nn.Module):
    """A network of the shape of ŷ's, trained against perturbations of a bounded size.

    Args:
        header: The model beside which it learns.
        radius: The largest L2 norm of a perturbation, in parts of the range of a pixel.
    """

    means: Tensor

    def __init__(self, header: Header, radius: float) -> None:
        super().__init__()
        spec = header.model
        low, high = header.preprocess.value_range
        self.kind, self.radius = spec.target_kind, radius * (high - low)
        self.tower, self.dropout = ConvTower(spec, spec.num_targets), spec.dropout
        # Of its logits of pictures without and with each attribute.
        self.register_buffer("means", torch.zeros(2, spec.num_targets))
        # What labels do to the maps of each level; none before it is known.
        self.levels = range(min(_LEVELS, len(self.tower.convs)))
        self.effects: list[Effects] = []

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W) in the model's range.

        ``rng`` draws the dropout while it learns: torch's own generator would be shared with who
        learns in another thread.
        """
        features = self.tower.features(x)
        if self.training and self.dropout:
            kept = torch.empty(features.shape).bernoulli_(1 - self.dropout, generator=rng)
            features = features * (kept / (1 - self.dropout)).to(features)
        logits: Tensor = self.tower.out(features)
        return logits

    def view(self, x: Tensor) -> View:
        """Return what it sees in images (N, C, H, W) once it no longer learns; float32 logits."""
        maps = self.tower.maps(x)
        logits: Tensor = self.tower.out(self.tower.join(maps[-1]))
        return View(logits.float(), maps[-len(self.levels) :])

    def loss(
        self, x: Tensor, y: Tensor, rng: torch.Generator, weights: Tensor | None = None
    ) -> Tensor:
        """Return the discriminative loss of labels (N, K) in perturbed images, in nats.

        ``weights`` (N, K), of attributes, say how much each label counts.
        """

        def wrong(x: Tensor) -> Tensor:
            return losses.discriminative(self(x, rng).float(), y, self.kind, weights)

        return wrong(perturbed(wrong, x, self.radius, rng))

    @torch.no_grad()
    def draw_line(self, logits: Tensor, y: Tensor) -> None:
        """Take the means of its logits (N, K) of pictures with labels (N, K)."""
        for side, mask in enumerate((1 - y, y)):
            self.means[side] = (logits * mask).sum(dim=0) / mask.sum(dim=0).clamp_min(1)

    def aim(self, values: Tensor) -> Tensor:
        """Return the logits (N, K) at which attributes have strengths (N, K).

        0 is the mean of pictures without the attribute, 1 that of those with it, 2 as far again.
        """
        return self.means[0] + values * self._line()

    def strength(self, logits: Tensor) -> Tensor:
        """Return the strengths (N, K) that logits (N, K) stand for: what :meth:`aim` undoes."""
        return (logits - self.means[0]) / self._line().clamp_min(_SHORTEST)

    def _line(self) -> Tensor:
        """Return how far logits of pictures with each attribute are from those without, (K,)."""
        return self.means[1] - self.means[0]


class Observers(nn.ModuleList):
    """Observers, in the order of the configuration."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        super().__init__(observers)

    def __iter__(self) -> Iterator[Observer]:
        return cast(Iterator[Observer], super().__iter__())


def perturbed(
    loss: Callable[[Tensor], Tensor], x: Tensor, radius: float, rng: torch.Generator
) -> Tensor:
    """Return images moved to where a loss is highest within a ball, as two steps find it.

    Projected gradient ascent in the L2 norm (Madry et al. 2018, arXiv 1706.06083) from a point
    drawn in the ball.

    Args:
        loss: Scalar, of images.
        x: Images, shape (N, C, H, W).
        radius: Of the ball, in the unit of ``x``.
        rng: Draws where the ascent begins.
    """
    share = torch.rand(len(x), 1, 1, 1, generator=rng).to(x.device)
    delta = share * radius * _direction(torch.randn(x.shape, generator=rng).to(x.device))
    for _ in range(_STEPS):
        delta = delta.detach().requires_grad_()
        (uphill,) = torch.autograd.grad(loss(x + delta), delta)
        delta = delta.detach() + _STRIDE * radius * _direction(uphill)
        delta = delta * (radius / _length(delta).clamp_min(radius))
    worst: Tensor = (x + delta).detach()
    return worst


def _direction(delta: Tensor) -> Tensor:
    """Return pictures (N, C, H, W) of L2 norm 1; those without any stay 0."""
    return delta / _length(delta).clamp_min(1e-12)


def _length(delta: Tensor) -> Tensor:
    """Return the L2 norm of each picture, (N, 1, 1, 1)."""
    length: Tensor = delta.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return length
