"""How far a run is, and the learning rate that belongs there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mddae_cli.config import Schedule, TrainConfig

# At most this share of a limited time goes to the epochs that learn ŷ alone.
_TARGET_SHARE = 0.25


@dataclass
class Position:
    """Where a run is; saved with its state.

    ``y_elapsed_s`` is what the first epochs took; ``settled`` says that the regression of the
    latent no longer follows the batches.
    """

    step: int = 0
    elapsed_s: float = 0.0
    y_elapsed_s: float = 0.0
    best_loss: float = float("inf")
    settled: bool = False


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Return the learning rate at a share of a phase in [0, 1]."""
    if config.schedule is Schedule.CONSTANT:
        return config.lr
    if progress < config.warmup:
        return config.lr * max(progress / config.warmup, 1e-3)
    rest = (progress - config.warmup) / (1 - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


class Timetable:
    """The two phases of a run: epochs that learn ŷ alone, and the rest.

    Args:
        config: Epochs, and the time limit if there is one.
        steps_per_epoch: Steps in an epoch.
    """

    def __init__(self, config: TrainConfig, steps_per_epoch: int) -> None:
        self.config = config
        self.y_steps = config.y_epochs * steps_per_epoch
        self.total_steps = self.y_steps + config.epochs * steps_per_epoch

    def learns_target(self, position: Position) -> bool:
        """Return whether only ŷ is learnt at this position.

        Where time is limited ŷ gets a share of it at most, and never a second turn.
        """
        if position.step >= self.y_steps or self._has_left_target(position):
            return False
        limit = self.config.max_time_s
        return limit is None or position.elapsed_s < _TARGET_SHARE * limit

    def _has_left_target(self, position: Position) -> bool:
        return position.elapsed_s > position.y_elapsed_s

    def progress(self, position: Position) -> float:
        """Return the share of the present phase that is over, in [0, 1].

        Each phase goes by steps, or by time where that is limited and runs out earlier.
        """
        limit, elapsed_s = self.config.max_time_s, position.elapsed_s
        if self.learns_target(position):
            share = position.step / self.y_steps
            time_s = None if limit is None else _TARGET_SHARE * limit
        else:
            share = (position.step - self.y_steps) / (self.total_steps - self.y_steps)
            time_s = None if limit is None else limit - position.y_elapsed_s
            elapsed_s -= position.y_elapsed_s
        if time_s is not None:
            share = max(share, elapsed_s / max(time_s, 1e-9))
        return min(max(share, 0.0), 1.0)

    def is_over(self, position: Position) -> bool:
        """Return whether the run has no step left; one step at least learns everything."""
        limit = self.config.max_time_s
        late = limit is not None and position.elapsed_s >= limit
        return position.step >= self.total_steps or (late and self._has_left_target(position))
