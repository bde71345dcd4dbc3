"""Every option of a training run and its default: a frozen dataclass, JSON in and out.

The one home of defaults: the command line reads them from here. Nothing heavy is imported.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from mddae_cli.config.choices import (
    Arch,
    Crop,
    Encoder,
    Inject,
    ModelKind,
    Precision,
    Reduction,
    Reg,
    Schedule,
    Split,
    Targets,
    Upsample,
    YMovedBy,
    ZNorm,
)
from mddae_cli.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class TrainConfig:
    """One training run. ``None`` means: decided by the data set, see :func:`make_config`."""

    # Data
    dataset: str = "digits"
    data_dir: str | None = None
    split: Split = Split.AUTO
    split_seed: int = 0
    attrs: tuple[str, ...] | None = None
    csv: str | None = None
    image_size: int | None = None
    crop: Crop = Crop.AUTHORS
    limit: int | None = None
    flip: bool = False
    # While ŷ is learnt alone:
    shift: int = 0  # pixels
    noise: float = 0.0  # standard deviation, in parts of the range of a pixel
    colour: float = 0.0  # how much of it may be taken away, in [0, 1]

    # Model
    preset: str = "default"
    model: ModelKind = ModelKind.MDDAE
    arch: Arch = Arch.CONV
    latent_dim: int = 10
    width: int = 32
    depth: int | None = None
    inject: Inject = Inject.ALL
    upsample: Upsample = Upsample.RESIZE
    z_norm: ZNorm = ZNorm.RESIDUAL
    flow_layers: int = 8
    # Along which z's variance shall not depend on an entry of ŷ; 0 for none
    erase_directions: int = 0
    encoder: Encoder = Encoder.SEPARATE
    dropout: float = 0.3

    # Losses: equations 1 to 15
    reduction: Reduction = Reduction.MEAN
    alpha: float = 0.0
    ssim_stride: int = 2  # pixels from window to window of the finest scale
    beta: float = 1.0
    gamma: float = 1.0
    gamma_ramp: float = 0.1
    reg: Reg = Reg.DCOR
    reg_memory: int = 384
    targets: Targets = Targets.SOFT
    y_moved_by: YMovedBy = YMovedBy.DIS
    y_epochs: int = 3
    cycle: float = 0.05
    cycle_keep: float = 3.0
    cycle_z: float = 0.0
    cycle_share: float = 0.33
    cycle_margin: float = 0.0  # of the logit, for each 1 of raw ŷ beyond 0.5; attributes
    cycle_disturbed: bool = False  # as ŷ has learnt: shift, noise, colour
    cycle_still: float = 0.0  # of the change of pixels
    cycle_variation: float = 0.0  # of the total variation of that change
    cycle_detail: float = 0.0  # of fine detail other than the attribute or contrast brings along
    cycle_colour: float = 0.0  # of colour where neither picture nor reconstruction has it
    cycle_features: float = 0.0  # of the observers' maps, from where the change should move them
    # L2 radius of the perturbations of each, in parts of the range of a pixel
    observers: tuple[float, ...] = ()
    # Largest weight, for each, of a label that goes against what others say of it; 0: all alike
    observers_balance: tuple[float, ...] = ()
    flow_pull: float = 0.3
    # The share of the run after which z's regression on ŷ is exact and stays; 0 for never
    settle: float = 0.0

    # Optimiser
    epochs: int = 20
    max_time_s: float | None = None
    batch_size: int = 100
    lr: float = 1e-3
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    weight_decay: float = 1e-4
    schedule: Schedule = Schedule.COSINE
    warmup: float = 0.05
    ema: float = 0.0
    seed: int = 0

    # Machine
    device: str = "auto"
    precision: Precision = Precision.AUTO
    threads: int | None = None

    def __post_init__(self) -> None:
        _check(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Return the configuration that :meth:`to_dict` wrote.

        Raises:
            UsageError: If a value has the wrong type or is out of range.
            UnknownNameError: If a key is no option.
        """
        return cls(**{key: coerce_option(key, value) for key, value in values.items()})


