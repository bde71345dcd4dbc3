"""Soft-target auto-encoders that disentangle labels from the rest of a picture.

The public API is resolved when it is first used: importing ``mddae_cli`` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mddae_cli.align.framing import frame_faces
    from mddae_cli.align.options import Align, AlignOptions
    from mddae_cli.calibration import calibrate
    from mddae_cli.config import PRESETS, TrainConfig, make_config
    from mddae_cli.data import load_table
    from mddae_cli.editing import Codes, Model, combine, edit, edit_image, load, swap_class
    from mddae_cli.errors import (
        DatasetError,
        DivergedError,
        ImageError,
        InterruptedRun,
        MddaeError,
        ModelError,
        UnknownNameError,
        UsageError,
    )
    from mddae_cli.figures import Animation, Style, animate, class_sheet, sweep
    from mddae_cli.header import Attribute, Calibration, Header, list_attributes, read_header
    from mddae_cli.photographs import edit_photograph
    from mddae_cli.pipeline import load_codes, save_codes
    from mddae_cli.reporting import Reporter
    from mddae_cli.training import TrainResult, resume, train

__all__ = [
    "PRESETS",
    "Align",
    "AlignOptions",
    "Animation",
    "Attribute",
    "Calibration",
    "Codes",
    "DatasetError",
    "DivergedError",
    "Header",
    "ImageError",
    "InterruptedRun",
    "MddaeError",
    "Model",
    "ModelError",
    "Reporter",
    "Style",
    "TrainConfig",
    "TrainResult",
    "UnknownNameError",
    "UsageError",
    "__version__",
    "animate",
    "calibrate",
    "class_sheet",
    "combine",
    "edit",
    "edit_image",
    "edit_photograph",
    "frame_faces",
    "list_attributes",
    "load",
    "load_codes",
    "load_table",
    "make_config",
    "read_header",
    "resume",
    "save_codes",
    "swap_class",
    "sweep",
    "train",
]

_HOMES = {
    "align.framing": ("frame_faces",),
    "align.options": ("Align", "AlignOptions"),
    "calibration": ("calibrate",),
    "config": ("PRESETS", "TrainConfig", "make_config"),
    "data": ("load_table",),
    "editing": ("Codes", "Model", "combine", "edit", "edit_image", "load", "swap_class"),
    "errors": (
        "DatasetError",
        "DivergedError",
        "ImageError",
        "InterruptedRun",
        "MddaeError",
        "ModelError",
        "UnknownNameError",
        "UsageError",
    ),
    "figures": ("Animation", "Style", "animate", "class_sheet", "sweep"),
    "header": ("Attribute", "Calibration", "Header", "list_attributes", "read_header"),
    "photographs": ("edit_photograph",),
    "pipeline": ("load_codes", "save_codes"),
    "reporting": ("Reporter",),
    "training": ("TrainResult", "resume", "train"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
