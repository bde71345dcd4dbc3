"""The total loss of equation 1, and the consistency of changed soft targets.

Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mddae_cli import losses
from mddae_cli.config import ModelKind, TargetKind, Targets, TrainConfig, YMovedBy
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder, Codes
from mddae_cli.runtime import Module
from mddae_cli.training import disturbance
from mddae_cli.training.observer import Observer

# Values that a changed attribute is set to while training: beyond 0 and 1, because users go there.
# What has only to be seen is so from 0.9 on; what is measured may be weaker.
_ABSENT, _SEEN, _MEASURED = (-0.5, 0.1), (0.9, 2.0), (0.5, 2.5)
# Keeps the gradient of a length finite where nothing has moved.
_TINY = 1e-6


class StepLosses(NamedTuple):
    """The terms of one step, scalar tensors; ``total`` is their weighted sum (equation 1)."""

    total: Tensor
    rec: Tensor
    dis: Tensor
    dec: Tensor
    cycle: Tensor
    flow: Tensor


class Part(NamedTuple):
    """Terms of a step that need nothing of the other parts: these can be done beside each other.

    ``losses`` computes them, and those of other parts as 0; ``weights`` are what learns from them.
    """

    losses: Callable[[], StepLosses]
    weights: list[nn.Parameter]


class Known(NamedTuple):
    """What networks that no longer learn say of pictures.

    ``logits`` (N, K) is ŷ's activation, ``observed`` what each observer says, (N, K) each.
    """

    logits: Tensor
    observed: list[Tensor]

    def of(self, pictures: Tensor) -> Known:
        """Return what they say of some of the pictures."""
        return Known(self.logits[pictures], [each[pictures] for each in self.observed])


def add_up(parts: Iterable[StepLosses]) -> StepLosses:
    """Return the losses of a step from those of its parts."""
    return StepLosses(*(torch.stack(terms).sum() for terms in zip(*parts, strict=True)))


def frozen(module: Module) -> Module:
    """Return a module that always has the weights of ``module``, but learns nothing.

    It shares their memory. Gradients pass through it, its batch normalisation uses and keeps the
    running statistics, and it may be used in one thread while the other learns in a second one.
    """
    shared: dict[int, object] = {
        id(p): nn.Parameter(p.detach(), requires_grad=False) for p in module.parameters()
    }
    shared |= {id(buffer): buffer for buffer in module.buffers()}
    return copy.deepcopy(module, shared).eval()


class Objective(nn.Module):
    """What a training step minimises.

    Args:
        config: Weights and estimators.
        header: The model that is trained: target kind, value range, SSIM variant.
    """

    def __init__(self, config: TrainConfig, header: Header) -> None:
        super().__init__()
        self.config, self.header = config, header
        self.kind = header.model.target_kind
        self.decorrelation = losses.Decorrelation(
            config.reg,
            header.model.num_targets,
            header.model.latent_dim,
            memory=config.reg_memory,
        )
        self.observers = nn.ModuleList(Observer(header, radius) for radius in config.observers)

    def gamma(self, progress: float) -> float:
        """Return the weight of the decorrelation loss at a share of the run in [0, 1]."""
        return self.config.gamma * self.ramp(progress)

    def ramp(self, progress: float) -> float:
        """Return the share of their full weights that decorrelation and consistency have."""
        return min(1.0, progress / self.config.gamma_ramp) if self.config.gamma_ramp else 1.0

    def parts(
        self,
        net: AutoEncoder,
        x: Tensor,
        y: Tensor,
        *,
        progress: float,
        rng: torch.Generator,
        still: AutoEncoder | None = None,
        autocast: torch.dtype | None = None,
        known: Known | None = None,
    ) -> list[Part]:
        """Reconstruct a batch and return the parts of its losses: all of them, and the cycle.

        Args:
            net: The model, in training mode.
            x: Images, shape (N, C, H, W), in the model's range.
            y: Labels, shape (N, K), 0 or 1.
            progress: Share of the run that is over, for the ramp of γ.
            rng: Draws the changed soft targets.
            still: The model :func:`frozen`; made where it is not given.
            autocast: The networks' arithmetic, None for float32.
            known: What is known of the pictures where ŷ and observers no longer learn.
        """
        config = self.config
        with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
            logits, features = net.analyse(x, None if known is None else known.logits)
            y_hat = net.soft_target(logits)
            x_hat = net.synthesise(self._decoder_target(y_hat, y), features)
        # The flow alone learns from its loss, and from nothing else.
        target, found = net.decoder_target(y_hat.detach()), features.detach()
        flowed = net.flow(found, target)
        zero = x_hat.new_zeros(())

        def of_all() -> StepLosses:
            rec = self.reconstruction(x, x_hat)
            if config.model is ModelKind.AE:
                return StepLosses(rec, rec, zero, zero, zero, zero)
            dis = losses.discriminative(logits, y, self.kind)
            dec = self.decorrelation(self._regulariser_target(y_hat), features)
            has_flow = bool(net.flow.layers)
            flow = net.flow.loss(flowed, found, target, config.flow_pull) if has_flow else zero
            total = rec + config.beta * dis + self.gamma(progress) * dec + flow
            return StepLosses(total, rec, dis, dec, zero, flow)

        def of_edits() -> StepLosses:
            given = y_hat.detach(), flowed.z.detach(), x_hat.detach()
            with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
                observed = known.observed if known else self.observed(x[: self._practised(x)])
                cycle = self.cycle(net, still or frozen(net), *given, observed, rng)
            total = config.cycle * self.ramp(progress) * cycle
            return StepLosses(total, zero, zero, zero, cycle, zero)

        parts = [Part(of_all, _learning(net))]
        if config.cycle and config.model is not ModelKind.AE:
            parts.append(Part(of_edits, _learning(net.decoder)))
        return parts

    def learn_target(
        self,
        net: AutoEncoder,
        x: Tensor,
        y: Tensor,
        *,
        rng: torch.Generator,
        autocast: torch.dtype | None = None,
    ) -> list[Part]:
        """Return the parts of the losses in the epochs in which only ŷ and observers learn.

        ``rng`` draws how ``x``, which batches have moved, is disturbed further.
        """
        x = self._disturbed(x, rng)
        zero = x.new_zeros(())

        def of_target() -> StepLosses:
            with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
                logits = net.target_tower(x)
            dis = losses.discriminative(logits.float(), y, self.kind)
            return StepLosses(dis, zero, dis, zero, zero, zero)

        def of_observer(observer: Observer, own: torch.Generator) -> StepLosses:
            with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
                loss = observer.loss(x, y, own)
            return StepLosses(loss, zero, zero, zero, zero, zero)

        parts = [Part(of_target, _learning(net.target_tower))]
        for observer in self.each_observer():
            seed = int(torch.randint(2**62, (), generator=rng))
            own = torch.Generator().manual_seed(seed)
            parts.append(Part(partial(of_observer, observer, own), _learning(observer)))
        return parts

    @torch.no_grad()
    def observed(self, x: Tensor) -> list[Tensor]:
        """Return what each observer says of images (N, C, H, W), float32 (N, K) each."""
        return [observer(x).float() for observer in self.each_observer()]

    def know(self, known: Known, y: Tensor) -> None:
        """Let observers take their lines of strengths from known pictures with labels (N, K)."""
        for observer, logits in zip(self.each_observer(), known.observed, strict=True):
            observer.draw_line(logits, y)

    def each_observer(self) -> list[Observer]:
        """Return the observers, in the order of the configuration."""
        return [part for part in self.observers if isinstance(part, Observer)]

    def reconstruction(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Return equation 7 for images (N, C, H, W) in the model's range."""
        return losses.reconstruction(
            x,
            x_hat,
            alpha=self.config.alpha,
            reduction=self.config.reduction,
            spec=self.header.ssim,
            value_range=self.header.preprocess.value_range,
            stride=self.config.ssim_stride,
        )

    def _decoder_target(self, y_hat: Tensor, y: Tensor) -> Tensor:
        if self.config.targets is Targets.DISCRETE:
            return y
        moved = self.config.y_moved_by in (YMovedBy.ALL, YMovedBy.DIS_REC)
        return y_hat if moved else y_hat.detach()

    def _regulariser_target(self, y_hat: Tensor) -> Tensor:
        moved = self.config.y_moved_by in (YMovedBy.ALL, YMovedBy.DIS_DEC)
        return y_hat if moved else y_hat.detach()

    def cycle(
        self,
        net: AutoEncoder,
        still: AutoEncoder,
        y_hat: Tensor,
        z: Tensor,
        x_hat: Tensor,
        observed: list[Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        """Return how far edited pictures are from what the edit asks for (not in the paper).

        One entry of ŷ is changed, the picture decoded and looked at by frozen networks: the
        changed entry must be seen, all others must be as they were, z too, and few pixels may
        move, neighbours alike. Only the decoder learns from it, so that the encoder cannot agree
        on a secret sign. Observers look where there are any, else the encoder.

        Args:
            net: The model.
            still: The model :func:`frozen`.
            y_hat: Soft targets, shape (N, K), without gradient.
            z: Latents, shape (N, D).
            x_hat: Plain reconstructions, shape (N, C, H, W), without gradient.
            observed: What each observer says of the pictures themselves, or of the first of them
                that edits are practised on, (N, K) each.
            rng: Draws the change.

        Returns:
            Scalar tensor in nats.
        """
        config = self.config
        count = self._practised(y_hat)
        y_hat, z, x_hat = y_hat[:count], z[:count].detach(), x_hat[:count]
        if self.kind is TargetKind.CLASSES:
            change = _swap_classes(y_hat, rng)
        else:
            change = _change_attribute(y_hat, rng, _MEASURED if self.observers else _SEEN)
        x_edit = net.synthesise(change.y_hat, still.to_features(change.y_hat, z))
        again = still.encode(x_edit) if config.cycle_z else None
        if self.observers:
            loss = self._as_observed(self._shown(x_edit, rng), observed, change)
        else:
            logits = self._activation(still, x_edit, again, rng)
            loss = self._as_wanted(logits, change)
        if config.cycle_still or config.cycle_variation:
            moved = self._moved(x_edit, x_hat)
            if config.cycle_still:
                loss = loss + config.cycle_still * _length(moved)
            if config.cycle_variation:
                loss = loss + config.cycle_variation * _variation(moved)
        if again is not None:
            loss = loss + config.cycle_z * (again.z - z).square().mean()
        return loss

    def _practised(self, batch: Tensor) -> int:
        """Return how many of a batch, the first ones, edits are practised on."""
        return max(1, int(self.config.cycle_share * len(batch)))

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

    def _as_observed(self, x_edit: Tensor, observed: list[Tensor], change: Change) -> Tensor:
        """Return how far the observers' view of edited pictures is from what was asked for.

        The logit of a changed attribute shall be as far along the line from pictures without (0)
        to pictures with it (1) as the value says; of all others they shall say what they say of
        the picture itself. What they say counts alike.
        """
        pairs = zip(self.each_observer(), observed, strict=True)
        each = [
            self._as_one_observed(o, x_edit, logits[: len(x_edit)], change) for o, logits in pairs
        ]
        return torch.stack(each).mean()

    def _as_one_observed(
        self, observer: Observer, x_edit: Tensor, before: Tensor, change: Change
    ) -> Tensor:
        logits: Tensor = observer(x_edit).float()
        if self.kind is TargetKind.CLASSES:
            return F.cross_entropy(logits, change.wanted)
        off = F.smooth_l1_loss(logits, observer.aim(change.y_hat), reduction="none")
        kept = _divergence(logits, before.sigmoid())
        picked = change.picked
        return off[picked].mean() + self.config.cycle_keep * _mean_where(kept, ~picked)

    def _moved(self, x_edit: Tensor, x_hat: Tensor) -> Tensor:
        """Return how far pixels are moved, (N, C, H, W), in parts of their range."""
        low, high = self.header.preprocess.value_range
        return (x_edit.float() - x_hat.float()) / (high - low)

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
        return self._disturbed(disturbance.moved(x_edit, self.config.shift, rng), rng)

    def _disturbed(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Return images (N, C, H, W) as ŷ has to know them again."""
        value_range = self.header.preprocess.value_range
        x = disturbance.recoloured(x, self.config.colour, value_range, rng)
        return disturbance.noisy(x, self.config.noise, value_range, rng)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values that a mask picks; 0 where it picks none."""
    return (values * mask).sum() / mask.sum().clamp_min(1)


def _divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of sigmoids from probabilities, (N, K), in nats."""
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return each + torch.xlogy(wanted, wanted) + torch.xlogy(1 - wanted, 1 - wanted)


def _length(moved: Tensor) -> Tensor:
    """Return how far changes (N, C, H, W) move a pixel in the mean.

    Lengths are added, not squares: few pixels may move far, not all of them a little.
    """
    return _mean_root(moved.square())


def _variation(moved: Tensor) -> Tensor:
    """Return the total variation of changes (N, C, H, W), per pixel.

    Rudin, Osher, Fatemi (1992). Dots and stripes have much of it for what they move, a shape has
    it along its outline alone.
    """
    down = moved[:, :, 1:, :-1] - moved[:, :, :-1, :-1]
    right = moved[:, :, :-1, 1:] - moved[:, :, :-1, :-1]
    return _mean_root(down.square() + right.square())


def _mean_root(squares: Tensor) -> Tensor:
    """Return the mean over places of the root of the mean over channels (N, C, H, W)."""
    return (squares.mean(dim=1) + _TINY).sqrt().mean()


def _learning(module: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in module.parameters() if weight.requires_grad]


class Change(NamedTuple):
    """A practised edit.

    ``y_hat`` (N, K) is what the decoder gets, ``wanted`` (N, K) the ŷ that has to be seen,
    ``picked`` (N, K), bool, which entries were changed.
    """

    y_hat: Tensor
    wanted: Tensor
    picked: Tensor


def _swap_classes(y_hat: Tensor, rng: torch.Generator) -> Change:
    """Return ŷ with its largest entry and a random other exchanged."""
    n, k = y_hat.shape
    rows = torch.arange(n, device=y_hat.device)
    now = y_hat.argmax(dim=1)
    other = (now + torch.randint(1, k, (n,), generator=rng).to(now.device)) % k
    changed = y_hat.clone()
    changed[rows, now], changed[rows, other] = y_hat[rows, other], y_hat[rows, now]
    wanted = F.one_hot(other, k).to(y_hat.dtype)
    return Change(changed, wanted, wanted.bool())


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
    return Change(changed, wanted, picked)
