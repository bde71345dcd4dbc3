"""The options of a training run, their defaults and presets. Nothing heavy is imported."""

from mddae_cli.config.choices import (
    Arch,
    CodesFormat,
    Crop,
    Encoder,
    Inject,
    ModelKind,
    Precision,
    Reduction,
    Reg,
    Schedule,
    Sight,
    Split,
    TargetKind,
    Targets,
    Upsample,
    YMovedBy,
    ZNorm,
)
from mddae_cli.config.options import TrainConfig, coerce_option, load_config
from mddae_cli.config.presets import DATASET_DEFAULTS, PRESETS, make_config

__all__ = [
    "DATASET_DEFAULTS",
    "PRESETS",
    "Arch",
    "CodesFormat",
    "Crop",
    "Encoder",
    "Inject",
    "ModelKind",
    "Precision",
    "Reduction",
    "Reg",
    "Schedule",
    "Sight",
    "Split",
    "TargetKind",
    "Targets",
    "TrainConfig",
    "Upsample",
    "YMovedBy",
    "ZNorm",
    "coerce_option",
    "load_config",
    "make_config",
]
