"""Edits that are practised while training, and how far they are from what was asked for.

Not in the paper: there the decoder never sees a ŷ that the encoder did not find.
Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mddae_cli.config import TargetKind, TrainConfig
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder, Codes
from mddae_cli.training import disturbance, pixels
from mddae_cli.training.observer import Observer, Observers, View

# Values that a changed attribute is set to while training: beyond 0 and 1, because users go there.
# What has only to be seen is so from 0.9 on; what is measured may be weaker.
_ABSENT, _SEEN, _MEASURED = (-0.5, 0.1), (0.9, 2.0), (0.5, 2.5)
# Nothing is taken for stronger than what is practised.
_STRONGEST = _MEASURED[1] - _ABSENT[0]


class Pictures(NamedTuple):
    """What is edited, none of it with a gradient.

    ``x`` (N, C, H, W) in the model's range, their soft targets ``y_hat`` (N, K), latents ``z``
    (N, D), and plain reconstructions ``x_hat`` (N, C, H, W).
    """

    x: Tensor
    y_hat: Tensor
    z: Tensor
    x_hat: Tensor

    def first(self, count: int) -> Pictures:
        """Return the first ones."""
        return Pictures(*(each[:count] for each in self))


class Change(NamedTuple):
    """A practised edit.

    ``y_hat`` (N, K) is what the decoder gets, ``wanted`` (N, K) the ŷ that has to be seen,
    ``picked`` (N, K), bool, which entries were changed, ``by`` (N, K) how far.
    """

    y_hat: Tensor
    wanted: Tensor
    picked: Tensor
    by: Tensor


class Practice:
    """Practises edits on a share of each batch.

    Args:
        config: Weights.
        header: The model that is trained.
        observers: Who looks; the encoder where there are none.
    """

    def __init__(self, config: TrainConfig, header: Header, observers: Observers) -> None:
        self.config, self.header, self.observers = config, header, observers
        self.kind = header.model.target_kind
        # How far each label moves the fineness of pictures, (K,); contrast alone counts without.
        self.finer: Tensor | None = None

    def loss(
        self,
        net: AutoEncoder,
        still: AutoEncoder,
        pictures: Pictures,
        observed: list[Tensor] | None,
        rng: torch.Generator,
    ) -> Tensor:
        """Return how far edited pictures are from what the edit asks for.

        One entry of ŷ is changed, the picture decoded and looked at by frozen networks: the
        changed entry must be seen, all others must be as they were, z too, few pixels may move,
        neighbours alike, and what is smooth or grey has to stay so. Only the decoder learns from
        it, so that the encoder cannot agree on a secret sign. Observers look where there are any,
        else the encoder.

        Args:
            net: The model.
            still: The same, frozen.
            pictures: A batch, on the first of which edits are practised.
            observed: What each observer says of the batch, (N, K) each, where it is known.
            rng: Draws the change.

        Returns:
            Scalar tensor in nats.
        """
        config, count = self.config, self._practised(pictures.x)
        pictures = pictures.first(count)
        before = self._views(pictures.x, observed)
        if self.kind is TargetKind.CLASSES:
            change = _swap_classes(pictures.y_hat, rng)
        else:
            change = _change_attribute(pictures.y_hat, rng, _MEASURED if before else _SEEN)
        x_edit = net.synthesise(change.y_hat, still.to_features(change.y_hat, pictures.z))
        again = still.encode(x_edit) if config.cycle_z else None
        if before:
            after = self._look(self._shown(x_edit, rng))
            loss = self._as_observed(after, before, change)
        else:
            loss = self._as_wanted(self._activation(still, x_edit, again, rng), change)
        loss = loss + self._on_pixels(x_edit, pictures)
        if config.cycle_detail:
            plain = net.synthesise(pictures.y_hat, still.to_features(pictures.y_hat, pictures.z))
            strength = self._seen_strength(after, before, change) if before else change.by
            loss = loss + config.cycle_detail * self._detail_error(x_edit, plain, strength)
        if again is not None:
            loss = loss + config.cycle_z * (again.z - pictures.z).square().mean()
        return loss

    def _practised(self, batch: Tensor) -> int:
        """Return how many of a batch, the first ones, edits are practised on."""
        return max(1, int(self.config.cycle_share * len(batch)))

    @torch.no_grad()
    def _views(self, x: Tensor, observed: list[Tensor] | None) -> list[View]:
        """Return what each observer sees in the pictures (N, C, H, W) themselves.

        What it says of them may be known. Their maps are looked at anew: those of all training
        faces would be a gigabyte for each observer.
        """
        if observed is None or self.config.cycle_features:
            return self._look(x)
        return [View(logits[: len(x)], []) for logits in observed]

    def _look(self, x: Tensor) -> list[View]:
        """Return what each observer sees in pictures (N, C, H, W); maps where they count."""
        if self.config.cycle_features:
            return [observer.view(x) for observer in self.observers]
        return [View(observer(x).float(), []) for observer in self.observers]

    def _as_wanted(self, logits: Tensor, change: Change) -> Tensor:
        """Return how far logits (N, K) are from what a change wants, in nats.

        A stronger edit has to be seen more surely where there is a margin.
        """
        if self.kind is TargetKind.CLASSES:
            return F.cross_entropy(logits, change.wanted)
        picked, margin = change.picked, self.config.cycle_margin
        logits = logits - margin * (change.y_hat - 0.5) * picked
        seen = F.binary_cross_entropy_with_logits(logits[picked], change.wanted[picked])
        kept = _divergence(logits, change.wanted)
        return seen + self.config.cycle_keep * _mean_where(kept, ~picked)

    def _as_observed(self, after: list[View], before: list[View], change: Change) -> Tensor:
        """Return how far the observers' view of edited pictures is from what was asked for.

        The logit of a changed attribute shall be as far along the line from pictures without (0)
        to pictures with it (1) as the value says; of all others they shall say what they say of
        the picture itself. Maps shall be as far from those of the picture as the attribute's
        effect says. What observers see counts alike.
        """
        views = zip(self.observers, after, before, strict=True)
        return torch.stack([self._as_one_observed(*each, change) for each in views]).mean()

    def _as_one_observed(
        self, observer: Observer, seen: View, before: View, change: Change
    ) -> Tensor:
        weight = self.config.cycle_features
        loss = self._as_aimed(observer, seen.logits, before.logits, change)
        levels = zip(observer.effects, seen.maps, before.maps, strict=True) if weight else ()
        for effects, maps, own in levels:
            loss = loss + weight * effects.distance(maps, own, change.by)
        return loss

    def _as_aimed(
        self, observer: Observer, logits: Tensor, before: Tensor, change: Change
    ) -> Tensor:
        if self.kind is TargetKind.CLASSES:
            return F.cross_entropy(logits, change.wanted)
        off = F.smooth_l1_loss(logits, observer.aim(change.y_hat), reduction="none")
        kept = _divergence(logits, before.sigmoid())
        picked = change.picked
        return off[picked].mean() + self.config.cycle_keep * _mean_where(kept, ~picked)

    @torch.no_grad()
    def _seen_strength(self, after: list[View], before: list[View], change: Change) -> Tensor:
        """Return by how much observers see the changed attribute grow, (N, K), 0 for the others.

        Classes have no line of strengths: there it is what was asked for.
        """
        if self.kind is TargetKind.CLASSES:
            return change.by
        views = zip(self.observers, after, before, strict=True)
        moved = [o.strength(a.logits) - o.strength(b.logits) for o, a, b in views]
        return torch.stack(moved).mean(dim=0).clamp(-_STRONGEST, _STRONGEST) * change.picked

    def _detail_error(self, x_edit: Tensor, plain: Tensor, strength: Tensor) -> Tensor:
        """Return how far edited pictures (N, C, H, W) are from as fine as changes make them.

        A change, of strengths (N, K), should move fineness as far as labels move that of real
        pictures: glasses are finer than a bare face, a smile is not. ``plain``, the
        reconstructions, have a gradient: to draw everything softer is no way out.
        """
        natural = None if self.finer is None else (strength * self.finer).sum(dim=1)
        return pixels.detail_error(self._in_range(x_edit), self._in_range(plain), natural)

    def _in_range(self, x: Tensor) -> Tensor:
        """Return images, as parts of the length of the range of a pixel."""
        low, high = self.header.preprocess.value_range
        return x.float() / (high - low)

    def _on_pixels(self, x_edit: Tensor, pictures: Pictures) -> Tensor:
        """Return what edited pictures (N, C, H, W) cost for what is done to their pixels."""
        config, cost = self.config, x_edit.new_zeros((), dtype=torch.float32)
        x_edit, x_hat, x = map(self._in_range, (x_edit, pictures.x_hat, pictures.x))
        moved = x_edit - x_hat
        if config.cycle_still:
            cost = cost + config.cycle_still * pixels.length(moved)
        if config.cycle_variation:
            cost = cost + config.cycle_variation * pixels.variation(moved)
        if config.cycle_colour:
            cost = cost + config.cycle_colour * pixels.added_colour(x_edit, x_hat, x)
        return cost

    def _activation(
        self, net: AutoEncoder, x_edit: Tensor, again: Codes | None, rng: torch.Generator
    ) -> Tensor:
        """Return the activation (N, K) of edited pictures, whose codes may be known already.

        Where ŷ has learnt from disturbed pictures, an edit can be asked to be seen in such a one.
        """
        if again is not None and not self.config.cycle_disturbed:
            return again.logits
        return net.activation(self._shown(x_edit, rng))

    def _shown(self, x_edit: Tensor, rng: torch.Generator) -> Tensor:
        """Return edited pictures (N, C, H, W) as they are looked at: disturbed where asked."""
        if not self.config.cycle_disturbed:
            return x_edit
        x_edit = disturbance.moved(x_edit, self.config.shift, rng)
        return disturbance.disturbed(x_edit, self.config, self.header.preprocess.value_range, rng)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values that a mask picks; 0 where it picks none."""
    return (values * mask).sum() / mask.sum().clamp_min(1)


