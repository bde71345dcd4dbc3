"""The data sets that models are measured on: cut and parted as in training, each loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mddae_cli.align.options import Align, AlignOptions
from mddae_cli.cli.options import resolve_dataset
from mddae_cli.config import Split, TargetKind, coerce_option
from mddae_cli.errors import UsageError
from mddae_cli.header import Header
from mddae_cli.reporting import Reporter

if TYPE_CHECKING:
    from mddae_cli.data import Framing, Table

_KEPT = ("attrs", "crop")
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="For a folder: the file that was --csv in training.",
        rich_help_panel="Data",
    ),
]


def data_of(
    header: Header,
    dataset: str | None,
    data_dir: Path | None,
    labels: Path | None,
    faces: AlignOptions,
) -> dict[str, Any]:
    """Return the arguments of ``load_table`` that give a model pictures as in its training.

    Args:
        header: The model's; its configuration says how pictures were cut and parted.
        dataset: What ``--dataset`` says, if anything.
        data_dir: What ``--data-dir`` says, if anything.
        labels: What ``--labels`` says, if anything.
        faces: What ``--align`` and ``--face`` say: how photographs become a model's faces.

    Raises:
        UsageError: If faces must be aligned in a data set of other than photographs, the model
            knows none, or the detector is missing.
    """
    name, folder = resolve_dataset(dataset or header.dataset, data_dir)
    places: dict[str, Any] = {"dataset": name, "data_dir": folder, "csv": labels}
    size = header.preprocess.image_size
    if name == "folder":
        places |= _framing(header, faces)
    elif faces.align is Align.ALWAYS:
        raise UsageError(
            f"--align is for folders of photographs, and the data set is {name}: leave it out."
        )
    if name != header.dataset:
        return {**places, "image_size": size}
    kept = {key: coerce_option(key, header.config[key]) for key in _KEPT if key in header.config}
    parts = {"split": Split(header.split), "split_seed": header.split_seed}
    return {**places, **parts, **kept, "image_size": size}


def _framing(header: Header, faces: AlignOptions) -> dict[str, Framing]:
    """Return how photographs are cut for a model of faces; nothing for other models."""
    from mddae_cli.align.framing import frame_faces
    from mddae_cli.align.placement import knows_faces

    if knows_faces(header) or faces.align is Align.ALWAYS:
        return {"framing": frame_faces(header, faces)}
    return {}


def ask_labels(header: Header, place: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``load_table`` with the model's own attributes asked of a folder.

    Args:
        header: The model's.
        place: What :func:`data_of` returned.

    Raises:
        UsageError: If the folder has no file with attributes: before any picture is decoded.
    """
    others = place["dataset"] == "folder" != header.dataset
    if not others or header.model.target_kind is not TargetKind.ATTRIBUTES:
        return place
    if place["csv"] is None:
        raise UsageError(
            f"the model was trained on {header.dataset}; data set 'folder' has different names: "
            "add --labels FILE, with a column for each of the model's attributes."
        )
    return {**place, "attrs": header.names}


def load_tables(where: Sequence[dict[str, Any]], reporter: Reporter) -> list[Table]:
    """Return a table for each of ``where``, what :func:`data_of` returned; equals share one."""
    from mddae_cli import data

    loaded: dict[str, Table] = {}
    for arguments in where:
        key = repr(arguments)
        if key not in loaded:
            loaded[key] = data.load_table(**arguments, reporter=reporter)
    return [loaded[repr(arguments)] for arguments in where]
