"""Presets, and what each data set changes in the recipe. Nothing heavy is imported."""

from __future__ import annotations

from typing import Any

from mddae_cli.config.choices import (
    Encoder,
    Inject,
    ModelKind,
    Reduction,
    Reg,
    Schedule,
    Targets,
    Upsample,
    YMovedBy,
    ZNorm,
)
from mddae_cli.config.options import TrainConfig
from mddae_cli.errors import UnknownNameError

# What each data set changes in the recipe. Reasons stand in docs/recipe.md.
DATASET_DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"epochs": 40, "image_size": 28, "shift": 2, "y_epochs": 20},
    "mnist": {"epochs": 40, "image_size": 28, "latent_dim": 12, "shift": 2, "y_epochs": 10},
    "celeba": {
        "epochs": 52,
        "image_size": 64,
        "latent_dim": 256,
        "inject": Inject.PLACES,
        "flow_layers": 0,
        "erase_directions": 64,
        "batch_size": 64,
        "flip": True,
        "alpha": 1.0,
        "reg": Reg.DCOR_ATTR,
        "gamma": 2.0,
        "cycle": 0.03,
        "cycle_keep": 6.0,
        "cycle_still": 10.0,
        "cycle_variation": 8.0,
        "cycle_detail": 2.0,
        "cycle_colour": 2.0,
        "cycle_features": 10.0,
        "cycle_z": 0.5,
        "observers": (2.0, 2.0),
        "observers_balance": (0.0, 6.0),
        "y_epochs": 10,
    },
    "folder": {
        "image_size": 64,
        "latent_dim": 128,
        "flow_layers": 0,
        "batch_size": 64,
        "alpha": 1.0,
        "cycle": 0.02,
        "cycle_z": 0.5,
        "epochs": 40,
    },
}

# The rows of Table 1 keep the recipe's optimisation and change what the row names.
_PLAIN: dict[str, Any] = {
    "ssim_stride": 1,
    "inject": Inject.ALL,
    "cycle": 0.0,
    "observers": (),
    "reg_memory": 0,
    "z_norm": ZNorm.BATCH,
    "flow_layers": 0,
    "erase_directions": 0,
    "gamma": 1.0,
}
_DISAE = _PLAIN | {"model": ModelKind.DISAE, "targets": Targets.DISCRETE, "alpha": 0.0}
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "ae": _PLAIN
    | {"model": ModelKind.AE, "reg": Reg.NONE, "gamma": 0.0, "alpha": 0.0, "y_epochs": 0},
    "disae": _DISAE | {"reg": Reg.NONE, "gamma": 0.0},
    "disae-xcov": _DISAE | {"reg": Reg.XCOV},
    "mddae-xcov": _PLAIN | {"reg": Reg.XCOV},
    "mddae-dcov": _PLAIN | {"reg": Reg.DCOV},
    "paper": _PLAIN
    | {
        "reg": Reg.DCOV,
        "reduction": Reduction.SUM,
        "upsample": Upsample.TRANSPOSED,
        "y_moved_by": YMovedBy.ALL,
        "y_epochs": 0,
        "encoder": Encoder.SHARED,
        "dropout": 0.0,
        "z_norm": ZNorm.NONE,
        "beta": 1.0,
        "gamma": 5.0,
        "gamma_ramp": 0.0,
        "lr": 1e-4,
        "adam_beta1": 0.5,
        "weight_decay": 0.0,
        "schedule": Schedule.CONSTANT,
        "ema": 0.0,
        "flip": False,
    },
}
# What the paper's own experiments set per data set beyond the preset.
_PAPER_BY_DATASET: dict[str, dict[str, Any]] = {
    "celeba": {"alpha": 1.0, "batch_size": 128},
}


def make_config(
    dataset: str = TrainConfig.dataset, preset: str = TrainConfig.preset, **changes: Any
) -> TrainConfig:
    """Return the configuration of a data set and preset with ``changes`` on top.

    Args:
        dataset: ``digits``, ``mnist``, ``celeba``, or ``folder`` for a folder of one's own.
        preset: A key of :data:`PRESETS`.
        changes: Fields of :class:`TrainConfig`, which win over data set and preset.

    Raises:
        UnknownNameError: If the data set, the preset or a field does not exist.
        UsageError: If a value cannot be used.
    """
    if dataset not in DATASET_DEFAULTS:
        raise UnknownNameError("data set", dataset, DATASET_DEFAULTS)
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    values = DATASET_DEFAULTS[dataset] | PRESETS[preset]
    if preset == "paper":
        values |= _PAPER_BY_DATASET.get(dataset, {"alpha": 0.0, "batch_size": 100})
    values |= {"dataset": dataset, "preset": preset} | changes
    return TrainConfig.from_dict(values | _follows(values, changes))


def _follows(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return what other options follow from those given, where nothing is said of them."""
    follows: dict[str, Any] = {}
    if values.get("model") == ModelKind.AE:
        follows |= PRESETS["ae"]
    together = values.get("encoder") == Encoder.SHARED
    moved = values.get("y_moved_by", YMovedBy.DIS) != YMovedBy.DIS
    if together or moved:
        follows["y_epochs"] = 0  # ŷ cannot be frozen where it shares weights or has to move
    if not (values | follows | changes).get("y_epochs", TrainConfig.y_epochs):
        follows["observers"] = ()  # they learn in those epochs
    if "observers" in changes or not (values | follows).get("observers"):
        follows["observers_balance"] = ()  # what is said of the recipe's holds of no others
    return {name: value for name, value in follows.items() if name not in changes}
