"""The leak: how well a fresh classifier reads the labels from the latent z.

Axes: N rows, D latent size, K classes or attributes, H hidden units. What a probe finds is
there; what it fails to find a stronger one may still find, and readable is not the same as used
by the decoder. What is much comes from comparison: with chance, with shuffled labels, and with a
model that was trained without a regulariser.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mddae_cli import metrics
from mddae_cli.config import TargetKind
from mddae_cli.runtime import derive_seed, generator

Values = Tensor | NDArray[np.generic]
_HELD_OUT = 0.15
# Strengths of the quadratic penalty on whitened z, per row; the held-out share picks one a column.
_PENALTIES = (1e-5, 1e-3, 1e-2, 1e-1)
_LBFGS_STEPS = 200
_HIDDEN, _BATCH_SIZE, _MAX_EPOCHS, _PATIENCE = 256, 256, 60, 3
# Chance is chance after few rows too, and a fit to nothing takes longest.
_SHUFFLED_ROWS = 4000
_SMALL_HIDDEN, _SMALL_ROWS, _SMALL_BATCH, _SMALL_STEPS, _SMALL_RATE = 64, 10_000, 128, 400, 3e-3


class Probe(StrEnum):
    """The classifier: logistic regression, or one hidden layer of 256 or of 64 units."""

    LINEAR = "linear"
    MLP = "mlp"
    SMALL_MLP = "small-mlp"


@dataclass(frozen=True)
class LeakScores:
    """What a probe reads from z on rows that it has not seen.

    ``measure`` is ``auroc`` for attributes (``mean`` over those with both labels in the test
    rows, ``chance`` 0.5) and ``accuracy`` for classes (``mean`` over all rows, ``chance`` what
    always naming the most frequent training class reaches). ``per_name`` holds the AUROC of
    each attribute, or the share of each class's rows that were recognised; None where the test
    rows do not define it. ``shuffled`` is the mean of a second probe whose training labels were
    dealt out at random (4,000 rows at most): what it reaches where nothing is to be found.
    ``refitted``: whether the model's erasure was fitted again, to pictures that the probe has not
    learnt from.
    """

    probe: Probe
    measure: str
    names: tuple[str, ...]
    per_name: tuple[float | None, ...]
    mean: float
    chance: float
    num_train: int
    num_test: int
    shuffled: float | None = None
    refitted: bool = False


def probe_leak(
    z_train: Values,
    y_train: Values,
    z_test: Values,
    y_test: Values,
    kind: TargetKind,
    *,
    probe: Probe | str = Probe.LINEAR,
    seed: int = 0,
    names: tuple[str, ...] | None = None,
) -> LeakScores:
    """Return how well a fresh probe reads the labels from z.

    The linear probe is logistic (for classes multinomial) regression on whitened z, fitted to
    convergence by L-BFGS; the strength of its penalty is picked per attribute on a held-out
    share of the training rows. The MLP adds a hidden layer of 256 units and stops where its loss
    on such a share stops falling. The small one is what a quick look would take: 64 hidden units,
    10,000 rows at most, 400 steps. It shows how much a leak depends on who looks for it.

    Args:
        z_train: Latents to fit on, shape (N, D).
        y_train: Their labels, shape (N, K): one-hot for classes, 0 or 1 for attributes.
        z_test: Latents to measure on, shape (M, D).
        y_test: Their labels, shape (M, K).
        kind: Whether the K names exclude each other.
        probe: ``linear``, ``mlp`` or ``small-mlp``.
        seed: Held-out share, order and initialisation.
        names: The K names; their numbers if None.

    Raises:
        ValueError: If the shapes do not fit, there are fewer than 4 training rows or no test
            rows, or ``probe`` is unknown.
    """
    probe = Probe(probe)
    z, y, z_new, y_new = (_matrix(v) for v in (z_train, y_train, z_test, y_test))
    if len(z) != len(y) or len(z_new) != len(y_new) or len(z) < 4 or len(z_new) < 1:
        raise ValueError(f"{len(z)} and {len(z_new)} latents for {len(y)} and {len(y_new)} labels")
    if z.shape[1] != z_new.shape[1] or y.shape[1] != y_new.shape[1]:
        raise ValueError("train and test rows differ in their number of columns")
    whiten = _whitening(z)
    fits = {Probe.LINEAR: _fit_linear, Probe.MLP: _fit_mlp, Probe.SMALL_MLP: _fit_small}
    scores = fits[probe](whiten(z), y, whiten(z_new), kind, seed)
    per_name, mean, chance = _score(scores, y, y_new, kind)
    known = names or tuple(str(k) for k in range(y.shape[1]))
    measure = "auroc" if kind is TargetKind.ATTRIBUTES else "accuracy"
    return LeakScores(probe, measure, known, per_name, mean, chance, len(z), len(z_new))


def shuffled_leak(
    leak: LeakScores, z_train: Values, y_train: Values, *rest: Any, **more: Any
) -> LeakScores:
    """Return ``leak`` with what the same probe reaches after shuffled labels.

    Args:
        leak: What :func:`probe_leak` returned for the arguments that follow.
        z_train: Latents to fit on, shape (N, D).
        y_train: Their labels, shape (N, K): whole rows are dealt out, so that the names keep
            what they have to do with each other.
        rest: The other arguments of :func:`probe_leak`.
        more: Its keywords.
    """
    rng = generator(more.get("seed", 0), "probe/shuffle")
    rows, order = (torch.randperm(len(y_train), generator=rng)[:_SHUFFLED_ROWS] for _ in "zy")
    other = probe_leak(_matrix(z_train)[rows], _matrix(y_train)[order], *rest, **more)
    return dataclasses.replace(leak, shuffled=other.mean)


def _matrix(values: Values) -> Tensor:
    matrix = torch.as_tensor(values).detach().cpu().float()
    if matrix.ndim != 2:
        raise ValueError(f"a matrix is needed, not {tuple(matrix.shape)}")
    return matrix


def _whitening(z: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map of rows (N, D) to uncorrelated columns of unit variance, fitted on ``z``.

    Logistic regression does not care, L-BFGS does: it converges in tens of steps there. Directions
    without variance are dropped.
    """
    mean = z.double().mean(dim=0)
    centered = z.double() - mean
    variances, directions = torch.linalg.eigh(centered.T @ centered / len(z))
    kept = variances > variances.max() * 1e-10
    turn = directions[:, kept] / variances[kept].sqrt()  # (D, D')
    return lambda rows: ((rows.double() - mean) @ turn).float()