def _check(config: TrainConfig) -> None:
    """Raise :class:`UsageError` for a value that no run could use."""
    positive = ("latent_dim", "width", "batch_size", "epochs", "lr", "ssim_stride")
    optional = ("depth", "image_size", "limit", "max_time_s", "threads")
    not_negative: tuple[str, ...] = ("alpha", "beta", "gamma", "gamma_ramp", "reg_memory")
    not_negative += (
        "cycle",
        "cycle_keep",
        "cycle_margin",
        "cycle_still",
        "cycle_variation",
        "cycle_detail",
        "cycle_colour",
        "cycle_features",
        "cycle_z",
        "flow_layers",
        "flow_pull",
        "erase_directions",
        "y_epochs",
        "weight_decay",
        "warmup",
        "shift",
        "noise",
    )
    for name in positive + optional + not_negative:
        value = getattr(config, name)
        if value is None:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{name} = {value} is not a finite number.")
        if value < 0 or (value == 0 and name not in not_negative):
            wanted = "0 or more" if name in not_negative else "more than 0"
            raise UsageError(f"{name} = {value} cannot be used: give {wanted}.")
    for radius in config.observers:
        if not (math.isfinite(radius) and radius > 0):
            raise UsageError(f"observers = {radius} cannot be used: give more than 0 for each.")
    for name in ("adam_beta1", "adam_beta2", "ema", "dropout", "settle"):
        if not 0 <= getattr(config, name) < 1:
            raise UsageError(f"{name} = {getattr(config, name)} must lie in [0, 1).")
    for largest in config.observers_balance:
        if not (math.isfinite(largest) and (largest == 0 or largest > 1)):
            raise UsageError(
                f"observers_balance = {largest} cannot be used: give more than 1, or 0, for each."
            )
    if config.observers_balance and len(config.observers_balance) != len(config.observers):
        raise UsageError(
            f"observers_balance has {len(config.observers_balance)} numbers for "
            f"{len(config.observers)} observers: give one for each, or none at all."
        )
    if not 0 < config.cycle_share <= 1:
        raise UsageError(f"cycle_share = {config.cycle_share} must lie in (0, 1].")
    if not 0 <= config.colour <= 1:
        raise UsageError(f"colour = {config.colour} must lie in [0, 1].")
    if config.batch_size < 4:
        raise UsageError(f"batch_size = {config.batch_size} is too small: give at least 4.")
    if config.y_epochs and config.encoder is Encoder.SHARED:
        raise UsageError("encoder shared cannot train ŷ alone first: use y_epochs 0.")
    if config.observers and not config.y_epochs:
        raise UsageError("observers learn beside ŷ alone: they need y_epochs of 1 or more.")
    if config.y_epochs and config.y_moved_by is not YMovedBy.DIS:
        raise UsageError(
            f"y_moved_by {config.y_moved_by} needs y_epochs 0: ŷ is frozen after them."
        )
    if config.flow_layers and config.erase_directions:
        raise UsageError(
            "flow_layers and erase_directions exclude each other: a flow has learnt the latent as "
            "it is. Use 0 for one of them."
        )
    if config.model is ModelKind.AE and config.reg is not Reg.NONE:
        raise UsageError("model ae has no soft target to decorrelate from: use reg none.")


def coerce_option(name: str, value: Any) -> Any:
    """Return ``value`` in the type of the option ``name``, as JSON and shells deliver strings.

    Raises:
        UnknownNameError: If no option has that name.
        UsageError: If the value does not fit the option's type.
    """
    hints = _option_types()
    if name not in hints:
        raise UnknownNameError("option", name, hints)
    hint = hints[name]
    members = getattr(hint, "__args__", (hint,))
    if value is None and type(None) in members:
        return None
    wanted = next(m for m in members if m is not type(None)) if members else hint
    if hint == tuple[str, ...] | None:
        items = value.split(",") if isinstance(value, str) else value
        return tuple(str(item).strip() for item in items)
    try:
        if hint == tuple[float, ...]:
            return tuple(float(item) for item in _items(value))
        if wanted is bool or isinstance(value, bool):
            if not (isinstance(value, bool) and wanted is bool):
                raise ValueError(value)
            return value
        if wanted is int and (not isinstance(value, int | str) or str(value) != str(int(value))):
            raise ValueError(value)
        return wanted(value)
    except (TypeError, ValueError) as exc:
        choices = f": one of {', '.join(wanted)}" if issubclass(wanted, StrEnum) else ""
        expected = "numbers" if hint == tuple[float, ...] else wanted.__name__
        kind = "" if choices else f": {expected} expected"
        raise UsageError(f"{name} = {value!r} cannot be used{choices}{kind}.") from exc


def _items(value: Any) -> Any:
    """Return the items of a list, also of one number or of text with commas."""
    if isinstance(value, str):
        return value.split(",") if value.strip() else ()
    one = isinstance(value, int | float) and not isinstance(value, bool)
    return (value,) if one else value


@cache
def _option_types() -> dict[str, Any]:
    """Return the type of each option; worked out once, as help asks for hundreds of defaults."""
    return get_type_hints(TrainConfig)


def load_config(path: str | Path) -> dict[str, Any]:
    """Return the options that a JSON file holds.

    Raises:
        UsageError: If the file is missing, no JSON, or no JSON object.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"config {str(path)!r} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:
        raise UsageError(f"config {str(path)!r} is no JSON: {exc}.") from exc
    if not isinstance(values, dict):
        raise UsageError(f"config {str(path)!r} must hold one JSON object of options.")
    for key in values:
        if key not in _option_types():
            raise UnknownNameError("option", key, _option_types())
    return values
