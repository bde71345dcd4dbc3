"""The total loss of equation 1, and the consistency of changed soft targets.

Axes: N batch, C channels, H, W image side, K classes or attributes, D latent size.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mddae_cli import losses
from mddae_cli.config import ModelKind, Targets, TrainConfig, YMovedBy
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder
from mddae_cli.runtime import Module
from mddae_cli.training import disturbance
from mddae_cli.training.balance import Balance
from mddae_cli.training.known import Known
from mddae_cli.training.observer import Observer, Observers
from mddae_cli.training.practice import Pictures, Practice


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
        self.observers = Observers(Observer(header, radius) for radius in config.observers)
        self.practice = Practice(config, header, self.observers)
        # Of labels, for each observer; all alike where there is none.
        self.balances: list[Balance | None] = [None] * len(config.observers)

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
            pictures = Pictures(x, y_hat.detach(), flowed.z.detach(), x_hat.detach())
            observed = known and known.observed
            with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
                cycle = self.practice.loss(net, still or frozen(net), pictures, observed, rng)
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
        x = disturbance.disturbed(x, self.config, self.header.preprocess.value_range, rng)
        zero = x.new_zeros(())

        def of_target() -> StepLosses:
            with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
                logits = net.target_tower(x)
            dis = losses.discriminative(logits.float(), y, self.kind)
            return StepLosses(dis, zero, dis, zero, zero, zero)

        def of_observer(
            observer: Observer, balance: Balance | None, own: torch.Generator
        ) -> StepLosses:
            weights = None if balance is None else balance.weights(y)
            with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
                loss = observer.loss(x, y, own, weights)
            return StepLosses(loss, zero, zero, zero, zero, zero)

        parts = [Part(of_target, _learning(net.target_tower))]
        for observer, balance in zip(self.observers, self.balances, strict=True):
            seed = int(torch.randint(2**62, (), generator=rng))
            own = torch.Generator().manual_seed(seed)
            parts.append(Part(partial(of_observer, observer, balance, own), _learning(observer)))
        return parts

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


def _learning(module: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in module.parameters() if weight.requires_grad]
