"""How far a run is, and the learning rate that belongs there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mddae_cli.config import Schedule, TrainConfig


@dataclass
class Position:
    """Where a run is; saved with its state. ``y_elapsed_s`` is what the first epochs took."""

    step: int = 0
    elapsed_s: float = 0.0
    y_elapsed_s: float = 0.0
    best_loss: float = float("inf")


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
        """Return whether only ŷ is learnt at this position."""
        return position.step < self.y_steps and not self.is_over(position)

    def progress(self, position: Position) -> float:
        """Return the share of the present phase that is over, in [0, 1].

        The first phase goes by steps. The second goes by time where that is limited, so that
        its schedule fits into what is left.
        """
        if position.step < self.y_steps:
            return position.step / self.y_steps
        share = (position.step - self.y_steps) / (self.total_steps - self.y_steps)
        if self.config.max_time_s is not None:
            left = max(self.config.max_time_s - position.y_elapsed_s, 1e-9)
            share = max(share, (position.elapsed_s - position.y_elapsed_s) / left)
        return min(share, 1.0)

    def is_over(self, position: Position) -> bool:
        """Return whether the run has no step left."""
        limit = self.config.max_time_s
        late = limit is not None and position.elapsed_s >= limit
        return position.step >= self.total_steps or late