def _loss_per_column(logits: Tensor, y: Tensor, kind: TargetKind) -> Tensor:
    """Return the mean loss in nats of each attribute, shape (K,), or of the classes, shape ()."""
    if kind is TargetKind.CLASSES:
        return F.cross_entropy(logits, y)
    return F.binary_cross_entropy_with_logits(logits, y, reduction="none").mean(dim=0)


def _split(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return which rows to fit on and which to hold out, at least one each."""
    order = torch.randperm(rows, generator=generator(seed, "probe/held-out"))
    held = max(round(rows * _HELD_OUT), 1)
    return order[held:], order[:held]


def _fit_linear(z: Tensor, y: Tensor, z_new: Tensor, kind: TargetKind, seed: int) -> Tensor:
    """Return the logits (M, K) of ``z_new`` by logistic regression."""
    penalty = _pick_penalty(z, y, kind, *_split(len(z), seed))
    return _linear(z_new, _regress(z, y, penalty, kind))


def _pick_penalty(z: Tensor, y: Tensor, kind: TargetKind, fitted: Tensor, held: Tensor) -> Tensor:
    """Return the penalty (K,) with which each attribute, or all classes, do best held out."""
    losses = []
    for penalty in _PENALTIES:
        weights = _regress(z[fitted], y[fitted], torch.full((y.shape[1],), penalty), kind)
        losses.append(_loss_per_column(_linear(z[held], weights), y[held], kind))
    best = torch.stack(losses).argmin(dim=0).expand(y.shape[1])
    return torch.tensor(_PENALTIES)[best]


def _linear(z: Tensor, weights: Tensor) -> Tensor:
    return torch.addmm(weights[-1], z, weights[:-1])  # (N, K)


def _regress(z: Tensor, y: Tensor, penalty: Tensor, kind: TargetKind) -> Tensor:
    """Return weights (D + 1, K), the last row the constants, at a penalty (K,) per column."""
    weights = torch.zeros(z.shape[1] + 1, y.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights],
        max_iter=_LBFGS_STEPS,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        size = (weights[:-1].square().sum(dim=0) * penalty).sum() / 2
        loss = _loss_per_column(_linear(z, weights), y, kind).sum() + size
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call, unused-ignore]  # untyped in some versions
    return weights.detach()


def _fit_mlp(z: Tensor, y: Tensor, z_new: Tensor, kind: TargetKind, seed: int) -> Tensor:
    """Return the logits (M, K) of ``z_new`` by a network with one hidden layer.

    The network adds to the logits of the linear probe, so that it need not learn again what is
    linear; with many columns it would overfit before it has.
    """
    fitted, held = _split(len(z), seed)
    penalty = _pick_penalty(z, y, kind, fitted, held)
    weights = _regress(z[fitted], y[fitted], penalty, kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "probe/mlp"))
        probe = _MlpProbe(weights)
        _fit_early(probe, z[fitted], y[fitted], z[held], y[held], kind)
    with torch.no_grad():
        logits: Tensor = probe(z_new)
    return logits


def _fit_small(z: Tensor, y: Tensor, z_new: Tensor, kind: TargetKind, seed: int) -> Tensor:
    """Return the logits (M, K) of ``z_new`` by a small network after a fixed number of steps."""
    rng = generator(seed, "probe/small")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "probe/small"))
        probe = nn.Sequential(
            nn.Linear(z.shape[1], _SMALL_HIDDEN), nn.ReLU(), nn.Linear(_SMALL_HIDDEN, y.shape[1])
        )
    chosen = torch.randperm(len(z), generator=rng)[:_SMALL_ROWS]
    optimiser = torch.optim.Adam(probe.parameters(), lr=_SMALL_RATE)
    for _ in range(_SMALL_STEPS):
        rows = chosen[torch.randint(len(chosen), (_SMALL_BATCH,), generator=rng)]
        loss = _loss_per_column(probe(z[rows]), y[rows], kind).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        logits: Tensor = probe(z_new)
    return logits


class _MlpProbe(nn.Module):
    """Linear logits, which stay as they are, and one hidden layer that starts by adding nothing."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        inputs, outputs = weights.shape[0] - 1, weights.shape[1]
        self.weights = weights
        self.to_hidden = nn.Linear(inputs, _HIDDEN)
        self.dropout = nn.Dropout(0.5)
        self.to_logits = nn.Linear(_HIDDEN, outputs)
        nn.init.zeros_(self.to_logits.weight)
        nn.init.zeros_(self.to_logits.bias)

    def forward(self, z: Tensor) -> Tensor:
        hidden = self.dropout(F.relu(self.to_hidden(z)))  # (N, H)
        logits: Tensor = _linear(z, self.weights) + self.to_logits(hidden)
        return logits


def _fit_early(
    probe: _MlpProbe, z: Tensor, y: Tensor, z_held: Tensor, y_held: Tensor, kind: TargetKind
) -> None:
    """Train until the held-out loss falls no more, also not at a fifth of the rate; keep the best.

    The order of the rows and the dropout come from torch's own generator.
    """
    optimiser = torch.optim.AdamW(probe.parameters(), lr=3e-3, weight_decay=0.3)
    best, kept, waited, slower = math.inf, copy.deepcopy(probe.state_dict()), 0, False
    for _ in range(_MAX_EPOCHS):
        probe.train()
        for rows in torch.randperm(len(z)).split(_BATCH_SIZE):
            loss = _loss_per_column(probe(z[rows]), y[rows], kind).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        probe.eval()
        with torch.no_grad():
            held_out = float(_loss_per_column(probe(z_held), y_held, kind).mean())
        waited += 1
        if held_out < best:
            best, kept, waited = held_out, copy.deepcopy(probe.state_dict()), 0
        if waited == _PATIENCE:
            if slower:
                break
            slower, waited = True, 0
            optimiser.param_groups[0]["lr"] /= 5
    probe.load_state_dict(kept)


def _score(
    scores: Tensor, y: Tensor, y_new: Tensor, kind: TargetKind
) -> tuple[tuple[float | None, ...], float, float]:
    """Return the figure of each name, the mean, and what knowing nothing of z reaches."""
    if kind is TargetKind.ATTRIBUTES:
        areas = metrics.auroc(scores, y_new)
        defined = areas[~areas.isnan()]
        mean = float(defined.mean()) if len(defined) else math.nan
        return _without_nan(areas), mean, 0.5
    hit = y_new.gather(1, scores.argmax(dim=1, keepdim=True))  # (M, 1)
    recalled = (y_new * hit).sum(dim=0) / y_new.sum(dim=0)
    chance = float(y_new[:, y.sum(dim=0).argmax()].mean())
    return _without_nan(recalled), float(hit.mean()), chance


def _without_nan(values: Tensor) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else value for value in values.tolist())
