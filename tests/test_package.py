"""The public API: its names, and what importing it costs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import mddae_cli as mddae

PUBLIC = {
    *(
        "calibrate",
        "Calibration",
        "load",
        "train",
        "resume",
        "edit",
        "edit_image",
        "swap_class",
        "load_table",
        "make_config",
    ),
    *("read_header", "TrainConfig", "TrainResult", "PRESETS", "Codes", "Model", "Header"),
    *("Reporter", "MddaeError", "UsageError", "UnknownNameError", "DatasetError", "ModelError"),
    *("Align", "AlignOptions", "edit_photograph", "frame_faces"),
    *("ImageError", "DivergedError", "InterruptedRun", "__version__"),
    *("load_codes", "save_codes"),
    *("sweep", "class_sheet", "animate", "Animation", "Style", "combine"),
    *("list_attributes", "Attribute"),
}


def test_the_exported_names_are_these() -> None:
    assert set(mddae.__all__) == PUBLIC
    assert set(dir(mddae)) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_exported_name_is_there(name: str) -> None:
    value = getattr(mddae, name)
    assert value is getattr(mddae, name)
    if hasattr(value, "__name__"):
        assert value.__name__ == name


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = mddae.nonsense


def test_a_star_import_needs_no_command_line() -> None:
    script = "import sys\nfrom mddae_cli import *\nassert 'typer' not in sys.modules\nmake_config()"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_version_is_that_of_the_installed_package() -> None:
    assert importlib.metadata.version("mddae") == mddae.__version__


def test_the_types_come_with_the_package() -> None:
    assert (Path(mddae.__file__).parent / "py.typed").is_file()