def _divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of sigmoids from probabilities, (N, K), in nats."""
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return each + torch.xlogy(wanted, wanted) + torch.xlogy(1 - wanted, 1 - wanted)


def _swap_classes(y_hat: Tensor, rng: torch.Generator) -> Change:
    """Return ŷ with its largest entry and a random other exchanged."""
    n, k = y_hat.shape
    rows = torch.arange(n, device=y_hat.device)
    now = y_hat.argmax(dim=1)
    other = (now + torch.randint(1, k, (n,), generator=rng).to(now.device)) % k
    changed = y_hat.clone()
    changed[rows, now], changed[rows, other] = y_hat[rows, other], y_hat[rows, now]
    wanted = F.one_hot(other, k).to(y_hat.dtype)
    return Change(changed, wanted, wanted.bool(), changed - y_hat)


def _change_attribute(
    y_hat: Tensor, rng: torch.Generator, present_values: tuple[float, float]
) -> Change:
    """Return ŷ with one attribute each turned over; one that is put on gets one of the values."""
    n, k = y_hat.shape
    attribute = torch.randint(k, (n,), generator=rng).to(y_hat.device)
    share = torch.rand(n, generator=rng).to(y_hat.device)
    rows = torch.arange(n, device=y_hat.device)
    present = y_hat[rows, attribute] > 0.5
    low, high = present_values
    absent_value = _ABSENT[0] + share * (_ABSENT[1] - _ABSENT[0])
    changed, wanted = y_hat.clone(), y_hat.clone()
    changed[rows, attribute] = torch.where(present, absent_value, low + share * (high - low))
    wanted[rows, attribute] = (~present).to(y_hat.dtype)
    picked = torch.zeros_like(y_hat, dtype=torch.bool)
    picked[rows, attribute] = True
    return Change(changed, wanted, picked, changed - y_hat)
